with now as materialized (
   -- The job's row of the journal is settled at this time or later, also after the clock went back.
   select coalesce(clock, greatest(clock_timestamp(), settled_at, closed_until)) as instant, clock is not null as is_test
   from (
  select head.ledger_id, coalesce(last.number, 0) as number, coalesce(last.settled_at, head.opened_at) as settled_at,
    coalesce(last.hash, decode(repeat('00', 32), 'hex')) as hash, head.closed_until, head.clock
  from journal_head as head
  left join lateral (
    select number, settled_at, hash
    from journal
    where journal.ledger_id = $1::integer
    order by number desc
    limit 1
  ) as last on true
  where head.ledger_id = $1::integer
) as head
 )
 select id, state, amount, captured, released, coalesce(expires_at <= now.instant, false),
   -- No job takes longer than a minute from here to its place in the journal. A test clock may leap meanwhile.
   case when now.is_test or expires_at < now.instant + interval '1 minute' then (extract(epoch from expires_at) * 1000000)::bigint end
 from unnest($2::uuid[]) as named (hold_id)
 cross join lateral (
   select id, state, amount, captured, released, expires_at
   from holds
   where ledger_id = $1::integer and id = named.hold_id
   offset 0
 ) as hold
 cross join now
