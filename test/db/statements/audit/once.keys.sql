-- all ledgers
select ledger_id::bigint as ledger, null::text as account, null::text as currency,
  transfer_id::text as transfer, null::bigint as journal, fact.what, fact.expected, fact.found
from (
    select *
    from idempotency_keys as idempotency_keys
    where transfer_id is not null
      and not exists (
  select
  from transfers as named
  where named.ledger_id = idempotency_keys.ledger_id and named.id = idempotency_keys.transfer_id
) and not exists (
  select
  from pending_transfers as named
  where named.ledger_id = idempotency_keys.ledger_id and named.id = idempotency_keys.transfer_id
)
      and not exists (
  select
  from transfers as named
  where named.ledger_id = idempotency_keys.ledger_id and named.group_id = idempotency_keys.transfer_id
) and not exists (
  select
  from pending_transfers as named
  where named.ledger_id = idempotency_keys.ledger_id and named.group_id = idempotency_keys.transfer_id
)
  ) as keys
cross join lateral (
  values ('what an idempotency key names', (false) is true, ('a transfer or a group')::text, ('nothing; the key is ' || key)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((false) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what;

select ledger_id::bigint as ledger, account_number::text as account, null::text as currency,
  null::text as transfer, null::bigint as journal, fact.what, fact.expected, fact.found
from (
    select *
    from idempotency_keys as idempotency_keys
    where account_number is not null
      and not exists (
        select
        from accounts as named
        where named.ledger_id = idempotency_keys.ledger_id
          and named.account_number = idempotency_keys.account_number
      )
  ) as keys
cross join lateral (
  values ('what an idempotency key names', (false) is true, ('an account')::text, ('nothing; the key is ' || key)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((false) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what;

select ledger_id::bigint as ledger, null::text as account, null::text as currency,
  null::text as transfer, null::bigint as journal, fact.what, fact.expected, fact.found
from (select * from idempotency_keys as idempotency_keys where transfer_id is null and account_number is null) as keys
    left join journal_head as head using (ledger_id)
cross join lateral (
  values ('what an idempotency key names', (keys.clock <= head.clock) is true, ('something; a time, if the clock of the ledger was advanced to it')::text, (coalesce(keys.clock::text, 'nothing') || '; the key is ' || key)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((keys.clock <= head.clock) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what;

select ledger_id::bigint as ledger, null::text as account, null::text as currency,
  null::text as transfer, null::bigint as journal, fact.what, fact.expected, fact.found
from (
  select ledger_id, key, count(*) as total, min(octet_length(fingerprint) + coalesce(octet_length(personal_fingerprint), 32)) as size
  from idempotency_keys as idempotency_keys
  group by ledger_id, key
) as keys
cross join lateral (
  values ('times that an idempotency key is there', (total = 1) is true, ('1')::text, (total || '; the key is ' || key)::text),
    ('bytes of the two fingerprints of a key', (size = 64) is true, ('64')::text, (size || '; the key is ' || key)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((total = 1) is true
  and (size = 64) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what
