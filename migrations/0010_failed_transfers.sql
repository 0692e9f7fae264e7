-- Failed transfers are few, and callers poll for them: without an index, a page of them reads the whole history. Only a failed
-- transfer pays for it.
create index transfers_failed on transfers (journal_number, journal_position) where status = 'failed';

-- A list by time of acceptance follows the journal, which is in order of settlement. A transfer is accepted at most ten seconds
-- before it is settled, so a window of acceptance is a range of the journal. The exceptions are here: what waited longer, during an
-- outage, and what was accepted before the clock of the database went back.
create index transfers_untimely on transfers (journal_number, journal_position)
  where completed_at - created_at not between interval '0' and interval '10 seconds';
