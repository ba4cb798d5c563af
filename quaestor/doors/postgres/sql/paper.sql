-- name: open_account
-- Opened once, with its cash.
insert into paper.account (alias, cash) values (%(alias)s, %(cash)s) on conflict (alias) do nothing

-- name: account
-- Cash and where the simulated clock stands.
select alias, cash, session, phase from paper.account where alias = %(alias)s

-- name: holdings
-- Cash and shares at one moment.
select a.cash, p.symbol, p.quantity from paper.account a
left join paper.position p on p.alias = a.alias and p.quantity <> 0
where a.alias = %(alias)s order by p.symbol

-- name: lock_account
-- One change of the account at a time. Who stands still within it is ended by the server, as in `guard_lease`; to trade
-- a session of many symbols may take its time.
select alias, cash, reserved, session, phase, set_config('idle_in_transaction_session_timeout', '5s', true),
       case when current_setting('server_version_num')::int >= 170000
            then set_config('transaction_timeout', '60s', true) end as limited
from paper.account where alias = %(alias)s for update

-- name: move_clock
-- The market's clock goes forward only; the caller has checked.
update paper.account set session = %(session)s, phase = %(phase)s where alias = %(alias)s

-- name: add_cash
-- What fills do to cash.
update paper.account set cash = cash + %(amount)s where alias = %(alias)s

-- name: find_orders
-- The orders that came with these ref_ids before.
select * from paper."order" where alias = %(alias)s and ref_id = any(%(ref_ids)s)

-- name: insert_orders
-- Orders are accepted, numbered as they came. The commit does not wait for the disk where each can be sent again: see the
-- head of paper.py.
insert into paper."order" (id, alias, ref_id, symbol, side, order_type, time_in_force, quantity, limit_price, stop_price,
                           reference_price, oco, reserved, state, session, created_at, updated_at)
select id, %(alias)s, ref_id, symbol, side, order_type, time_in_force, quantity, limit_price, stop_price, reference_price,
    oco, reserved, 'acked', %(session)s, %(at)s, %(at)s
from unnest(%(id)s::uuid[], %(ref_id)s::uuid[], %(symbol)s::text[], %(side)s::text[], %(order_type)s::text[],
            %(time_in_force)s::text[], %(quantity)s::numeric[], %(limit_price)s::numeric[], %(stop_price)s::numeric[],
            %(reference_price)s::numeric[], %(oco)s::text[], %(reserved)s::numeric[])
    with ordinality as o (id, ref_id, symbol, side, order_type, time_in_force, quantity, limit_price, stop_price,
                          reference_price, oco, reserved, n)
order by n
returning case when %(again)s then set_config('synchronous_commit', 'off', true) end

-- name: admit_purchase
-- A purchase that the account can surely give, taken in one statement: it is not halted, not known, and there is cash.
-- Who takes none is told why by those who look closer. Each of the two looks is a question of its own ("not (select
-- exists ...)"): as joins they would cost more to plan than to ask, and be planned every time.
-- The commit does not wait for the disk: see the head of paper.py.
with taken as (
    update paper.account a set reserved = reserved + %(reserved)s::numeric
    where alias = %(alias)s and phase = 'open' and session = %(session)s::date
      and cash - reserved >= %(reserved)s::numeric
      and not (select exists (select from paper.halt where alias = %(alias)s and symbol = %(symbol)s))
      and not (select exists (select from paper."order" where alias = %(alias)s and ref_id = %(ref_id)s::uuid))
    returning alias
)
insert into paper."order" (id, alias, ref_id, symbol, side, order_type, time_in_force, quantity, limit_price, stop_price,
                           reference_price, oco, reserved, state, session, created_at, updated_at)
select %(id)s::uuid, alias, %(ref_id)s::uuid, %(symbol)s, %(side)s, %(order_type)s, %(time_in_force)s,
    %(quantity)s::numeric, %(limit_price)s::numeric, %(stop_price)s::numeric, %(reference_price)s::numeric, %(oco)s,
    %(reserved)s::numeric, 'acked', %(session)s::date, %(at)s::timestamptz, %(at)s::timestamptz
from taken
returning set_config('synchronous_commit', 'off', true)

