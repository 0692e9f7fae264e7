// Goal: valid requests of the largest size neither crash a process nor get lost. Method: a full queue of them behind a
// lock, so that jobs become as large as they may; and threads that are killed in the middle of them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createDatabase } from '../support/database.ts';
import { checkPromises } from '../support/promises/check.ts';
import { request, startService } from '../support/service.ts';
import { until } from '../support/until.ts';
import { awaitNothingPending, inParallel, LOAD_ENV, openAccounts, times } from './callers.ts';
import { KILLABLE_THREADS_ENV, killThread, lockAccount } from '../support/trouble.ts';

/** As much as a transfer may carry: 8 KB of metadata, and a description of 500 characters that take four bytes each. */
const METADATA = Object.fromEntries(times(16, (index) => [`key${index}`, 'x'.repeat(500)]));
const LARGE = { from_account: 'ACC0', to_account: 'ACC1', amount: 1, description: '𝔵'.repeat(500), metadata: METADATA };
const PER_REQUEST = 80;
const REQUESTS = 50;

for (const deaths of [0, 2]) {
  test(`memory: a queue full of the largest transfers is settled, while ${deaths} threads die`, async (t) => {
    const database = await createDatabase(t);
    const env = { ...LOAD_ENV, ...KILLABLE_THREADS_ENV, LOG_LEVEL: 'info', MAX_QUEUE: '5000' };
    const service = await startService(t, { database, env });
    await openAccounts(service, 'ACC', 2, { balance: 1_000_000 });
    const unlock = await lockAccount(database, 'ACC0');
    const ids: string[] = [];
    await inParallel(
      4,
      times(REQUESTS, (index) => index),
      async () => {
        const body = { transfers: times(PER_REQUEST, () => LARGE) };
        const { status, text } = await request(service, 'POST', '/transfers', body);
        assert.equal(status, 202, text.slice(0, 300));
        ids.push(...JSON.parse(text).transfers.map(({ id }: { id: string }) => id));
      },
    );
    for (let death = 0; death < deaths; death += 1) await killThread(service);
    await unlock();
    await awaitNothingPending(database, 60_000);
    assert.equal(service.ended(), false, service.output().slice(-2000));
    const jobs = await until(
      () => {
        const settled = service.logs().filter(({ msg }) => msg === 'job settled');
        return settled.reduce((sum, { transfers }) => sum + Number(transfers), 0) >= ids.length && settled;
      },
      { what: 'the log of the jobs' },
    );
    // 4 MiB hold 407 of these.
    assert.ok(Math.max(...jobs.map(({ transfers }) => Number(transfers))) <= 420);
    await checkPromises(database, { accepted: ids, nothingPending: true });
  });
}
