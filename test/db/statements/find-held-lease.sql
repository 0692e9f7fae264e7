select from leases where id = $1::uuid and session = $2::integer and not closed
