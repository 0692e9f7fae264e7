// Goal: a single failed statement never loses a transfer. Method: a network cancels each statement of each sequence in
// turn, BEGIN and COMMIT included, while everything sent around it passes; then answers are compared with the books.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import { startCanceler } from '../support/canceler.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { checkPromises } from '../support/promises/check.ts';
import { type Answer, request, startProgram, startService, type Service } from '../support/service.ts';
import { until } from '../support/until.ts';
import { awaitNothingPending, openAccounts, times } from './callers.ts';
import { lockAccount } from '../support/trouble.ts';

/** After so many batches that contained no statement that was not canceled yet, all were. */
const QUIET_BATCHES = 3;
const BATCHES_MAX = 200;

const named = z.object({
  id: z.string().optional(),
  group_id: z.string().nullish(),
  opening_transfer_id: z.string().nullish(),
  status: z.string().optional(),
});

/** Sends requests of every kind, and returns the accepted ids of transfers and groups. */
async function sendBatch(service: Service, batch: number): Promise<string[]> {
  const order = { from_account: 'ACC0', to_account: 'ACC1', amount: 1 };
  const back = { from_account: 'ACC1', to_account: 'ACC0', amount: 1 };
  let count = 0;
  const send = async (path: string, body: unknown, { waits = false } = {}): Promise<Answer<Record<string, unknown>>> =>
    await request(service, 'POST', path, body, {
      'Idempotency-Key': `batch-${batch}-${(count += 1)}`,
      ...(waits ? { Prefer: 'wait=2' } : {}),
    });
  /** A hold and its end, a transfer and its reversal: one after the other. */
  const sendPair = async (path: string, second: string): Promise<Answer<Record<string, unknown>>[]> => {
    const first = await send(path, order, { waits: true });
    if (first.status !== 200) return [first];
    return [first, await send(`${path}/${String(first.body['id'])}/${second}`, {}, { waits: second === 'void' })];
  };
  const answers = await Promise.all([
    ...times(3, () => send('/transfers', order)),
    send('/transfers', back, { waits: true }),
    send('/transfers', { transfers: [order, back, order], atomic: true }),
    send('/transfers', { transfers: [order, back], atomic: false }, { waits: true }),
    request(service, 'POST', '/accounts', { account_number: `NEW-${batch}`, name: 'New', balance: 5 }),
    request(service, 'POST', '/accounts', { account_number: `EMPTY-${batch}`, name: 'New' }),
  ]);
  const pairs = await Promise.all([
    sendPair('/holds', 'capture'),
    sendPair('/holds', 'void'),
    sendPair('/transfers', 'reversals'),
  ]);
  // Their answers promise nothing; their effects would be seen.
  await Promise.all([
    request(service, 'POST', '/transfers?dry_run=true', order),
    request(service, 'POST', '/transfers?dry_run=true', { transfers: [order, back], atomic: true }),
    request(service, 'PATCH', '/accounts/ACC2', { name: `Batch ${batch}` }),
    request(service, 'GET', '/transfers?status=pending'),
  ]);
  return [...answers, ...pairs.flat()].flatMap(({ status, body, text }) => {
    assert.ok([200, 201, 202, 429, 503].includes(status), `${status} ${text}`);
    if (status >= 300) return [];
    const { id, group_id, opening_transfer_id } = named.parse(body);
    return group_id ?? id ?? opening_transfer_id ?? [];
  });
}

/** Of these transfers and groups, those that are not completely settled. */
async function findMissing(database: TestDatabase, ids: readonly string[]): Promise<string[]> {
  const rows = await database.query<{ id: string }>(
    `select id from unnest($1::uuid[]) as accepted (id)
     where not exists (select from transfers where transfers.id = accepted.id or transfers.group_id = accepted.id)`,
    [ids],
  );
  return rows.map(({ id }) => id);
}

async function findEmptyKeys(database: TestDatabase): Promise<string[]> {
  const rows = await database.query<{ key: string }>(
    `select key from idempotency_keys as k
     where not exists (select from transfers where id = k.transfer_id or group_id = k.transfer_id)`,
  );
  return rows.map(({ key }) => key);
}

