// Goal: at any time, what an account holds is the sum of what remains of its open holds, as the list of holds has them.
// Method: random programs of holds, captures, voids, expiries, transfers and refused holds, from several callers at once.
// Meanwhile an observer reads the accounts and the list in one snapshot, again and again. A failure prints its seed and
// path: run it again with MODEL_SEED and MODEL_PATH set to them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { connect, type Connection, disconnect, READING_TIMEOUTS } from '../../src/db/connection/connect.ts';
import { listHolds } from '../../src/db/queries/holds.ts';
import { remainingOf } from '../../src/domain/hold.ts';
import { MAIN_LEDGER } from '../../src/domain/ledger.ts';
import { onEnd } from '../support/cleanup.ts';
import { createDatabase } from '../support/database.ts';
import { checkPromises } from '../support/promises/check.ts';
import { request, type Service, startService } from '../support/service.ts';
import { until } from '../support/until.ts';

const RUNS = Number(process.env['MODEL_RUNS'] ?? 6);
const BALANCE = 200;
const WAIT = { prefer: 'wait=20' };

type Step = {
  what: 'hold' | 'mortal hold' | 'excessive hold' | 'capture' | 'void' | 'transfer';
  who: number;
  whom: number;
  which: number;
  amount: number;
  final: boolean;
};

const steps = fc.array(
  fc.record<Step>({
    what: fc.constantFrom('hold', 'hold', 'mortal hold', 'excessive hold', 'capture', 'capture', 'void', 'transfer'),
    who: fc.nat(3),
    whom: fc.nat(2),
    which: fc.nat(99),
    amount: fc.integer({ min: 1, max: 60 }),
    final: fc.boolean(),
  }),
  { minLength: 8, maxLength: 24, size: 'max' },
);
const programs = fc.array(steps, { minLength: 3, maxLength: 3 });

test('model: the open holds of an account sum up to what it holds, at any time', async (t) => {
  const database = await createDatabase(t);
  const service = await startService(t, { database, env: { THREADS: '4', LOG_LEVEL: 'warn' } });
  const connection = await connect(database.settings, READING_TIMEOUTS, { applicationName: 'gopherpay test' });
  onEnd(t, async () => await disconnect(connection));
  let run = 0;
  const { MODEL_SEED: seed, MODEL_PATH: path } = process.env;
  await fc.assert(
    fc.asyncProperty(programs, fc.integer({ min: 1, max: 5 }), async (callers, limit) => {
      run += 1;
      const accounts = [0, 1, 2, 3].map((number) => `RUN-${run}-${number}`);
      for (const account_number of accounts) {
        const opened = await request(service, 'POST', '/accounts', { account_number, name: 'x', balance: BALANCE });
        assert.equal(opened.status, 201, opened.text);
      }
      const holds: string[] = [];
      const state = { isRunning: true };
      const running = Promise.all(
        callers.map(async (program) => {
          for (const step of program) await take(service, step, { accounts, holds });
        }),
      ).finally(() => (state.isRunning = false));
      do await observe(connection, accounts, limit);
      while (state.isRunning);
      await running;
      await until(async () => (await observe(connection, accounts, limit)) === 0, { what: 'the expiry of every hold' });
      for (const account of accounts) {
        const { body } = await request(service, 'GET', `/accounts/${account}`);
        assert.equal(await sumOfList(service, account, limit), body['held']);
      }
    }),
    {
      numRuns: RUNS,
      interruptAfterTimeLimit: Number(process.env['MODEL_SECONDS'] ?? 60) * 1000,
      ...(seed !== undefined && { seed: Number(seed) }),
      ...(path !== undefined && { path }),
    },
  );
  await checkPromises(database, { nothingPending: true });
});

/** Sends the request of a step. It may be refused, and must not fail. */
async function take(
  service: Service,
  { what, who, whom, which, amount, final }: Step,
  { accounts, holds }: { accounts: readonly string[]; holds: string[] },
): Promise<void> {
  const from = accounts[who];
  const terms = { from_account: from, to_account: accounts.filter((account) => account !== from)[whom], amount };
  const post = async (path: string, body: object) => await request(service, 'POST', path, body, WAIT);
  const hold = holds[which % holds.length];
  let answer;
  if (what === 'transfer') answer = await post('/transfers', terms);
  else if (what === 'excessive hold') answer = await post('/holds', { ...terms, amount: 100 * BALANCE });
  else if (what === 'hold' || what === 'mortal hold') {
    answer = await post('/holds', { ...terms, ...(what === 'mortal hold' && { expires_in: 1 }) });
    if (answer.body['status'] === 'completed') holds.push(String(answer.body['id']));
  } else if (hold === undefined) return;
  else if (what === 'void') answer = await post(`/holds/${hold}/void`, {});
  else answer = await post(`/holds/${hold}/capture`, { amount, final });
  assert.ok(answer.status < 300, answer.text);
}

/** Compares the accounts with the list in one snapshot. Returns how many open holds will expire. */
async function observe(connection: Connection, accounts: readonly string[], limit: number): Promise<number> {
  let mortal = 0;
  await connection.query('begin isolation level repeatable read, read only');
  try {
    const { rows } = await connection.query<{ account_number: string; held: bigint }>(
      'select account_number, held from accounts where account_number = any($1::text[])',
      [accounts],
    );
    assert.equal(rows.length, accounts.length);
    for (const { account_number: account, held } of rows) {
      let sum = 0n;
      let after: string | null = null;
      for (;;) {
        const page: Awaited<ReturnType<typeof listHolds>> = await listHolds(
          connection,
          MAIN_LEDGER,
          { account, state: 'open' },
          { limit, after, newestFirst: limit % 2 === 0 },
        );
        for (const hold of page) sum += remainingOf(hold);
        mortal += page.filter(({ expiresAt }) => expiresAt !== null).length;
        if (page.length < limit) break;
        after = page.at(-1)?.id ?? null;
      }
      assert.equal(sum, held, account);
    }
  } finally {
    await connection.query('rollback');
  }
  return mortal;
}

/** What remains of the open holds of an account, over all pages of its list. */
async function sumOfList(service: Service, account: string, limit: number): Promise<number> {
  let sum = 0;
  let after = '';
  for (;;) {
    const path = `/holds?account=${account}&state=open&limit=${limit}${after}`;
    const { body } = await request<{ items: { remaining: number }[]; next: string | null }>(service, 'GET', path);
    for (const { remaining } of body.items) sum += remaining;
    if (body.next === null) return sum;
    after = `&after=${body.next}`;
  }
}
