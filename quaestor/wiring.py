"""Wiring: the composition root. It finds the one configuration, opens doors and hands them to operations.

Used by the blocks' `open()`, the console and whatever runs outside Prefect; nothing else joins doors to operations.
Everything heavy is imported when it is needed: `quaestor status` must stay cheap.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from quaestor.config import (
    AlpacaSection,
    Config,
    MarketSection,
    QualitySection,
    RiskSection,
    RobinhoodSection,
    StrategiesSection,
    StrategyUse,
    digest,
    line_of,
    parse,
)
from quaestor.errors import BadConfig, BadInput, NotFound, PartMissing
from quaestor.exchange import Costs
from quaestor.symbols import Symbology

if TYPE_CHECKING:
    from quaestor.doors.http import Carrier
    from quaestor.doors.legacy_sqlite import LegacyFile
    from quaestor.doors.postgres.database import Database
    from quaestor.doors.postgres.embedded import EmbeddedServer
    from quaestor.doors.postgres.reads import Reads
    from quaestor.doors.prefect_api import PrefectApi
    from quaestor.doors.prefect_local import LocalPrefect
    from quaestor.doors.usage import Usage
    from quaestor.operations.decide import Mandate
    from quaestor.operations.ingest import Intake
    from quaestor.operations.report import Reported
    from quaestor.operations.trade import Floor
    from quaestor.ports import Alerts, BarStore, LegacyStore, Quotes, Run, SignalStore, Source, Vault
    from quaestor.strategies.catalogue import Built, Catalogue

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

    def place(self, key: list[str]) -> str:
        """Where a key stands, as `quaestor.toml:7`; the key itself where there is no file."""
        if self.path is None:
            return ".".join(key)
        return f"{self.path}:{line_of(key, self.path.read_text(encoding='utf-8'))}"


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
    _check_reach(config)
    return Loaded(config, found, data)


def _check_reach(config: Config) -> None:
    """Raises BadConfig where workers of another machine would look for the embedded database on their own."""
    if config.prefect.scales_away and not config.database.url:
        raise BadConfig(
            f"[prefect] task_runner_address names another machine ({config.prefect.task_runner_address}), which cannot"
            " reach the embedded database. Set [database] url to a server's, or name a cluster on 127.0.0.1."
        )


TASK_RUNNERS = {"dask": "prefect_dask", "ray": "prefect_ray"}  # in which package Prefect has each


def require_task_runner(kind: str) -> None:
    """Raises PartMissing where the package of a configured task runner is not installed."""
    if kind in TASK_RUNNERS and find_spec(TASK_RUNNERS[kind]) is None:
        raise PartMissing(
            f"task_runner = {kind!r} needs a package that is not installed. In the checkout, run"
            f" `pip install -c constraints.txt -e '.[{kind}]'`, or set [prefect] task_runner = 'threads'."
        )


# ── doors ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


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


def source(kind: str, folder: str | Path = "") -> Source:
    """Where history comes from, where no vendor is asked: `recorded` or `files`."""
    market = MarketSection.model_validate({"source": kind, "folder": str(folder)})
    return market_source(market, folder)


def market_source(
    market: MarketSection,
    folder: str | Path = "",
    alpaca: AlpacaSection | None = None,
    robinhood: RobinhoodSection | None = None,
    vault: Vault | None = None,
) -> Source:
    """Where history comes from; secrets of vendors are fetched out of `vault` at each call."""
    match market.source:
        case "recorded":
            from quaestor.doors.recorded import RecordedSource

            return RecordedSource()
        case "files":
            from quaestor.doors.files import FileSource

            return FileSource(Path(folder), Symbology("The folder", aliases=market.aliases))
        case "alpaca":
            return _alpaca(alpaca or AlpacaSection(), market.aliases, _secrets(vault))
    return _robinhood(robinhood or RobinhoodSection(), market.aliases, _secrets(vault))


def _secrets(vault: Vault | None) -> Callable[[str], str]:
    def value(name: str) -> str:
        if vault is None:
            raise BadConfig(f"The secret {name!r} is asked for, but no data folder with a vault is named.")
        return vault.get(name).value

    return value


@lru_cache(maxsize=8)
def _carrier(
    vendor: str, host: str, secrets: tuple[str, ...], base_url: str, in_flight: int, per_second: float
) -> Carrier:
    """One for all who ask a vendor from this process: they share its threads, and its rate is theirs together."""
    from quaestor.doors import http

    return http.Carrier(vendor, [host], secrets=secrets, base_url=base_url, in_flight=in_flight, per_second=per_second)


def _alpaca(said: AlpacaSection, aliases: Mapping[str, str], secret: Callable[[str], str]) -> Source:
    from quaestor.doors import alpaca
    from quaestor.ports import Capabilities

    names, per_second = (said.key_secret, said.secret_secret), said.requests_per_minute / 60
    carrier = _carrier("Alpaca", alpaca.HOST, names, said.base_url, said.in_flight, per_second)
    return alpaca.AlpacaSource(
        carrier,
        lambda: (secret(names[0]), secret(names[1])),
        feed=said.feed,
        base_url=said.base_url,
        capabilities=Capabilities(tuple(alpaca.FRAMES), alpaca.PAGE, per_second, said.in_flight, beside=1),
        symbology=Symbology("Alpaca", aliases=aliases),
    )


def _robinhood(said: RobinhoodSection, aliases: Mapping[str, str], secret: Callable[[str], str]) -> Source:
    from quaestor.doors import robinhood
    from quaestor.ports import Capabilities

    name, per_second = said.access_token_secret, said.requests_per_minute / 60
    names = (name,) if name else ()
    carrier = _carrier("Robinhood", robinhood.HOST, names, said.base_url, said.in_flight, per_second)
    return robinhood.RobinhoodSource(
        carrier,
        lambda: secret(name) if name else "",
        capabilities=Capabilities(tuple(robinhood.PAIRS), robinhood.MOST, per_second, said.in_flight, beside=2),
        symbology=Symbology("Robinhood", aliases=aliases),
    )


def vault(home: Path, *, use_keyring: bool = False) -> Vault:
    """The local vault."""
    from quaestor.doors.vault_local import LocalVault

    return LocalVault(home, use_keyring=use_keyring)


def intake(
    source: Source,
    database: Database,
    told: Alerts,
    gate: QualitySection | None = None,
    flow_run_id: str | None = None,
) -> Intake:
    """All that an ingest needs."""
    from quaestor.operations.ingest import Intake
    from quaestor.quality import Limits

    chosen = (gate or QualitySection()).model_dump()
    extended = chosen.pop("extended_hours")
    limits, now = Limits(**chosen), lambda: dt.datetime.now(dt.UTC)
    return Intake(source, bar_store(database), told, now, limits, extended=extended, flow_run_id=flow_run_id)


def alerts(home: Path, file: str = "", console: bool = True) -> Alerts:
    """Alerts on the console and, where `file` is named, in that file of the data folder."""
    from quaestor.doors.alerts import LocalAlerts

    return LocalAlerts(home / file if file else None, console=console)


def quotes(database: Database) -> Quotes:
    """Prices out of the stored bars."""
    return bar_store(database)


def paper_broker(database: Database, alias: str, costs: Costs, faults: Decimal = Decimal(0), seed: int = 0) -> Any:
    """The paper broker over the stored bars; it is a `ports.Broker` and a `ports.ReplayMarket`.

    `faults` is the share of calls that go wrong on the way to it, as `seed` draws them.
    """
    from quaestor.doors.postgres.paper import PaperBroker

    broker = PaperBroker(database, alias, quotes(database), costs)
    if not faults:
        return broker
    from quaestor.doors.faulty import FaultyMarket
    from quaestor.faults import Seeded

    return FaultyMarket(broker, Seeded(float(faults), seed), asyncio.sleep)


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
    place: Callable[[list[str]], str] = ".".join,
) -> Plan:
    """Find and build the chosen strategies, and write the mandate that trades them over `symbols`.

    Raises BadConfig for an unknown strategy or a parameter that cannot be used; `place` says where a key stands.
    """
    from quaestor.doors import strategy_folder
    from quaestor.operations.decide import Mandate
    from quaestor.strategies.catalogue import Catalogue

    catalogue = Catalogue(strategy_folder.read(folder))
    built = tuple(_build(catalogue, n, use, place) for n, use in enumerate(chosen.use))
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


def _build(catalogue: Catalogue, number: int, use: StrategyUse, place: Callable[[list[str]], str]) -> Built:
    """The strategy of the n-th `[[strategies.use]]`."""
    from quaestor.strategies.catalogue import BadParameter

    key = ["strategies", "use", str(number)]
    try:
        catalogue.definition(use.name)
    except NotFound as error:
        raise BadConfig(f"{place([*key, 'name'])}: {error}") from error
    try:
        return catalogue.build(use.name, use.parameters)
    except BadInput as error:
        named = [error.parameter] if isinstance(error, BadParameter) else []
        raise BadConfig(f"{place([*key, 'parameters', *named])}: {error}") from error


def run_info(flow_run_id: str | None, config_digest: str) -> Run:
    """Who acts, for provenance."""
    from quaestor.doors.code import commit
    from quaestor.ports import Run

    return Run(flow_run_id, commit(), config_digest)


def floor(database: Database, account: str, broker: Any, told: Alerts) -> Floor:
    """All doors of a trading session."""
    from quaestor.doors.postgres.activity import ActivityStore
    from quaestor.doors.postgres.books import BookStore
    from quaestor.doors.postgres.control import ControlStore, LeaseStore
    from quaestor.doors.switch import Switch
    from quaestor.operations.trade import Floor

    return Floor(
        books=BookStore(database, account),
        activity=ActivityStore(database, account),
        signals=signal_store(database),
        quotes=quotes(database),
        leases=LeaseStore(database),
        control=Switch(ControlStore(database), home()),
        alerts=told,
        broker=broker,
        market=broker,
    )


# ── the configured parts: what the console and everything outside Prefect uses ────────────────────────────────────────


DATABASE_PASSWORD = "database-password"  # noqa: S105  # the secret's name in the vault


def shareable(loaded: Loaded) -> Config:
    """The configuration as blocks may hold it: the name of the database's password in the place of the password."""
    from quaestor.doors.postgres.database import without_password

    url, password = without_password(loaded.config.database.url)
    if password is None:
        return loaded.config
    database = loaded.config.database.model_copy(update={"url": url, "password_secret": DATABASE_PASSWORD})
    return loaded.config.model_copy(update={"database": database})


