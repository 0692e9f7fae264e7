// The checks that the database still refuses forbidden changes: append-only tables, rights, constraints, unique
// indexes, columns that are never null. Objects are compared by name with those of the migrations. Other checks verify
// the rows themselves.
import { ROLE_CHECK } from './roles.ts';
import { type Check, compare, must } from './rules.ts';

const APPEND_ONLY = [
  'transfers',
  'entries',
  'journal',
  'account_changes',
  'idempotency_keys',
  'audit_log',
  'closed_months',
  'sealed_balances',
  'sealed_totals',
  'archived_months',
];

const CONSTRAINTS: Readonly<Record<string, readonly string[]>> = {
  ledgers: ['pkey', 'name_unique', 'idempotency_key_unique', 'id_positive', 'name_form'],
  accounts: [
    'pkey',
    'number_form',
    'currency_form',
    'status_known',
    'balance_exact',
    'held_exact',
    'overdraft_limit_exact',
    'entry_count_positive',
    'no_overdraft',
    'closed_is_empty',
  ],
  personal_keys: ['pkey', 'key_sized'],
  pending_transfers: [
    'pkey',
    'kind_known',
    'amount_positive',
    'amount_named',
    'parent_named',
    'accounts_differ',
    'rate_form',
    'remote_form',
  ],
  transfers: [
    'pkey',
    'kind_known',
    'amount_positive',
    'parent_named',
    'accounts_differ',
    'status_known',
    'status_explained',
    'rate_form',
    'remote_form',
  ],
  entries: ['pkey', 'number_positive', 'amount_not_zero', 'balance_exact'],
  holds: ['pkey', 'state_known', 'amount_positive', 'parts_positive', 'within_amount', 'state_explained'],
  reversed_amounts: ['pkey', 'within'],
  account_changes: ['pkey', 'number_positive', 'seal_sized'],
  journal: ['pkey', 'number_positive', 'counts_positive', 'counts_consistent', 'hashes_sized'],
  journal_head: ['pkey', 'within_clock'],
  idempotency_keys: ['pkey', 'fingerprint_sized', 'personal_fingerprint_sized', 'names_something'],
  leases: ['pkey', 'accepted_count_positive', 'session_positive'],
  ledger_leases: ['pkey', 'accepted_count_positive', 'session_positive'],
  audit_log: ['pkey', 'count_positive'],
  api_keys: ['pkey', 'id_form', 'digests_sized', 'bounds_positive'],
  closed_months: ['pkey', 'first_day', 'counts_positive', 'hashes_sized'],
  sealed_balances: ['pkey', 'entry_positive'],
  sealed_totals: ['pkey', 'signed'],
  archived_months: ['pkey', 'first_day', 'number_positive', 'digest_sized'],
  approvals: ['pkey', 'kind_known', 'state_known', 'decided', 'by_another'],
};

const UNIQUE_INDEXES = [
  'ledgers_name_unique',
  'ledgers_idempotency_key_unique',
  'accounts_one_currency',
  'transfers_journal',
];

/** Columns that may be null; all others of these tables must not. */
const NULLABLE: Readonly<Record<string, readonly string[]>> = {
  ledgers: ['idempotency_key', 'approval_above', 'clock_start'],
  accounts: ['personal_data'],
  personal_keys: [],
  transfers: [
    'amount',
    'from_entry_number',
    'to_entry_number',
    'if_from_entry_number',
    'if_min_available_after',
    'expires_in',
    'group_position',
    'parent_id',
    'group_id',
    'atomic',
    'final_capture',
    'currency',
    'failure_code',
    'request_id',
    'ordered_by',
    'approved_by',
    'rate',
    'remote_account',
    'description',
    'metadata',
  ],
  entries: [],
  holds: ['expires_at', 'expiry_id'],
  reversed_amounts: [],
  account_changes: ['ordered_by', 'approved_by'],
  journal: [],
  journal_head: ['clock'],
  idempotency_keys: ['transfer_id', 'account_number', 'personal_fingerprint', 'clock'],
  leases: [],
  closed_months: [],
  sealed_balances: [],
  sealed_totals: [],
  archived_months: [],
  ledger_leases: [],
  audit_log: ['journal_number', 'actor', 'subject', 'address', 'details'],
};

