update key_usage
set amount = greatest(0, amount - $2::bigint)
where key_id = $1::text and day = $3::date
