"""Wiring: the composition root. It finds the one configuration, opens doors and hands them to operations.

Used by the blocks' `open()`, the console and whatever runs outside Prefect; nothing else joins doors to operations.
Everything heavy is imported when it is needed: `quaestor status` must stay cheap.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import shlex
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, suppress
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
    FeedSection,
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
from quaestor.errors import BadConfig, BadInput, NotFound, PartMissing, Permanent
from quaestor.exchange import Costs
from quaestor.symbols import Symbology

if TYPE_CHECKING:
    from quaestor.doors.http import Carrier
    from quaestor.doors.journal import JournalReader
    from quaestor.doors.legacy_sqlite import LegacyFile
    from quaestor.doors.postgres.database import Database
    from quaestor.doors.postgres.embedded import EmbeddedServer
    from quaestor.doors.postgres.reads import Reads
    from quaestor.doors.prefect_api import PrefectApi
    from quaestor.doors.prefect_local import LocalPrefect
    from quaestor.doors.runner_process import RunnerProcess
    from quaestor.doors.sim.streaming import StreamServer
    from quaestor.doors.telemetry import Telemetry
    from quaestor.doors.telemetry.sender import Sender, Sink
    from quaestor.doors.usage import Usage
    from quaestor.doors.web import Listener
    from quaestor.feeds import Hours, Liveness
    from quaestor.live.engine import Engine
    from quaestor.live.journaling import Entry
    from quaestor.operations.decide import Mandate
    from quaestor.operations.ingest import Intake
    from quaestor.operations.live.deck import Deck
    from quaestor.operations.live.deck import Plan as LivePlan
    from quaestor.operations.recordings import Shelf
    from quaestor.operations.report import Reported
    from quaestor.operations.session import Floor
    from quaestor.ports import Alerts, BarStore, LegacyStore, Quotes, Run, SignalStore, Source, Vault
    from quaestor.ports_live import Dialect, Feed, LiveStore, QuotePoll, TriggerStore
    from quaestor.spans import Told, Value
    from quaestor.strategies.catalogue import Built, Catalogue
    from quaestor.ticks import Tick

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

    QUAESTOR_DATABASE_URL wins over the file, and so does QUAESTOR_DATABASE_PASSWORD_SECRET, which names the secret that
    completes it. Raises BadConfig with file, line and cure.
    """
    data = home()
    named = os.environ.get("QUAESTOR_CONFIG")
    if named and not Path(named).is_file():
        raise BadConfig(f"QUAESTOR_CONFIG names {named}, which is not a file; correct or unset it.")
    found = next((p for p in (*([Path(named)] if named else []), data / FILE, ROOT / FILE) if p.is_file()), None)
    config = parse(found.read_text(encoding="utf-8"), str(found)) if found else Config()
    names = {"url": "QUAESTOR_DATABASE_URL", "password_secret": "QUAESTOR_DATABASE_PASSWORD_SECRET"}
    if told := {field: os.environ[name] for field, name in names.items() if os.environ.get(name)}:
        config = config.model_copy(update={"database": config.database.model_copy(update=told)})
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


def telemetry(loaded: Loaded, run: uuid.UUID, account: str, commit: str, began: int) -> Telemetry:
    """What a run that began then (ns) tells about itself, and where; by default nowhere. To be closed."""
    from quaestor.doors.telemetry import Telemetry, TraceFile
    from quaestor.doors.telemetry.lines import Lines

    said = loaded.config.telemetry
    about: dict[str, Value] = {"service.name": "quaestor", "service.version": commit}
    about |= {"service.instance.id": str(run), "quaestor.account": account}
    traces: dict[str, Sink[Told]] = {}
    figures: dict[str, Sink[tuple[int, dict[str, Any]]]] = {}
    if said.file:
        traces["file"] = TraceFile(Lines(loaded.home / said.file, said.file_bytes, said.files_kept), about)
    if said.otlp:
        from quaestor.doors.telemetry.otlp import MetricSink, TraceSink

        def headers() -> dict[str, str]:
            name = said.authorization_secret
            return {"authorization": vault(loaded.home).get(name).value} if name else {}

        traces["otlp"] = TraceSink(said.otlp.rstrip("/"), about, headers)
        figures["otlp metrics"] = MetricSink(said.otlp.rstrip("/"), about, began, headers)
    return Telemetry(traces, figures, sample=said.sample, every=said.every * 10**9)


