// How units are gathered into jobs, and what happens to a job that fails, with threads that the test simulates.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MAIN_LEDGER } from '../../src/domain/ledger.ts';
import { toStoredUnit, toWaitingUnit } from '../../src/main/engine/unit.ts';
import { startDispatcher, turn } from '../support/fake-pool.ts';
import { newTransfer, settledReport } from '../support/jobs.ts';
import {
  BROKEN,
  group,
  idsOf,
  LOCKED,
  LOST,
  named,
  opening,
  OTHER_LEDGER,
  runsOf,
  start,
  stored,
  UNAVAILABLE,
  waiting,
} from './units.ts';

test('dispatcher: a job takes the waiting units, up to its size, and splits none', async () => {
  const { push, submit, pool } = await start({ jobSizeMax: 4 });
  push(stored(['first']));
  push(stored(['a', 'b', ...group('g', 3), ...group('h', 6), 'c', 'd']));
  submit(waiting(['w0', 'w1', 'w2']));
  submit(waiting(['x0', 'x1', 'x2', 'x3', 'x4']));
  submit(opening(['N0', 'N1']));
  submit(opening(['O0', 'O1', 'O2']));
  await pool.endAll();
  assert.deepEqual(
    pool.jobs.map((job) => [idsOf(job), job.units, job.openings.unit.length]),
    [
      ['first', [1], 0],
      ['a,b', [1, 1], 0],
      ['g0,g1,g2', [3], 0],
      ['h0,h1,h2,h3,h4,h5', [6], 0],
      ['c,d', [1, 1], 0],
      ['w0,w1,w2', [3], 0],
      ['x0,x1,x2,x3,x4', [5], 0],
      ['', [0], 2],
      ['', [0], 3],
    ],
  );
});

test('dispatcher: units of one iteration of the event loop share a job', async () => {
  const { push, submit, pool } = await start({ schedule: setImmediate });
  push(stored(['a']));
  push(stored(['b']));
  submit(waiting(['c']));
  await Promise.resolve();
  submit(waiting(['d']));
  assert.equal(pool.running.length, 0);
  await turn();
  assert.deepEqual(runsOf(pool.jobs), ['a,b,c,d']);
  submit(waiting(['e']));
  await pool.endAll();
  await turn();
  assert.deepEqual(runsOf(pool.jobs), ['a,b,c,d', 'e']);
});

test('dispatcher: a job bounds the bytes of its units', async () => {
  const { push, pool } = await start();
  push(stored(['first']));
  const metadata = { note: 'x'.repeat(1_500_000) };
  push(stored(['a', 'b', 'c', 'd'].map((id) => newTransfer({ id, metadata }))));
  await pool.endAll();
  assert.deepEqual(runsOf(pool.jobs), ['first', 'a,b', 'c,d']);
});

test('dispatcher: a broken job is bisected until the culprit is alone, which is quarantined; a group as a whole', async () => {
  const { push, pool } = await start();
  push(stored(['a', 'b', ...group('g', 3), 'c']));
  await pool.endAll((job) => (job.transfers.id.includes('g1') && job.mode === 'settle' ? BROKEN : null));
  assert.deepEqual(runsOf(pool.jobs), ['a,b,g0,g1,g2,c', 'a,b', 'g0,g1,g2,c', 'g0,g1,g2', 'c', 'g0,g1,g2 quarantined']);
});

test('dispatcher: only the broken unit ends as broken if it is not stored', async () => {
  const { push, submit, pool, admission } = await start();
  push(stored(['a']));
  const units = ['b', 'culprit', 'c', 'd'].map((id) => submit(waiting([id, `${id}1`])));
  await pool.endAll((job) => (job.transfers.id.includes('culprit') ? BROKEN : null));
  assert.deepEqual(
    units.map(({ result }) => result?.state),
    ['settled', 'poisoned', 'settled', 'settled'],
  );
  assert.ok(pool.jobs.every(({ mode }) => mode === 'settle'));
  assert.equal(admission.size, 0);
});

