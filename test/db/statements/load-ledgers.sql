select id, name, clock_start is not null as has_test_clock
from ledgers
where name = any($1::text[])
