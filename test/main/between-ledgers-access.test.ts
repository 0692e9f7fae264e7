// Who may move money to another ledger: a key of all ledgers, within its bounds in both, and above the rule of the ledger
// with the approval of a second one.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { z } from 'zod';
import { MAIN_LEDGER } from '../../src/domain/ledger.ts';
import { onEnd } from '../support/cleanup.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { makeKey, type TestKey } from '../support/keys.ts';
import { checkPromises } from '../support/promises/check.ts';
import { type Answer, request, type Service, startProgram, startService } from '../support/service.ts';

type Body = Record<string, unknown>;

const rows = z.array(z.record(z.string(), z.unknown()));

let database: TestDatabase;
let service: Service;
let owner: TestKey;
let second: TestKey;
let bound: TestKey;
let reader: TestKey;
let mover: TestKey;

before(async (t) => {
  database = await createDatabase(t);
  owner = await makeKey(database);
  second = await makeKey(database);
  // Before the service starts, which reads new keys with its heartbeat.
  bound = await makeKey(database, { ledger: MAIN_LEDGER });
  reader = await makeKey(database, { scopes: ['transfers:read'] });
  mover = await makeKey(database, {
    scopes: ['transfers:write'],
    limits: { accountPrefix: 'T-', amountMax: 50n },
  });
  const rule = await startProgram(t, { database, args: ['approval-rule', '--above=1000'] });
  assert.equal((await rule.exited).code, 0, rule.output());
  service = await startService(t, { database, env: { THREADS: '2', LOG_LEVEL: 'warn' } });
  onEnd(t, async () => await checkPromises(database, { nothingPending: true }));
  await post(owner, '/ledgers', { name: 'shop' });
  for (const number of ['T-ANN', 'EVE']) {
    await post(owner, '/accounts', { account_number: number, name: number, balance: 1000 });
    await post(owner, '/ledgers/shop/accounts', { account_number: number, name: number });
  }
  assert.equal(
    (await send(owner, { from_account: 'EVE', to_account: 'T-ANN', to_ledger: undefined, amount: 500 })).status,
    200,
  );
});

async function post(key: TestKey, path: string, body: Body): Promise<Answer<Body>> {
  return await request(service, 'POST', path, body, { ...key.headers, prefer: 'wait=10' });
}

async function send(key: TestKey, fields: Body = {}): Promise<Answer<Body>> {
  const body = { from_account: 'T-ANN', to_account: 'T-ANN', to_ledger: 'shop', amount: 10, ...fields };
  return await post(key, '/transfers', body);
}

test('between ledgers: a key that is bound to a ledger is refused, and learns why', async () => {
  const refused = await send(bound);
  assert.deepEqual([refused.status, refused.body['code']], [403, 'not_allowed']);
  assert.match(String(refused.body['detail']), /bound to the ledger main/);
  // Also a ledger that does not exist: its name tells such a key nothing.
  assert.equal((await send(bound, { to_ledger: 'nosuch' })).status, 403);
  assert.equal((await send(reader)).body['code'], 'insufficient_scope');
});

test('between ledgers: a key needs no more than to move money, and its bounds apply in both ledgers', async () => {
  const sent = await send(mover);
  assert.equal(sent.body['status'], 'completed', sent.text);
  assert.equal(sent.body['ordered_by'], mover.id);
  const credit = await request(
    service,
    'GET',
    `/ledgers/shop/transfers/${String(sent.body['id'])}`,
    undefined,
    owner.headers,
  );
  assert.equal(credit.body['ordered_by'], mover.id);
  for (const [fields, pointer] of [
    [{ to_account: 'EVE' }, '/to_account'],
    [{ from_account: 'EVE' }, '/from_account'],
    [{ amount: 51 }, '/amount'],
  ] as const) {
    const refused = await send(mover, fields);
    assert.deepEqual([refused.status, refused.body['code']], [403, 'not_allowed'], refused.text);
    assert.equal(rows.parse(refused.body['errors'])[0]?.['pointer'], pointer);
  }
});

test('between ledgers: above the rule of its ledger, a transfer waits for a second key of all ledgers', async () => {
  const large = { amount: 1001 };
  const asked = await send(owner, large);
  assert.deepEqual([asked.status, asked.body['object']], [202, 'approval'], asked.text);
  const [shown] = rows.parse(z.object({ transfers: z.unknown() }).parse(asked.body['request']).transfers);
  assert.deepEqual([shown?.['to_account'], shown?.['to_ledger']], ['T-ANN', 'shop']);
  const path = `/approvals/${String(asked.body['approval_id'])}`;
  assert.equal((await post(bound, path, {})).body['code'], 'not_allowed');
  const approved = await post(second, path, {});
  const [transfer] = rows.parse(approved.body['transfers']);
  assert.ok(transfer, approved.text);
  assert.deepEqual(
    [transfer['status'], transfer['to_ledger'], transfer['ordered_by'], transfer['approved_by']],
    ['completed', 'shop', owner.id, second.id],
  );
});

test('between ledgers: the rule of the ledger that receives the money counts as well', async () => {
  // Otherwise a ledger without a rule would be a way around it.
  const fields = { from_account: 'T-ANN', to_account: 'T-ANN', amount: 1001, to_ledger: 'main' };
  const asked = await post(owner, '/ledgers/shop/transfers', fields);
  assert.deepEqual([asked.status, asked.body['object']], [202, 'approval'], asked.text);
  const members = [fields, fields].map((each) => ({ ...each, amount: 600 }));
  const group = await post(owner, '/ledgers/shop/transfers', { transfers: members, atomic: false });
  assert.deepEqual([group.status, group.body['object']], [202, 'approval'], group.text);
  const small = await post(owner, '/ledgers/shop/transfers', { ...fields, amount: 1 });
  assert.deepEqual([small.status, small.body['status']], [200, 'completed'], small.text);
});
