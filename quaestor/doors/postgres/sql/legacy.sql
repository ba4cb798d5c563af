-- name: begin
-- One import at a time, and patience: years of polled quotes take longer than a minute.
select pg_advisory_xact_lock(hashtextextended('legacy import', 0)), set_config('statement_timeout', '30min', true),
       set_config('idle_in_transaction_session_timeout', '30min', true), set_config('client_min_messages', 'warning', true)

-- name: next_import
-- The number of this import; rows carry it before its report is written.
select nextval(pg_get_serial_sequence('legacy_import', 'id')) as id

-- name: stage_prices
-- Rows arrive here by COPY and are compared with what is stored.
create temporary table staged_prices (
    table_name text, row_id int8, symbol text, at timestamptz, digest text, session date,
    price numeric, open numeric, high numeric, low numeric, volume numeric
) on commit drop

-- name: stage_orders
-- The same for orders.
create temporary table staged_orders (
    table_name text, row_id int8, symbol text, at timestamptz, digest text,
    order_id text, side text, quantity numeric, price numeric, fee numeric, state text, raw jsonb
) on commit drop

-- name: stage_trades
-- The same for trades.
create temporary table staged_trades (
    table_name text, row_id int8, symbol text, at timestamptz, digest text,
    order_id text, side text, quantity numeric, price numeric, fee numeric, state text, raw jsonb,
    trade_id text, pnl numeric
) on commit drop

-- name: copy_prices
-- In one stream.
copy staged_prices (table_name, row_id, symbol, at, digest, session, price, open, high, low, volume) from stdin

-- name: copy_orders
-- In one stream.
copy staged_orders (table_name, row_id, symbol, at, digest, order_id, side, quantity, price, fee, state, raw) from stdin

-- name: copy_trades
-- In one stream.
copy staged_trades (table_name, row_id, symbol, at, digest, order_id, side, quantity, price, fee, state, raw, trade_id, pnl)
from stdin

-- name: shared_prices
-- Which earlier sources have rows of the same table and rowid, and how many of them are equal.
select t.source, count(*) as shared, count(*) filter (where t.digest = s.digest) as equal
from staged_prices s join legacy_price t using (table_name, row_id) group by t.source

-- name: shared_orders
-- The same for orders.
select t.source, count(*) as shared, count(*) filter (where t.digest = s.digest) as equal
from staged_orders s join legacy_order t using (table_name, row_id) group by t.source

-- name: shared_trades
-- The same for trades.
select t.source, count(*) as shared, count(*) filter (where t.digest = s.digest) as equal
from staged_trades s join legacy_trade t using (table_name, row_id) group by t.source

-- name: different_prices
-- Staged rows that are stored with another content, or were understood otherwise (another map or time zone).
select s.table_name, s.row_id from staged_prices s join legacy_price t using (table_name, row_id)
where t.source = %(source)s
  and (t.digest, t.symbol, t.at, t.session, t.price, t.open, t.high, t.low, t.volume)
      is distinct from (s.digest, s.symbol, s.at, s.session, s.price, s.open, s.high, s.low, s.volume)

-- name: different_orders
-- The same for orders.
select s.table_name, s.row_id from staged_orders s join legacy_order t using (table_name, row_id)
where t.source = %(source)s
  and (t.digest, t.symbol, t.at, t.order_id, t.side, t.quantity, t.price, t.fee, t.state)
      is distinct from (s.digest, s.symbol, s.at, s.order_id, s.side, s.quantity, s.price, s.fee, s.state)

-- name: different_trades
-- The same for trades.
select s.table_name, s.row_id from staged_trades s join legacy_trade t using (table_name, row_id)
where t.source = %(source)s
  and (t.digest, t.symbol, t.at, t.trade_id, t.order_id, t.side, t.quantity, t.price, t.fee, t.pnl, t.state)
      is distinct from
      (s.digest, s.symbol, s.at, s.trade_id, s.order_id, s.side, s.quantity, s.price, s.fee, s.pnl, s.state)

