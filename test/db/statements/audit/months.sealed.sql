-- all ledgers
select months.ledger_id::bigint as ledger, null::text as account, null::text as currency,
    null::text as transfer, months.journal_number::bigint as journal, fact.what, fact.expected, fact.found
  from (
  select months.*, ledgers.name,
    lag(months.month) over previous as month_before,
    coalesce(lag(months.journal_number) over previous, 0) as number_before,
    coalesce(lag(months.hash) over previous, decode(repeat('00', 32), 'hex')) as hash_before,
    coalesce(max(own.number) over previous, 0) as last_number
  from closed_months as months
  left join ledgers on ledgers.id = months.ledger_id
  left join (
      select journal.ledger_id, date_trunc('month', journal.settled_at at time zone 'UTC')::date as month, max(number) as number
      from journal as journal
      group by journal.ledger_id, date_trunc('month', journal.settled_at at time zone 'UTC')::date
    ) as own on own.ledger_id = months.ledger_id and own.month = months.month
  window previous as (partition by months.ledger_id order by months.month)
) as months
    left join journal as journal
      on journal.ledger_id = months.ledger_id and journal.number = months.journal_number
  cross join lateral (
    values ('journal_number of a closed month', ((months.last_number) is not distinct from (months.journal_number)) is true, (months.last_number)::text, (months.journal_number)::text),
      ('month that is closed', (months.month_before is null or months.month = months.month_before + interval '1 month') is true, ('the one after the month before')::text, (months.month)::text),
      ('journal_hash of a closed month', ((encode(coalesce(journal.hash, decode(repeat('00', 32), 'hex')), 'hex')) is not distinct from (encode(months.journal_hash, 'hex'))) is true, (encode(coalesce(journal.hash, decode(repeat('00', 32), 'hex')), 'hex'))::text, (encode(months.journal_hash, 'hex'))::text),
      ('previous_hash of a closed month', ((encode(months.hash_before, 'hex')) is not distinct from (encode(months.previous_hash, 'hex'))) is true, (encode(months.hash_before, 'hex'))::text, (encode(months.previous_hash, 'hex'))::text),
      ('hash of a closed month', ((encode(sha256(
        months.previous_hash
        || convert_to(
          concat_ws('|', months.name, to_char(months.month, 'YYYY-MM'), months.journal_number, months.account_count),
          'UTF8'
        )
        || months.journal_hash || months.digest
      ), 'hex')) is not distinct from (encode(months.hash, 'hex'))) is true, (encode(sha256(
        months.previous_hash
        || convert_to(
          concat_ws('|', months.name, to_char(months.month, 'YYYY-MM'), months.journal_number, months.account_count),
          'UTF8'
        )
        || months.journal_hash || months.digest
      ), 'hex'))::text, (encode(months.hash, 'hex'))::text),
      ('act of the audit log that closes the month', (exists (
        select
        from audit_log as act
        where act.ledger_id = months.ledger_id and act.action = 'ledger.month_closed' and act.journal_number is not null
          and act.details::jsonb ->> 'hash' = encode(months.hash, 'hex')
      )) is true, ('one with its hash')::text, ('none')::text)
  ) as fact (what, holds, expected, found)
  -- All facts at once first: nearly every row passes, and is not examined further.
  where (((months.last_number) is not distinct from (months.journal_number)) is true
    and (months.month_before is null or months.month = months.month_before + interval '1 month') is true
    and ((encode(coalesce(journal.hash, decode(repeat('00', 32), 'hex')), 'hex')) is not distinct from (encode(months.journal_hash, 'hex'))) is true
    and ((encode(months.hash_before, 'hex')) is not distinct from (encode(months.previous_hash, 'hex'))) is true
    and ((encode(sha256(
        months.previous_hash
        || convert_to(
          concat_ws('|', months.name, to_char(months.month, 'YYYY-MM'), months.journal_number, months.account_count),
          'UTF8'
        )
        || months.journal_hash || months.digest
      ), 'hex')) is not distinct from (encode(months.hash, 'hex'))) is true
    and (exists (
        select
        from audit_log as act
        where act.ledger_id = months.ledger_id and act.action = 'ledger.month_closed' and act.journal_number is not null
          and act.details::jsonb ->> 'hash' = encode(months.hash, 'hex')
      )) is true) is not true
    and not fact.holds
     order by ledger nulls first, journal nulls first, account, currency, transfer, what;

