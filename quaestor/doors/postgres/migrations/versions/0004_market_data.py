"""Bars by number and time: partitioned, current versions apart from old ones; coverage, quarantine, dividends, ticks.

Bars that are stored already move along, each with its versions.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TIMEFRAMES = ("1d", "1m", "5m", "1h")
PRICES = "low > 0 and high < 'infinity' and high >= low and open between low and high and close between low and high"

# Old bars were all daily ones.
MOVE = (
    "insert into instrument (symbol) select distinct symbol from bar order by symbol",
    "insert into load (source, timeframe, at) select distinct source, '1d', stored_at from bar order by stored_at",
    """
    do $$
    declare year int;
    begin
        for year in
            select distinct extract(year from ts at time zone 'UTC')::int / 10 * 10 from bar
        loop
            execute format('create table bar_1d_p%s partition of bar_1d for values from (%L) to (%L)',
                           year, year || '-01-01T00:00Z', year + 10 || '-01-01T00:00Z');
        end loop;
    end $$
    """,
    """
    create temporary table moved on commit drop as
    select i.id as instrument, b.ts, b.version, b.session, b.open, b.high, b.low, b.close, b.volume, l.id as load,
           lead(l.id) over (partition by i.id, b.ts order by b.version) as superseded
    from bar b join instrument i using (symbol)
    join load l on l.source = b.source and l.at = b.stored_at
    """,
    """
    insert into bar_1d select instrument, ts, version, session, open, high, low, close, volume, load
    from moved where superseded is null
    """,
    "insert into bar_old select '1d', * from moved where superseded is not null",
    """
    insert into coverage (instrument, timeframe, period, asked_first, asked_last, stored, source)
    select instrument, '1d', date_trunc('month', session), min(session), max(session), count(*), 'before 0004'
    from bar_1d group by 1, 3
    """,
    "drop table bar",
)

BAR = """
    select i.symbol, '{0}'::text as timeframe, b.session, b.ts, b.open, b.high, b.low, b.close, b.volume, b.version,
           l.source, l.at as stored_at
    from bar_{0} b join instrument i on i.id = b.instrument join load l on l.id = b.load
