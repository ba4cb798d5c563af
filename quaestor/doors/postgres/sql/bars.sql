-- name: add_instruments
-- Symbols get their number once, in an order that no two writers can cross.
insert into instrument (symbol)
select s from unnest(%(symbols)s::text[]) s where not exists (select from instrument where symbol = s) order by s
on conflict (symbol) do nothing

-- name: instruments
-- The numbers of some symbols.
select id, symbol from instrument where symbol = any(%(symbols)s)

-- name: all_instruments
-- The numbers of all symbols.
select id, symbol from instrument

-- name: lock_symbols
-- One writer of a symbol's bars at a time: versions are counted.
select count(pg_advisory_xact_lock(hashtextextended('bar:' || %(timeframe)s || ':' || s, 0)))
from (select s from unnest(%(symbols)s::text[]) s order by s) ordered

-- name: cells
-- What is known of some cells.
select instrument, period, asked_first, asked_last, stored, quarantined, digest, error from coverage
where timeframe = %(timeframe)s and instrument = any(%(instruments)s) and period between %(first)s and %(last)s

-- name: stored_rows
-- Bars that are there already, each symbol within its own stretch, to be compared with what came: packed, a row a
-- symbol, since half a million rows one by one take the client seconds.
select string_agg(int4send(b.instrument) || timestamptz_send(b.ts) || int2send(b.version) || date_send(b.session)
                  || float8send(b.open) || float8send(b.high) || float8send(b.low) || float8send(b.close)
                  || int8send(b.volume) || int4send(b.load), ''::bytea) as packed
from unnest(%(instruments)s::int[], %(lows)s::timestamptz[], %(highs)s::timestamptz[]) r (instrument, low, high)
join {bar} b on b.instrument = r.instrument and b.ts between r.low and r.high
group by b.instrument

-- name: next_load
-- The number that the bars of a load carry.
select nextval(pg_get_serial_sequence('load', 'id'))::int as id

-- name: insert_load
-- From where, when and by which run bars came. It is the last word of its transaction, and on the clock of the moment:
-- nobody could read these bars before, and a load that waited for another one of its symbols is later than that one.
insert into load (id, source, timeframe, flow_run_id, at) overriding system value
values (%(id)s, %(source)s, %(timeframe)s, %(flow_run_id)s, clock_timestamp())

-- name: copy_rows
-- New bars, in one stream.
copy {bar} (instrument, ts, version, session, open, high, low, close, volume, load) from stdin (format binary)

-- name: create_repairs
-- Changed bars arrive here.
create temporary table repair (
    instrument int4, ts timestamptz, version int2, session date,
    open float8, high float8, low float8, close float8, volume int8, load int4
) on commit drop

-- name: copy_repairs
-- The changed bars, with their new version.
copy repair (instrument, ts, version, session, open, high, low, close, volume, load) from stdin (format binary)

-- name: keep_old
-- The version that is replaced stays (law 8).
insert into bar_old (timeframe, instrument, ts, version, session, open, high, low, close, volume, load, superseded)
select %(timeframe)s, b.instrument, b.ts, b.version, b.session, b.open, b.high, b.low, b.close, b.volume, b.load, r.load
from repair r join {bar} b on b.instrument = r.instrument and b.ts = r.ts

-- name: replace
-- The repair becomes the current version.
update {bar} b set version = r.version, session = r.session, open = r.open, high = r.high, low = r.low, close = r.close,
    volume = r.volume, load = r.load
from repair r where b.instrument = r.instrument and b.ts = r.ts

-- name: drop_repairs
-- And are gone: an import stores batch after batch in one transaction.
drop table repair

-- name: cover
-- Cells as they stand after a load, written with it.
insert into coverage (instrument, timeframe, period, asked_first, asked_last, stored, digest, source, error)
select instrument, %(timeframe)s, period, asked_first, asked_last, stored, digest, %(source)s, ''
from unnest(%(instruments)s::int[], %(periods)s::date[], %(firsts)s::date[], %(lasts)s::date[], %(counts)s::int[],
            %(digests)s::bytea[]) c (instrument, period, asked_first, asked_last, stored, digest)
