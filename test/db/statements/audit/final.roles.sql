-- all ledgers
select null::bigint as ledger, null::text as account, null::text as currency,
    null::text as transfer, null::bigint as journal, fact.what, fact.expected, fact.found
  from
pg_class as journal
join pg_roles as role
  on role.oid <> journal.relowner and exists (
    select
    from aclexplode(journal.relacl) as granted
    where granted.privilege_type = 'INSERT' and granted.grantee not in (0, journal.relowner)
      and case when role.rolsuper then role.oid = granted.grantee else pg_has_role(role.oid, granted.grantee, 'usage') end
  )
    cross join lateral (
      select string_agg(strong.rolname, ', ' order by strong.rolname) as names
      from pg_roles as strong
      where not role.rolsuper and pg_has_role(role.oid, strong.oid, 'member') and strong.rolname <> 'pg_database_owner'
        and (
          strong.rolname in ('pg_write_all_data', 'pg_execute_server_program', 'pg_write_server_files')
          or strong.oid = journal.relowner
          or strong.oid = (select nspowner from pg_namespace where pg_namespace.oid = journal.relnamespace)
          or strong.oid = (select datdba from pg_database where datname = current_database())
        )
    ) as membership
  cross join lateral (
    values ('role that writes the books', (not role.rolsuper) is true, ('not a superuser')::text, (role.rolname || ' is a superuser')::text),
      ('role that writes the books', (not role.rolcreaterole) is true, ('without power over roles')::text, (role.rolname || ' may create roles')::text),
      ('role that writes the books', (membership.names is null) is true, ('not a member of a role that owns the books')::text, (role.rolname || ' has the power of ' || membership.names)::text),
      ('role that writes the books', (role.rolsuper or not has_schema_privilege(role.oid, journal.relnamespace, 'create')) is true, ('without the right to create tables')::text, (role.rolname || ' may create tables')::text),
      ('role that writes the books', (role.rolsuper or not has_parameter_privilege(role.oid, 'session_replication_role', 'set')) is true, ('without the right to disable triggers')::text, (role.rolname || ' may disable triggers')::text)
  ) as fact (what, holds, expected, found)
  -- All facts at once first: nearly every row passes, and is not examined further.
  where ((not role.rolsuper) is true
    and (not role.rolcreaterole) is true
    and (membership.names is null) is true
    and (role.rolsuper or not has_schema_privilege(role.oid, journal.relnamespace, 'create')) is true
    and (role.rolsuper or not has_parameter_privilege(role.oid, 'session_replication_role', 'set')) is true) is not true
    and not fact.holds
    and (journal.oid = to_regclass('journal')) order by ledger nulls first, journal nulls first, account, currency, transfer, what;

select null::bigint as ledger, null::text as account, null::text as currency,
    null::text as transfer, null::bigint as journal, fact.what, fact.expected, fact.found
  from
