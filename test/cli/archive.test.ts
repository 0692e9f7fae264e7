// gopherpay archive: the entries of closed months leave the database, into books that prove themselves. What stays proves the
// same, and answers the same, or says that the answer is archived.
import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { before, test, type TestContext } from 'node:test';
import { zstdDecompressSync } from 'node:zlib';
import { asyncBufferFromFile, parquetReadObjects } from 'hyparquet';
import { connect, type Connection, disconnect, READING_TIMEOUTS } from '../../src/db/connection/connect.ts';
import { auditBooks, ArchivedScopeError } from '../../src/db/audit/audit.ts';
import { oneSnapshot } from '../../src/db/audit/snapshots.ts';
import { EVERYTHING, findInSlices, tamper } from '../support/audit.ts';
import { onEnd } from '../support/cleanup.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { checkPromises } from '../support/promises/check.ts';
import { makeFolder, request, type Service, startProgram, startService } from '../support/service.ts';

const LEDGER = '/ledgers/past';
const WAIT = { prefer: 'wait=10' };
/** When ANN pays BOB, and how much. Nothing happens in March. */
const DAYS = [
  ['2026-01-20T10:00:00Z', 1],
  ['2026-01-31T23:59:59.999999Z', 2],
  ['2026-02-10T00:00:00Z', 4],
  ['2026-02-11T00:00:00Z', 8],
  ['2026-04-05T00:00:00Z', 16],
] as const;

const ZSTD = (bytes: Uint8Array) => new Uint8Array(zstdDecompressSync(bytes));

let database: TestDatabase;
let service: Service;
let folder: string;

before(async (t) => {
  database = await createDatabase(t);
  folder = await makeFolder(t);
  service = await startService(t, { database, env: { THREADS: '2', LOG_LEVEL: 'warn' } });
  const start = { name: 'past', clock: 'manual', now: '2026-01-20T00:00:00Z' };
  assert.equal((await request(service, 'POST', '/ledgers', start)).status, 201);
  for (const number of ['ANN', 'BOB', 'IDLE']) {
    const account = { account_number: number, name: number, balance: 1000 };
    assert.equal((await request(service, 'POST', `${LEDGER}/accounts`, account)).status, 201);
  }
  for (const [at, amount] of DAYS) {
    assert.equal((await request(service, 'POST', `${LEDGER}/clock`, { now: at })).status, 200);
    await pay(amount);
  }
  assert.equal((await request(service, 'POST', `${LEDGER}/clock`, { now: '2026-05-01T00:00:01Z' })).status, 200);
  await checkPromises(database);
});

async function pay(amount: number): Promise<void> {
  const order = { from_account: 'ANN', to_account: 'BOB', amount };
  const { body, text } = await request(service, 'POST', `${LEDGER}/transfers`, order, WAIT);
  assert.equal(body['status'], 'completed', text);
}

async function run(t: TestContext, ...args: readonly string[]) {
  const program = await startProgram(t, { database, args: [...args] });
  const { code } = await program.exited;
  return { code, stdout: program.stdout(), output: program.output() };
}

async function archive(t: TestContext, month: string) {
  return await run(t, 'archive', '--ledger=past', `--month=${month}`, `--output=${folder}`);
}

/** Status and text of each path of the ledger. */
async function read(paths: readonly string[]): Promise<string[]> {
  const answers: string[] = [];
  for (const path of paths) {
    const { status, text } = await request(service, 'GET', `${LEDGER}/${path}`);
    // A cursor says where the next page begins to look, which differs.
    answers.push(`${path}: ${status} ${text.replace(/"next":"[^"]*"/, '"next":"…"')}`);
  }
  return answers;
}

async function connectAsAdmin(t: TestContext): Promise<Connection> {
  const connection = await connect(database.admin, READING_TIMEOUTS, { applicationName: 'audit' });
  onEnd(t, async () => await disconnect(connection));
  return connection;
}

async function findAny(connection: Connection): Promise<string[]> {
  const found: string[] = [];
  for await (const event of auditBooks(connection, EVERYTHING)) {
    if (event.type === 'discrepancy') found.push(JSON.stringify(event));
  }
  return found;
}

/** What stays answerable when January and February are archived. */
const KEPT = [
  'balances?at=2026-01-19T00:00:00Z',
  'balances?at=2026-01-31T23:59:59.999999Z',
  'balances?at=2026-02-28T23:59:59.999999Z',
  'balances?at=2026-04-05T00:00:00Z',
  ...['ANN', 'BOB', 'IDLE', '@external'].flatMap((account) => [
    `accounts/${account}/balance?currency=USD`,
    `accounts/${account}/balance?currency=USD&at=2026-01-31T23:59:59.999999Z`,
    `accounts/${account}/balance?currency=USD&at=2026-02-28T23:59:59.999999Z`,
    `accounts/${account}/balance?currency=USD&at=2026-03-15T00:00:00Z`,
    `accounts/${account}/entries?currency=USD&since=2026-03-01T00:00:00Z`,
    `accounts/${account}/statements/2026-03?currency=USD`,
    `accounts/${account}/statements/2026-04?currency=USD`,
    `transfers?account=${account}&currency=USD`,
    `transfers?account=${account}&currency=USD&order=oldest&limit=3`,
    `transfers?account=${account}&currency=USD&since=2026-02-01T00:00:00Z&until=2026-02-11T00:00:00Z`,
  ]),
  'transfers?limit=100',
  'journal?limit=13&order=oldest',
  'journal/13',
];

