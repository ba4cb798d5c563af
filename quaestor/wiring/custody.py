"""Custody: who keeps a login's tokens, and how those who ask the broker have them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from quaestor.config import RobinhoodSection
from quaestor.wiring.configuration import Loaded
from quaestor.wiring.databases import configured_database
from quaestor.wiring.telling import configured_alerts
from quaestor.wiring.trading import holder
from quaestor.wiring.vaults import configured_vault

if TYPE_CHECKING:
    from quaestor.doors.postgres.database import Database
    from quaestor.operations.custody.access import VaultAccess
    from quaestor.operations.custody.custodian import Custodian
    from quaestor.operations.custody.watching import Keeper
    from quaestor.ports import Alerts
    from quaestor.ports_custody import LoginDoor
    from quaestor.ports_secrets import SecretStore


def robinhood_login(loaded: Loaded) -> str:
    """Whose login Robinhood is asked with: the alias of its secrets."""
    return loaded.config.robinhood.login or loaded.config.account.alias


def login_door(said: RobinhoodSection) -> LoginDoor:
    """Robinhood's token endpoint."""
    from quaestor.doors.robinhood_login import RobinhoodLogin

    return RobinhoodLogin(timeout=max(said.timeout, 16.0), app_version=said.app_version, base_url=said.base_url)


def custodian(
    database: Database,
    vault: SecretStore,
    alias: str,
    account: str,
    said: RobinhoodSection,
    told: Alerts,
    role: str = "refresher",
) -> Custodian:
    """All doors of a login. alias: whose; account: whose orders it must not disturb; role: what we do here."""
    from quaestor.doors.holder import gone
    from quaestor.doors.postgres.control import LeaseStore
    from quaestor.doors.postgres.custody import CustodyStore
    from quaestor.doors.sealing import Sealing
    from quaestor.operations.custody.custodian import Custodian

    return Custodian(
        alias=alias,
        store=CustodyStore(database),
        leases=LeaseStore(database, gone=gone),
        vault=vault,
        door=login_door(said),
        sealing=Sealing(),
        alerts=told,
        holder=holder(role),
        settings=said,
        working=_working(database, account),
    )


def _working(database: Database, account: str) -> Callable[[], Awaitable[bool]]:
    from quaestor.doors.postgres.books import BookStore

    books = BookStore(database, account)

    async def working() -> bool:
        return bool(await books.open_orders())

    return working


@asynccontextmanager
async def configured_custodian(
    loaded: Loaded, alias: str = "", *, role: str = "refresher", create: bool = True
) -> AsyncIterator[Custodian]:
    """The configured login's doors, open. alias: another login's, "" for Robinhood's own."""
    config = loaded.config
    async with configured_database(loaded, create=create) as database:
        yield custodian(
            database,
            configured_vault(loaded),
            alias or robinhood_login(loaded),
            config.account.alias,
            config.robinhood,
            configured_alerts(loaded),
            role,
        )


def keeper(of: Custodian) -> Keeper:
    """What keeps a login going, beside whatever runs."""
    from quaestor.operations.custody.watching import Keeper

    return Keeper(of)


def access_tokens(
    vault: SecretStore, alias: str, uri: str, by: str, *, refused: Callable[[], None] = lambda: None
) -> VaultAccess:
    """The access token for who asks the broker; by: who that is; refused: is called when the refresher was asked."""
    from quaestor.doors.postgres.custody import Asking
    from quaestor.operations.custody.access import VaultAccess

    return VaultAccess(vault, alias, Asking(uri, alias, by), refused=refused)