pg_class as journal
join pg_roles as role
  on role.oid <> journal.relowner and exists (
    select
    from aclexplode(journal.relacl) as granted
    where granted.privilege_type = 'INSERT' and granted.grantee not in (0, journal.relowner)
      and case when role.rolsuper then role.oid = granted.grantee else pg_has_role(role.oid, granted.grantee, 'usage') end
  )
    cross join (values ('accounts', 'DELETE'), ('accounts', 'TRUNCATE'), ('accounts', 'TRIGGER'), ('approvals', 'DELETE'), ('approvals', 'TRUNCATE'), ('approvals', 'TRIGGER'), ('heartbeats', 'TRUNCATE'), ('heartbeats', 'TRIGGER'), ('holds', 'DELETE'), ('holds', 'TRUNCATE'), ('holds', 'TRIGGER'), ('journal_head', 'DELETE'), ('journal_head', 'TRUNCATE'), ('journal_head', 'TRIGGER'), ('key_usage', 'DELETE'), ('key_usage', 'TRUNCATE'), ('key_usage', 'TRIGGER'), ('leases', 'DELETE'), ('leases', 'TRUNCATE'), ('leases', 'TRIGGER'), ('ledger_leases', 'DELETE'), ('ledger_leases', 'TRUNCATE'), ('ledger_leases', 'TRIGGER'), ('pending_transfers', 'TRUNCATE'), ('pending_transfers', 'TRIGGER'), ('reversed_amounts', 'DELETE'), ('reversed_amounts', 'TRUNCATE'), ('reversed_amounts', 'TRIGGER'), ('webhook_cursors', 'TRUNCATE'), ('webhook_cursors', 'TRIGGER'), ('webhook_deliveries', 'TRUNCATE'), ('webhook_deliveries', 'TRIGGER'), ('webhook_endpoints', 'TRUNCATE'), ('webhook_endpoints', 'TRIGGER'), ('access_state', 'DELETE'), ('access_state', 'TRUNCATE'), ('access_state', 'TRIGGER'), ('account_changes', 'DELETE'), ('account_changes', 'TRUNCATE'), ('account_changes', 'TRIGGER'), ('account_words', 'TRUNCATE'), ('account_words', 'TRIGGER'), ('api_keys', 'DELETE'), ('api_keys', 'TRUNCATE'), ('api_keys', 'TRIGGER'), ('archived_months', 'DELETE'), ('archived_months', 'TRUNCATE'), ('archived_months', 'TRIGGER'), ('audit_log', 'DELETE'), ('audit_log', 'TRUNCATE'), ('audit_log', 'TRIGGER'), ('closed_months', 'DELETE'), ('closed_months', 'TRUNCATE'), ('closed_months', 'TRIGGER'), ('entries', 'DELETE'), ('entries', 'TRUNCATE'), ('entries', 'TRIGGER'), ('idempotency_keys', 'DELETE'), ('idempotency_keys', 'TRUNCATE'), ('idempotency_keys', 'TRIGGER'), ('journal', 'DELETE'), ('journal', 'TRUNCATE'), ('journal', 'TRIGGER'), ('ledgers', 'DELETE'), ('ledgers', 'TRUNCATE'), ('ledgers', 'TRIGGER'), ('migrations', 'DELETE'), ('migrations', 'TRUNCATE'), ('migrations', 'TRIGGER'), ('personal_keys', 'TRUNCATE'), ('personal_keys', 'TRIGGER'), ('sealed_balances', 'DELETE'), ('sealed_balances', 'TRUNCATE'), ('sealed_balances', 'TRIGGER'), ('sealed_totals', 'DELETE'), ('sealed_totals', 'TRUNCATE'), ('sealed_totals', 'TRIGGER'), ('transfers', 'DELETE'), ('transfers', 'TRUNCATE'), ('transfers', 'TRIGGER'), ('webhook_keys', 'DELETE'), ('webhook_keys', 'TRUNCATE'), ('webhook_keys', 'TRIGGER'), ('access_state', 'INSERT'), ('api_keys', 'INSERT'), ('closed_months', 'INSERT'), ('migrations', 'INSERT'), ('sealed_balances', 'INSERT'), ('sealed_totals', 'INSERT')) as known (name, privilege)
  cross join lateral (
    values ('right of a role that writes the books', (not coalesce(has_table_privilege(role.oid, to_regclass(known.name), known.privilege), false)) is true, ('not granted')::text, (role.rolname || ' may ' || lower(known.privilege) || ' ' || known.name)::text)
  ) as fact (what, holds, expected, found)
  -- All facts at once first: nearly every row passes, and is not examined further.
  where ((not coalesce(has_table_privilege(role.oid, to_regclass(known.name), known.privilege), false)) is true) is not true
    and not fact.holds
    and (journal.oid = to_regclass('journal') and not role.rolsuper) order by ledger nulls first, journal nulls first, account, currency, transfer, what;

select null::bigint as ledger, null::text as account, null::text as currency,
    null::text as transfer, null::bigint as journal, fact.what, fact.expected, fact.found
  from