-- name: admit_purchases
-- The same of several, all or none, numbered as they came.
with taken as (
    update paper.account a set reserved = reserved + %(more)s::numeric
    where alias = %(alias)s and phase = 'open' and session = %(session)s::date and cash - reserved >= %(more)s::numeric
      and not (select exists (select from paper.halt where alias = %(alias)s and symbol = any(%(symbols)s::text[])))
      and not (select exists (select from paper."order" where alias = %(alias)s and ref_id = any(%(ref_ids)s::uuid[])))
    returning alias
)
insert into paper."order" (id, alias, ref_id, symbol, side, order_type, time_in_force, quantity, limit_price, stop_price,
                           reference_price, oco, reserved, state, session, created_at, updated_at)
select o.id, taken.alias, o.ref_id, o.symbol, o.side, o.order_type, o.time_in_force, o.quantity, o.limit_price,
    o.stop_price, o.reference_price, o.oco, o.reserved, 'acked', %(session)s::date, %(at)s::timestamptz,
    %(at)s::timestamptz
from taken, rows from (json_to_recordset(%(orders)s::json) as (
    id uuid, ref_id uuid, symbol text, side text, order_type text, time_in_force text, quantity numeric,
    limit_price numeric, stop_price numeric, reference_price numeric, oco text, reserved numeric)) with ordinality
    as o (id, ref_id, symbol, side, order_type, time_in_force, quantity, limit_price, stop_price, reference_price, oco,
          reserved, n)
order by o.n
returning set_config('synchronous_commit', 'off', true)

-- name: promised
-- Shares that working sales of these symbols may still take; a pair counts once.
select symbol, sum(promised) as promised
from (
    select symbol, max(quantity - filled) as promised from paper."order"
    where alias = %(alias)s and symbol = any(%(symbols)s) and side = 'sell' and state in ('acked', 'partially_filled')
    group by symbol, case when oco = '' then id::text else oco end
) sale
group by symbol

-- name: reserve
-- Purchases that are accepted may cost so much more.
update paper.account set reserved = reserved + %(more)s where alias = %(alias)s

-- name: reserve_anew
-- What working purchases may cost, counted anew: some filled, changed or ended. A pair counts once.
update paper.account a set reserved = (
    select coalesce(sum(most), 0) from (
        select max(o.reserved) as most from paper."order" o
        where o.alias = %(alias)s and o.side = 'buy' and o.state in ('acked', 'partially_filled')
        group by case when o.oco = '' then o.id::text else o.oco end
    ) purchase
) where a.alias = %(alias)s

-- name: legs
-- The orders of some pairs.
select oco, symbol, side, order_type in ('stop', 'stop_limit') as stops, coalesce(stop_price, limit_price) as price,
    state in ('acked', 'partially_filled') as working, filled > 0 as filled,
    case side when 'sell' then quantity - filled else reserved end as promised
from paper."order" where alias = %(alias)s and oco <> '' and oco = any(%(ocos)s)

-- name: working_orders
-- Orders that may trade, in the order they came.
select * from paper."order" where alias = %(alias)s and state in ('acked', 'partially_filled') order by number

-- name: working_on
-- Orders of a symbol that have reached the market by then, in the order they came.
select * from paper."order"
where alias = %(alias)s and symbol = %(symbol)s and state in ('acked', 'partially_filled') and created_at <= %(by)s
order by number

-- name: update_orders
-- They traded, their stops were touched, or they came to their ends.
update paper."order" o set state = s.state, filled = s.filled, average_price = s.average_price, reason = s.reason,
    triggered = s.triggered, updated_at = s.at,
    reserved = coalesce(o.reserved * (o.quantity - s.filled) / nullif(o.quantity - o.filled, 0), 0)
from json_to_recordset(%(rows)s::json) as s (
    id uuid, state text, filled numeric, average_price numeric, reason text, triggered boolean, at timestamptz)
where o.alias = %(alias)s and o.id = s.id

-- name: cancel_order
-- Only a working order can be canceled.
update paper."order" set state = 'canceled', updated_at = %(at)s
where alias = %(alias)s and id = %(id)s and state in ('acked', 'partially_filled')

