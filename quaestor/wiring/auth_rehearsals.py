"""The stage on which a login is rehearsed: protocol servers of Robinhood and Key Vault, real doors to both, real books.

Nothing of the trader's is touched: a login that is made up, a database and a folder that the caller throws away. The
vault's doors are Microsoft's libraries over TLS, with a managed identity; who keeps and who asks has his own door each.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import gc
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from quaestor import calendar
from quaestor.config import RobinhoodSection, VaultSection
from quaestor.custody.leaks import Leak, Search
from quaestor.custody.login import Login
from quaestor.custody.rehearsals import Plan
from quaestor.custody.tokens import AccessToken, Names
from quaestor.errors import QuaestorError
from quaestor.orders import Intent, Side
from quaestor.wiring.auth_props import Asking, Cutting, Overheard, clocked, environment, loud, made_up, places, shown
from quaestor.wiring.custody import custodian, keeper
from quaestor.wiring.rehearsals import robinhood_server
from quaestor.wiring.telling import alerts
from quaestor.wiring.trading import holder, robinhood_door
from quaestor.wiring.vaults import azure_vault, key_vault_server

if TYPE_CHECKING:
    from quaestor.doors.postgres.database import Database
    from quaestor.doors.sim.keyvault import KeyVaultServer, Place
    from quaestor.doors.sim.robinhood import RobinhoodServer
    from quaestor.operations.custody.custodian import Custodian
    from quaestor.operations.custody.rehearsed import Clock, Counted, Keeping, Pager, Worker
    from quaestor.ports_custody import LoginDoor
    from quaestor.ports_secrets import AccessTokens, SecretStore

ALIAS, SYMBOL = "main", "AAPL"
LONG = 10 * 365 * 86_400.0  # seconds that an identity's token lives: its end is the libraries' affair
AWAY = {"Retry-After": "60"}  # then Microsoft's library does not wait and try for us: it would wait for real


class AuthStage:
    """Implements `operations.custody.rehearsed.Stage`."""

    def __init__(self, folder: Path, plan: Plan, searched: Path | None = None) -> None:
        from quaestor.operations.custody.rehearsed import Clock, Pager

        self.clock: Clock = Clock(plan.begins)
        self.pager: Pager = Pager(self.clock, alerts(folder, "alerts.log", console=False))
        self.folder, self.searched, self.heard = folder, searched or folder, list[str]()
        self.person = made_up(ALIAS, plan.seed)
        self.robinhood: RobinhoodServer = robinhood_server(self.person, symbols=[SYMBOL], clock=self.clock.now)
        self.safe: KeyVaultServer = key_vault_server(self.clock.vault_now, LONG)
        self.robinhood.auth.life = plan.life
        self.robinhood.auth.approvals.does = "approve"  # the person taps on his phone
        self.keepers: Sequence[Keeping] = []
        self.workers: Sequence[Worker] = []
        self._asked: dict[int, dt.datetime] = {}
        self._cut, self._orders, self._intent = False, 0, cast("Intent", None)

    async def open(self, uri: str, opened: AsyncExitStack) -> None:
        """All doors, until the stack ends."""
        from quaestor.doors.postgres.books import BookStore
        from quaestor.doors.sim.serving import serving

        opened.enter_context(loud(self.folder / "debug.log"))
        url = opened.enter_context(serving(self.robinhood.app))
        place = opened.enter_context(self.safe.open(self.folder / "tls"))
        opened.enter_context(environment(place.environment))
        self._uri = uri
        self._said = RobinhoodSection(base_url=url, login=ALIAS, requests_per_minute=6_000, order_spacing=0)
        self._vault = self._vault_door(place, opened)
        bases = [await opened.enter_async_context(_database(uri)) for _ in range(2)]
        owners = [self._custodian(base, self._vault_door(place, opened), n) for n, base in enumerate(bases)]
        self.keepers = [keeper(each) for each in owners]
        self._person_of = replace(owners[0], holder=holder("a person"), vault=self._vault)
        self._books = BookStore(bases[0], ALIAS)
        self._leases = owners[0].leases
        await asyncio.to_thread(self._furnish)
        self._hire(place, opened)

    def _furnish(self) -> None:
        """What a person stores before he logs in."""
        self._vault.set(Names(ALIAS).login, self.login.as_text())
        self._vault.set(Names(ALIAS).account, self.number)

    def _vault_door(self, place: Place, opened: AsyncExitStack) -> SecretStore:
        said = VaultSection(kind="azure", url=place.url, certificate=str(place.certificate))
        door: Any = azure_vault(said)
        opened.callback(door.close)
        return cast("SecretStore", Overheard(door, self.heard))

    def _custodian(self, database: Database, vault: SecretStore, number: int) -> Custodian:
        made = custodian(database, vault, ALIAS, ALIAS, self._said, self.pager, f"keeper {number + 1}")
        return replace(
            made,
            store=clocked(database, self._asked, self.clock),
            door=cast("LoginDoor", Overheard(made.door, self.heard)),
            now=self.clock.our_now,
            sleep=self.clock.sleep,
        )

    def _hire(self, place: Place, opened: AsyncExitStack) -> None:
        """One who trades through Robinhood's door, and two who look."""
        from quaestor.operations.custody.access import VaultAccess
        from quaestor.operations.custody.rehearsed import Worker

        def access(name: str) -> VaultAccess:
            asking = Asking(self._uri, ALIAS, name, self._asked, self.clock)
            vault = self._vault_door(place, opened)
            return VaultAccess(vault, ALIAS, asking, clock=lambda: self.clock.now().timestamp())

        trading = access("trading")
        self.broker = robinhood_door(self._said, Cutting(trading, self.cut), self._vault, [SYMBOL])
        opened.callback(self.broker.line.close)

        async def account(_: AccessTokens) -> bool:
            with self._listening():
                return bool(await self.broker.account())

        async def probe(tokens: AccessTokens) -> bool:
            with self._listening():
                return await asyncio.to_thread(self._probed, tokens)

        others = [Worker(name, access(name), probe) for name in ("signals", "reports")]
        self.workers = [Worker("trading", trading, account), *others]

    def _probed(self, tokens: AccessTokens) -> bool:
        """A reading, as every door of ours reads: once more with a newer token."""
        token: AccessToken | None = tokens.current()
        for _ in range(2):
            if token is not None and self._person_of.door.probe(token):
                return True
            token = tokens.after(token) if token is not None else None
        return False

    @contextmanager
    def _listening(self) -> Iterator[None]:
        try:
            yield
        except QuaestorError as error:
            self.heard.append(shown(error))
            raise

    # ── what a rehearsal sees ─────────────────────────────────────────────────────────────────────────────────────────

    @property
    def login(self) -> Login:
        """What the person logs in with."""
        return Login(self.person.username, self.person.password, self.person.totp_seed)

    @property
    def number(self) -> str:
        """Of his account."""
        return self.person.default

    @property
    def counted(self) -> Counted:
        """What Robinhood has seen by now."""
        from quaestor.operations.custody.rehearsed import Counted

        auth = self.robinhood.auth
        asked = sum(1 for each in self.robinhood.requests if each.path == "/oauth2/token/")
        return Counted(auth.logins, auth.refreshes, asked)

    def takes(self, token: AccessToken | None) -> bool:
        """Whether Robinhood would take it now."""
        return token is not None and self.robinhood.auth.bearer(token.value) is not None

    # ── what is done ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def log_in(self) -> str:
        """A person logs in with what the vault has, and taps on his phone."""
        from quaestor.operations.custody.seeding import seed

        try:
            with self._listening():
                await seed(self._person_of)
        except QuaestorError as error:
            return type(error).__name__
        return ""

    async def place(self) -> str:
        """An order through books and door."""
        from quaestor.operations.outbox import place

        self._orders += 1
        day = self.clock.now().astimezone(calendar.NEW_YORK).date()
        price = Decimal(100)
        self.robinhood.quote(SYMBOL, price, price, price)
        self._intent = Intent(ALIAS, "rehearsal", SYMBOL, day, f"order {self._orders}", Side.BUY, Decimal(1), price)
        async with self._leases.hold(ALIAS, holder("trading"), 5) as lease:
            (state,) = await place([self._intent], self._books, self.broker, lease)
        return state.value if state is not None else "not placed"

    async def resolve(self) -> tuple[str, int]:
        """What became of it."""
        from quaestor.operations.outbox import resolve

        async with self._leases.hold(ALIAS, holder("trading"), 5) as lease:
            await resolve(self._books, self.broker, lease, _no_band)
        orders = await self._books.orders_since(self._intent.session)
        state = next(each.state.value for each in orders if each.ref_id == self._intent.ref_id)
        return state, await self._there() if state != "unknown" else 0

    async def _there(self) -> int:
        found = await self.broker.orders(self._intent.session)
        return sum(1 for each in found if each.ref_id == self._intent.ref_id)

    async def settle(self) -> None:
        """The market fills it."""
        from quaestor.operations.outbox import collect

        self.robinhood.quote(SYMBOL, 99, 99, 99)
        async with self._leases.hold(ALIAS, holder("trading"), 5) as lease:
            await collect(self._books, self.broker, lease, self._intent.session)

    def lose_reply(self, *, grace: float) -> None:
        """The next answer of the token endpoint is lost."""
        from quaestor.doors.sim.faults import Fault

        self.robinhood.auth.grace = dt.timedelta(seconds=grace)
        self.robinhood.faults.append(Fault("lost", path="/oauth2/token/", times=1))

    def throttle_login(self, seconds: int) -> None:
        """The next request of the token endpoint is one too many."""
        from quaestor.doors.sim.faults import Fault

        self.robinhood.faults.append(
            Fault("status", path="/oauth2/token/", times=1, status=429, headers={"Retry-After": str(seconds)})
        )

    def vault_away(self, *, away: bool) -> None:
        """503 to everybody."""
        self._fail_vault(503, "", away)

    def vault_throttled(self, *, throttled: bool) -> None:
        """429 to who stores."""
        self._fail_vault(429, "set", throttled)

    def _fail_vault(self, status: int, action: str, on: bool) -> None:
        from quaestor.doors.sim.faults import Fault

        self.safe.faults[:] = [each for each in self.safe.faults if each.status != status]
        if on:
            self.safe.faults.append(Fault("status", symbol=action, status=status, headers=AWAY))

    def revoke(self, *, mid_order: bool = False) -> None:
        """Now, or when the token of the next order was fetched."""
        self._cut = mid_order
        if not mid_order:
            self.robinhood.auth.revoke()

    def cut(self) -> None:
        """An order was given its token."""
        if self._cut:
            self._cut = False
            self.robinhood.auth.revoke()

    # ── leaks ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def known(self) -> dict[str, str]:
        """Every secret there is, and what kind it is of."""
        import json

        found = dict.fromkeys(self.safe.identity.given, "vault's access token")
        for name, versions in self.safe.safe.secrets.items():
            for version in versions:
                fields: Any = json.loads(version.value) if version.value.startswith("{") else {"secret": version.value}
                secret = {key: fields[key] for key in fields if key.endswith(("_token", "secret"))}
                found |= {value: f"{name} {key}" for key, value in secret.items()}
        found |= {self.person.password: "password", self.person.totp_seed: "TOTP seed", self.number: "account number"}
        return {value: kind for value, kind in found.items() if value}

    def leaks(self) -> list[Leak]:
        """What is found there."""
        known = self.known()
        self.robinhood.floor.books.clear()  # its exchange is Robinhood's, and knows account numbers
        gc.collect()
        return Search(known).look(places(self._uri, self.searched, self.heard))


@asynccontextmanager
async def auth_stage(uri: str, folder: Path, plan: Plan, searched: Path | None = None) -> AsyncIterator[AuthStage]:
    """The stage, open. uri, folder: thrown away afterwards; searched: where secrets are looked for (None: folder)."""
    stage = AuthStage(folder, plan, searched)
    async with AsyncExitStack() as opened:
        await stage.open(uri, opened)
        yield stage


def _database(uri: str) -> Database:
    from quaestor.doors.postgres.database import Database

    return Database(uri, size=3)


async def _no_band(_: Any) -> str:
    return ""
