-- all ledgers
select counted.ledger_id::bigint as ledger, null::text as account, null::text as currency,
  null::text as transfer, null::bigint as journal, fact.what, fact.expected, fact.found
from (select 'accounts' as name, ledger_id, count(*) as total from accounts as rows group by ledger_id union all select 'personal_keys' as name, ledger_id, count(*) as total from personal_keys as rows group by ledger_id union all select 'account_changes' as name, ledger_id, count(*) as total from account_changes as rows group by ledger_id union all select 'pending_transfers' as name, ledger_id, count(*) as total from pending_transfers as rows group by ledger_id union all select 'transfers' as name, ledger_id, count(*) as total from transfers as rows group by ledger_id union all select 'entries' as name, ledger_id, count(*) as total from entries as rows group by ledger_id union all select 'holds' as name, ledger_id, count(*) as total from holds as rows group by ledger_id union all select 'reversed_amounts' as name, ledger_id, count(*) as total from reversed_amounts as rows group by ledger_id union all select 'journal' as name, ledger_id, count(*) as total from journal as rows group by ledger_id union all select 'journal_head' as name, ledger_id, count(*) as total from journal_head as rows group by ledger_id union all select 'idempotency_keys' as name, ledger_id, count(*) as total from idempotency_keys as rows group by ledger_id union all select 'ledger_leases' as name, ledger_id, count(*) as total from ledger_leases as rows group by ledger_id) as counted left join ledgers on ledgers.id = counted.ledger_id
cross join lateral (
  values ('ledger of rows', (ledgers.id is not null) is true, ('a ledger that is there')::text, (coalesce('id ' || counted.ledger_id, 'none') || ', in ' || counted.total || ' rows of ' || counted.name)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((ledgers.id is not null) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what
