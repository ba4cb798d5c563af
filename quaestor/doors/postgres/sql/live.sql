-- name: begin_run
-- A run begins; that is its first sign of life.
insert into live_run (id, account, holder, started_at, commit, config_digest, journal, facts, beat_at)
values (%(id)s, %(account)s, %(holder)s, %(started_at)s, %(commit)s, %(config_digest)s, %(journal)s, %(facts)s,
        clock_timestamp())

-- name: beat
-- It lives, by this clock.
update live_run set beat_at = clock_timestamp(), facts = %(facts)s where id = %(run)s

-- name: end_run
-- It ended; the first word on how counts.
update live_run set ended_at = clock_timestamp(), outcome = %(outcome)s where id = %(run)s and ended_at is null

-- name: newest_run
-- The one that began last: by the order in which they were written, for a rehearsal's clock stands elsewhere.
select * from live_run where account = %(account)s order by number desc limit 1

-- name: runs_named
-- Those whose id begins so; the newest first.
select * from live_run where starts_with(id::text, %(named)s) order by number desc limit 6

-- name: newest_ids
-- For a person who mistyped one.
select id::text from live_run order by number desc limit 12

-- name: runs
-- Newest first; limit null: all.
select * from live_run where account = %(account)s order by number desc limit %(limit)s

-- name: living_run
-- The one that was heard of last, if that is a short while ago and it has not ended: one that was killed is not alive
-- because its successor has ended.
select * from (select * from live_run where account = %(account)s order by beat_at desc, number desc limit 1) as newest
where ended_at is null and beat_at > clock_timestamp() - %(within)s

-- name: in_turn
-- One writer at a time of what an account's readers follow by number: numbers then grow in the order of commits.
select pg_advisory_xact_lock(hashtextextended('live:' || %(account)s, 0))

-- name: desire
-- The newest row counts.
insert into live_desired (account, state, by, reason, at)
values (%(account)s, %(state)s, %(by)s, %(reason)s, clock_timestamp())
returning *

-- name: desired
-- What is wanted now.
select * from live_desired where account = %(account)s order by number desc limit 1

-- name: tell
-- Numbered in the order in which they are told.
insert into live_happening (account, run, kind, subject, at, body)
select %(account)s, %(run)s, told.kind, told.subject, told.at, told.body
from unnest(%(kinds)s::text[], %(subjects)s::text[], %(ats)s::timestamptz[], %(bodies)s::json[])
     with ordinality as told (kind, subject, at, body, place)
order by told.place

-- name: happenings
-- What came after a cursor, oldest first.
select number, kind, subject, at, body from live_happening
where account = %(account)s and number > %(after)s order by number limit %(limit)s

-- name: cursor_at
-- The newest number that was told until that moment.
select coalesce(max(number), 0) as number from live_happening where account = %(account)s and told_at <= %(until)s

-- name: prune
-- What nobody looks at any more.
delete from live_happening where told_at < clock_timestamp() - %(older_than)s

-- name: keep
-- The newest in the place of the one before.
insert into live_snapshot (account, run, at, state) values (%(account)s, %(run)s, clock_timestamp(), %(state)s)
on conflict (account) do update set run = excluded.run, at = excluded.at, state = excluded.state

-- name: kept
-- Whatever run it is of.
select state from live_snapshot where account = %(account)s
