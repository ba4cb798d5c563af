"""The line to Robinhood: every request of this process, robin_stocks' own among them, and no failure that is silent.

robin_stocks asks through one global session, has no timeout for reads, changes that session's headers from any thread,
and answers errors with None, [None], {} or [] (see tests/integration/robinhood/test_traps.py). So its session gets one
adapter, which sends each request through the call that its thread is in (`calls`). Who goes first, `queueing` says;
each rank has threads of its own, so that a cancel never waits for a thread that reads.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import requests
from robin_stocks.robinhood import globals as library

from quaestor.doors.robinhood.calls import ADAPTER, PAGES, Call, Read, Write
from quaestor.doors.robinhood.wire import STRANGE, WHOLE, Exchange, Wire
from quaestor.errors import BadInput, BrokerBusy
from quaestor.fetching import Patience, Reply
from quaestor.ports_secrets import AccessTokens
from quaestor.queueing import Priority, Queue

T = TypeVar("T")
THREADS = {Priority.CANCEL: 4, Priority.EXIT: 4, Priority.ENTRY: 4}
SHORT = Patience(attempts=3, first=0.25, longest=2.0, honoured=10.0)  # of a broker, whom somebody waits for


class Line:
    """A `fetching.Fetcher`, and more: single reads, whole listings, and writes.

    tokens: None asks without one; base_url, timeout (seconds), app_version: as in [robinhood]; whole: seconds for a
    whole answer (0: four timeouts); in_flight: reads at a time; per_minute: requests of all kinds; spacing: seconds
    between new orders; secrets: names of what is shown there.
    """

    def __init__(
        self,
        tokens: AccessTokens | None,
        *,
        base_url: str = "",
        timeout: float = 10.0,
        app_version: str = "1.431.4",
        in_flight: int = 4,
        per_minute: float = 120,
        spacing: float = 2.5,
        patience: Patience | None = None,
        whole: float = 0.0,
        secrets: Sequence[str] = (),
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.wire = Wire(base_url, timeout, app_version, in_flight, whole or WHOLE * timeout)
        self.tokens, self.secrets, self.chance = tokens, secrets, chance
        self._long, self._short = patience or Patience(), patience or SHORT
        self.timeout = timeout
        self._queue, self._free, self._granted = Queue(per_minute / 60, spacing), threading.Condition(), set[int]()
        self._pools = {rank: ThreadPoolExecutor(n, f"robinhood-{rank.name.lower()}") for rank, n in THREADS.items()}
        self._threads = self._pools[Priority.READ] = ThreadPoolExecutor(in_flight, "robinhood-read")
        self.recalls: Counter[Priority] = Counter()  # how often all of a kind were called back
        self.carry(library.SESSION)

    @property
    def exchanges(self) -> list[Exchange]:
        """The newest requests, oldest first."""
        return list(self.wire.kept)

    # ── asking ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def call(
        self, subject: str, work: Callable[[], T], headers: Callable[[], Mapping[str, str]] | None = None
    ) -> T:
        """See `fetching.Fetcher`: `work` calls robin_stocks, and whatever failed inside is raised."""
        return await self._within(Read(self, f"{subject}: Robinhood", self._long, headers), work)

    async def get(self, subject: str, url: str, params: Mapping[str, str] | None = None) -> Any:
        """The JSON at an address; raises as `fetching.read` says, and AccessLost."""
        call = Read(self, f"{subject}: Robinhood", self._short)
        return await self._within(call, lambda: library.SESSION.get(url, params=params).json())

    async def listing(self, subject: str, url: str, params: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
        """All rows of all pages: where one page fails, there is no answer."""
        rows: list[dict[str, Any]] = []
        asked, following, given = set[str](), url, params
        while following:
            if following in asked or len(asked) >= PAGES:
                raise BadInput(f"{subject}: Robinhood turns its pages in a circle. Try again later.")
            asked.add(following)
            page = await self.get(subject, following, given)
            rows += _rows(page, subject)
            following, given = page.get("next") or "", None
        return rows

    async def write(self, subject: str, url: str, body: Mapping[str, Any], priority: Priority) -> Reply:
        """Send it once. Raises BrokerBusy where nothing was done, BrokerAmbiguous where nobody knows."""

        def send() -> Reply:
            said = library.SESSION.post(url, json=dict(body), allow_redirects=False)
            return Reply(said.status_code, said.content, dict(said.headers))

        return await self._within(Write(self, subject, priority), send)

    def carry(self, session: requests.Session) -> None:
        """See `fetching.Fetcher`."""
        if session.get_adapter("https://") is ADAPTER:
            return
        session.trust_env = False  # .netrc would take the place of the token
        for scheme in ("https://", "http://"):
            session.mount(scheme, ADAPTER)

    def close(self) -> None:
        """Let the threads end once they have done what they are at."""
        for pool in self._pools.values():
            pool.shutdown(wait=False, cancel_futures=True)

    async def _within(self, call: Call, work: Callable[[], T]) -> T:
        self.carry(library.SESSION)  # another door may have put its own adapter there
        try:
            return await asyncio.wrap_future(self._pools[call.priority].submit(call.run, work))
        except asyncio.CancelledError:
            call.stopped.set()
            with self._free:
                self._free.notify_all()
            raise

    # ── taking turns ──────────────────────────────────────────────────────────────────────────────────────────────────

    def turn(self, call: Call) -> None:
        """Wait until this call's next request may go. Raises BrokerBusy where Robinhood has said to wait for long."""
        with self._free:
            ticket = self._queue.ask(call.priority, time.monotonic())
            try:
                while ticket not in self._granted:
                    call.heed()
                    self._refuse_recalled(call)
                    self._refuse_held(call)
                    self._admit()
            finally:
                self._queue.leave(ticket)
                self._granted.discard(ticket)

    def recall(self, priority: Priority) -> None:
        """Whatever of that kind was asked for and is not sent yet stays unsent."""
        with self._free:
            self.recalls[priority] += 1
            self._free.notify_all()

    def _refuse_recalled(self, call: Call) -> None:
        if self.recalls[call.priority] != call.recalls:
            raise BrokerBusy("It was called back while it waited for its turn: nothing was sent.")

    def _refuse_held(self, call: Call) -> None:
        """Also of who stands in line already: what was decided now is not sent ten minutes later."""
        if (wait := self._queue.held(call.priority, time.monotonic())) > call.longest:
            raise BrokerBusy(f"Robinhood takes nothing for {wait:.0f} s more: nothing was sent.", wait)

    def _admit(self) -> None:
        who, wait = self._queue.next(time.monotonic())
        if who is None:
            self._free.wait(min(wait, 1.0))
        else:
            self._granted.add(who)
            self._free.notify_all()

    def hold(self, priority: Priority, seconds: float) -> None:
        """Robinhood has said to wait: this kind waits."""
        with self._free:
            self._queue.hold(priority, time.monotonic() + seconds)


def _rows(page: Any, subject: str) -> list[dict[str, Any]]:
    """A page's rows; a page that has none is no empty one."""
    found = page.get("results") if isinstance(page, dict) else None
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise BadInput(f"{subject}: Robinhood's answer is no list. {STRANGE}")
    return found
