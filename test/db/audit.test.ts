// The audit finds nothing in a consistent ledger, and finds every change, deletion and addition.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { connect, type Connection, disconnect, READING_TIMEOUTS } from '../../src/db/connection/connect.ts';
import { onEnd, type Scope } from '../support/cleanup.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { JOURNAL_ROWS, MAIN, SHOP, writeLedger } from '../support/sample-ledgers.ts';
import { findAll, type Findings, tamper } from '../support/audit.ts';

let database: TestDatabase;
let connection: Connection;

before(async (t) => {
  database = await createDatabase(t);
  connection = await open(t);
  await writeLedger(connection);
  await writeLedger(connection, SHOP);
  // The planner then finds one ledger by its rows, not by the size of the tables.
  await connection.query('analyze');
});

async function open(scope: Scope): Promise<Connection> {
  const opened = await connect(database.admin, READING_TIMEOUTS, { applicationName: 'tampering' });
  onEnd(scope, async () => await disconnect(opened));
  return opened;
}

test('audit: finds nothing in a consistent ledger', async () => {
  const { discrepancies, verdict } = await inTransaction(async () => await findAll(connection));
  assert.deepEqual(discrepancies, []);
  const heads = await database.query<{ hash: string }>(
    `select encode(hash, 'hex') as hash from journal_ends order by ledger_id`,
  );
  assert.deepEqual(
    verdict.journals,
    [MAIN, SHOP].map(({ name }, index) => ({
      ledger: name,
      number: String(JOURNAL_ROWS),
      hash: heads[index]?.hash,
      discrepancies: 0,
    })),
  );
});

test('audit: finds nothing in one of several consistent ledgers', async () => {
  for (const { id, name } of [MAIN, SHOP]) {
    const { discrepancies, verdict } = await inTransaction(async () => await findAll(connection, { ledger: id }));
    assert.deepEqual(discrepancies, []);
    assert.deepEqual(
      verdict.journals.map(({ ledger, number }) => ({ ledger, number })),
      [{ ledger: name, number: String(JOURNAL_ROWS) }],
    );
  }
});

test('audit: of one ledger, reports only discrepancies of that ledger', async (t) => {
  const own = await open(t);
  const wrong = `update accounts set balance = balance + 1 where ledger_id = ${SHOP.id} and account_number = 'ANN'`;
  const [all, main, shop] = [
    await tamper(own, [wrong]),
    await tamper(own, [wrong], { ledger: MAIN.id }),
    await tamper(own, [wrong], { ledger: SHOP.id }),
  ];
  assert.deepEqual(main?.discrepancies, []);
  assert.ok((shop?.discrepancies.length ?? 0) >= 3);
  assert.deepEqual(all?.discrepancies, shop?.discrepancies);
  assert.ok(shop?.discrepancies.every(({ ledger }) => ledger === SHOP.name));
  assert.deepEqual(
    all?.verdict.journals.map(({ ledger, discrepancies }) => ({ ledger, discrepancies })),
    [
      { ledger: MAIN.name, discrepancies: 0 },
      { ledger: SHOP.name, discrepancies: shop?.discrepancies.length },
    ],
  );
});

test('audit: finds nothing in an empty ledger', async (t) => {
  const empty = await createDatabase(t);
  const client = await connect(empty.admin, READING_TIMEOUTS, { applicationName: 'tampering' });
  onEnd(t, async () => await disconnect(client));
  const { discrepancies, verdict } = await findAll(client);
  assert.deepEqual(discrepancies, []);
  assert.deepEqual(verdict.journals, [{ ledger: 'main', number: '0', hash: '00'.repeat(32), discrepancies: 0 }]);
});

test('audit: finds nothing after any journal row of a consistent ledger', async () => {
  for (let since = 0n; since <= BigInt(JOURNAL_ROWS); since += 1n) {
    for (const { id: ledger } of [MAIN, SHOP]) {
      const { discrepancies } = await inTransaction(async () => await findAll(connection, { ledger, since }));
      assert.deepEqual(discrepancies, [], `since ${since} of ledger ${ledger}`);
    }
  }
});

