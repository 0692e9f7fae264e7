-- all ledgers
select coalesce(hold.ledger_id, parts.ledger_id)::bigint as ledger, hold.from_account::text as account, hold.currency::text as currency,
  coalesce(hold.id, parts.key)::text as transfer, parts.journal_number::bigint as journal, fact.what, fact.expected, fact.found
from (select *, true as known from holds as holds) as hold
  full join (
select ledger_id, parent_id as key,
  sum(amount) filter (where kind = 'capture') as captured,
  count(*) filter (where kind in ('void', 'expiry') or final_capture) as end_total,
  max(kind) filter (where kind in ('void', 'expiry')) as released_by,
  max(amount) filter (where kind in ('void', 'expiry')) as released,
  max(array[journal_number, journal_position]) as last_place,
  max(array[journal_number, journal_position]) filter (where kind in ('void', 'expiry') or final_capture) as end_place,
  max(journal_number) as journal_number
from transfers as transfers
where kind in ('capture', 'void', 'expiry') and status = 'completed' group by ledger_id, key) as parts
    on parts.ledger_id = hold.ledger_id and parts.key = hold.id
cross join lateral (
  values ('hold', (hold.known) is true, ('a hold')::text, ('none')::text),
    ('captured, by completed captures', ((hold.known) is not true or ((coalesce(parts.captured, 0)) is not distinct from (hold.captured))) is true, (coalesce(parts.captured, 0))::text, (hold.captured)::text),
    ('released', ((hold.known) is not true or ((case when coalesce(parts.end_total, 0) > 0 then hold.amount - coalesce(parts.captured, 0) else 0 end) is not distinct from (hold.released))) is true, (case when coalesce(parts.end_total, 0) > 0 then hold.amount - coalesce(parts.captured, 0) else 0 end)::text, (hold.released)::text),
    ('amount of the void or expiry', ((hold.known) is not true or (parts.released is null or parts.released = hold.released)) is true, ('what the hold says was released')::text, (parts.released)::text),
    ('ends of the hold', ((hold.known) is not true or (coalesce(parts.end_total, 0) <= 1)) is true, ('at most 1')::text, (coalesce(parts.end_total, 0))::text),
    ('place of the end in the journal', ((hold.known) is not true or (parts.end_place is null or parts.end_place = parts.last_place)) is true, ('the last of all parts')::text, (parts.end_place)::text),
    ('state', ((hold.known) is not true or ((case
      when parts.released_by = 'void' then 'voided'
      when parts.released_by = 'expiry' then 'expired'
      when coalesce(parts.end_total, 0) > 0 or coalesce(parts.captured, 0) = hold.amount then 'captured'
      else 'open'
    end) is not distinct from (hold.state))) is true, (case
      when parts.released_by = 'void' then 'voided'
      when parts.released_by = 'expiry' then 'expired'
      when coalesce(parts.end_total, 0) > 0 or coalesce(parts.captured, 0) = hold.amount then 'captured'
      else 'open'
    end)::text, (hold.state)::text),
    ('captured and released', ((hold.known) is not true or (hold.captured >= 0 and hold.released >= 0 and hold.captured + hold.released <= hold.amount
      and (hold.state = 'open') = (hold.captured + hold.released < hold.amount))) is true, ('parts of the amount, and all of it unless the hold is open')::text, (hold.captured || ' and ' || hold.released || ' of ' || hold.amount || ', ' || hold.state)::text),
    ('amount, from 1 to 9007199254740991', ((hold.known) is not true or (hold.amount between 1 and 9007199254740991)) is true, ('1 to 9007199254740991')::text, (hold.amount)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((hold.known) is true
  and ((hold.known) is not true or ((coalesce(parts.captured, 0)) is not distinct from (hold.captured))) is true
  and ((hold.known) is not true or ((case when coalesce(parts.end_total, 0) > 0 then hold.amount - coalesce(parts.captured, 0) else 0 end) is not distinct from (hold.released))) is true
  and ((hold.known) is not true or (parts.released is null or parts.released = hold.released)) is true
  and ((hold.known) is not true or (coalesce(parts.end_total, 0) <= 1)) is true
  and ((hold.known) is not true or (parts.end_place is null or parts.end_place = parts.last_place)) is true
  and ((hold.known) is not true or ((case
      when parts.released_by = 'void' then 'voided'
      when parts.released_by = 'expiry' then 'expired'
      when coalesce(parts.end_total, 0) > 0 or coalesce(parts.captured, 0) = hold.amount then 'captured'
      else 'open'
    end) is not distinct from (hold.state))) is true
  and ((hold.known) is not true or (hold.captured >= 0 and hold.released >= 0 and hold.captured + hold.released <= hold.amount
      and (hold.state = 'open') = (hold.captured + hold.released < hold.amount))) is true
  and ((hold.known) is not true or (hold.amount between 1 and 9007199254740991)) is true) is not true
  and not fact.holds
  and (hold.known or parts.key is not null) order by ledger nulls first, journal nulls first, account, currency, transfer, what;

-- one ledger, after a row of its journal
select coalesce(hold.ledger_id, parts.ledger_id)::bigint as ledger, hold.from_account::text as account, hold.currency::text as currency,
    coalesce(hold.id, parts.key)::text as transfer, parts.journal_number::bigint as journal, fact.what, fact.expected, fact.found
  from (
  select id from (select * from transfers where ledger_id = 1 and journal_number > 7) as made where kind = 'hold' and status = 'completed'
  union select parent_id from (select * from transfers where ledger_id = 1 and journal_number > 7) as parts where kind in ('capture', 'void', 'expiry')
  union select id from (select * from holds where ledger_id = 1) as opened where state = 'open'
) as touched
    left join lateral (select * from (select *, true as known from (select * from holds where ledger_id = 1) as holds) as hold where hold.id = touched.id offset 0) as hold on true
    left join lateral (
      select * from (
  select ledger_id, parent_id as key,
    sum(amount) filter (where kind = 'capture') as captured,
    count(*) filter (where kind in ('void', 'expiry') or final_capture) as end_total,
    max(kind) filter (where kind in ('void', 'expiry')) as released_by,
    max(amount) filter (where kind in ('void', 'expiry')) as released,
    max(array[journal_number, journal_position]) as last_place,
    max(array[journal_number, journal_position]) filter (where kind in ('void', 'expiry') or final_capture) as end_place,
    max(journal_number) as journal_number
  from (select * from transfers where ledger_id = 1) as transfers
  where kind in ('capture', 'void', 'expiry') and status = 'completed' group by ledger_id, key) as parts where parts.key = touched.id offset 0
    ) as parts on true
  cross join lateral (
    values ('hold', (hold.known) is true, ('a hold')::text, ('none')::text),
      ('captured, by completed captures', ((hold.known) is not true or ((coalesce(parts.captured, 0)) is not distinct from (hold.captured))) is true, (coalesce(parts.captured, 0))::text, (hold.captured)::text),
      ('released', ((hold.known) is not true or ((case when coalesce(parts.end_total, 0) > 0 then hold.amount - coalesce(parts.captured, 0) else 0 end) is not distinct from (hold.released))) is true, (case when coalesce(parts.end_total, 0) > 0 then hold.amount - coalesce(parts.captured, 0) else 0 end)::text, (hold.released)::text),
      ('amount of the void or expiry', ((hold.known) is not true or (parts.released is null or parts.released = hold.released)) is true, ('what the hold says was released')::text, (parts.released)::text),
      ('ends of the hold', ((hold.known) is not true or (coalesce(parts.end_total, 0) <= 1)) is true, ('at most 1')::text, (coalesce(parts.end_total, 0))::text),
      ('place of the end in the journal', ((hold.known) is not true or (parts.end_place is null or parts.end_place = parts.last_place)) is true, ('the last of all parts')::text, (parts.end_place)::text),
      ('state', ((hold.known) is not true or ((case
        when parts.released_by = 'void' then 'voided'
        when parts.released_by = 'expiry' then 'expired'
        when coalesce(parts.end_total, 0) > 0 or coalesce(parts.captured, 0) = hold.amount then 'captured'
        else 'open'
      end) is not distinct from (hold.state))) is true, (case
        when parts.released_by = 'void' then 'voided'
        when parts.released_by = 'expiry' then 'expired'
        when coalesce(parts.end_total, 0) > 0 or coalesce(parts.captured, 0) = hold.amount then 'captured'
        else 'open'
      end)::text, (hold.state)::text),
      ('captured and released', ((hold.known) is not true or (hold.captured >= 0 and hold.released >= 0 and hold.captured + hold.released <= hold.amount
        and (hold.state = 'open') = (hold.captured + hold.released < hold.amount))) is true, ('parts of the amount, and all of it unless the hold is open')::text, (hold.captured || ' and ' || hold.released || ' of ' || hold.amount || ', ' || hold.state)::text),
      ('amount, from 1 to 9007199254740991', ((hold.known) is not true or (hold.amount between 1 and 9007199254740991)) is true, ('1 to 9007199254740991')::text, (hold.amount)::text)
  ) as fact (what, holds, expected, found)
  -- All facts at once first: nearly every row passes, and is not examined further.
  where ((hold.known) is true
    and ((hold.known) is not true or ((coalesce(parts.captured, 0)) is not distinct from (hold.captured))) is true
    and ((hold.known) is not true or ((case when coalesce(parts.end_total, 0) > 0 then hold.amount - coalesce(parts.captured, 0) else 0 end) is not distinct from (hold.released))) is true
    and ((hold.known) is not true or (parts.released is null or parts.released = hold.released)) is true
    and ((hold.known) is not true or (coalesce(parts.end_total, 0) <= 1)) is true
    and ((hold.known) is not true or (parts.end_place is null or parts.end_place = parts.last_place)) is true
    and ((hold.known) is not true or ((case
        when parts.released_by = 'void' then 'voided'
        when parts.released_by = 'expiry' then 'expired'
        when coalesce(parts.end_total, 0) > 0 or coalesce(parts.captured, 0) = hold.amount then 'captured'
        else 'open'
      end) is not distinct from (hold.state))) is true
    and ((hold.known) is not true or (hold.captured >= 0 and hold.released >= 0 and hold.captured + hold.released <= hold.amount
        and (hold.state = 'open') = (hold.captured + hold.released < hold.amount))) is true
    and ((hold.known) is not true or (hold.amount between 1 and 9007199254740991)) is true) is not true
    and not fact.holds
    and (hold.known or parts.key is not null) order by ledger nulls first, journal nulls first, account, currency, transfer, what
