// Goal: a job settles each of its units once or not at all, after any earlier attempt and beside any concurrent job.
// Method: jobs in real threads on a real database, with rivals that are planted between two statements.
import assert from 'node:assert/strict';
import { randomUUIDv7 } from 'node:crypto';
import { test, type TestContext } from 'node:test';
import { EXTERNAL } from '../../src/domain/account.ts';
import type { NewTransfer } from '../../src/domain/transfer.ts';
import { toJob, toStoredUnits } from '../../src/main/engine/unit.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { newAccount, newGroup, newJob, newPersonalData, newTransfer } from '../support/jobs.ts';
import { checkPromises } from '../support/promises/check.ts';
import { startProxy } from '../support/proxy.ts';
import { keyed, startThreads, storePending, type Threads, unkeyed } from '../support/threads.ts';
import { until } from '../support/until.ts';

/** How long a thread waits on a silent connection before it closes it. */
const SILENCE = { answerTimeoutMs: 500, probeTimeoutMs: 250 };

type Scene = { database: TestDatabase; threads: Threads };

/** A database with ANN, who has 100, and BOB, who has nothing. */
async function setTheScene(t: TestContext, options: { threads?: number } = {}): Promise<Scene> {
  const database = await createDatabase(t);
  const threads = startThreads(t, database, options);
  const salary = newTransfer({ fromAccount: EXTERNAL, toAccount: 'ANN', amount: 100n });
  await threads.run([unkeyed([salary], [newAccount('ANN')]), unkeyed([], [newAccount('BOB')])]);
  return { database, threads };
}

async function balanceOf({ query }: TestDatabase, accountNumber: string): Promise<bigint | undefined> {
  const rows = await query<{ balance: bigint }>('select balance from accounts where account_number = $1', [
    accountNumber,
  ]);
  return rows[0]?.balance;
}

async function countSettled({ query }: TestDatabase, transfers: readonly NewTransfer[]): Promise<number> {
  const ids = transfers.map(({ id }) => id);
  const rows = await query('select from transfers where id = any($1::uuid[])', [ids]);
  return rows.length;
}

/** Waits until so many sessions wait for a lock of another. */
async function awaitBlocked({ query, name }: TestDatabase, count: number): Promise<void> {
  const blocked = async () =>
    (await query(`select from pg_stat_activity where datname = $1 and wait_event_type = 'Lock'`, [name])).length;
  await until(async () => (await blocked()) === count, { what: `${count} sessions to wait for a lock` });
}

test('settle: an empty job is answered without the database', async (t) => {
  const database = await createDatabase(t);
  const { report } = startThreads(t, database, { port: 1 });
  const settled = await report(newJob());
  assert.ok(settled.result === 'settled' && settled.journalNumber === null);
});

test('settle: of two units with one key in a job, the first settles and the second is replayed', async (t) => {
  const { database, threads } = await setTheScene(t);
  const [first, second, other] = [newTransfer(), newTransfer(), newTransfer()];
  const report = await threads.run([keyed('same', [first]), keyed('same', [second]), keyed('other', [other])]);
  assert.deepEqual(report.units, ['settled', 'replayed', 'settled']);
  assert.equal(await balanceOf(database, 'BOB'), 2n);
  assert.equal(await countSettled(database, [second]), 0);
  const [key] = await database.query(`select transfer_id from idempotency_keys where key = 'same'`);
  assert.deepEqual(key, { transfer_id: first.id });
  await checkPromises(database);
});

test('settle: a unit whose key names an earlier request is replayed as a whole, and the others settle', async (t) => {
  const { database, threads } = await setTheScene(t);
  const group = newGroup(2);
  await threads.run([keyed('key', [newTransfer()])]);
  const report = await threads.run([keyed('key', group), unkeyed([newTransfer()])]);
  assert.deepEqual(
    [report.units, report.failureCodes],
    [
      ['replayed', 'settled'],
      [null, null, null],
    ],
  );
  assert.deepEqual(report.amounts, [null, null, 1n]);
  assert.equal(await countSettled(database, group), 0);
  assert.equal(await balanceOf(database, 'BOB'), 2n);
  await checkPromises(database);
});

