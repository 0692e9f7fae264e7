select id, approval_above from ledgers where approval_above is not null
