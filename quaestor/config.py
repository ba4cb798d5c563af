"""The one configuration: `quaestor.toml` plus environment, validated; an unknown key is refused with its line.

This module only parses text; `wiring` finds the file and reads the environment.
"""

from __future__ import annotations

import datetime as dt
import difflib
import hashlib
import json
import re
import tomllib
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from quaestor.bars import SYMBOL
from quaestor.errors import BadConfig
from quaestor.exchange import Costs


def _exact(value: object) -> object:
    """TOML floats pass as the decimal a person typed."""
    return str(value) if isinstance(value, float) else value


Amount = Annotated[Decimal, BeforeValidator(_exact)]


class Section(BaseModel):
    """A table of the file: frozen, and closed to unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class AccountSection(Section):
    """Whose books these are."""

    alias: str = Field("paper", pattern=r"^[a-z][a-z0-9_-]{0,30}$", description="The account's name; never its number.")
    cash: Amount = Field(
        Decimal("100000.00"), gt=0, decimal_places=2, description="Opening deposit of a paper account, dollars."
    )


class DatabaseSection(Section):
    """Where the books are."""

    url: str = Field("", description="postgresql://… of a server; empty: the embedded one. QUAESTOR_DATABASE_URL wins.")
    password_secret: str = Field("", description="Name of the server's password in the vault, where the url has none.")
    keep: dict[Literal["1d", "1h", "5m", "1m"], int] = Field(
        default_factory=dict, description="Days that bars are kept, by timeframe; what is not named is kept for ever."
    )


class MarketSection(Section):
    """What is traded and where its prices come from."""

    source: Literal["recorded", "files", "alpaca", "robinhood"] = Field(
        "recorded",
        description="recorded: bokeh_sampledata; files: CSV/Parquet; alpaca, robinhood: their historical bars.",
    )
    folder: str = Field("", description="Folder of SYMBOL.csv or SYMBOL.parquet files, for source = 'files'.")
    symbols: tuple[str, ...] = Field(("AAPL", "FB", "GOOG", "IBM", "MSFT"), min_length=1, description="The universe.")
    aliases: dict[str, str] = Field(
        default_factory=dict, description="Our symbol = the source's name for it, where it follows no rule."
    )

    @model_validator(mode="after")
    def _folder_is_named(self) -> MarketSection:
        if self.source == "files" and not self.folder:
            raise ValueError("source = 'files' needs a folder")
        if self.source == "recorded" and self.aliases:
            raise ValueError("aliases need another source than 'recorded'")
        return self


def _safe(url: str) -> str:
    """Secrets are shown there: encrypted, or not off this machine; empty is the vendor's own address."""
    here = r"http://(127\.0\.0\.1|localhost|\[::1\])(:\d+)?"
    if url and not re.fullmatch(rf"(https://[^/@\s]+|{here})(/[^@\s]*)?", url):
        raise ValueError("write https://…, or http:// with an address of this machine")
    return url.rstrip("/")


class AlpacaSection(Section):
    """How Alpaca is asked, for source = 'alpaca'."""

    feed: Literal["iex", "sip"] = Field(
        "iex", description="iex: one exchange, free; sip: all of them, by subscription."
    )
    key_secret: str = Field("alpaca-key", min_length=1, description="Name of the API key in the vault.")
    secret_secret: str = Field("alpaca-secret", min_length=1, description="Name of the key's secret in the vault.")
    requests_per_minute: int = Field(200, gt=0, le=60_000, description="Requests a minute; the free plan allows 200.")
    in_flight: int = Field(8, gt=0, le=64, description="Symbols that are asked for at a time at Alpaca.")
    base_url: Annotated[str, AfterValidator(_safe)] = Field(
        "", description="Another address than https://data.alpaca.markets, such as a protocol server's; empty: that."
    )


class BrokerSection(Section):
    """Who gets the orders."""

    kind: Literal["paper", "robinhood", "robinhood-agentic", "robinhood-crypto"] = Field(
        "paper",
        description="paper: fills on recorded or live prices; robinhood: its private API; robinhood-agentic, "
        "robinhood-crypto: its official channels.",
    )


