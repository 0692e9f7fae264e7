// The check that a role which may write the books without owning them, as the service should, can do no more than that.
// Its lists are deliberately not those by which the rights are granted.
import { type Check, compare, must } from './rules.ts';

/** Columns that change; all others are as they were written. No column of any other table changes. */
const CHANGEABLE: Readonly<Record<string, readonly string[]>> = {
  accounts: ['balance', 'held', 'overdraft_limit', 'entry_count', 'status', 'personal_data', 'metadata'],
  approvals: ['state', 'decided_by', 'decided_at'],
  heartbeats: ['beat', 'written_at'],
  holds: ['captured', 'released', 'state', 'expiry_id'],
  journal_head: ['closed_until', 'clock'],
  key_usage: ['amount'],
  leases: ['accepted_count', 'session', 'closed'],
  ledger_leases: ['accepted_count', 'session', 'closed'],
  pending_transfers: ['lease_id', 'adoptions', 'lone_deaths', 'on_trial'],
  reversed_amounts: ['reversed'],
  webhook_cursors: [
    'journal_number',
    'position',
    'delivery_number',
    'attempts',
    'failing_since',
    'next_attempt_at',
    'claimed_by',
    'claimed_until',
    'changed',
    'disabled',
  ],
  webhook_deliveries: [
    'event_id',
    'type',
    'journal_number',
    'position',
    'attempted_at',
    'attempts',
    'status',
    'delivered',
    'requested',
    'error',
  ],
  webhook_endpoints: [
    'url',
    'description',
    'types',
    'account',
    'kind',
    'disabled_reason',
    'disabled_at',
    'secret',
    'previous_secret',
    'previous_until',
    'secret_number',
  ],
};
const UNCHANGEABLE = [
  'access_state',
  'account_changes',
  'account_words',
  'api_keys',
  'archived_months',
  'audit_log',
  'closed_months',
  'entries',
  'idempotency_keys',
  'journal',
  'ledgers',
  'migrations',
  'personal_keys',
  'sealed_balances',
  'sealed_totals',
  'transfers',
  'webhook_keys',
];
const TABLES = [...Object.keys(CHANGEABLE), ...UNCHANGEABLE];
/** Tables whose rows may be deleted. */
const DELETABLE = [
  'account_words',
  'heartbeats',
  'pending_transfers',
  'personal_keys',
  'webhook_cursors',
  'webhook_deliveries',
  'webhook_endpoints',
];
/** Tables that only the owner adds rows to: no caller of the service can make a key, or a seal. */
const OF_OWNER = ['access_state', 'api_keys', 'closed_months', 'migrations', 'sealed_balances', 'sealed_totals'];

/** Members of these may write every table, or run programs and write files as the server's user. */
const STRONG = `('pg_write_all_data', 'pg_execute_server_program', 'pg_write_server_files')`;

// A role that may insert into the journal by a grant, to itself or to a group of which it has the rights. A superuser
// has the rights of every group, and is one of these roles only if it was granted the right itself.
const WRITERS = `
  pg_class as journal
  join pg_roles as role
    on role.oid <> journal.relowner and exists (
      select
      from aclexplode(journal.relacl) as granted
      where granted.privilege_type = 'INSERT' and granted.grantee not in (0, journal.relowner)
        and case when role.rolsuper then role.oid = granted.grantee else pg_has_role(role.oid, granted.grantee, 'usage') end
    )`;
const OF_THIS_JOURNAL = `journal.oid = to_regclass('journal')`;

function attributes(): string {
  const writes = 'role that writes the books';
  return compare({
    from: `${WRITERS}
      cross join lateral (
        select string_agg(strong.rolname, ', ' order by strong.rolname) as names
        from pg_roles as strong
        where not role.rolsuper and pg_has_role(role.oid, strong.oid, 'member') and strong.rolname <> 'pg_database_owner'
          and (
            strong.rolname in ${STRONG}
            or strong.oid = journal.relowner
            or strong.oid = (select nspowner from pg_namespace where pg_namespace.oid = journal.relnamespace)
            or strong.oid = (select datdba from pg_database where datname = current_database())
          )
      ) as membership`,
    where: OF_THIS_JOURNAL,
    facts: [
      must(writes, 'not role.rolsuper', 'not a superuser', `role.rolname || ' is a superuser'`),
      must(writes, 'not role.rolcreaterole', 'without power over roles', `role.rolname || ' may create roles'`),
      must(
        writes,
        'membership.names is null',
        'not a member of a role that owns the books',
        `role.rolname || ' has the power of ' || membership.names`,
      ),
      must(
        writes,
        `role.rolsuper or not has_schema_privilege(role.oid, journal.relnamespace, 'create')`,
        'without the right to create tables',
        `role.rolname || ' may create tables'`,
      ),
      must(
        writes,
        `role.rolsuper or not has_parameter_privilege(role.oid, 'session_replication_role', 'set')`,
        'without the right to disable triggers',
        `role.rolname || ' may disable triggers'`,
      ),
    ],
  });
}

function tablePrivileges(): string {
  const forbidden = TABLES.flatMap((table) =>
    ['DELETE', 'TRUNCATE', 'TRIGGER']
      .filter((privilege) => privilege !== 'DELETE' || !DELETABLE.includes(table))
      .map((privilege) => `('${table}', '${privilege}')`),
  );
  forbidden.push(...OF_OWNER.map((table) => `('${table}', 'INSERT')`));
  return compare({
    from: `${WRITERS}
      cross join (values ${forbidden.join(', ')}) as known (name, privilege)`,
    where: `${OF_THIS_JOURNAL} and not role.rolsuper`,
    facts: [
      must(
        'right of a role that writes the books',
        'not coalesce(has_table_privilege(role.oid, to_regclass(known.name), known.privilege), false)',
        'not granted',
        `role.rolname || ' may ' || lower(known.privilege) || ' ' || known.name`,
      ),
    ],
  });
}

function columnPrivileges(): string {
  const known = TABLES.map((table) => {
    const columns = (CHANGEABLE[table] ?? []).map((column) => `'${column}'`);
    return `('${table}', array[${columns.join(', ')}]::text[])`;
  });
  return compare({
    from: `${WRITERS}
      cross join (values ${known.join(', ')}) as known (name, changeable)
      cross join lateral (
        select string_agg(attname, ', ' order by attnum) as names
        from pg_attribute
        where attrelid = to_regclass(known.name) and attnum > 0 and not attisdropped
          and attname <> all(known.changeable) and has_column_privilege(role.oid, attrelid, attnum, 'UPDATE')
      ) as excess`,
    where: `${OF_THIS_JOURNAL} and not role.rolsuper`,
    facts: [
      must(
        'right of a role that writes the books',
        'excess.names is null',
        'not granted',
        `role.rolname || ' may update ' || known.name || ' (' || excess.names || ')'`,
      ),
    ],
  });
}

export const ROLE_CHECK: Check = {
  name: 'final.roles',
  looksAt: [],
  parts: ['books'],
  others: TABLES.length,
  statements: () => [attributes(), tablePrivileges(), columnPrivileges()],
};