test('settle: a key that an intake claims after it was looked up is replayed', async (t) => {
  const { database, threads } = await setTheScene(t);
  const rival = await database.connect();
  await rival.query('begin');
  await rival.query(
    `insert into idempotency_keys (ledger_id, transfer_id, key, fingerprint) values (1, $1, 'key', sha256('rival'))`,
    [randomUUIDv7()],
  );
  const transfer = newTransfer();
  const running = threads.run([keyed('key', [transfer]), unkeyed([newTransfer()])]);
  await awaitBlocked(database, 1);
  await rival.query('commit');
  const report = await running;
  assert.deepEqual([report.units, report.attempts], [['replayed', 'settled'], 2]);
  assert.equal(await countSettled(database, [transfer]), 0);
  assert.equal(await balanceOf(database, 'BOB'), 1n);
});

test('settle: a key is free after its claim is rolled back', async (t) => {
  const { database, threads } = await setTheScene(t);
  const rival = await database.connect();
  await rival.query('begin');
  await rival.query(
    `insert into idempotency_keys (ledger_id, transfer_id, key, fingerprint) values (1, $1, 'key', sha256('rival'))`,
    [randomUUIDv7()],
  );
  const running = threads.run([keyed('key', [newTransfer()])]);
  await awaitBlocked(database, 1);
  await rival.query('rollback');
  assert.deepEqual([(await running).units, await balanceOf(database, 'BOB')], [null, 1n]);
});

/** Stores one transfer and a group in the intake log. */
async function store({ database }: Scene) {
  const transfer = newTransfer();
  const group = newGroup(2);
  const pending = await storePending(database, [
    { transfers: [transfer], namedId: transfer.id, idempotency: { key: 'key', fingerprint: Buffer.alloc(32) } },
    { transfers: group, namedId: group[0]?.group?.id ?? '', idempotency: null },
  ]);
  return { transfers: [transfer, ...group], units: toStoredUnits(pending), pending };
}

test('settle: a stored transfer keeps the time of its intake, and is removed from the intake log', async (t) => {
  const scene = await setTheScene(t);
  const { transfers, units, pending } = await store(scene);
  const report = await scene.threads.run(units);
  assert.equal(report.units, null);
  const rows = await scene.database.query(
    `select (extract(epoch from created_at) * 1000000)::bigint as micros from transfers where id = any($1::uuid[])`,
    [transfers.map(({ id }) => id)],
  );
  assert.deepEqual(
    rows,
    pending.map(({ storedAtMicros }) => ({ micros: storedAtMicros })),
  );
  await checkPromises(scene.database);
  assert.deepEqual(await scene.database.query('select id from pending_transfers'), []);
});

for (const mayBeSettled of [false, true]) {
  const expected = mayBeSettled ? 'which the job expects' : 'which the job does not expect';
  test(`settle: a stored transfer that another process settled is left out, ${expected}`, async (t) => {
    const scene = await setTheScene(t);
    // What is stored within a second of the thread's connection is always looked for.
    const end = performance.now() + 1000;
    await until(() => performance.now() > end, { what: 'the connection to be older' });
    const { units } = await store(scene);
    await scene.threads.run(units);
    const fresh = unkeyed([newTransfer()]);
    const again = await scene.threads.run([...units, fresh], { mayBeSettled });
    assert.deepEqual(again.units, ['settled_elsewhere', 'settled_elsewhere', 'settled']);
    assert.equal(again.attempts, mayBeSettled ? 1 : 2);
    assert.equal(await balanceOf(scene.database, 'BOB'), 4n);
    await checkPromises(scene.database);
    assert.deepEqual(await scene.database.query('select id from pending_transfers'), []);
  });
}

