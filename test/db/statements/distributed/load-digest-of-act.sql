select statement_timestamp() as at, sha256(convert_to(
    concat_ws(
      chr(31), $1::uuid, $2::text, coalesce($3::text, ''), $4::text, $5::text, (extract(epoch from statement_timestamp()) * 1000000)::bigint
    ) || chr(30),
    'UTF8'
  )) as digest
