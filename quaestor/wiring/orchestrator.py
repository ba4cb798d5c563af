"""Prefect, seen from outside: the server and worker of this machine, its API over plain HTTP, its blocks."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from quaestor.errors import PartMissing
from quaestor.wiring.configuration import ROOT, Loaded
from quaestor.wiring.vaults import shareable

if TYPE_CHECKING:
    from quaestor.doors.prefect_api import PrefectApi
    from quaestor.doors.prefect_local import LocalPrefect


def local_prefect(loaded: Loaded) -> LocalPrefect:
    """The server and worker that `up` starts."""
    from quaestor.doors.prefect_local import LocalPrefect

    prefect = loaded.config.prefect
    return LocalPrefect(loaded.home, ROOT, prefect.port, pool=prefect.work_pool)


def prefect_api(loaded: Loaded) -> PrefectApi:
    """The Prefect server: PREFECT_API_URL where it is set, else the one that `up` started for this data folder.

    Raises PartMissing without either: another folder's server would run its own account.
    """
    from quaestor.doors.prefect_api import PrefectApi

    url = os.environ.get("PREFECT_API_URL") or local_prefect(loaded).url
    return PrefectApi(url, os.environ.get("PREFECT_API_AUTH_STRING", ""))


def metadata_url(loaded: Loaded) -> str:
    """Where the local Prefect server keeps its metadata, as it wants to be told; "" for SQLite.

    Raises PartMissing for a PostgreSQL without pg_trgm: Prefect's migrations would fail half-way.
    """
    url = loaded.config.prefect.database_url
    if not url:
        return ""
    from quaestor.doors.postgres.database import shown, with_password
    from quaestor.doors.postgres.reads import Reads

    with Reads(with_password(url, None), loaded.config.account.alias) as door:
        if not (door.row("server") or {}).get("pg_trgm"):
            raise PartMissing(
                f"The database at {shown(url)} has no extension pg_trgm, which Prefect needs. Install PostgreSQL's "
                "contrib package there, or leave [prefect] database_url empty: SQLite serves one machine."
            )
    return with_password(url, None).replace("postgresql://", "postgresql+asyncpg://", 1)


def block_differences(loaded: Loaded, api: PrefectApi) -> list[str]:
    """Where the server's blocks say something else than the configuration; empty when they agree."""
    from quaestor.forms import NAME, differences, forms

    wanted = forms(shareable(loaded), loaded.home, loaded.resolve("."))
    return [
        f"{slug} {difference}"
        for slug, form in wanted.items()
        for difference in differences(form, api.block_data(slug, NAME))
    ]