test('settle: of two processes that settle the same stored transfers at once, one does', async (t) => {
  const scene = await setTheScene(t, { threads: 2 });
  const { units } = await store(scene);
  const rival = await scene.database.connect();
  await rival.query(`begin; select from journal_head for update`);
  const running = [scene.threads.run(units), scene.threads.run(units)];
  await awaitBlocked(scene.database, 2);
  await rival.query('commit');
  const reports = await Promise.all(running);
  const endings = reports.map((report) => report.units?.join() ?? 'all').sort();
  assert.deepEqual(endings, ['all', 'settled_elsewhere,settled_elsewhere']);
  assert.equal(await balanceOf(scene.database, 'BOB'), 3n);
  await checkPromises(scene.database);
  assert.deepEqual(await scene.database.query('select id from pending_transfers'), []);
});

test('settle: a job that is run again after its answer was lost settles nothing twice', async (t) => {
  const { database, threads } = await setTheScene(t);
  const units = [
    keyed('key', [newTransfer()]),
    unkeyed(newGroup(3)),
    // No account exists, so that no lock makes one attempt wait for the other.
    unkeyed([newTransfer({ fromAccount: 'NOSUCH', toAccount: 'NOWHERE', currency: 'USD' })]),
  ];
  await threads.run(units);
  for (const mayBeSettled of [true, false]) {
    const report = await threads.run(units, { mayBeSettled });
    assert.deepEqual(report.units, ['settled_elsewhere', 'settled_elsewhere', 'settled_elsewhere']);
    assert.deepEqual([report.journalNumber, report.settledAt], [null, null]);
  }
  const alone = await threads.run(units.slice(0, 1));
  assert.deepEqual(alone.units, ['settled_elsewhere'], 'its key names the transfer itself');
  assert.equal(await balanceOf(database, 'BOB'), 4n);
  await checkPromises(database);
});

test('settle: a stored transfer that the database lacks is reported as missing, and is not settled', async (t) => {
  const { database, threads } = await setTheScene(t);
  const [kept] = await storePending(database, [{ transfers: [newTransfer()], namedId: '', idempotency: null }]);
  assert.ok(kept);
  const missing = { ...kept, transfer: newTransfer() };
  // They were stored before the thread connected, as before a standby was promoted.
  const report = await threads.run(toStoredUnits([missing, kept]), { storedAgoMs: 3_600_000 });
  assert.deepEqual(report.units, ['missing', 'settled']);
  const again = await threads.run(toStoredUnits([missing, kept]), { storedAgoMs: 3_600_000 });
  assert.deepEqual(again.units, ['missing', 'settled_elsewhere']);
  assert.equal(await balanceOf(database, 'BOB'), 1n);
  await checkPromises(database, { nothingPending: true });
});

/** Threads behind a proxy that loses the answer to their next commit. */
async function loseCommit(t: TestContext, database: TestDatabase): Promise<Threads> {
  const proxy = await startProxy(t, database);
  const threads = startThreads(t, database, { port: proxy.port, timeouts: SILENCE });
  void proxy.loseCommit();
  return threads;
}

test('settle: a thread that lost the answer to its commit finds that its job is settled', async (t) => {
  const { database } = await setTheScene(t);
  const threads = await loseCommit(t, database);
  const report = await threads.run([keyed('key', [newTransfer()]), unkeyed([newTransfer()])]);
  assert.deepEqual([report.units, report.attempts], [['settled_elsewhere', 'settled_elsewhere'], 2]);
  assert.equal(await balanceOf(database, 'BOB'), 2n);
  await checkPromises(database);
});

