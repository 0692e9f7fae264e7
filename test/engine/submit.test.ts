// Goal: no answer reports a transfer or an account that a crash could lose. Method: the test plants each moment at
// which a wait can end, with simulated threads, a real intake and a real database.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import type { JobReport } from '../../src/domain/job.ts';
import { MAIN_LEDGER } from '../../src/domain/ledger.ts';
import { BY_SERVICE, type IdempotencyKey, type NewTransfer } from '../../src/domain/transfer.ts';
import { open, submit, tryOut } from '../../src/main/engine/engine.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { type StartedEngine, startEngine } from '../support/engine.ts';
import { turn } from '../support/fake-pool.ts';
import { newAccount, newGroup, newTransfer, settledReport } from '../support/jobs.ts';
import { until } from '../support/until.ts';

const BROKEN: JobReport = { result: 'poisoned', reason: 'culprit', sqlState: '22P02' };
const UNAVAILABLE = {
  result: 'unavailable',
  reason: 'away',
  sqlState: null,
  mayBeSettled: false,
  trouble: 'database',
} as const;
const LOST: JobReport = { ...UNAVAILABLE, mayBeSettled: true };
const WAIT_MS = 50;

let database: TestDatabase;

before(async (scope) => {
  database = await createDatabase(scope);
});

type Options = { waitMs?: number | null; idempotency?: IdempotencyKey | null };

function submitTo({ engine }: StartedEngine, transfers: readonly NewTransfer[], options: Options = {}) {
  const { waitMs = WAIT_MS, idempotency = null } = options;
  return submit(engine, { ledger: MAIN_LEDGER, caller: 'caller', idempotency, transfers, waitMs });
}

/** Opens an account in an engine whose callers wait 50 ms. */
function openIn({ engine }: StartedEngine, accountNumber: string, idempotency: IdempotencyKey | null = null) {
  const accounts = [newAccount(accountNumber)];
  const requestId = 'request';
  return open(engine, {
    ledger: MAIN_LEDGER,
    caller: 'caller',
    requestId,
    by: BY_SERVICE,
    idempotency,
    accounts,
    transfers: [],
  });
}

function key(name: string, request = name): IdempotencyKey {
  return { key: name, fingerprint: Buffer.alloc(32, request) };
}

/** Which of these transfers are in the intake log. */
async function pendingOf(transfers: readonly NewTransfer[]): Promise<string[]> {
  const rows = await database.query<{ id: string }>('select id from pending_transfers where id = any($1::uuid[])', [
    transfers.map(({ id }) => id),
  ]);
  return rows.map(({ id }) => id);
}

/** An engine whose only thread is busy, so that later submissions are queued. */
async function startBusy(t: Parameters<typeof startEngine>[0]): Promise<StartedEngine> {
  const started = await startEngine(t, database);
  void submitTo(started, [newTransfer()], { waitMs: 60_000 });
  await turn();
  assert.equal(started.pool.running.length, 1);
  return started;
}

/** Waits for longer than a caller does. */
async function outwait(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, WAIT_MS + 20));
}

async function isOver(answer: Promise<unknown>): Promise<boolean> {
  let over = false;
  void answer.then(() => (over = true));
  await turn();
  return over;
}

for (const waitMs of [null, 0]) {
  test(`submit: a caller that waits ${waitMs ?? 'not at all'} is answered once its transfers are stored`, async (t) => {
    const started = await startBusy(t);
    const group = newGroup(3);
    const answer = await submitTo(started, group, { waitMs });
    assert.ok('transfers' in answer);
    assert.deepEqual(
      answer.transfers.map(({ status }) => status),
      ['pending', 'pending', 'pending'],
    );
    assert.equal((await pendingOf(group)).length, 3);
  });
}

test('submit: a waiting caller gets the outcome of its transfer, which is never stored as pending', async (t) => {
  const started = await startEngine(t, database);
  const transfer = newTransfer();
  const answer = submitTo(started, [transfer]);
  await turn();
  assert.deepEqual(await pendingOf([transfer]), []);
  assert.equal(await isOver(answer), false);
  await started.pool.end();
  const submitted = await answer;
  assert.ok('transfers' in submitted);
  assert.equal(submitted.transfers[0]?.status, 'completed');
  assert.equal(started.engine.admission.size, 0);
});

