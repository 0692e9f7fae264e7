// Four eyes: funding and overdraft limits above a ledger's amount wait for a second key.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { makeKey, type TestKey } from '../support/keys.ts';
import { checkPromises } from '../support/promises/check.ts';
import { type Answer, request, type Service, startProgram, startService } from '../support/service.ts';
import { until } from '../support/until.ts';

type Body = Record<string, unknown>;

let database: TestDatabase;
let service: Service;
let first: TestKey;
let second: TestKey;
let mover: TestKey;

before(async (t) => {
  database = await createDatabase(t);
  first = await makeKey(database);
  second = await makeKey(database);
  mover = await makeKey(database, { scopes: ['transfers:write', 'transfers:read'] });
  const rule = await startProgram(t, { database, args: ['approval-rule', '--above=100'] });
  assert.equal((await rule.exited).code, 0, rule.output());
  service = await startService(t, { database, env: { THREADS: '2', LOG_LEVEL: 'warn' } });
  for (const account_number of ['ANN', 'BOB', 'CID']) {
    const account = { account_number, name: account_number, currency: 'USD', balance: 100 };
    assert.equal((await send(first, 'POST', '/accounts', account)).status, 201);
  }
});

async function send(
  key: TestKey,
  method: 'GET' | 'POST' | 'PATCH',
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Answer<Body>> {
  return await request(service, method, path, body, { ...key.headers, prefer: 'wait=10', ...headers });
}

const codeOf = ({ status, body }: Answer<Body>) => `${status} ${String(body['code'])}`;
const fund = (to_account: string, amount: number) => ({
  from_account: '@external',
  to_account,
  amount,
  currency: 'USD',
});

async function ask(body: unknown, headers: Record<string, string> = {}, path = '/transfers'): Promise<string> {
  const asked = await send(first, 'POST', path, body, headers);
  assert.equal(asked.status, 202, asked.text);
  assert.equal(asked.body['state'], 'pending');
  assert.equal(asked.headers['location'], `/approvals/${String(asked.body['approval_id'])}`);
  return String(asked.body['approval_id']);
}

async function balanceOf(account: string): Promise<unknown> {
  return (await send(first, 'GET', `/accounts/${account}`)).body['balance'];
}

/** The transfers of an approved request. */
function transfersOf({ body }: Answer<Body>): Body[] {
  const { transfers } = body;
  assert.ok(Array.isArray(transfers), JSON.stringify(body));
  return transfers;
}

test('approvals: funding above the rule waits for another key, and is executed once', async () => {
  const before = Number(await balanceOf('ANN'));
  const id = await ask(fund('ANN', 500));
  assert.equal(await balanceOf('ANN'), before, 'Nothing has moved.');
  assert.equal(codeOf(await send(first, 'POST', `/approvals/${id}`, {})), '403 not_allowed');
  assert.equal(codeOf(await send(mover, 'POST', `/approvals/${id}`, {})), '403 insufficient_scope');
  const approved = await Promise.all(
    Array.from({ length: 5 }, async () => await send(second, 'POST', `/approvals/${id}`, {})),
  );
  const ids = new Set(approved.flatMap((answer) => transfersOf(answer).map((transfer) => transfer['id'])));
  assert.equal(ids.size, 1, 'Every answer shows the same transfer.');
  const [transfer] = transfersOf(await send(second, 'POST', `/approvals/${id}`, {}));
  assert.equal(transfer?.['status'], 'completed');
  assert.equal(transfer['ordered_by'], first.id);
  assert.equal(transfer['approved_by'], second.id);
  assert.equal(await balanceOf('ANN'), before + 500);
  assert.equal(codeOf(await send(second, 'POST', `/approvals/${id}`, { decision: 'reject' })), '409 approval_decided');
});

test('approvals: what is not above the rule, or moves no money of the world, needs none', async () => {
  assert.equal((await send(first, 'POST', '/transfers', fund('ANN', 100))).status, 200);
  assert.equal((await send(first, 'POST', '/transfers', fund('ANN', 101))).status, 202);
  const large = { from_account: 'ANN', to_account: 'BOB', amount: 150 };
  assert.equal((await send(first, 'POST', '/transfers', large)).status, 200);
  assert.equal((await send(first, 'POST', '/transfers?dry_run=true', fund('ANN', 500))).status, 200);
});

test('approvals: a group, a hold, a payout and a reversal of funding wait as well', async () => {
  const group = await ask({ transfers: [fund('BOB', 1), fund('CID', 300)], atomic: true });
  const done = transfersOf(await send(second, 'POST', `/approvals/${group}`, {}));
  assert.deepEqual(
    done.map(({ status, amount }) => [status, amount]),
    [
      ['completed', 1],
      ['completed', 300],
    ],
  );
  const hold = await ask({ from_account: 'CID', to_account: '@external', amount: 120, expires_in: 60 }, {}, '/holds');
  const [held] = transfersOf(await send(second, 'POST', `/approvals/${hold}`, {}));
  assert.equal(held?.['kind'], 'hold');
  const captured = await send(first, 'POST', `/holds/${String(held['id'])}/capture`, {});
  assert.equal(captured.body['status'], 'completed', 'Its hold was approved.');
  const reversal = await ask({}, {}, `/transfers/${String(done[1]?.['id'])}/reversals`);
  const [reversed] = transfersOf(await send(second, 'POST', `/approvals/${reversal}`, {}));
  assert.equal(reversed?.['kind'], 'reversal');
  assert.equal(reversed['failure_code'], 'insufficient_funds', 'The books decide when it is executed.');
});

test('approvals: the funding of one request is added up, whatever its parts are', async () => {
  const split = { transfers: [fund('BOB', 60), fund('CID', 60)] };
  await ask(split);
  const opened = ['DEE', 'EVE'].map((account_number) => ({ account_number, name: account_number, balance: 60 }));
  assert.equal(codeOf(await send(first, 'POST', '/accounts', { accounts: opened })), '403 approval_required');
  const moved = { transfers: [fund('BOB', 60), { from_account: 'BOB', to_account: 'CID', amount: 60 }] };
  assert.equal(
    (await send(first, 'POST', '/transfers', moved)).status,
    200,
    'A move within the ledger does not count.',
  );
});

test('approvals: a request of a key that was revoked can only be rejected', async (t) => {
  const asker = await makeKey(database);
  await until(async () => (await send(asker, 'GET', '/accounts')).status === 200, {
    what: 'the service to know the key',
  });
  const asked = await send(asker, 'POST', '/transfers', fund('ANN', 500));
  const path = `/approvals/${String(asked.body['approval_id'])}`;
  const revoking = await startProgram(t, { database, args: ['keys', 'revoke', `--id=${asker.id}`] });
  assert.equal((await revoking.exited).code, 0, revoking.output());
  const before = await balanceOf('ANN');
  assert.equal(codeOf(await send(second, 'POST', path, {})), '403 not_allowed');
  assert.equal((await send(second, 'GET', path)).body['state'], 'pending');
  assert.equal((await send(second, 'POST', path, { decision: 'reject' })).body['state'], 'rejected');
  assert.equal(await balanceOf('ANN'), before);
});

test('approvals: a retry under the same key is the same request, before and after its approval', async () => {
  const key = { 'idempotency-key': 'fund-bob' };
  const id = await ask(fund('BOB', 700), key);
  const retried = await send(first, 'POST', '/transfers', fund('BOB', 700), key);
  assert.equal(retried.body['approval_id'], id);
  assert.equal(retried.headers['idempotency-replayed'], 'true');
  assert.equal(codeOf(await send(first, 'POST', '/transfers', fund('BOB', 701), key)), '422 idempotency_key_reused');
  const [transfer] = transfersOf(await send(second, 'POST', `/approvals/${id}`, {}));
  const replayed = await send(first, 'POST', '/transfers', fund('BOB', 700), key);
  assert.equal(replayed.status, 200);
  assert.deepEqual(replayed.body, transfer);
});

test('approvals: a rejected or expired request is never executed', async () => {
  const before = await balanceOf('CID');
  const key = { 'idempotency-key': 'fund-cid' };
  const rejected = await ask(fund('CID', 900), key);
  assert.equal((await send(first, 'POST', `/approvals/${rejected}`, { decision: 'reject' })).body['state'], 'rejected');
  assert.equal(codeOf(await send(second, 'POST', `/approvals/${rejected}`, {})), '409 approval_decided');
  assert.equal(codeOf(await send(first, 'POST', '/transfers', fund('CID', 900), key)), '403 not_allowed');
  const expired = await ask(fund('CID', 900));
  await database.query(`update approvals set expires_at = now() where id = $1`, [expired]);
  assert.equal((await send(first, 'GET', `/approvals/${expired}`)).body['state'], 'expired');
  assert.equal(codeOf(await send(second, 'POST', `/approvals/${expired}`, {})), '409 approval_expired');
  assert.equal(await balanceOf('CID'), before);
  const listed = await send(first, 'GET', '/approvals?state=expired');
  assert.ok(Array.isArray(listed.body['items']));
  assert.equal(listed.body['items'].length, 1);
});

test('approvals: an overdraft limit above the rule waits, alone, and is sealed with both keys', async () => {
  assert.equal((await send(first, 'PATCH', '/accounts/BOB', { overdraft_limit: 100 })).status, 200);
  assert.equal(
    codeOf(await send(first, 'PATCH', '/accounts/BOB', { overdraft_limit: 101, name: 'B' })),
    '403 approval_required',
  );
  const asked = await send(first, 'PATCH', '/accounts/BOB', { overdraft_limit: 5000 });
  assert.equal(asked.status, 202, asked.text);
  const id = String(asked.body['approval_id']);
  assert.equal((await send(first, 'GET', '/accounts/BOB')).body['overdraft_limit'], 100);
  assert.equal((await send(second, 'POST', `/approvals/${id}`, {})).status, 200);
  assert.equal((await send(first, 'GET', '/accounts/BOB')).body['overdraft_limit'], 5000);
  const [change] = await database.query(
    `select ordered_by, approved_by from account_changes where account_number = 'BOB' order by change_number desc limit 1`,
  );
  assert.deepEqual(change, { ordered_by: first.id, approved_by: second.id });
});

test('approvals: an approver is bound by the amount of its key, and then has decided nothing', async () => {
  const bounded = await makeKey(database, { limits: { amountMax: 100n } });
  const id = await ask(fund('CID', 800), { 'idempotency-key': 'fund-bounded' });
  await until(async () => (await send(bounded, 'GET', '/accounts/CID')).status === 200, {
    what: 'the key to be known',
  });
  assert.equal(codeOf(await send(bounded, 'POST', `/approvals/${id}`, {})), '403 not_allowed');
  assert.equal((await send(first, 'GET', `/approvals/${id}`)).body['state'], 'pending');
  const retried = await send(first, 'POST', '/transfers', fund('CID', 800), { 'idempotency-key': 'fund-bounded' });
  assert.equal(retried.body['state'], 'pending', retried.text);
});

test('approvals: who knows the id of a request cannot block its transfers', async () => {
  const id = await ask(fund('CID', 150));
  const small = { from_account: 'ANN', to_account: 'BOB', amount: 1 };
  const blocking = await send(mover, 'POST', '/transfers', small, { 'idempotency-key': `approval:${id}` });
  assert.equal(blocking.status, 200, blocking.text);
  const approved = await send(second, 'POST', `/approvals/${id}`, {});
  assert.equal(approved.status, 200, approved.text);
});

test('approvals: an approved request that another key sends again is ordered by the key that asked', async () => {
  const key = { 'idempotency-key': 'fund-again' };
  const id = await ask(fund('CID', 160), key);
  // As if the process of the approver had died after the decision.
  await database.query(`update approvals set state = 'approved', decided_by = $2, decided_at = now() where id = $1`, [
    id,
    second.id,
  ]);
  const { body } = await send(second, 'POST', '/transfers', fund('CID', 160), key);
  assert.equal(body['status'], 'completed');
  assert.deepEqual([body['ordered_by'], body['approved_by']], [first.id, second.id]);
});

test('approvals: a request counts for the day of the key that asks, once, and not for that of the approver', async () => {
  const asking = await makeKey(database, { limits: { dailyAmountMax: 500n } });
  const deciding = await makeKey(database, { limits: { dailyAmountMax: 1n } });
  await until(async () => (await send(deciding, 'GET', '/accounts/CID')).status === 200, {
    what: 'the keys to be known',
  });
  assert.equal(codeOf(await send(asking, 'POST', '/transfers', fund('CID', 501))), '403 daily_limit_reached');
  const key = { 'idempotency-key': 'fund-a-day' };
  const asked = await send(asking, 'POST', '/transfers', fund('CID', 400), key);
  assert.equal(asked.status, 202, asked.text);
  assert.equal((await send(asking, 'POST', '/transfers', fund('CID', 400), key)).status, 202);
  assert.equal(codeOf(await send(asking, 'POST', '/transfers', fund('CID', 101))), '403 daily_limit_reached');
  const id = String(asked.body['approval_id']);
  assert.equal((await send(deciding, 'POST', `/approvals/${id}`, {})).status, 200);
  assert.equal((await send(asking, 'POST', '/transfers', fund('CID', 400), key)).status, 200);
  assert.equal((await send(asking, 'POST', '/transfers', fund('CID', 100))).status, 200);
  assert.equal(codeOf(await send(asking, 'POST', '/transfers', fund('CID', 1))), '403 daily_limit_reached');
});

test('approvals: an account with so large a balance or limit is refused, with advice', async () => {
  for (const fields of [{ balance: 101 }, { overdraft_limit: 101 }]) {
    const refused = await send(first, 'POST', '/accounts', { name: 'Rich', ...fields });
    assert.equal(codeOf(refused), '403 approval_required');
    assert.match(String(refused.body['detail']), /Open the account without it/);
  }
});

test('approvals: requests and decisions are in the journal, and the books are whole', async (t) => {
  const acts = await database.query<{ action: string; journal_number: bigint | null }>(
    `select action, journal_number from audit_log where action like 'approval.%'`,
  );
  assert.deepEqual([...new Set(acts.map(({ action }) => action))].toSorted(), [
    'approval.approved',
    'approval.rejected',
    'approval.requested',
  ]);
  assert.ok(acts.every(({ journal_number }) => journal_number !== null));
  await until(async () => (await database.query('select from pending_transfers')).length === 0, {
    what: 'the transfers to settle',
  });
  await checkPromises(database, { nothingPending: true });
  const audit = await startProgram(t, { database, args: ['audit'] });
  assert.equal((await audit.exited).code, 0, audit.output());
});
