-- name: revision
-- Which schema the database has; the table is missing before the first upgrade.
select version_num as revision from alembic_version

-- name: positions
-- Open lots by strategy and symbol, valued at the newest stored close up to the newest settled session.
with settled as (select max(session) as session from equity where account = %(account)s),
held as (
    select strategy, symbol, sum(quantity) as quantity, sum(cost) as cost, min(session) as since
    from lot where account = %(account)s and quantity > 0 group by strategy, symbol
)
select h.strategy, h.symbol, h.quantity, h.cost, h.since, b.close::numeric as price, b.session as priced_at,
       h.quantity * b.close::numeric as market_value, h.quantity * b.close::numeric - h.cost as unrealized,
       h.quantity * b.close::numeric / nullif(e.equity, 0) as weight
from held h
cross join settled s
left join equity e on e.account = %(account)s and e.session = s.session
left join lateral (
    select b.close, b.session from instrument i join bar_1d b on b.instrument = i.id
    where i.symbol = h.symbol and b.session <= s.session order by b.ts desc limit 1
) b on true
order by h.strategy, h.symbol

-- name: orders
-- Our orders, newest first, with what the broker made of them.
select i.ref_id, i.session, i.strategy, i.symbol, i.side, i.quantity, i.order_type, i.limit_price, i.reference_price,
       s.state, s.filled, s.average_price, s.broker_id, s.reason, f.fee
from intent i
join order_state s using (ref_id)
left join lateral (select sum(fee) as fee from fill where ref_id = i.ref_id) f on true
where i.account = %(account)s
  and (%(symbol)s::text is null or i.symbol = %(symbol)s)
  and (%(strategy)s::text is null or i.strategy = %(strategy)s)
  and (%(state)s::text is null or s.state = %(state)s)
  and (%(session)s::date is null or i.session = %(session)s)
order by i.session desc, i.planned_at desc, i.reduces, i.strategy desc, i.symbol desc
limit %(limit)s

-- name: pnl
-- Realized P&L, dividends and fees from the journal, unrealized from open lots, by strategy and symbol.
select strategy, symbol, realized, coalesce(unrealized, 0) as unrealized, dividends, fees,
       realized + coalesce(unrealized, 0) + dividends - fees as total
from pnl_by_position where account = %(account)s order by strategy, symbol

-- name: equity
-- The account at its newest settled session.
select * from equity where account = %(account)s order by session desc limit 1

-- name: equity_by_session
-- The account, session by session, newest first.
select session, cash, market_value, equity, realized, unrealized, dividends, fees,
       equity - lag(equity) over (order by session) as change
from equity where account = %(account)s order by session desc limit %(limit)s

-- name: order
-- One order by the beginning of its id, with all its evidence.
select i.*, s.state, s.epoch, s.broker_id, s.filled, s.average_price, s.reason, s.updated_at
from intent i join order_state s using (ref_id)
where i.account = %(account)s and i.ref_id::text like %(prefix)s || '%%'
order by i.ref_id limit 3

-- name: order_events
-- What happened to an order, in order.
select id, seq, at, state, epoch, cause, causation, detail from order_event where ref_id = %(ref_id)s order by id

-- name: order_fills
-- Its executions.
select execution_id, quantity, price, fee, session, at from fill where ref_id = %(ref_id)s order by at, execution_id

-- name: order_ids
-- Some ids that exist, for a helpful message.
select ref_id::text as ref_id from intent where account = %(account)s order by planned_at desc limit 3

-- name: refusals
-- Decisions not to act, newest first.
select session, strategy, symbol, side, quantity, rule, limit_value, observed, unit, message from refusal
where account = %(account)s order by session desc, strategy, symbol limit %(limit)s

-- name: counts
-- How much there is.
select (select count(*) from intent where account = %(account)s) as orders,
       (select count(*) from order_state s join intent i using (ref_id)
        where i.account = %(account)s and s.state not in ('filled', 'canceled', 'expired', 'expired_unsent', 'rejected'))
           as open_orders,
       (select count(*) from order_state s join intent i using (ref_id)
        where i.account = %(account)s and s.state = 'unknown') as unknown_orders,
       (select count(*) from fill where account = %(account)s) as fills,
       (select count(*) from refusal where account = %(account)s) as refusals,
       (select count(*) from signal) as signals,
       (select coalesce(sum(stored), 0) from coverage) as bars,
       (select count(distinct instrument) from coverage where stored > 0) as symbols,
       (select max(session) from bar_1d) as last_bar

-- name: lease
-- The single writer now.
select holder, epoch, expires_at, holder is not null and expires_at > clock_timestamp() as live
from lease where account = %(account)s

-- name: login
-- How a login stands; no secret is in it.
select alias, state, since, expires_at, due_at, reason, cure from auth where alias = %(alias)s

-- name: latches
-- What stops entries.
select name, reason, set_at from latch where account = %(account)s and cleared_at is null order by set_at

-- name: last_reconcile
-- The newest comparison with the broker.
select session, ok, differences, checked, at from reconcile where account = %(account)s order by at desc, id desc limit 1

-- name: server
-- Which server this is, and whether Prefect's own metadata could live in it.
select current_setting('server_version') as version,
       exists (select from pg_available_extensions where name = 'pg_trgm') as pg_trgm

-- name: events
-- The log of all orders, in the order of its chain, as the hashes cover it.
select seq, ref_id::text, state, epoch, cause, coalesce(causation::text, '') as causation, detail::text as detail,
       to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') as at, hash
from order_event where account = %(account)s and seq > %(after)s order by seq limit %(limit)s

-- name: chain_head
-- Where the chain ends.
select seq, hash from chain where account = %(account)s

-- name: all_orders
-- Every order as it stands, with its intent.
select i.*, i.provenance::text as evidence, s.state from intent i join order_state s using (ref_id) where i.account = %(account)s

-- name: all_fills
-- Every fill of an order of ours, as text.
select execution_id, quantity::text, price::text, fee::text from fill
where account = %(account)s and ref_id is not null

-- name: event_count
-- How many events of orders there are.
select count(*) as events from order_event where account = %(account)s