test('submit: a wait that ends while the transfer is queued stores it, and only the stored one is settled', async (t) => {
  const started = await startBusy(t);
  const transfer = newTransfer();
  const answer = await submitTo(started, [transfer]);
  assert.ok('transfers' in answer);
  assert.equal(answer.transfers[0]?.status, 'pending');
  assert.deepEqual(await pendingOf([transfer]), [transfer.id]);
  await started.pool.endAll();
  const jobs = started.pool.jobs.filter(({ transfers }) => transfers.id.includes(transfer.id));
  assert.equal(jobs.length, 1);
  assert.notEqual(jobs[0]?.transfers.storedAtMicros, null);
  assert.equal(started.engine.admission.size, 0);
});

test('submit: a wait that ends while the job runs is answered with the end of the job', async (t) => {
  const started = await startEngine(t, database);
  const answer = submitTo(started, [newTransfer()]);
  await outwait();
  assert.equal(await isOver(answer), false);
  await started.pool.end(settledReport(started.pool.first.job, { failureCode: 'insufficient_funds' }));
  const submitted = await answer;
  assert.ok('transfers' in submitted);
  const [transfer] = submitted.transfers;
  assert.deepEqual([transfer?.status, transfer?.failureCode], ['failed', 'insufficient_funds']);
});

test('submit: a wait that ended while a job ran that was rolled back stores the transfer', async (t) => {
  const started = await startEngine(t, database);
  const transfer = newTransfer();
  const answer = submitTo(started, [transfer]);
  await outwait();
  await started.pool.end(UNAVAILABLE);
  const submitted = await answer;
  assert.ok('transfers' in submitted);
  assert.equal(submitted.transfers[0]?.status, 'pending');
  assert.deepEqual(await pendingOf([transfer]), [transfer.id]);
});

for (const { name, end } of [
  { name: 'whose commit was not answered', end: async ({ pool }: StartedEngine) => await pool.end(LOST) },
  { name: 'whose thread died', end: async ({ pool }: StartedEngine) => await pool.die() },
]) {
  for (const moment of ['before', 'after']) {
    test(`submit: a wait that ends ${moment} a job ${name} leaves the outcome unknown, and stores nothing`, async (t) => {
      const started = await startEngine(t, database);
      const group = newGroup(2);
      const answer = submitTo(started, group);
      if (moment === 'before') await outwait();
      else await turn();
      await end(started);
      // A part of a job of a dead thread runs at once; its report arrives before the caller's answer.
      if (moment === 'before' && started.pool.running.length > 0) await started.pool.end(LOST);
      if (moment === 'after') {
        assert.equal(await isOver(answer), false);
        if (started.pool.running.length > 0) {
          await outwait();
          await started.pool.end(LOST);
        }
      }
      assert.deepEqual(await answer, { refused: 'outcome_unknown', namedId: group[0]?.group?.id });
      assert.deepEqual(await pendingOf(group), []);
      await until(() => started.pool.running.length > 0, { what: 'the job to run again' });
      assert.equal(started.pool.first.job.mayBeSettled, true);
    });
  }
}

test('submit: a job that settles after a lost answer, within the wait, is the answer', async (t) => {
  const started = await startEngine(t, database);
  const answer = submitTo(started, [newTransfer()], { waitMs: 60_000 });
  await turn();
  await started.pool.end(LOST);
  await until(() => started.pool.running.length > 0, { what: 'the job to run again' });
  await started.pool.end();
  const submitted = await answer;
  assert.ok('transfers' in submitted && submitted.transfers[0]?.status === 'completed');
});

test('submit: a transfer that was settled by a job whose answer was lost is read back, or its outcome is unknown', async (t) => {
  const started = await startBusy(t);
  const stored = newTransfer();
  await submitTo(started, [stored], { waitMs: null });
  for (const transfer of [stored, newTransfer()]) {
    const again = await startEngine(t, database);
    const answer = submitTo(again, [transfer]);
    await turn();
    await again.pool.end(settledReport(again.pool.first.job, { units: ['settled_elsewhere'] }));
    const submitted = await answer;
    if (transfer === stored) assert.ok('transfers' in submitted && submitted.transfers[0]?.id === stored.id);
    else assert.deepEqual(submitted, { refused: 'outcome_unknown', namedId: transfer.id });
  }
});

test('submit: a transfer that breaks its job is refused, and not stored', async (t) => {
  const started = await startEngine(t, database);
  const transfer = newTransfer();
  const answer = submitTo(started, [transfer]);
  await turn();
  await started.pool.end(BROKEN);
  assert.deepEqual(await answer, { refused: 'poisoned' });
  assert.deepEqual(await pendingOf([transfer]), []);
  assert.equal(started.engine.admission.size, 0);
});