test('dispatcher: a transfer that cannot even be quarantined is retried alone, and delays no other', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { push, pool, dispatcher } = await start();
  push(stored(['culprit']));
  for (let jobs = 0; jobs < 2; jobs += 1) await pool.end(BROKEN);
  assert.deepEqual(runsOf(pool.jobs), ['culprit', 'culprit quarantined']);
  push(stored(['a']));
  await pool.end();
  assert.equal(pool.running.length, 0);
  assert.ok(dispatcher.has(named('culprit')));
  t.mock.timers.tick(2000);
  await pool.end();
  assert.deepEqual(runsOf(pool.jobs), ['culprit', 'culprit quarantined', 'a', 'culprit quarantined']);
  assert.ok(!dispatcher.has(named('culprit')));
});

test('dispatcher: a job that kills its thread is bisected, and a transfer that kills three alone is quarantined', async () => {
  const { push, pool } = await start();
  push(stored(['a', 'b', 'c']));
  while (pool.running.length > 0) {
    const { job } = pool.first;
    await (job.transfers.id.includes('b') && job.mode === 'settle' ? pool.die() : pool.end());
  }
  assert.deepEqual(runsOf(pool.jobs), ['a,b,c', 'a,b', 'c', 'a', 'b', 'b', 'b', 'b quarantined']);
});

test('dispatcher: suspects of one ledger run one at a time, concurrently with those of others', async () => {
  const { push, pool } = await start({ threads: 4 });
  push(stored(['a', 'b', 'c']));
  await pool.die();
  assert.deepEqual(runsOf(pool.running.map(({ job }) => job)), ['a,b']);
  push(stored(['d'], { ledger: OTHER_LEDGER }));
  assert.deepEqual(runsOf(pool.running.map(({ job }) => job)), ['a,b', 'd']);
  await pool.end();
  assert.deepEqual(runsOf(pool.running.map(({ job }) => job)), ['d', 'c']);
  await pool.endAll();
});

test('dispatcher: a suspect that waits for a lock delays no suspect of another ledger', async () => {
  const { push, pool } = await start({ threads: 4 });
  push([...stored(['a'], { adoptions: 1 }), ...stored(['b'], { adoptions: 2 })]);
  push([...stored(['c'], { adoptions: 1, ledger: OTHER_LEDGER })]);
  assert.deepEqual(runsOf(pool.running.map(({ job }) => job)), ['a', 'c']);
  await pool.endAll();
});

test('dispatcher: a suspect with a lock timeout yields to the others, and is tried once at a time', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { push, pool } = await start();
  push([...stored(['a'], { adoptions: 1 }), ...stored(['b'], { adoptions: 2 })]);
  await pool.end(LOCKED);
  await pool.end();
  t.mock.timers.tick(150);
  await pool.end();
  assert.deepEqual(
    pool.jobs.map((job) => [idsOf(job), job.retryMs]),
    [
      ['a', 0],
      ['b', 0],
      ['a', 0],
    ],
  );
});

test('dispatcher: a job with a lock timeout is retried later, and delays no other', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { submit, pool } = await start();
  const units = [submit(waiting(['a']))];
  for (const [again, delayMs] of [150, 300, 600].entries()) {
    await pool.end(LOCKED);
    units.push(submit(waiting([`same-${again}`])), submit(waiting([`other-${again}`], OTHER_LEDGER)));
    await pool.endAll();
    assert.deepEqual(runsOf(pool.jobs.slice(-3)), ['a', `same-${again}`, `other-${again}`]);
    t.mock.timers.tick(delayMs);
    await turn();
  }
  await pool.endAll();
  assert.deepEqual(new Set(units.map(({ result }) => result?.state)), new Set(['settled']));
});

test('dispatcher: a failing database pauses the jobs of all ledgers', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { submit, pool } = await start();
  submit(waiting(['a']));
  await pool.end(UNAVAILABLE);
  submit(waiting(['b'], OTHER_LEDGER));
  assert.equal(pool.running.length, 0);
  t.mock.timers.tick(150);
  await pool.endAll();
  assert.deepEqual(runsOf(pool.jobs), ['a', 'a', 'b']);
});

test('dispatcher: the end of the pool counts as no death, and nothing runs after stop', async () => {
  const { push, pool, dispatcher } = await start({ jobSizeMax: 1 });
  push(stored(['a', 'b']));
  dispatcher.stop();
  pool.first.die(new Error('Terminating worker thread'));
  await turn();
  assert.deepEqual(runsOf(pool.jobs), ['a']);
  assert.deepEqual([dispatcher.has(named('a')), dispatcher.has(named('b'))], [true, true]);
});

