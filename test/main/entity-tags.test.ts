// Goal: a caller that read an account can ask whether it changed, and does not undo the change of another caller.
// Method: conditional requests to a service, one after another and in a race.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { request as send } from 'undici';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { makeKey, type TestKey } from '../support/keys.ts';
import { type Answer, request, type Service, startService } from '../support/service.ts';

const RACERS = 8;

let database: TestDatabase;
let service: Service;
let key: TestKey;
let opened = 0;

before(async (t) => {
  database = await createDatabase(t);
  key = await makeKey(database);
  service = await startService(t, { database, env: { THREADS: '2', LOG_LEVEL: 'warn' } });
});

async function call(
  method: 'GET' | 'POST' | 'PATCH' | 'DELETE',
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Answer<Record<string, unknown>>> {
  return await request(service, method, path, body, { ...key.headers, ...headers });
}

/** Opens an account. Returns its path. */
async function open(): Promise<string> {
  opened += 1;
  const number = `A${opened}`;
  const { status, text } = await call('POST', '/accounts', { account_number: number, name: 'Ann' });
  assert.equal(status, 201, text);
  return `/accounts/${number}`;
}

async function tagOf(path: string): Promise<string> {
  const { headers, text } = await call('GET', path);
  assert.match(String(headers['etag']), /^"\d+-[\w-]{16}"$/, text);
  return String(headers['etag']);
}

/** Moves money to the account from @external. */
async function pay(path: string, body: Record<string, unknown> = {}): Promise<Record<string, unknown>> {
  const transfer = { from_account: '@external', to_account: path.replace('/accounts/', ''), amount: 5, ...body };
  const answer = await call('POST', '/transfers', transfer, { prefer: 'wait=10' });
  assert.equal(answer.body['status'], 'completed', answer.text);
  return answer.body;
}

test('entity tags: an account that did not change is answered with 304 and no body, also by HEAD', async () => {
  const path = await open();
  const tag = await tagOf(path);
  for (const header of [tag, `W/${tag}`, '*', `"other", ${tag}`, `"other",W/${tag}`]) {
    for (const method of ['GET', 'HEAD'] as const) {
      const answer = await send(new URL(path, service.url), {
        method,
        headers: { ...key.headers, 'if-none-match': header },
      });
      assert.deepEqual([answer.statusCode, answer.headers['etag'], await answer.body.text()], [304, tag, ''], header);
      assert.equal(answer.headers['content-length'], undefined);
      assert.ok(answer.headers['x-request-id']);
    }
  }
});

test('entity tags: whatever an account shows changes its tag', async () => {
  const path = await open();
  const number = path.replace('/accounts/', '');
  const wait = { prefer: 'wait=10' };
  const changes = [
    async () => await pay(path),
    async () => await pay('/accounts/@external', { from_account: number, amount: 1 }),
    async () => await call('POST', '/holds', { from_account: number, to_account: '@external', amount: 2 }, wait),
    async () => await call('PATCH', path, { name: 'Anna' }),
    async () => await call('PATCH', path, { metadata: { a: 'b' } }),
    async () => await call('PATCH', path, { overdraft_limit: 7 }),
    async () => await call('PATCH', path, { status: 'frozen' }),
    async () => await call('DELETE', `${path}/personal-data`),
  ];
  const tags = new Set([await tagOf(path)]);
  for (const change of changes) {
    const known = [...tags].join(', ');
    await change();
    const answer = await call('GET', path, undefined, { 'if-none-match': known });
    assert.equal(answer.status, 200, String(change));
    tags.add(String(answer.headers['etag']));
  }
  assert.equal(tags.size, changes.length + 1);
});

test('entity tags: a change needs the tag of the last change, and its answer has the next', async () => {
  const path = await open();
  const first = await tagOf(path);
  const changed = await call('PATCH', path, { name: 'Anna' }, { 'if-match': first });
  assert.deepEqual([changed.status, changed.headers['etag']], [200, await tagOf(path)], changed.text);
  const refused = await call('PATCH', path, { name: 'Bob' }, { 'if-match': first });
  assert.deepEqual([refused.status, refused.body['code']], [412, 'precondition_failed']);
  assert.equal((await call('GET', path)).body['name'], 'Anna');
  const either = await call('PATCH', path, { name: 'Eve' }, { 'if-match': `"1-old", ${await tagOf(path)}` });
  assert.equal(either.status, 200, either.text);
  const any = await call('PATCH', path, { name: 'Zoe' }, { 'if-match': '*' });
  assert.equal(any.status, 200, any.text);
});

test('entity tags: a transfer in between does not hinder a change, and a tag that a proxy weakened works', async () => {
  const path = await open();
  const tag = await tagOf(path);
  await pay(path);
  assert.notEqual(await tagOf(path), tag);
  const changed = await call('PATCH', path, { name: 'Anna' }, { 'if-match': `W/${tag}` });
  assert.deepEqual([changed.status, changed.body['balance']], [200, 5], changed.text);
});

test('entity tags: of several changes with one tag, exactly one takes effect', async () => {
  const path = await open();
  for (let round = 0; round < 5; round += 1) {
    const tag = await tagOf(path);
    const answers = await Promise.all(
      Array.from({ length: RACERS }, async (_, racer) => {
        const metadata = { racer: `${round} ${racer}` };
        return await call('PATCH', path, { metadata }, { 'if-match': tag });
      }),
    );
    const won = answers.filter(({ status }) => status === 200);
    assert.equal(won.length, 1, answers.map(({ status }) => status).join());
    assert.ok(answers.every(({ status }) => status === 200 || status === 412));
    assert.deepEqual((await call('GET', path)).body['metadata'], won[0]?.body['metadata']);
  }
});

test('entity tags: an account is closed, or its data erased, only as the caller knows it', async () => {
  const path = await open();
  const tag = await tagOf(path);
  await call('PATCH', path, { metadata: { keep: 'open' } });
  for (const each of [path, `${path}/personal-data`]) {
    const refused = await call('DELETE', each, undefined, { 'if-match': tag });
    assert.deepEqual([refused.status, refused.body['code']], [412, 'precondition_failed'], each);
  }
  assert.deepEqual((await call('GET', path)).body['name'], 'Ann');
  for (const each of [path, `${path}/personal-data`]) {
    const done = await call('DELETE', each, undefined, { 'if-match': await tagOf(path) });
    assert.equal(done.status, 204, done.text);
  }
});

test('entity tags: a malformed header is refused, and a tag of something else matches nothing', async () => {
  const path = await open();
  const tag = await tagOf(path);
  for (const header of ['', 'abc', tag.slice(1), `${tag} ${tag}`, `${tag},`, `w/${tag}`, '*, "a"', '"a b"']) {
    const changed = await call('PATCH', path, { name: 'Anna' }, { 'if-match': header });
    assert.deepEqual([changed.status, changed.body['code']], [400, 'invalid_request'], header);
    const read = await call('GET', path, undefined, { 'if-none-match': header });
    assert.equal(read.status, 400, header);
  }
  for (const header of ['"a"', '""', '"1"', '"-"']) {
    assert.equal((await call('PATCH', path, { name: 'Anna' }, { 'if-match': header })).status, 412, header);
  }
  assert.equal((await call('GET', path)).body['name'], 'Ann');
});

test('entity tags: an account that does not exist is not found, whatever its tag', async () => {
  for (const header of ['*', '"1-a"']) {
    assert.equal((await call('PATCH', '/accounts/NONE', { name: 'A' }, { 'if-match': header })).status, 404);
    assert.equal((await call('GET', '/accounts/NONE', undefined, { 'if-none-match': header })).status, 404);
  }
});

test('entity tags: a limit that needs an approval is asked for only if the account is as the caller knows it', async () => {
  const path = await open();
  await database.query('update ledgers set approval_above = 100');
  const tag = await tagOf(path);
  await call('PATCH', path, { name: 'Anna' });
  const refused = await call('PATCH', path, { overdraft_limit: 1000 }, { 'if-match': tag });
  assert.equal(refused.status, 412, refused.text);
});

test('entity tags: the accounts of @external have them too', async () => {
  const path = '/accounts/@external?currency=USD';
  const tag = await tagOf(path);
  assert.equal((await call('GET', path, undefined, { 'if-none-match': tag })).status, 304);
});