/** The body of the trigger's function, ignoring white space. */
const REFUSAL = `begin raise exception 'table % is append-only: % is refused', tg_table_name, tg_op using errcode = 'restrict_violation'; end;`;
/** The same of entries, which may be deleted once their month is archived. */
const ENTRY_REFUSAL = `begin if tg_op = 'DELETE' and exists ( select from archived_months where archived_months.ledger_id = old.ledger_id and archived_months.journal_number >= old.journal_number ) then return old; end if; raise exception 'table % is append-only: % is refused', tg_table_name, tg_op using errcode = 'restrict_violation'; end;`;
/**
 * The triggers of a table, by the suffixes of their names. The type of a trigger is a sum of flags: for each row (1),
 * before (2), delete (8), update (16), truncate (32).
 */
const TRIGGERS = { append_only: 1 + 2 + 8 + 16, not_truncated: 2 + 32 };

/** The body of the function that keeps the clock of a ledger. */
const CLOCK_REFUSAL = `begin if old.clock is null or new.clock is null or new.clock < old.clock then raise exception 'the clock of ledger % is neither given, nor taken, nor set back', old.ledger_id using errcode = 'restrict_violation'; end if; return null; end;`;

const LEDGER_SCHEMA = `(select relnamespace from pg_class where oid = to_regclass('journal_head'))`;

/** A row for each name. */
function named(names: readonly string[]): string {
  return `(values ${names.map((name) => `('${name}')`).join(', ')}) as known (name)`;
}

function pairs(names: Readonly<Record<string, readonly string[]>>, separator: string): string[] {
  return Object.entries(names).flatMap(([table, rules]) => rules.map((rule) => `${table}${separator}${rule}`));
}

function tables(): string {
  return compare({
    from: `${named(Object.keys(CONSTRAINTS))}
      left join pg_class as relation on relation.relname = known.name and relation.relnamespace = ${LEDGER_SCHEMA}`,
    facts: [
      must(
        'table with all its rows in sight',
        `relation.relkind in ('r', 'p') and not relation.relrowsecurity and not relation.relhasrules
          and not exists (select from pg_inherits where inhparent = relation.oid and relation.relkind = 'r')`,
        'a table without rules, policies or heirs',
        `name || coalesce(' of kind ' || relation.relkind::text, ' is missing')`,
      ),
    ],
  });
}

function constraints(): string {
  return compare({
    from: `${named(pairs(CONSTRAINTS, '_'))}
      left join pg_constraint as rule on rule.conname = known.name and rule.connamespace = ${LEDGER_SCHEMA}`,
    facts: [
      must(
        'constraint',
        // PostgreSQL 18 has constraints that are not enforced; older versions have no such column.
        `rule.convalidated and coalesce((to_jsonb(rule) ->> 'conenforced')::boolean, true)`,
        'there and validated',
        `name || case when rule.oid is null then ' is missing' else ' is not validated' end`,
      ),
    ],
  });
}

function uniqueIndexes(): string {
  const primaryKeys = Object.keys(CONSTRAINTS).map((table) => `${table}_pkey`);
  return compare({
    from: `${named([...primaryKeys, ...UNIQUE_INDEXES])}
      left join pg_class as relation on relation.relname = known.name and relation.relnamespace = ${LEDGER_SCHEMA}
      left join pg_index as index on index.indexrelid = relation.oid`,
    facts: [
      must(
        'unique index',
        'index.indisunique and index.indisvalid and index.indisready and index.indislive',
        'there and valid',
        `name || case when index.indexrelid is null then ' is missing' else ' is not valid, or not unique' end`,
      ),
    ],
  });
}

function columns(): string {
  const nullable = pairs(NULLABLE, '.').map((name) => `'${name}'`);
  return compare({
    from: `${named(Object.keys(NULLABLE))}
      join pg_attribute as attribute
        on attribute.attrelid = to_regclass(known.name) and attribute.attnum > 0 and not attribute.attisdropped`,
    where: `name || '.' || attname not in (${nullable.join(', ')})`,
    facts: [must('column', 'attribute.attnotnull', 'never null', `name || '.' || attname || ' may be null'`)],
  });
}

