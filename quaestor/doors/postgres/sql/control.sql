-- name: take_lease
-- The lease goes to whoever asks when it is free or has run out; each taking is a new epoch.
insert into lease as l (account, holder, epoch, expires_at)
values (%(account)s, %(holder)s, 1, clock_timestamp() + %(ttl)s)
on conflict (account) do update
    set holder = excluded.holder, epoch = l.epoch + 1, expires_at = excluded.expires_at
    where l.holder is null or l.expires_at < clock_timestamp()
returning epoch

-- name: inherit_lease
-- The lease of a holder that is known to have died, as long as it is still of that very epoch.
update lease set holder = %(holder)s, epoch = epoch + 1, expires_at = clock_timestamp() + %(ttl)s
where account = %(account)s and epoch = %(epoch)s and holder is not null
returning epoch

-- name: renew_lease
-- Only the holder of this very epoch may go on.
update lease set expires_at = clock_timestamp() + %(ttl)s
where account = %(account)s and holder = %(holder)s and epoch = %(epoch)s
returning epoch

-- name: release_lease
-- Given back: the next one need not wait.
update lease set holder = null, expires_at = clock_timestamp()
where account = %(account)s and holder = %(holder)s and epoch = %(epoch)s
returning epoch

-- name: guard_lease
-- Whether this epoch may still write; the row stays locked until the transaction ends, so nobody takes it meanwhile.
-- So a writer that stands still within it (paused, cut off) is ended by the server, or its successor would wait with it.
-- (Statements that travel together do not count as idle: from PostgreSQL 17 on there is a limit for all of it, before
-- that they do not travel together.)
select epoch, set_config('idle_in_transaction_session_timeout', '5s', true),
       case when current_setting('server_version_num')::int >= 170000
            then set_config('transaction_timeout', '9s', true) end as limited
from lease
where account = %(account)s and holder = %(holder)s and epoch = %(epoch)s and expires_at > clock_timestamp()
for share

-- name: lease
-- Who holds it.
select account, holder, epoch, expires_at, expires_at > clock_timestamp() as live from lease where account = %(account)s

-- name: set_latch
-- Latched once; a second reason does not replace the first.
insert into latch (account, name, reason) values (%(account)s, %(name)s, %(reason)s)
on conflict (account, name) where cleared_at is null do nothing
returning id

-- name: clear_latch
-- Only with a reason.
update latch set cleared_at = now(), cleared_reason = %(reason)s
where account = %(account)s and name = %(name)s and cleared_at is null
returning id

-- name: open_latches
-- What stops entries now.
select name, reason, set_at from latch where account = %(account)s and cleared_at is null order by set_at

-- name: insert_reconcile
-- The outcome of one comparison.
insert into reconcile (account, session, ok, differences, checked, flow_run_id)
values (%(account)s, %(session)s, %(ok)s, %(differences)s, %(checked)s, %(flow_run_id)s)
returning id, at

-- name: last_reconcile
-- The newest comparison.
select * from reconcile where account = %(account)s order by at desc, id desc limit 1
