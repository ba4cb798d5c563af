"""A login's whole house for tests: real vault, real books, real lease, and Robinhood's protocol server."""

from __future__ import annotations

import datetime as dt
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from quaestor.config import RobinhoodSection
from quaestor.custody.login import Login
from quaestor.custody.tokens import AccessToken, Names
from quaestor.doors.alerts import LocalAlerts
from quaestor.doors.postgres.control import LeaseStore
from quaestor.doors.postgres.custody import Asking, CustodyStore
from quaestor.doors.postgres.database import Database
from quaestor.doors.robinhood_login import RobinhoodLogin
from quaestor.doors.sealing import Sealing
from quaestor.doors.sim.robinhood import Person, RobinhoodServer
from quaestor.doors.sim.serving import serving
from quaestor.doors.vault_local import LocalVault
from quaestor.errors import VaultAway
from quaestor.operations.custody.access import VaultAccess
from quaestor.operations.custody.custodian import Custodian
from quaestor.ports_secrets import Secret

ALIAS = "main"
PERSON = Person()


class Moving:
    """A clock that goes on by itself, and jumps where it is told to; sleeping is jumping."""

    def __init__(self) -> None:
        self.ahead = dt.timedelta()
        self.while_asleep: list[Callable[[], Any]] = []  # what happens during the next sleep

    def now(self) -> dt.datetime:
        """Aware UTC."""
        return dt.datetime.now(dt.UTC) + self.ahead

    def forward(self, **by: float) -> None:
        """So much later."""
        self.ahead += dt.timedelta(**by)

    async def sleep(self, seconds: float) -> None:
        """Nobody waits."""
        self.forward(seconds=seconds)
        if self.while_asleep and (happening := self.while_asleep.pop(0)()) is not None:
            await happening


class Vault(LocalVault):
    """The local vault, which may be away, and counts what is read."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.away_for: list[str] = []  # get, set, or get of a name
        self.reads = 0
        self.on_set: Callable[[str], Any] = str
        self.on_get: Callable[[], Any] = str

    def get(self, name: str, version: str | None = None) -> Secret:
        """The newest."""
        self.reads += 1
        self.on_get()
        if "get" in self.away_for or name in self.away_for:
            raise VaultAway("The vault is away.")
        return super().get(name, version)

    def set(
        self, name: str, value: str, *, expires_at: dt.datetime | None = None, tags: Mapping[str, str] | None = None
    ) -> Secret:
        """Store."""
        self.on_set(name)
        if "set" in self.away_for or f"set {name}" in self.away_for:
            raise VaultAway("The vault takes nothing.")
        return super().set(name, value, expires_at=expires_at, tags=tags)


@dataclass
class House:
    """One login and all around it."""

    folder: Path
    database: Database
    server: RobinhoodServer
    url: str
    clock: Moving
    vault: Vault
    said: list[str] = field(default_factory=list)

    @property
    def names(self) -> Names:
        """Of its secrets."""
        return Names(ALIAS)

    def custodian(self, who: str = "test:1:tests", **changes: Any) -> Custodian:
        """One who keeps it."""
        made = Custodian(
            alias=ALIAS,
            store=CustodyStore(self.database),
            leases=LeaseStore(self.database),
            vault=self.vault,
            door=RobinhoodLogin(timeout=1.0, base_url=self.url),
            sealing=Sealing(),
            alerts=LocalAlerts(self.folder / "alerts", console=False),
            holder=who,
            settings=RobinhoodSection(),
            now=self.clock.now,
            sleep=self.clock.sleep,
        )
        return replace(made, **changes)

    def access(self, **settings: Any) -> VaultAccess:
        """One who asks the broker."""
        return VaultAccess(self.vault, ALIAS, Asking(self.database.uri, ALIAS, "a component"), **settings)

    def login(self, **changes: str) -> Login:
        """The person's, or a wrong one."""
        told = {"username": PERSON.username, "password": PERSON.password, "totp": PERSON.totp_seed}
        return Login(**(told | changes))

    def token(self) -> AccessToken:
        """The access token in the vault."""
        return AccessToken.read(LocalVault.get(self.vault, self.names.access).value)

    def works(self) -> bool:
        """Whether the broker takes it."""
        return self.server.auth.bearer(self.token().value) is not None

    def pages(self) -> list[str]:
        """Titles of what a person was told urgently."""
        return [line["title"] for line in self.alerts() if line["urgent"]]

    def alerts(self) -> list[dict[str, Any]]:
        """All that he was told."""
        file = self.folder / "alerts"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def posts(self, path: str = "/oauth2/token/") -> int:
        """How many requests came there."""
        return sum(1 for asked in self.server.requests if asked.path == path and asked.method == "POST")

    async def sql(self, query: str) -> list[dict[str, Any]]:
        """Rows of the database."""
        return await self.database.fetch(query.encode())


@contextmanager
def house(folder: Path, database: Database) -> Iterator[House]:
    """The house, open."""
    clock = Moving()
    server = RobinhoodServer(people=[PERSON], clock=clock.now)
    with serving(server.app) as url:
        yield House(folder, database, server, url, clock, Vault(folder))


def together(count: int, work: Callable[[], Any]) -> list[Any]:
    """What so many threads get that begin at the same moment."""
    got: list[Any] = []
    barrier = threading.Barrier(count)

    def run() -> None:
        barrier.wait()
        try:
            got.append(work())
        except Exception as error:  # noqa: BLE001  # it is looked at
            got.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return got
