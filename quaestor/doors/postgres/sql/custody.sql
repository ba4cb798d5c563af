-- name: load_auth
-- How a login stands.
select * from auth where alias = %(alias)s

-- name: save_auth
-- How it stands now.
insert into auth (alias, state, since, seq, held, sent, spent, issued_at, expires_at, due_at, last_refresh_at,
                  again_at, cool_until, deadline, attempt, back, reason, cure)
values (%(alias)s, %(standing)s, %(since)s, %(seq)s, %(held)s, %(sent)s, %(spent)s, %(issued_at)s, %(expires_at)s,
        %(due_at)s, %(last_refresh_at)s, %(again_at)s, %(cool_until)s, %(deadline)s, %(attempt)s, %(back)s, %(reason)s, %(cure)s)
on conflict (alias) do update set
    state = excluded.state, since = excluded.since, seq = excluded.seq, held = excluded.held, sent = excluded.sent,
    spent = excluded.spent, issued_at = excluded.issued_at, expires_at = excluded.expires_at, due_at = excluded.due_at,
    last_refresh_at = excluded.last_refresh_at, again_at = excluded.again_at, cool_until = excluded.cool_until,
    deadline = excluded.deadline, attempt = excluded.attempt, back = excluded.back, reason = excluded.reason,
    cure = excluded.cure

-- name: tell_auth
-- What happened to it; a token is never in these words.
insert into auth_event (alias, was, state, what, by)
values (%(alias)s, %(was)s, %(standing)s, %(what)s, %(by)s)

-- name: auth_events
-- The newest first.
select at, was, state, what, by from auth_event where alias = %(alias)s order by number desc limit %(limit)s

-- name: auth_clock
-- This clock.
select clock_timestamp() as at

-- name: ask_auth
-- Once for each token that is refused, however many say so; whoever listens is told of the first.
with asked as (
    insert into auth_request (alias, seq, by) values (%(alias)s, %(seq)s, %(by)s)
    on conflict (alias, seq) do nothing
    returning seq
)
select seq, pg_notify(%(channel)s, %(alias)s || ' auth') from asked

-- name: auth_requests
-- Who said that this token, or a newer one, is refused.
select seq, by, at from auth_request where alias = %(alias)s and seq >= %(seq)s order by seq

-- name: answered_auth
-- What was asked about older tokens is answered by a newer one.
delete from auth_request where alias = %(alias)s and seq < %(seq)s

-- name: spool_auth
-- The newer pair counts.
insert into auth_spool as s (alias, seq, sealed) values (%(alias)s, %(seq)s, %(sealed)s)
on conflict (alias) do update set seq = excluded.seq, sealed = excluded.sealed, at = now() where s.seq < excluded.seq

-- name: spooled_auth
-- What waits for the vault.
select seq, sealed from auth_spool where alias = %(alias)s

-- name: unspool_auth
-- The vault has it.
delete from auth_spool where alias = %(alias)s and seq <= %(seq)s

-- name: put_code
-- A newer code replaces one that nobody took.
insert into auth_code (alias, attempt, sealed) values (%(alias)s, %(attempt)s, %(sealed)s)
on conflict (alias) do update set attempt = excluded.attempt, sealed = excluded.sealed, at = now()

-- name: take_code
-- Taken once; a code of another login goes too.
delete from auth_code where alias = %(alias)s returning attempt, sealed