def logs(loaded: Loaded, *, console: bool = True) -> AbstractContextManager[Sender[str] | None]:
    """Write logs as the configuration says, while it is entered; `quaestor.logs.within` says whose they are."""
    from quaestor.doors.telemetry.logs import logging_to

    said = loaded.config.telemetry
    file = loaded.home / said.log_file if said.log_file else None
    return logging_to(file, level=said.log_level, most=said.file_bytes, keep=said.files_kept, console=console)


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

    @property
    def daily(self) -> tuple[Built, ...]:
        """Those that are asked once a session; the others follow the live run's bars."""
        return tuple(each for each in self.built if not each.is_live)


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
        digests=tuple(b.digest for b in built if not b.is_live),
        limits=risk,
        cash=cash,
        first_session=chosen.first_session,
        live=frozenset(b.name for b in built if b.is_live),
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


def holder(role: str) -> str:
    """This process as who takes a lease."""
    from quaestor.doors.holder import me

    return me(role)


def floor(database: Database, account: str, broker: Any, told: Alerts) -> Floor:
    """All doors of a trading session."""
    from quaestor.doors.holder import gone
    from quaestor.doors.postgres.activity import ActivityStore
    from quaestor.doors.postgres.books import BookStore
    from quaestor.doors.postgres.control import ControlStore, LeaseStore
    from quaestor.doors.switch import Switch
    from quaestor.operations.session import Floor

    return Floor(
        books=BookStore(database, account),
        activity=ActivityStore(database, account),
        signals=signal_store(database),
        quotes=quotes(database),
        leases=LeaseStore(database, gone=gone),
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


def catalogue(loaded: Loaded) -> Catalogue:
    """All strategies that can be named: the built-in ones, and those of the configured folder."""
    from quaestor.doors import strategy_folder
    from quaestor.strategies.catalogue import Catalogue

    named = loaded.config.strategies.folder
    return Catalogue(strategy_folder.read(loaded.resolve(named) if named else None))


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


# ── live runs ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def live_store(database: Database) -> LiveStore:
    """Live runs in the database."""
    from quaestor.doors.postgres.live import LiveStore

    return LiveStore(database)


def trigger_store(database: Database) -> TriggerStore:
    """Triggers in the database."""
    from quaestor.doors.postgres.triggers import TriggerStore

    return TriggerStore(database)


def journals_folder(loaded: Loaded) -> Path:
    """Where journals of live runs are, a folder for each."""
    return loaded.home / "journals"


def journal_folder(loaded: Loaded, run: str) -> Path:
    """The journal of a run: by its id, the beginning of it, `last`, or a path."""
    from quaestor.doors.journal import find

    return find(journals_folder(loaded), run)


def journals_of(home: Path, day: dt.date) -> list[Path]:
    """Journals that were last written on that day, New York's, in that order."""
    from quaestor.calendar import NEW_YORK
    from quaestor.doors.journal import folders, written

    return [path for path in folders(home / "journals") if written(path).astimezone(NEW_YORK).date() == day]


def journal(folder: Path) -> JournalReader:
    """A run's journal, to be read."""
    from quaestor.doors.journal import JournalReader

    return JournalReader(folder)


def tidy_journals(home: Path, folders: Sequence[Path], keep_days: int) -> int:
    """Pack these journals, and remove those that were last written longer ago than so many days (0: none); bytes freed.

    What cannot be read is left as it is: a person will want to see it.
    """
    from quaestor.doors.journal import forget, pack

    freed = 0
    for folder in folders:
        with suppress(Permanent):
            freed += pack(folder)
    before = dt.datetime.now(dt.UTC) - dt.timedelta(days=keep_days)
    return freed + (forget(home / "journals", before) if keep_days else 0)


def live_engine(strategies: Path | None) -> Callable[[], Engine]:
    """Fresh engines, with the built-in strategies and those of a folder."""
    from quaestor.doors import strategy_folder
    from quaestor.live.engine import Engine
    from quaestor.strategies.catalogue import Catalogue

    found = Catalogue(strategy_folder.read(strategies))
    return lambda: Engine(found.build)


def configured_engine(loaded: Loaded) -> Callable[[], Engine]:
    """Fresh engines, with the strategies that the configuration knows."""
    named = loaded.config.strategies.folder
    return live_engine(loaded.resolve(named) if named else None)


@asynccontextmanager
async def live_deck(
    loaded: Loaded, run: uuid.UUID, now: Callable[[], int], *, feed_url: str = ""
) -> AsyncIterator[tuple[Deck, LivePlan]]:
    """All doors of a live run, open, and what it trades; `now` is its clock, `feed_url` in the place of the configured.

    Raises BadConfig, PartMissing.
    """
    from quaestor.doors.journal import JournalWriter
    from quaestor.operations.live.deck import Deck

    config = loaded.config
    plan = live_plan(loaded)
    async with configured_database(loaded) as database:
        broker = live_paper_broker(database, loaded, now)
        told = configured_alerts(loaded)
        journal = JournalWriter(journals_folder(loaded) / str(run), run)
        telling = telemetry(loaded, run, config.account.alias, plan.commit, now())
        deck = Deck(
            floor=floor(database, config.account.alias, broker, told),
            live=live_store(database),
            triggers=trigger_store(database),
            feed=live_feed(loaded, now, feed_url, database),
            journal=journal,
            find=catalogue(loaded).build,
            settings=config.live,
            now=now,
            skew=lambda: _skew(database),
            start_flow=lambda name, key: _start_flow(loaded, name, key),
            reread=Reread(loaded),
            tail=lambda before, after: _tail(loaded, before, after),
            telemetry=telling,
            source=configured_source(loaded) if config.live.fill_gaps else None,
            bars=bar_store(database),
            paper=broker,
            liveness=liveness(loaded, plan.mandate.symbols),
            calm=config.feed.calm,
            most=config.feed.most,
        )
        try:
            yield deck, plan
        finally:
            await asyncio.to_thread(telling.close)


def live_plan(loaded: Loaded) -> LivePlan:
    """What a live run trades, as configured now."""
    from quaestor.doors.code import commit
    from quaestor.operations.live.deck import Plan as LivePlan

    plan = configured_plan(loaded)
    return LivePlan(plan.mandate, plan.built, commit(), plan.digest)


def feed(
    loaded: Loaded,
    now: Callable[[], int],
    hours: Hours | None = None,
    *,
    database: Database | None = None,
    poll: QuotePoll | None = None,
) -> Feed:
    """The configured feed. now: the run's clock; hours: when silence is a fault; database: open, for a replay of what
    is stored; poll: the broker's quotes, for kind = 'poll'.

    Raises BadConfig where none is configured, or a part of it is missing; NotFound for a key that is not in the vault.
    """
    from quaestor.feeds import Liveness

    said = loaded.config.feed
    channels = tuple(name for name in ("trades", "quotes") if getattr(said, name))
    watch = Liveness(hours=hours or feed_hours(loaded))

    def due() -> bool:
        return watch.open(now())

    match said.kind:
        case "replay":
            return _replay(loaded, now, channels, database)
        case "poll" if poll is not None:
            from quaestor.doors.polling import PollingFeed

            return PollingFeed(poll, channels=channels, every=said.every, due=due)
        case "poll":
            raise BadConfig(f"{loaded.place(['feed', 'kind'])}: this broker has no quotes to ask for; choose another.")
        case "none":
            raise BadConfig(f"{loaded.place(['feed'])}: no feed is configured; say its kind under [feed].")
        case "alpaca-py":
            from quaestor.doors.alpaca_stream_fallback import AlpacaStreamFallback

            return AlpacaStreamFallback(
                *_stream_keys(loaded),
                feed=said.data,
                url=said.url,
                channels=channels,
                silence=said.mute,
                due=due,
                symbology=Symbology("Alpaca", aliases=loaded.config.market.aliases),
            )
    from quaestor.doors.streaming import Stream, Timing

    return Stream(_dialect(loaded, now), channels=channels, due=due, timing=Timing(data=said.mute))


def feed_hours(loaded: Loaded) -> Hours:
    """When the configured feed's silence is a fault."""
    from quaestor import feeds

    said = loaded.config.feed
    return feeds.always if said.kind == "kraken" else getattr(feeds, said.hours)


def liveness(loaded: Loaded, symbols: Sequence[str]) -> Liveness:
    """What tells of the configured feed's silence, and of its symbols'."""
    from quaestor.feeds import Liveness
    from quaestor.ticks import SECOND

    said = loaded.config.feed
    limits = {"mute": round(said.mute * SECOND), "stale": round(said.stale * SECOND)}
    return Liveness(symbols, hours=feed_hours(loaded), **limits)


def _dialect(loaded: Loaded, now: Callable[[], int]) -> Dialect:
    said, aliases = loaded.config.feed, loaded.config.market.aliases
    if said.kind == "kraken":
        from quaestor.doors.kraken_stream import Kraken

        return Kraken(url=said.url, aliases=aliases, now=now)
    from quaestor.doors.alpaca_stream import Alpaca

    names = Symbology("Alpaca", aliases=aliases)
    return Alpaca(*_stream_keys(loaded), feed=said.data, url=said.url, symbology=names)


def _stream_keys(loaded: Loaded) -> tuple[str, str]:
    """Alpaca's key and its secret; a protocol server on this machine takes any where the vault has none."""
    said, keys = loaded.config.alpaca, configured_vault(loaded)
    if loaded.config.feed.url.startswith("ws://") and not {said.key_secret, said.secret_secret} <= set(keys.names()):
        return "any", "any"
    return keys.get(said.key_secret).value, keys.get(said.secret_secret).value


def _replay(loaded: Loaded, now: Callable[[], int], channels: Sequence[str], database: Database | None) -> Feed:
    from quaestor import calendar
    from quaestor.doors.replay_feed import ReplayFeed
    from quaestor.operations.recordings import Played, recording

    said = loaded.config.feed
    if said.recording != "recorded" and database is None:
        raise BadConfig(f"{loaded.place(['feed', 'recording'])}: {said.recording!r} needs the database open.")
    day = dt.datetime.fromtimestamp(now() // 10**9, calendar.NEW_YORK).date()
    played = Played(said.recording, loaded.config.market.symbols, day, said.session, spread=said.spread)
    ticks = recording(recordings(database), played)
    return ReplayFeed(ticks, channels=channels, clock=now, speed=said.speed or None, begins=now())


def recordings(database: Database | None) -> Shelf:
    """What can be replayed: recorded daily prices, and what the database has, where it is open."""
    from quaestor.operations.recordings import Shelf

    if database is None:
        return Shelf(source("recorded"))
    from quaestor.doors.postgres.ticks import TickStore

    return Shelf(source("recorded"), bar_store(database), TickStore(database))


def live_feed(loaded: Loaded, now: Callable[[], int], url: str = "", database: Database | None = None) -> Feed | None:
    """The configured feed; None where none is. `url`: in the place of the configured address."""
    said = loaded.config.feed
    if said.kind == "none":
        return None
    if url:
        loaded = fed_at(loaded, url)
    return feed(loaded, now, database=database)


def stream_server(
    vendor: str, ticks: Sequence[Tick], *, symbols: Sequence[str], rate: float, clock: Callable[[], int]
) -> StreamServer:
    """A vendor's stream on this machine: so many ticks a second, stamped by the clock; rate 0: each at its time."""
    if vendor == "kraken":
        from quaestor.doors.sim.kraken_stream import KrakenStreamServer

        return KrakenStreamServer(ticks, symbols=symbols, rate=rate, clock=clock, by_time=not rate)
    from quaestor.doors.sim.alpaca_stream import AlpacaStreamServer

    return AlpacaStreamServer(ticks, keys=None, rate=rate, clock=clock, by_time=not rate)


def made_up(symbols: Sequence[str]) -> Sequence[Tick]:
    """Ticks without an end."""
    from quaestor.doors.sim.streaming import Synthetic

    return Synthetic(symbols, 10**12)


def fed_at(loaded: Loaded, url: str) -> Loaded:
    """The same configuration with another address of the feed."""
    try:
        section = FeedSection.model_validate(loaded.config.feed.model_dump() | {"url": url})
    except ValidationError as error:
        why = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise BadConfig(f"The feed cannot be at {url!r}: {why}.") from error
    return replace(loaded, config=loaded.config.model_copy(update={"feed": section}))


class Reread:
    """The plan as configured now; None while the file is as it was when it was asked last."""

    def __init__(self, loaded: Loaded) -> None:
        self._loaded, self._seen = loaded, self._stamp(loaded.path)

    def __call__(self) -> LivePlan | None:
        """Raises BadConfig, once for each change that cannot be used."""
        stamp = self._stamp(self._loaded.path)
        if stamp == self._seen:
            return None
        self._seen = stamp
        return live_plan(load())

    @staticmethod
    def _stamp(path: Path | None) -> tuple[int, int]:
        try:
            found = path.stat() if path is not None else None
        except OSError:
            return 0, 0
        return (found.st_mtime_ns, found.st_size) if found is not None else (0, 0)


def live_paper_broker(database: Database, loaded: Loaded, now: Callable[[], int]) -> Any:
    """The paper broker of a live market: it fills by the quotes that it is shown."""
    from quaestor.doors.postgres.paper import PaperBroker
    from quaestor.live.standing import instant

    config = loaded.config
    return PaperBroker(
        database, config.account.alias, quotes(database), config.paper.costs, clock=lambda: instant(now())
    )


def _tail(loaded: Loaded, run: uuid.UUID, after: int) -> Iterable[Entry]:
    """What a run's journal has after so many events; nothing where there is none."""
    from quaestor.doors.journal import JournalReader

    folder = journals_folder(loaded) / str(run)
    return JournalReader(folder).entries(after) if folder.is_dir() else ()


async def _skew(database: Database) -> Decimal:
    """Seconds by which this machine's clock is ahead of the database's: half of the way there counts for nothing."""
    began = time.time()
    (row,) = await database.fetch(b"select extract(epoch from clock_timestamp())::float8 as at")
    return Decimal(str(round((began + time.time()) / 2 - row["at"], 1)))  # a tenth: noise is no news


async def _start_flow(loaded: Loaded, deployment: str, key: str) -> None:
    await asyncio.to_thread(lambda: prefect_api(loaded).run_deployment(deployment, {}, idempotency_key=key))


def runner_process(home: Path, url: str = "", password_secret: str = "") -> RunnerProcess:
    """The live runner of this data folder as a process, on the books at `url`; empty: those it finds itself.

    QUAESTOR_LIVE_COMMAND is started instead of `quaestor live run` where it is set; options are added to it.
    """
    from quaestor.doors.runner_process import COMMAND, RunnerProcess

    books = {"QUAESTOR_DATABASE_URL": url, "QUAESTOR_DATABASE_PASSWORD_SECRET": password_secret}
    command = shlex.split(os.environ.get("QUAESTOR_LIVE_COMMAND", "")) or COMMAND
    return RunnerProcess(home, ROOT, command, {name: value for name, value in books.items() if value})


def local_runner(loaded: Loaded) -> RunnerProcess:
    """The live runner that a flow may have started on this machine."""
    return runner_process(loaded.home)


# ── the console over HTTP ─────────────────────────────────────────────────────────────────────────────────────────────


def listener(host: str, port: int) -> Listener:
    """A socket that listens there, and serves an app; port 0: a free one. Raises BadConfig."""
    from quaestor.doors.web import Listener

    return Listener(host, port)


def console_token(loaded: Loaded) -> tuple[str, Path]:
    """What a caller of the HTTP API must know, and the file where it stands; made where there is none."""
    from quaestor.doors import token_file

    return token_file.token(loaded.home), token_file.place(loaded.home)


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