test('dispatcher: adopted transfers run in jobs of their own, the smaller the more processes died with them', async () => {
  const { push, pool } = await start({ jobSizeMax: 64 });
  const adopted = (adoptions: number, count: number) =>
    stored(
      Array.from({ length: count }, (_, index) => `${adoptions}-${index}`),
      { adoptions },
    );
  push([...adopted(1, 20), ...adopted(2, 5), ...adopted(3, 2), ...adopted(100, 2)]);
  await pool.endAll();
  const runs = pool.jobs.map(({ transfers, mode }) => `${transfers.id.length} ${mode}`);
  assert.deepEqual(runs, [
    '16 settle',
    '4 settle',
    '4 settle',
    '1 settle',
    '1 settle',
    '1 settle',
    '1 settle',
    '1 settle',
  ]);
});

test('dispatcher: a transfer is quarantined after six processes died while they tried it alone', async () => {
  const { push, pool } = await start({ jobSizeMax: 64 });
  push([...stored(['a'], { adoptions: 100, loneDeaths: 5 }), ...stored(['b'], { adoptions: 100, loneDeaths: 6 })]);
  await turn();
  await pool.endAll();
  assert.deepEqual(runsOf(pool.jobs), ['a', 'b quarantined']);
});

test('dispatcher: a trial of one transfer is recorded before its job, and its end if the job does not settle it', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { push, pool, trials } = await start({ jobSizeMax: 64 });
  push([...stored(['a', 'b'], { adoptions: 1 }), ...stored(['c'], { adoptions: 3 })]);
  assert.deepEqual(trials.events, []);
  await pool.end();
  assert.deepEqual([trials.events, runsOf(pool.running.map(({ job }) => job))], [['begin c'], ['c']]);
  await pool.die();
  await pool.end(LOCKED);
  assert.deepEqual(trials.events, ['begin c', 'end c', 'begin c', 'end c']);
  trials.error = new Error('locked');
  t.mock.timers.tick(150);
  await turn();
  assert.deepEqual([trials.events.at(-1), pool.running.length], ['begin c', 0], 'It does not run without a record.');
  trials.error = null;
  t.mock.timers.tick(300);
  await turn();
  await pool.endAll();
  assert.deepEqual(runsOf(pool.jobs), ['a,b', 'c', 'c', 'c']);
  assert.equal(trials.events.at(-1), 'begin c');
});

test('dispatcher: no other suspect of any ledger runs during a trial', async () => {
  const { push, pool } = await start({ threads: 4, jobSizeMax: 64 });
  push(stored(['a'], { adoptions: 1 }));
  push(stored(['trial'], { adoptions: 9, ledger: OTHER_LEDGER }));
  push(stored(['b'], { adoptions: 1, ledger: { id: 3, name: 'third' } }));
  push(stored(['c'], { ledger: { id: 4, name: 'fourth' } }));
  const running = () => runsOf(pool.running.map(({ job }) => job));
  assert.deepEqual(running(), ['a', 'c']);
  await pool.end();
  assert.deepEqual(running(), ['c', 'trial']);
  await pool.end();
  await pool.end();
  assert.deepEqual(running(), ['b']);
  await pool.endAll();
});

test('dispatcher: a caller that waits for several stored transfers waits until all have ended', async () => {
  const { push, pool, dispatcher } = await start({ jobSizeMax: 1 });
  push(stored(['a', 'b', 'c']));
  const waits = { all: ['a', 'b', 'unknown'], one: ['b'], late: ['a', 'c'] };
  const over = new Set<string>();
  for (const [name, ids] of Object.entries(waits))
    void dispatcher.waitFor(ids.map(named), 60_000).then(() => over.add(name));
  await pool.end();
  assert.deepEqual([...over], []);
  await pool.end();
  assert.deepEqual(over, new Set(['all', 'one']));
  await pool.end();
  assert.deepEqual(over, new Set(['all', 'one', 'late']));
});

test('dispatcher: a wait for stored transfers times out', async (t) => {
  const { push, pool, dispatcher } = await start({ jobSizeMax: 1 });
  push(stored(['a', 'b']));
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let over = false;
  void dispatcher.waitFor(['a', 'b'].map(named), 60).then(() => (over = true));
  await pool.end();
  assert.equal(over, false);
  // Timers are set by the mocked clock, and deadlines by the real one.
  await turn();
  const until = performance.now() + 70;
  while (performance.now() < until) await turn();
  t.mock.timers.tick(60);
  await turn();
  assert.equal(over, true);
});

