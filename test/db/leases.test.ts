// Two processes that presume each other dead. Method: the test holds both leases until both adoptions wait for one.
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
import { beginTrial, endTrial } from '../../src/db/ledger/trials.ts';
import { MAIN_LEDGER } from '../../src/domain/ledger.ts';
import { onEnd } from '../support/cleanup.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { until } from '../support/until.ts';

const BOUNDS = { countMax: 10, bytesMax: 1_000_000, skippedLedgers: [] };
const observed = (id: string) => ({ id, beat: 1n, ended: false, late: true });

test('leases: two processes that adopt from each other do not deadlock, and one finds its lease lost', async (t) => {
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
    [{ closed: true, page: null }],
    String(ended),
  );
  assert.equal(lost.length, 1);
});

test('leases: a renewal ends the former session, so that its statements store nothing', async (t) => {
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

test('leases: a death counts for each remaining transfer, and a clean stop for none', async (t) => {
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
  // Each check may be that of another process, long after the first.
  for (let look = 0; look < 2; look += 1) {
    for (const orphan of await observeLeases(pool, own.id, 60_000)) {
      const { page } = await adoptPage(pool, own, orphan, { ...BOUNDS, countMax: 1 });
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

/** Stores a transfer from ANN to BOB under a lease. */
async function addPending(database: TestDatabase, leaseId: string) {
  const transfer = { id: randomUUID(), fromAccount: 'ANN', toAccount: 'BOB' };
  await database.query(
    `insert into pending_transfers (ledger_id, id, lease_id, amount, from_account, to_account)
     values (1, $1, $2, 1, 'ANN', 'BOB')`,
    [transfer.id, leaseId],
  );
  return transfer;
}

test('leases: only the death of a process that was trying a transfer alone counts as one', async (t) => {
  const database = await createDatabase(t);
  const pool = createPool(database.settings, READING_TIMEOUTS, 1);
  onEnd(t, async () => await pool.end());
  let holder = await openLease(pool, randomUUID());
  const transfer = await addPending(database, holder.id);
  const counted: unknown[] = [];
  /** The holder ends, and the next one adopts. */
  const adopt = async () => {
    const next = await openLease(pool, randomUUID());
    for (const orphan of await observeLeases(pool, next.id, 60_000)) {
      const { page } = await adoptPage(pool, next, orphan, BOUNDS);
      if (page) counted.push(page.map(({ adoptions, loneDeaths }) => [adoptions, loneDeaths]).flat());
    }
    holder = next;
  };
  await adopt();
  await beginTrial(pool, MAIN_LEDGER, [transfer]);
  await adopt();
  await beginTrial(pool, MAIN_LEDGER, [transfer]);
  await endTrial(pool, MAIN_LEDGER, [transfer]);
  await adopt();
  await beginTrial(pool, MAIN_LEDGER, [transfer]);
  await closeLease(pool, holder.id);
  await adopt();
  await adopt();
  assert.deepEqual(counted, [
    [1, 0],
    [2, 1],
    [3, 1],
    [3, 1],
    [4, 1],
  ]);
});

test('leases: a trial does not begin while an account is locked', async (t) => {
  const database = await createDatabase(t);
  const pool = createPool(database.settings, READING_TIMEOUTS, 1);
  onEnd(t, async () => await pool.end());
  const transfer = await addPending(database, (await openLease(pool, randomUUID())).id);
  await database.query(
    `insert into accounts (ledger_id, account_number, currency)
     values (1, 'ANN', 'USD'), (1, 'BOB', 'USD')`,
  );
  const locker = await database.connect();
  await locker.query(`begin; select from accounts where account_number = 'BOB' for update`);
  await assert.rejects(beginTrial(pool, MAIN_LEDGER, [transfer]), { code: '55P03' });
  const onTrial = async () => await database.query('select from pending_transfers where on_trial');
  assert.equal((await onTrial()).length, 0);
  await locker.query('rollback');
  await beginTrial(pool, MAIN_LEDGER, [transfer]);
  assert.equal((await onTrial()).length, 1);
});