test('settle: a thread that lost the answer to its commit finds that its job opened the accounts', async (t) => {
  const { database } = await setTheScene(t);
  const threads = await loseCommit(t, database);
  const balance = newTransfer({ fromAccount: EXTERNAL, toAccount: 'NEW' });
  const report = await threads.run([
    unkeyed([balance], [newAccount('NEW')]),
    keyed('key', [], [newAccount('KEYED')]),
    unkeyed([], [newAccount('PLAIN')]),
  ]);
  // The transfer and the key prove that it was this job; nothing proves it of the last.
  assert.deepEqual(report.units, ['settled_elsewhere', 'replayed', 'account_exists']);
  assert.equal(report.answerLost, true);
  assert.equal(await balanceOf(database, 'NEW'), 1n);
  await checkPromises(database);
});

test('settle: only a lost answer is reported as one', async (t) => {
  const { threads } = await setTheScene(t);
  assert.equal((await threads.run([unkeyed([newTransfer()])])).answerLost, false);
  assert.equal((await threads.run([unkeyed([], [newAccount('ANN')])])).answerLost, false);
});

test('settle: of two jobs that open the same account at once, one does', async (t) => {
  const { database, threads } = await setTheScene(t, { threads: 2 });
  const rival = await database.connect();
  await rival.query(`begin; select from journal_head for update`);
  const running = [
    threads.run([unkeyed([], [newAccount('NEW')])]),
    threads.run([unkeyed([], [newAccount('NEW', { currency: 'EUR' })])]),
  ];
  await awaitBlocked(database, 2);
  await rival.query('commit');
  const reports = await Promise.all(running);
  const endings = reports.map((report) => report.units?.join() ?? 'all').sort();
  assert.deepEqual(endings, ['account_exists', 'all']);
  assert.ok(reports.every(({ answerLost }) => !answerLost));
  const accounts = await database.query(`select from accounts where account_number = 'NEW'`);
  assert.equal(accounts.length, 1);
  await checkPromises(database);
});

test('settle: @external that two jobs open at once in a new currency is opened once, and both jobs settle', async (t) => {
  const { database, threads } = await setTheScene(t, { threads: 2 });
  const rival = await database.connect();
  await rival.query(`begin; select from journal_head for update`);
  const running = ['C', 'D'].map((number) => {
    const balance = newTransfer({ fromAccount: EXTERNAL, toAccount: number, amount: 5n });
    return threads.run([unkeyed([balance], [newAccount(number, { currency: 'EUR' })])]);
  });
  await awaitBlocked(database, 2);
  await rival.query('commit');
  for (const report of await Promise.all(running)) {
    assert.deepEqual([report.units, report.failureCodes, report.currencies], [null, [null], ['EUR']]);
    assert.equal(report.opened[0]?.balance, 5n);
  }
  const external = await database.query(
    `select balance, entry_count from accounts where account_number = '@external' and currency = 'EUR'`,
  );
  assert.deepEqual(external, [{ balance: -10n, entry_count: 2n }]);
  await checkPromises(database);
});

test('settle: one job opens @external once for each new currency', async (t) => {
  const { database, threads } = await setTheScene(t);
  const accounts = ['EUR', 'EUR', 'CHF', 'USD'].map((currency, index) => newAccount(`N${index}`, { currency }));
  await threads.run([unkeyed([], accounts.slice(0, 2)), unkeyed([], accounts.slice(2))]);
  const external = await database.query(
    `select currency from accounts where account_number = '@external' order by currency`,
  );
  assert.deepEqual(
    external.map(({ currency }) => currency),
    ['CHF', 'EUR', 'USD'],
  );
  await checkPromises(database);
});