test('submit: a transfer that ends three threads, perhaps after a commit, has an unknown outcome', async (t) => {
  const started = await startEngine(t, database);
  const transfer = newTransfer();
  const answer = submitTo(started, [transfer], { waitMs: 60_000 });
  await turn();
  for (let deaths = 0; deaths < 3; deaths += 1) await started.pool.die();
  assert.deepEqual(await answer, { refused: 'outcome_unknown', namedId: transfer.id });
  assert.equal(started.engine.admission.size, 0);
});

test('submit: a wait that ends without an intake is refused, and nothing is stored or settled', async (t) => {
  const started = await startBusy(t);
  const transfer = newTransfer();
  const answer = submitTo(started, [transfer]);
  await turn();
  await started.proxy.refuse();
  assert.deepEqual(await answer, { refused: 'unavailable' });
  assert.deepEqual(await pendingOf([transfer]), []);
  await started.pool.endAll();
  assert.ok(!started.pool.jobs.some(({ transfers }) => transfers.id.includes(transfer.id)));
  assert.equal(started.engine.admission.size, 0);
  assert.deepEqual(await submitTo(started, [transfer]), { refused: 'unavailable' }, 'nor is anything admitted');
});

test('submit: a wait that ends with an intake whose answer is lost is answered once the transfer is found', async (t) => {
  const started = await startBusy(t);
  const transfer = newTransfer();
  const lost = started.proxy.loseCommit();
  const answer = submitTo(started, [transfer]);
  await lost;
  const submitted = await answer;
  assert.ok('transfers' in submitted && submitted.transfers[0]?.status === 'pending');
  assert.deepEqual(await pendingOf([transfer]), [transfer.id]);
});

test('submit: a wait that ends with an intake that is gone after a lost answer leaves the outcome unknown', async (t) => {
  const started = await startBusy(t);
  const transfer = newTransfer();
  const lost = started.proxy.loseCommit();
  const answer = submitTo(started, [transfer]);
  await lost;
  await started.proxy.refuse();
  assert.deepEqual(await answer, { refused: 'outcome_unknown', namedId: transfer.id });
  assert.deepEqual(await pendingOf([transfer]), [transfer.id], 'it is stored');
  assert.equal(started.engine.admission.size, 1);
});

test('submit: a key that another process claims during the wait answers with its transfer, or refuses the key', async (t) => {
  const started = await startBusy(t);
  const rival = await startBusy(t);
  const winner = newTransfer();
  const [same, other] = [newTransfer(), newTransfer()];
  const answers = [
    submitTo(started, [same], { idempotency: key('raced') }),
    submitTo(started, [other], { idempotency: key('raced', 'another request') }),
  ];
  await submitTo(rival, [winner], { idempotency: key('raced'), waitMs: null });
  const [replayed, refused] = await Promise.all(answers);
  assert.ok(replayed && 'transfers' in replayed && replayed.replayed);
  assert.deepEqual(
    replayed.transfers.map(({ id }) => id),
    [winner.id],
  );
  assert.ok(refused && 'refused' in refused && refused.refused === 'key_reused');
  assert.deepEqual(await pendingOf([same, other]), []);
  assert.equal(started.engine.admission.size, 1);
});

test('submit: a key that a job finds taken answers with the earlier transfer, or outcome_unknown if it cannot be read', async (t) => {
  const started = await startEngine(t, database);
  const rival = await startBusy(t);
  const winner = newTransfer();
  await submitTo(rival, [winner], { idempotency: key('taken'), waitMs: null });
  for (const name of ['taken', 'unknown']) {
    const answer = submitTo(started, [newTransfer()], { idempotency: key(name) });
    await turn();
    await started.pool.end(settledReport(started.pool.first.job, { units: ['replayed'] }));
    const submitted = await answer;
    if (name === 'taken') assert.ok('transfers' in submitted && submitted.transfers[0]?.id === winner.id);
    else assert.equal('refused' in submitted && submitted.refused, 'outcome_unknown');
    assert.equal(started.engine.admission.size, 0);
  }
});

