// Two processes that take each other for dead. Method: the test holds both leases until both adoptions wait for one.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { createPool, READING_TIMEOUTS } from '../../src/db/connection/connect.ts';
import {
  adoptPage,
  closeLease,
  LeaseLostError,
  observeLeases,
  openLease,
  renewLease,
} from '../../src/db/ledger/leases.ts';
import { onEnd } from '../support/cleanup.ts';
import { createDatabase } from '../support/database.ts';
import { until } from '../support/until.ts';

const BOUNDS = { countMax: 10, bytesMax: 1_000_000, skippedLedgers: [] };
const observed = (id: string) => ({ id, beat: 1n, ended: false, late: true });

test('leases: two adoptions from each other wait in one order, and one of them finds its own lease lost', async (t) => {
  const database = await createDatabase(t);
  const pool = createPool(database.settings, READING_TIMEOUTS, 2);
  onEnd(t, async () => await pool.end());
  const [one, two] = [await openLease(pool, randomUUID()), await openLease(pool, randomUUID())];
  const holder = await database.connect();
  await holder.query('begin');
  await holder.query('select from leases for update');
  const adoptions = Promise.allSettled([
    adoptPage(pool, one, observed(two.id), BOUNDS),
    adoptPage(pool, two, observed(one.id), BOUNDS),
  ]);
  await until(
    async () => {
      const waiting = await database.query(
        `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
      );
      return waiting.length === 2;
    },
    { what: 'both adoptions to wait' },
  );
  await holder.query('rollback');
  const ended = (await adoptions).map((result) => (result.status === 'rejected' ? result.reason : result.value));
  const lost = ended.filter((result) => result instanceof LeaseLostError);
  assert.deepEqual(
    ended.filter((result) => !(result instanceof LeaseLostError)),
    [null],
    String(ended),
  );
  assert.equal(lost.length, 1);
});

test('leases: a renewal ends the session, so that what was sent before stores nothing', async (t) => {
  const database = await createDatabase(t);
  const pool = createPool(database.settings, READING_TIMEOUTS, 1);
  onEnd(t, async () => await pool.end());
  const first = await openLease(pool, randomUUID());
  const second = await renewLease(pool, first.id);
  assert.deepEqual(second, { id: first.id, session: 2 });
  await assert.rejects(adoptPage(pool, first, observed(randomUUID()), BOUNDS), LeaseLostError);
  await database.query('update leases set closed = true');
  assert.equal(await renewLease(pool, first.id), null);
});

test('leases: a death counts for each transfer that is left, and a stop in good order for none', async (t) => {
  const database = await createDatabase(t);
  const pool = createPool(database.settings, READING_TIMEOUTS, 1);
  onEnd(t, async () => await pool.end());
  const [own, dead, stopped] = [
    await openLease(pool, randomUUID()),
    await openLease(pool, randomUUID()),
    await openLease(pool, randomUUID()),
  ];
  await database.query(
    `insert into pending_transfers (ledger_id, id, lease_id, amount, from_account, to_account)
     select 1, gen_random_uuid(), lease_id, 1, 'ANN', 'BOB'
     from unnest($1::uuid[]) as lease (lease_id)
     cross join generate_series(1, 2)`,
    [[dead.id, stopped.id]],
  );
  await closeLease(pool, stopped.id);
  const adoptions = new Map<string, (number | undefined)[]>([
    [dead.id, []],
    [stopped.id, []],
  ]);
  // Each look may be that of another process, long after the first.
  for (let look = 0; look < 2; look += 1) {
    for (const orphan of await observeLeases(pool, own.id, 60_000)) {
      const page = await adoptPage(pool, own, orphan, { ...BOUNDS, countMax: 1 });
      adoptions.get(orphan.id)?.push(page?.[0]?.adoptions);
    }
  }
  assert.deepEqual(
    [...adoptions.values()],
    [
      [1, 1],
      [0, 0],
    ],
  );
});