test('dispatcher: each unit learns how its own transfers and accounts ended', async () => {
  const { submit, pool } = await start();
  submit(waiting(['first']));
  const units = [waiting(['a', 'b']), opening(['N']), waiting(['c']), opening(['O', 'P']), waiting(['d'])].map(submit);
  await pool.end();
  const { job } = pool.first;
  const report = settledReport(job, {
    units: ['settled', 'account_exists', 'replayed', 'settled', 'settled_elsewhere'],
  });
  const failureCodes = [null, 'insufficient_funds', null, null] as const;
  await pool.end({ ...report, failureCodes, amounts: [1n, 2n, null, null], currencies: ['USD', 'EUR', null, null] });
  const [first, second, third, fourth, fifth] = units.map(({ result }) => result);
  assert.ok(first?.state === 'settled' && fourth?.state === 'settled');
  assert.deepEqual(first.transfers, [
    { failureCode: null, currency: 'USD', amount: 1n },
    { failureCode: 'insufficient_funds', currency: 'EUR', amount: 2n },
  ]);
  assert.deepEqual(
    fourth.opened.map((account) => account?.accountNumber),
    ['O', 'P'],
  );
  assert.deepEqual(
    [second, third, fifth],
    [{ state: 'account_exists' }, { state: 'replayed' }, { state: 'settled_elsewhere' }],
  );
});

test('dispatcher: the number of each row of a journal is announced with its ledger', async () => {
  const { submit, pool, journaled } = await start();
  submit(waiting(['a']));
  submit(waiting(['b'], OTHER_LEDGER));
  await pool.end({ ...settledReport(pool.first.job), journalNumber: 7n });
  await pool.end({ ...settledReport(pool.first.job), journalNumber: null });
  assert.deepEqual(journaled, [{ ledger: 'main', number: 7n }]);
});

test('dispatcher: a stored unit in flight is not taken again', async () => {
  const { push, pool, admission } = await start();
  push(stored(['a', ...group('g', 2)]));
  push(stored(['a', ...group('g', 2), 'b']));
  assert.equal(admission.size, 4);
  await pool.endAll();
  assert.deepEqual(runsOf(pool.jobs), ['a,g0,g1', 'b']);
  assert.equal(admission.size, 0);
});

test('dispatcher: a withdrawn unit is in no later job', async () => {
  const { submit, pool, dispatcher } = await start();
  submit(waiting(['first']));
  const [a, b, c] = ['a', 'b', 'c'].map((id) => submit(waiting([id])));
  assert.ok(a && b && c);
  assert.equal(dispatcher.withdraw(b), true);
  assert.equal(dispatcher.withdraw(b), false);
  await pool.endAll();
  assert.deepEqual(runsOf(pool.jobs), ['first', 'a,c']);
  assert.deepEqual([b.state, b.result], ['withdrawn', null]);
});

test('dispatcher: a unit is not withdrawn from a running job, nor after it ended', async () => {
  const { submit, pool, dispatcher } = await start();
  const unit = submit(waiting(['a']));
  assert.equal(dispatcher.withdraw(unit), false);
  await pool.end();
  assert.equal(dispatcher.withdraw(unit), false);
});

test('dispatcher: a unit is withdrawn from a part of a job that was bisected, and the part runs without it', async () => {
  const { submit, pool, dispatcher } = await start();
  submit(waiting(['first']));
  const units = ['a', 'b', 'c', 'd'].map((id) => submit(waiting([id])));
  await pool.end();
  await pool.end(BROKEN);
  assert.equal(idsOf(pool.first.job), 'a,b');
  assert.deepEqual(
    units.map((unit) => dispatcher.withdraw(unit)),
    [false, false, true, true],
  );
  await pool.endAll();
  assert.deepEqual(runsOf(pool.jobs), ['first', 'a,b,c,d', 'a,b']);
});

test('dispatcher: a unit whose job was not run is withdrawn while the dispatcher pauses', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { submit, pool, dispatcher } = await start();
  const [a, b] = ['a', 'b'].map((id) => submit(waiting([id])));
  assert.ok(a && b);
  await pool.end(UNAVAILABLE);
  assert.equal(pool.running.length, 0, 'it pauses');
  assert.equal(dispatcher.withdraw(a), true);
  t.mock.timers.tick(10_000);
  await pool.endAll();
  assert.deepEqual(runsOf(pool.jobs), ['a', 'b']);
});

