select api_keys.id, ledgers.name as ledger, scopes, account_prefix, amount_max, daily_amount_max,
  requests_per_second, client_certificate, secret_digest,
  case when previous_until > now() then previous_digest end as previous_digest,
  (extract(epoch from previous_until - now()) * 1000)::float8 as previous_ms,
  (extract(epoch from expires_at - now()) * 1000)::float8 as remaining_ms
from api_keys
left join ledgers on ledgers.id = api_keys.ledger_id
where revoked_at is null and (expires_at is null or expires_at > now())
  -- A key of a ledger that does not exist would otherwise be a key of all.
  and (api_keys.ledger_id is null or ledgers.id is not null)
