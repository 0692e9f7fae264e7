// Every example of the OpenAPI document is sent to a service, in its order. The answer must be as the document describes
// it, and equal the example, apart from ids, instants, hashes and numbers of the journal.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { EXAMPLES } from '../../src/main/api/examples/all.ts';
import { type Example, KEY } from '../../src/main/api/examples/parts.ts';
import { DESCRIBED_HEADERS, flawOf, type Interface, type Operation, parseInterface } from '../support/interface.ts';
import { createDatabase } from '../support/database.ts';
import { makeKey, type TestKey } from '../support/keys.ts';
import { readOpenApiDocument } from '../support/openapi-document.ts';
import { checkPromises } from '../support/promises/check.ts';
import { type Answer, awaitFinal, request, type Service, startProgram, startService } from '../support/service.ts';

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const INSTANT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z$/;
const MICROSECONDS = /^\d{16}$/;
const HASH = /^[0-9a-f]{64}$/;
/** Members that name a key. */
const OF_KEYS = new Set(['ordered_by', 'approved_by', 'requested_by', 'decided_by', 'actor']);
const MONTH = new Date().toISOString().slice(0, 7);

let database: Awaited<ReturnType<typeof createDatabase>>;
let service: Service;
let described: Interface;
let keys: readonly [first: TestKey, second: TestKey];
/** What the ids of the examples are in this run. */
const ids = new Map<string, string>();

before(async (t) => {
  database = await createDatabase(t);
  const limits = { requestsPerSecond: 1000 };
  keys = [await makeKey(database, { limits }), await makeKey(database, { limits })];
  const rule = await startProgram(t, { database, args: ['approval-rule', '--above=1000000'] });
  assert.equal((await rule.exited).code, 0, rule.output());
  service = await startService(t, { database, env: { THREADS: '2', LOG_LEVEL: 'warn' } });
  described = parseInterface(readOpenApiDocument());
});

for (const example of EXAMPLES) {
  const { operationId, name, status } = example;
  test(`examples: ${operationId} ${name} is answered with ${status}, as described`, async () => {
    const operation = operationOf(operationId);
    const answer = await send(example, operation);
    assert.equal(answer.status, status, answer.text);
    checkAnswer(answer, operation);
    if (example.answer !== undefined) assertLike(answer.body, JSON.parse(JSON.stringify(example.answer)), '');
    const { status: state, id } = answer.body;
    if (state === 'pending' && typeof id === 'string') {
      await awaitFinal({ url: service.url, headers: keys[0].headers }, id);
    }
  });
}

test('examples: every operation has one, and the document shows all answers', () => {
  const used = new Set(EXAMPLES.map(({ operationId }) => operationId));
  assert.deepEqual([...used].toSorted(), described.operations.map(({ id }) => id).toSorted());
  for (const { operationId, name, status, answer } of EXAMPLES) {
    if (answer === undefined) continue;
    const shown = operationOf(operationId).answers.get(status)?.examples ?? [];
    assert.ok(shown.includes(name), `${operationId} ${name}`);
  }
});

test('examples: the promises are kept afterwards', async () => {
  await checkPromises(database, { nothingPending: true });
});

function operationOf(operationId: string): Operation {
  const operation = described.operations.find(({ id }) => id === operationId);
  assert.ok(operation, operationId);
  return operation;
}

async function send(
  { parameters = {}, headers = {}, ledger, body, bySecondKey }: Example,
  { method, path, parameters: known }: Operation,
): Promise<Answer<Record<string, unknown>>> {
  const url = new URL(service.url);
  url.pathname = ledger === undefined ? path : `/ledgers/${ledger}${path}`;
  for (const [name, text] of Object.entries(parameters)) {
    assert.ok(
      known.some((each) => each.name === name),
      `${name} is no parameter of ${path}`,
    );
    const value = name === 'month' ? MONTH : (ids.get(text) ?? text);
    if (url.pathname.includes(`%7B${name}%7D`)) url.pathname = url.pathname.replace(`%7B${name}%7D`, value);
    else url.searchParams.set(name, value);
  }
  const own = { ...keys[bySecondKey ? 1 : 0].headers, ...headers };
  assert.ok(method === 'GET' || method === 'POST' || method === 'PATCH' || method === 'DELETE');
  return await request(service, method, `${url.pathname}${url.search}`, body, own);
}

/** The status, the type, the body and the headers of an answer must be in the document. */
function checkAnswer({ status, headers, body, text }: Answer<unknown>, operation: Operation): void {
  const answer = operation.answers.get(status);
  assert.ok(answer, `${operation.name} ${status}`);
  const type = String(headers['content-type'] ?? '').split(';')[0] ?? '';
  if (answer.types.size === 0) assert.equal(text, '');
  else assert.ok(answer.types.has(type), `${operation.name} ${status} ${type}`);
  if (type.endsWith('json')) {
    assert.equal(flawOf(answer.types.get(type) ?? {}, body, described.schemas, true), null, text);
  }
  for (const name of DESCRIBED_HEADERS) {
    if (headers[name] !== undefined) assert.ok(answer.headers.has(name), `${operation.name} ${status} ${name}`);
  }
  if (operation.scope !== null && status < 300) assert.ok(headers['ratelimit'], 'the key has a limit');
}

/** Asserts that an answer is the example, except for what differs from run to run. */
function assertLike(actual: unknown, expected: unknown, at: string): void {
  const name = at.split('/').at(-1) ?? '';
  if (typeof expected === 'object' && expected !== null) {
    assert.ok(typeof actual === 'object' && actual !== null, at);
    assert.deepEqual(Object.keys(actual), Object.keys(expected), at);
    const members = new Map(Object.entries(actual));
    for (const [member, value] of Object.entries(expected)) assertLike(members.get(member), value, `${at}/${member}`);
    return;
  }
  if (typeof expected === 'string' && (UUID.test(expected) || OF_KEYS.has(name) || expected === KEY)) {
    assert.ok(typeof actual === 'string', at);
    assert.equal(ids.get(expected) ?? actual, actual, `${at} is another id than before`);
    ids.set(expected, actual);
  } else if (typeof expected === 'string' && INSTANT.test(expected)) {
    assert.match(String(actual), INSTANT, at);
  } else if (typeof expected === 'string' && HASH.test(expected)) assert.match(String(actual), HASH, at);
  else if (typeof expected === 'string' && MICROSECONDS.test(expected)) assert.match(String(actual), MICROSECONDS, at);
  else if (name === 'journal_number' && expected !== null) assert.ok(Number.isInteger(actual), at);
  else if (name === 'secret') assert.match(String(actual), /^whsec_[A-Za-z0-9+/]{32}$/);
  else if (name === 'month') assert.equal(actual, MONTH);
  else assert.deepEqual(actual, expected, at);
}
