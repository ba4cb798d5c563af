"""Lots named in the journal; dividends; fills that cannot be right; views for analytics.

The views are plain: a reader sees what was committed when its statement began, takes no lock that a writer waits for,
and waits for none. What is "now" is as of the newest session that the account's books have seen: prices of recorded
sessions that lie ahead of a replay are not looked at.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

FUNCTIONS = (
    "create aggregate product(numeric) (sfunc = numeric_mul, stype = numeric, initcond = '1')",
    # Half to even, as `exchange.cents` rounds.
    """
    create function cents(amount numeric) returns numeric language sql immutable as $$
        select case when mod(amount * 100, 1) = 0.5 then 2 * round(amount * 50) else round(amount * 100) end / 100
    $$
    """,
    # What one share of a session has become by another one, by the splits that the books have booked.
    """
    create function split_factor(who text, name text, after date, upto date) returns numeric language sql stable as $$
        select coalesce(product(s.numerator::numeric) / product(s.denominator::numeric), 1)
        from split s
        where s.symbol = name and s.session > after and s.session <= upto
          and exists (select from entry e where e.account = who
                      and e.key = concat_ws(':', 'split', who, s.symbol, to_char(s.session, 'YYYY-MM-DD')))
    $$
    """,
)

TOTALS = """
        select account, {0}, sum(realized) as realized, sum(dividends) as dividends, sum(fees) as fees,
               case when bool_and(unrealized is not null) then sum(unrealized) end as unrealized,
               case when bool_and(total is not null) then sum(total) end as total
        from pnl_by_position group by account, {0}
        """

VIEWS = {
    "account_now": (
        "The accounts, and the newest session that their books have seen.",
        """
        select l.account, greatest(
            (select max(e.session) from equity e where e.account = l.account),
            (select max(e.session) from entry e where e.account = l.account)) as session
        from lease l
        """,
    ),
    "cash_now": (
        "Dollars by account, as the journal has them.",
        """
        select e.account, sum(p.amount) as cash from entry e join posting p on p.entry_id = e.id
        where p.ledger_account = 'cash' group by e.account
        """,
    ),
    "position_now": (
        "Open lots by strategy and symbol, at the newest close; price in the shares of now, null where none is stored.",
        """
        select h.account, h.strategy, h.symbol, h.quantity, h.cost, h.since, m.price, m.session as priced_at,
               h.quantity * m.price as market_value, h.quantity * m.price - h.cost as unrealized
        from (
            select account, strategy, symbol, sum(quantity) as quantity, sum(cost) as cost, min(session) as since
            from lot where quantity > 0 group by account, strategy, symbol
        ) h
        left join account_now n on n.account = h.account
        left join lateral (
            select c.session, case when c.factor = 1 then c.close else cents(c.close / c.factor) end as price
            from (
                select b.session, b.close::numeric as close, split_factor(h.account, h.symbol, b.session, n.session)
                from instrument i join bar_1d b on b.instrument = i.id
                where i.symbol = h.symbol and b.session <= n.session order by b.ts desc limit 1
            ) c (session, close, factor)
        ) m on true
        """,
    ),
    "pnl_by_position": (
        "Dollars by strategy and symbol. unrealized, total: null where a price is missing.",
        """
        select account, strategy, symbol, coalesce(b.realized, 0) as realized, coalesce(b.dividends, 0) as dividends,
               coalesce(b.fees, 0) as fees, case when p.quantity is null then 0 else p.unrealized end as unrealized,
               coalesce(b.realized, 0) + coalesce(b.dividends, 0) - coalesce(b.fees, 0)
                   + case when p.quantity is null then 0 else p.unrealized end as total
        from (
            select e.account, p.strategy, p.symbol,
                   -coalesce(sum(p.amount) filter (where p.ledger_account = 'realized'), 0) as realized,
                   -coalesce(sum(p.amount) filter (where p.ledger_account = 'dividends'), 0) as dividends,
                   coalesce(sum(p.amount) filter (where p.ledger_account = 'fees'), 0) as fees
            from entry e join posting p on p.entry_id = e.id
            where p.ledger_account in ('realized', 'dividends', 'fees') group by e.account, p.strategy, p.symbol
        ) b full join position_now p using (account, strategy, symbol)
        """,
    ),
    "pnl_by_strategy": ("Dollars by strategy.", TOTALS.format("strategy")),
    "pnl_by_symbol": ("Dollars by symbol.", TOTALS.format("symbol")),
    "pnl_by_session": (
        "What the facts of a session did, and what prices did at its close; null where it is not settled.",
        """
        select account, session, coalesce(b.realized, 0) as realized, coalesce(b.dividends, 0) as dividends,
               coalesce(b.fees, 0) as fees, coalesce(b.capital, 0) as capital, q.change as unrealized_change,
               coalesce(b.realized, 0) + coalesce(b.dividends, 0) - coalesce(b.fees, 0) + q.change as total, q.equity
        from (
            select e.account, e.session,
                   -coalesce(sum(p.amount) filter (where p.ledger_account = 'realized'), 0) as realized,
                   -coalesce(sum(p.amount) filter (where p.ledger_account = 'dividends'), 0) as dividends,
                   coalesce(sum(p.amount) filter (where p.ledger_account = 'fees'), 0) as fees,
                   -coalesce(sum(p.amount) filter (where p.ledger_account = 'capital'), 0) as capital
            from entry e join posting p on p.entry_id = e.id group by e.account, e.session
        ) b full join (
            select account, session, equity,
                   unrealized - lag(unrealized, 1, 0::numeric) over (partition by account order by session) as change
            from equity
        ) q using (account, session)
        """,
    ),
    "equity_now": (
        "The account, dollars; market_value and what hangs on it null where a price is missing.",
        """
        select n.account, n.session, b.cash, h.market_value, b.cash + h.market_value as equity, b.capital, b.realized,
               h.market_value - h.cost as unrealized, b.dividends, b.fees,
               h.market_value / nullif(b.cash + h.market_value, 0) as exposure
        from account_now n
        cross join lateral (
            select coalesce(sum(p.amount) filter (where p.ledger_account = 'cash'), 0) as cash,
                   -coalesce(sum(p.amount) filter (where p.ledger_account = 'capital'), 0) as capital,
                   -coalesce(sum(p.amount) filter (where p.ledger_account = 'realized'), 0) as realized,
                   -coalesce(sum(p.amount) filter (where p.ledger_account = 'dividends'), 0) as dividends,
                   coalesce(sum(p.amount) filter (where p.ledger_account = 'fees'), 0) as fees
            from entry e join posting p on p.entry_id = e.id where e.account = n.account
        ) b
        cross join lateral (
            select case when coalesce(bool_and(o.price is not null), true) then coalesce(sum(o.market_value), 0) end
                       as market_value, coalesce(sum(o.cost), 0) as cost
            from position_now o where o.account = n.account
        ) h
        """,
    ),
    "exposure_now": (
        "By symbol, of all strategies together; weight: the share of equity.",
        """
        select o.account, o.symbol, sum(o.quantity) as quantity, sum(o.market_value) as market_value,
               sum(o.market_value) / nullif(max(q.equity), 0) as weight
        from position_now o join equity_now q on q.account = o.account group by o.account, o.symbol
        """,
    ),
    "closed_lot": (
        "What each sale took of each lot: shares, dollars; gain before fees.",
        """
        select e.account, e.id as entry_id, p.line, e.key as sale, p.strategy, p.symbol, e.session, p.lot_id,
               l.session as opened, -p.quantity as quantity, -p.amount as cost, -p.amount - r.amount as proceeds,
               -r.amount as gain
        from entry e
        join posting p on p.entry_id = e.id and p.ledger_account = 'positions' and p.quantity < 0 and p.lot_id <> ''
        join posting r on r.entry_id = e.id and r.ledger_account = 'realized' and r.lot_id = p.lot_id
        left join lot l on l.account = e.account and l.lot_id = p.lot_id
        where e.kind = 'fill'
        """,
    ),
}

# What `quaestor.ledger.wash_sales` says, of all symbols of an account; a test holds the two together.
WASH = (
    """
    create function wash_sales(who text) returns table (
        sale text, lot_id text, symbol text, session date, quantity numeric, loss numeric,
        disallowed_quantity numeric, disallowed numeric, replaced_by text[]
    ) language plpgsql stable as $$
    #variable_conflict use_column
    declare
        piece record; bought record; used jsonb := '{}'; sold numeric; need numeric; free numeric; replacing text[];
    begin
        for piece in
            select c.*, split_factor(who, c.symbol, c.session, 'infinity') as scale from closed_lot c
            where c.account = who and c.gain < 0 order by c.symbol, c.session, c.entry_id, c.line
        loop
            sold := piece.quantity * piece.scale;
            need := sold;
            replacing := '{}';
            for bought in
                select p.lot_id as name, p.quantity * split_factor(who, p.symbol, e.session, 'infinity') as whole,
                       (e.session, e.id) < (piece.session, piece.entry_id) as before
                from entry e join posting p on p.entry_id = e.id
                where e.account = who and e.kind = 'fill' and p.ledger_account = 'positions' and p.quantity > 0
                  and p.symbol = piece.symbol and p.lot_id <> piece.lot_id
                  and e.session between piece.session - 30 and piece.session + 30
                order by e.session, e.id
            loop
                exit when need <= 0;
                free := bought.whole - coalesce((used ->> bought.name)::numeric, 0);
                if bought.before then
                    free := least(free, bought.whole - coalesce((
                        select sum(c.quantity * split_factor(who, c.symbol, c.session, 'infinity')) from closed_lot c
                        where c.account = who and c.lot_id = bought.name
                          and (c.session, c.entry_id) <= (piece.session, piece.entry_id)), 0));
                end if;
                continue when free <= 0;
                free := least(free, need);
                used := used || jsonb_build_object(bought.name, coalesce((used ->> bought.name)::numeric, 0) + free);
                need := need - free;
                replacing := replacing || bought.name;
            end loop;
            continue when need = sold;
            return query select
                piece.sale::text, piece.lot_id::text, piece.symbol::text, piece.session, piece.quantity, -piece.gain,
                round(piece.quantity * (sold - need) / sold, 6), round(-piece.gain * (sold - need) / sold, 2),
                replacing;
        end loop;
    end $$
    """,
    "create view wash_sale as select a.account, w.* from lease a cross join lateral wash_sales(a.account) w",
    """
    comment on view wash_sale is
    'Losses that IRC § 1091 defers, in shares as sold and dollars before fees: flags, the books'' cost stays.'
    """,
)


def upgrade() -> None:
    """Add them."""
    op.add_column("entry", sa.Column("named", postgresql.ARRAY(sa.String()), server_default="{}", nullable=False))
    op.add_column("posting", sa.Column("lot_id", sa.String(), server_default="", nullable=False))
    op.add_column("equity", sa.Column("dividends", sa.Numeric(20, 6), server_default="0", nullable=False))
    op.add_column("equity", sa.Column("entry_id", sa.BigInteger(), nullable=True))
    op.create_table_comment(
        "equity",
        "The account at each session's close; its existence says that the session is settled. entry_id: the newest "
        "entry that it counts.",
    )
    op.create_table_comment(
        "entry", "The journal: one balanced entry per fact. named: the lots that a sale was told to take; none: FIFO."
    )
    op.create_table_comment(
        "posting",
        "Debits positive; a deferred trigger refuses an entry whose postings do not sum to zero. lot_id: the lot that "
        "changes, or whose sale was realized; empty in entries from before 0006.",
    )
    op.create_index("ix_entry_session", "entry", ["account", "session"])
    positions = sa.text("ledger_account = 'positions'")
    op.create_index("ix_posting_positions", "posting", ["symbol"], postgresql_where=positions)
    op.create_index("ix_lot_symbol", "lot", ["account", "symbol", "session"])
    op.create_table(
        "suspect_fill",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("execution_id", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("execution", postgresql.JSONB(), nullable=False),
        sa.Column("seen_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("booked_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("account", "execution_id", name=op.f("pk_suspect_fill")),
        comment="Fills that cannot be right, as the broker told them; booked_at: since when the books could take it "
        "after all.",
    )
    op.create_table(
        "paid_dividend",
        sa.Column("alias", sa.String(), nullable=False),
        sa.Column("symbol", sa.String(), nullable=False),
        sa.Column("session", sa.Date(), nullable=False),
        sa.Column("amount", sa.Numeric(20, 6), nullable=False),
        sa.PrimaryKeyConstraint("alias", "symbol", "session", name=op.f("pk_paid_dividend")),
        schema="paper",
    )
    for statement in FUNCTIONS:
        op.execute(statement)
    for name, (says, query) in VIEWS.items():
        op.execute(f"create view {name} as {query}")
        op.execute(f"comment on view {name} is '{says}'")
    for statement in WASH:
        op.execute(statement)