on conflict (instrument, timeframe, period) do update set asked_first = excluded.asked_first,
    asked_last = excluded.asked_last, stored = excluded.stored, digest = excluded.digest, source = excluded.source,
    error = '', at = now()

-- name: fail
-- A source could not give these cells; what is stored of them stays.
insert into coverage (instrument, timeframe, period, source, error)
select i.id, %(timeframe)s, p, %(source)s, %(error)s
from instrument i, unnest(%(periods)s::date[]) p where i.symbol = %(symbol)s
on conflict (instrument, timeframe, period) do update set error = excluded.error, at = now()

-- name: count_quarantined
-- Bars of these cells that stand in quarantine and are not stored by now.
with refused as (
    select i.id as instrument,
           case when q.timeframe = '1d' then date_trunc('month', q.session)::date else q.session end as period,
           count(distinct (q.ts, q.session)) as bars
    from quarantine q join instrument i using (symbol)
    where q.symbol = any(%(symbols)s) and q.timeframe = %(timeframe)s
      and not exists (select from {bar} b where b.instrument = i.id and b.ts = q.ts)
    group by 1, 2
)
update coverage c set quarantined = coalesce(r.bars, 0)
from instrument i, coverage k left join refused r using (instrument, period)
where i.symbol = any(%(symbols)s) and k.instrument = i.id and k.timeframe = %(timeframe)s
  and k.quarantined <> coalesce(r.bars, 0)
  and (c.instrument, c.timeframe, c.period) = (k.instrument, k.timeframe, k.period)

-- name: add_quarantined
-- What a rule refused, once, as it came.
insert into quarantine (digest, symbol, timeframe, session, ts, rule, field, observed, limit_value, source, "row",
                        flow_run_id)
select decode(r->>'digest', 'hex'), r->>'symbol', r->>'timeframe', (r->>'session')::date, (r->>'ts')::timestamptz,
       r->>'rule', r->>'field', r->>'observed', r->>'limit', r->>'source', r->'row', %(flow_run_id)s
from jsonb_array_elements(%(rows)s::jsonb) r
on conflict (digest) do nothing
returning id

-- name: quarantined
-- What stands in quarantine, newest first.
select symbol, timeframe, session, ts, rule, field, observed, limit_value, source, "row", at from quarantine
where (%(symbols)s::text[] is null or symbol = any(%(symbols)s))
  and (%(timeframe)s::text is null or timeframe = %(timeframe)s)
  and (%(start)s::date is null or session >= %(start)s) and (%(end)s::date is null or session <= %(end)s)
order by at desc, id desc limit %(limit)s

-- name: coverage
-- Cells of some symbols, oldest first.
select i.symbol, c.timeframe, c.period, c.asked_first, c.asked_last, c.stored, c.quarantined, c.source, c.error, c.at
from coverage c join instrument i on i.id = c.instrument
where c.timeframe = %(timeframe)s and (%(symbols)s::text[] is null or i.symbol = any(%(symbols)s))
  and (%(first)s::date is null or c.period >= %(first)s) and (%(last)s::date is null or c.period <= %(last)s)
order by i.symbol, c.period

-- name: insert_split
-- A split is a fact: the first source to tell it is kept, unless we had only derived it.
insert into split as s (symbol, session, numerator, denominator, origin, source)
values (%(symbol)s, %(session)s, %(numerator)s, %(denominator)s, %(origin)s, %(source)s)
on conflict (symbol, session) do update set numerator = excluded.numerator, denominator = excluded.denominator,
    origin = excluded.origin, source = excluded.source, stored_at = now()
where s.origin = 'derived' and excluded.origin = 'source'

-- name: insert_dividend
-- A dividend is a fact too.
insert into dividend as d (symbol, session, amount, origin, source)
values (%(symbol)s, %(session)s, %(amount)s, %(origin)s, %(source)s)
on conflict (symbol, session) do update set amount = excluded.amount, origin = excluded.origin,
    source = excluded.source, stored_at = now()
where d.origin = 'derived' and excluded.origin = 'source'

