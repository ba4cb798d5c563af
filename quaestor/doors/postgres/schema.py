"""The tables. Migrations build them; a test holds the two together.

Prices of bars are double precision (they come as decimals of at most six places and read back exactly as such); money
is numeric. Every row that a run wrote carries the Prefect flow run id where there was one.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    SmallInteger,
    String,
    Table,
    UniqueConstraint,
    Uuid,
    func,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSON, JSONB, TIMESTAMP

from quaestor.bars import DAILY, TIMEFRAMES

Text = String  # an unbounded VARCHAR: PostgreSQL's text by another name

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _time(name: str, *, now: bool = False, nullable: bool = False) -> Column[Any]:
    default = func.now() if now else None
    return Column(name, TIMESTAMP(timezone=True), nullable=nullable, server_default=default)


def _money(name: str, *, nullable: bool = False) -> Column[Any]:
    return Column(name, Numeric(20, 6), nullable=nullable)


def _text(name: str, *, primary_key: bool = False, nullable: bool = False, default: str | None = None) -> Column[str]:
    return Column(name, Text, primary_key=primary_key, nullable=nullable, server_default=default)


# ── market data ───────────────────────────────────────────────────────────────────────────────────────────────────────

instrument = Table(
    "instrument",
    metadata,
    Column("id", Integer, Identity(always=True), primary_key=True),
    _text("symbol"),
    UniqueConstraint("symbol"),
    comment="Bars name their symbol by a number: rows of fixed width go in and out as arrays.",
)

load = Table(
    "load",
    metadata,
    Column("id", Integer, Identity(always=True), primary_key=True),
    _text("source"),
    _text("timeframe"),
    _text("flow_run_id", nullable=True),
    _time("at", now=True),
    comment="One transaction that stored bars: from where, when, by which run.",
)


def _bar_columns() -> list[Any]:
    prices = [Column(name, Double, nullable=False) for name in ("open", "high", "low", "close")]
    return [
        Column("version", SmallInteger, nullable=False),
        Column("session", Date, nullable=False),
        *prices,
        Column("volume", BigInteger, nullable=False),
        Column("load", Integer, nullable=False),
    ]


def _bar_table(timeframe: str) -> Table:
    """The current version of each bar of a timeframe; partitioned by time, see `partitions`."""
    return Table(
        f"bar_{timeframe}",
        metadata,
        Column("instrument", Integer, primary_key=True, autoincrement=False),
        Column("ts", TIMESTAMP(timezone=True), primary_key=True),
        *_bar_columns(),
        CheckConstraint(
            "low > 0 and high < 'infinity' and high >= low and "  # NaN is larger than all, and equals itself
            "open between low and high and close between low and high",
            name="prices",
        ),
        CheckConstraint("volume >= 0", name="volume"),
        comment="As-traded bars, the newest version of each.",
        postgresql_partition_by="RANGE (ts)",
    )


bars = {timeframe: _bar_table(timeframe) for timeframe in TIMEFRAMES}
Index("ix_bar_1d_session", bars[DAILY].c.session)

bar_old = Table(
    "bar_old",
    metadata,
    _text("timeframe", primary_key=True),
    Column("instrument", Integer, primary_key=True, autoincrement=False),
    Column("ts", TIMESTAMP(timezone=True), primary_key=True),
    Column("version", SmallInteger, primary_key=True, autoincrement=False),
    *_bar_columns()[1:],
    Column("superseded", Integer, nullable=False),
    comment="Versions that a repair replaced, with the load that did (law 8): nothing that was known is lost.",
)

coverage = Table(
    "coverage",
    metadata,
    Column("instrument", Integer, ForeignKey("instrument.id"), primary_key=True, autoincrement=False),
    _text("timeframe", primary_key=True),
    Column("period", Date, primary_key=True),
    Column("asked_first", Date, nullable=True),
    Column("asked_last", Date, nullable=True),
    Column("stored", Integer, nullable=False, server_default="0"),
    Column("quarantined", Integer, nullable=False, server_default="0"),
    Column("digest", LargeBinary, nullable=True),
    _text("source", default=""),
    _text("error", default=""),
    _time("at", now=True),
    comment="Cells of the history: a session (intraday) or a month (daily). digest: of all its stored bars.",
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("digest", LargeBinary, nullable=False),
    _text("symbol"),
    _text("timeframe"),
    Column("session", Date, nullable=True),
    _time("ts", nullable=True),
    _text("rule"),
    _text("field"),
    _text("observed"),
    _text("limit_value"),
    _text("source"),
    Column("row", JSONB, nullable=False),
    _text("flow_run_id", nullable=True),
    _time("at", now=True),
    UniqueConstraint("digest"),
    comment="Bars that a rule of quality refused, as they came (law 8).",
)
Index("ix_quarantine_symbol", quarantine.c.symbol, quarantine.c.timeframe, quarantine.c.session)

vouched = Table(
    "vouched",
    metadata,
    _text("symbol", primary_key=True),
    Column("session", Date, primary_key=True),
    _text("reason"),
    _time("at", now=True),
    comment="Sessions whose steps a person looked at and found real: the gate raises no doubt there again.",
)

tick = Table(
    "tick",
    metadata,
    Column("instrument", Integer, primary_key=True, autoincrement=False),
    Column("ts", TIMESTAMP(timezone=True), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("price", Double, nullable=False),
    Column("size", Double, nullable=False),
    CheckConstraint("price > 0 and size >= 0", name="print"),
    comment="Trades of recorded sessions; number: the feed's own, which tells prints of one instant apart.",
    postgresql_partition_by="RANGE (ts)",
)

split = Table(
    "split",
    metadata,
    _text("symbol", primary_key=True),
    Column("session", Date, primary_key=True),
    Column("numerator", Integer, nullable=False),
    Column("denominator", Integer, nullable=False),
    _text("origin"),
    _text("source"),
    _time("stored_at", now=True),
    comment="numerator new shares for denominator old ones, effective at the open of the session.",
)

dividend = Table(
    "dividend",
    metadata,
    _text("symbol", primary_key=True),
    Column("session", Date, primary_key=True),
    _money("amount"),
    _text("origin"),
    _text("source"),
    _time("stored_at", now=True),
    comment="Dollars per share of the session, the ex-date.",
)

blocked = Table(
    "blocked",
    metadata,
    _text("symbol", primary_key=True),
    _text("reason"),
    _time("at", now=True),
    comment="Symbols that take no entries until a person clears them: vendors disagree on a split, for one.",
)

# ── decisions ─────────────────────────────────────────────────────────────────────────────────────────────────────────

signal = Table(
    "signal",
    metadata,
    _text("strategy", primary_key=True),
    _text("digest", primary_key=True),
    _text("symbol", primary_key=True),
    Column("session", Date, primary_key=True),
    Column("revision", Integer, primary_key=True),
    _text("version"),
    Column("parameters", JSONB, nullable=False),
    _text("timeframe"),
    _time("bar_end"),
    Column("target", Double, nullable=False),
    Column("seen", JSONB, nullable=False),
    _text("flow_run_id", nullable=True),
    _text("code_commit", nullable=True),
    _time("stored_at", now=True),
    Column("retracted", Boolean, nullable=False, server_default="false"),
    comment="What a strategy wants after a bar: a target weight of its own sleeve. digest = version + parameters.",
)
Index("ix_signal_session", signal.c.session)

computed = Table(
    "computed",
    metadata,
    _text("digest", primary_key=True),
    _text("strategy"),
    Column("first", Date, nullable=False),
    Column("last", Date, nullable=False),
    _time("at", now=True),
    comment="Which sessions a strategy was asked about; where it has no signal inside them, it had no opinion.",
)

decision = Table(
    "decision",
    metadata,
    _text("account", primary_key=True),
    Column("session", Date, primary_key=True),
    _money("equity"),
    _money("cash"),
    _text("config_digest"),
    Column("epoch", BigInteger, nullable=False),
    _text("flow_run_id", nullable=True),
    _text("code_commit", nullable=True),
    _time("decided_at", now=True),
    comment="That a session's orders were decided, once, in one transaction with its intents and refusals.",
)

intent = Table(
    "intent",
    metadata,
    Column("ref_id", Uuid, primary_key=True),
    _text("account"),
    _text("strategy"),
    _text("symbol"),
    Column("session", Date, nullable=False),
    _text("cause_key"),
    _text("side"),
    Column("leg", Integer, nullable=False),
    Column("quantity", Numeric(20, 6), nullable=False),
    _text("order_type"),
    _text("time_in_force"),
    _money("limit_price", nullable=True),
    _money("stop_price", nullable=True),
    _money("reference_price"),
    Column("reduces", Boolean, nullable=False),
    _text("oco", default=""),
    Column("replaces", Uuid, nullable=True),
    Column("provenance", JSON, nullable=False),
    _time("planned_at", now=True),
    UniqueConstraint("account", "symbol", "strategy", "session", "cause_key", "side", "leg"),
    CheckConstraint("quantity > 0", name="quantity"),
    comment="An order we decided on, committed before the first byte goes to a broker (law 1).",
)
Index("ix_intent_session", intent.c.account, intent.c.session)

order_state = Table(
    "order_state",
    metadata,
    Column("ref_id", Uuid, ForeignKey("intent.ref_id"), primary_key=True),
    _text("state"),
    Column("epoch", BigInteger, nullable=False),
    _text("broker_id", nullable=True),
    Column("filled", Numeric(20, 6), nullable=False, server_default="0"),
    _money("average_price", nullable=True),
    _text("reason", default=""),
    _time("updated_at", now=True),
    comment="Where each order stands now; order_event holds how it came there.",
)
Index(
    "ix_order_state_open",
    order_state.c.state,
    postgresql_where="state not in ('filled','canceled','expired','expired_unsent','rejected')",
)
Index("ix_order_state_broker_id", order_state.c.broker_id)

order_event = Table(
    "order_event",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    _text("account"),
    Column("seq", BigInteger, nullable=False),
    Column("ref_id", Uuid, ForeignKey("intent.ref_id"), nullable=False),
    _text("state"),
    Column("epoch", BigInteger, nullable=False),
    _text("cause"),
    Column("causation", BigInteger, nullable=True),
    Column("detail", JSONB, nullable=False, server_default="{}"),
    _time("at", now=True),
    Column("hash", LargeBinary, nullable=False),
    UniqueConstraint("account", "seq"),
    comment="Append-only: every transition and fill of every order; causation: the event it follows from. seq and hash "
    "come from a trigger: the chain of an account, each hash covering the one before.",
)
Index("ix_order_event_ref_id", order_event.c.ref_id)

chain = Table(
    "chain",
    metadata,
    _text("account", primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    comment="The end of each account's chain of order events.",
)

refusal = Table(
    "refusal",
    metadata,
    _text("account", primary_key=True),
    Column("session", Date, primary_key=True),
    _text("strategy", primary_key=True),
    _text("symbol", primary_key=True),
    _text("side", primary_key=True),
    _text("cause_key", primary_key=True, default=""),
    _text("rule"),
    _text("limit_value"),
    _text("observed"),
    _text("unit"),
    Column("quantity", Numeric(20, 6), nullable=False),
    _text("message"),
    Column("provenance", JSONB, nullable=False),
    _time("at", now=True),
    comment="A decision not to act, with its rule, the limit and the observed value (law 6).",
)

# ── books ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

fill = Table(
    "fill",
    metadata,
    _text("account", primary_key=True),
    _text("execution_id", primary_key=True),
    Column("ref_id", Uuid, ForeignKey("intent.ref_id"), nullable=True),
    _text("broker_id"),
    _text("strategy"),
    _text("symbol"),
    _text("side"),
    Column("quantity", Numeric(20, 6), nullable=False),
    _money("price"),
    _money("fee"),
    Column("session", Date, nullable=False),
    _time("at"),
    _time("booked_at", now=True),
    CheckConstraint("quantity > 0 and price > 0 and fee >= 0", name="amounts"),
)
Index("ix_fill_ref_id", fill.c.ref_id)
Index("ix_fill_session", fill.c.account, fill.c.session)

entry = Table(
    "entry",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    _text("account"),
    _text("key"),
    _text("kind"),
    Column("session", Date, nullable=False),
    _time("at"),
    _text("memo"),
    Column("named", ARRAY(Text), nullable=False, server_default="{}"),
    UniqueConstraint("account", "key"),
    comment="The journal: one balanced entry per fact. named: the lots that a sale was told to take; none: FIFO.",
)
Index("ix_entry_session", entry.c.account, entry.c.session)

posting = Table(
    "posting",
    metadata,
    Column("entry_id", BigInteger, ForeignKey("entry.id"), primary_key=True),
    Column("line", Integer, primary_key=True),
    _text("ledger_account"),
    _money("amount"),
    _text("strategy"),
    _text("symbol"),
    Column("quantity", Numeric(20, 6), nullable=False),
    _text("lot_id", default=""),
    comment="Debits positive; a trigger refuses an entry whose postings do not sum to zero. lot_id: the lot that "
    "changes, or whose sale was realized; empty in entries from before 0006.",
)
Index("ix_posting_positions", posting.c.symbol, postgresql_where="ledger_account = 'positions'")

lot = Table(
    "lot",
    metadata,
    _text("account", primary_key=True),
    _text("lot_id", primary_key=True),
    _text("strategy"),
    _text("symbol"),
    Column("session", Date, nullable=False),
    Column("quantity", Numeric(20, 6), nullable=False),
    _money("cost"),
    Column("opened", BigInteger, Identity(always=True), nullable=False),
    CheckConstraint("quantity >= 0 and cost >= 0", name="amounts"),
    comment="Shares bought at one moment; quantity 0 = closed. FIFO by session, opened.",
)
Index("ix_lot_open", lot.c.account, lot.c.symbol, lot.c.strategy, postgresql_where="quantity > 0")
Index("ix_lot_symbol", lot.c.account, lot.c.symbol, lot.c.session)

suspect_fill = Table(
    "suspect_fill",
    metadata,
    _text("account", primary_key=True),
    _text("execution_id", primary_key=True),
    _text("reason"),
    Column("execution", JSONB, nullable=False),
    _time("seen_at", now=True),
    _time("booked_at", nullable=True),
    comment="Fills that cannot be right, as the broker told them; booked_at: since when the books could take it "
    "after all.",
)

equity = Table(
    "equity",
    metadata,
    _text("account", primary_key=True),
    Column("session", Date, primary_key=True),
    _money("cash"),
    _money("market_value"),
    _money("equity"),
    _money("realized"),
    _money("unrealized"),
    _money("fees"),
    _money("capital"),
    Column("positions", JSONB, nullable=False),
    _time("at", now=True),
    Column("dividends", Numeric(20, 6), nullable=False, server_default="0"),
    Column("entry_id", BigInteger, nullable=True),
    CheckConstraint("equity = cash + market_value", name="sum"),
    comment="The account at each session's close; its existence says that the session is settled. entry_id: the newest "
    "entry that it counts.",
)

# ── control ───────────────────────────────────────────────────────────────────────────────────────────────────────────

lease = Table(
    "lease",
    metadata,
    _text("account", primary_key=True),
    _text("holder", nullable=True),
    Column("epoch", BigInteger, nullable=False),
    _time("expires_at"),
    comment="Who may send for an account, on this database's clock (law 3).",
)

latch = Table(
    "latch",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    _text("account"),
    _text("name"),
    _text("reason"),
    _time("set_at", now=True),
    _time("cleared_at", nullable=True),
    _text("cleared_reason", nullable=True),
    comment="A latched stop: `entries` (books disagree) or `halt` (kill switch); open while cleared_at is null.",
)
Index("ix_latch_open", latch.c.account, latch.c.name, unique=True, postgresql_where="cleared_at is null")

reconcile = Table(
    "reconcile",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    _text("account"),
    Column("session", Date, nullable=True),
    Column("ok", Boolean, nullable=False),
    Column("differences", JSONB, nullable=False),
    Column("checked", JSONB, nullable=False),
    _text("flow_run_id", nullable=True),
    _time("at", now=True),
)
Index("ix_reconcile_at", reconcile.c.account, reconcile.c.at)

devlog = Table(
    "devlog",
    metadata,
    _text("account", primary_key=True),
    Column("start", Date, primary_key=True),
    Column("end", Date, primary_key=True),
    _text("digest"),
    Column("evidence", JSONB, nullable=False),
    _text("markdown"),
    _text("flow_run_id", nullable=True),
    _time("at", now=True),
)

# ── the paper broker's own books: another schema, written by its door alone ───────────────────────────────────────────

paper_account = Table(
    "account",
    metadata,
    _text("alias", primary_key=True),
    _money("cash"),
    Column("session", Date, nullable=True),
    _text("phase", default="closed"),
    Column("reserved", Numeric(20, 6), nullable=False, server_default="0"),
    schema="paper",
    comment="reserved: dollars that working purchases may cost, a pair counted once.",
)

paper_order = Table(
    "order",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("number", BigInteger, Identity(always=True), nullable=False),
    _text("alias"),
    Column("ref_id", Uuid, nullable=True),
    _text("symbol"),
    _text("side"),
    _text("order_type"),
    _text("time_in_force"),
    Column("quantity", Numeric(20, 6), nullable=False),
    _money("limit_price", nullable=True),
    _money("reference_price"),
    _text("state"),
    Column("filled", Numeric(20, 6), nullable=False, server_default="0"),
    _money("average_price", nullable=True),
    _text("reason", default=""),
    Column("session", Date, nullable=False),
    _time("created_at"),
    _time("updated_at"),
    _money("stop_price", nullable=True),
    _text("oco", default=""),
    Column("triggered", Boolean, nullable=False, server_default="false"),
    Column("reserved", Numeric(20, 6), nullable=False, server_default="0"),
    UniqueConstraint("alias", "ref_id"),
    schema="paper",
    comment="triggered: the stop price was touched; reserved: dollars that the rest of a purchase may cost.",
)
Index(
    "ix_order_working",
    paper_order.c.alias,
    paper_order.c.symbol,
    postgresql_where="state in ('acked','partially_filled')",
)
Index("ix_order_oco", paper_order.c.alias, paper_order.c.oco, postgresql_where="oco <> ''")
Index("ix_order_session", paper_order.c.alias, paper_order.c.session)

paper_execution = Table(
    "execution",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("number", BigInteger, Identity(always=True), nullable=False),
    Column("order_id", Uuid, ForeignKey("paper.order.id"), nullable=False),
    _text("alias"),
    Column("quantity", Numeric(20, 6), nullable=False),
    _money("price"),
    _money("fee"),
    Column("session", Date, nullable=False),
    _time("at"),
    schema="paper",
)
Index("ix_execution_session", paper_execution.c.alias, paper_execution.c.session)

paper_position = Table(
    "position",
    metadata,
    _text("alias", primary_key=True),
    _text("symbol", primary_key=True),
    Column("quantity", Numeric(20, 6), nullable=False),
    Column("since", Date, nullable=False),
    schema="paper",
)

paper_halt = Table(
    "halt",
    metadata,
    _text("alias", primary_key=True),
    _text("symbol", primary_key=True),
    _text("reason"),
    schema="paper",
)

paper_split = Table(
    "applied_split",
    metadata,
    _text("alias", primary_key=True),
    _text("symbol", primary_key=True),
    Column("session", Date, primary_key=True),
    schema="paper",
)

paper_dividend = Table(
    "paid_dividend",
    metadata,
    _text("alias", primary_key=True),
    _text("symbol", primary_key=True),
    Column("session", Date, primary_key=True),
    _money("amount"),
    schema="paper",
)

# ── triggers ──────────────────────────────────────────────────────────────────────────────────────────────────────────

trigger = Table(
    "trigger",
    metadata,
    Column("id", Uuid, primary_key=True),
    _text("account"),
    _text("name", default=""),
    Column("rule", JSON, nullable=False),
    Column("latch", JSONB, nullable=False),
    _text("note", default=""),
    _text("by", default=""),
    _time("written_at", now=True),
    _time("removed_at", nullable=True),
    Column("change", BigInteger, nullable=False),
    comment="Rules on prices, letter by letter as they were written; a row never goes, for its id serves once. "
    "change: the number of its newest change, in the order of commits.",
)
Index(
    "uq_trigger_name",
    trigger.c.account,
    trigger.c.name,
    unique=True,
    postgresql_where="removed_at is null and name <> ''",
)
Index("ix_trigger_change", trigger.c.account, trigger.c.change)

trigger_firing = Table(
    "trigger_firing",
    metadata,
    Column("id", Uuid, primary_key=True),
    _text("account"),
    Column("trigger", Uuid, ForeignKey("trigger.id"), nullable=False),
    Column("number", BigInteger, nullable=False),
    _text("symbol"),
    Column("price", Double, nullable=True),
    _time("at"),
    _text("action"),
    _text("outcome", default=""),
    _time("kept_at", now=True),
    comment="Each firing of a trigger, once; outcome: what came of it.",
)
Index("ix_trigger_firing_at", trigger_firing.c.account, trigger_firing.c.at)
Index("ix_trigger_firing_trigger", trigger_firing.c.trigger, trigger_firing.c.number)

trigger_changes = Table(
    "trigger_changes",
    metadata,
    _text("account", primary_key=True),
    Column("number", BigInteger, nullable=False),
    comment="How many changes an account's triggers have seen; whoever changes one holds the row until he commits.",
)

trigger_split = Table(
    "trigger_split",
    metadata,
    _text("account", primary_key=True),
    _text("symbol", primary_key=True),
    Column("session", Date, primary_key=True),
    _time("at", now=True),
    comment="Splits after which an account's triggers were rescaled.",
)

# ── an old bot's history: append-only, apart from the live account's books ────────────────────────────────────────────

legacy_import = Table(
    "legacy_import",
    metadata,
    Column("id", BigInteger, Identity(always=False), primary_key=True),
    _text("source"),
    _text("file"),
    _text("sha256"),
    _text("timezone"),
    Column("mapping", JSONB, nullable=False),
    Column("counts", JSONB, nullable=False),
    Column("report", JSONB, nullable=False),
    _time("at", now=True),
    comment="One row per import. source: sha256 of the file when it was first imported; a grown file keeps it.",
)


def _legacy(name: str, *columns: Column[Any], comment: str) -> Table:
    """A table of imported rows, each known by its source, table and rowid; numbers as the bot had them, unrounded."""
    return Table(
        name,
        metadata,
        _text("source", primary_key=True),
        _text("table_name", primary_key=True),
        Column("row_id", BigInteger, primary_key=True),
        Column(
            "import_id",
            BigInteger,
            ForeignKey("legacy_import.id", deferrable=True, initially="DEFERRED"),  # the report is known at the end
            nullable=False,
        ),
        _text("symbol"),
        _time("at"),
        *columns,
        _text("digest"),
        comment=comment,
    )


def _number(name: str, *, nullable: bool = False) -> Column[Any]:
    return Column(name, Numeric, nullable=nullable)


def _deal() -> list[Column[Any]]:
    return [
        _text("order_id", nullable=True),
        _text("side"),
        _number("quantity"),
        _number("price", nullable=True),
        _number("fee", nullable=True),
        _text("state", nullable=True),
        Column("raw", JSONB, nullable=False),
    ]


legacy_price = _legacy(
    "legacy_price",
    Column("session", Date, nullable=False),
    _number("price"),
    *(_number(name, nullable=True) for name in ("open", "high", "low", "volume")),
    comment="Prices that a bot polled, and its intraday bars (price: the close); daily bars are in the table bar.",
)
Index("ix_legacy_price_symbol", legacy_price.c.symbol, legacy_price.c.at)

legacy_order = _legacy("legacy_order", *_deal(), comment="Orders of a bot; raw: the row, account numbers masked.")

legacy_trade = _legacy(
    "legacy_trade",
    *_deal(),
    _text("trade_id", nullable=True),
    _number("pnl", nullable=True),
    comment="Trades of a bot; they never enter the ledger. pnl: the bot's own figure.",
)

# ── live runs ─────────────────────────────────────────────────────────────────────────────────────────────────────────

live_run = Table(
    "live_run",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("number", BigInteger, Identity(always=True), nullable=False),
    _text("account"),
    _text("holder"),
    _time("started_at"),
    _text("commit"),
    _text("config_digest"),
    _text("journal", default=""),
    _time("beat_at", nullable=True),
    _time("ended_at", nullable=True),
    _text("outcome", default=""),
    Column("facts", JSON, nullable=False, server_default="{}"),
    comment="started_at: the runner's own clock, which a rehearsal shifts; beat_at, ended_at: the database's.",
)
Index("ix_live_run_account_number", live_run.c.account, live_run.c.number)

live_desired = Table(
    "live_desired",
    metadata,
    Column("number", BigInteger, Identity(always=True), primary_key=True),
    _text("account"),
    _text("state"),
    _text("by"),
    _text("reason", default=""),
    _time("at", now=True),
    CheckConstraint("state in ('armed', 'hold', 'flatten', 'stopped')", name="state"),
    comment="What is wanted of an account's runner; append-only, the newest row counts.",
)
Index("ix_live_desired_account_number", live_desired.c.account, live_desired.c.number)

live_happening = Table(
    "live_happening",
    metadata,
    Column("number", BigInteger, Identity(always=True), primary_key=True),
    _text("account"),
    Column("run", Uuid, nullable=False),
    _text("kind"),
    _text("subject"),
    _time("at"),
    Column("body", JSON, nullable=False),
    _time("told_at", now=True),
    comment="What a person may want to see; an account's numbers grow in the order of commits.",
)
Index("ix_live_happening_account_number", live_happening.c.account, live_happening.c.number)
Index("ix_live_happening_told_at", live_happening.c.told_at)

live_snapshot = Table(
    "live_snapshot",
    metadata,
    _text("account", primary_key=True),
    Column("run", Uuid, nullable=False),
    _time("at"),
    Column("state", JSON, nullable=False),
)

# ── custody ───────────────────────────────────────────────────────────────────────────────────────────────────────────

auth = Table(
    "auth",
    metadata,
    _text("alias", primary_key=True),
    _text("state"),
    _time("since", nullable=True),
    Column("seq", Integer, nullable=False, server_default="0"),
    Column("held", Integer, nullable=False, server_default="0"),
    Column("sent", Integer, nullable=False, server_default="0"),
    Column("spent", Boolean, nullable=False, server_default="false"),
    _time("issued_at", nullable=True),
    _time("expires_at", nullable=True),
    _time("due_at", nullable=True),
    _time("last_refresh_at", nullable=True),
    _time("again_at", nullable=True),
    _time("cool_until", nullable=True),
    _time("deadline", nullable=True),
    Column("attempt", Uuid, nullable=True),
    _text("back", default="unseeded"),
    _text("reason", default=""),
    _text("cure", default=""),
    CheckConstraint(
        "state in ('unseeded', 'seeding', 'awaiting_approval', 'active', 'refreshing', 'broken')", name="state"
    ),
    comment="How a login stands. No secret is in it; sent counts requests whose outcome nobody knows.",
)

auth_event = Table(
    "auth_event",
    metadata,
    Column("number", BigInteger, Identity(always=True), primary_key=True),
    _text("alias"),
    _time("at", now=True),
    _text("was"),
    _text("state"),
    _text("what"),
    _text("by"),
    comment="What happened to a login; append-only.",
)
Index("ix_auth_event_alias_number", auth_event.c.alias, auth_event.c.number)

auth_request = Table(
    "auth_request",
    metadata,
    _text("alias", primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    _text("by"),
    _time("at", now=True),
    comment="The broker refused the access token of that number; said once, however many were refused.",
)

auth_spool = Table(
    "auth_spool",
    metadata,
    _text("alias", primary_key=True),
    Column("seq", Integer, nullable=False),
    _text("sealed"),
    _time("at", now=True),
    comment="New tokens, encrypted, that the vault does not take yet.",
)

auth_code = Table(
    "auth_code",
    metadata,
    _text("alias", primary_key=True),
    Column("attempt", Uuid, nullable=False),
    _text("sealed"),
    _time("at", now=True),
    comment="A code that a person typed, encrypted, on its way to a login; gone when it is taken.",
)
