-- name: lately
-- What the risk gate asks of an account for a session: sends (of the last minute, on this database's clock; on recorded
-- bars those for the session), orders decided, bars in quarantine that no good bar has replaced, held symbols with a
-- split that the books lack.
select
    (select count(*) from intent i join order_event v using (ref_id)
     where not %(live)s and i.account = %(account)s and i.session = %(session)s and v.state = 'submitting')
    + (select count(*) from order_state s join order_event v using (ref_id) join intent i using (ref_id)
       where %(live)s and i.account = %(account)s and v.state = 'submitting'
         and s.updated_at > clock_timestamp() - interval '1 minute'
         and v.at > clock_timestamp() - interval '1 minute') as attempts,
    (select count(*) from intent where account = %(account)s and session = %(session)s) as orders,
    (select jsonb_object_agg(symbol, bars) from (
        select q.symbol, count(distinct q.session) as bars from quarantine q
        where q.symbol = any(%(symbols)s) and q.timeframe = '1d'
          and q.session >= %(looked)s and q.session < %(session)s
          and not exists (select from instrument i join bar_1d b on b.instrument = i.id
                          where i.symbol = q.symbol and b.session = q.session)
        group by q.symbol) refused) as quarantined,
    array(
        select distinct l.symbol from lot l join split p on p.symbol = l.symbol and p.session > l.session
        where l.account = %(account)s and l.quantity > 0 and p.session <= %(session)s
          and not exists (
              select from entry e where e.account = l.account
                and e.key = concat_ws(':', 'split', l.account, p.symbol, to_char(p.session, 'YYYY-MM-DD')))
    ) as splitting

-- name: sales
-- What orders sold, by order and session, newest first (who sums the newest sessions stops at an older one): proceeds less
-- fees, and the gain on what it had cost.
select coalesce(f.ref_id::text, f.execution_id) as "order", f.symbol, f.session, max(f.at) as at,
       sum(f.quantity * f.price - f.fee) as proceeds,
       sum((select -coalesce(sum(p.amount), 0) from posting p
            where p.ledger_account = 'realized' and p.entry_id = (
                select e.id from entry e where e.account = f.account and e.key = 'fill:' || f.execution_id))) as realized
from fill f
where f.account = %(account)s and f.side = 'sell' and f.session >= %(since)s
group by 1, 2, 3
order by session desc, at desc, 1
