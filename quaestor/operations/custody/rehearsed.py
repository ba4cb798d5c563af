"""What a rehearsal is played with, and what is seen in it: a clock that jumps, those who ask the broker, a stage.

Two real keepers with connections of their own keep the login; those who ask the broker have the token out of the vault,
each with what it knows. Vault and broker are protocol servers, and how they stand is the stage's.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import heapq
import itertools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from quaestor.custody.leaks import Leak
from quaestor.custody.machine import Custody
from quaestor.custody.tokens import AccessToken
from quaestor.errors import QuaestorError
from quaestor.ports import Alerts
from quaestor.ports_secrets import AccessTokens


class Clock:
    """True time, which is Robinhood's; ours and the vault's may differ from it. It jumps, and sleeping is jumping.

    What was said to happen `then` happens on the way.
    """

    def __init__(self, begins: dt.datetime) -> None:
        self.at, self.ours, self.vaults = begins, dt.timedelta(), dt.timedelta()
        self._count, self._ahead = itertools.count(), list[tuple[dt.datetime, int, Callable[[], None]]]()

    def now(self) -> dt.datetime:
        """Robinhood's, aware UTC."""
        return self.at

    def our_now(self) -> dt.datetime:
        """What our machines take it for."""
        return self.at + self.ours

    def vault_now(self) -> dt.datetime:
        """What the vault takes it for."""
        return self.at + self.vaults

    def then(self, moment: dt.datetime, do: Callable[[], None]) -> None:
        """Have it happen at that moment; at once where that is over."""
        if moment <= self.at:
            do()
        else:
            heapq.heappush(self._ahead, (moment, next(self._count), do))

    def to(self, moment: dt.datetime) -> None:
        """It is that moment now; never goes back."""
        while self._ahead and self._ahead[0][0] <= moment:
            at, _, do = heapq.heappop(self._ahead)
            self.at = max(self.at, at)
            do()
        self.at = max(self.at, moment)

    async def sleep(self, seconds: float) -> None:
        """Jump, and let others have their turn."""
        self.to(self.at + dt.timedelta(seconds=seconds))
        await asyncio.sleep(0)


@dataclass
class Worker:
    """Somebody who asks the broker. asks: does so for real, and says whether it was answered; held: with what, last."""

    name: str
    access: AccessTokens
    asks: Callable[[AccessTokens], Awaitable[bool]]
    held: AccessToken | None = None

    async def ask(self) -> bool:
        """Ask; whether it was answered."""
        try:
            answered = await self.asks(self.access)
            self.held = await asyncio.to_thread(self.access.current)
        except QuaestorError:
            return False
        return answered


@dataclass
class Pager:
    """Implements `ports.Alerts`: remembers when what was told urgently, and passes it on."""

    clock: Clock
    further: Alerts
    told: list[tuple[dt.datetime, str]] = field(default_factory=list)

    async def send(self, title: str, body: str, *, urgent: bool = False) -> None:
        """Tell."""
        if urgent:
            self.told.append((self.clock.now(), title))
        await self.further.send(title, body, urgent=urgent)


class Keeping(Protocol):
    """A keeper (`watching.Keeper`)."""

    async def look(self) -> Custody:
        """Once; how the login stands then."""
        ...


class Stage(Protocol):
    """The two servers, the books, and who works there."""

    clock: Clock
    keepers: Sequence[Keeping]
    workers: Sequence[Worker]
    pager: Pager

    @property
    def counted(self) -> Counted:
        """What Robinhood has seen by now."""
        ...

    def takes(self, token: AccessToken | None) -> bool:
        """Whether Robinhood would take it now."""
        ...

    async def log_in(self) -> str:
        """A person logs in; the name of the error where that comes to nothing, else ""."""
        ...

    async def place(self) -> str:
        """Commit an order, and send it; how it stands, "revoked" having come between where that was said."""
        ...

    async def resolve(self) -> tuple[str, int]:
        """Find out what became of the last order: how it stands, and how many of it Robinhood has."""
        ...

    async def settle(self) -> None:
        """The market fills what works, and the books follow."""
        ...

    def lose_reply(self, *, grace: float) -> None:
        """The next answer to a refresh is lost; for so many seconds Robinhood gives it again."""
        ...

    def vault_away(self, *, away: bool) -> None:
        """The vault answers nobody, or everybody again."""
        ...

    def vault_throttled(self, *, throttled: bool) -> None:
        """The vault takes nothing, or all again."""
        ...

    def throttle_login(self, seconds: int) -> None:
        """The next login, or refresh, is one too many; Robinhood wants to be left alone for so long."""
        ...

    def revoke(self, *, mid_order: bool = False) -> None:
        """Access tokens end: now, or when the next order is on its way."""
        ...

    def leaks(self) -> list[Leak]:
        """Known secrets, wherever they are and should not be."""
        ...


@dataclass(frozen=True)
class Counted:
    """Of Robinhood's server: logins and refreshes that it granted, and requests for either."""

    logins: int
    refreshes: int
    asked: int


@dataclass(frozen=True)
class Turn:
    """A refresh. late: seconds after it was due, or a token was revoked; stored: seconds until the vault had it."""

    at: dt.datetime
    fault: str
    late: float
    stored: float
    requests: int
    told: int


@dataclass
class Found:
    """What was seen; `problems` are what must not be. minutes: of trading, that were looked at."""

    days: int
    refreshes: int = 0
    human_actions: int = 0
    minutes: int = 0
    lost: list[dt.datetime] = field(default_factory=list)
    leaks: list[Leak] = field(default_factory=list)
    faults: dict[str, dict[str, Any]] = field(default_factory=dict)
    turns: list[Turn] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    story: list[str] = field(default_factory=list)

    @property
    def problems(self) -> list[str]:
        """Why the rehearsal failed; nothing where it did not."""
        found = list(self.wrong)
        if self.human_actions:
            found.append(f"a person had to act {self.human_actions} times after the seed")
        if self.lost:
            found.append(f"{len(self.lost)} trading minutes were lost, the first at {self.lost[0]:%Y-%m-%d %H:%M} UTC")
        return found + [f"a secret stands where it should not: {leak}" for leak in self.leaks]

    def as_row(self) -> dict[str, Any]:
        """As the command prints it."""
        return {
            "days": self.days,
            "refreshes": self.refreshes,
            "human_actions": self.human_actions,
            "trading_minutes_lost": len(self.lost),
            "leaks": len(self.leaks),
            "faults": self.faults,
        }
