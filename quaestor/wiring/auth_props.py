"""What a rehearsed login needs around it: a clock for all parts, ears for errors and logs, the places of leaks."""

from __future__ import annotations

import datetime as dt
import logging
import os
import random
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quaestor.custody.tokens import AccessToken
from quaestor.errors import QuaestorError

if TYPE_CHECKING:
    from quaestor.doors.postgres.database import Database
    from quaestor.doors.sim.robinhood import Person
    from quaestor.operations.custody.rehearsed import Clock
    from quaestor.ports_custody import AuthRequest
    from quaestor.ports_secrets import AccessTokens

QUIETER = ("azure.core", "azure.identity", "azure.core.pipeline.policies.http_logging_policy")  # of "azure"
LOUD = ("urllib3", "azure", "msal", "requests", "quaestor", "asyncio", "psycopg", "psycopg.pool")


@dataclass
class Overheard:
    """A door, and what every error that came out of it shows of itself."""

    door: Any
    heard: list[str] = field(repr=False)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.door, name)
        return self._listening(found) if callable(found) else found

    def _listening(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def called(*words: Any, **named: Any) -> Any:
            try:
                return call(*words, **named)
            except QuaestorError as error:
                self.heard.append(shown(error))
                raise

        return called


def shown(error: BaseException) -> str:
    """All that an error shows of itself and of what caused it."""
    notes = getattr(error, "__notes__", [])
    return "\n".join([str(error), repr(error), repr(error.args), *notes, *traceback.format_exception(error)])


@dataclass
class Cutting:
    """The tokens of who trades; revoked, where the stage says so, once an order has its own."""

    tokens: AccessTokens
    cut: Callable[[], None] = field(repr=False)

    def current(self) -> AccessToken:
        """As it is."""
        token = self.tokens.current()
        self.cut()
        return token

    def after(self, refused: AccessToken) -> AccessToken | None:
        """The newer one."""
        return self.tokens.after(refused)


@dataclass
class Asking:
    """How the refresher is asked, and when by the rehearsal's clock. Implements `ports_custody.Asker`."""

    uri: str = field(repr=False)
    alias: str
    by: str
    at: dict[int, dt.datetime]
    clock: Clock

    def ask(self, seq: int) -> None:
        """Ask."""
        from quaestor.doors.postgres import custody

        self.at.setdefault(seq, self.clock.our_now())
        custody.Asking(self.uri, self.alias, self.by).ask(seq)


def clocked(database: Database, asked: Mapping[int, dt.datetime], clock: Clock) -> Any:
    """How logins stand in the database, whose own clock does not jump."""
    from quaestor.doors.postgres.custody import CustodyStore

    class Clocked(CustodyStore):
        async def requests(self, alias: str, seq: int) -> list[AuthRequest]:
            found = await super().requests(alias, seq)
            return [replace(each, at=asked.get(each.seq, clock.our_now())) for each in found]

    return Clocked(database)


def made_up(alias: str, seed: int) -> Person:
    """Somebody who is made up, with secrets that every way of writing them changes."""
    from quaestor.doors.sim.robinhood import Person

    chance = random.Random(seed)  # noqa: S311  # nobody's
    totp = "".join(chance.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") for _ in range(32))
    password = f'pä"ss & {chance.randrange(10**9):09d}+%'
    return Person("rehearsal@example.com", password, totp, {alias: f"5RX{chance.randrange(10**6):06d}"})


@contextmanager
def environment(told: Mapping[str, str]) -> Iterator[None]:
    """As a machine in Azure says who it is."""
    before = {name: os.environ.get(name) for name in told}
    os.environ.update(told)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def loud(file: Path) -> Iterator[None]:
    """All that is logged, at its loudest, in a file of the rehearsal's, and nothing struck out of it (see `logs`)."""
    handler = logging.FileHandler(file, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))
    before = {name: (logging.getLogger(name).level, logging.getLogger(name).propagate) for name in (*LOUD, *QUIETER)}
    for name in (*LOUD, *QUIETER):
        logging.getLogger(name).setLevel(logging.DEBUG)
    for name in LOUD:
        logging.getLogger(name).propagate = False
        logging.getLogger(name).addHandler(handler)
    try:
        yield
    finally:
        for name, (level, propagates) in before.items():
            logging.getLogger(name).removeHandler(handler)
            logging.getLogger(name).setLevel(level)
            logging.getLogger(name).propagate = propagates
        handler.close()


def places(uri: str, folder: Path, heard: Iterable[str], but: Sequence[Path] = ()) -> Iterator[tuple[str, bytes]]:
    """Where secrets are looked for: database, files, processes, exceptions, objects; `but`: not there."""
    from quaestor.doors import searching
    from quaestor.doors.postgres import dump

    exceptions = (("exception", each.encode()) for each in heard)
    objects = searching.objects(but=("quaestor.doors.sim",))
    return chain(dump.texts(uri), searching.files(folder, but), searching.processes(), exceptions, objects)