def keep_password(loaded: Loaded) -> None:
    """Put a password that stands in the database's URL into the vault, where `shareable` says it is."""
    from quaestor.doors.postgres.database import without_password

    _, password = without_password(loaded.config.database.url)
    if password is not None:
        configured_vault(loaded).set(DATABASE_PASSWORD, password)


def configured_vault(loaded: Loaded) -> Vault:
    """The configured vault."""
    return vault(loaded.home, use_keyring=loaded.config.vault.key == "keyring")


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


@asynccontextmanager
async def configured_floor(loaded: Loaded, *, create: bool = True) -> AsyncIterator[Floor]:
    """All doors of a trading session, open; `create` as for `configured_database`."""
    config = loaded.config
    async with configured_database(loaded, create=create) as database:
        paper = config.paper
        broker = paper_broker(database, config.account.alias, paper.costs, paper.faults, paper.faults_seed)
        yield floor(database, config.account.alias, broker, configured_alerts(loaded))


def stops(loaded: Loaded, door: Reads) -> list[dict[str, Any]]:
    """What stops entries now: latches in the database, and a halt that is only in its file."""
    from quaestor.doors.switch import in_file

    found: list[dict[str, Any]] = door.rows("latches")
    halt = in_file(loaded.home, loaded.config.account.alias)
    if halt is not None and not any(row["name"] == halt.name for row in found):
        found.insert(0, {"name": halt.name, "reason": halt.reason, "set_at": halt.set_at})
    return found