test('settle: an account that a job names twice is opened by the first unit, in any currency', async (t) => {
  const { database, threads } = await setTheScene(t);
  const report = await threads.run([
    unkeyed(
      [newTransfer({ fromAccount: EXTERNAL, toAccount: 'NEW' })],
      [newAccount('NEW', { metadata: { place: 'first' } })],
    ),
    unkeyed([newTransfer({ fromAccount: EXTERNAL, toAccount: 'NEW' })], [newAccount('NEW', { currency: 'EUR' })]),
    unkeyed([], [newAccount('OTHER'), newAccount('NEW')]),
    unkeyed([], [newAccount('OTHER')]),
  ]);
  assert.deepEqual(report.units, ['settled', 'account_exists', 'account_exists', 'settled']);
  // What a transfer of the job has changed, and what is as it was opened.
  const [first] = report.opened;
  assert.deepEqual([first?.accountNumber, first?.balance, report.opened[4]], ['NEW', 1n, null]);
  const rows = await database.query(`select metadata, currency, balance from accounts where account_number = 'NEW'`);
  assert.deepEqual(rows, [{ metadata: { place: 'first' }, currency: 'USD', balance: 1n }]);
  await checkPromises(database);
});

test('settle: a unit that names an account twice is broken, and writes nothing', async (t) => {
  const { database, threads } = await setTheScene(t);
  const unit = unkeyed([], [newAccount('NEW'), newAccount('NEW')]);
  const report = await threads.report(toJob([unit], { mode: 'settle', mayBeSettled: false, retryMs: Infinity }));
  assert.ok(report.result === 'poisoned');
  assert.equal(report.reason, 'A unit opens an account twice.');
  assert.equal(await balanceOf(database, 'NEW'), undefined);
});

test('settle: repeated conflicts with other writers fail the job, and are not attributed to its data', async (t) => {
  const { database, threads } = await setTheScene(t);
  await database.query(`
    create function refuse() returns trigger language plpgsql as $$
    begin
      raise unique_violation using constraint = 'transfers_pkey';
    end;
    $$;
    create trigger refused before insert on transfers for each row execute function refuse()`);
  const job = toJob([unkeyed([newTransfer()])], { mode: 'settle', mayBeSettled: false, retryMs: Infinity });
  const report = await threads.report(job);
  assert.ok(report.result === 'unavailable');
  assert.deepEqual([report.trouble, report.sqlState, report.mayBeSettled], ['job', '23505', true]);
});

test('settle: an unreleased lock affects the job, and a database that cannot write affects all jobs', async (t) => {
  const database = await createDatabase(t);
  const { report, run } = startThreads(t, database, { timeouts: { lockTimeoutMs: 50 } });
  await run([unkeyed([], [newAccount('ANN'), newAccount('BOB')])]);
  const job = toJob([unkeyed([newTransfer()])], { mode: 'settle', mayBeSettled: false, retryMs: 0 });
  const holder = await database.connect();
  await holder.query('begin; select from accounts for update');
  const locked = await report(job);
  await holder.query('rollback');
  await database.query(`
    create function refuse() returns trigger language plpgsql as $$
    begin
      raise disk_full;
    end;
    $$;
    create trigger refused before insert on transfers for each row execute function refuse()`);
  const full = await report(job);
  assert.ok(locked.result === 'unavailable' && full.result === 'unavailable');
  assert.deepEqual([locked.sqlState, locked.trouble], ['55P03', 'job']);
  assert.deepEqual([full.sqlState, full.trouble], ['53100', 'database']);
});

test('settle: units that open existing accounts are left out, and the others settle', async (t) => {
  const { database, threads } = await setTheScene(t);
  const balance = newTransfer({ fromAccount: EXTERNAL, toAccount: 'BOB' });
  const report = await threads.run([
    keyed('key', [balance], [newAccount('BOB'), newAccount('CID')]),
    unkeyed([newTransfer()]),
  ]);
  assert.deepEqual(report.units, ['account_exists', 'settled']);
  assert.equal(await balanceOf(database, 'CID'), undefined);
  assert.deepEqual(await database.query('select key from idempotency_keys'), []);
  assert.equal(await balanceOf(database, 'BOB'), 1n);
});