"""

VIEWS = (
    "create view bar as " + " union all ".join(BAR.format(timeframe) for timeframe in TIMEFRAMES),
    """
    create view bar_version as
    select symbol, timeframe, session, ts, version, open, high, low, close, volume, source, stored_at,
           null::timestamptz as superseded_at
    from bar
    union all
    select i.symbol, b.timeframe, b.session, b.ts, b.version, b.open, b.high, b.low, b.close, b.volume,
           l.source, l.at, s.at
    from bar_old b join instrument i on i.id = b.instrument
    join load l on l.id = b.load join load s on s.id = b.superseded
    """,
    """
    create view corporate_action as
    select symbol, session, 'split' as kind, (numerator::numeric / denominator)::text as value, origin, source
    from split
    union all
    select symbol, session, 'dividend', amount::text, origin, source from dividend
    """,
)


def upgrade() -> None:
    """Build the tables, move the bars, show them to people under one name."""
    for timeframe in TIMEFRAMES:
        _create_bars(f"bar_{timeframe}")
    op.create_index("ix_bar_1d_session", "bar_1d", ["session"], unique=False)
    op.create_table(
        "bar_old",
        sa.Column("timeframe", sa.String(), nullable=False),
        sa.Column("instrument", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("ts", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("version", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("session", sa.Date(), nullable=False),
        sa.Column("open", sa.Double(), nullable=False),
        sa.Column("high", sa.Double(), nullable=False),
        sa.Column("low", sa.Double(), nullable=False),
        sa.Column("close", sa.Double(), nullable=False),
        sa.Column("volume", sa.BigInteger(), nullable=False),
        sa.Column("load", sa.Integer(), nullable=False),
        sa.Column("superseded", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("timeframe", "instrument", "ts", "version", name=op.f("pk_bar_old")),
        comment="Versions that a repair replaced, with the load that did (law 8): nothing that was known is lost.",
    )
    op.create_table(
        "blocked",
        sa.Column("symbol", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("symbol", name=op.f("pk_blocked")),
        comment="Symbols that take no entries until a person clears them: vendors disagree on a split, for one.",
    )
    op.create_table(
        "dividend",
        sa.Column("symbol", sa.String(), nullable=False),
        sa.Column("session", sa.Date(), nullable=False),
        sa.Column("amount", sa.Numeric(precision=20, scale=6), nullable=False),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("stored_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("symbol", "session", name=op.f("pk_dividend")),
        comment="Dollars per share of the session, the ex-date.",
    )
    op.create_table(
        "instrument",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("symbol", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_instrument")),
        sa.UniqueConstraint("symbol", name=op.f("uq_instrument_symbol")),
        comment="Bars name their symbol by a number: rows of fixed width go in and out as arrays.",
    )
    op.create_table(
        "load",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("timeframe", sa.String(), nullable=False),
        sa.Column("flow_run_id", sa.String(), nullable=True),
        sa.Column("at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_load")),
        comment="One transaction that stored bars: from where, when, by which run.",
    )
    op.create_table(
        "quarantine",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("symbol", sa.String(), nullable=False),
        sa.Column("timeframe", sa.String(), nullable=False),
        sa.Column("session", sa.Date(), nullable=True),
        sa.Column("ts", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("field", sa.String(), nullable=False),
        sa.Column("observed", sa.String(), nullable=False),
        sa.Column("limit_value", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("row", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("flow_run_id", sa.String(), nullable=True),
        sa.Column("at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quarantine")),
        sa.UniqueConstraint("digest", name=op.f("uq_quarantine_digest")),
        comment="Bars that a rule of quality refused, as they came (law 8).",
    )
    op.create_index("ix_quarantine_symbol", "quarantine", ["symbol", "timeframe", "session"], unique=False)
    op.create_table(
        "vouched",
        sa.Column("symbol", sa.String(), nullable=False),
        sa.Column("session", sa.Date(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("symbol", "session", name=op.f("pk_vouched")),
        comment="Sessions whose steps a person looked at and found real: the gate raises no doubt there again.",
    )
    op.create_table(
        "tick",
        sa.Column("instrument", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("ts", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("price", sa.Double(), nullable=False),
        sa.Column("size", sa.Double(), nullable=False),
        sa.CheckConstraint("price > 0 and size >= 0", name=op.f("ck_tick_print")),
        sa.PrimaryKeyConstraint("instrument", "ts", "number", name=op.f("pk_tick")),
        comment="Trades of recorded sessions; number: the feed's own, which tells prints of one instant apart.",
        postgresql_partition_by="RANGE (ts)",
    )
    op.create_table(
        "coverage",
        sa.Column("instrument", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("timeframe", sa.String(), nullable=False),
        sa.Column("period", sa.Date(), nullable=False),
        sa.Column("asked_first", sa.Date(), nullable=True),
        sa.Column("asked_last", sa.Date(), nullable=True),
        sa.Column("stored", sa.Integer(), server_default="0", nullable=False),
        sa.Column("quarantined", sa.Integer(), server_default="0", nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=True),
        sa.Column("source", sa.String(), server_default="", nullable=False),
        sa.Column("error", sa.String(), server_default="", nullable=False),
        sa.Column("at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["instrument"], ["instrument.id"], name=op.f("fk_coverage_instrument_instrument")),
        sa.PrimaryKeyConstraint("instrument", "timeframe", "period", name=op.f("pk_coverage")),
        comment="Cells of the history: a session (intraday) or a month (daily). digest: of all its stored bars.",
    )
    for statement in (*MOVE, *VIEWS):
        op.execute(statement)


def _create_bars(name: str) -> None:
    op.create_table(
        name,
        sa.Column("instrument", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("ts", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("version", sa.SmallInteger(), nullable=False),
        sa.Column("session", sa.Date(), nullable=False),
        *(sa.Column(price, sa.Double(), nullable=False) for price in ("open", "high", "low", "close")),
        sa.Column("volume", sa.BigInteger(), nullable=False),
        sa.Column("load", sa.Integer(), nullable=False),
        sa.CheckConstraint(PRICES, name=op.f(f"ck_{name}_prices")),
        sa.CheckConstraint("volume >= 0", name=op.f(f"ck_{name}_volume")),
        sa.PrimaryKeyConstraint("instrument", "ts", name=op.f(f"pk_{name}")),
        comment="As-traded bars, the newest version of each.",
        postgresql_partition_by="RANGE (ts)",
    )
