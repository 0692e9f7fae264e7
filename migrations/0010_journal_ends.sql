-- The last row of a ledger's journal is its end. Before, journal_head repeated it, and each job updated that row: while a
-- snapshot was open, no old version of it could be removed, and each job read them all.
-- docs/decisions/0057-journal-end.md has the numbers.

-- A ledger without a journal began when its head was made: no row is settled before that.
update journal_head set closed_until = greatest(closed_until, settled_at);

-- What remains is locked by each job, and updated only to close an idle journal, or to advance a test clock.
alter table journal_head drop constraint journal_head_within_clock;
alter table journal_head
  drop column number,
  drop column settled_at,
  drop column previous_hash,
  drop column hash,
  alter column closed_until set default clock_timestamp(),
  add constraint journal_head_within_clock check (closed_until <= clock and isfinite(clock));

create view journal_ends as
select head.ledger_id, coalesce(last.number, 0) as number, coalesce(last.settled_at, head.closed_until) as settled_at,
  coalesce(last.hash, decode(repeat('00', 32), 'hex')) as hash, head.closed_until, head.clock
from journal_head as head
left join lateral (
  select number, settled_at, hash
  from journal
  where journal.ledger_id = head.ledger_id
  order by number desc
  limit 1
) as last on true;
