-- all ledgers
select null::bigint as ledger, null::text as account, null::text as currency,
  null::text as transfer, null::bigint as journal, fact.what, fact.expected, fact.found
from (values ('transfers'), ('entries'), ('journal'), ('account_changes'), ('idempotency_keys'), ('audit_log'), ('closed_months'), ('sealed_balances'), ('sealed_totals'), ('archived_months')) as known (name)
  join pg_class as relation on relation.oid = to_regclass(known.name)
  cross join lateral (
    select coalesce(relation.relacl, acldefault('r', relation.relowner)) as items
    union all
    select attacl from pg_attribute where attrelid = relation.oid and attacl is not null
  ) as access
  cross join lateral aclexplode(access.items) as granted
  left join pg_roles as role on role.oid = granted.grantee
cross join lateral (
  values ('right to change what is final', (role.rolsuper) is true, ('that of a superuser')::text, (coalesce(role.rolname, 'every role') || ' may ' || lower(granted.privilege_type) || ' ' || name)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((role.rolsuper) is true) is not true
  and not fact.holds
  and (granted.privilege_type in ('UPDATE', 'DELETE', 'TRUNCATE')) order by ledger nulls first, journal nulls first, account, currency, transfer, what;

-- one ledger, after a row of its journal
select null::bigint as ledger, null::text as account, null::text as currency,
  null::text as transfer, null::bigint as journal, fact.what, fact.expected, fact.found
from (values ('transfers'), ('entries'), ('journal'), ('account_changes'), ('idempotency_keys'), ('audit_log'), ('closed_months'), ('sealed_balances'), ('sealed_totals'), ('archived_months')) as known (name)
  join pg_class as relation on relation.oid = to_regclass(known.name)
  cross join lateral (
    select coalesce(relation.relacl, acldefault('r', relation.relowner)) as items
    union all
    select attacl from pg_attribute where attrelid = relation.oid and attacl is not null
  ) as access
  cross join lateral aclexplode(access.items) as granted
  left join pg_roles as role on role.oid = granted.grantee
cross join lateral (
  values ('right to change what is final', (role.rolsuper) is true, ('that of a superuser')::text, (coalesce(role.rolname, 'every role') || ' may ' || lower(granted.privilege_type) || ' ' || name)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((role.rolsuper) is true) is not true
  and not fact.holds
  and (granted.privilege_type in ('UPDATE', 'DELETE', 'TRUNCATE')) order by ledger nulls first, journal nulls first, account, currency, transfer, what
