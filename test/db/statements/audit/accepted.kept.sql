-- all ledgers
select null::bigint as ledger, null::text as account, null::text as currency,
  null::text as transfer, null::bigint as journal, fact.what, fact.expected, fact.found
from (
  select accepted + earlier as accepted, kept
  from (
    select (select coalesce(sum(accepted_count), 0) from ledger_leases) as accepted,
      (select coalesce(sum(accepted_count), 0) from leases) as earlier,
      (select count(*) from pending_transfers) + (select coalesce(sum(intake_count), 0) from journal) as kept
  ) as sums
) as counts
cross join lateral (
  values ('accepted transfers that are pending or settled', ((accepted) is not distinct from (kept)) is true, (accepted)::text, (kept)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where (((accepted) is not distinct from (kept)) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what
