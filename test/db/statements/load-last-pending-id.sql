select id from pending_transfers where lease_id = $1::uuid order by id desc limit 1
