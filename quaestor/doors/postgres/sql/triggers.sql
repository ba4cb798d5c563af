-- name: begin_changes
-- The row that numbers an account's changes, where it is not there yet.
insert into trigger_changes (account, number) values (%(account)s, 0) on conflict do nothing

-- name: lock_changes
-- Whoever changes a trigger holds this row until he commits: numbers grow in the order of commits.
select number from trigger_changes where account = %(account)s for update

-- name: next_change
-- One number further.
update trigger_changes set number = number + 1 where account = %(account)s returning number

-- name: cursor
-- The newest change's number.
select number from trigger_changes where account = %(account)s

-- name: one
-- A trigger, present or removed.
select * from trigger where id = %(id)s for update

-- name: named
-- Which other trigger that is in has the name.
select id from trigger where account = %(account)s and name = %(name)s and removed_at is null and id <> %(id)s

-- name: insert
-- A new one.
insert into trigger (id, account, name, rule, latch, note, by, change)
values (%(id)s, %(account)s, %(name)s, %(rule)s, %(latch)s, %(note)s, %(by)s, %(change)s)

-- name: rewrite
-- Another rule in its place.
update trigger set name = %(name)s, rule = %(rule)s, latch = %(latch)s, note = %(note)s, by = %(by)s,
       written_at = now(), change = %(change)s
where id = %(id)s

-- name: relabel
-- The same rule under another name or note: its latch stays, and whoever follows changes need not know.
update trigger set name = %(name)s, note = %(note)s, by = %(by)s where id = %(id)s

-- name: rescale
-- The same rule after a split: it was written when it was written, and whoever follows changes rescales by himself.
update trigger set rule = %(rule)s, latch = %(latch)s where id = %(id)s

-- name: remove
-- Taken out; its name is free, its id is not.
update trigger set removed_at = now(), by = %(by)s, note = coalesce(%(note)s, note), change = %(change)s
where id = %(id)s

-- name: present
-- Those that are in, oldest first.
select * from trigger where account = %(account)s and removed_at is null order by written_at, id

-- name: present_for_update
-- The same, before they are rewritten.
select * from trigger where account = %(account)s and removed_at is null order by written_at, id for update

-- name: changed
-- What changed after a cursor, in the order of changes.
select * from trigger where account = %(account)s and change > %(after)s order by change

-- name: by_id_or_name
-- Those that are in and could be meant.
select * from trigger
where account = %(account)s and removed_at is null
  and (name = %(named)s or id::text = lower(%(named)s)
       or (length(%(named)s) >= %(shortest)s and starts_with(id::text, lower(%(named)s))))
order by name <> %(named)s, id

-- name: labels
-- How those that are in are called.
select id, name from trigger where account = %(account)s and removed_at is null order by written_at, id limit 200

-- name: keep_latches
-- A latch with fewer firings than are known is older and changes nothing; one that was lived under a rule before brings
-- its firings only.
update trigger t
set latch = case when t.change <= coalesce(%(seen)s::bigint, t.change) then g.latch
            else t.latch || jsonb_build_object('fired', g.latch -> 'fired', 'last_fired', g.latch -> 'last_fired') end
from unnest(%(ids)s::uuid[], %(latches)s::text[]::jsonb[]) as g (id, latch)
where t.id = g.id and t.account = %(account)s and t.latch <> g.latch
  and (g.latch ->> 'fired')::bigint
      >= case when jsonb_typeof(t.latch -> 'fired') = 'number' then (t.latch ->> 'fired')::numeric else 0 end

-- name: insert_firing
-- Once.
insert into trigger_firing (id, account, trigger, number, symbol, price, at, action, outcome)
values (%(id)s, %(account)s, %(trigger)s, %(number)s, %(symbol)s, %(price)s, %(at)s, %(action)s, %(outcome)s)
on conflict (id) do nothing
returning id

-- name: fired
-- How often a trigger fired, as its firings tell.
select coalesce(max(number), 0) as number from trigger_firing where trigger = %(id)s

-- name: outcome
-- What came of it.
update trigger_firing set outcome = %(outcome)s where id = %(id)s

-- name: firings
-- Newest first.
select id, trigger, number, symbol, price, at, action, outcome from trigger_firing
where account = %(account)s and (%(trigger)s::uuid is null or trigger = %(trigger)s)
order by at desc, kept_at desc, number desc limit %(limit)s

-- name: new_split
-- A split is taken into account once.
insert into trigger_split (account, symbol, session) values (%(account)s, %(symbol)s, %(session)s)
on conflict do nothing
returning symbol

-- name: splits_known
-- Those of a session that were taken into account.
select symbol from trigger_split where account = %(account)s and session = %(session)s

-- name: clock
-- The database's.
select clock_timestamp() as now

-- name: closes
-- The newest stored close of each symbol.
select i.symbol, b.close, b.session
from unnest(%(symbols)s::text[]) as asked (symbol)
join instrument i on i.symbol = asked.symbol
cross join lateral (select close, session from bar_1d where instrument = i.id order by ts desc limit 1) b
