"""The first books: market data, decisions, orders, ledger, control, and the paper broker's own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


# The journal and the orders' log are append-only, and an entry that does not balance cannot be committed.
GUARDS = (
    """
    create function refuse_change() returns trigger language plpgsql as $$
    begin
        raise exception '% is append-only: % refused', tg_table_name, tg_op;
    end $$
    """,
    *(
        f"create trigger append_only before update or delete on {table} for each row execute function refuse_change()"
        for table in ("entry", "posting", "order_event", "fill")
    ),
    """
    create function check_balance() returns trigger language plpgsql as $$
    declare total numeric;
    begin
        select sum(amount) into total from posting where entry_id = new.entry_id;
        if total <> 0 then
            raise exception 'entry % does not balance: its postings sum to %', new.entry_id, total;
        end if;
        return null;
    end $$
    """,
    """
    create constraint trigger balance after insert on posting deferrable initially deferred
    for each row execute function check_balance()
    """,
)


def upgrade() -> None:
    op.execute("create schema if not exists paper")
    op.create_table(
        "bar",
        sa.Column("symbol", sa.String(), nullable=False),
        sa.Column("timeframe", sa.String(), nullable=False),
        sa.Column("ts", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("session", sa.Date(), nullable=False),
        sa.Column("open", sa.Double(), nullable=False),
        sa.Column("high", sa.Double(), nullable=False),
        sa.Column("low", sa.Double(), nullable=False),
        sa.Column("close", sa.Double(), nullable=False),
        sa.Column("volume", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("stored_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "low > 0 and high >= low and open between low and high and close between low and high",
            name=op.f("ck_bar_prices"),
        ),
        sa.CheckConstraint("volume >= 0", name=op.f("ck_bar_volume")),
        sa.PrimaryKeyConstraint("symbol", "timeframe", "ts", "version", name=op.f("pk_bar")),
        comment="As-traded bars; a repair is a new version, the old one stays (law 8).",
    )
    op.create_index("ix_bar_session", "bar", ["session"], unique=False)
    op.create_table(
        "computed",
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("strategy", sa.String(), nullable=False),
        sa.Column("first", sa.Date(), nullable=False),
        sa.Column("last", sa.Date(), nullable=False),
        sa.Column("at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_computed")),
        comment="Which sessions a strategy was asked about; where it has no signal inside them, it had no opinion.",
    )
    op.create_table(
        "decision",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("session", sa.Date(), nullable=False),
        sa.Column("equity", sa.Numeric(precision=20, scale=6), nullable=False),
        sa.Column("cash", sa.Numeric(precision=20, scale=6), nullable=False),
        sa.Column("config_digest", sa.String(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("flow_run_id", sa.String(), nullable=True),
        sa.Column("code_commit", sa.String(), nullable=True),
        sa.Column("decided_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("account", "session", name=op.f("pk_decision")),
        comment="That a session's orders were decided, once, in one transaction with its intents and refusals.",
    )
    op.create_table(
        "devlog",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("start", sa.Date(), nullable=False),
        sa.Column("end", sa.Date(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("evidence", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("markdown", sa.String(), nullable=False),
        sa.Column("flow_run_id", sa.String(), nullable=True),
        sa.Column("at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("account", "start", "end", name=op.f("pk_devlog")),
    )
    op.create_table(
        "entry",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("session", sa.Date(), nullable=False),
        sa.Column("at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("memo", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_entry")),
        sa.UniqueConstraint("account", "key", name=op.f("uq_entry_account_key")),
        comment="The journal: one balanced entry per fact.",
    )
    op.create_table(
        "equity",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("session", sa.Date(), nullable=False),
        sa.Column("cash", sa.Numeric(precision=20, scale=6), nullable=False),
        sa.Column("market_value", sa.Numeric(precision=20, scale=6), nullable=False),
        sa.Column("equity", sa.Numeric(precision=20, scale=6), nullable=False),
        sa.Column("realized", sa.Numeric(precision=20, scale=6), nullable=False),
        sa.Column("unrealized", sa.Numeric(precision=20, scale=6), nullable=False),
        sa.Column("fees", sa.Numeric(precision=20, scale=6), nullable=False),
        sa.Column("capital", sa.Numeric(precision=20, scale=6), nullable=False),
        sa.Column("positions", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("equity = cash + market_value", name=op.f("ck_equity_sum")),
        sa.PrimaryKeyConstraint("account", "session", name=op.f("pk_equity")),
        comment="The account at each session's close; its existence says that the session is settled.",
    )
    op.create_table(
        "intent",
        sa.Column("ref_id", sa.Uuid(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("strategy", sa.String(), nullable=False),
        sa.Column("symbol", sa.String(), nullable=False),
        sa.Column("session", sa.Date(), nullable=False),
        sa.Column("cause_key", sa.String(), nullable=False),
        sa.Column("side", sa.String(), nullable=False),
        sa.Column("leg", sa.Integer(), nullable=False),
        sa.Column("quantity", sa.Numeric(precision=20, scale=6), nullable=False),
        sa.Column("order_type", sa.String(), nullable=False),
        sa.Column("time_in_force", sa.String(), nullable=False),
        sa.Column("limit_price", sa.Numeric(precision=20, scale=6), nullable=True),
        sa.Column("reference_price", sa.Numeric(precision=20, scale=6), nullable=False),
        sa.Column("reduces", sa.Boolean(), nullable=False),
        sa.Column("provenance", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("planned_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_intent_quantity")),
        sa.PrimaryKeyConstraint("ref_id", name=op.f("pk_intent")),
        sa.UniqueConstraint(
            "account",
            "symbol",
            "strategy",
            "session",
            "cause_key",
            "side",
            "leg",
            name=op.f("uq_intent_account_symbol_strategy_session_cause_key_side_leg"),
        ),
        comment="An order we decided on, committed before the first byte goes to a broker (law 1).",
    )
    op.create_index("ix_intent_session", "intent", ["account", "session"], unique=False)
    op.create_table(
        "latch",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("set_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("cleared_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("cleared_reason", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_latch")),
        comment="A latched stop: `entries` (books disagree) or `halt` (kill switch); open while cleared_at is null.",
    )
    op.create_index("ix_latch_open", "latch", ["account", "name"], unique=True, postgresql_where="cleared_at is null")
    op.create_table(
        "lease",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("holder", sa.String(), nullable=True),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("account", name=op.f("pk_lease")),
        comment="Who may send for an account, on this database's clock (law 3).",
    )
    op.create_table(
        "lot",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("lot_id", sa.String(), nullable=False),
        sa.Column("strategy", sa.String(), nullable=False),
        sa.Column("symbol", sa.String(), nullable=False),
        sa.Column("session", sa.Date(), nullable=False),
        sa.Column("quantity", sa.Numeric(precision=20, scale=6), nullable=False),
        sa.Column("cost", sa.Numeric(precision=20, scale=6), nullable=False),
        sa.Column("opened", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.CheckConstraint("quantity >= 0 and cost >= 0", name=op.f("ck_lot_amounts")),
        sa.PrimaryKeyConstraint("account", "lot_id", name=op.f("pk_lot")),
        comment="Shares bought at one moment; quantity 0 = closed. FIFO by session, opened.",
    )
    op.create_index(
        "ix_lot_open", "lot", ["account", "symbol", "strategy"], unique=False, postgresql_where="quantity > 0"
    )
    op.create_table(
        "account",
        sa.Column("alias", sa.String(), nullable=False),
        sa.Column("cash", sa.Numeric(precision=20, scale=6), nullable=False),
        sa.Column("session", sa.Date(), nullable=True),
        sa.Column("phase", sa.String(), server_default="closed", nullable=False),
        sa.PrimaryKeyConstraint("alias", name=op.f("pk_account")),
        schema="paper",
    )
    op.create_table(
        "applied_split",
        sa.Column("alias", sa.String(), nullable=False),
        sa.Column("symbol", sa.String(), nullable=False),
        sa.Column("session", sa.Date(), nullable=False),
        sa.PrimaryKeyConstraint("alias", "symbol", "session", name=op.f("pk_applied_split")),
        schema="paper",
    )
    op.create_table(
        "order",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("alias", sa.String(), nullable=False),
        sa.Column("ref_id", sa.Uuid(), nullable=True),
        sa.Column("symbol", sa.String(), nullable=False),
        sa.Column("side", sa.String(), nullable=False),
        sa.Column("order_type", sa.String(), nullable=False),
        sa.Column("time_in_force", sa.String(), nullable=False),
        sa.Column("quantity", sa.Numeric(precision=20, scale=6), nullable=False),
        sa.Column("limit_price", sa.Numeric(precision=20, scale=6), nullable=True),
        sa.Column("reference_price", sa.Numeric(precision=20, scale=6), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("filled", sa.Numeric(precision=20, scale=6), server_default="0", nullable=False),
        sa.Column("average_price", sa.Numeric(precision=20, scale=6), nullable=True),
        sa.Column("reason", sa.String(), server_default="", nullable=False),
        sa.Column("session", sa.Date(), nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("updated_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_order")),
        sa.UniqueConstraint("alias", "ref_id", name=op.f("uq_order_alias_ref_id")),
        schema="paper",
    )
    op.create_table(
        "position",
        sa.Column("alias", sa.String(), nullable=False),
        sa.Column("symbol", sa.String(), nullable=False),
        sa.Column("quantity", sa.Numeric(precision=20, scale=6), nullable=False),
        sa.PrimaryKeyConstraint("alias", "symbol", name=op.f("pk_position")),
        schema="paper",
    )
    op.create_table(
        "reconcile",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("session", sa.Date(), nullable=True),
        sa.Column("ok", sa.Boolean(), nullable=False),
        sa.Column("differences", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("checked", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("flow_run_id", sa.String(), nullable=True),
        sa.Column("at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reconcile")),
    )
    op.create_index("ix_reconcile_at", "reconcile", ["account", "at"], unique=False)
    op.create_table(
        "refusal",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("session", sa.Date(), nullable=False),
        sa.Column("strategy", sa.String(), nullable=False),
        sa.Column("symbol", sa.String(), nullable=False),
        sa.Column("side", sa.String(), nullable=False),
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("limit_value", sa.String(), nullable=False),
        sa.Column("observed", sa.String(), nullable=False),
        sa.Column("unit", sa.String(), nullable=False),
        sa.Column("quantity", sa.Numeric(precision=20, scale=6), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("provenance", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("account", "session", "strategy", "symbol", "side", name=op.f("pk_refusal")),
        comment="A decision not to act, with its rule, the limit and the observed value (law 6).",
    )
    op.create_table(
        "signal",
        sa.Column("strategy", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("symbol", sa.String(), nullable=False),
        sa.Column("session", sa.Date(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("parameters", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("timeframe", sa.String(), nullable=False),
        sa.Column("bar_end", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("target", sa.Double(), nullable=False),
        sa.Column("seen", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("flow_run_id", sa.String(), nullable=True),
        sa.Column("code_commit", sa.String(), nullable=True),
        sa.Column("stored_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("strategy", "digest", "symbol", "session", "revision", name=op.f("pk_signal")),
        comment="What a strategy wants after a bar: a target weight of its own sleeve. digest = version + parameters.",
    )
    op.create_index("ix_signal_session", "signal", ["session"], unique=False)
    op.create_table(
        "split",
        sa.Column("symbol", sa.String(), nullable=False),
        sa.Column("session", sa.Date(), nullable=False),
        sa.Column("numerator", sa.Integer(), nullable=False),
        sa.Column("denominator", sa.Integer(), nullable=False),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("stored_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("symbol", "session", name=op.f("pk_split")),
        comment="numerator new shares for denominator old ones, effective at the open of the session.",
    )
    op.create_table(
        "fill",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("execution_id", sa.String(), nullable=False),
        sa.Column("ref_id", sa.Uuid(), nullable=True),
        sa.Column("broker_id", sa.String(), nullable=False),
        sa.Column("strategy", sa.String(), nullable=False),
        sa.Column("symbol", sa.String(), nullable=False),
        sa.Column("side", sa.String(), nullable=False),
        sa.Column("quantity", sa.Numeric(precision=20, scale=6), nullable=False),
        sa.Column("price", sa.Numeric(precision=20, scale=6), nullable=False),
        sa.Column("fee", sa.Numeric(precision=20, scale=6), nullable=False),
        sa.Column("session", sa.Date(), nullable=False),
        sa.Column("at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("booked_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("quantity > 0 and price > 0 and fee >= 0", name=op.f("ck_fill_amounts")),
        sa.ForeignKeyConstraint(["ref_id"], ["intent.ref_id"], name=op.f("fk_fill_ref_id_intent")),
        sa.PrimaryKeyConstraint("account", "execution_id", name=op.f("pk_fill")),
    )
    op.create_index("ix_fill_ref_id", "fill", ["ref_id"], unique=False)
    op.create_index("ix_fill_session", "fill", ["account", "session"], unique=False)
    op.create_table(
        "order_event",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("ref_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("cause", sa.String(), nullable=False),
        sa.Column("detail", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
        sa.Column("at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["ref_id"], ["intent.ref_id"], name=op.f("fk_order_event_ref_id_intent")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_order_event")),
        comment="Append-only: every transition of every order.",
    )
    op.create_index("ix_order_event_ref_id", "order_event", ["ref_id"], unique=False)
    op.create_table(
        "order_state",
        sa.Column("ref_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("broker_id", sa.String(), nullable=True),
        sa.Column("filled", sa.Numeric(precision=20, scale=6), server_default="0", nullable=False),
        sa.Column("average_price", sa.Numeric(precision=20, scale=6), nullable=True),
        sa.Column("reason", sa.String(), server_default="", nullable=False),
        sa.Column("updated_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["ref_id"], ["intent.ref_id"], name=op.f("fk_order_state_ref_id_intent")),
        sa.PrimaryKeyConstraint("ref_id", name=op.f("pk_order_state")),
        comment="Where each order stands now; order_event holds how it came there.",
    )
    op.create_index(
        "ix_order_state_open",
        "order_state",
        ["state"],
        unique=False,
        postgresql_where="state in ('planned','submitting','unknown','acked','partially_filled')",
    )
    op.create_table(
        "execution",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("alias", sa.String(), nullable=False),
        sa.Column("quantity", sa.Numeric(precision=20, scale=6), nullable=False),
        sa.Column("price", sa.Numeric(precision=20, scale=6), nullable=False),
        sa.Column("fee", sa.Numeric(precision=20, scale=6), nullable=False),
        sa.Column("session", sa.Date(), nullable=False),
        sa.Column("at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["paper.order.id"], name=op.f("fk_execution_order_id_order")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_execution")),
        schema="paper",
    )
    op.create_table(
        "posting",
        sa.Column("entry_id", sa.BigInteger(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("ledger_account", sa.String(), nullable=False),
        sa.Column("amount", sa.Numeric(precision=20, scale=6), nullable=False),
        sa.Column("strategy", sa.String(), nullable=False),
        sa.Column("symbol", sa.String(), nullable=False),
        sa.Column("quantity", sa.Numeric(precision=20, scale=6), nullable=False),
        sa.ForeignKeyConstraint(["entry_id"], ["entry.id"], name=op.f("fk_posting_entry_id_entry")),
        sa.PrimaryKeyConstraint("entry_id", "line", name=op.f("pk_posting")),
        comment="Debits positive; a deferred trigger refuses an entry whose postings do not sum to zero.",
    )
    for statement in GUARDS:
        op.execute(statement)
