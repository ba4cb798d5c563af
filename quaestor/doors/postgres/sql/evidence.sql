-- name: snapshot
-- One consistent picture while the writer trades on, and no write.
set transaction isolation level repeatable read, read only

-- name: span
-- First and last settled session.
select min(session) as first, max(session) as last from equity where account = %(account)s

-- name: closes
-- Settled sessions of a range, oldest first, with the lots held at each close.
select session, cash, market_value, realized, unrealized, fees, capital, dividends, positions from equity
where account = %(account)s
  and session between coalesce(%(start)s::date, '-infinity') and coalesce(%(end)s::date, 'infinity')
order by session

-- name: close_before
-- The settled session before the range.
select session, cash, market_value, realized, unrealized, fees, capital, dividends, positions from equity
where account = %(account)s and session < %(start)s order by session desc limit 1

-- name: orders
-- Orders of the range with what caused them, oldest first.
select i.ref_id, i.session, i.strategy, i.symbol, i.side, i.quantity, i.reference_price, i.reduces,
       s.state, s.filled, s.average_price, s.reason,
       i.provenance #>> '{strategy,version}' as version, i.provenance #>> '{strategy,digest}' as digest,
       i.provenance #> '{strategy,parameters}' as parameters,
       (i.provenance #>> '{target,weight}')::float8 as target,
       i.provenance #>> '{bars,0,bar_end}' as bar_end, (i.provenance #>> '{bars,0,close}')::numeric as bar_close,
       json_array_length(coalesce(i.provenance -> 'checks', '[]')) as checks
from intent i join order_state s using (ref_id)
where i.account = %(account)s and i.session between %(start)s and %(end)s
order by i.session, i.reduces desc, i.strategy, i.symbol, i.leg

-- name: journal
-- Fills and splits up to the range's end that its close counts. place: a split learned late goes before what it changed.
select e.id, e.kind, e.named, f.strategy, f.execution_id, f.ref_id, f.broker_id, f.side, f.quantity, f.price, f.fee, f.at,
       coalesce(f.symbol, s.symbol) as symbol, e.session, s.numerator, s.denominator, s.origin,
       coalesce(case when e.kind = 'split' then (
           select min(x.id) from entry x join posting p on p.entry_id = x.id
           where x.account = e.account and x.session >= e.session and p.symbol = s.symbol
             and p.ledger_account = 'positions') end, e.id) as place
from entry e
left join fill f on e.kind = 'fill' and f.account = e.account and e.key = 'fill:' || f.execution_id
left join split s
  on e.kind = 'split' and e.key = concat_ws(':', 'split', e.account, s.symbol, to_char(s.session, 'YYYY-MM-DD'))
where e.account = %(account)s and e.kind in ('fill', 'split') and e.session <= %(end)s
  and e.id <= coalesce((select entry_id from equity where account = %(account)s and session = %(end)s), 'infinity'::float8)
order by e.id

-- name: flows
-- Dividends, fees of no fill, and transferred shares at their cost, up to the range's end. What was learned late counts
-- in the first session whose close has it.
select e.id, e.id as place, e.kind, p.strategy, p.symbol, p.quantity, p.lot_id,
       greatest(e.session, (select min(session) from equity q where q.account = e.account and q.entry_id >= e.id))
           as session,
       case when p.ledger_account = 'cash' then p.amount else -p.amount end as amount
from entry e join posting p on p.entry_id = e.id
where e.account = %(account)s and e.session <= %(end)s
  and (e.kind, p.ledger_account) in (('dividend', 'cash'), ('fee', 'cash'),
                                     ('transfer_in', 'positions'), ('transfer_out', 'positions'))
  and e.id <= coalesce((select entry_id from equity where account = %(account)s and session = %(end)s), 'infinity'::float8)
order by e.id, p.line

-- name: refusals
-- Decisions not to act, oldest first.
select session, strategy, symbol, side, quantity, rule, unit, limit_value as limit, observed, message from refusal
where account = %(account)s and session between %(start)s and %(end)s
order by session, strategy, symbol, side

-- name: resolved
-- Orders that were UNKNOWN and are no more: why they were, what they became, and which step told.
select i.ref_id, lost.reason, known.state, told.cause
from intent i
cross join lateral (
    select id, coalesce(detail ->> 'reason', '') as reason from order_event e
    where e.ref_id = i.ref_id and e.state = 'unknown' order by id limit 1
) lost
cross join lateral (
    select cause from order_event e
    where e.ref_id = i.ref_id and e.id > lost.id and e.state <> 'unknown' order by id limit 1
) told
cross join lateral (
    select state from order_event e
    where e.ref_id = i.ref_id and e.id > lost.id and e.state not in ('unknown', 'submitting') order by id limit 1
) known
where i.account = %(account)s and i.session between %(start)s and %(end)s
order by i.session, i.ref_id

-- name: signals
-- What each strategy said after the closes of the range. A signal's first revision counts, its repairs do not.
select strategy, version, digest, parameters, count(*) filter (where revision = 1) as signals,
       min(session) as first, max(session) as last,
       coalesce(array_agg(distinct flow_run_id) filter (where flow_run_id is not null), '{}') as flow_run_ids
from signal where session between %(start)s and %(end)s
group by strategy, version, digest, parameters
order by strategy, first, digest

-- name: runs
-- Which runs decided the sessions of the range, with which code and configuration.
select flow_run_id, code_commit as commit, config_digest, count(*) as sessions, min(session) as first, max(session) as last
from decision where account = %(account)s and session between %(start)s and %(end)s
group by flow_run_id, code_commit, config_digest
order by first, last, flow_run_id, code_commit, config_digest

-- name: latches
-- What stops entries now; it concerns only the newest range.
select name, reason, set_at from latch
where account = %(account)s and cleared_at is null
  and not exists (select from equity where account = %(account)s and session > %(end)s)
order by name

-- name: reconciliation
-- The comparison of books and broker nearest to the range's end: the last one in the range, else the first one after it.
select session, differences, checked from reconcile
where account = %(account)s and session >= %(start)s
order by session > %(end)s, abs(session - %(end)s), at desc, id desc limit 1

-- name: upsert_devlog
-- A devlog of the same evidence and the same words is left alone.
insert into devlog as d (account, start, "end", digest, evidence, markdown, flow_run_id)
values (%(account)s, %(start)s, %(end)s, %(digest)s, %(evidence)s, %(markdown)s, %(flow_run_id)s)
on conflict (account, start, "end") do update
    set digest = excluded.digest, evidence = excluded.evidence, markdown = excluded.markdown,
        flow_run_id = excluded.flow_run_id, at = now()
    where (d.digest, d.markdown) is distinct from (excluded.digest, excluded.markdown)

-- name: devlog
-- A devlog as it was kept, with its evidence.
select evidence::text as evidence, markdown, digest from devlog
where account = %(account)s and start = %(start)s and "end" = %(end)s
