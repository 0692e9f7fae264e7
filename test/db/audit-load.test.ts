// Goal: an audit in many snapshots beside a running service finds nothing, whatever changes between two snapshots. Its
// snapshots stay short, and an audit that is interrupted goes on.
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import type { Course } from '../../src/db/audit/course.ts';
import type { Progress } from '../../src/db/audit/many.ts';
import { readBatches } from '../../src/db/audit/cursor.ts';
import { type SnapshotLimits, type Snapshots, withSnapshots } from '../../src/db/audit/snapshots.ts';
import { READING_TIMEOUTS } from '../../src/db/connection/connect.ts';
import { onEnd } from '../support/cleanup.ts';
import { type Findings, findInSlices } from '../support/audit.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { IDS, writeLedger } from '../support/sample-ledgers.ts';
import { checkPromises } from '../support/promises/check.ts';
import { startService } from '../support/service.ts';
import { startVariedLoad } from '../support/varied-load.ts';

const SERVICE_ENV = { LOG_LEVEL: 'warn', MAX_QUEUE: '20000' };
/** So few items that every audit has dozens of snapshots. */
const SMALL: SnapshotLimits = { jobs: 3, snapshotMaxMs: 60_000, itemsMax: 50 };
const AUDITS = 4;

async function inSnapshots<Result>(
  t: TestContext,
  database: TestDatabase,
  limits: SnapshotLimits,
  work: (snapshots: Snapshots) => Promise<Result>,
): Promise<Result> {
  const { signal } = t;
  return await withSnapshots(database.reader, { timeouts: READING_TIMEOUTS, signal }, limits, work);
}

test('audit: finds nothing in many snapshots beside a service that changes everything', async (t) => {
  const database = await createDatabase(t);
  const service = await startService(t, { database, env: SERVICE_ENV });
  const load = await startVariedLoad(t, service);
  let former: Course | null = null;
  const save = async (course: Course): Promise<void> => {
    former = structuredClone(course);
  };
  for (let audit = 0; audit < AUDITS; audit += 1) {
    // Every other audit begins where the one before ended.
    const progress: Partial<Progress> = { former: audit % 2 === 0 ? null : former, save };
    const found: Findings = await inSnapshots(
      t,
      database,
      SMALL,
      async (snapshots) => await findInSlices(snapshots, {}, progress),
    );
    assert.deepEqual(found.discrepancies, [], `audit ${audit}`);
    const main = found.verdict.journals.find(({ ledger }) => ledger === 'main');
    assert.ok(Number(main?.number) > 0);
  }
  await load.stop();
  for (const kind of [
    'transfer',
    'group',
    'hold',
    'capture',
    'void',
    'reversal',
    'opening',
    'ledger',
    'change',
    'erasure',
  ]) {
    assert.ok((load.answers().get(`${kind} 2`) ?? 0) > 0, `no ${kind} succeeded`);
  }
  await service.stop();
  await checkPromises(database, { limitsChanged: true });
});

test('audit: a snapshot that takes too long is made smaller, and none is longer than its bound', async (t) => {
  const database = await createDatabase(t);
  const service = await startService(t, { database, env: SERVICE_ENV });
  const load = await startVariedLoad(t, service);
  const BOUND_MS = 1000;
  const sampler = await database.connect();
  onEnd(t, async () => await sampler.end());
  let longest = 0;
  const ending = new AbortController();
  const sampling = (async () => {
    while (!ending.signal.aborted) {
      const { rows } = await sampler.query<{ age: number | null }>(
        `select max(extract(epoch from clock_timestamp() - xact_start) * 1000)::float8 as age
         from pg_stat_activity
         where application_name = 'gopherpay audit' and datname = current_database()`,
      );
      longest = Math.max(longest, rows[0]?.age ?? 0);
    }
  })();
  const limits = { jobs: 2, snapshotMaxMs: BOUND_MS };
  const { discrepancies } = await inSnapshots(
    t,
    database,
    limits,
    async (snapshots) => await findInSlices(slow(snapshots)),
  );
  ending.abort();
  await sampling;
  await load.stop();
  assert.deepEqual(discrepancies, []);
  assert.ok(longest > 0);
  // Rolling back takes a moment, too.
  assert.ok(longest < 2 * BOUND_MS, `${longest} ms`);
  await service.stop();
  await checkPromises(database, { limitsChanged: true });
});