const GONE = [
  'balances?at=2026-02-10T12:00:00Z',
  'accounts/ANN/balance?at=2026-01-25T00:00:00Z',
  'accounts/ANN/statements/2026-01',
  'accounts/ANN/statements/2026-02',
  'accounts/ANN/entries?order=oldest',
  'accounts/ANN/entries?since=2026-02-01T00:00:00Z',
  'accounts/ANN/entries?until=2026-02-10T00:00:00Z',
  'journal/2',
];

test('archive: entries leave the database, and what stays answers and proves the same', async (t) => {
  const open = await archive(t, '2026-02');
  assert.deepEqual([open.code, open.stdout], [0, '']);
  assert.match(open.output, /no closed month up to 2026-02 that is not archived: close months with gopherpay close/);
  assert.equal((await run(t, 'close', '--ledger=past', '--month=2026-04')).code, 0);
  const [kept, gone] = [await read(KEPT), await read(GONE)];
  assert.deepEqual(
    gone.filter((answer) => !answer.includes(': 200 ')),
    [],
  );

  const archived = await archive(t, '2026-02');
  assert.equal(archived.code, 0, archived.output);
  assert.match(
    archived.stdout,
    /^ledger past, 2026-01 archived up to journal \d+ in .*past-2026-01, sha256:[0-9a-f]{64}\n/,
  );
  assert.match(
    archived.stdout,
    /\nledger past, 2026-02 archived up to journal \d+ in .*past-2026-02, sha256:[0-9a-f]{64}\n$/,
  );
  // Of ANN, BOB, IDLE and @external one entry each stays.
  assert.match(archived.output, /^10 entries of archived months of the ledger past were deleted\.$/m);
  assert.deepEqual((await readdir(folder)).toSorted(), ['past-2026-01', 'past-2026-02']);
  for (const [index, answer] of (await read(KEPT)).entries()) assert.equal(answer, kept[index]);
  for (const path of GONE) {
    const { status, body, text } = await request(service, 'GET', `${LEDGER}/${path}`);
    assert.deepEqual([status, body['code']], [410, 'archived'], `${path}: ${text}`);
    assert.match(String(body['detail']), /settled before 2026-03-01T00:00:00Z are archived/);
  }

  // A list that begins with what is there goes on until the archive.
  const first = await request(service, 'GET', `${LEDGER}/accounts/ANN/entries`);
  assert.equal(first.status, 200, first.text);
  assert.deepEqual(
    [...first.text.matchAll(/"entry_number":(\d+)/g)].map(([, number]) => number),
    ['6', '5'],
  );
  assert.equal(first.body['next'], '5');
  const second = await request(service, 'GET', `${LEDGER}/accounts/ANN/entries?after=5`);
  assert.deepEqual([second.status, second.body['code']], [410, 'archived'], second.text);

  const connection = await connectAsAdmin(t);
  assert.deepEqual(await findAny(connection), []);
  const audited = await run(t, 'audit');
  assert.equal(audited.code, 0, audited.output);
  await pay(32);
  assert.deepEqual(await findAny(connection), []);
});

test('archive: an audit finds what was changed in archived months', async (t) => {
  const connection = await connectAsAdmin(t);
  const [row] = await database.query<{ number: bigint }>('select max(journal_number) as number from archived_months');
  const end = row?.number ?? 0n;
  const archivedRow = `ledger_id > 1 and journal_number <= ${end}`;
  const some = (table: string) => `(select ctid from ${table} where ${archivedRow} order by journal_number limit 1)`;
  for (const [statement, check] of [
    [`update transfers set amount = amount + 1 where ctid = ${some('transfers')}`, 'journal.chain'],
    [
      `update transfers set to_entry_number = to_entry_number + 1 where ctid = ${some('transfers')}`,
      'balances.entries',
    ],
    [`delete from transfers where ctid = ${some('transfers')}`, 'journal.chain'],
    [`update entries set balance = balance + 1 where ctid = ${some('entries')}`, 'months.archived'],
    [`update entries set transfer_id = gen_random_uuid() where ctid = ${some('entries')}`, 'months.archived'],
    [`delete from entries where ctid = ${some('entries')}`, 'months.archived'],
    [`update sealed_balances set balance = balance + 1 where ctid = ${some('sealed_balances')}`, 'months.sealed'],
    [`update archived_months set digest = sha256('forged') where month = '2026-01-01'`, 'months.archived'],
    [`delete from archived_months where month = '2026-01-01'`, 'months.archived'],
    [`delete from archived_months where month = '2026-02-01'`, 'balances.entries'],
    [`update archived_months set journal_number = journal_number + 1 where month = '2026-02-01'`, 'months.archived'],
  ] as const) {
    const found = await tamper(connection, [statement], {}, { many: false });
    assert.ok(found?.checks.has(check), `${statement}: ${[...(found?.checks ?? [])].join(', ')}`);
  }
  for (const statement of [
    `delete from entries where ledger_id > 1 and journal_number > ${end}`,
    `update entries set amount = amount + 1 where ${archivedRow}`,
  ]) {
    await assert.rejects(database.query(statement), /append-only|permission denied/);
  }
});

