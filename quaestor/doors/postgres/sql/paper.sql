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
-- One change of the account at a time.
select alias, cash, session, phase from paper.account where alias = %(alias)s for update

-- name: move_clock
-- The market's clock goes forward only; the caller has checked.
update paper.account set session = %(session)s, phase = %(phase)s where alias = %(alias)s

-- name: add_cash
-- What fills do to cash.
update paper.account set cash = cash + %(amount)s where alias = %(alias)s

-- name: find_order
-- The order that came with this ref_id, if it ever came.
select * from paper."order" where alias = %(alias)s and ref_id = %(ref_id)s

-- name: insert_order
-- An order is accepted.
insert into paper."order" (id, alias, ref_id, symbol, side, order_type, time_in_force, quantity, limit_price,
                           reference_price, state, session, created_at, updated_at)
values (%(id)s, %(alias)s, %(ref_id)s, %(symbol)s, %(side)s, %(order_type)s, %(time_in_force)s, %(quantity)s,
        %(limit_price)s, %(reference_price)s, 'acked', %(session)s, %(at)s, %(at)s)
returning *

-- name: working_orders
-- Orders that may trade, in the order they came.
select * from paper."order" where alias = %(alias)s and state in ('acked', 'partially_filled') order by number

-- name: finish_order
-- Filled, canceled or expired.
update paper."order" set state = %(state)s, filled = %(filled)s, average_price = %(average_price)s, reason = %(reason)s,
    updated_at = %(at)s
where id = %(id)s

-- name: cancel_order
-- Only a working order can be canceled.
update paper."order" set state = 'canceled', updated_at = %(at)s
where alias = %(alias)s and id = %(id)s and state in ('acked', 'partially_filled')

-- name: rescale_orders
-- A working order follows a split.
update paper."order" set quantity = quantity * %(numerator)s / %(denominator)s,
    limit_price = limit_price * %(denominator)s / %(numerator)s,
    reference_price = reference_price * %(denominator)s / %(numerator)s
where alias = %(alias)s and symbol = %(symbol)s and state in ('acked', 'partially_filled')

-- name: orders_since
-- The broker's full list.
select * from paper."order" where alias = %(alias)s and session >= %(since)s order by number

-- name: insert_execution
-- A fill.
insert into paper.execution (id, order_id, alias, quantity, price, fee, session, at)
values (%(id)s, %(order_id)s, %(alias)s, %(quantity)s, %(price)s, %(fee)s, %(session)s, %(at)s)

-- name: executions_since
-- Fills with their order's symbol and side, oldest first.
select e.id, e.order_id, o.ref_id, o.symbol, o.side, e.quantity, e.price, e.fee, e.session, e.at
from paper.execution e join paper."order" o on o.id = e.order_id
where e.alias = %(alias)s and e.session >= %(since)s order by e.number

-- name: positions
-- Shares by symbol.
select symbol, quantity from paper.position where alias = %(alias)s and quantity <> 0 order by symbol

-- name: change_position
-- What fills do to shares.
insert into paper.position as p (alias, symbol, quantity) values (%(alias)s, %(symbol)s, %(change)s)
on conflict (alias, symbol) do update set quantity = p.quantity + excluded.quantity

-- name: set_position
-- What splits do to shares.
update paper.position set quantity = %(quantity)s where alias = %(alias)s and symbol = %(symbol)s

-- name: mark_split
-- A split is applied once.
insert into paper.applied_split (alias, symbol, session) values (%(alias)s, %(symbol)s, %(session)s)
on conflict do nothing
returning symbol

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
