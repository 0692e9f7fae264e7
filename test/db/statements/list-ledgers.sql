select name, created_at
from ledgers
where $1::text is null or name > $1::text
order by name asc
limit $2::integer