pg_class as journal
join pg_roles as role
  on role.oid <> journal.relowner and exists (
    select
    from aclexplode(journal.relacl) as granted
    where granted.privilege_type = 'INSERT' and granted.grantee not in (0, journal.relowner)
      and case when role.rolsuper then role.oid = granted.grantee else pg_has_role(role.oid, granted.grantee, 'usage') end
  )
    cross join (values ('accounts', array['balance', 'held', 'overdraft_limit', 'entry_count', 'status', 'personal_data', 'metadata']::text[]), ('approvals', array['state', 'decided_by', 'decided_at']::text[]), ('heartbeats', array['beat', 'written_at']::text[]), ('holds', array['captured', 'released', 'state', 'expiry_id']::text[]), ('journal_head', array['closed_until', 'clock']::text[]), ('key_usage', array['amount']::text[]), ('leases', array['accepted_count', 'session', 'closed']::text[]), ('ledger_leases', array['accepted_count', 'session', 'closed']::text[]), ('pending_transfers', array['lease_id', 'adoptions', 'lone_deaths', 'on_trial']::text[]), ('reversed_amounts', array['reversed']::text[]), ('webhook_cursors', array['journal_number', 'position', 'delivery_number', 'attempts', 'failing_since', 'next_attempt_at', 'claimed_by', 'claimed_until', 'changed', 'disabled']::text[]), ('webhook_deliveries', array['event_id', 'type', 'journal_number', 'position', 'attempted_at', 'attempts', 'status', 'delivered', 'requested', 'error']::text[]), ('webhook_endpoints', array['url', 'description', 'types', 'account', 'kind', 'disabled_reason', 'disabled_at', 'secret', 'previous_secret', 'previous_until', 'secret_number']::text[]), ('access_state', array[]::text[]), ('account_changes', array[]::text[]), ('account_words', array[]::text[]), ('api_keys', array[]::text[]), ('archived_months', array[]::text[]), ('audit_log', array[]::text[]), ('closed_months', array[]::text[]), ('entries', array[]::text[]), ('idempotency_keys', array[]::text[]), ('journal', array[]::text[]), ('ledgers', array[]::text[]), ('migrations', array[]::text[]), ('personal_keys', array[]::text[]), ('sealed_balances', array[]::text[]), ('sealed_totals', array[]::text[]), ('transfers', array[]::text[]), ('webhook_keys', array[]::text[])) as known (name, changeable)
    cross join lateral (
      select string_agg(attname, ', ' order by attnum) as names
      from pg_attribute
      where attrelid = to_regclass(known.name) and attnum > 0 and not attisdropped
        and attname <> all(known.changeable) and has_column_privilege(role.oid, attrelid, attnum, 'UPDATE')
    ) as excess
  cross join lateral (
    values ('right of a role that writes the books', (excess.names is null) is true, ('not granted')::text, (role.rolname || ' may update ' || known.name || ' (' || excess.names || ')')::text)
  ) as fact (what, holds, expected, found)
  -- All facts at once first: nearly every row passes, and is not examined further.
  where ((excess.names is null) is true) is not true
    and not fact.holds
    and (journal.oid = to_regclass('journal') and not role.rolsuper) order by ledger nulls first, journal nulls first, account, currency, transfer, what;

-- one ledger, after a row of its journal
select null::bigint as ledger, null::text as account, null::text as currency,
    null::text as transfer, null::bigint as journal, fact.what, fact.expected, fact.found
  from
pg_class as journal
join pg_roles as role
  on role.oid <> journal.relowner and exists (
    select
    from aclexplode(journal.relacl) as granted
    where granted.privilege_type = 'INSERT' and granted.grantee not in (0, journal.relowner)
      and case when role.rolsuper then role.oid = granted.grantee else pg_has_role(role.oid, granted.grantee, 'usage') end
  )
    cross join lateral (
      select string_agg(strong.rolname, ', ' order by strong.rolname) as names
      from pg_roles as strong
      where not role.rolsuper and pg_has_role(role.oid, strong.oid, 'member') and strong.rolname <> 'pg_database_owner'
        and (
          strong.rolname in ('pg_write_all_data', 'pg_execute_server_program', 'pg_write_server_files')
          or strong.oid = journal.relowner
          or strong.oid = (select nspowner from pg_namespace where pg_namespace.oid = journal.relnamespace)
          or strong.oid = (select datdba from pg_database where datname = current_database())
        )
    ) as membership
  cross join lateral (
    values ('role that writes the books', (not role.rolsuper) is true, ('not a superuser')::text, (role.rolname || ' is a superuser')::text),
      ('role that writes the books', (not role.rolcreaterole) is true, ('without power over roles')::text, (role.rolname || ' may create roles')::text),
      ('role that writes the books', (membership.names is null) is true, ('not a member of a role that owns the books')::text, (role.rolname || ' has the power of ' || membership.names)::text),
      ('role that writes the books', (role.rolsuper or not has_schema_privilege(role.oid, journal.relnamespace, 'create')) is true, ('without the right to create tables')::text, (role.rolname || ' may create tables')::text),
      ('role that writes the books', (role.rolsuper or not has_parameter_privilege(role.oid, 'session_replication_role', 'set')) is true, ('without the right to disable triggers')::text, (role.rolname || ' may disable triggers')::text)
  ) as fact (what, holds, expected, found)
  -- All facts at once first: nearly every row passes, and is not examined further.
  where ((not role.rolsuper) is true
    and (not role.rolcreaterole) is true
    and (membership.names is null) is true
    and (role.rolsuper or not has_schema_privilege(role.oid, journal.relnamespace, 'create')) is true
    and (role.rolsuper or not has_parameter_privilege(role.oid, 'session_replication_role', 'set')) is true) is not true
    and not fact.holds
    and (journal.oid = to_regclass('journal')) order by ledger nulls first, journal nulls first, account, currency, transfer, what;