class RobinhoodSection(Section):
    """How Robinhood is asked, by source = 'robinhood' and by the broker 'robinhood'."""

    login: str = Field(
        "",
        pattern=r"^([a-z][a-z0-9-]{0,30})?$",
        description="Whose login: its secrets are rh-LOGIN-access and so on; empty: the account's alias.",
    )
    requests_per_minute: int = Field(
        120, gt=0, le=6_000, description="Requests a minute; Robinhood publishes no limit."
    )
    in_flight: int = Field(4, gt=0, le=64, description="Symbols that are asked for at a time at Robinhood.")
    order_spacing: float = Field(
        2.5, ge=0, le=60, description="Seconds between two new orders; exits and cancels go before entries."
    )
    timeout: float = Field(10.0, gt=0, le=60, description="Seconds that an answer is waited for.")
    approval_seconds: float = Field(
        180.0, ge=30, le=600, description="Seconds that a person has to approve a login on his phone."
    )
    refresh_at: str = Field(
        "20:30",
        pattern=r"^([01]\d|2[0-3]):[0-5]\d$",
        description="New York time from which a token past half of its life is changed, in the quiet before an open.",
    )
    order_form_version: int = Field(7, ge=2, description="What our orders say of their form; Robinhood raises it.")
    app_version: str = Field("1.431.4", description="What we show as X-Robinhood-API-Version.")
    base_url: Annotated[str, AfterValidator(_safe)] = Field(
        "", description="Another address than https://api.robinhood.com, such as a protocol server's; empty: that."
    )


class RobinhoodCryptoSection(Section):
    """How Robinhood's official Crypto Trading API is asked."""

    key_secret: str = Field("robinhood-crypto-key", min_length=1, description="Name of the API key in the vault.")
    private_key_secret: str = Field(
        "robinhood-crypto-private-key",
        min_length=1,
        description="Name of its Ed25519 private key, base64, in the vault.",
    )
    requests_per_minute: int = Field(100, gt=0, le=300, description="Requests a minute; Robinhood allows 100.")
    timeout: float = Field(10.0, gt=0, le=60, description="Seconds that an answer is waited for.")
    base_url: Annotated[str, AfterValidator(_safe)] = Field(
        "", description="Another address than https://trading.robinhood.com, such as a protocol server's; empty: that."
    )


class RobinhoodAgenticSection(Section):
    """How Robinhood's official Agentic Trading channel is asked."""

    login: str = Field(
        "",
        pattern=r"^([a-z][a-z0-9-]{0,30})?$",
        description="Whose login: its secrets are rh-LOGIN-access and so on; empty: the account's alias.",
    )
    calls_per_second: float = Field(4.0, gt=0, le=8, description="Calls a second; near 8 Robinhood answers 429.")
    timeout: float = Field(10.0, gt=0, le=60, description="Seconds that an answer is waited for.")
    url: Annotated[str, AfterValidator(_safe)] = Field(
        "",
        description="Another address than https://agent.robinhood.com/mcp/trading, such as a protocol server's; "
        "empty: that.",
    )


class QualitySection(Section):
    """The quality gate's limits; docs/data.md has its rules."""

    k: float = Field(12.0, gt=1, description="A step is judged beyond k median absolute deviations of the returns.")
    window: int = Field(60, ge=10, le=500, description="Returns before a step, from which the deviation is taken.")
    history: int = Field(20, ge=5, description="Returns that must be known, else only scale errors are judged.")
    daily_step: float = Field(0.20, gt=0, description="The smallest step of daily bars worth judging, as a logarithm.")
    intraday_step: float = Field(0.05, gt=0, description="The same of intraday bars.")
    news: float = Field(3.0, gt=1, description="Times the usual turnover: something happened, the step is real.")
    extended_hours: bool = Field(False, description="Whether bars before the opening and after the close are wanted.")

    @model_validator(mode="after")
    def _history_fits(self) -> QualitySection:
        if self.history > self.window:
            raise ValueError("history is longer than window; the window holds the history")
        return self


