-- name: lock_symbol
-- One writer of a symbol's bars at a time: versions are counted.
select pg_advisory_xact_lock(hashtextextended('bar:' || %(symbol)s, 0))

-- name: create_staging
-- Rows arrive here by COPY and are compared with what is stored.
create temporary table staging (
    symbol text, timeframe text, session date, ts timestamptz,
    open float8, high float8, low float8, close float8, volume int8
) on commit drop

-- name: copy_staging
-- The bulk of an ingest, in one stream.
copy staging (symbol, timeframe, session, ts, open, high, low, close, volume) from stdin (format csv)

-- name: merge_staging
-- New bars become version 1, changed ones the next version; equal ones write nothing.
with merged as (
    insert into bar (symbol, timeframe, ts, version, session, open, high, low, close, volume, source)
    select s.symbol, s.timeframe, s.ts, coalesce(old.version, 0) + 1, s.session,
           s.open, s.high, s.low, s.close, s.volume, %(source)s
    from staging s
    left join lateral (
        select * from bar b
        where b.symbol = s.symbol and b.timeframe = s.timeframe and b.ts = s.ts
        order by b.version desc limit 1
    ) old on true
    where old.version is null
       or (old.open, old.high, old.low, old.close, old.volume) is distinct from (s.open, s.high, s.low, s.close, s.volume)
    returning version
)
select count(*) filter (where version = 1) as new, count(*) filter (where version > 1) as changed from merged

-- name: insert_split
-- A split is a fact: the first source to tell it is kept.
insert into split (symbol, session, numerator, denominator, origin, source)
values (%(symbol)s, %(session)s, %(numerator)s, %(denominator)s, %(origin)s, %(source)s)
on conflict (symbol, session) do nothing

-- name: splits_of
-- Every known split of some symbols, oldest first.
select symbol, session, numerator, denominator, origin from split
where symbol = any(%(symbols)s) order by session, symbol

-- name: splits_on
-- Splits effective at the open of a session.
select symbol, session, numerator, denominator, origin from split where session = %(session)s order by symbol

-- name: copy_bars
-- Current versions of some symbols' bars, as one CSV stream.
copy (
    select distinct on (symbol, ts) symbol, timeframe, session, ts at time zone 'UTC', open, high, low, close, volume, version
    from bar
    where symbol = any(%(symbols)s) and timeframe = %(timeframe)s
      and session between coalesce(%(start)s::date, '-infinity') and coalesce(%(end)s::date, 'infinity')
    order by symbol, ts, version desc
) to stdout (format csv)

-- name: last_bar
-- The newest bar of a symbol up to a session.
select * from bar where symbol = %(symbol)s and timeframe = %(timeframe)s and session <= %(upto)s
order by ts desc, version desc limit 1

-- name: bars_of_session
-- Every symbol's bar of one session, current versions.
select distinct on (symbol) * from bar where session = %(session)s and timeframe = %(timeframe)s
order by symbol, version desc

-- name: bars_of_sessions
-- Every symbol's bars from one session to another, current versions; to fill a reader's window in one go.
select distinct on (session, symbol) * from bar
where session between %(start)s and %(end)s and timeframe = %(timeframe)s
order by session, symbol, version desc

-- name: span
-- What is stored of one symbol; the primary key serves it from both ends.
select (select session from bar where symbol = %(symbol)s and timeframe = %(timeframe)s order by ts limit 1) as first,
       (select session from bar where symbol = %(symbol)s and timeframe = %(timeframe)s order by ts desc limit 1) as last

-- name: spans
-- What is stored of each symbol.
select symbol, min(session) as first, max(session) as last, count(distinct ts) as bars
from bar where timeframe = %(timeframe)s group by symbol order by symbol
