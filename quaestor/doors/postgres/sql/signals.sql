-- name: create_staging
-- Fresh signals arrive here by COPY.
create temporary table staging_signal (
    symbol text, session date, bar_end timestamptz, target float8, seen jsonb
) on commit drop

-- name: copy_staging
-- In one stream.
copy staging_signal (symbol, session, bar_end, target, seen) from stdin (format csv)

-- name: merge_staging
-- A signal that is already there writes nothing; a different target (its bars were repaired) is the next revision, and so
-- is "no opinion any more": a signal that the strategy no longer gives for a session that it was asked about.
with merged as (
    insert into signal (strategy, digest, symbol, session, revision, version, parameters, timeframe, bar_end, target, seen,
                        flow_run_id, code_commit)
    select %(strategy)s, %(digest)s, s.symbol, s.session, coalesce(old.revision, 0) + 1, %(version)s, %(parameters)s,
           %(timeframe)s, s.bar_end, s.target, s.seen, %(flow_run_id)s, %(code_commit)s
    from staging_signal s
    left join lateral (
        select revision, target, retracted from signal o
        where o.strategy = %(strategy)s and o.digest = %(digest)s and o.symbol = s.symbol and o.session = s.session
        order by revision desc limit 1
    ) old on true
    where old.revision is null or old.retracted or old.target is distinct from s.target
    on conflict do nothing
    returning revision
), retracted as (
    insert into signal (strategy, digest, symbol, session, revision, version, parameters, timeframe, bar_end, target, seen,
                        flow_run_id, code_commit, retracted)
    select o.strategy, o.digest, o.symbol, o.session, o.revision + 1, o.version, o.parameters, o.timeframe, o.bar_end,
           o.target, o.seen, %(flow_run_id)s, %(code_commit)s, true
    from (
        select distinct on (symbol, session) * from signal
        where strategy = %(strategy)s and digest = %(digest)s and session between %(first)s and %(last)s
        order by symbol, session, revision desc
    ) o
    where not o.retracted
      and not exists (select from staging_signal s where s.symbol = o.symbol and s.session = o.session)
    on conflict do nothing
    returning revision
)
select (select count(*) from merged) + (select count(*) from retracted) as new

-- name: of_sessions
-- The newest revision of each signal of some strategies, by session; none of a signal that was retracted.
select * from (
    select distinct on (session, strategy, symbol) *
    from signal where digest = any(%(digests)s) and session between %(start)s and %(end)s
    order by session, strategy, symbol, revision desc
) newest
where not retracted order by session, strategy, symbol

-- name: mark_computed
-- The strategy was asked about these sessions.
insert into computed as c (digest, strategy, first, last)
values (%(digest)s, %(strategy)s, %(first)s, %(last)s)
on conflict (digest) do update
    set first = least(c.first, excluded.first), last = greatest(c.last, excluded.last), at = now()

-- name: computed
-- About which sessions each of these strategies was asked.
select digest, first, last from computed where digest = any(%(digests)s)