def halt_without_database(loaded: Loaded, reason: str) -> Path:
    """Latch the kill switch where the database is away: its file."""
    from quaestor.doors.switch import write

    return write(loaded.home, loaded.config.account.alias, reason)


def configured_alerts(loaded: Loaded) -> Alerts:
    """How a person is told, as configured."""
    return alerts(loaded.home, loaded.config.alerts.file, loaded.config.alerts.console)


def configured_source(loaded: Loaded) -> Source:
    """The configured source of history."""
    config, market = loaded.config, loaded.config.market
    folder = loaded.resolve(market.folder) if market.folder else ""
    return market_source(market, folder, config.alpaca, config.robinhood, configured_vault(loaded))


def fed_by(loaded: Loaded, source: str | None) -> Loaded:
    """The same configuration with another source of history; None: the configured one."""
    if source is None:
        return loaded
    market = loaded.config.market.model_dump() | {"source": source}
    try:
        section = MarketSection.model_validate(market)
    except ValidationError as error:
        why = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise BadConfig(f"The source {source!r} cannot be used: {why}. Configure it under [market].") from error
    return replace(loaded, config=loaded.config.model_copy(update={"market": section}))


def configured_plan(loaded: Loaded) -> Plan:
    """What the configured account trades."""
    config = loaded.config
    folder = loaded.resolve(config.strategies.folder) if config.strategies.folder else None
    account, symbols = config.account, config.market.symbols
    return plan(account.alias, account.cash, symbols, config.strategies, folder, config.risk, loaded.place)


