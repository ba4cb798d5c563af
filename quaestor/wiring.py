"""Wiring: the composition root. It finds the one configuration, opens doors and hands them to operations.

Used by the blocks' `open()`, the console and whatever runs outside Prefect; nothing else joins doors to operations.
Everything heavy is imported when it is needed: `quaestor status` must stay cheap.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quaestor.config import Config, RiskSection, StrategiesSection, digest, parse
from quaestor.errors import BadConfig
from quaestor.exchange import Costs

if TYPE_CHECKING:
    from quaestor.doors.postgres.database import Database
    from quaestor.operations.decide import Mandate
    from quaestor.operations.trade import Floor
    from quaestor.ports import Alerts, Quotes, Run, Source, Vault
    from quaestor.strategies.catalogue import Built

ROOT = Path(__file__).resolve().parents[1]  # the checkout (or the image's folder): flows, prefect.yaml
FILE = "quaestor.toml"


# ── configuration ─────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Loaded:
    """The configuration and where it came from (None: defaults)."""

    config: Config
    path: Path | None
    home: Path

    def resolve(self, folder: str) -> Path:
        """A folder named in the file, relative to the file (or to the checkout)."""
        base = self.path.parent if self.path is not None else ROOT
        return (base / folder).resolve()


def home() -> Path:
    """Where data lives: QUAESTOR_HOME, or the default of the embedded server."""
    from quaestor.doors.postgres.embedded import default_home

    told = os.environ.get("QUAESTOR_HOME")
    return Path(told).expanduser().resolve() if told else default_home()


def load() -> Loaded:
    """QUAESTOR_CONFIG, else quaestor.toml in the data folder, else in the checkout, else defaults.

    QUAESTOR_DATABASE_URL wins over the file. Raises BadConfig with file, line and cure.
    """
    data = home()
    told = os.environ.get("QUAESTOR_CONFIG")
    if told and not Path(told).is_file():
        raise BadConfig(f"QUAESTOR_CONFIG names {told}, which is not a file; correct or unset it.")
    found = next((p for p in (*([Path(told)] if told else []), data / FILE, ROOT / FILE) if p.is_file()), None)
    config = parse(found.read_text(encoding="utf-8"), str(found)) if found else Config()
    if url := os.environ.get("QUAESTOR_DATABASE_URL"):
        config = config.model_copy(update={"database": config.database.model_copy(update={"url": url})})
    return Loaded(config, found, data)


# ── doors ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def open_database(home: Path, url: str = "", password: str | None = None) -> Database:
    """A database door, to be entered with `async with`: the server at `url`, else the embedded one in `home`."""
    from quaestor.doors.postgres.database import Database

    if url:
        return Database(with_password(url, password))
    from quaestor.doors.postgres.embedded import EmbeddedServer

    server = EmbeddedServer(home)
    return Database(server.acquire(), server.release)


def with_password(url: str, password: str | None) -> str:
    """The URL with the password put in; refused when it is not a PostgreSQL URL."""
    from urllib.parse import quote, urlsplit, urlunsplit

    parts = urlsplit(url)
    if parts.scheme not in {"postgresql", "postgres"}:
        shown = f"{parts.scheme}://…" if parts.scheme else repr(url)
        raise BadConfig(f"The database URL {shown} is not understood; write postgresql://USER:PASSWORD@HOST:PORT/NAME.")
    netloc = parts.netloc
    if password is not None:
        user = parts.username or ""
        netloc = f"{user}:{quote(password, safe='')}@{parts.netloc.rpartition('@')[2]}"
    return urlunsplit(("postgresql", netloc, parts.path, parts.query, ""))


def upgrade(uri: str) -> str:
    """Bring the database at this URI to the newest schema; the revision reached."""
    from quaestor.doors.postgres import migrate

    return migrate.upgrade(uri)


def source(kind: str, folder: str | Path = "") -> Source:
    """Where history comes from: `recorded` or `files`."""
    if kind == "recorded":
        from quaestor.doors.recorded import RecordedSource

        return RecordedSource()
    from quaestor.doors.files import FileSource

    return FileSource(Path(folder))


def vault(home: Path, *, use_keyring: bool = False) -> Vault:
    """The local vault."""
    from quaestor.doors.vault_local import LocalVault

    return LocalVault(home, use_keyring=use_keyring)


def alerts(home: Path, file: str = "", console: bool = True) -> Alerts:
    """Alerts on the console and, where `file` is named, in that file of the data folder."""
    from quaestor.doors.alerts import LocalAlerts

    return LocalAlerts(home / file if file else None, console=console)


def quotes(database: Database) -> Quotes:
    """Prices out of the stored bars."""
    from quaestor.doors.postgres.bars import BarStore

    return BarStore(database)


def paper_broker(database: Database, alias: str, costs: Costs) -> Any:
    """The paper broker over the stored bars; it is a `ports.Broker` and a `ports.ReplayMarket`."""
    from quaestor.doors.postgres.paper import PaperBroker

    return PaperBroker(database, alias, quotes(database), costs)


# ── what trades ───────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Plan:
    """What an account trades: its mandate, the strategies built, the digest of what decides."""

    mandate: Mandate
    built: tuple[Built, ...]
    digest: str


def plan(
    account: str,
    cash: Decimal,
    symbols: Sequence[str],
    chosen: StrategiesSection,
    folder: Path | None,
    risk: RiskSection,
) -> Plan:
    """Find and build the chosen strategies, and write the mandate that trades them over `symbols`."""
    from quaestor.doors import strategy_folder
    from quaestor.operations.decide import Mandate
    from quaestor.strategies.catalogue import Catalogue

    catalogue = Catalogue(strategy_folder.read(folder))
    built = tuple(catalogue.build(use.name, use.parameters) for use in chosen.use)
    mandate = Mandate(
        account=account,
        symbols=tuple(symbols),
        weights={use.name: use.weight for use in chosen.use},
        digests=tuple(b.digest for b in built),
        limits=risk,
        cash=cash,
        first_session=chosen.first_session,
    )
    named = {"account": account, "cash": cash, "symbols": list(symbols), "digests": mandate.digests}
    return Plan(mandate, built, digest({**named, "weights": mandate.weights, "risk": risk}))


def run_info(flow_run_id: str | None, config_digest: str) -> Run:
    """Who acts, for provenance."""
    from quaestor.doors.code import commit
    from quaestor.ports import Run

    return Run(flow_run_id, commit(), config_digest)


def floor(database: Database, account: str, broker: Any, told: Alerts) -> Floor:
    """All doors of a trading session."""
    from quaestor.doors.postgres.bars import BarStore
    from quaestor.doors.postgres.books import BookStore
    from quaestor.doors.postgres.control import ControlStore, LeaseStore
    from quaestor.doors.postgres.signals import SignalStore
    from quaestor.operations.trade import Floor

    return Floor(
        books=BookStore(database, account),
        signals=SignalStore(database),
        quotes=BarStore(database),
        leases=LeaseStore(database),
        control=ControlStore(database),
        alerts=told,
        broker=broker,
        market=broker,
    )