test('cancel: each statement canceled in turn loses no accepted transfer', async (t) => {
  const database = await createDatabase(t);
  const { canceler, url } = await startCanceler(t, database);
  const service = await startService(t, { database: { url }, env: { THREADS: '1', LOG_LEVEL: 'warn' } });
  await openAccounts(service, 'ACC', 3, { balance: 1_000_000 });
  const struck: string[] = [];
  let quiet = 0;
  for (let batch = 0; quiet < QUIET_BATCHES; batch += 1) {
    assert.ok(batch < BATCHES_MAX, `There is always another statement: ${struck.join(', ')}`);
    const canceledNow: string[] = [];
    void canceler.strike().then((name) => canceledNow.push(name));
    const accepted = await sendBatch(service, batch);
    canceler.disarm();
    const canceled = canceledNow[0] ?? 'nothing';
    await awaitNothingPending(database);
    assert.deepEqual(await findMissing(database, accepted), [], `accepted and lost after the cancel of ${canceled}`);
    assert.deepEqual(await findEmptyKeys(database), [], `keys that name nothing after the cancel of ${canceled}`);
    await until(async () => (await request(service, 'GET', '/readyz')).status === 200, {
      what: `the service to be ready after the cancel of ${canceled}`,
    });
    if (canceledNow.length === 0) quiet += 1;
    struck.push(...canceledNow);
  }
  t.diagnostic(`canceled: ${struck.join('; ')}`);
  for (const place of [
    /^gopherpay thread 0: begin/,
    /^gopherpay thread \d+: commit/,
    /^gopherpay intake /,
    /^gopherpay \d/,
  ])
    assert.ok(
      struck.some((statement) => place.test(statement)),
      `No statement like ${place.source} was canceled.`,
    );
  await checkPromises(database);
  const audit = await startProgram(t, { database, args: ['audit'] });
  assert.equal((await audit.exited).code, 0, audit.output());
});

test('cancel: each statement canceled in turn strands no transfer of a killed process', async (t) => {
  const database = await createDatabase(t);
  const { canceler, url } = await startCanceler(t, database);
  const env = { THREADS: '1', LOG_LEVEL: 'warn', HEARTBEAT_MS: '100', ORPHANED_AFTER_MS: '500' };
  const heir = await startService(t, { database: { url }, env });
  await openAccounts(heir, 'ACC', 2, { balance: 1_000_000 });
  const order = { from_account: 'ACC0', to_account: 'ACC1', amount: 1 };
  const struck: string[] = [];
  for (let quiet = 0, round = 0; quiet < 2; round += 1) {
    assert.ok(round < BATCHES_MAX, `There is always another statement: ${struck.join(', ')}`);
    // On a busy machine its heartbeats are late at times, and it must not refuse for that.
    const service = await startService(t, { database, env: { ...env, ORPHANED_AFTER_MS: '10000' } });
    const unlock = await lockAccount(database, 'ACC0');
    const answers = await Promise.all([
      ...times(3, (index) => request(service, 'POST', '/transfers', order, { 'Idempotency-Key': `${round}-${index}` })),
      request(service, 'POST', '/transfers', { transfers: [order, order], atomic: true }),
    ]);
    const accepted = answers.map(({ body, text }) => {
      const { id, group_id } = named.parse(body);
      return group_id ?? id ?? assert.fail(text);
    });
    const canceledNow: string[] = [];
    void canceler.strike().then((name) => canceledNow.push(name));
    await service.kill();
    await unlock();
    await awaitNothingPending(database);
    canceler.disarm();
    const canceled = canceledNow[0] ?? 'nothing';
    assert.deepEqual(await findMissing(database, accepted), [], `accepted and lost after the cancel of ${canceled}`);
    assert.deepEqual(await findEmptyKeys(database), [], `keys that name nothing after the cancel of ${canceled}`);
    quiet = canceledNow.length === 0 ? quiet + 1 : 0;
    struck.push(...canceledNow);
  }
  t.diagnostic(`canceled: ${struck.join('; ')}`);
  await checkPromises(database);
});
