-- name: insert_fills
-- Booked once, however often the broker tells them; what was suspected of them is settled.
with told as (
    select * from rows from (json_to_recordset(%(fills)s::json) as (
        execution_id text, ref_id uuid, broker_id text, strategy text, symbol text, side text, quantity numeric,
        price numeric, fee numeric, session date, at timestamptz)) with ordinality
        as t (execution_id, ref_id, broker_id, strategy, symbol, side, quantity, price, fee, session, at, number)
), cleared as (
    update suspect_fill s set booked_at = now() from told
    where s.account = %(account)s and s.execution_id = told.execution_id and booked_at is null
)
insert into fill (account, execution_id, ref_id, broker_id, strategy, symbol, side, quantity, price, fee, session, at)
select %(account)s, execution_id, ref_id, broker_id, strategy, symbol, side, quantity, price, fee, session, at
from told order by number
on conflict (account, execution_id) do nothing
returning execution_id

-- name: orders_of_fills
-- Whose orders fills belong to: by our own id, else by the broker's (an order placed by hand has no other).
select ref_id, null as broker_id, account, strategy, symbol, side, session, quantity
from intent where ref_id = any(%(ref_ids)s)
union all
select i.ref_id, s.broker_id, i.account, i.strategy, i.symbol, i.side, i.session, i.quantity
from order_state s join intent i using (ref_id)
where i.account = %(account)s and s.broker_id = any(%(broker_ids)s)

-- name: fills_of_orders
-- What orders have filled so far.
select ref_id, quantity, session from fill where ref_id = any(%(ref_ids)s)

-- name: splits_between
-- Splits of symbols after one session, up to another: an order that works across one follows it.
select symbol, session, numerator, denominator, origin from split
where symbol = any(%(symbols)s) and session > %(after)s and session <= %(upto)s order by session

-- name: insert_suspect
-- A fill that the books cannot take, kept for a person to see.
insert into suspect_fill (account, execution_id, reason, execution)
values (%(account)s, %(execution_id)s, %(reason)s, %(execution)s)
on conflict (account, execution_id) do update set reason = excluded.reason

-- name: suspects
-- Fills that are in no book.
select execution_id, reason from suspect_fill where account = %(account)s and booked_at is null order by seen_at

-- name: booked_fills
-- Executions already in the books.
select execution_id from fill where account = %(account)s and session >= %(since)s

-- name: insert_entries
-- Entries with their lines. The key is unique: a fact is booked once.
with new as (
    insert into entry (account, key, kind, session, at, memo, named)
    select %(account)s, key, kind, session, at, memo, named
    from rows from (json_to_recordset(%(entries)s::json) as (
        key text, kind text, session date, at timestamptz, memo text, named text[])) with ordinality
        as e (key, kind, session, at, memo, named, number)
    order by number
    on conflict (account, key) do nothing
    returning id, key
), lines as (
    insert into posting (entry_id, line, ledger_account, amount, strategy, symbol, quantity, lot_id)
    select new.id, p.line, p.ledger_account, p.amount, p.strategy, p.symbol, p.quantity, p.lot_id
    from new join json_to_recordset(%(postings)s::json) as p (
        key text, line int, ledger_account text, amount numeric, strategy text, symbol text, quantity numeric,
        lot_id text) using (key)
    order by new.id, p.line
)
select key from new

-- name: upsert_lots
-- Lots open, shrink, or are rescaled.
insert into lot (account, lot_id, strategy, symbol, session, quantity, cost)
select %(account)s, lot_id, strategy, symbol, session, quantity, cost
from rows from (json_to_recordset(%(lots)s::json) as (
    lot_id text, strategy text, symbol text, session date, quantity numeric, cost numeric)) with ordinality
    as l (lot_id, strategy, symbol, session, quantity, cost, number)
order by number
on conflict (account, lot_id) do update set quantity = excluded.quantity, cost = excluded.cost

-- name: lots_of
-- Open lots of some strategies and symbols, oldest first, locked: sales relieve them.
select lot_id, strategy, symbol, session, quantity, cost from lot
where account = %(account)s and symbol = any(%(symbols)s) and strategy = any(%(strategies)s) and quantity > 0
order by session, opened for update

-- name: lots_of_symbol
-- Open lots of a symbol from before a session, every strategy's, locked: the session's split rescales them, not later ones.
select lot_id, strategy, symbol, session, quantity, cost from lot
where account = %(account)s and symbol = %(symbol)s and session < %(session)s and quantity > 0
order by session, opened for update

-- name: lots_before
-- A symbol's lots at the close before a session, as the journal has them, oldest first.
select p.lot_id, p.strategy, p.symbol, l.session, sum(p.quantity) as quantity, sum(p.amount) as cost
from entry e
join posting p on p.entry_id = e.id and p.ledger_account = 'positions' and p.symbol = %(symbol)s
join lot l on l.account = e.account and l.lot_id = p.lot_id
where e.account = %(account)s and e.session < %(session)s
group by p.lot_id, p.strategy, p.symbol, l.session, l.opened having sum(p.quantity) > 0
order by l.session, l.opened