/** The columns of transfers that the journal's digests cover, or that decide which digest covers the row. */
const JOURNALED = `
  amount created_at journal_number from_entry_number to_entry_number if_from_entry_number if_min_available_after
  journal_position expires_in group_position id parent_id group_id atomic final_capture kind from_account to_account
  currency status failure_code request_id ordered_by approved_by rate remote_account description metadata`
  .trim()
  .split(/\s+/);

/** Which checks may find a changed column; null: nothing else in the books determines the column. */
const FOUND_BY: Record<string, Record<string, string | null>> = {
  // The hashes of its journal have the ledger's name. The other ledger's, or none, cannot fit.
  ledgers: {
    id: 'ledgers.fields ledgers.rows',
    name: 'journal.chain',
    created_at: null,
    idempotency_key: null,
    approval_above: null,
    clock_start: 'journal.clock',
  },
  accounts: {
    ledger_id: 'accounts.changes',
    balance: 'balances.accounts',
    held: 'overdraft.held',
    entry_count: 'balances.accounts',
    account_number: 'accounts.seals',
    currency: 'accounts.seals',
    overdraft_limit: 'accounts.seals',
    created_at: 'accounts.seals',
    status: 'accounts.seals',
    personal_data: 'accounts.seals',
    metadata: 'accounts.seals',
  },
  personal_keys: {
    ledger_id: 'accounts.keys',
    account_number: 'accounts.keys',
    currency: 'accounts.keys',
    // The audit does not read keys. The service refuses what another key encrypted.
    key: null,
  },
  account_changes: {
    ledger_id: 'journal.chain',
    change_number: 'accounts.changes',
    journal_number: 'journal.chain',
    account_number: 'journal.chain',
    currency: 'journal.chain',
    ordered_by: 'journal.chain',
    approved_by: 'journal.chain',
    seal: 'journal.chain',
  },
  transfers: {
    ledger_id: 'journal.chain',
    completed_at: 'journal.transfers',
    ...Object.fromEntries(JOURNALED.map((column) => [column, 'journal.chain'])),
  },
  entries: {
    ledger_id: 'conservation.transfers',
    entry_number: 'balances.entries',
    balance: 'balances.entries',
    amount: 'conservation.transfers',
    journal_number: 'conservation.transfers',
    transfer_id: 'conservation.transfers',
    account_number: 'conservation.transfers',
    currency: 'conservation.transfers',
  },
  holds: {
    ledger_id: 'holds.orders',
    amount: 'holds.orders',
    created_at: 'holds.orders',
    expires_at: 'holds.orders',
    id: 'holds.orders',
    from_account: 'holds.orders',
    to_account: 'holds.orders',
    currency: 'holds.orders',
    captured: 'holds.parts',
    released: 'holds.parts',
    state: 'holds.parts',
    expiry_id: 'holds.expiries',
  },
  reversed_amounts: {
    ledger_id: 'reversals.amounts',
    amount: 'reversals.amounts',
    reversed: 'reversals.amounts',
    transfer_id: 'reversals.amounts',
  },
  journal: {
    // The rows that there are know how many of them had been pending only in total.
    intake_count: 'accepted.kept accepted.counted',
    ...Object.fromEntries(
      ['ledger_id', 'number', 'settled_at', 'transfer_count', 'change_count', 'digest', 'previous_hash', 'hash'].map(
        (column) => [column, 'journal.chain'],
      ),
    ),
  },
  journal_head: {
    ledger_id: 'journal.head',
    opened_at: null,
    // Records queries about the past, and nothing about the books.
    closed_until: null,
    clock: 'journal.clock',
  },
  idempotency_keys: {
    ledger_id: 'once.keys ledgers.rows',
    transfer_id: 'once.keys',
    account_number: 'once.keys',
    key: null,
    created_at: null,
    fingerprint: null,
    personal_fingerprint: null,
    // The audit log has the advances.
    clock: null,
  },
  leases: { accepted_count: 'accepted.kept', session: null, closed: null, id: null },
  ledger_leases: {
    accepted_count: 'accepted.kept',
    ledger_id: 'accepted.kept ledgers.rows',
    session: null,
    closed: null,
    lease_id: null,
  },
  audit_log: {
    ...Object.fromEntries(
      ['ledger_id', 'at', 'journal_number', 'id', 'action', 'actor', 'subject', 'details'].map((column) => [
        column,
        'journal.chain',
      ]),
    ),
    // Of refusals only.
    count: null,
    address: null,
  },
};