class StrategyUse(Section):
    """One strategy and the share of equity it may use (its sleeve)."""

    name: str = Field(description="A shipped strategy's name, or that of one in the folder.")
    weight: float = Field(gt=0, le=1, description="Share of the account's equity, 0–1.")
    parameters: dict[str, int | float | str | bool] = Field(
        default_factory=dict, description="Its parameters; what is not named keeps its default."
    )


class StrategiesSection(Section):
    """What trades."""

    folder: str = Field("strategies", description="Folder of a user's own strategies (*.py), relative to the file.")
    first_session: dt.date | None = Field(
        None, description="Trade from this session on; empty: from the day after history starts."
    )
    use: tuple[StrategyUse, ...] = (  # docs/strategies.md describes them
        StrategyUse(name="sma_crossover", weight=0.32, parameters={"fast": 10, "slow": 30}),
        StrategyUse(name="momentum", weight=0.32, parameters={"top": 2}),
        StrategyUse(name="rsi_reversion", weight=0.32, parameters={}),
    )

    @model_validator(mode="after")
    def _weights_fit(self) -> StrategiesSection:
        total = sum(use.weight for use in self.use)
        if total > 1 + 1e-9:
            raise ValueError(f"the weights sum to {total:g}; together they may use at most 1")
        names = [use.name for use in self.use]
        if len(set(names)) != len(names):
            raise ValueError("a strategy is used twice; give each name once")
        return self


def _symbols(names: tuple[str, ...]) -> tuple[str, ...]:
    """A name that is no symbol would allow or deny nothing."""
    if wrong := [name for name in names if not re.fullmatch(SYMBOL, name)]:
        raise ValueError(f"{wrong[0]!r} is no symbol; write it like AAPL or BRK.B")
    return names


class RiskSection(Section):
    """Limits of the risk gate, each with its unit; docs/risk.md has its rules. An order that reduces a position passes
    all but sanity (law 5).
    """

    max_order_notional: Amount = Field(Decimal(50_000), gt=0, description="Dollars per order.")
    max_order_shares: int = Field(100_000, gt=0, description="Shares per order.")
    max_position_weight: Amount = Field(Decimal("0.40"), gt=0, le=1, description="Share of equity in one symbol, 0–1.")
    max_gross_exposure: Amount = Field(Decimal("1.00"), gt=0, description="Market value of all positions / equity.")
    max_net_exposure: Amount = Field(
        Decimal("1.00"), gt=0, description="The same, short positions set against long ones."
    )
    max_open_positions: int = Field(20, gt=0, description="Symbols held at a time.")
    max_orders_per_minute: int = Field(60, gt=0, description="Orders sent, every try counted.")
    max_orders_per_session: int = Field(50, gt=0, description="Orders.")
    min_order_notional: Amount = Field(
        Decimal(100), ge=0, description="Dollars; smaller changes are not worth their costs."
    )
    rebalance_band: Amount = Field(
        Decimal("0.25"), ge=0, description="Part of the target a position may drift before it is trimmed or topped up."
    )
    cash_buffer: Amount = Field(
        Decimal("0.06"), ge=0, lt=1, description="Part of a purchase held back for an open above the last close."
    )
    cash_account: bool = Field(False, description="Whether proceeds of a sale may be spent only once they are settled.")
    max_bar_age: int = Field(1, ge=1, description="Sessions between the newest bar and the order's session.")
    quality_window: int = Field(5, ge=1, le=250, description="Sessions before the order's in which bars are looked at.")
    max_quarantined: int = Field(0, ge=0, description="Bars of the symbol in quarantine in those sessions.")
    price_band: Amount = Field(
        Decimal("0.10"), gt=0, lt=1, description="Part of the last price an entry's price may be away from it."
    )
    price_band_exits: Amount = Field(
        Decimal("0.50"), gt=0, lt=1, description="The same for an order that reduces a position."
    )
    max_spread: Amount = Field(Decimal("0.01"), gt=0, lt=1, description="Ask less bid / the middle of both.")
    max_quote_age: Amount = Field(Decimal(10), gt=0, description="Seconds since the quote an entry is made on.")
    max_clock_skew: Amount = Field(Decimal(2), gt=0, le=60, description="Seconds between our clock and another.")
    quiet_open: int = Field(2, ge=0, le=60, description="Minutes before and after the opening without entries.")
    quiet_close: int = Field(10, ge=0, le=120, description="Minutes before the close without entries.")
    duplicate_window: int = Field(
        60, ge=0, description="Seconds in which a second order of a strategy, symbol and side is a duplicate."
    )
    max_reconcile_age: int = Field(
        1, ge=1, description="Sessions since books and broker were last compared, and agreed."
    )
    max_realized_loss: Amount = Field(
        Decimal("0.05"), gt=0, le=1, description="Part of the previous equity lost by sales, then no entry is made."
    )
    max_daily_loss: Amount = Field(
        Decimal("0.05"),
        gt=0,
        le=1,
        description="Part of the previous equity lost in a session after which no entry is made.",
    )
    max_drawdown: Amount = Field(
        Decimal("0.35"), gt=0, le=1, description="Part of the peak equity lost after which no entry is made."
    )
    max_losses_in_a_row: int = Field(10, gt=0, description="Losing closes in a row after which no entry is made …")
    losing_pause: int = Field(5, ge=0, le=250, description="… for so many sessions after the last of them.")
    cooldown: int = Field(
        0, ge=0, le=250, description="Sessions without entries in a symbol after a losing close of it; 0: none."
    )
    allow: Annotated[tuple[str, ...], AfterValidator(_symbols)] = Field(
        (), description="Symbols that entries may be made in; empty: all of the universe."
    )
    deny: Annotated[tuple[str, ...], AfterValidator(_symbols)] = Field(
        (), description="Symbols that no entry is made in."
    )

    @model_validator(mode="after")
    def _lists_agree(self) -> RiskSection:
        if both := sorted(set(self.allow) & set(self.deny)):
            raise ValueError(f"{both[0]} is both allowed and denied; choose one")
        return self