/** Delays the first statements of an audit until they are canceled. */
function slow(snapshots: Snapshots): Snapshots {
  let delays = 2;
  return {
    ...snapshots,
    take: async (settings, work) =>
      await snapshots.take(settings, async (connection) => {
        if ('work_mem' in settings && delays > 0) {
          delays -= 1;
          for await (const _ of readBatches(connection, 'select pg_sleep(10)')) assert.fail('It was not canceled.');
        }
        return await work(connection);
      }),
  };
}

test('audit: goes on where it was interrupted, and reports what it had found', async (t) => {
  const database = await createDatabase(t);
  const service = await startService(t, { database, env: SERVICE_ENV });
  const load = await startVariedLoad(t, service);
  await load.stop();
  await service.stop();
  await database.query(`update accounts set overdraft_limit = overdraft_limit + 1 where account_number = 'ACC0'`);
  const whole = await inSnapshots(t, database, SMALL, async (snapshots) => await findInSlices(snapshots));
  assert.ok(whole.discrepancies.length > 0);
  // After every step but the last: a new process that has nothing but the saved state.
  let saved: Course | null = null;
  let parts = 0;
  let found: Awaited<ReturnType<typeof findInSlices>> | null = null;
  while (found === null) {
    const former: Course | null = saved;
    parts += 1;
    let steps = 0;
    const save = async (course: Course): Promise<void> => {
      saved = structuredClone(course);
      steps += 1;
      if (steps === 5 && !course.done) throw new Interruption();
    };
    found = await inSnapshots(
      t,
      database,
      SMALL,
      async (snapshots) => await findInSlices(snapshots, {}, { former, save }),
    ).catch((error: unknown) => {
      if (error instanceof Interruption) return null;
      throw error;
    });
  }
  assert.ok(parts > 3, `${parts} parts`);
  assert.deepEqual(found.discrepancies, whole.discrepancies);
  assert.deepEqual(found.verdict.journals, whole.verdict.journals);
  await database.query(`update accounts set overdraft_limit = overdraft_limit - 1 where account_number = 'ACC0'`);
  await checkPromises(database, { limitsChanged: true });
});

test('audit: goes on from the beginning of the keys after their table was rewritten', async (t) => {
  const database = await createDatabase(t);
  const client = await database.connect();
  onEnd(t, async () => await client.end());
  await writeLedger(client);
  await client.query('set session_replication_role = replica');
  // The last one in the table, and the first by its key, names nothing.
  await client.query(
    `
    insert into idempotency_keys (ledger_id, key, transfer_id, fingerprint)
    select 1, case when n = 2000 then '!' else 'more-' || n end, case when n = 2000 then gen_random_uuid() else $1::uuid end,
      sha256('x')
    from generate_series(1, 2000) as n`,
    [IDS.rent],
  );
  let saved: Course | null = null;
  const limits = { jobs: 1, snapshotMaxMs: 60_000, itemsMax: 3 };
  const interrupt = async (course: Course): Promise<void> => {
    saved = structuredClone(course);
    if (Number(course.positions['idempotency_keys']?.at ?? 0) >= 3) throw new Interruption();
  };
  const interrupted = inSnapshots(
    t,
    database,
    limits,
    async (snapshots) => await findInSlices(snapshots, {}, { save: interrupt }),
  );
  await assert.rejects(interrupted, Interruption);
  await client.query('cluster idempotency_keys using idempotency_keys_pkey');
  const { checks } = await inSnapshots(
    t,
    database,
    limits,
    async (snapshots) => await findInSlices(snapshots, {}, { former: saved }),
  );
  assert.deepEqual([...checks], ['once.keys']);
});

class Interruption extends Error {}
