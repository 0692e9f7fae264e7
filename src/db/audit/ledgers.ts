// The checks that every row belongs to an existing ledger, and that ledgers have valid ids and names.
import { type Check, compare, type Counted, equal, must } from './rules.ts';

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
] as const satisfies readonly Counted[];

function rowsOfLedgers(): string {
  const counts = OF_LEDGERS.map(
    (table) => `select '${table}' as name, ledger_id, count(*) as total from ${table} as rows group by ledger_id`,
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
    statements: ({ ledger }) => fieldsOfLedgers(ledger),
  },
  {
    name: 'ledgers.rows',
    looksAt: OF_LEDGERS,
    // An audit of one ledger does not see rows without a ledger.
    statements: ({ ledger }) => (ledger === null ? [rowsOfLedgers()] : null),
  },
];