select null::bigint as ledger, null::text as account, null::text as currency,
    null::text as transfer, null::bigint as journal, fact.what, fact.expected, fact.found
  from
pg_class as journal
join pg_roles as role
  on role.oid <> journal.relowner and exists (
    select
    from aclexplode(journal.relacl) as granted
    where granted.privilege_type = 'INSERT' and granted.grantee not in (0, journal.relowner)
      and case when role.rolsuper then role.oid = granted.grantee else pg_has_role(role.oid, granted.grantee, 'usage') end
  )
    cross join (values ('accounts', 'DELETE'), ('accounts', 'TRUNCATE'), ('accounts', 'TRIGGER'), ('approvals', 'DELETE'), ('approvals', 'TRUNCATE'), ('approvals', 'TRIGGER'), ('heartbeats', 'TRUNCATE'), ('heartbeats', 'TRIGGER'), ('holds', 'DELETE'), ('holds', 'TRUNCATE'), ('holds', 'TRIGGER'), ('journal_head', 'DELETE'), ('journal_head', 'TRUNCATE'), ('journal_head', 'TRIGGER'), ('key_usage', 'DELETE'), ('key_usage', 'TRUNCATE'), ('key_usage', 'TRIGGER'), ('leases', 'DELETE'), ('leases', 'TRUNCATE'), ('leases', 'TRIGGER'), ('ledger_leases', 'DELETE'), ('ledger_leases', 'TRUNCATE'), ('ledger_leases', 'TRIGGER'), ('pending_transfers', 'TRUNCATE'), ('pending_transfers', 'TRIGGER'), ('reversed_amounts', 'DELETE'), ('reversed_amounts', 'TRUNCATE'), ('reversed_amounts', 'TRIGGER'), ('webhook_cursors', 'TRUNCATE'), ('webhook_cursors', 'TRIGGER'), ('webhook_deliveries', 'TRUNCATE'), ('webhook_deliveries', 'TRIGGER'), ('webhook_endpoints', 'TRUNCATE'), ('webhook_endpoints', 'TRIGGER'), ('access_state', 'DELETE'), ('access_state', 'TRUNCATE'), ('access_state', 'TRIGGER'), ('account_changes', 'DELETE'), ('account_changes', 'TRUNCATE'), ('account_changes', 'TRIGGER'), ('account_words', 'TRUNCATE'), ('account_words', 'TRIGGER'), ('api_keys', 'DELETE'), ('api_keys', 'TRUNCATE'), ('api_keys', 'TRIGGER'), ('archived_months', 'DELETE'), ('archived_months', 'TRUNCATE'), ('archived_months', 'TRIGGER'), ('audit_log', 'DELETE'), ('audit_log', 'TRUNCATE'), ('audit_log', 'TRIGGER'), ('closed_months', 'DELETE'), ('closed_months', 'TRUNCATE'), ('closed_months', 'TRIGGER'), ('entries', 'DELETE'), ('entries', 'TRUNCATE'), ('entries', 'TRIGGER'), ('idempotency_keys', 'DELETE'), ('idempotency_keys', 'TRUNCATE'), ('idempotency_keys', 'TRIGGER'), ('journal', 'DELETE'), ('journal', 'TRUNCATE'), ('journal', 'TRIGGER'), ('ledgers', 'DELETE'), ('ledgers', 'TRUNCATE'), ('ledgers', 'TRIGGER'), ('migrations', 'DELETE'), ('migrations', 'TRUNCATE'), ('migrations', 'TRIGGER'), ('personal_keys', 'TRUNCATE'), ('personal_keys', 'TRIGGER'), ('sealed_balances', 'DELETE'), ('sealed_balances', 'TRUNCATE'), ('sealed_balances', 'TRIGGER'), ('sealed_totals', 'DELETE'), ('sealed_totals', 'TRUNCATE'), ('sealed_totals', 'TRIGGER'), ('transfers', 'DELETE'), ('transfers', 'TRUNCATE'), ('transfers', 'TRIGGER'), ('webhook_keys', 'DELETE'), ('webhook_keys', 'TRUNCATE'), ('webhook_keys', 'TRIGGER'), ('access_state', 'INSERT'), ('api_keys', 'INSERT'), ('closed_months', 'INSERT'), ('migrations', 'INSERT'), ('sealed_balances', 'INSERT'), ('sealed_totals', 'INSERT')) as known (name, privilege)
  cross join lateral (
    values ('right of a role that writes the books', (not coalesce(has_table_privilege(role.oid, to_regclass(known.name), known.privilege), false)) is true, ('not granted')::text, (role.rolname || ' may ' || lower(known.privilege) || ' ' || known.name)::text)
  ) as fact (what, holds, expected, found)
  -- All facts at once first: nearly every row passes, and is not examined further.
  where ((not coalesce(has_table_privilege(role.oid, to_regclass(known.name), known.privilege), false)) is true) is not true
    and not fact.holds
    and (journal.oid = to_regclass('journal') and not role.rolsuper) order by ledger nulls first, journal nulls first, account, currency, transfer, what;