test('settle: a unit that is left out takes no account number and no key from those after it', async (t) => {
  const { database, threads } = await setTheScene(t);
  await threads.run([keyed('used', [newTransfer()])]);
  const report = await threads.run([
    keyed('used', [], [newAccount('NEW')]),
    keyed('free', [], [newAccount('BOB')]),
    keyed('free', [], [newAccount('NEW')]),
  ]);
  assert.deepEqual(report.units, ['replayed', 'account_exists', 'settled']);
  const keys = await database.query(`select account_number from idempotency_keys where key = 'free'`);
  assert.deepEqual(keys, [{ account_number: 'NEW' }]);
  await checkPromises(database);
});

test('settle: a transfer to a missing account is decided again if the account is opened meanwhile', async (t) => {
  const { database, threads } = await setTheScene(t, { threads: 2 });
  const rival = await database.connect();
  await rival.query(`begin; select from journal_head for update`);
  const opening = threads.run([unkeyed([], [newAccount('NEW')])]);
  await awaitBlocked(database, 1);
  const transfer = threads.run([unkeyed([newTransfer({ toAccount: 'NEW' })])]);
  await awaitBlocked(database, 2);
  await rival.query('commit');
  await opening;
  const report = await transfer;
  assert.deepEqual([report.failureCodes, report.attempts], [[null], 2]);
  assert.equal(await balanceOf(database, 'NEW'), 1n);
  await checkPromises(database);
});

test('settle: a dry run decides, and writes nothing', async (t) => {
  const { database, threads } = await setTheScene(t);
  const transfer = newTransfer({ amount: 7n });
  const report = await threads.run([unkeyed([transfer])], { mode: 'dry run' });
  assert.deepEqual([report.failureCodes, report.amounts], [[null], [7n]]);
  assert.equal(await balanceOf(database, 'BOB'), 0n);
  assert.equal(await countSettled(database, [transfer]), 0);
  // The connection is free for the next job.
  assert.equal((await threads.run([unkeyed([transfer])])).attempts, 1);
});

test('settle: a quarantined transfer fails without reading the books', async (t) => {
  const scene = await setTheScene(t);
  const { units } = await store(scene);
  const report = await scene.threads.run(units, { mode: 'quarantine' });
  assert.deepEqual(report.failureCodes, ['cannot_be_settled', 'cannot_be_settled', 'cannot_be_settled']);
  assert.equal(await balanceOf(scene.database, 'BOB'), 0n);
  await checkPromises(scene.database);
  assert.deepEqual(await scene.database.query('select id from pending_transfers'), []);
});

test('settle: of two expiries of one hold, one ends it and the other writes nothing', async (t) => {
  const { database, threads } = await setTheScene(t);
  const hold = newTransfer({ kind: 'hold', amount: 10n, expiresIn: 0 });
  await threads.run([unkeyed([hold])]);
  const expiry = () => newTransfer({ kind: 'expiry', amount: null, parentId: hold.id, currency: 'USD' });
  const [first, second] = [expiry(), expiry()];
  assert.equal((await threads.run([unkeyed([first])])).units, null);
  assert.deepEqual((await threads.run([unkeyed([second])])).units, ['settled_elsewhere']);
  assert.deepEqual([await countSettled(database, [first]), await countSettled(database, [second])], [1, 0]);
  await checkPromises(database);
});

test('settle: an expiry of a hold that is not due writes nothing', async (t) => {
  const { database, threads } = await setTheScene(t);
  const hold = newTransfer({ kind: 'hold', amount: 10n, expiresIn: 3600 });
  await threads.run([unkeyed([hold])]);
  const expiry = newTransfer({ kind: 'expiry', amount: null, parentId: hold.id, currency: 'USD' });
  assert.deepEqual((await threads.run([unkeyed([expiry])])).units, ['settled_elsewhere']);
  assert.deepEqual(await database.query('select held from accounts where held > 0'), [{ held: 10n }]);
});

const METADATA = { é: '"\\\u2028', order: '7', 漢: '🧀', zz: 'Käse', '/': '' };

