select name, created_at
from ledgers
where name > $1::text
order by name
limit $2::integer
