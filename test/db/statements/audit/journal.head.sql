-- all ledgers
select ledger_id, count(*) from journal_head as journal_head group by ledger_id order by ledger_id;

-- one ledger, after a row of its journal
select ledger_id, count(*) from (select * from journal_head where ledger_id = 1) as journal_head group by ledger_id order by ledger_id
