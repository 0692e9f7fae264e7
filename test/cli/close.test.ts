// gopherpay close: the balances at the ends of months are sealed once, answer what the entries would, and are proved by the
// audit.
import assert from 'node:assert/strict';
import { before, test, type TestContext } from 'node:test';
import { connect, disconnect, READING_TIMEOUTS } from '../../src/db/connection/connect.ts';
import type { Course } from '../../src/db/audit/course.ts';
import { oneSnapshot } from '../../src/db/audit/snapshots.ts';
import { findAll, findInSlices, tamper } from '../support/audit.ts';
import { withTampering } from '../support/tampering.ts';
import { onEnd } from '../support/cleanup.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { checkPromises } from '../support/promises/check.ts';
import { request, type Service, startProgram, startService } from '../support/service.ts';
import { until } from '../support/until.ts';

const LEDGER = '/ledgers/past';
const START = '2026-01-20T00:00:00Z';
/** When the clock stands at which time, and what ANN pays then. Nothing happens in March. */
const DAYS = [
  ['2026-01-20T10:00:00Z', 1],
  ['2026-01-31T23:59:59.999999Z', 2],
  ['2026-02-01T00:00:00Z', 4],
  ['2026-02-10T00:00:00Z', 8],
  ['2026-02-11T00:00:00Z', 16],
  ['2026-04-05T00:00:00Z', 32],
] as const;
const INSTANTS = [
  ...DAYS.map(([at]) => at),
  '2026-01-19T00:00:00Z',
  '2026-02-10T12:00:00Z',
  '2026-02-28T23:59:59.999999Z',
  '2026-03-31T23:59:59.999999Z',
  '2026-04-30T00:00:00Z',
];

let database: TestDatabase;
let service: Service;

before(async (t) => {
  database = await createDatabase(t);
  service = await startService(t, { database, env: { THREADS: '2', LOG_LEVEL: 'warn' } });
  onEnd(t, async () => {
    await service.stop();
    await checkPromises(database);
  });
  assert.equal((await request(service, 'POST', '/ledgers', { name: 'past', clock: 'manual', now: START })).status, 201);
  for (const number of ['ANN', 'BOB', 'IDLE']) {
    const account = { account_number: number, name: number, balance: 1000 };
    assert.equal((await request(service, 'POST', `${LEDGER}/accounts`, account)).status, 201);
  }
  for (const [at, amount] of DAYS) {
    assert.equal((await request(service, 'POST', `${LEDGER}/clock`, { now: at })).status, 200);
    const transfer = { from_account: 'ANN', to_account: 'BOB', amount };
    const paid = await request(service, 'POST', `${LEDGER}/transfers`, transfer, { prefer: 'wait=10' });
    assert.equal(paid.body['status'], 'completed', paid.text);
  }
  assert.equal((await request(service, 'POST', `${LEDGER}/clock`, { now: '2026-05-01T00:00:00Z' })).status, 200);
});

async function close(t: TestContext, month: string, ledger = 'past') {
  const program = await startProgram(t, { database, args: ['close', `--ledger=${ledger}`, `--month=${month}`] });
  const { code } = await program.exited;
  return { code, stdout: program.stdout(), output: program.output() };
}

/** What callers read about the past. */
async function readPast(): Promise<string[]> {
  const paths = [
    ...INSTANTS.flatMap((at) => [
      `balances?at=${at}`,
      ...['ANN', 'BOB', 'IDLE'].map((account) => `accounts/${account}/balance?at=${at}`),
      `accounts/ANN/entries?since=${at}`,
    ]),
    ...['2026-01', '2026-02', '2026-03', '2026-04'].map((month) => `accounts/ANN/statements/${month}`),
  ];
  const answers: string[] = [];
  for (const path of paths) {
    const { status, text } = await request(service, 'GET', `${LEDGER}/${path}`);
    assert.equal(status, 200, text);
    answers.push(`${path} ${text}`);
  }
  return answers;
}

