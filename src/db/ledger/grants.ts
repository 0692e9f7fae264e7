// The rights of the two roles that use the books and do not own them. The owner runs migrations, and grants these rights
// after each of them. A table or function that is not listed here is out of reach for both roles, and fails a test.
import { roleOf } from '../connection/address.ts';
import type { Connection, DatabaseSettings } from '../connection/connect.ts';

type Rights = { readonly runtime: string; readonly reader: string };

/** Rows are added, and never change. */
const FINAL: Rights = { runtime: 'select, insert', reader: 'select' };
/** Rows that the owner adds. */
const OF_OWNER: Rights = { runtime: 'select', reader: 'select' };
const OWNER_ONLY: Rights = { runtime: '', reader: '' };

/** By table. Columns that never change after the row is written are not named. */
export const TABLE_RIGHTS: Readonly<Record<string, Rights>> = {
  access_state: { runtime: 'select', reader: '' },
  account_changes: FINAL,
  account_words: { runtime: 'select, insert, delete', reader: '' },
  accounts: {
    runtime: 'select, insert, update (balance, held, overdraft_limit, entry_count, status, personal_data, metadata)',
    reader: 'select',
  },
  api_keys: { runtime: 'select', reader: '' },
  approvals: { runtime: 'select, insert, update (state, decided_by, decided_at)', reader: 'select' },
  archived_months: OF_OWNER,
  audit_log: FINAL,
  closed_months: OF_OWNER,
  entries: FINAL,
  heartbeats: { runtime: 'select, insert, update (beat, written_at), delete', reader: 'select' },
  holds: { runtime: 'select, insert, update (captured, released, state, expiry_id)', reader: 'select' },
  idempotency_keys: FINAL,
  journal: FINAL,
  // A view.
  journal_ends: OF_OWNER,
  journal_head: { runtime: 'select, insert, update (closed_until, clock)', reader: 'select' },
  key_usage: { runtime: 'select, insert, update (amount)', reader: '' },
  leases: { runtime: 'select, insert, update (accepted_count, session, closed)', reader: 'select' },
  ledger_leases: { runtime: 'select, insert, update (accepted_count, session, closed)', reader: 'select' },
  ledgers: FINAL,
  migrations: { runtime: 'select', reader: '' },
  personal_keys: { runtime: 'select, insert, delete', reader: 'select' },
  pending_transfers: {
    runtime: 'select, insert, update (lease_id, adoptions, lone_deaths, on_trial), delete',
    reader: 'select',
  },
  sealed_balances: OF_OWNER,
  sealed_totals: OF_OWNER,
  reversed_amounts: { runtime: 'select, insert, update (reversed)', reader: 'select' },
  transfers: FINAL,
  webhook_cursors: {
    runtime:
      'select, insert, update (journal_number, position, delivery_number, attempts, failing_since, next_attempt_at, claimed_by, claimed_until, changed, disabled), delete',
    reader: 'select',
  },
  webhook_deliveries: {
    runtime:
      'select, insert, update (event_id, type, journal_number, position, attempted_at, attempts, status, delivered, requested, error), delete',
    reader: 'select',
  },
  // It has the secrets of the receivers.
  webhook_endpoints: {
    runtime:
      'select, insert, update (url, description, types, account, kind, disabled_reason, disabled_at, secret, previous_secret, previous_until, secret_number), delete',
    reader: '',
  },
  webhook_keys: FINAL,
};

/** By function, with the types of its parameters. */
export const FUNCTION_RIGHTS: Readonly<Record<string, Rights>> = {
  'account_seal(accounts)': { runtime: 'execute', reader: '' },
  'chain_hash(bytea, text, bigint, timestamptz, integer, integer, bytea)': { runtime: 'execute', reader: '' },
  'refuse_change()': OWNER_ONLY,
  'refuse_clock_change()': OWNER_ONLY,
  'refuse_entry_change()': OWNER_ONLY,
};

/** The names of the roles that get these rights; null: there is none. */
export type LimitedRoles = { readonly runtime: string | null; readonly reader: string | null };

/** The roles of these settings that are not the owner. */
export function limitedRolesOf(databases: {
  owner: DatabaseSettings;
  runtime: DatabaseSettings | null;
  reader: DatabaseSettings | null;
}): LimitedRoles {
  const owner = roleOf(databases.owner);
  const limited = (settings: DatabaseSettings | null): string | null => {
    const name = settings && roleOf(settings);
    return name === owner ? null : name;
  };
  return { runtime: limited(databases.runtime), reader: limited(databases.reader) };
}

/**
 * Grants the two roles exactly these rights in the books of a schema, and takes all others from them and from PUBLIC.
 * Throws an error of one sentence, and changes nothing, if a role is missing, or could exceed its rights.
 */