for (const { name, report } of [
  { name: 'answer was lost', report: LOST },
  { name: 'thread died', report: null },
]) {
  test(`dispatcher: a unit of a job whose ${name} is not withdrawn, and its next job checks whether it is settled`, async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const { submit, pool, dispatcher } = await start();
    submit(waiting(['first']));
    const units = ['a', 'b'].map((id) => submit(waiting([id])));
    await pool.end();
    await (report ? pool.end(report) : pool.die());
    assert.deepEqual(
      units.map((unit) => dispatcher.withdraw(unit)),
      [false, false],
    );
    t.mock.timers.tick(10_000);
    await pool.endAll();
    assert.deepEqual(
      pool.jobs.map(({ mayBeSettled }) => mayBeSettled),
      [false, false, ...pool.jobs.slice(2).map(() => true)],
    );
    assert.deepEqual(new Set(pool.jobs.slice(2).flatMap(({ transfers }) => transfers.id)), new Set(['a', 'b']));
  });
}

test('dispatcher: an answer lost by the thread leaves the outcome of existing accounts unknown', async () => {
  const { submit, pool } = await start();
  for (const answerLost of [false, true]) {
    const unit = submit(opening(['N']));
    await pool.end({ ...settledReport(pool.first.job, { units: ['account_exists'] }), answerLost });
    assert.deepEqual([unit.result, unit.mayBeSettled], [{ state: 'account_exists' }, answerLost]);
  }
});

test('dispatcher: a caller learns that its unit left a running job, and later that it ended', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { submit, pool } = await start();
  const unit = submit(waiting(['a']));
  let ends = 0;
  void unit.change(Infinity).then(() => (ends += 1));
  await pool.end(LOST);
  assert.equal(ends, 1, 'its caller learns that the job is over');
  assert.deepEqual([unit.state, unit.result], ['queued', null]);
  t.mock.timers.tick(10_000);
  await pool.end();
  assert.equal(unit.result?.state, 'settled');
});

test('dispatcher: a flooded ledger delays the first job of another by one job at most', async () => {
  const { push, submit, pool } = await start({ jobSizeMax: 10 });
  push(stored(Array.from({ length: 1000 }, (_, index) => `flood-${index}`)));
  submit(waiting(['other'], OTHER_LEDGER));
  for (let jobs = 0; jobs < 2; jobs += 1) await pool.end();
  assert.equal(idsOf(pool.first.job), 'other');
});

test('dispatcher: a flooded ledger leaves idle threads to another', async () => {
  const { push, submit, pool } = await start({ threads: 2, jobSizeMax: 10 });
  push(stored(Array.from({ length: 1000 }, (_, index) => `flood-${index}`)));
  submit(waiting(['other'], OTHER_LEDGER));
  assert.deepEqual(
    pool.running.map(({ job }) => job.ledger.name),
    ['main', 'other'],
  );
});

test('dispatcher: ledgers with waiting transfers take turns, and each job is of one', async () => {
  const { push, pool } = await start({ jobSizeMax: 2 });
  const ledgers = [1, 2, 3].map((id) => ({ id, name: `ledger-${id}` }));
  for (const ledger of ledgers)
    push(
      stored(
        Array.from('abcdef').map((name) => `${ledger.id}${name}`),
        { ledger },
      ),
    );
  await pool.endAll();
  assert.deepEqual(runsOf(pool.jobs), [
    '1a,1b',
    '1c,1d',
    '2a,2b',
    '3a,3b',
    '1e,1f',
    '2c,2d',
    '3c,3d',
    '2e,2f',
    '3e,3f',
  ]);
  assert.ok(pool.jobs.every((job) => job.transfers.id.every((id) => id.startsWith(String(job.ledger.id)))));
});

test('dispatcher: a job that takes four times as long as others does not keep its ledger waiting', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { submit, pool } = await start({ threads: 2 });
  submit(waiting(['a']));
  submit(waiting(['b']));
  t.mock.timers.tick(199);
  assert.equal(pool.running.length, 1, 'jobs of a ledger run alone at first');
  t.mock.timers.tick(1);
  assert.equal(pool.running.length, 2);
  await pool.endAll();
});

