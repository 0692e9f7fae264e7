// The checks that every row belongs to an existing ledger, and that ledgers have valid ids and names.
import { type BlockRange, type Check, compare, type Counted, equal, must, withinBlocks } from './rules.ts';

/** The tables whose rows belong to a ledger. */
const OF_LEDGERS = [
  'accounts',
  'personal_keys',
  'account_changes',
  'pending_transfers',
  'transfers',
  'entries',
  'holds',
  'reversed_amounts',
  'journal',
  'journal_head',
  'idempotency_keys',
  'ledger_leases',
] as const satisfies readonly Counted[];

/** Those whose rows never move, so that an audit in many snapshots reads them block by block. */
export const IN_PLACE: ReadonlySet<Counted> = new Set([
  'account_changes',
  'transfers',
  'entries',
  'journal',
  'idempotency_keys',
]);

/** Counts the rows of each ledger, or of one that does not exist. `blocks`: only these of each table. */
export function rowsOfLedgers(tables: readonly Counted[], blocks: BlockRange | null = null): string {
  const where = blocks === null ? '' : `where ${withinBlocks(blocks)} `;
  const counts = tables.map(
    (table) =>
      `select '${table}' as name, ledger_id, count(*) as total from ${table} as rows ${where}group by ledger_id`,
  );
  return compare({
    from: `(${counts.join(' union all ')}) as counted left join ledgers on ledgers.id = counted.ledger_id`,
    ledger: 'counted.ledger_id',
    facts: [
      must(
        'ledger of rows',
        'ledgers.id is not null',
        'a ledger that is there',
        `coalesce('id ' || counted.ledger_id, 'none') || ', in ' || counted.total || ' rows of ' || counted.name`,
      ),
    ],
  });
}

/** Accounts that no page shows: those of no ledger, or without a number. */
export function accountsOfNoLedger(): string {
  return compare({
    from: 'accounts left join ledgers on ledgers.id = accounts.ledger_id',
    ledger: 'accounts.ledger_id',
    account: 'account_number',
    currency: 'currency',
    facts: [
      must(
        'account that a journal covers',
        'ledgers.id is not null and account_number is not null',
        'one of a ledger, with a number',
        `coalesce('id ' || accounts.ledger_id, 'no ledger')`,
      ),
    ],
  });
}

/** Other rows that no page shows, because their key is null. */
export function rowsWithoutKey(): string[] {
  const keys = {
    personal_keys: 'account_number',
    holds: 'id',
    reversed_amounts: 'transfer_id',
  };
  return Object.entries(keys).map(([table, column]) =>
    compare({
      from: `(select ledger_id, count(*) as total from ${table} where ${column} is null group by ledger_id) as counted`,
      ledger: 'ledger_id',
      facts: [must(`${column} of a row of ${table}`, 'total = 0', 'a value', `'null, in ' || total || ' rows'`)],
    }),
  );
}

function fieldsOfLedgers(ledger: number | null): string[] {
  const times = (column: string, what: string) =>
    compare({
      from: `(select ${column}, count(*) as total from ledgers group by ${column}) as counted`,
      ...(column === 'id' && { ledger: 'id' }),
      facts: [must(what, 'total = 1', '1', `total || ' of ' || ${column}`)],
    });
  return [
    compare({
      from: 'ledgers',
      ...(ledger !== null && { where: `id = ${ledger}` }),
      ledger: 'id',
      facts: [
        must('id of the ledger', 'id >= 1', 'at least 1', 'id'),
        must('name of the ledger', `name ~ '^[a-z0-9][a-z0-9_-]{0,62}$'`, 'a name', 'name'),
        must('created_at of the ledger', 'isfinite(created_at)', 'an instant', 'created_at'),
      ],
    }),
    compare({
      from: `(select (select min(name) from ledgers where id = 1) as name) as first`,
      facts: [equal('name of ledger 1', `'main'`, 'name')],
    }),
    times('id', 'ledgers with this id'),
    times('name', 'ledgers with this name'),
  ];
}

export const LEDGER_CHECKS: readonly Check[] = [
  {
    name: 'ledgers.fields',
    looksAt: ['ledgers'],
    parts: ['books'],
    statements: ({ ledger }) => fieldsOfLedgers(ledger),
  },
  {
    name: 'ledgers.rows',
    looksAt: OF_LEDGERS,
    parts: ['books'],
    // An audit of one ledger does not see rows without a ledger.
    statements: ({ ledger }, part) => {
      if (ledger !== null) return null;
      return [rowsOfLedgers(part === null ? OF_LEDGERS : OF_LEDGERS.filter((table) => !IN_PLACE.has(table)))];
    },
  },
];