test('submit: a full queue refuses, but not the answer to an earlier request', async (t) => {
  const started = await startEngine(t, database, { maxQueue: 2 });
  const earlier = newTransfer();
  await submitTo(started, [earlier], { idempotency: key('earlier'), waitMs: null });
  void submitTo(started, [newTransfer()], { waitMs: 60_000 });
  assert.deepEqual(await submitTo(started, [newTransfer()]), { refused: 'queue_full', retryAfterSeconds: 1 });
  assert.deepEqual(await submitTo(started, newGroup(3)), { refused: 'too_large', max: 2 });
  const replayed = await submitTo(started, [newTransfer()], { idempotency: key('earlier'), waitMs: null });
  assert.ok('transfers' in replayed && replayed.replayed && replayed.transfers[0]?.id === earlier.id);
  const reused = await submitTo(started, [newTransfer()], { idempotency: key('earlier', 'other') });
  assert.ok('refused' in reused && reused.refused === 'key_reused');
});

test('submit: a dry run is answered without a number in the journal, and its admission is released', async (t) => {
  const started = await startEngine(t, database);
  const reports: (JobReport | null)[] = [null, BROKEN, UNAVAILABLE];
  const answers: unknown[] = [];
  for (const report of reports) {
    const tried = tryOut(started.engine, {
      ledger: MAIN_LEDGER,
      caller: 'caller',
      idempotency: null,
      transfers: [newTransfer()],
      waitMs: null,
    });
    assert.equal(started.engine.admission.size, 1);
    await started.pool.end(report ?? undefined);
    const answer = await tried;
    answers.push('transfers' in answer ? answer.transfers[0]?.journalNumber : answer.refused);
    assert.equal(started.engine.admission.size, 0);
  }
  assert.deepEqual(answers, [null, 'poisoned', 'unavailable']);
});

test('open: an account is answered once its job has committed', async (t) => {
  const started = await startEngine(t, database);
  const answer = openIn(started, 'NEW');
  await outwait();
  assert.equal(await isOver(answer), false);
  await started.pool.end();
  const opened = await answer;
  assert.ok('opened' in opened && opened.opened?.[0]?.accountNumber === 'NEW');
});

test('open: a wait that ends while the account is queued is refused, and the account is not opened', async (t) => {
  const started = await startBusy(t);
  assert.deepEqual(await openIn(started, 'NEW'), { refused: 'unavailable' });
  await started.pool.endAll();
  assert.ok(started.pool.jobs.every(({ openings }) => openings.unit.length === 0));
  assert.equal(started.engine.admission.size, 0);
});

test('open: an account that exists is refused, unless this request may have opened it', async (t) => {
  const started = await startEngine(t, database, { waitTimeoutMs: 60_000 });
  const exists = () => settledReport(started.pool.first.job, { units: ['account_exists'] });
  const plain = openIn(started, 'NEW');
  await turn();
  await started.pool.end(exists());
  assert.deepEqual(await plain, { refused: 'account_exists' });

  const lostInThread = openIn(started, 'NEW');
  await turn();
  await started.pool.end({ ...exists(), answerLost: true });
  assert.deepEqual(await lostInThread, { refused: 'outcome_unknown', namedId: 'NEW' });

  const lost = openIn(started, 'NEW');
  await turn();
  await started.pool.end(LOST);
  await until(() => started.pool.running.length > 0, { what: 'the job to run again' });
  await started.pool.end(exists());
  assert.deepEqual(await lost, { refused: 'outcome_unknown', namedId: 'NEW' });
});

test('open: a job that settled elsewhere has opened the account', async (t) => {
  const started = await startEngine(t, database);
  const answer = openIn(started, 'NEW');
  await turn();
  await started.pool.end(settledReport(started.pool.first.job, { units: ['settled_elsewhere'] }));
  assert.deepEqual(await answer, { opened: null });
});

test('open: a wait that ends after a lost answer leaves the outcome unknown', async (t) => {
  const started = await startEngine(t, database);
  const answer = openIn(started, 'NEW');
  await turn();
  await started.pool.end(LOST);
  assert.deepEqual(await answer, { refused: 'outcome_unknown', namedId: 'NEW' });
});

test('open: an account that breaks its job is refused; one that ends three threads has an unknown outcome', async (t) => {
  const started = await startEngine(t, database, { waitTimeoutMs: 60_000 });
  const broken = openIn(started, 'NEW');
  await turn();
  await started.pool.end(BROKEN);
  assert.deepEqual(await broken, { refused: 'poisoned' });
  const killer = openIn(started, 'NEW');
  await turn();
  for (let deaths = 0; deaths < 3; deaths += 1) await started.pool.die();
  assert.deepEqual(await killer, { refused: 'outcome_unknown', namedId: 'NEW' });
});