class PaperSection(Section):
    """The paper broker: its costs, how much its market bears, and how bad the line to it is."""

    slippage_bps: Amount = Field(Decimal(1), ge=0, le=1000, description="Basis points of the price, against us.")
    commission: Amount = Field(Decimal(0), ge=0, description="Dollars per order.")
    sec_fee: Amount = Field(Decimal("0.0000278"), ge=0, description="Dollars per dollar sold.")
    taf: Amount = Field(Decimal("0.000166"), ge=0, description="Dollars per share sold.")
    taf_cap: Amount = Field(Decimal("8.30"), ge=0, description="The most that a sale pays per share sold, dollars.")
    spread_bps: Amount = Field(
        Decimal(0), ge=0, le=1000, description="Basis points between bid and ask; half of them are against us."
    )
    participation: Amount = Field(
        Decimal(1), gt=0, le=1, description="Share of a bar's volume that our orders take at most; 1: no limit."
    )
    faults: Amount = Field(
        Decimal(0), ge=0, le=1, description="Share of calls that go wrong, for rehearsals; 0: the line is good."
    )
    faults_seed: int = Field(0, ge=0, description="Which calls go wrong, and how: the same seed, the same faults.")

    @property
    def costs(self) -> Costs:
        """What trading costs there."""
        return Costs(**self.model_dump(exclude={"faults", "faults_seed"}))


class AlertsSection(Section):
    """How a person is told."""

    console: bool = Field(True, description="Whether alerts are logged to the console.")
    file: str = Field("alerts.log", description="Log file, relative to QUAESTOR_HOME; empty: none.")


