"""The books: where the database is, how it is opened, and the stores in it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quaestor.errors import BadConfig, PartMissing
from quaestor.wiring.configuration import Loaded
from quaestor.wiring.vaults import configured_vault

if TYPE_CHECKING:
    from quaestor.doors.postgres.database import Database
    from quaestor.doors.postgres.embedded import EmbeddedServer
    from quaestor.doors.postgres.reads import Reads
    from quaestor.ports import BarStore, Quotes, SignalStore
    from quaestor.ports_live import LiveStore, TriggerStore


def open_database(home: Path, url: str = "", password: str | None = None) -> Database:
    """A database door, to be entered with `async with`: the server at `url`, else the embedded one in `home`."""
    from quaestor.doors.postgres.database import Database, with_password

    if url:
        return Database(with_password(url, password))
    from quaestor.doors.postgres.embedded import EmbeddedServer

    server = EmbeddedServer(home)
    return Database(server.acquire(), server.release)


def upgrade(uri: str) -> str:
    """Bring the database at this URI to the newest schema; the revision reached."""
    from quaestor.doors.postgres import migrate

    return migrate.upgrade(uri)


def embedded(loaded: Loaded) -> EmbeddedServer:
    """The embedded server of the data folder; raises BadConfig where a server elsewhere is configured."""
    from quaestor.doors.postgres.embedded import EmbeddedServer

    if loaded.config.database.url:
        raise BadConfig("A database URL is configured, so there is no embedded server to start or stop.")
    return EmbeddedServer(loaded.home)


@contextmanager
def uri(loaded: Loaded, *, create: bool = False) -> Iterator[str]:
    """The database's URI while the block runs; `create` makes the embedded cluster when there is none yet."""
    if url := loaded.config.database.url:
        from quaestor.doors.postgres.database import with_password

        secret = loaded.config.database.password_secret
        yield with_password(url, configured_vault(loaded).get(secret).value if secret else None)
        return
    server = embedded(loaded)
    if not create and not server.status().initialized:
        raise PartMissing(
            f"There are no books in {loaded.home} yet. Run `quaestor db upgrade`, or see `quaestor demo`."
        )
    with server as found:
        yield found


@contextmanager
def reads(loaded: Loaded) -> Iterator[Reads]:
    """The configured account's books, read-only."""
    from quaestor.doors.postgres.reads import Reads

    with uri(loaded) as found, Reads(found, loaded.config.account.alias) as door:
        yield door


def database_facts(loaded: Loaded) -> dict[str, Any]:
    """Where the database is and whether it runs, for people."""
    if url := loaded.config.database.url:
        from quaestor.doors.postgres.database import shown

        return {"kind": "server", "where": shown(url)}
    return {"kind": "embedded", **asdict(embedded(loaded).status())}


@asynccontextmanager
async def configured_database(loaded: Loaded, *, create: bool = True) -> AsyncIterator[Database]:
    """The configured database, open, with the newest schema; `create` makes the embedded one where there is none."""
    with uri(loaded, create=create) as found:
        upgrade(found)
        from quaestor.doors.postgres.database import Database

        async with Database(found) as database:
            yield database


def bar_store(database: Database) -> BarStore:
    """Bars in the database."""
    from quaestor.doors.postgres.bars import BarStore

    return BarStore(database)


def quotes(database: Database) -> Quotes:
    """Prices out of the stored bars."""
    return bar_store(database)


def signal_store(database: Database) -> SignalStore:
    """Signals in the database."""
    from quaestor.doors.postgres.signals import SignalStore

    return SignalStore(database)


def live_store(database: Database) -> LiveStore:
    """Live runs in the database."""
    from quaestor.doors.postgres.live import LiveStore

    return LiveStore(database)


def trigger_store(database: Database) -> TriggerStore:
    """Triggers in the database."""
    from quaestor.doors.postgres.triggers import TriggerStore

    return TriggerStore(database)
