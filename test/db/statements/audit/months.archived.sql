-- all ledgers
select archived.ledger_id::bigint as ledger, null::text as account, null::text as currency,
  null::text as transfer, archived.journal_number::bigint as journal, fact.what, fact.expected, fact.found
from (
    select archived.*, closed.month as closed_month, closed.journal_number as closed_number,
      row_number() over (partition by archived.ledger_id order by archived.month) as place,
      (
        select count(*)
        from closed_months as earlier
        where earlier.ledger_id = archived.ledger_id and earlier.month <= archived.month
      ) as closed_place
    from archived_months as archived
    left join closed_months as closed
      on closed.ledger_id = archived.ledger_id and closed.month = archived.month
  ) as archived
cross join lateral (
  values ('closed month that is archived', (archived.closed_month is not null) is true, ('a closed month')::text, ('none')::text),
    ('journal_number of an archived month', ((archived.closed_month is not null) is not true or ((archived.closed_number) is not distinct from (archived.journal_number))) is true, (archived.closed_number)::text, (archived.journal_number)::text),
    ('archived months up to one', ((archived.closed_month is not null) is not true or ((archived.closed_place) is not distinct from (archived.place))) is true, (archived.closed_place)::text, (archived.place)::text),
    ('act of the audit log that archives the month', ((archived.closed_month is not null) is not true or (exists (
      select
      from audit_log as act
      where act.ledger_id = archived.ledger_id and act.action = 'ledger.month_archived' and act.journal_number is not null
        and act.details::jsonb ->> 'month' = to_char(archived.month, 'YYYY-MM')
        and act.details::jsonb ->> 'sha256' = encode(archived.digest, 'hex')
    ))) is true, ('one with its hash')::text, ('none')::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((archived.closed_month is not null) is true
  and ((archived.closed_month is not null) is not true or ((archived.closed_number) is not distinct from (archived.journal_number))) is true
  and ((archived.closed_month is not null) is not true or ((archived.closed_place) is not distinct from (archived.place))) is true
  and ((archived.closed_month is not null) is not true or (exists (
      select
      from audit_log as act
      where act.ledger_id = archived.ledger_id and act.action = 'ledger.month_archived' and act.journal_number is not null
        and act.details::jsonb ->> 'month' = to_char(archived.month, 'YYYY-MM')
        and act.details::jsonb ->> 'sha256' = encode(archived.digest, 'hex')
    ))) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what;

-- one ledger, after a row of its journal
select archived.ledger_id::bigint as ledger, null::text as account, null::text as currency,
  null::text as transfer, archived.journal_number::bigint as journal, fact.what, fact.expected, fact.found
from (
    select archived.*, closed.month as closed_month, closed.journal_number as closed_number,
      row_number() over (partition by archived.ledger_id order by archived.month) as place,
      (
        select count(*)
        from closed_months as earlier
        where earlier.ledger_id = archived.ledger_id and earlier.month <= archived.month
      ) as closed_place
    from (select * from archived_months where ledger_id = 1) as archived
    left join (select * from closed_months where ledger_id = 1) as closed
      on closed.ledger_id = archived.ledger_id and closed.month = archived.month
  ) as archived
cross join lateral (
  values ('closed month that is archived', (archived.closed_month is not null) is true, ('a closed month')::text, ('none')::text),
    ('journal_number of an archived month', ((archived.closed_month is not null) is not true or ((archived.closed_number) is not distinct from (archived.journal_number))) is true, (archived.closed_number)::text, (archived.journal_number)::text),
    ('archived months up to one', ((archived.closed_month is not null) is not true or ((archived.closed_place) is not distinct from (archived.place))) is true, (archived.closed_place)::text, (archived.place)::text),
    ('act of the audit log that archives the month', ((archived.closed_month is not null) is not true or (exists (
      select
      from (select * from audit_log where ledger_id = 1) as act
      where act.ledger_id = archived.ledger_id and act.action = 'ledger.month_archived' and act.journal_number is not null
        and act.details::jsonb ->> 'month' = to_char(archived.month, 'YYYY-MM')
        and act.details::jsonb ->> 'sha256' = encode(archived.digest, 'hex')
    ))) is true, ('one with its hash')::text, ('none')::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((archived.closed_month is not null) is true
  and ((archived.closed_month is not null) is not true or ((archived.closed_number) is not distinct from (archived.journal_number))) is true
  and ((archived.closed_month is not null) is not true or ((archived.closed_place) is not distinct from (archived.place))) is true
  and ((archived.closed_month is not null) is not true or (exists (
      select
      from (select * from audit_log where ledger_id = 1) as act
      where act.ledger_id = archived.ledger_id and act.action = 'ledger.month_archived' and act.journal_number is not null
        and act.details::jsonb ->> 'month' = to_char(archived.month, 'YYYY-MM')
        and act.details::jsonb ->> 'sha256' = encode(archived.digest, 'hex')
    ))) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what