-- name: drop_different_prices
-- They stay as they were stored; what follows is about the others.
delete from staged_prices where (table_name, row_id) = any (select * from unnest(%(tables)s::text[], %(rows)s::int8[]))

-- name: drop_different_orders
-- The same for orders.
delete from staged_orders where (table_name, row_id) = any (select * from unnest(%(tables)s::text[], %(rows)s::int8[]))

-- name: drop_different_trades
-- The same for trades.
delete from staged_trades where (table_name, row_id) = any (select * from unnest(%(tables)s::text[], %(rows)s::int8[]))

-- name: merge_prices
-- New rows are stored, rows that are there stay; how many are new, by table.
with merged as (
    insert into legacy_price (source, import_id, table_name, row_id, symbol, at, digest, session, price, open, high, low, volume)
    select %(source)s, %(import)s, s.* from staged_prices s
    on conflict do nothing returning table_name
)
select table_name, count(*) as new from merged group by table_name

-- name: merge_orders
-- The same for orders.
with merged as (
    insert into legacy_order (source, import_id, table_name, row_id, symbol, at, digest, order_id, side, quantity, price, fee,
                              state, raw)
    select %(source)s, %(import)s, s.* from staged_orders s
    on conflict do nothing returning table_name
)
select table_name, count(*) as new from merged group by table_name

-- name: merge_trades
-- The same for trades.
with merged as (
    insert into legacy_trade (source, import_id, table_name, row_id, symbol, at, digest, order_id, side, quantity, price, fee,
                              state, raw, trade_id, pnl)
    select %(source)s, %(import)s, s.* from staged_trades s
    on conflict do nothing returning table_name
)
select table_name, count(*) as new from merged group by table_name

-- name: totals_prices
-- Sums of the stored rows that this file has too.
select table_name, '' as side, count(*) as rows, coalesce(sum(t.volume), 0) as quantity, sum(t.price) as notional, 0::numeric as fees
from staged_prices s join legacy_price t using (table_name, row_id)
where t.source = %(source)s group by table_name order by table_name

-- name: totals_orders
-- Sums of the stored rows that this file has too, by side.
select table_name, t.side, count(*) as rows, sum(t.quantity) as quantity,
       sum(t.quantity * coalesce(t.price, 0)) as notional, coalesce(sum(t.fee), 0) as fees
from staged_orders s join legacy_order t using (table_name, row_id)
where t.source = %(source)s group by table_name, t.side order by table_name, t.side

-- name: totals_trades
-- The same for trades.
select table_name, t.side, count(*) as rows, sum(t.quantity) as quantity,
       sum(t.quantity * coalesce(t.price, 0)) as notional, coalesce(sum(t.fee), 0) as fees
from staged_trades s join legacy_trade t using (table_name, row_id)
where t.source = %(source)s group by table_name, t.side order by table_name, t.side

-- name: deals_orders
-- The stored orders that this file has too.
select t.*, null::text as trade_id, null::numeric as pnl from staged_orders s join legacy_order t using (table_name, row_id)
where t.source = %(source)s

-- name: deals_trades
-- The stored trades that this file has too.
select t.* from staged_trades s join legacy_trade t using (table_name, row_id) where t.source = %(source)s

-- name: stored_bars
-- The newest version of some daily bars, and who told it.
select i.symbol, b.session, l.source, b.open, b.high, b.low, b.close, b.volume
from unnest(%(symbols)s::text[], %(sessions)s::date[]) as k (symbol, session)
join instrument i on i.symbol = k.symbol
join bar_1d b on b.instrument = i.id and b.session = k.session and b.ts between k.session and k.session + interval '2 days'
join load l on l.id = b.load

-- name: record
-- That an import was made, and its report.
insert into legacy_import (id, source, file, sha256, timezone, mapping, counts, report)
values (%(id)s, %(source)s, %(file)s, %(sha256)s, %(timezone)s, %(mapping)s, %(counts)s, %(report)s)