/** The journal cannot distinguish an empty text from null: both have one form in it. */
const FINDS_EMPTY_TEXT: Record<string, string> = {
  accounts: 'accounts.fields',
  account_changes: 'accounts.changes final.constraints',
  transfers: 'final.transfers',
};

/** Which checks may find a deleted row. */
const FINDS_DELETED: Record<string, string[]> = {
  ledgers: ['ledgers.rows'],
  accounts: ['accounts.changes'],
  personal_keys: ['accounts.keys'],
  account_changes: ['journal.chain'],
  transfers: ['journal.chain'],
  entries: ['conservation.transfers'],
  holds: ['holds.orders'],
  reversed_amounts: ['reversals.amounts'],
  // Without its last row the chain is consistent. What the row covered has no place then.
  journal: ['journal.chain', 'administration.acts'],
  journal_head: ['journal.head'],
  leases: ['accepted.kept'],
  ledger_leases: ['accepted.kept'],
  pending_transfers: ['accepted.kept'],
  audit_log: ['journal.chain'],
};

/** Which check finds a duplicate row. */
const FINDS_DOUBLED: Record<string, string> = {
  ledgers: 'ledgers.fields',
  accounts: 'accounts.fields',
  personal_keys: 'accounts.keys',
  account_changes: 'accounts.changes',
  transfers: 'journal.chain',
  entries: 'balances.entries',
  holds: 'holds.expiries',
  reversed_amounts: 'reversals.amounts',
  journal: 'journal.chain',
  journal_head: 'journal.head',
  idempotency_keys: 'once.keys',
  leases: 'accepted.kept',
  ledger_leases: 'accepted.kept',
  pending_transfers: 'accepted.kept',
  audit_log: 'journal.chain',
};

/** What a column of a type may be changed to. */
const VALUES: Record<string, (column: string) => string[]> = {
  bigint: (column) => [`coalesce(${column}, 0) + 1`, 'null'],
  integer: (column) => [`coalesce(${column}, 0) + 1`, 'null'],
  text: (column) => [`coalesce(${column}, '') || 'x'`, 'null', `''`],
  uuid: () => ['gen_random_uuid()', 'null'],
  boolean: (column) => [`coalesce(not ${column}, true)`, `coalesce(not ${column}, false)`, 'null'],
  jsonb: (column) => [`coalesce(${column}, '{}') || '{"x": "y"}'`, `'{}'`, 'null'],
  'timestamp with time zone': (column) => [
    `coalesce(${column}, now()) + interval '1 microsecond'`,
    `timestamptz 'infinity'`,
    'null',
  ],
  date: (column) => [`coalesce(${column}, '2000-01-01') + 1`, `date 'infinity'`, `date '1984-03-01 BC'`, 'null'],
  bytea: (column) => [`set_byte(${column}, 31, get_byte(${column}, 31) # 1)`, `''`, 'null'],
};

