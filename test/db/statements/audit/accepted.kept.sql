-- all ledgers
select null::bigint as ledger, null::text as account, null::text as currency,
  null::text as transfer, null::bigint as journal, fact.what, fact.expected, fact.found
from (select sum(accepted) + max(earlier) as accepted, sum(kept) as kept from (
  select ledgers.id as ledger_id, coalesce(ledger_leases.total, 0) as accepted,
    coalesce(pending_transfers.total, 0) + coalesce(settled.total, 0) as kept,
    (select coalesce(sum(accepted_count), 0) from leases) as earlier
  from ledgers
left join (select ledger_id, sum(accepted_count) as total from ledger_leases group by ledger_id) as ledger_leases on ledger_leases.ledger_id = ledgers.id
left join (select ledger_id, count(*) as total from pending_transfers group by ledger_id) as pending_transfers on pending_transfers.ledger_id = ledgers.id
  left join (select ledger_id, sum(intake_count) as total from journal group by ledger_id) as settled on settled.ledger_id = ledgers.id
) as counts) as counts
cross join lateral (
  values ('accepted transfers that are pending or settled', ((accepted) is not distinct from (kept)) is true, (accepted)::text, (kept)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where (((accepted) is not distinct from (kept)) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what;

select ledger_id::bigint as ledger, null::text as account, null::text as currency,
  null::text as transfer, null::bigint as journal, fact.what, fact.expected, fact.found
from (
  select ledgers.id as ledger_id, coalesce(ledger_leases.total, 0) as accepted,
    coalesce(pending_transfers.total, 0) + coalesce(settled.total, 0) as kept,
    (select coalesce(sum(accepted_count), 0) from leases) as earlier
  from ledgers
left join (select ledger_id, sum(accepted_count) as total from ledger_leases group by ledger_id) as ledger_leases on ledger_leases.ledger_id = ledgers.id
left join (select ledger_id, count(*) as total from pending_transfers group by ledger_id) as pending_transfers on pending_transfers.ledger_id = ledgers.id
  left join (select ledger_id, sum(intake_count) as total from journal group by ledger_id) as settled on settled.ledger_id = ledgers.id
) as counts
cross join lateral (
  values ('accepted transfers of the ledger that are pending or settled', (kept between accepted and accepted + earlier) is true, ('accepted || case when earlier > 0 then '', or up to '' || earlier || '' more'' else '''' end')::text, (kept)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((kept between accepted and accepted + earlier) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what
