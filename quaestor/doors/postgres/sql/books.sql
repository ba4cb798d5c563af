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
                        time_in_force, limit_price, stop_price, reference_price, reduces, oco, replaces, provenance)
    values (%(ref_id)s, %(account)s, %(strategy)s, %(symbol)s, %(session)s, %(cause_key)s, %(side)s, %(leg)s, %(quantity)s,
            %(order_type)s, %(time_in_force)s, %(limit_price)s, %(stop_price)s, %(reference_price)s, %(reduces)s, %(oco)s,
            %(replaces)s, %(provenance)s)
    returning ref_id
), standing as (
    insert into order_state (ref_id, state, epoch) select ref_id, 'planned', %(epoch)s from planned
)
insert into order_event (account, ref_id, state, epoch, cause, causation, detail)
select %(account)s, ref_id, 'planned', %(epoch)s, %(cause)s, %(causation)s, jsonb_build_object('digest', %(digest)s::text)
from planned

-- name: place_intent
-- An order that is sent at once: intent, SUBMITTING and its event in one statement, if the lease is ours (law 3). It was
-- never planned without being sent, and its log says so. No entry is placed while a latch stops entries (law 6).
with ours as (
    select account, epoch from lease
    where account = %(account)s and holder = %(holder)s and epoch = %(epoch)s::bigint and expires_at > clock_timestamp()
    for share
), placed as (
    insert into intent (ref_id, account, strategy, symbol, session, cause_key, side, leg, quantity, order_type,
                        time_in_force, limit_price, stop_price, reference_price, reduces, oco, replaces, provenance)
    select %(ref_id)s::uuid, account, %(strategy)s, %(symbol)s, %(session)s::date, %(cause_key)s, %(side)s,
           %(leg)s::int, %(quantity)s::numeric, %(order_type)s, %(time_in_force)s, %(limit_price)s::numeric,
           %(stop_price)s::numeric, %(reference_price)s::numeric, %(reduces)s::boolean, %(oco)s, %(replaces)s::uuid,
           %(provenance)s::json
    from ours
    where %(reduces)s::boolean
        or not (select exists (select from latch where latch.account = %(account)s and cleared_at is null))
    on conflict do nothing
    returning ref_id, account
), standing as (
    insert into order_state (ref_id, state, epoch) select ref_id, 'submitting', %(epoch)s::bigint from placed
), sent as (
    insert into order_event (account, ref_id, state, epoch, cause, detail)
    select account, ref_id, 'submitting', %(epoch)s::bigint, 'decided', jsonb_build_object('digest', %(digest)s::text)
    from placed
)
select (select count(*) from ours) as ours, (select ref_id from placed) as placed

-- name: place_intents
-- The same of several orders, in their order.
with ours as (
    select epoch from lease
    where account = %(account)s and holder = %(holder)s and epoch = %(epoch)s::bigint and expires_at > clock_timestamp()
    for share
), new as (
    select n.* from ours, rows from (json_to_recordset(%(orders)s::json) as (
        ref_id uuid, strategy text, symbol text, session date, cause_key text, side text, leg int, quantity numeric,
        order_type text, time_in_force text, limit_price numeric, stop_price numeric, reference_price numeric,
        reduces boolean, oco text, replaces uuid, digest text, provenance text)) with ordinality
        as n (ref_id, strategy, symbol, session, cause_key, side, leg, quantity, order_type, time_in_force,
              limit_price, stop_price, reference_price, reduces, oco, replaces, digest, provenance, number)
    where n.reduces or not exists (select from latch where latch.account = %(account)s and cleared_at is null)
), placed as (
    insert into intent (ref_id, account, strategy, symbol, session, cause_key, side, leg, quantity, order_type,
                        time_in_force, limit_price, stop_price, reference_price, reduces, oco, replaces, provenance)
    select ref_id, %(account)s, strategy, symbol, session, cause_key, side, leg, quantity, order_type, time_in_force,
           limit_price, stop_price, reference_price, reduces, oco, replaces, provenance::json
    from new order by number
    on conflict do nothing
    returning ref_id
), standing as (
    insert into order_state (ref_id, state, epoch) select ref_id, 'submitting', %(epoch)s from placed
), sent as (
    insert into order_event (account, ref_id, state, epoch, cause, detail)
    select %(account)s, ref_id, 'submitting', %(epoch)s, 'decided', jsonb_build_object('digest', digest)
    from new join placed using (ref_id) order by number
)
select (select count(*) from ours) as ours, (select string_agg(ref_id::text, ' ') from placed) as placed

-- name: insert_refusal
-- A refusal is stored with its rule, limit and observed value (law 6).
insert into refusal (account, session, strategy, symbol, side, cause_key, rule, limit_value, observed, unit, quantity, message, provenance)
values (%(account)s, %(session)s, %(strategy)s, %(symbol)s, %(side)s, %(cause_key)s, %(rule)s, %(limit)s, %(observed)s, %(unit)s,
        %(quantity)s, %(message)s, %(provenance)s)
on conflict do nothing

-- name: lock_orders
-- One transition of an order at a time; and whether entries are stopped now.
select s.ref_id, i.reduces, s.state, s.filled, s.average_price,
       exists (select from latch where latch.account = %(account)s and cleared_at is null) as stopped
from order_state s join intent i using (ref_id)
where i.account = %(account)s and ref_id = any(%(ref_ids)s) order by ref_id for update of s