/** Rows to tamper with: the first, the middle and the last; of transfers and holds one of each sort. */
const SAMPLES: Record<string, string> = {
  transfers: `
    select distinct on (kind, status, group_id is null, final_capture, parent_id is null) ctid::text as place
    from transfers
    order by kind, status, group_id is null, final_capture, parent_id is null, journal_number`,
  holds: `
    select distinct on (state, expires_at is null, expiry_id is null) ctid::text as place
    from holds
    order by state, expires_at is null, expiry_id is null`,
};

async function placesOf(table: string): Promise<string[]> {
  const sample =
    SAMPLES[table] ??
    `select place
     from (
       select ctid::text as place, row_number() over (order by ctid) as number, count(*) over () as total from ${table}
     ) as numbered
     where number in (1, total / 2, total)`;
  return (await database.query<{ place: string }>(sample)).map(({ place }) => place);
}

for (const [table, columns] of Object.entries(FOUND_BY)) {
  test(`audit: finds every changed field of ${table}`, async (t) => {
    const own = await open(t);
    const actual = await database.query<{ name: string; type: string }>(
      `select column_name as name, data_type as type
       from information_schema.columns
       where table_schema = 'public' and table_name = $1::text`,
      [table],
    );
    assert.deepEqual(
      actual.map(({ name }) => name).sort(),
      Object.keys(columns).sort(),
      'State what finds each column.',
    );
    const missed: string[] = [];
    let changes = 0;
    for (const [index, place] of (await placesOf(table)).entries()) {
      for (const { name, type } of actual) {
        for (const value of VALUES[type]?.(name) ?? assert.fail(`Say how to change a ${type}.`)) {
          const checks = (value === `''` && FINDS_EMPTY_TEXT[table]) || columns[name];
          if (!checks) continue;
          const statement = `
            update ${table} set ${name} = ${value}
            where ctid = '${place}'::tid and ${name} is distinct from (${value})`;
          changes += 1;
          // Some of every column, and of every row: an audit in many snapshots takes three times as long here.
          const findings = await tamper(own, [statement], {}, { many: (index + changes) % 16 === 0 });
          if (findings && !checks.split(' ').some((check) => findings.checks.has(check))) {
            missed.push(describe(statement, checks, findings));
          }
        }
      }
    }
    assert.deepEqual(missed, []);
  });
}

for (const [table, checks] of Object.entries(FINDS_DELETED)) {
  test(`audit: finds every deleted row of ${table}`, async (t) => {
    const own = await open(t);
    // The other ledger has the same rows.
    const where = FOUND_BY[table]?.['ledger_id'] === undefined ? '' : `where ledger_id = ${SHOP.id}`;
    const places = await database.query<{ place: string }>(`select ctid::text as place from ${table} ${where}`);
    const missed: string[] = [];
    for (const { place } of places) {
      const statement = `delete from ${table} where ctid = '${place}'::tid`;
      const findings = await tamper(own, [statement]);
      if (!checks.some((check) => findings?.checks.has(check))) {
        missed.push(describe(statement, checks.join(' or '), findings));
      }
    }
    assert.deepEqual(missed, []);
  });
}

for (const [table, check] of Object.entries(FINDS_DOUBLED)) {
  test(`audit: finds a duplicate row of ${table}`, async (t) => {
    const own = await open(t);
    const missed: string[] = [];
    for (const place of await placesOf(table)) {
      const statement = `insert into ${table} select * from ${table} where ctid = '${place}'::tid`;
      const findings = await tamper(own, [statement]);
      if (!findings?.checks.has(check)) missed.push(describe(statement, check, findings));
    }
    assert.deepEqual(missed, []);
  });
}

function describe(statement: string, check: string, findings: Findings | null): string {
  return `${statement.replace(/\s+/g, ' ')}: not found by ${check}, but by ${[...(findings?.checks ?? [])].join(', ')}`;
}

async function inTransaction<Result>(work: () => Promise<Result>): Promise<Result> {
  await connection.query('begin transaction isolation level repeatable read, read only');
  try {
    return await work();
  } finally {
    await connection.query('rollback');
  }
}