/** The columns whose type restricts their values. */
const DOMAINS = [
  ['account_number', 'account_number'],
  ['currency', 'currency_code'],
];

function domains(): string {
  return compare({
    from: `(values ${DOMAINS.map(([column, type]) => `('${column}', '${type}')`).join(', ')}) as known (name, type)
      left join pg_attribute as attribute
        on attribute.attrelid = to_regclass('accounts') and attribute.attname = known.name
      left join pg_type as actual on actual.oid = attribute.atttypid and actual.typnamespace = ${LEDGER_SCHEMA}`,
    facts: [
      must(
        'column with a type of its own',
        'actual.typname = known.type',
        'of that type',
        `'accounts.' || known.name || ' is not of the type ' || known.type`,
      ),
    ],
  });
}

function triggers(): string {
  const row = (table: string, trigger: string, type: number, columns: string, body: string) =>
    `('${table}', '${trigger}', ${type}, '${columns}', '${body.replaceAll("'", "''")}')`;
  const known = APPEND_ONLY.flatMap((table) =>
    Object.entries(TRIGGERS).map(([end, type]) =>
      row(table, `${table}_${end}`, type, '', table === 'entries' && end === 'append_only' ? ENTRY_REFUSAL : REFUSAL),
    ),
  );
  // After an update (16) of the column, for each row.
  known.push(row('journal_head', 'journal_head_clock_kept', 1 + 16, 'clock', CLOCK_REFUSAL));
  return compare({
    from: `(values ${known.join(', ')}) as known (name, trigger, type, columns, body)
      left join pg_trigger as rule on rule.tgrelid = to_regclass(known.name) and rule.tgname = known.trigger
      left join pg_proc as refusal on refusal.oid = rule.tgfoid`,
    facts: [
      must(
        'trigger that refuses changes',
        `rule.tgenabled in ('O', 'A') and rule.tgtype & 63 = known.type and rule.tgqual is null
          and known.columns = (
            select coalesce(string_agg(attname, ' '), '')
            from pg_attribute
            where attrelid = rule.tgrelid and attnum = any(rule.tgattr::int2[])
          )
          and btrim(regexp_replace(refusal.prosrc, '\\s+', ' ', 'g')) = known.body`,
        'there, enabled, on every change',
        `known.trigger || case
          when rule.oid is null then ' is missing'
          when rule.tgenabled not in ('O', 'A') then ' is disabled'
          else ' does something else'
        end`,
      ),
    ],
  });
}

// A superuser needs no right, and a distributed engine fires no statement triggers. So no other role may have rights to
// change final rows, on a table or on a column. That includes the owner, whose rights the migration revoked.
function rights(): string {
  return compare({
    from: `${named(APPEND_ONLY)}
      join pg_class as relation on relation.oid = to_regclass(known.name)
      cross join lateral (
        select coalesce(relation.relacl, acldefault('r', relation.relowner)) as items
        union all
        select attacl from pg_attribute where attrelid = relation.oid and attacl is not null
      ) as access
      cross join lateral aclexplode(access.items) as granted
      left join pg_roles as role on role.oid = granted.grantee`,
    where: `granted.privilege_type in ('UPDATE', 'DELETE', 'TRUNCATE')`,
    facts: [
      must(
        'right to change what is final',
        'role.rolsuper',
        'that of a superuser',
        `coalesce(role.rolname, 'every role') || ' may ' || lower(granted.privilege_type) || ' ' || name`,
      ),
    ],
  });
}

export const SCHEMA_CHECKS: readonly Check[] = [
  {
    name: 'final.constraints',
    looksAt: [],
    parts: ['books'],
    others: pairs(CONSTRAINTS, '_').length + DOMAINS.length,
    statements: () => [tables(), constraints(), uniqueIndexes(), columns(), domains()],
  },
  {
    name: 'final.triggers',
    looksAt: [],
    parts: ['books'],
    others: APPEND_ONLY.length * Object.keys(TRIGGERS).length + 1,
    statements: () => [triggers()],
  },
  { name: 'final.rights', looksAt: [], parts: ['books'], others: APPEND_ONLY.length, statements: () => [rights()] },
  ROLE_CHECK,
];
