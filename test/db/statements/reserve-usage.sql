insert into key_usage as usage (key_id, day, amount)
select $1::text, (now() at time zone 'UTC')::date, $2::bigint
where $2::bigint <= $3::bigint
on conflict (key_id, day) do update set amount = usage.amount + excluded.amount
where usage.amount + excluded.amount <= $3::bigint
returning day::text as day