test('archive: an audit in many snapshots begins after the archived months', async (t) => {
  const connection = await connectAsAdmin(t);
  const [row] = await database.query<{ id: number; number: bigint }>(
    'select ledger_id as id, max(journal_number) as number from archived_months group by ledger_id',
  );
  const [ledger, since] = [row?.id ?? 0, row?.number ?? 0n];
  await assert.rejects(findInSlices(oneSnapshot(connection), EVERYTHING), ArchivedScopeError);
  assert.deepEqual((await findInSlices(oneSnapshot(connection), { ledger, since })).discrepancies, []);
  await assert.rejects(findInSlices(oneSnapshot(connection), { ledger, since: since - 1n }), ArchivedScopeError);
  const refused = await run(t, 'audit', '--jobs=1');
  assert.equal(refused.code, 2);
  assert.match(refused.output, new RegExp(`audit with --one-snapshot, or .* --since=${since}\\.`));
  for (const options of [[], ['--jobs=1']]) {
    const later = await run(t, 'audit', '--ledger=past', `--since=${since}`, ...options);
    assert.equal(later.code, 0, later.output);
  }
  const found = await tamper(
    connection,
    [
      `update entries set balance = balance + 1 where ledger_id = ${ledger} and journal_number <= ${since} and account_number = 'IDLE'`,
    ],
    {},
    { many: false },
  );
  assert.ok(found?.checks.has('months.archived'));
});

test('archive: the files verify, also together with what was exported later', async (t) => {
  const [row] = await database.query<{ number: bigint }>('select max(journal_number) as number from archived_months');
  const whole = await run(t, 'export', '--ledger=past', `--output=${join(folder, 'whole.ndjson')}`);
  assert.equal(whole.code, 1, whole.output);
  assert.match(whole.output, /^The entries that were settled before 2026-03-01T00:00:00Z are archived/m);
  const report = await run(t, 'report', '--ledger=past', '--account=ANN');
  assert.equal(report.code, 1, report.output);
  const rest = join(folder, 'rest.ndjson');
  const exported = await run(t, 'export', '--ledger=past', `--since=${row?.number}`, `--output=${rest}`);
  assert.equal(exported.code, 0, exported.output);
  const months = ['past-2026-01', 'past-2026-02'].map((name) => join(folder, name));
  const verified = await run(t, 'verify', ...months, rest);
  assert.equal(verified.code, 0, verified.output);
  const acts = await run(t, 'audit-log', '--ledger=past', '--json');
  for (const month of ['2026-01', '2026-02']) {
    assert.match(acts.stdout, new RegExp(`"ledger.month_archived".*${month}`));
  }
});

test('archive: an interrupted deletion is completed, and the last entry of an account follows the archive', async (t) => {
  const connection = await connectAsAdmin(t);
  const last = await archive(t, '2026-04');
  assert.equal(last.code, 0, last.output);
  assert.match(last.stdout, /^ledger past, 2026-03 archived .*\nledger past, 2026-04 archived .*\n$/);
  assert.deepEqual(await findAny(connection), []);
  // As if the deletion had been interrupted: entries of archived months are back.
  await restoreEntries(connection);
  assert.deepEqual(await findAny(connection), []);
  const again = await archive(t, '2026-04');
  assert.match(again.output, /no closed month up to 2026-04 that is not archived/);
  assert.match(again.output, /^\d+ entries of archived months of the ledger past were deleted\.$/m);
  assert.deepEqual(await findAny(connection), []);
  const [row] = await database.query<{ count: bigint }>(
    'select count(*) from entries where ledger_id > 1 and journal_number <= (select max(journal_number) from archived_months)',
  );
  assert.equal(row?.count, 4n);
  await restoreEntries(connection);
  await service.stop();
  await checkPromises(database);
});

/** Inserts the entries of the archived files again, those that are missing. */
async function restoreEntries(connection: Connection): Promise<void> {
  await connection.query('begin');
  await connection.query('set local session_replication_role = replica');
  for (const name of (await readdir(folder)).filter((each) => each.startsWith('past-'))) {
    const file = await asyncBufferFromFile(join(folder, name, 'entries.parquet'));
    for (const entry of await parquetReadObjects({ file, compressors: { ZSTD } })) {
      await connection.query(
        `insert into entries (
           ledger_id, account_number, currency, entry_number, amount, balance, transfer_id, journal_number
         )
         select id, $1::text, $2::text, $3::bigint, $4::bigint, $5::bigint, $6::uuid, $7::bigint
         from ledgers
         where name = 'past'
         on conflict do nothing`,
        ['account_number', 'currency', 'entry_number', 'amount', 'balance', 'transfer_id', 'journal_number'].map(
          (column) => String(entry[column]),
        ),
      );
    }
  }
  await connection.query('commit');
}