-- name: all_lots
-- A symbol's lots, closed ones too, locked.
select lot_id, strategy, symbol, session, quantity, cost from lot
where account = %(account)s and symbol = %(symbol)s order by session, opened for update

-- name: since
-- What happened to a symbol's lots from a session on, as it was booked. nameless: an entry of before 0006 names no lot.
select e.key, e.kind, e.named, min(p.strategy) as strategy, min(p.lot_id) as lot_id, min(l.session) as opened,
       sum(p.quantity) as quantity, sum(p.amount) as amount, bool_or(p.lot_id = '') as nameless,
       e.session, p.symbol, s.numerator, s.denominator, s.origin
from entry e
join posting p on p.entry_id = e.id and p.ledger_account = 'positions' and p.symbol = %(symbol)s
left join lot l on l.account = e.account and l.lot_id = p.lot_id
left join split s on e.kind = 'split' and s.symbol = p.symbol and s.session = e.session
where e.account = %(account)s and e.session >= %(session)s
group by e.id, p.symbol, s.symbol, s.session order by e.id

-- name: held_before
-- Each strategy's shares of a symbol at the close before a session, as the journal has them.
select p.strategy, sum(p.quantity) as quantity
from entry e join posting p on p.entry_id = e.id and p.ledger_account = 'positions' and p.symbol = %(symbol)s
where e.account = %(account)s and e.session < %(session)s
group by p.strategy having sum(p.quantity) > 0 order by p.strategy

-- name: missing_splits
-- Splits up to a session of what was held at the close before them, not booked yet; however late they were learned.
select a.symbol, a.session, a.numerator, a.denominator, a.origin from split a
where a.session <= %(upto)s
  and exists (select from lot l where l.account = %(account)s and l.symbol = a.symbol and l.session < a.session)
  and not exists (
    select from entry e where e.account = %(account)s
      and e.key = concat_ws(':', 'split', %(account)s::text, a.symbol, to_char(a.session, 'YYYY-MM-DD')))
  and (select sum(p.quantity) from posting p join entry e on e.id = p.entry_id
       where p.symbol = a.symbol and p.ledger_account = 'positions' and e.account = %(account)s
         and e.session < a.session) > 0
order by a.session, a.symbol

-- name: missing_dividends
-- Dividends up to a session on what was held at the close before the ex-date, not booked yet. Only those that a source
-- told: what we derive from adjusted closes is an estimate, and no money.
select a.symbol, a.session, a.amount, a.origin from dividend a
where a.session <= %(upto)s and a.origin = 'source'
  and exists (select from lot l where l.account = %(account)s and l.symbol = a.symbol and l.session < a.session)
  and not exists (
    select from entry e where e.account = %(account)s
      and e.key = concat_ws(':', 'dividend', %(account)s::text, a.symbol, to_char(a.session, 'YYYY-MM-DD')))
  and (select sum(p.quantity) from posting p join entry e on e.id = p.entry_id
       where p.symbol = a.symbol and p.ledger_account = 'positions' and e.account = %(account)s
         and e.session < a.session) > 0
order by a.session, a.symbol

-- name: open_lots
-- All open lots.
select lot_id, strategy, symbol, session, quantity, cost from lot
where account = %(account)s and quantity > 0 order by session, opened

-- name: balances
-- The ledger accounts' sums, debits positive.
select p.ledger_account, sum(p.amount) as amount from posting p join entry e on e.id = p.entry_id
where e.account = %(account)s group by p.ledger_account

-- name: shares_by_journal
-- Shares by symbol as fills and splits say, to compare with lots and the broker.
select p.symbol, sum(p.quantity) as quantity from posting p join entry e on e.id = p.entry_id
where e.account = %(account)s and p.ledger_account = 'positions' group by p.symbol having sum(p.quantity) <> 0

-- name: insert_equity
-- A settled session; settling it again changes nothing, whatever was learned since.
insert into equity (account, session, cash, market_value, equity, realized, unrealized, dividends, fees, capital,
                    positions, entry_id)
values (%(account)s::text, %(session)s, %(cash)s, %(market_value)s, %(equity)s, %(realized)s, %(unrealized)s, %(dividends)s,
        %(fees)s, %(capital)s, %(positions)s, (select max(id) from entry where account = %(account)s))
on conflict (account, session) do nothing
returning session

-- name: opened
-- When the books of a real account were begun (see operations/opening.py).
select at from entry where account = %(account)s and key = 'opening:' || %(account)s

-- name: last_equity
-- The newest settled session.
select * from equity where account = %(account)s order by session desc limit 1

-- name: peak_equity
-- The highest close so far: drawdown's anchor.
select max(equity) as peak from equity where account = %(account)s

-- name: equity_curve
-- Settled sessions, oldest first.
select * from equity where account = %(account)s and session between %(start)s and %(end)s order by session

-- name: equity_before
-- The settled session before another: yesterday's equity.
select equity from equity where account = %(account)s and session < %(session)s order by session desc limit 1