select null::bigint as ledger, null::text as account, null::text as currency,
    null::text as transfer, null::bigint as journal, fact.what, fact.expected, fact.found
  from
pg_class as journal
join pg_roles as role
  on role.oid <> journal.relowner and exists (
    select
    from aclexplode(journal.relacl) as granted
    where granted.privilege_type = 'INSERT' and granted.grantee not in (0, journal.relowner)
      and case when role.rolsuper then role.oid = granted.grantee else pg_has_role(role.oid, granted.grantee, 'usage') end
  )
    cross join (values ('accounts', array['balance', 'held', 'overdraft_limit', 'entry_count', 'status', 'personal_data', 'metadata']::text[]), ('approvals', array['state', 'decided_by', 'decided_at']::text[]), ('heartbeats', array['beat', 'written_at']::text[]), ('holds', array['captured', 'released', 'state', 'expiry_id']::text[]), ('journal_head', array['closed_until', 'clock']::text[]), ('key_usage', array['amount']::text[]), ('leases', array['accepted_count', 'session', 'closed']::text[]), ('ledger_leases', array['accepted_count', 'session', 'closed']::text[]), ('pending_transfers', array['lease_id', 'adoptions', 'lone_deaths', 'on_trial']::text[]), ('reversed_amounts', array['reversed']::text[]), ('webhook_cursors', array['journal_number', 'position', 'delivery_number', 'attempts', 'failing_since', 'next_attempt_at', 'claimed_by', 'claimed_until', 'changed', 'disabled']::text[]), ('webhook_deliveries', array['event_id', 'type', 'journal_number', 'position', 'attempted_at', 'attempts', 'status', 'delivered', 'requested', 'error']::text[]), ('webhook_endpoints', array['url', 'description', 'types', 'account', 'kind', 'disabled_reason', 'disabled_at', 'secret', 'previous_secret', 'previous_until', 'secret_number']::text[]), ('access_state', array[]::text[]), ('account_changes', array[]::text[]), ('account_words', array[]::text[]), ('api_keys', array[]::text[]), ('archived_months', array[]::text[]), ('audit_log', array[]::text[]), ('closed_months', array[]::text[]), ('entries', array[]::text[]), ('idempotency_keys', array[]::text[]), ('journal', array[]::text[]), ('ledgers', array[]::text[]), ('migrations', array[]::text[]), ('personal_keys', array[]::text[]), ('sealed_balances', array[]::text[]), ('sealed_totals', array[]::text[]), ('transfers', array[]::text[]), ('webhook_keys', array[]::text[])) as known (name, changeable)
    cross join lateral (
      select string_agg(attname, ', ' order by attnum) as names
      from pg_attribute
      where attrelid = to_regclass(known.name) and attnum > 0 and not attisdropped
        and attname <> all(known.changeable) and has_column_privilege(role.oid, attrelid, attnum, 'UPDATE')
    ) as excess
  cross join lateral (
    values ('right of a role that writes the books', (excess.names is null) is true, ('not granted')::text, (role.rolname || ' may update ' || known.name || ' (' || excess.names || ')')::text)
  ) as fact (what, holds, expected, found)
  -- All facts at once first: nearly every row passes, and is not examined further.
  where ((excess.names is null) is true) is not true
    and not fact.holds
    and (journal.oid = to_regclass('journal') and not role.rolsuper) order by ledger nulls first, journal nulls first, account, currency, transfer, what
