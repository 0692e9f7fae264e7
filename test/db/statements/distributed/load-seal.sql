select seal, change_number, statement_timestamp() as at, sha256(convert_to(
    concat_ws(
      chr(31), account_number, currency, change_number, encode(seal, 'hex'), coalesce($4::text, ''),
      coalesce($5::text, '')
    ) || chr(30),
    'UTF8'
  )) as digest
from (
  select account_number, currency, sha256(convert_to(
      concat_ws(
        chr(31), account_number, currency, status, coalesce(encode(personal_data, 'hex'), ''), overdraft_limit,
        metadata::text, (extract(epoch from created_at) * 1000000)::bigint
      ),
      'UTF8'
    )) as seal, 1 + (
      select coalesce(max(change_number), 0)
      from account_changes
      where ledger_id = $1::integer and account_number = $2::text and currency = $3::text
    ) as change_number
  from accounts
  where ledger_id = $1::integer and account_number = $2::text and currency = $3::text
) as sealed