test('settle: seals and digests of a thread equal those that the database computes', async (t) => {
  const { database, threads } = await setTheScene(t);
  const accounts = [
    newAccount('FULL', {
      currency: 'EUR',
      ...newPersonalData('FULL', 'EUR', { name: 'Zoë "Ö" \\ 漢🧀', phone: '+41 1' }),
      overdraftLimit: 9_007_199_254_740_991n,
      metadata: METADATA,
    }),
    newAccount('0-before.external', { metadata: { '': '' } }),
    newAccount('EMPTY', { currency: 'CHF' }),
  ];
  const details = { description: 'Käse "\\"', metadata: METADATA, requestId: 'request "1"' };
  const balance = newTransfer({ fromAccount: EXTERNAL, toAccount: 'FULL', amount: 3n, currency: 'EUR', ...details });
  await threads.run([keyed('a', [balance], accounts.slice(0, 2)), unkeyed([], accounts.slice(2))]);
  const hold = newTransfer({ kind: 'hold', amount: 9n, expiresIn: 60 });
  const open = newTransfer({ kind: 'hold', amount: 2n });
  const paid = newTransfer({ conditions: { fromEntryNumber: 1n, minAvailableAfter: 0n } });
  await threads.run([
    unkeyed([paid]),
    unkeyed([hold]),
    unkeyed([open]),
    unkeyed(newGroup(2)),
    unkeyed(newGroup(2, { atomic: false })),
    unkeyed([newTransfer({ amount: 1000n, ...details })]),
    unkeyed([newTransfer({ toAccount: 'NOSUCH' })]),
    unkeyed([newTransfer({ fromAccount: 'NOSUCH', toAccount: 'NOWHERE' })]),
    unkeyed([newTransfer({ conditions: { fromEntryNumber: 99n, minAvailableAfter: null } })]),
  ]);
  const ofParent = { amount: null, currency: 'USD' } as const;
  const ends = [
    newTransfer({ kind: 'capture', parentId: hold.id, amount: 4n, finalCapture: true }),
    newTransfer({ ...ofParent, kind: 'void', parentId: open.id }),
    newTransfer({ ...ofParent, kind: 'reversal', parentId: paid.id, fromAccount: 'BOB', toAccount: 'ANN' }),
  ];
  const report = await threads.run(ends.map((end) => unkeyed([end])));
  assert.deepEqual(report.failureCodes, [null, null, null]);
  const { pending } = await store({ database, threads });
  await threads.run(toStoredUnits(pending));
  await checkPromises(database);
});

test('settle: ledgers are separate: accounts, @external, keys and journal', async (t) => {
  const { database, threads } = await setTheScene(t);
  await database.query(`insert into ledgers (id, name) values (2, 'other')`);
  await database.query('insert into journal_head (ledger_id) values (2)');
  const other = { id: 2, name: 'other' };
  const balance = newTransfer({ fromAccount: EXTERNAL, toAccount: 'ANN', amount: 7n });
  await threads.run([keyed('key', [newTransfer()])]);
  const report = await threads.run([
    { ...keyed('key', [balance], [newAccount('ANN')]), ledger: other },
    { ...unkeyed([newTransfer()]), ledger: other },
  ]);
  assert.deepEqual(
    [report.units, report.failureCodes, report.journalNumber],
    [null, [null, 'destination_not_found'], 1n],
  );
  const rows = await database.query(
    `select ledger_id, balance from accounts where account_number in ('ANN', '@external') order by ledger_id, balance`,
  );
  assert.deepEqual(rows, [
    { ledger_id: 1, balance: -100n },
    { ledger_id: 1, balance: 99n },
    { ledger_id: 2, balance: -7n },
    { ledger_id: 2, balance: 7n },
  ]);
  const [head] = await database.query(
    `select hash = chain_hash(decode(repeat('00', 32), 'hex'), 'other', 1, settled_at, 2, 2, digest) as same
     from journal
     where ledger_id = 2`,
  );
  assert.deepEqual(head, { same: true });
});
