// The tasks of an audit in many snapshots that read tables block by block, without their indexes. Rows of these tables
// never move. So the counts show whether a row exists that no slice of a journal found.
import { readAll } from './cursor.ts';
import { unnamedEntries } from './entries.ts';
import type { Found } from './findings.ts';
import { rowsOfLedgers } from './ledgers.ts';
import { type BlockRange, compare, type Counted, equal, must, withinBlocks } from './rules.ts';
import type { Settings } from './snapshots.ts';
import { collect, nextBlocks, type Outcome, type Task } from './step.ts';
import type { Connection } from '../connection/connect.ts';

const SIZES = { first: 5000, max: 200_000 };

type Journaled = Extract<Counted, 'transfers' | 'entries' | 'journal' | 'account_changes' | 'audit_log'>;

/** By tables: the check that its misplaced rows concern, and the columns of a discrepancy. */
const JOURNALED: Readonly<
  Record<Journaled, { check: string; number: string; account?: string; currency?: string; transfer?: string }>
> = {
  transfers: {
    check: 'journal.transfers',
    number: 'journal_number',
    account: 'row.from_account',
    currency: 'row.currency',
    transfer: 'row.id',
  },
  entries: {
    check: 'conservation.transfers',
    number: 'journal_number',
    account: 'row.account_number',
    currency: 'row.currency',
    transfer: 'row.transfer_id',
  },
  journal: { check: 'journal.chain', number: 'number' },
  account_changes: {
    check: 'accounts.changes',
    number: 'journal_number',
    account: 'row.account_number',
    currency: 'row.currency',
  },
  audit_log: { check: 'administration.acts', number: 'journal_number' },
};

export const TABLES: readonly Journaled[] = ['transfers', 'entries', 'journal', 'account_changes', 'audit_log'];

/** The number of the last row of each journal. */
const LAST_NUMBERS = `(
  select ledgers.id as ledger_id,
    coalesce((select max(number) from journal where journal.ledger_id = ledgers.id), 0) as number
  from ledgers
)`;

/** Rows that name no row of their ledger's journal, up to its last row in the same snapshot. */
function misplaced(table: Journaled, rows: string): string {
  const { check: _, number, ...about } = JOURNALED[table];
  return compare({
    from: `${rows} as row
      left join ledgers on ledgers.id = row.ledger_id
      left join ${LAST_NUMBERS} as head on head.ledger_id = row.ledger_id`,
    ...(table === 'audit_log' && { where: 'row.journal_number is not null' }),
    ledger: 'row.ledger_id',
    ...about,
    journal: `row.${number}`,
    facts: [
      must(
        `journal row of a row of ${table}`,
        `ledgers.id is not null and row.${number} between 1 and head.number`,
        'one that is there',
        `coalesce(row.${number}::text, 'none')`,
      ),
    ],
  });
}

/** The misplaced rows of one ledger or of all, which the indexes find by their journal numbers. */
export async function findMisplaced(
  connection: Connection,
  ledger: number | null,
): Promise<readonly (readonly [string, Found])[]> {
  const all: (readonly [string, Found])[] = [];
  for (const table of TABLES) {
    // Entries have no index by journal number. The pages of accounts find those that no transfer names.
    if (table === 'entries') continue;
    const { number, check } = JOURNALED[table];
    for (const where of [`placed.${number} > head.number`, `placed.${number} < 1`]) {
      const rows = `(
        select row.*
        from ${LAST_NUMBERS} as head
        cross join lateral (
          select * from ${table} as placed where placed.ledger_id = head.ledger_id and ${where} offset 0
        ) as row
        ${ledger === null ? '' : `where head.ledger_id = ${ledger}`}
      )`;
      const found = await collect(connection, [misplaced(table, rows)]);
      all.push(...found.map((one) => [check, one] as const));
    }
  }
  return all;
}

/**
 * Reads a table block by block. `heads`: by the ids of ledgers, the last rows of their journals that the slices read.
 */