class TelemetrySection(Section):
    """What a live run tells about itself, and where."""

    otlp: str = Field("", description="Address of an OTLP sink, such as http://127.0.0.1:4318; empty: none.")
    authorization_secret: str = Field(
        "", description="Name of what the sink wants in the header Authorization, in the vault; empty: nothing."
    )
    sample: float = Field(
        0.001, ge=0, le=1, description="Share of batches of ticks that are traced; orders always are."
    )
    file: str = Field("", description="File of traces as lines of JSON, relative to QUAESTOR_HOME; empty: none.")
    every: int = Field(15, ge=2, le=3600, description="Seconds between two sets of figures for the sink.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="From what on is logged.")
    log_file: str = Field(
        "logs/live.jsonl", description="File of logs as lines of JSON, relative to QUAESTOR_HOME; empty: none."
    )
    file_bytes: int = Field(64_000_000, ge=100_000, description="Bytes after which such a file is turned over.")
    files_kept: int = Field(4, ge=0, le=100, description="How many full ones stay.")

    @model_validator(mode="after")
    def _address_is_safe(self) -> TelemetrySection:
        if self.authorization_secret:
            _safe(self.otlp)
        if self.otlp and not re.fullmatch(r"https?://[^/@\s]+(/[^@\s]*)?", self.otlp):
            raise ValueError("otlp: write http://host:4318 or https://…, without a password")
        return self


class LiveSection(Section):
    """How the live run behaves; docs/live.md shows it at work."""

    on_cancel: Literal["hold", "flatten"] = Field(
        "hold", description="What a cancelled `live` flow asks of the runner: enter nothing new, or sell everything."
    )
    beat: float = Field(2.0, ge=0.5, le=10, description="Seconds between two heartbeats of the runner.")
    reconcile_minutes: int = Field(
        15, ge=0, le=1440, description="Minutes between two comparisons with the broker while a run goes on; 0: none."
    )
    cross_check: Literal["off", "warn", "refuse"] = Field(
        "off", description="What happens to an entry when the broker's own quote is far from the feed's."
    )
    cross_check_percent: Amount = Field(
        Decimal(1), gt=0, le=50, description="Percent by which the two may differ at most."
    )
    cross_check_seconds: float = Field(
        0.5, gt=0, le=10, description="Seconds that the broker's quote is waited for; later counts as far."
    )
    cross_check_age: Amount = Field(
        Decimal(10), gt=0, le=900, description="Seconds that the broker's quote may be old; an older one counts as far."
    )
    fill_gaps: bool = Field(
        True, description="Whether the minutes that a broken line missed are fetched from the source of history."
    )


def _streams(url: str) -> str:
    """A key is shown there: encrypted, or not off this machine; empty is the vendor's own address."""
    here = r"ws://(127\.0\.0\.1|localhost|\[::1\])(:\d+)?"
    if url and not re.fullmatch(rf"(wss://[^/@\s]+|{here})(/[^@\s]*)?", url):
        raise ValueError("write wss://…, or ws:// with an address of this machine")
    return url


class FeedSection(Section):
    """Where a live run's prices come from."""

    kind: Literal["none", "alpaca", "alpaca-py", "kraken", "poll", "replay"] = Field(
        "none",
        description="alpaca: its stream; alpaca-py: the same by its own client, slower; kraken: crypto; poll: the "
        "broker's quotes, asked for again and again; replay: a recording; none: none.",
    )
    url: Annotated[str, AfterValidator(_streams)] = Field(
        "", description="Another address than the vendor's, such as that of `quaestor sim feed`; empty: the vendor's."
    )
    data: Literal["iex", "sip"] = Field(
        "iex", description="Alpaca's: iex: one exchange, free; sip: all of them, by subscription."
    )
    trades: bool = Field(True, description="Whether trades are wanted: bars and most triggers are made of them.")
    quotes: bool = Field(True, description="Whether quotes are wanted: entries need one.")
    hours: Literal["regular", "extended", "always"] = Field(
        "regular", description="When silence is a fault: the session, with pre- and postmarket, always (as for kraken)."
    )
    mute: float = Field(10.0, ge=1, le=600, description="Seconds without any tick after which the line is left.")
    stale: float = Field(60.0, ge=1, le=86_400, description="Seconds without a tick of a symbol that are told of.")
    calm: int = Field(4096, ge=256, description="Ticks that may wait before older quotes give way to newer ones.")
    most: int = Field(1_000_000, ge=1000, description="Ticks that may wait before the feed is read no more.")
    every: float = Field(1.0, ge=0.1, le=60, description="Seconds between two rounds, for kind = 'poll'.")
    speed: float = Field(1.0, ge=0, le=100_000, description="A replay's, times the clock's; 0: as fast as it is read.")
    recording: Literal["recorded", "minutes", "ticks"] = Field(
        "recorded",
        description="What a replay plays: recorded: daily prices, with a made-up way between them; minutes: stored "
        "bars of a minute; ticks: stored trades.",
    )
    session: dt.date | None = Field(
        None, description="The session that a replay plays, at the clock's hours; empty: the clock's, or the newest."
    )
    spread: float = Field(
        2.0, ge=0, le=1000, description="Basis points between bid and ask of quotes made for a replay; 0: no quotes."
    )

    @model_validator(mode="after")
    def _something_is_wanted(self) -> FeedSection:
        if not self.trades and not self.quotes:
            raise ValueError("neither trades nor quotes are wanted; choose one, or kind = 'none'")
        if self.kind in {"poll", "replay"} and self.url:
            raise ValueError(f"kind = {self.kind!r} has no address; leave the url empty")
        return self


class VaultSection(Section):
    """Where secrets are."""

    kind: Literal["local", "azure"] = Field(
        "local", description="local: an encrypted file in the data folder; azure: an Azure Key Vault."
    )
    key: Literal["file", "keyring"] = Field(
        "file",
        description="Of a local vault: file: beside it, for its owner alone; keyring: the OS keyring, chosen at the "
        "first use.",
    )
    url: Annotated[str, AfterValidator(_safe)] = Field(
        "", description="Of an Azure Key Vault, as https://NAME.vault.azure.net; its own name is not enough."
    )
    credential: Literal["managed", "developer"] = Field(
        "managed", description="managed: the machine's managed identity; developer: who is logged in with `az login`."
    )
    client_id: str = Field(
        "", description="Client id of a user-assigned managed identity; empty: the machine's own identity."
    )
    certificate: str = Field(
        "",
        description="PEM file that the vault's certificate is checked with, for a protocol server; empty: the usual.",
    )

    @model_validator(mode="after")
    def _azure_has_an_address(self) -> VaultSection:
        if self.kind == "azure" and not self.url.startswith("https://"):
            raise ValueError("kind = 'azure' needs url = \"https://NAME.vault.azure.net\"")
        return self


class PrefectSection(Section):
    """Where flows run."""

    work_pool: str = Field("quaestor", description="The pool that flows run in; prefect.yaml names it too.")
    database_url: str = Field(
        "",
        description="postgresql://… for the metadata of the local Prefect server; it needs pg_trgm. Empty: SQLite.",
    )
    port: int = Field(
        0, ge=0, le=65535, description="Port of the local server that `up` starts; 0: a free one, 4200 if it can."
    )
    task_runner: Literal["threads", "dask", "ray"] = Field(
        "threads", description="Where a flow's chunks run: in its own process, or on a cluster of processes."
    )
    task_runner_address: str = Field(
        "", description="A Dask scheduler or Ray head that runs, as tcp://host:8786; empty: processes of our own."
    )
    task_runner_workers: int = Field(2, ge=1, le=256, description="How many processes of our own.")

    @model_validator(mode="after")
    def _address_is_of_a_cluster(self) -> PrefectSection:
        if self.task_runner_address and self.task_runner == "threads":
            raise ValueError("task_runner_address needs task_runner = 'dask' or 'ray'")
        return self

    @property
    def scales_away(self) -> bool:
        """Whether the cluster is on another machine."""
        here = r"([a-z]+://)?(127\.0\.0\.1|localhost|\[::1\])(:\d+)?/?"
        return bool(self.task_runner_address) and not re.fullmatch(here, self.task_runner_address)


class Config(Section):
    """Everything that can be configured."""

    account: AccountSection = AccountSection()
    database: DatabaseSection = DatabaseSection()
    market: MarketSection = MarketSection()
    quality: QualitySection = QualitySection()
    alpaca: AlpacaSection = AlpacaSection()
    broker: BrokerSection = BrokerSection()
    robinhood: RobinhoodSection = RobinhoodSection()
    robinhood_crypto: RobinhoodCryptoSection = RobinhoodCryptoSection()
    robinhood_agentic: RobinhoodAgenticSection = RobinhoodAgenticSection()
    strategies: StrategiesSection = StrategiesSection()
    risk: RiskSection = RiskSection()
    paper: PaperSection = PaperSection()
    alerts: AlertsSection = AlertsSection()
    telemetry: TelemetrySection = TelemetrySection()
    live: LiveSection = LiveSection()
    feed: FeedSection = FeedSection()
    vault: VaultSection = VaultSection()
    prefect: PrefectSection = PrefectSection()


def digest(value: Any) -> str:
    """A short name of a JSON-able value or of models: the same value, the same name."""

    def plain(item: object) -> object:
        if isinstance(item, Decimal):
            return format(item.normalize(), "f")  # 0.4 and 0.40 are one value
        return item.model_dump() if isinstance(item, BaseModel) else str(item)

    text = json.dumps(value, sort_keys=True, default=plain)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def parse(text: str, place: str = "quaestor.toml") -> Config:
    """Read a configuration; raises BadConfig naming file, line, key and cure."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadConfig(f"{place}: not valid TOML: {error}.") from error
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        raise BadConfig(_explain(first, text, place)) from error


def _explain(error: Any, text: str, place: str) -> str:
    path = [str(part) for part in error["loc"]]
    if "parameters" in path[:-2]:
        path = path[: path.index("parameters") + 2]  # without the type that pydantic tried
        error = error | {"msg": "Give a number, a text, true or false"}
    where = f"{place}:{line_of(path, text)}"
    key = ".".join(path)
    if error["type"] == "extra_forbidden":
        known = _fields(path[:-1])
        near = difflib.get_close_matches(path[-1], known, n=1, cutoff=0.5)
        hint = f" Did you mean {near[0]!r}?" if near else f" Known: {', '.join(known)}."
        return f"{where}: unknown key {key!r}.{hint}"
    value = error.get("input")
    shown = f" (got {value!r})" if isinstance(value, str | int | float | bool | dt.date) else ""
    return f"{where}: {key or 'file'}: {error['msg'].removeprefix('Value error, ')}{shown}."


def _fields(path: list[str]) -> list[str]:
    model: Any = Config
    for part in path:
        if part.isdigit():
            model = StrategyUse
            continue
        model = model.model_fields[part].annotation
    return sorted(getattr(model, "model_fields", {}))


def line_of(path: list[str], text: str) -> int:
    """The line (1-based) where a key stands: `a.b` under its `[table]`, the n-th `[[table]]`, dotted, or in `{…}`.

    A key that is missing stands where its table begins.
    """
    table, wanted = "", ".".join(part for part in path if not part.isdigit())
    index = next((int(part) for part in path if part.isdigit()), 0)
    array, seen = "", dict[str, int]()  # the [[table]] that we are in, and how many of each began
    best, ours = 0, True
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"^\[(\[)?\s*([\w.\-]+)\s*\]", line.strip()):
            table = header[2]
            if header[1]:
                array, seen[table] = table, seen.get(table, -1) + 1
            elif not table.startswith(f"{array}."):
                array = ""
            ours = not array or seen[array] == index
            around = ours and wanted.startswith(f"{table}.")
            inside = not best and table.startswith(f"{wanted}.")
            best = number if table == wanted or around or inside else best
        elif ours and (key := re.match(r"^([\w.\-\"']+)\s*=", line.strip())):
            full = ".".join(filter(None, (table, key[1].strip("\"'"))))
            if full == wanted or (full.startswith(f"{wanted}.") and not f"{table}.".startswith(f"{wanted}.")):
                return number
            best = number if wanted.startswith(f"{full}.") else best
    return best or 1
