// The tasks of an audit in many snapshots that read the state of accounts, holds, reversals, keys and pending transfers:
// page by page, in order of keys. What a page says of a row and of the rows beside it is true at one instant.
import { readAll } from './cursor.ts';
import { CHECKS } from './checks.ts';
import { touchedHolds } from './holds.ts';
import { type KeyRange, type Page, rowsIn, type Scope } from './rules.ts';
import { countIn, nextBlocks, type Outcome, type Position, runChecks, type Task } from './step.ts';
import type { Settings } from './snapshots.ts';
import type { Connection } from '../connection/connect.ts';

const SIZES = { first: 1000, max: 20_000 };
/** How many blocks of idempotency keys: a block has about 50 of them. */
const BLOCKS = { first: 50, max: 1000 };

type Keyed = Extract<Page, { of: 'accounts' | 'holds' | 'reversed_amounts' }>['of'];

/** By tables: the column in whose order pages follow each other, and its type. */
const KEYS: Readonly<Record<Keyed | 'idempotency_keys', string>> = {
  accounts: 'account_number',
  holds: 'id',
  reversed_amounts: 'transfer_id',
  idempotency_keys: 'key',
};

/**
 * Of which ledger the pages are, after which row of its journal the audit begins, and whether it covers the other
 * ledgers, too.
 */
type About = {
  readonly ledger: number;
  readonly since: bigint | null;
  readonly others: boolean;
  readonly settings: Settings;
};

/** The pages of one ledger's rows. After a row of the journal: of the holds, only those that are open. */
export function pageTask(table: keyof typeof KEYS, { ledger, since, others, settings }: About): Task {
  const column = KEYS[table];
  const openOnly = since !== null;
  return {
    name: `${table} ${ledger}`,
    settings,
    sizes: SIZES,
    step: async (connection, { at, counts }, size) => {
      const after = at === null ? '' : ` and ${column} > '${at.replaceAll("'", "''")}'`;
      const [next] = await readAll(
        connection,
        `select ${column}::text from ${table} where ledger_id = ${ledger}${after} order by ${column} offset ${size - 1} limit 1`,
      );
      const range = { after: at, upTo: next?.[0] ?? null };
      const page = toPage(table, openOnly, range);
      const position = { at: range.upTo, hash: null, done: range.upTo === null, counts };
      return await readPage(connection, { ledger, since: null, page, others }, page, position);
    },
  };
}

function toPage(table: keyof typeof KEYS, openOnly: boolean, range: KeyRange): CountedPage {
  switch (table) {
    case 'holds':
      return { of: table, openOnly, ...range };
    case 'idempotency_keys':
      return { of: table, ...range };
    default:
      return { of: table, ...range };
  }
}

/** The idempotency keys of all ledgers, block by block of their table. Their rows never move. */
export function keysTask(settings: Settings): Task {
  return {
    name: 'idempotency_keys',
    settings,
    sizes: BLOCKS,
    step: async (connection, former, size) => {
      const { blocks, file, done } = await nextBlocks(connection, 'idempotency_keys', former, size);
      const page: CountedPage = { of: 'idempotency_keys', ...blocks };
      const position = { at: String(blocks.to), hash: file, done, counts: former.counts };
      return await readPage(connection, { ledger: null, since: null, page }, page, position);
    },
  };
}

/** The transfers that are pending now: few, because admission bounds them. */
export function pendingTask(ledger: number | null, settings: Settings): Task {
  const page: CountedPage = { of: 'pending_transfers' };
  return {
    name: 'pending_transfers',
    settings,
    sizes: { first: 1, max: 1 },
    step: async (connection, { counts }) => {
      const scope: Scope = ledger === null ? { ledger, since: null, page } : { ledger, since: null, page };
      return await readPage(connection, scope, page, { at: null, hash: null, done: true, counts });
    },
  };
}

/**
 * One snapshot of sums that indexes bound: what ledgers owe each other, from their accounts and the open holds; and the
 * chain of closed months, of which there are few.
 */
export function sumsTask(scope: Scope, settings: Settings): Task {
  return {
    name: 'sums',
    settings,
    sizes: { first: 1, max: 1 },
    step: async (connection, position) => {
      const found = await runChecks(connection, CHECKS, { ...scope, page: { of: 'sums' } }, 'sums');
      return { position: { ...position, done: true }, found, rows: [], progress: 0 };
    },
  };
}

type CountedPage = Exclude<Page, { of: 'sums' }>;

async function readPage(connection: Connection, scope: Scope, page: CountedPage, position: Position): Promise<Outcome> {
  const found = await runChecks(connection, CHECKS, scope, page.of);
  const counted = page.of === 'holds' ? touchedHolds(scope) : rowsIn(scope, page.of);
  const rows = await countIn(connection, [[page.of, counted]]);
  return { position, found, rows, progress: rows.reduce((sum, [, total]) => sum + total, 0) };
}