export async function grantRights(connection: Connection, schema: string, roles: LimitedRoles): Promise<void> {
  const names = [roles.runtime, roles.reader].filter((name) => name !== null);
  await connection.query('begin');
  // Names without a schema, also those of types, are those of the books.
  await connection.query(`set local search_path = ${connection.escapeIdentifier(schema)}`);
  const database = await findDatabase(connection, names);
  await connection.query(listStatements(connection, { schema, database }, roles).join(';\n'));
  await refuseExcess(connection, schema, names);
  await connection.query('commit');
}

/** Throws an error of one sentence if the server lacks a role. */
export async function refuseMissing(connection: Connection, { runtime, reader }: LimitedRoles): Promise<void> {
  await findDatabase(
    connection,
    [runtime, reader].filter((name) => name !== null),
  );
}

/** The name of the database. Throws if a role is missing. */
async function findDatabase(connection: Connection, names: readonly string[]): Promise<string> {
  const { rows } = await connection.query<{ database: string; missing: string[] }>(
    `select current_database() as database,
       array(select name from unnest($1::text[]) as name where name not in (select rolname from pg_roles)) as missing`,
    [names],
  );
  const [missing] = rows[0]?.missing ?? [];
  if (missing === undefined) return rows[0]?.database ?? '';
  throw new Error(
    `The database server has no role "${missing}": run "create role ${connection.escapeIdentifier(missing)} login password '…'" as its administrator, and then this command again.`,
  );
}

function listStatements(
  connection: Connection,
  place: { schema: string; database: string },
  { runtime, reader }: LimitedRoles,
): string[] {
  const schema = `schema ${connection.escapeIdentifier(place.schema)}`;
  const database = `database ${connection.escapeIdentifier(place.database)}`;
  const objects = [
    ...Object.entries(TABLE_RIGHTS).map(([name, rights]) => ({ object: `table ${name}`, rights })),
    ...Object.entries(FUNCTION_RIGHTS).map(([name, rights]) => ({ object: `function ${name}`, rights })),
  ];
  // Where the schema or the database belongs to another role, these two have no effect: see refuseExcess.
  const statements = [`revoke create on ${schema} from public`, `revoke create, temporary on ${database} from public`];
  for (const { object } of objects) statements.push(`revoke all on ${object} from public`);
  const grant = (name: string, kind: keyof Rights): void => {
    const role = connection.escapeIdentifier(name);
    statements.push(`revoke create, temporary on ${database} from ${role} cascade`);
    statements.push(`revoke all on ${schema} from ${role} cascade`, `grant usage on ${schema} to ${role}`);
    for (const { object, rights } of objects) {
      statements.push(`revoke all on ${object} from ${role} cascade`);
      if (rights[kind] !== '') statements.push(`grant ${rights[kind]} on ${object} to ${role}`);
    }
  };
  // A role that is both keeps the rights of the service, which include those of a reader.
  if (reader !== null && reader !== runtime) grant(reader, 'reader');
  if (runtime !== null) grant(runtime, 'runtime');
  return statements;
}

/** Roles whose members may write every table, or run programs and write files as the server's user. */
const STRONG_ROLES = ['pg_write_all_data', 'pg_execute_server_program', 'pg_write_server_files'];

/** Throws if one of the roles has power that the owner of the tables did not grant and cannot take. */
async function refuseExcess(connection: Connection, schema: string, names: readonly string[]): Promise<void> {
  const { rows } = await connection.query<{ name: string; excess: string }>(
    `select role.rolname as name, power.excess
     from pg_roles as role
     cross join lateral (
       values
         (1, role.rolsuper, 'is a superuser'),
         (3, role.rolcreaterole, 'may create roles'),
         (4, has_schema_privilege(role.oid, $2::text, 'create'), 'may create tables in the schema'),
         (5, has_parameter_privilege(role.oid, 'session_replication_role', 'set'), 'may disable triggers')
       union all
       select 2, true, case when strong.oid = role.oid then 'is the owner' else 'is a member of ' || strong.rolname end
       from pg_roles as strong
       -- Only the owner of the database is a member of pg_database_owner.
       where pg_has_role(role.oid, strong.oid, 'member') and strong.rolname <> 'pg_database_owner'
         and (
           strong.rolname = any($3::text[])
           or strong.oid in (
             select relowner from pg_class where oid = to_regclass('journal_head')
             union all
             select nspowner from pg_namespace where nspname = $2::text
             union all
             select datdba from pg_database where datname = current_database()
           )
         )
     ) as power (place, found, excess)
     where role.rolname = any($1::text[]) and power.found
     order by power.place, role.rolname`,
    [names, schema, STRONG_ROLES],
  );
  const [first] = rows;
  if (first === undefined) return;
  throw new Error(
    `The rights of the role "${first.name}" cannot be limited, because it ${first.excess}: take that from it, or name another role, and run "gopherpay migrate" again.`,
  );
}