test('dispatcher: a single ledger whose jobs wait for locks leaves one thread to the first other ledger', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { push, submit, pool } = await start({ threads: 4, jobSizeMax: 2 });
  push(stored(Array.from({ length: 20 }, (_, index) => `flood-${index}`)));
  for (let stalled = 0; stalled < 5; stalled += 1) t.mock.timers.tick(200);
  assert.equal(pool.running.length, 3);
  submit(waiting(['other'], OTHER_LEDGER));
  assert.equal(pool.running.at(-1)?.job.ledger.name, 'other');
  await pool.endAll();
});

test('dispatcher: parts of a job that wait for locks leave threads to another ledger', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { push, submit, pool } = await start({ threads: 4 });
  submit(waiting(['first'], OTHER_LEDGER));
  push(stored(['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']));
  await pool.end();
  // Down to jobs of one, all of which wait for locks.
  await pool.endAll((job) => (job.transfers.id.length > 1 ? BROKEN : LOCKED));
  t.mock.timers.tick(150);
  assert.equal(pool.running.length, 2);
  submit(waiting(['other'], OTHER_LEDGER));
  assert.equal(pool.running.at(-1)?.job.ledger.name, 'other');
  await pool.endAll();
});

test('dispatcher: a dry run is always a job of its own', async () => {
  const { submit, pool, dispatcher } = await start();
  submit(waiting(['a']));
  const tried = dispatcher.dryRun(waiting(['b']));
  assert.deepEqual(
    pool.jobs.map(({ mode }) => mode),
    ['settle', 'dry run'],
  );
  await pool.endAll();
  assert.equal((await tried).result, 'settled');
});

test('dispatcher: while the database is unreachable, units that are not stored end as unavailable', async () => {
  const { dispatcher, admission, pool } = await startDispatcher();
  const [waiting, pending] = [toWaitingUnit(MAIN_LEDGER, [newTransfer({ id: 'a' })], null), stored(['b'])];
  for (const unit of [waiting, ...pending]) assert.ok(admission.tryAdmit(1, unit.bytes));
  const queued = dispatcher.submit(waiting);
  dispatcher.push(pending);
  await pool.end({ ...UNAVAILABLE, trouble: 'out of reach' });
  assert.equal(queued.result?.state, 'unavailable');
  assert.equal(admission.size, 1, 'What is stored stays.');
});

test('dispatcher: while the database is unreachable, a unit with a lost answer is marked at once', async () => {
  const { dispatcher, admission, pool } = await startDispatcher();
  const unit = toWaitingUnit(MAIN_LEDGER, [newTransfer({ id: 'a' })], null);
  assert.ok(admission.tryAdmit(1, unit.bytes));
  const queued = dispatcher.submit(unit);
  await pool.end({ ...UNAVAILABLE, mayBeSettled: true, trouble: 'out of reach' });
  assert.deepEqual([queued.result, queued.isLost, dispatcher.withdraw(queued)], [null, true, false]);
});

test('dispatcher: a stored request is settled as a whole, and in parts once it breaks its job', async () => {
  const { dispatcher, admission, pool } = await startDispatcher();
  const members = [0, 1, 2].map((position) =>
    newTransfer({ id: `m${position}`, group: { id: 'request', position, atomic: false } }),
  );
  const unit = toStoredUnit(toWaitingUnit(MAIN_LEDGER, members, null), 1n);
  assert.ok(admission.tryAdmit(3, unit.bytes));
  dispatcher.push([unit]);
  const place = { id: 'm1', group: { id: 'request' } };
  assert.deepEqual([pool.first.job.units, dispatcher.has(place), dispatcher.has(named('m1'))], [[3], true, false]);
  await pool.end(BROKEN);
  assert.deepEqual([pool.first.job.units, dispatcher.has(place), dispatcher.has(named('m1'))], [[1, 1, 1], true, true]);
  // In halves, until m1 is alone; it is then quarantined.
  const quarantined: string[] = [];
  await pool.endAll((job) => {
    if (job.mode === 'quarantine') quarantined.push(...job.transfers.id);
    return job.mode === 'settle' && job.transfers.id.includes('m1') ? BROKEN : null;
  });
  assert.deepEqual([quarantined, admission.size, dispatcher.has(place)], [['m1'], 0, false]);
  assert.equal(await dispatcher.drain(1), true);
});