-- name: rescale_orders
-- What is left of a working order follows a split; what it has filled are shares of before.
update paper."order" set quantity = filled + (quantity - filled) * %(numerator)s / %(denominator)s,
    limit_price = limit_price * %(denominator)s / %(numerator)s,
    stop_price = stop_price * %(denominator)s / %(numerator)s,
    reference_price = reference_price * %(denominator)s / %(numerator)s
where alias = %(alias)s and symbol = %(symbol)s and session < %(before)s and state in ('acked', 'partially_filled')

-- name: end_empty_orders
-- A reverse split may leave nothing of an order.
update paper."order" set state = 'canceled', reason = 'a split left nothing of it', updated_at = %(at)s
where alias = %(alias)s and symbol = %(symbol)s and state in ('acked', 'partially_filled') and quantity <= filled

-- name: orders_since
-- The broker's full list.
select * from paper."order" where alias = %(alias)s and session >= %(since)s order by number

-- name: insert_executions
-- Fills, numbered as they came.
insert into paper.execution (id, order_id, alias, quantity, price, fee, session, at)
select id, order_id, %(alias)s, quantity, price, fee, session, at
from rows from (json_to_recordset(%(rows)s::json) as (
    id uuid, order_id uuid, quantity numeric, price numeric, fee numeric, session date, at timestamptz)) with ordinality
    as e (id, order_id, quantity, price, fee, session, at, n)
order by n

-- name: executions_since
-- Fills with their order's symbol and side, oldest first.
select e.id, e.order_id, o.ref_id, o.symbol, o.side, e.quantity, e.price, e.fee, e.session, e.at
from paper.execution e join paper."order" o on o.id = e.order_id
where e.alias = %(alias)s and e.session >= %(since)s order by e.number

-- name: positions
-- Shares by symbol.
select symbol, quantity from paper.position where alias = %(alias)s and quantity <> 0 order by symbol

-- name: change_position
-- What a split that was learned late does to shares.
update paper.position set quantity = quantity + %(change)s where alias = %(alias)s and symbol = %(symbol)s

-- name: change_positions
-- What many fills do to shares.
insert into paper.position as p (alias, symbol, quantity, since)
select %(alias)s, symbol, sum(change), %(session)s from json_to_recordset(%(rows)s::json) as m (symbol text, change numeric)
group by symbol
on conflict (alias, symbol) do update set quantity = p.quantity + excluded.quantity

-- name: set_position
-- What splits do to shares.
update paper.position set quantity = %(quantity)s where alias = %(alias)s and symbol = %(symbol)s

-- name: mark_split
-- A split is applied once.
insert into paper.applied_split (alias, symbol, session) values (%(alias)s, %(symbol)s, %(session)s)
on conflict do nothing
returning symbol

-- name: mark_dividend
-- A dividend is paid once.
insert into paper.paid_dividend (alias, symbol, session, amount)
values (%(alias)s, %(symbol)s, %(session)s, %(amount)s) on conflict do nothing

-- name: actions_done
-- Splits applied and dividends paid.
select 'Split' as kind, symbol, session from paper.applied_split where alias = %(alias)s
union all
select 'Dividend', symbol, session from paper.paid_dividend where alias = %(alias)s

-- name: splits_done
-- Splits applied to a symbol.
select session from paper.applied_split where alias = %(alias)s and symbol = %(symbol)s

-- name: begun
-- Symbols that were ever traded, and since when.
select symbol, since as first from paper.position where alias = %(alias)s

-- name: changes
-- What fills did to a symbol's shares before a session, in their order.
select e.session, case o.side when 'buy' then e.quantity else -e.quantity end as quantity
from paper.execution e join paper."order" o on o.id = e.order_id
where e.alias = %(alias)s and o.symbol = %(symbol)s and e.session < %(before)s order by e.session, e.number

-- name: halt
-- The market takes no orders for the symbol.
insert into paper.halt (alias, symbol, reason) values (%(alias)s, %(symbol)s, %(reason)s)
on conflict (alias, symbol) do update set reason = excluded.reason

-- name: end_halt
-- It takes them again.
delete from paper.halt where alias = %(alias)s and symbol = %(symbol)s

-- name: halts
-- Symbols that take no orders, and why.
select symbol, reason from paper.halt where alias = %(alias)s order by symbol