export function tableTask(table: Journaled, heads: ReadonlyMap<number, bigint>, settings: Settings): Task {
  const { check } = JOURNALED[table];
  return {
    name: `table ${table}`,
    settings,
    sizes: SIZES,
    step: async (connection, former, size) => {
      const { blocks, file, done } = await nextBlocks(connection, table, former, size);
      const rows = `(select * from ${table} where ${withinBlocks(blocks)})`;
      const found: (readonly [string, Found])[] = [];
      for (const one of await collect(connection, [misplaced(table, rows)])) found.push([check, one]);
      if (table === 'entries') {
        for (const one of await collect(connection, [unnumbered(rows)])) found.push(['balances.entries', one]);
      }
      if (table !== 'audit_log') {
        const statement = rowsOfLedgers([table], blocks);
        for (const one of await collect(connection, [statement])) found.push(['ledgers.rows', one]);
      }
      const counted = await countPerLedger(connection, { table, heads }, blocks);
      return outcomeOf(found, {
        former: blocks.from === 0 ? {} : former.counts,
        counted,
        file,
        to: blocks.to,
        done,
      });
    },
  };
}

function outcomeOf(
  found: Outcome['found'],
  {
    former,
    counted,
    file,
    to,
    done,
  }: {
    former: Readonly<Record<string, number>>;
    counted: ReadonlyMap<string, number>;
    file: string | null;
    to: number;
    done: boolean;
  },
): Outcome {
  const counts: Record<string, number> = { ...former };
  for (const [ledger, count] of counted) counts[ledger] = (counts[ledger] ?? 0) + count;
  return { position: { at: String(to), hash: file, done, counts }, found, rows: [], progress: 0 };
}

function unnumbered(rows: string): string {
  return compare({
    from: `${rows} as entry`,
    where: 'num_nulls(account_number, currency, entry_number) > 0',
    ledger: 'ledger_id',
    account: 'account_number',
    currency: 'currency',
    transfer: 'transfer_id',
    journal: 'journal_number',
    facts: [must('entry number', 'entry_number is not null', 'a number', `'null'`)],
  });
}

/** The rows of each ledger up to its head. */
async function countPerLedger(
  connection: Connection,
  { table, heads }: { table: Journaled; heads: ReadonlyMap<number, bigint> },
  blocks: BlockRange,
): Promise<ReadonlyMap<string, number>> {
  if (heads.size === 0) return new Map();
  const { number } = JOURNALED[table];
  const known = [...heads].map(([id, head]) => `(${id}::integer, ${head}::bigint)`).join(', ');
  const rows = await readAll(
    connection,
    `select row.ledger_id, count(*)
     from (select ledger_id, ${number} as number from ${table} where ${withinBlocks(blocks)}) as row
     join (values ${known}) as head (ledger_id, number) on head.ledger_id = row.ledger_id
     where row.number between 1 and head.number
     group by row.ledger_id`,
  );
  return new Map(rows.map(([ledger, count]) => [ledger ?? '', Number(count)]));
}

/** Looks up the transfer of every entry of a ledger, block by block: where the counts differ, it finds the entries without one. */
export function entriesTask(ledger: number, head: bigint, settings: Settings): Task {
  return {
    name: `entries ${ledger}`,
    settings,
    sizes: { first: 500, max: SIZES.max },
    step: async (connection, former, size) => {
      const { blocks, file, done } = await nextBlocks(connection, 'entries', former, size);
      const rows = `(
        select * from entries where ${withinBlocks(blocks)} and ledger_id = ${ledger} and journal_number <= ${head}
      )`;
      const found = await collect(connection, [unnamedEntries(rows, { ledger, since: 0n, until: head })]);
      return {
        position: { at: String(blocks.to), hash: file, done, counts: {} },
        found: found.map((one) => ['conservation.transfers', one] as const),
        rows: [],
        progress: 0,
      };
    },
  };
}

/** Compares how many rows of a ledger the table has with how many the slices of its journal found. */
export async function compareCounts(
  connection: Connection,
  table: Journaled,
  { ledger, bySlices, byTable }: { ledger: number; bySlices: number; byTable: number },
): Promise<readonly (readonly [string, Found])[]> {
  const statement = compare({
    from: `(select ${ledger} as ledger_id, ${bySlices}::bigint as by_slices, ${byTable}::bigint as by_table) as counts`,
    ledger: 'ledger_id',
    facts: [equal(`rows of ${table} that the journal covers`, 'by_slices', 'by_table')],
  });
  const { check } = JOURNALED[table];
  return (await collect(connection, [statement])).map((one) => [check, one] as const);
}