-- name: splits_of
-- Every known split of some symbols, oldest first.
select symbol, session, numerator, denominator, origin, source from split
where symbol = any(%(symbols)s) order by session, symbol

-- name: splits_on
-- Splits effective at the open of a session.
select symbol, session, numerator, denominator, origin from split where session = %(session)s order by symbol

-- name: dividends_of
-- Every known dividend of some symbols, oldest first.
select symbol, session, amount, origin, source from dividend where symbol = any(%(symbols)s) order by session, symbol

-- name: last_bar
-- The newest daily bar of a symbol up to a session.
select i.symbol, b.* from instrument i join bar_1d b on b.instrument = i.id
where i.symbol = %(symbol)s and b.ts < %(before)s and b.session <= %(upto)s
order by b.ts desc limit 1

-- name: bars_of_session
-- Every symbol's daily bar of one session.
select i.symbol, b.* from bar_1d b join instrument i on i.id = b.instrument where b.session = %(session)s

-- name: bars_of_sessions
-- Every symbol's daily bars from one session to another, oldest first; to fill a reader's window in one go.
select i.symbol, b.* from bar_1d b join instrument i on i.id = b.instrument
where b.session between %(start)s and %(end)s order by b.session, i.symbol

-- name: span
-- What is stored of one symbol; the primary key serves it from both ends.
select (select session from {bar} where instrument = i.id order by ts limit 1) as first,
       (select session from {bar} where instrument = i.id order by ts desc limit 1) as last
from instrument i where i.symbol = %(symbol)s

-- name: decided_on
-- Signals and orders whose own bar is one of these.
select i.ref_id, i.account, i.strategy, i.symbol, i.session, i.side, i.quantity, i.cause_key, s.state
from intent i join order_state s using (ref_id)
where i.cause_key = any(%(keys)s)
order by i.session, i.symbol, i.strategy

-- name: vouch
-- A person looked at a session and found its steps real.
insert into vouched (symbol, session, reason) values (%(symbol)s, %(session)s, %(reason)s)
on conflict (symbol, session) do update set reason = excluded.reason, at = now()

-- name: vouched
-- Sessions that a person vouched for.
select symbol, session from vouched where symbol = any(%(symbols)s)

-- name: block
-- A symbol takes no entries until a person clears it.
insert into blocked (symbol, reason) values (%(symbol)s, %(reason)s) on conflict (symbol) do nothing returning symbol

-- name: unblock
-- A person found out what is right.
delete from blocked where symbol = %(symbol)s returning symbol

-- name: blocked
-- Symbols that take no entries, and why.
select symbol, reason, at from blocked order by symbol

-- name: forget
-- Cells whose bars were dropped by age: asked for, and no longer kept. An evening may lie in the partition after its
-- session's, so the cells of the partition, and those just before it, count what is left.
update coverage c set stored = kept.bars, digest = null, at = now(),
    quarantined = case when kept.bars > 0 then c.quarantined else 0 end
from (
    select k.instrument, k.period, (
        select count(*) from {bar} b
        where b.instrument = k.instrument and b.ts >= k.period and b.ts < k.period + interval '33 days'
          and case when k.timeframe = '1d' then date_trunc('month', b.session)::date else b.session end = k.period
    ) as bars
    from coverage k
    where k.timeframe = %(timeframe)s and k.stored > 0
      and k.period >= %(since)s::date - 7 and k.period < %(until)s
) kept
where c.timeframe = %(timeframe)s and (c.instrument, c.period) = (kept.instrument, kept.period)
  and c.stored <> kept.bars

-- name: forget_old
-- Old versions go with the bars they were.
delete from bar_old where timeframe = %(timeframe)s and ts >= %(since)s and ts < %(until)s

-- name: copy_ticks
-- Prints arrive here, and those that are there already are left out.
copy print (instrument, ts, number, price, size) from stdin (format binary)

-- name: create_prints
-- Where prints arrive.
create temporary table print (instrument int4, ts timestamptz, number int8, price float8, size float8) on commit drop

-- name: keep_ticks
-- Each print once.
insert into tick (instrument, ts, number, price, size) select instrument, ts, number, price, size from print
order by instrument, ts, number
on conflict do nothing