select months.ledger_id::bigint as ledger, null::text as account, null::text as currency,
    null::text as transfer, months.journal_number::bigint as journal, fact.what, fact.expected, fact.found
  from (
  select months.*, ledgers.name,
    lag(months.month) over previous as month_before,
    coalesce(lag(months.journal_number) over previous, 0) as number_before,
    coalesce(lag(months.hash) over previous, decode(repeat('00', 32), 'hex')) as hash_before,
    coalesce(max(own.number) over previous, 0) as last_number
  from closed_months as months
  left join ledgers on ledgers.id = months.ledger_id
  left join (
      select journal.ledger_id, date_trunc('month', journal.settled_at at time zone 'UTC')::date as month, max(number) as number
      from journal as journal
      group by journal.ledger_id, date_trunc('month', journal.settled_at at time zone 'UTC')::date
    ) as own on own.ledger_id = months.ledger_id and own.month = months.month
  window previous as (partition by months.ledger_id order by months.month)
) as months
    left join (
      select ledger_id, journal_number, count(*) as total,
        string_agg(
          concat_ws(chr(31), account_number, currency, entry_number, balance) || chr(30),
          '' order by account_number collate "C", currency collate "C"
        ) as records
      from sealed_balances as sealed
      group by ledger_id, journal_number
    ) as sealed
      on sealed.ledger_id = months.ledger_id and sealed.journal_number = months.journal_number
      -- A month without entries ends where the one before does, and seals nothing.
      and months.journal_number > months.number_before
    left join (
      select ledger_id, journal_number,
        string_agg(
          concat_ws(chr(31), currency, account_count, positive, negative) || chr(30), '' order by currency collate "C"
        ) as records
      from sealed_totals as sealed
      group by ledger_id, journal_number
    ) as total
      on total.ledger_id = months.ledger_id and total.journal_number = months.journal_number
  cross join lateral (
    values ('account_count of a closed month', ((coalesce(sealed.total, 0)) is not distinct from (months.account_count)) is true, (coalesce(sealed.total, 0))::text, (months.account_count)::text),
      ('digest of a closed month', ((encode(sha256(convert_to(coalesce(sealed.records, '') || coalesce(total.records, ''), 'UTF8')), 'hex')) is not distinct from (encode(months.digest, 'hex'))) is true, (encode(sha256(convert_to(coalesce(sealed.records, '') || coalesce(total.records, ''), 'UTF8')), 'hex'))::text, (encode(months.digest, 'hex'))::text)
  ) as fact (what, holds, expected, found)
  -- All facts at once first: nearly every row passes, and is not examined further.
  where (((coalesce(sealed.total, 0)) is not distinct from (months.account_count)) is true
    and ((encode(sha256(convert_to(coalesce(sealed.records, '') || coalesce(total.records, ''), 'UTF8')), 'hex')) is not distinct from (encode(months.digest, 'hex'))) is true) is not true
    and not fact.holds
     order by ledger nulls first, journal nulls first, account, currency, transfer, what;

select ledger_id::bigint as ledger, account_number::text as account, currency::text as currency,
    null::text as transfer, journal_number::bigint as journal, fact.what, fact.expected, fact.found
  from (
  select distinct on (entries.ledger_id, entries.account_number, entries.currency, months.journal_number)
    entries.ledger_id, entries.account_number, entries.currency, months.journal_number, entries.entry_number, entries.balance
  from entries as entries
  join journal as journal
    on journal.ledger_id = entries.ledger_id and journal.number = entries.journal_number
  join closed_months as months
    on months.ledger_id = entries.ledger_id and months.month = date_trunc('month', journal.settled_at at time zone 'UTC')::date
  order by entries.ledger_id, entries.account_number, entries.currency, months.journal_number, entries.entry_number desc
) as last
    full join sealed_balances as sealed
      using (ledger_id, account_number, currency, journal_number)
  cross join lateral (
    values ('entry of a sealed balance', ((last.entry_number) is not distinct from (sealed.entry_number)) is true, (last.entry_number)::text, (sealed.entry_number)::text),
      ('sealed balance', ((last.balance) is not distinct from (sealed.balance)) is true, (last.balance)::text, (sealed.balance)::text)
  ) as fact (what, holds, expected, found)
  -- All facts at once first: nearly every row passes, and is not examined further.
  where (((last.entry_number) is not distinct from (sealed.entry_number)) is true
    and ((last.balance) is not distinct from (sealed.balance)) is true) is not true
    and not fact.holds
    and (last.entry_number is not null
    or exists (
      select
      from closed_months
      where closed_months.ledger_id = sealed.ledger_id and closed_months.journal_number = sealed.journal_number
    )
    or not exists (
      select
      from (
        select entries.entry_number, entries.balance
        from entries
        where entries.ledger_id = sealed.ledger_id and entries.account_number = sealed.account_number
          and entries.currency = sealed.currency and entries.journal_number <= sealed.journal_number
        order by entries.entry_number desc
        limit 1
      ) as own
      where own.entry_number = sealed.entry_number and own.balance = sealed.balance
    )) order by ledger nulls first, journal nulls first, account, currency, transfer, what;

select ledger_id::bigint as ledger, null::text as account, currency::text as currency,
  null::text as transfer, journal_number::bigint as journal, fact.what, fact.expected, fact.found
from (
    select months.ledger_id, months.journal_number, last.currency, count(*) as account_count,
      coalesce(sum(last.balance) filter (where last.balance > 0), 0) as positive,
      coalesce(sum(last.balance) filter (where last.balance < 0), 0) as negative
    from (select distinct ledger_id, journal_number from closed_months as months) as months
    join (
      select entries.*,
        lead(journal_number) over (partition by ledger_id, account_number, currency order by journal_number) as until
      from sealed_balances as entries
    ) as last
      on last.ledger_id = months.ledger_id and last.journal_number <= months.journal_number
      and (last.until is null or last.until > months.journal_number)
    group by months.ledger_id, months.journal_number, last.currency
  ) as expected
  full join sealed_totals as sealed using (ledger_id, journal_number, currency)
cross join lateral (
  values ('accounts with entries', ((expected.account_count) is not distinct from (sealed.account_count)) is true, (expected.account_count)::text, (sealed.account_count)::text),
    ('sum of the balances above zero', ((expected.positive) is not distinct from (sealed.positive)) is true, (expected.positive)::text, (sealed.positive)::text),
    ('sum of the balances below zero', ((expected.negative) is not distinct from (sealed.negative)) is true, (expected.negative)::text, (sealed.negative)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where (((expected.account_count) is not distinct from (sealed.account_count)) is true
  and ((expected.positive) is not distinct from (sealed.positive)) is true
  and ((expected.negative) is not distinct from (sealed.negative)) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what
