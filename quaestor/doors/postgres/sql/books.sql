-- name: insert_decision
-- A session is decided once.
insert into decision (account, session, equity, cash, config_digest, epoch, flow_run_id, code_commit)
values (%(account)s, %(session)s, %(equity)s, %(cash)s, %(config_digest)s, %(epoch)s, %(flow_run_id)s, %(code_commit)s)
on conflict (account, session) do nothing
returning session

-- name: decided
-- Sessions already decided.
select session from decision where account = %(account)s and session between %(start)s and %(end)s

-- name: insert_intent
-- The unique key refuses a second order for the same cause (law 1). Every order begins PLANNED, with its intent.
with planned as (
    insert into intent (ref_id, account, strategy, symbol, session, cause_key, side, leg, quantity, order_type,
                        time_in_force, limit_price, reference_price, reduces, provenance)
    values (%(ref_id)s, %(account)s, %(strategy)s, %(symbol)s, %(session)s, %(cause_key)s, %(side)s, %(leg)s, %(quantity)s,
            %(order_type)s, %(time_in_force)s, %(limit_price)s, %(reference_price)s, %(reduces)s, %(provenance)s)
    returning ref_id
), standing as (
    insert into order_state (ref_id, state, epoch) select ref_id, 'planned', %(epoch)s from planned
)
insert into order_event (ref_id, state, epoch, cause) select ref_id, 'planned', %(epoch)s, 'decided' from planned

-- name: insert_refusal
-- A refusal is stored with its rule, limit and observed value (law 6).
insert into refusal (account, session, strategy, symbol, side, rule, limit_value, observed, unit, quantity, message, provenance)
values (%(account)s, %(session)s, %(strategy)s, %(symbol)s, %(side)s, %(rule)s, %(limit)s, %(observed)s, %(unit)s,
        %(quantity)s, %(message)s, %(provenance)s)
on conflict do nothing

-- name: lock_order
-- One transition of an order at a time.
select state, epoch, broker_id, filled, average_price, reason from order_state where ref_id = %(ref_id)s for update

-- name: move_order
-- Where the order stands now, and how it came there.
with moved as (
    update order_state set state = %(state)s, epoch = %(epoch)s, broker_id = coalesce(%(broker_id)s, broker_id),
        filled = greatest(filled, %(filled)s), average_price = coalesce(%(average_price)s, average_price),
        reason = %(reason)s, updated_at = now()
    where ref_id = %(ref_id)s
    returning ref_id, state, epoch
)
insert into order_event (ref_id, state, epoch, cause, detail)
select ref_id, state, epoch, %(cause)s, %(detail)s from moved

-- name: open_orders
-- Orders that may still change, oldest first.
select i.*, s.state, s.epoch, s.broker_id, s.filled, s.average_price, s.reason, s.updated_at
from intent i join order_state s using (ref_id)
where i.account = %(account)s and s.state in ('planned', 'submitting', 'unknown', 'acked', 'partially_filled')
order by i.session, i.reduces desc, i.strategy, i.symbol, i.leg

-- name: orders_since
-- All orders of sessions from one on.
select i.*, s.state, s.epoch, s.broker_id, s.filled, s.average_price, s.reason, s.updated_at
from intent i join order_state s using (ref_id)
where i.account = %(account)s and i.session >= %(since)s
order by i.session, i.reduces desc, i.strategy, i.symbol, i.leg

-- name: counts
-- What sessions came to: orders decided, refusals, fills.
select (select count(*) from intent where account = %(account)s and session between %(start)s and %(end)s) as orders,
       (select count(*) from refusal where account = %(account)s and session between %(start)s and %(end)s) as refusals,
       (select count(*) from fill where account = %(account)s and session between %(start)s and %(end)s) as fills

-- name: insert_fill
-- Booked once, however often the broker tells it.
insert into fill (account, execution_id, ref_id, broker_id, strategy, symbol, side, quantity, price, fee, session, at)
values (%(account)s, %(execution_id)s, %(ref_id)s, %(broker_id)s, %(strategy)s, %(symbol)s, %(side)s, %(quantity)s,
        %(price)s, %(fee)s, %(session)s, %(at)s)
on conflict (account, execution_id) do nothing
returning execution_id

-- name: strategy_of
-- Whose order a fill belongs to.
select strategy from intent where ref_id = %(ref_id)s

-- name: booked_fills
-- Executions already in the books.
select execution_id from fill where account = %(account)s and session >= %(since)s

-- name: insert_entry
-- The key is unique: a fact is booked once.
insert into entry (account, key, kind, session, at, memo)
values (%(account)s, %(key)s, %(kind)s, %(session)s, %(at)s, %(memo)s)
on conflict (account, key) do nothing
returning id

-- name: insert_posting
-- One line of an entry.
insert into posting (entry_id, line, ledger_account, amount, strategy, symbol, quantity)
values (%(entry_id)s, %(line)s, %(ledger_account)s, %(amount)s, %(strategy)s, %(symbol)s, %(quantity)s)

-- name: upsert_lot
-- A lot opens, shrinks, or is rescaled.
insert into lot (account, lot_id, strategy, symbol, session, quantity, cost)
values (%(account)s, %(lot_id)s, %(strategy)s, %(symbol)s, %(session)s, %(quantity)s, %(cost)s)
on conflict (account, lot_id) do update set quantity = excluded.quantity, cost = excluded.cost

-- name: lots_of
-- Open lots of one strategy and symbol, oldest first, locked: a sale relieves them.
select lot_id, strategy, symbol, session, quantity, cost from lot
where account = %(account)s and strategy = %(strategy)s and symbol = %(symbol)s and quantity > 0
order by session, opened for update

-- name: lots_of_symbol
-- Open lots of a symbol from before a session, every strategy's, locked: the session's split rescales them, not later ones.
select lot_id, strategy, symbol, session, quantity, cost from lot
where account = %(account)s and symbol = %(symbol)s and session < %(session)s and quantity > 0
order by session, opened for update

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
-- A settled session; settling it again with the same books changes nothing.
insert into equity (account, session, cash, market_value, equity, realized, unrealized, fees, capital, positions)
values (%(account)s, %(session)s, %(cash)s, %(market_value)s, %(equity)s, %(realized)s, %(unrealized)s, %(fees)s, %(capital)s,
        %(positions)s)
on conflict (account, session) do nothing
returning session

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