def bar_store(database: Database) -> BarStore:
    """Bars in the database."""
    from quaestor.doors.postgres.bars import BarStore

    return BarStore(database)


def signal_store(database: Database) -> SignalStore:
    """Signals in the database."""
    from quaestor.doors.postgres.signals import SignalStore

    return SignalStore(database)


# ── an old bot's books ────────────────────────────────────────────────────────────────────────────────────────────────


def legacy_file(loaded: Loaded, path: Path) -> LegacyFile:
    """A bot's SQLite database, to be entered with `with`: it is read from a copy in the data folder."""
    from quaestor.doors.legacy_sqlite import LegacyFile
    from quaestor.doors.postgres.cluster import Cluster

    return LegacyFile(path, loaded.home, Cluster(loaded.home).make_home)


def legacy_store(database: Database) -> LegacyStore:
    """Where an old bot's history is kept."""
    from quaestor.doors.postgres.legacy import LegacyStore

    return LegacyStore(database, bar_store)


# ── Prefect, seen from outside ────────────────────────────────────────────────────────────────────────────────────────


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


def usage(pids: Sequence[int]) -> Usage:
    """CPU seconds and memory of these processes and their descendants."""
    from quaestor.doors.usage import sample

    return sample(pids)


# ── reports ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def write_report(
    database: Database, account: str, home: Path, start: dt.date | None, end: dt.date | None, flow_run_id: str | None
) -> Reported:
    """Write the devlog and its pictures of the settled sessions in [start, end] into the data folder's `reports`."""
    os.environ.setdefault("MPLCONFIGDIR", str(home / "cache" / "matplotlib"))  # else its font list goes to ~/.cache
    from quaestor.doors.folder import Folder
    from quaestor.doors.postgres.evidence import EvidenceStore
    from quaestor.operations.report import report

    return await report(EvidenceStore(database, account), Folder(home / "reports"), start, end, flow_run_id)
