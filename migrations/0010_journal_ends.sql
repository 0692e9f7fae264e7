-- The last row of a ledger's journal is its end. Before, journal_head repeated it, and each job updated that row: while a
-- snapshot was open, no old version of it could be removed, and each job read them all.
-- docs/decisions/0057-journal-end.md has the numbers.

-- What remains is locked by each job, and updated only to close an idle journal, or to advance a test clock.
alter table journal_head drop constraint journal_head_within_clock;
-- No row is settled before the journal was opened.
alter table journal_head rename column settled_at to opened_at;
alter table journal_head
  drop column number,
  drop column previous_hash,
  drop column hash,
  add constraint journal_head_within_clock check (opened_at <= clock and closed_until <= clock and isfinite(clock));
update journal_head
set opened_at = journal.settled_at
from journal
where journal.ledger_id = journal_head.ledger_id and journal.number = 1;

create view journal_ends as
select head.ledger_id, coalesce(last.number, 0) as number, coalesce(last.settled_at, head.opened_at) as settled_at,
  coalesce(last.hash, decode(repeat('00', 32), 'hex')) as hash, head.closed_until, head.clock
from journal_head as head
left join lateral (
  select number, settled_at, hash
  from journal
  where journal.ledger_id = head.ledger_id
  order by number desc
  limit 1
) as last on true;