-- name: move_orders
-- Where orders stand now, and how they came there; an event follows from the order's last one unless another is named.
with step as (
    select * from rows from (json_to_recordset(%(steps)s::json) as (
        ref_id uuid, state text, broker_id text, filled numeric, average_price numeric, reason text, cause text,
        causation bigint, detail jsonb)) with ordinality
        as s (ref_id, state, broker_id, filled, average_price, reason, cause, causation, detail, number)
), moved as (
    update order_state o set state = s.state, epoch = %(epoch)s, broker_id = coalesce(s.broker_id, o.broker_id),
        filled = s.filled, average_price = s.average_price, reason = s.reason, updated_at = now()
    from step s where o.ref_id = s.ref_id
)
insert into order_event (account, ref_id, state, epoch, cause, causation, detail)
select %(account)s, ref_id, state, %(epoch)s, cause,
       coalesce(causation, (select max(id) from order_event e where e.ref_id = step.ref_id)), detail
from step order by number

-- name: adopt_order
-- An order placed by hand begins in the broker's own state. A sale reduces: no halt takes it back.
with adopted as (
    insert into intent (ref_id, account, strategy, symbol, session, cause_key, side, leg, quantity, order_type,
                        time_in_force, limit_price, stop_price, reference_price, reduces, provenance)
    values (%(ref_id)s, %(account)s, %(strategy)s, %(symbol)s, %(session)s, %(cause_key)s, %(side)s, 0, %(quantity)s,
            %(order_type)s, 'gfd', %(limit_price)s, %(stop_price)s, %(reference_price)s, %(reduces)s, %(provenance)s)
    on conflict do nothing
    returning ref_id
), standing as (
    insert into order_state (ref_id, state, epoch, broker_id, filled, average_price, reason)
    select ref_id, %(state)s, %(epoch)s, %(broker_id)s, %(filled)s, %(average_price)s, %(reason)s from adopted
)
insert into order_event (account, ref_id, state, epoch, cause, detail)
select %(account)s, ref_id, %(state)s, %(epoch)s, 'adopted', %(detail)s from adopted
returning ref_id

-- name: replacing
-- An order that is being replaced, what it is to become, and the event that said so.
select i.*, s.state, s.epoch, s.broker_id, s.filled, s.average_price, s.reason, s.updated_at, e.id, e.detail
from order_event e join order_state s using (ref_id) join intent i using (ref_id)
where ref_id = %(ref_id)s and e.state = 'pending_replace' order by e.id desc limit 1

-- name: chain_end
-- Where the chain of the account's log ends.
select seq, hash from chain where account = %(account)s

-- name: open_orders
-- Orders that may still change, without their evidence, oldest first.
select i.ref_id, i.account, i.strategy, i.symbol, i.session, i.cause_key, i.side, i.leg, i.quantity, i.order_type,
       i.time_in_force, i.limit_price, i.stop_price, i.reference_price, i.reduces, i.oco, i.replaces, i.planned_at,
       '{}'::json as provenance, s.state, s.epoch, s.broker_id, s.filled, s.average_price, s.reason, s.updated_at
from intent i join order_state s using (ref_id)
where i.account = %(account)s and s.state not in ('filled', 'canceled', 'expired', 'expired_unsent', 'rejected')
order by i.session, i.reduces desc, i.strategy, i.symbol, i.leg

-- name: known_orders
-- Which of these orders are in the books.
select ref_id from intent where account = %(account)s and ref_id = any(%(ref_ids)s)

-- name: orders_since
-- All orders of sessions from one on, without their evidence: to be compared with the broker's.
select i.ref_id, i.account, i.strategy, i.symbol, i.session, i.cause_key, i.side, i.leg, i.quantity, i.order_type,
       i.time_in_force, i.limit_price, i.stop_price, i.reference_price, i.reduces, i.oco, i.replaces, i.planned_at,
       '{}'::json as provenance, s.state, s.epoch, s.broker_id, s.filled, s.average_price, s.reason, s.updated_at
from intent i join order_state s using (ref_id)
where i.account = %(account)s and i.session >= %(since)s
order by i.session, i.reduces desc, i.strategy, i.symbol, i.leg

-- name: orders_followed
-- The same, from the session of the oldest order that is still open on, or from another, whichever is earlier.
select i.ref_id, i.account, i.strategy, i.symbol, i.session, i.cause_key, i.side, i.leg, i.quantity, i.order_type,
       i.time_in_force, i.limit_price, i.stop_price, i.reference_price, i.reduces, i.oco, i.replaces, i.planned_at,
       '{}'::json as provenance, s.state, s.epoch, s.broker_id, s.filled, s.average_price, s.reason, s.updated_at
from intent i join order_state s using (ref_id)
where i.account = %(account)s and i.session >= least(%(session)s, (
    select min(o.session) from intent o join order_state w using (ref_id)
    where o.account = %(account)s and w.state not in ('filled', 'canceled', 'expired', 'expired_unsent', 'rejected')))
order by i.session, i.reduces desc, i.strategy, i.symbol, i.leg

-- name: counts
-- What sessions came to: orders decided, refusals, fills.
select (select count(*) from intent where account = %(account)s and session between %(start)s and %(end)s) as orders,
       (select count(*) from refusal where account = %(account)s and session between %(start)s and %(end)s) as refusals,
       (select count(*) from fill where account = %(account)s and session between %(start)s and %(end)s) as fills
