// Where tables are on Citus: the rows of a ledger are together on one node, so that a job commits on one node.
import type { Connection } from '../connection/connect.ts';

/**
 * ledger: by its ledger_id, with all others of this kind. everywhere: a copy on each node, because statements about one
 * ledger read it. coordinator: one copy, of what belongs to processes and keys.
 */
export type Placement = 'ledger' | 'everywhere' | 'coordinator';

/** By table. A table that is not listed here fails a test. */
export const PLACEMENTS: Readonly<Record<string, Placement>> = {
  // The first one of a kind is that with which the others are placed.
  journal_head: 'ledger',
  account_changes: 'ledger',
  account_words: 'ledger',
  accounts: 'ledger',
  approvals: 'ledger',
  archived_months: 'ledger',
  audit_log: 'ledger',
  closed_months: 'ledger',
  entries: 'ledger',
  holds: 'ledger',
  idempotency_keys: 'ledger',
  journal: 'ledger',
  ledger_leases: 'ledger',
  pending_transfers: 'ledger',
  personal_keys: 'ledger',
  reversed_amounts: 'ledger',
  sealed_balances: 'ledger',
  sealed_totals: 'ledger',
  transfers: 'ledger',
  webhook_cursors: 'ledger',
  webhook_deliveries: 'ledger',
  webhook_endpoints: 'ledger',
  webhook_keys: 'ledger',
  ledgers: 'everywhere',
  access_state: 'coordinator',
  // Their ledger may be null, and each process holds all of them in memory.
  api_keys: 'coordinator',
  heartbeats: 'coordinator',
  key_usage: 'coordinator',
  leases: 'coordinator',
  migrations: 'coordinator',
};

/** Functions that statements call on the nodes. */
const FUNCTIONS = ['chain_hash(bytea, text, bigint, timestamptz, integer, integer, bytea)'];

/**
 * Places the tables that are not placed yet, if the database has Citus. Returns how many it placed. A table is placed
 * with its rows, and locked meanwhile.
 */
export async function placeTables(connection: Connection, schema: string): Promise<number> {
  const { rows } = await connection.query<{ name: string }>(
    `select relname as name
     from pg_class
     where relnamespace = (select oid from pg_namespace where nspname = $1::text) and relkind = 'r'
       and relname = any($2::text[]) and oid not in (select logicalrelid from pg_dist_partition)`,
    [schema, Object.keys(PLACEMENTS)],
  );
  const missing = new Set(rows.map((row) => row.name));
  const tables = Object.entries(PLACEMENTS).filter(([name, kind]) => kind !== 'coordinator' && missing.has(name));
  if (tables.length === 0) return 0;
  const nameOf = (table: string) => `${connection.escapeIdentifier(schema)}.${connection.escapeIdentifier(table)}`;
  await connection.query('begin');
  // Each trigger looks at its own row only, so it may run on the shards.
  await connection.query('set local citus.enable_unsafe_triggers = on');
  const [first] = Object.keys(PLACEMENTS);
  for (const [table, kind] of tables) {
    if (kind === 'everywhere') await connection.query('select create_reference_table($1::regclass)', [nameOf(table)]);
    else {
      await connection.query(`select create_distributed_table($1::regclass, 'ledger_id', colocate_with => $2::text)`, [
        nameOf(table),
        table === first ? 'none' : nameOf(first ?? ''),
      ]);
    }
  }
  for (const signature of FUNCTIONS) {
    await connection.query('select create_distributed_function($1::regprocedure)', [
      `${connection.escapeIdentifier(schema)}.${signature}`,
    ]);
  }
  await connection.query('commit');
  return tables.length;
}
