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
    MetaData,
    Numeric,
    String,
    Table,
    UniqueConstraint,
    Uuid,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

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

bar = Table(
    "bar",
    metadata,
    _text("symbol", primary_key=True),
    _text("timeframe", primary_key=True),
    Column("ts", TIMESTAMP(timezone=True), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("session", Date, nullable=False),
    Column("open", Double, nullable=False),
    Column("high", Double, nullable=False),
    Column("low", Double, nullable=False),
    Column("close", Double, nullable=False),
    Column("volume", BigInteger, nullable=False),
    _text("source"),
    _time("stored_at", now=True),
    CheckConstraint(
        "low > 0 and high >= low and open between low and high and close between low and high", name="prices"
    ),
    CheckConstraint("volume >= 0", name="volume"),
    comment="As-traded bars; a repair is a new version, the old one stays (law 8).",
)
Index("ix_bar_session", bar.c.session)

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
    _money("reference_price"),
    Column("reduces", Boolean, nullable=False),
    Column("provenance", JSONB, nullable=False),
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
    postgresql_where="state in ('planned','submitting','unknown','acked','partially_filled')",
)

order_event = Table(
    "order_event",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("ref_id", Uuid, ForeignKey("intent.ref_id"), nullable=False),
    _text("state"),
    Column("epoch", BigInteger, nullable=False),
    _text("cause"),
    Column("detail", JSONB, nullable=False, server_default="{}"),
    _time("at", now=True),
    comment="Append-only: every transition of every order.",
)
Index("ix_order_event_ref_id", order_event.c.ref_id)

refusal = Table(
    "refusal",
    metadata,
    _text("account", primary_key=True),
    Column("session", Date, primary_key=True),
    _text("strategy", primary_key=True),
    _text("symbol", primary_key=True),
    _text("side", primary_key=True),
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
    UniqueConstraint("account", "key"),
    comment="The journal: one balanced entry per fact.",
)

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
    comment="Debits positive; a deferred trigger refuses an entry whose postings do not sum to zero.",
)

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
    CheckConstraint("equity = cash + market_value", name="sum"),
    comment="The account at each session's close; its existence says that the session is settled.",
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
    schema="paper",
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
    UniqueConstraint("alias", "ref_id"),
    schema="paper",
)

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

paper_position = Table(
    "position",
    metadata,
    _text("alias", primary_key=True),
    _text("symbol", primary_key=True),
    Column("quantity", Numeric(20, 6), nullable=False),
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
