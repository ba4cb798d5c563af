-- name: create_staging
-- Fresh signals arrive here by COPY.
create temporary table staging_signal (
    symbol text, session date, bar_end timestamptz, target float8, seen jsonb
) on commit drop

-- name: copy_staging
-- In one stream.
copy staging_signal (symbol, session, bar_end, target, seen) from stdin (format csv)

-- name: merge_staging
-- A signal that is already there writes nothing; a different target (its bars were repaired) is the next revision.
with merged as (
    insert into signal (strategy, digest, symbol, session, revision, version, parameters, timeframe, bar_end, target, seen,
                        flow_run_id, code_commit)
    select %(strategy)s, %(digest)s, s.symbol, s.session, coalesce(old.revision, 0) + 1, %(version)s, %(parameters)s,
           %(timeframe)s, s.bar_end, s.target, s.seen, %(flow_run_id)s, %(code_commit)s
    from staging_signal s
    left join lateral (
        select revision, target from signal o
        where o.strategy = %(strategy)s and o.digest = %(digest)s and o.symbol = s.symbol and o.session = s.session
        order by revision desc limit 1
    ) old on true
    where old.revision is null or old.target is distinct from s.target
    on conflict do nothing
    returning revision
)
select count(*) as new from merged

-- name: of_sessions
-- The newest revision of each signal of some strategies, by session.
select distinct on (session, strategy, symbol) *
from signal where digest = any(%(digests)s) and session between %(start)s and %(end)s
order by session, strategy, symbol, revision desc

-- name: mark_computed
-- The strategy was asked about these sessions.
insert into computed as c (digest, strategy, first, last)
values (%(digest)s, %(strategy)s, %(first)s, %(last)s)
on conflict (digest) do update
    set first = least(c.first, excluded.first), last = greatest(c.last, excluded.last), at = now()

-- name: computed
-- About which sessions each of these strategies was asked.
select digest, first, last from computed where digest = any(%(digests)s)
