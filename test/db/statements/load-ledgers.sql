select id, name
from ledgers
where name = any($1::text[])