test('close: a sealed past reads as before, is sealed once, and is proved by the audit', async (t) => {
  const before = await readPast();
  const february = await close(t, '2026-02');
  assert.equal(february.code, 0, february.output);
  assert.match(february.stdout, /^ledger past, 2026-01 closed at .*: 4 balances sealed, sha256:[0-9a-f]{64}\n/);
  assert.match(february.stdout, /\nledger past, 2026-02 closed at .*: 2 balances sealed, sha256:[0-9a-f]{64}\n$/);
  assert.deepEqual(await readPast(), before, 'two months are sealed');
  const again = await close(t, '2026-02');
  assert.deepEqual([again.code, again.stdout], [0, '']);
  const april = await close(t, '2026-04');
  assert.match(april.stdout, /2026-03 closed at .*: 0 balances sealed.*\n.*2026-04 closed at .*: 2 balances sealed/);
  assert.deepEqual(await readPast(), before, 'all months are sealed');
  const may = await close(t, '2026-05');
  assert.equal(may.code, 1);
  assert.match(may.output, /^The month 2026-05 of the ledger past is not over \(UTC\)\.$/m);
  const connection = await connect(database.admin, READING_TIMEOUTS, { applicationName: 'audit' });
  onEnd(t, async () => await disconnect(connection));
  await connection.query('begin');
  assert.deepEqual((await findAll(connection)).discrepancies, []);
  await connection.query('rollback');
  for (const statement of [
    'update sealed_balances set balance = balance + 1 where journal_number = (select min(journal_number) from sealed_balances)',
    'update sealed_balances set entry_number = entry_number + 1',
    `delete from sealed_balances where account_number = 'ANN'`,
    `insert into sealed_balances select journal_number + 1, entry_number, balance + 1, ledger_id, account_number, currency from sealed_balances where account_number = 'BOB' order by journal_number limit 1`,
    'update sealed_totals set positive = positive + 1',
    'delete from sealed_totals',
    `update closed_months set digest = sha256('forged') where month = '2026-02-01'`,
    `update closed_months set hash = sha256('forged') where month = '2026-04-01'`,
    `update closed_months set journal_number = journal_number - 1 where month = '2026-02-01'`,
    `delete from closed_months where month = '2026-02-01'`,
  ]) {
    const findings = await tamper(connection, [statement]);
    assert.ok(findings?.checks.has('months.sealed'), statement);
  }
  // Of one account each, so that no page has a whole month.
  const inPages = async (): Promise<string[]> =>
    (await findInSlices(oneSnapshot(connection, 1))).discrepancies.map((one) => `${one.check}: ${one.what}`);
  assert.deepEqual(await withTampering(connection, [`update ledgers set name = name`], inPages), []);
  for (const [statement, what] of [
    ['update sealed_totals set positive = positive + 1', 'sum of the balances above zero'],
    ['update sealed_totals set negative = negative - 1', 'sum of the balances below zero'],
    ['update sealed_totals set account_count = account_count + 1', 'accounts with entries'],
    [`delete from sealed_totals`, 'accounts with entries'],
    [
      `insert into sealed_totals select journal_number - 1, account_count, positive, negative, ledger_id, currency from sealed_totals order by journal_number limit 1`,
      'closed month of a total',
    ],
    ['update closed_months set account_count = account_count + 1', 'account_count of a closed month'],
    [`update closed_months set digest = sha256('forged')`, 'digest of a closed month'],
  ] as const) {
    const found = await withTampering(connection, [statement], inPages);
    assert.ok(found?.includes(`months.sealed: ${what}`), `${statement}: ${found?.join(', ')}`);
  }
  // An audit that goes on after an interruption begins the digests again.
  const saved: Course[] = [];
  const save = async (course: Course): Promise<void> => void saved.push(structuredClone(course));
  await withTampering(connection, ['update ledgers set name = name'], async () => {
    await findInSlices(oneSnapshot(connection, 1), {}, { save });
    const halves = saved.filter(({ positions }) => positions['seals']?.done === false);
    assert.ok(halves.length > 2, `${halves.length} states`);
    for (const former of halves) {
      const { discrepancies } = await findInSlices(oneSnapshot(connection), {}, { former });
      assert.deepEqual(discrepancies, []);
    }
  });
  // The digests show each of these as well. Each is to be found by the entries, too.
  const [entry, balance] = ['entry of a sealed balance', 'sealed balance'];
  const copyOf = (number: string, where: string) => `
    insert into sealed_balances
    select ${number}, entry_number, balance, ledger_id, account_number, currency
    from sealed_balances as copied
    where ${where}
    order by journal_number
    limit 1`;
  const last = '(select max(journal_number) from sealed_balances)';
  const isAtEnd = `account_number in (select account_number from sealed_balances where journal_number = ${last})`;
  for (const [statement, what] of [
    ['update sealed_balances set balance = balance + 1', balance],
    [`update sealed_balances set entry_number = entry_number - 1 where entry_number > 1`, entry],
    [`delete from sealed_balances where account_number = 'ANN'`, entry],
    // An account that did not move in the month.
    [copyOf(last, `not ${isAtEnd}`), entry],
    // A month that is not closed.
    [copyOf(`${last} + 1`, isAtEnd), entry],
  ] as const) {
    const found = await withTampering(
      connection,
      [statement],
      async () => (await findInSlices(oneSnapshot(connection))).discrepancies,
    );
    const whats = (found ?? []).filter(({ check }) => check === 'months.sealed').map((one) => one.what);
    assert.ok(whats.includes(what), `${statement}: ${whats.join(', ')}`);
  }
});

test('close: two processes at once close each month once', async (t) => {
  const clock = { clock: 'manual', now: START };
  assert.equal((await request(service, 'POST', '/ledgers', { name: 'twice', ...clock })).status, 201);
  const account = { account_number: 'ANN', name: 'ANN', balance: 1000 };
  assert.equal((await request(service, 'POST', '/ledgers/twice/accounts', account)).status, 201);
  const now = '2026-03-01T00:00:00Z';
  assert.equal((await request(service, 'POST', '/ledgers/twice/clock', { now })).status, 200);
  const connection = await connect(database.admin, READING_TIMEOUTS, { applicationName: 'both wait for it' });
  onEnd(t, async () => await disconnect(connection));
  // Readers go on: so both seal January before either closes it.
  await connection.query('begin; lock table closed_months in share row exclusive mode');
  const both = [close(t, '2026-02', 'twice'), close(t, '2026-02', 'twice')];
  // One for the table, and the other for the totals of the first.
  const WAITING = `
    select from pg_stat_activity
    where datname = current_database() and wait_event_type = 'Lock'`;
  await until(async () => (await database.query(WAITING)).length === 2, { what: 'both to wait' });
  await connection.query('commit');
  const closed = await Promise.all(both);
  for (const { code, output } of closed) assert.equal(code, 0, output);
  const months = closed.flatMap(({ stdout }) => stdout.match(/2026-\d\d(?= closed)/g) ?? []);
  assert.deepEqual(months.toSorted(), ['2026-01', '2026-02']);
});
