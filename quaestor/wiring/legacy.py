"""An old bot's books: read from a copy of its file, kept beside our own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from quaestor.wiring.configuration import Loaded
from quaestor.wiring.databases import bar_store

if TYPE_CHECKING:
    from quaestor.doors.legacy_sqlite import LegacyFile
    from quaestor.doors.postgres.database import Database
    from quaestor.ports import LegacyStore


def legacy_file(loaded: Loaded, path: Path) -> LegacyFile:
    """A bot's SQLite database, to be entered with `with`: it is read from a copy in the data folder."""
    from quaestor.doors.legacy_sqlite import LegacyFile
    from quaestor.doors.postgres.cluster import Cluster

    return LegacyFile(path, loaded.home, Cluster(loaded.home).make_home)


def legacy_store(database: Database) -> LegacyStore:
    """Where an old bot's history is kept."""
    from quaestor.doors.postgres.legacy import LegacyStore

    return LegacyStore(database, bar_store)
