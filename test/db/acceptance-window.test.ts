// Lists of transfers by time of acceptance, against a filter in memory: with transfers that waited long before they were settled, and
// with a clock that went back.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { connect, type Connection, disconnect, READING_TIMEOUTS } from '../../src/db/connection/connect.ts';
import { listTransfers, type TransferCursor, type TransferFilter } from '../../src/db/queries/transfer-list.ts';
import { MAIN_LEDGER } from '../../src/domain/ledger.ts';
import { createDatabase } from '../support/database.ts';

const COUNT = 120;
const STARTED = Date.parse('2026-03-01T00:00:00Z');
/** Of each transfer: seconds from acceptance to settlement. */
const DELAYS = [0, 1, 0, 9, 10, 0, 11, 3, 0, 500, 0, -20, 0, 2, 0, -400];

const PLANTED = Array.from({ length: COUNT }, (_, n) => {
  const settledAt = STARTED + n * 5000;
  return {
    id: `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`,
    settledAt: new Date(settledAt).toISOString(),
    createdAt: new Date(settledAt - (DELAYS[n % DELAYS.length] ?? 0) * 1000).toISOString(),
    failed: n % 3 === 2,
    to: n % 2 === 0 ? 'ANN' : 'BOB',
  };
});

let connection: Connection;

before(async (t) => {
  assert.ok('after' in t);
  const database = await createDatabase(t);
  await database.query(`insert into accounts (ledger_id, account_number, currency, entry_count) values
    (1, '@external', 'USD', 40), (1, 'ANN', 'USD', 40), (1, 'BOB', 'USD', 40)`);
  const entries = new Map<string, number>();
  const nextEntry = (account: string): number => {
    entries.set(account, (entries.get(account) ?? 0) + 1);
    return entries.get(account) ?? 0;
  };
  for (const [n, { id, settledAt, createdAt, failed, to }] of PLANTED.entries()) {
    await database.query(
      `insert into journal (ledger_id, number, settled_at, transfer_count, intake_count, change_count, digest, previous_hash, hash)
       select 1, $1::bigint, $2::timestamptz, 1, 1, 0, zeros, zeros, zeros from decode(repeat('00', 32), 'hex') as zeros`,
      [n + 1, settledAt],
    );
    const numbers = failed ? [null, null] : [nextEntry('@external'), nextEntry(to)];
    await database.query(
      `insert into transfers (ledger_id, amount, created_at, completed_at, journal_number, journal_position, id, kind, from_account,
         to_account, currency, status, failure_code, from_entry_number, to_entry_number)
       values (1, 1, $1, $2, $3, 1, $4, 'transfer', '@external', $5, 'USD', $6, $7, $8, $9)`,
      [
        createdAt,
        settledAt,
        n + 1,
        id,
        to,
        failed ? 'failed' : 'completed',
        failed ? 'account_closed' : null,
        ...numbers,
      ],
    );
    for (const [index, account] of failed ? [] : ['@external', to].entries()) {
      await database.query(
        `insert into entries (ledger_id, entry_number, amount, balance, journal_number, transfer_id, account_number, currency)
         values (1, $1, 1, 1, $2, $3, $4, 'USD')`,
        [numbers[index], n + 1, id, account],
      );
    }
  }
  await database.query(`update accounts set entry_count =
    (select count(*) from entries where entries.account_number = accounts.account_number)`);
  connection = await connect(database.settings, READING_TIMEOUTS, { applicationName: 'gopherpay test' });
  t.after(() => disconnect(connection));
});

async function listAll(filter: TransferFilter, newestFirst: boolean): Promise<string[]> {
  const ids: string[] = [];
  let after: TransferCursor | null = null;
  do {
    const page: Awaited<ReturnType<typeof listTransfers>> = await listTransfers(connection, MAIN_LEDGER, filter, {
      limit: 7,
      after,
      newestFirst,
    });
    ids.push(...page.transfers.map(({ id }) => id));
    after = page.next;
  } while (after !== null);
  return ids;
}

/** What a list must have, the last settled first. */
function expected({ since, until, account, status }: TransferFilter): string[] {
  return PLANTED.filter(
    (each) =>
      (since === undefined || each.createdAt >= since) &&
      (until === undefined || each.createdAt < until) &&
      (account === undefined || account === '@external' || each.to === account) &&
      (status === undefined || (status === 'failed') === each.failed),
  )
    .map(({ id }) => id)
    .toReversed();
}

const instants = [
  undefined,
  ...[-1000, 0, 60, 61, 333, 600, 5000].map((s) => new Date(STARTED + s * 1000).toISOString()),
];

for (const account of [undefined, 'ANN', '@external']) {
  for (const status of [undefined, 'completed', 'failed'] as const) {
    test(`transfers: a window of acceptance has each transfer once (${account ?? 'all'}, ${status ?? 'all'})`, async () => {
      for (const since of instants) {
        for (const until of instants) {
          const currency = account === '@external' ? 'USD' : undefined;
          const filter = { account, currency, status, since, until };
          assert.deepEqual(await listAll(filter, true), expected(filter), JSON.stringify(filter));
          assert.deepEqual(await listAll(filter, false), expected(filter).toReversed(), JSON.stringify(filter));
        }
      }
    });
  }
}
