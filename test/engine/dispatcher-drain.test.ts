// The end of a dispatcher: it drains.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BROKEN, idsOf, start, stored, UNAVAILABLE, waiting } from './units.ts';

test('dispatcher: drain resolves when nothing is in flight, and not before', async () => {
  const { submit, push, pool, dispatcher } = await start();
  assert.equal(await dispatcher.drain(0), true, 'nothing was');
  push(stored(['a']));
  const unit = submit(waiting(['b']));
  const culprit = submit(waiting(['c']));
  let drained: boolean | null = null;
  void dispatcher.drain(60_000).then((result) => (drained = result));
  await pool.end();
  assert.equal(drained, null);
  await pool.end(BROKEN);
  assert.equal(idsOf(pool.first.job), 'b');
  await pool.end();
  assert.equal(unit.result?.state, 'settled');
  assert.equal(drained, null);
  await pool.end(BROKEN);
  assert.equal(culprit.result?.state, 'poisoned');
  assert.equal(drained, true);
});

test('dispatcher: drain resolves when the last unit is withdrawn', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { submit, pool, dispatcher } = await start();
  const unit = submit(waiting(['a']));
  await pool.end(UNAVAILABLE);
  const drained = dispatcher.drain(60_000);
  assert.equal(dispatcher.withdraw(unit), true);
  t.mock.timers.tick(60_000);
  assert.equal(await drained, true);
});

test('dispatcher: drain times out', async () => {
  const { push, dispatcher } = await start();
  push(stored(['a']));
  assert.equal(await dispatcher.drain(1), false);
});
