// Goal: whatever a caller sends, it gets a clear answer at once, nothing is stored, and the service goes on.
// Method: one wrong request at a time; after each the whole content of the database must be what it was before.
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { Readable } from 'node:stream';
import { before, test, type TestContext } from 'node:test';
import { request as send } from 'undici';
import { ANSWER_VIEWS } from '../../src/main/api/views.ts';
import { PROBLEMS, type ProblemCode } from '../../src/main/http/problem.ts';
import { onEnd } from '../support/cleanup.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { checkPromises } from '../support/promises/check.ts';
import { request, type Service, startService } from '../support/service.ts';

type Method = 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE';
type RawAnswer = { status: number; headers: Map<string, string>; text: string };

const BODY_BYTES_MAX = 65_536;
const ANSWER_TIMEOUT_MS = 10_000;
const ACCOUNT = { name: 'Somebody' };
const TRANSFER = { from_account: 'ANN', to_account: 'BOB', amount: 5 };
const TYPE = { 'content-type': 'application/json' };

let database: TestDatabase;
let service: Service;
let tables: string[];

before(async (t) => {
  database = await createDatabase(t);
  service = await startService(t, {
    database,
    env: { THREADS: '2', BODY_BYTES_MAX: String(BODY_BYTES_MAX), LOG_LEVEL: 'warn' },
  });
  for (const account of ['ANN', 'BOB']) {
    const opened = await request(service, 'POST', '/accounts', {
      account_number: account,
      name: account,
      balance: 1000,
    });
    assert.equal(opened.status, 201, opened.text);
  }
  const rows = await database.query<{ name: string }>(
    `select tablename as name from pg_tables where schemaname = 'public' and tablename not in ('leases', 'heartbeats') order by tablename`,
  );
  tables = rows.map(({ name }) => name);
});

// What a body may say.

const AMOUNTS: { amount: string; code: ProblemCode }[] = [
  ...['0', '-0', '-1', '-9007199254740991'].map((amount) => ({ amount, code: 'amount_not_positive' as const })),
  ...[
    '1.5',
    '1.0',
    '1e21',
    '1e3',
    '0.99999999999999999999',
    '9007199254740991.4',
    '1e-400',
    '9007199254740992',
    '-9007199254740992',
  ].map((amount) => ({ amount, code: 'invalid_request' as const })),
  ...['9007199254740993', '18446744073709551617', '"5"', '""', 'null', 'true', '[]', '[5]', '{}', '"0x10"'].map(
    (amount) => ({
      amount,
      code: 'invalid_request' as const,
    }),
  ),
  ...['05', '+5', '.5', '5.', 'NaN', 'Infinity', '0x10', '5n', ''].map((amount) => ({
    amount,
    code: 'malformed_json' as const,
  })),
];

for (const { amount, code } of AMOUNTS) {
  test(`bad input: a transfer of ${amount === '' ? 'nothing' : amount} is refused`, async () => {
    await refused(code, 'POST', '/transfers', `{"from_account":"ANN","to_account":"BOB","amount":${amount}}`);
  });
}

for (const balance of ['-1', '1.5', '1e3', '"5"', 'null', 'true', '[]', '9007199254740992', '18446744073709551616']) {
  test(`bad input: an account with a balance or an overdraft limit of ${balance} is refused`, async () => {
    await refused('invalid_request', 'POST', '/accounts', `{"name":"x","balance":${balance}}`);
    await refused('invalid_request', 'POST', '/accounts', `{"name":"x","overdraft_limit":${balance}}`);
    await refused('invalid_request', 'PATCH', '/accounts/ANN', `{"overdraft_limit":${balance}}`);
  });
}

for (const body of [
  '',
  ' ',
  '{',
  '}',
  '{"a"',
  "{'name':'x'}",
  'name=x',
  '{"name":"x"}{}',
  '{"name":"x",}',
  '\ufeff{"name":"x"}',
  '\u0000',
]) {
  test(`bad input: the body ${JSON.stringify(body)} is not JSON`, async () => {
    for (const [method, path] of WITH_BODY) await refused('malformed_json', method, path, body);
  });
}

for (const body of ['null', 'true', '5', '"text"', '[]', '[{"name":"x"}]']) {
  test(`bad input: the body ${body} is no object`, async () => {
    for (const [method, path] of WITH_BODY) await refused('invalid_request', method, path, body);
  });
}

const WITH_BODY = [
  ['POST', '/accounts'],
  ['POST', '/transfers'],
  ['PATCH', '/accounts/ANN'],
] as const;

test('bad input: bytes that are not UTF-8 are refused', async () => {
  const body = Buffer.concat([Buffer.from('{"name":"'), Buffer.from([0xc3, 0x28]), Buffer.from('"}')]);
  const answer = await send(new URL('/accounts', service.url), { method: 'POST', headers: TYPE, body });
  const text = await answer.body.text();
  checkProblem(
    { status: answer.statusCode, contentType: String(answer.headers['content-type']), text },
    'malformed_json',
  );
});

const EMAIL_FLAWS = [
  '.a@b.example',
  'a.@b.example',
  'a..b@c.example',
  'a@-b.example',
  'a@b-.example',
  'a@b..example',
  'a@b.example.',
  'a@192.0.2.1',
  'a@[192.0.2.1]',
  'a@b@c.example',
  '"a"@b.example',
  'ä@b.example',
  'a@ä.example',
];
const ACCOUNT_FLAWS: Record<string, unknown>[] = [
  {},
  ...['', 7, null, ['x'], {}, 'x'.repeat(201)].map((name) => ({ name })),
  ...['', '.', '..', 'a'.repeat(35), '@external', '@', 'a b', 'ä', 'a/b', 'a:b', 'A\n', ' A', 7, null, ['A']].map(
    (account_number) => ({
      ...ACCOUNT,
      account_number,
    }),
  ),
  ...['', 'usd', 'US', 'USDX', 'XYZ', 'U$D', 840, null, 'USD\n'].map((currency) => ({ ...ACCOUNT, currency })),
  ...['', 'nobody', 'a@b', '@b.example', `${'a'.repeat(250)}@b.example`, 7, 'a b@c.example', ...EMAIL_FLAWS].map(
    (email) => ({
      ...ACCOUNT,
      email,
    }),
  ),
  ...['', '12', 'call me', `+${'1'.repeat(31)}`, 12_345, '+49 1ü'].map((phone) => ({ ...ACCOUNT, phone })),
  ...['', '2000-13-01', '2001-02-29', '2000-1-1', '0000-01-01', '1849-12-31', '2000-01-01T00:00:00Z', 20_000_101].map(
    (date_of_birth) => ({ ...ACCOUNT, date_of_birth }),
  ),
  ...flawedMetadata().map((metadata) => ({ ...ACCOUNT, metadata })),
  { ...ACCOUNT, metadata: null },
  ...['nickname', 'held', 'status', 'entry_count', 'created_at', 'Name', 'constructor', 'toString'].map((field) => ({
    ...ACCOUNT,
    [field]: 1,
  })),
];

for (const body of ACCOUNT_FLAWS) {
  test(`bad input: no account is opened for ${show(body)}`, async () => {
    await refused('invalid_request', 'POST', '/accounts', body);
  });
}

const CHANGE_FLAWS: Record<string, unknown>[] = [
  ...['', 7, null, 'x'.repeat(201)].map((name) => ({ name })),
  ...['', 'nobody', 7].map((email) => ({ email })),
  ...['', 'call me', 7].map((phone) => ({ phone })),
  ...['', '2001-02-29', 7].map((date_of_birth) => ({ date_of_birth })),
  ...flawedMetadata().map((metadata) => ({ metadata })),
  { metadata: null },
  { nickname: 'x' },
  { constructor: 'x' },
  { name: 'Another', nickname: 'x' },
];

for (const body of CHANGE_FLAWS) {
  test(`bad input: no account is changed by ${show(body)}`, async () => {
    await refused('invalid_request', 'PATCH', '/accounts/ANN', body);
  });
}

const PARTY_FLAWS = ['', 'a'.repeat(35), '@External', '@external2', 'a b', 'ä', 'ANN\n', 7, null, ['ANN'], {}];
const TRANSFER_FLAWS: Record<string, unknown>[] = [
  {},
  ...Object.keys(TRANSFER).map((missing) =>
    Object.fromEntries(Object.entries(TRANSFER).filter(([name]) => name !== missing)),
  ),
  ...PARTY_FLAWS.flatMap((party) => [
    { ...TRANSFER, from_account: party },
    { ...TRANSFER, to_account: party },
  ]),
  ...['', 'usd', 'XYZ', 840, null].map((currency) => ({ ...TRANSFER, currency })),
  ...['', 7, 'x'.repeat(501), ['x']].map((description) => ({ ...TRANSFER, description })),
  ...flawedMetadata().map((metadata) => ({ ...TRANSFER, metadata })),
  ...['id', 'status', 'Amount', 'constructor', 'hasOwnProperty'].map((field) => ({ ...TRANSFER, [field]: 1 })),
];

for (const body of TRANSFER_FLAWS) {
  test(`bad input: no transfer is accepted for ${show(body)}`, async () => {
    await refused('invalid_request', 'POST', '/transfers', body);
  });
}

function flawedMetadata(): unknown[] {
  return [
    'text',
    7,
    ['x'],
    { key: 7 },
    { key: null },
    { key: { deeper: 'x' } },
    { key: '' },
    { key: 'x'.repeat(501) },
    { '': 'x' },
    { '1st': 'x' },
    { 'a key': 'x' },
    { ['k'.repeat(41)]: 'x' },
    Object.fromEntries(Array.from({ length: 51 }, (_, index) => [`key${index}`, 'x'])),
  ];
}

test('bad input: a member named __proto__ is refused wherever it stands', async () => {
  await refused('invalid_request', 'POST', '/accounts', '{"name":"x","__proto__":{"balance":5}}');
  await refused('invalid_request', 'POST', '/accounts', '{"name":"x","metadata":{"__proto__":"x"}}');
  await refused('invalid_request', 'POST', '/accounts', '{"name":"x","metadata":{"\\u005f_proto__":"x"}}');
  await refused('invalid_request', 'PATCH', '/accounts/ANN', '{"__proto__":{"name":"x"}}');
  await refused('invalid_request', 'PATCH', '/accounts/ANN', '{"metadata":{"__proto__":"x"}}');
  const transfer = JSON.stringify(TRANSFER).slice(0, -1);
  await refused('invalid_request', 'POST', '/transfers', `${transfer},"__proto__":{}}`);
  await refused('invalid_request', 'POST', '/transfers', `${transfer},"metadata":{"__proto__":"x"}}`);
  await refused('invalid_request', 'GET', '/transfers?__proto__=x');
  await refused('invalid_request', 'GET', '/accounts?constructor=x');
});

const UNPRINTABLE = [
  '\u0000',
  '\u0001',
  '\t',
  '\n',
  '\r',
  '\u001e',
  '\u001f',
  '\u007f',
  '\ud800',
  '\udfff',
  'a\udc00\ud800b',
  '\u0080',
  '\u0085',
  '\u009b',
  '\u009f',
  '\u2028',
  '\u2029',
  '\u061c',
  '\u200e',
  '\u200f',
  '\u202a',
  '\u202e',
  '\u2066',
  '\u2069',
  '\ufeff',
  '\ufff9',
  '\ufdd0',
  '\ufffe',
  '\uffff',
  '\u{1fffe}',
  '\u{10ffff}',
];
const TEXT_FIELDS: { method: Method; path: string; body: (text: string) => Record<string, unknown> }[] = [
  ...['account_number', 'name', 'email', 'phone', 'date_of_birth', 'currency'].map((field) => ({
    method: 'POST' as const,
    path: '/accounts',
    body: (text: string) => ({ ...ACCOUNT, [field]: text }),
  })),
  { method: 'POST', path: '/accounts', body: (text) => ({ ...ACCOUNT, metadata: { key: text } }) },
  { method: 'POST', path: '/accounts', body: (text) => ({ ...ACCOUNT, metadata: { [text]: 'x' } }) },
  { method: 'POST', path: '/accounts', body: (text) => ({ ...ACCOUNT, [text]: 'x' }) },
  ...['name', 'email', 'phone', 'date_of_birth'].map((field) => ({
    method: 'PATCH' as const,
    path: '/accounts/ANN',
    body: (text: string) => ({ [field]: text }),
  })),
  { method: 'PATCH', path: '/accounts/ANN', body: (text) => ({ metadata: { key: text } }) },
  { method: 'PATCH', path: '/accounts/ANN', body: (text) => ({ metadata: { [text]: 'x' } }) },
  ...['from_account', 'to_account', 'currency', 'description'].map((field) => ({
    method: 'POST' as const,
    path: '/transfers',
    body: (text: string) => ({ ...TRANSFER, [field]: text }),
  })),
  { method: 'POST', path: '/transfers', body: (text) => ({ ...TRANSFER, metadata: { key: text } }) },
  { method: 'POST', path: '/transfers', body: (text) => ({ ...TRANSFER, metadata: { [text]: 'x' } }) },
];

for (const { method, path, body } of TEXT_FIELDS) {
  test(`bad input: ${method} ${path} keeps unprintable text out of ${JSON.stringify(body('TEXT'))}`, async () => {
    const untouched = await snapshot();
    for (const character of UNPRINTABLE) {
      for (const text of [character, `before${character}`, `${character}after`]) {
        checkAnswer(await request(service, method, path, body(text)), 'invalid_request');
      }
    }
    assert.deepEqual(await snapshot(), untouched);
  });
}

test('bad input: a flaw is told by a JSON pointer, also where a name needs escaping', async () => {
  const { body } = await request(service, 'POST', '/transfers', {
    ...TRANSFER,
    amount: 'x',
    metadata: { 'a/b~c': 'x' },
  });
  assert.deepEqual(body['errors'], [
    { pointer: '/amount', detail: '`amount` must be an integer in minor units, from 1 to 9007199254740991' },
    {
      pointer: '/metadata/a~1b~0c',
      detail: '`a/b~c` is not a key of metadata: that is a letter, then at most 39 of A-Z a-z 0-9 _ . -',
    },
  ]);
});

test('bad input: a problem stays short, however long the request was', async () => {
  const names = Object.fromEntries(Array.from({ length: 900 }, (_, index) => [`${'k'.repeat(50)}${index}`, 7]));
  for (const body of [
    { ...ACCOUNT, ...names },
    { ...ACCOUNT, metadata: names },
    { ...ACCOUNT, ['k'.repeat(60_000)]: 1 },
  ]) {
    const answer = await request(service, 'POST', '/accounts', body);
    checkAnswer(answer, 'invalid_request');
    assert.ok(answer.text.length < 8000, `${answer.text.length} characters`);
  }
});

test('bad input: the length of a text counts characters, and what can be stored can be looked for', async () => {
  const longest = '🧀'.repeat(500);
  const note = { description: longest, metadata: { cheese: longest } };
  await refused('invalid_request', 'POST', '/transfers', { ...TRANSFER, description: `${longest}x` });
  await refused('invalid_request', 'POST', '/transfers', { ...TRANSFER, metadata: { cheese: `${longest}x` } });
  const accepted = await request(service, 'POST', '/transfers', { ...TRANSFER, ...note }, { prefer: 'wait=9' });
  assert.equal(accepted.status, 200, accepted.text);
  const query = `metadata=cheese:${encodeURIComponent(longest)}`;
  const found = await request<{ items: unknown[] }>(service, 'GET', `/transfers?${query}`);
  assert.deepEqual(found.body.items, [accepted.body]);
  await refused('invalid_request', 'GET', `/transfers?${query}x`);
});

test('bad input: deep nesting is refused', async () => {
  const depth = 15_000;
  for (const inner of ['1', '1.5']) {
    const nested = `${'['.repeat(depth)}${inner}${']'.repeat(depth)}`;
    await refusedByAny(['invalid_request', 'malformed_json'], 'POST', '/transfers', `{"amount":${nested}}`);
    await refusedByAny(['invalid_request', 'malformed_json'], 'PATCH', '/accounts/ANN', `{"metadata":${nested}}`);
  }
});

// How much a body may say.

test('bad input: a body that announces too much is refused before it is sent', async (t) => {
  const head = `POST /transfers HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${2 ** 40}\r\n\r\n`;
  checkRaw(await sendRaw(t, [head]), 'body_too_large');
});

test('bad input: a body that is too large is refused, and its sender gets to read why', async () => {
  const untouched = await snapshot();
  const body = JSON.stringify({ ...ACCOUNT, metadata: { key: 'x'.repeat(20 * BODY_BYTES_MAX) } });
  checkAnswer(await request(service, 'POST', '/accounts', body), 'body_too_large');
  const streamed = await send(new URL('/accounts', service.url), {
    method: 'POST',
    headers: TYPE,
    body: Readable.from(Array.from({ length: 20 }, () => Buffer.alloc(BODY_BYTES_MAX, 'x'))),
  });
  const text = await streamed.body.text();
  checkProblem(
    { status: streamed.statusCode, contentType: String(streamed.headers['content-type']), text },
    'body_too_large',
  );
  assert.deepEqual(await snapshot(), untouched);
});

test('bad input: chunks without end are refused while they still come', async (t) => {
  const untouched = await snapshot();
  const chunk = `1000\r\n${'x'.repeat(0x10_00)}\r\n`;
  const head =
    'POST /transfers HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n';
  checkRaw(await sendRaw(t, [head, ...Array.from({ length: 40 }, () => chunk)]), 'body_too_large');
  assert.deepEqual(await snapshot(), untouched);
});

test('bad input: a body one byte too large is refused, one that fits is read', async () => {
  const change = (bytes: number): string => `{"phone":"123"}${' '.repeat(bytes - 15)}`;
  await refused('body_too_large', 'PATCH', '/accounts/ANN', change(BODY_BYTES_MAX + 1));
  const fits = await request(service, 'PATCH', '/accounts/ANN', change(BODY_BYTES_MAX));
  assert.equal(fits.status, 200, fits.text);
});

test('bad input: a body where none is expected is not read', async () => {
  const answer = await send(new URL('/healthz', service.url), { method: 'GET', headers: TYPE, body: '{"a":' });
  assert.deepEqual([answer.statusCode, await answer.body.json()], [200, { status: 'alive' }]);
});

// Types, encodings and other headers.

for (const type of [
  'text/plain',
  'application/x-www-form-urlencoded',
  'application/json; charset=utf-16',
  'application/jsonx',
  '',
  'json',
]) {
  test(`bad input: a body of the type "${type}" is refused`, async () => {
    const headers = { 'content-type': type };
    for (const [method, path] of WITH_BODY) await refused('unsupported_media_type', method, path, '{}', headers);
  });
}

test('bad input: a body without a type, or with an encoding, is refused', async (t) => {
  const body = JSON.stringify(TRANSFER);
  checkRaw(await sendRaw(t, [post(body, '')]), 'unsupported_media_type');
  for (const encoding of ['gzip', 'identity', 'br']) {
    await refused('unsupported_media_type', 'POST', '/transfers', body, { 'content-encoding': encoding });
  }
});

for (const name of ['Host', 'Authorization', 'Content-Type', 'Idempotency-Key', 'X-Request-ID', 'Prefer']) {
  test(`bad input: two headers ${name} are one too many, even if they are the same`, async (t) => {
    const untouched = await snapshot();
    const value = name === 'Content-Type' ? 'application/json' : 'x';
    const once = name === 'Host' || name === 'Content-Type' ? '' : `${name}: ${value}\r\n`;
    const twice = `Content-Type: application/json\r\n${once}${name.toUpperCase()}: ${value}\r\n`;
    checkRaw(await sendRaw(t, [post(JSON.stringify(TRANSFER), twice)]), 'invalid_request');
    assert.deepEqual(await snapshot(), untouched);
  });
}

for (const key of ['', 'a key', 'k'.repeat(256), 'schl\u00fcssel', 'a\tb']) {
  test(`bad input: the Idempotency-Key ${show(key)} is refused`, async (t) => {
    const untouched = await snapshot();
    const headers = `Content-Type: application/json\r\nIdempotency-Key: ${key}\r\n`;
    checkRaw(await sendRaw(t, [post(JSON.stringify(TRANSFER), headers)]), 'invalid_request');
    assert.deepEqual(await snapshot(), untouched);
  });
}

test('bad input: a header is not overlooked for being the last of very many', async (t) => {
  const untouched = await snapshot();
  const headers = `${'a:\r\n'.repeat(2500)}Content-Type: application/json\r\nIdempotency-Key: a key\r\n`;
  checkRaw(await sendRaw(t, [post(JSON.stringify(TRANSFER), headers)]), 'invalid_request');
  assert.deepEqual(await snapshot(), untouched);
});

test('bad input: an expectation other than 100-continue cannot be met', async (t) => {
  const untouched = await snapshot();
  const headers = 'Content-Type: application/json\r\nExpect: something\r\nX-Request-ID: mine\r\n';
  const answer = await sendRaw(t, [post(JSON.stringify(TRANSFER), headers)]);
  checkRaw(answer, 'expectation_failed');
  assert.equal(answer.headers.get('x-request-id'), 'mine');
  assert.deepEqual(await snapshot(), untouched);
});

test('bad input: who expects 100-continue is told to go on', async (t) => {
  const body = '{"phone":"456"}';
  const head = `PATCH /accounts/ANN HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nExpect: 100-continue\r\n\r\n`;
  const answers = await sendRawAll(t, [head, body], 2);
  assert.deepEqual(
    answers.map(({ status }) => status),
    [100, 200],
  );
});

test('bad input: an upgrade that is asked for is not given, and the request is answered', async (t) => {
  const answer = await sendRaw(t, [
    'GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
  ]);
  assert.deepEqual([answer.status, answer.text], [200, '{"status":"alive"}']);
});

test('bad input: a request id that is not well formed is replaced', async () => {
  for (const given of ['a b', '-a', 'a'.repeat(129), 'a"b', '']) {
    const answer = await request(service, 'GET', '/healthz', undefined, { 'x-request-id': given });
    assert.equal(answer.status, 200);
    assert.match(String(answer.headers['x-request-id']), /^[0-9a-f-]{36}$/, given);
  }
});

// Paths and methods.

const NOWHERE = [
  '/',
  '/nothing',
  '/accounts/',
  '/transfers/',
  '//accounts',
  '/accounts//',
  '/accounts/ANN/',
  '/accounts/ANN/balance/x',
];
for (const path of [
  ...NOWHERE,
  '/ACCOUNTS',
  '/__proto__',
  '/constructor',
  '/accounts/ANN/constructor',
  '/%61ccounts',
  '/accounts#x',
]) {
  test(`bad input: there is nothing at ${path}`, async (t) => {
    checkRaw(await sendRaw(t, [`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`]), 'not_found');
    checkRaw(await sendRaw(t, [`DELETE ${path} HTTP/1.1\r\nHost: x\r\n\r\n`]), 'not_found');
  });
}

for (const number of [
  'NOBODY',
  '%00',
  'ANN%00',
  'a%2Fb',
  '%2e%2e',
  '..',
  '%F0%9F%A7%80',
  'a'.repeat(35),
  'x'.repeat(5000),
  '__proto__',
  'ann',
  'ANN%20',
  "'%20or%20true--",
]) {
  test(`bad input: there is no account ${show(number)}`, async (t) => {
    const untouched = await snapshot();
    const get = async (path: string) => sendRaw(t, [`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`]);
    for (const path of ['', '/entries', '/balance', '/balance?at=2026-01-01T00:00:00Z']) {
      checkRaw(await get(`/accounts/${number}${path}`), 'account_not_found');
    }
    checkRaw(await sendRaw(t, [`DELETE /accounts/${number} HTTP/1.1\r\nHost: x\r\n\r\n`]), 'account_not_found');
    const change = `PATCH /accounts/${number} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{"name":"x"}`;
    checkRaw(await sendRaw(t, [change]), 'account_not_found');
    assert.deepEqual(await snapshot(), untouched);
  });
}

test('bad input: nobody changes or closes @external', async () => {
  await refused('account_not_found', 'PATCH', '/accounts/@external', { name: 'Mine' });
  await refused('account_not_found', 'PATCH', '/accounts/%40external', { overdraft_limit: 5 });
  await refused('account_not_found', 'DELETE', '/accounts/@external');
});

for (const id of [
  'x',
  '%00',
  '0192f0c4-0000-7000-8000-00000000000',
  '0192f0c400007000800000000000000f',
  '0192f0c4-0000-7000-8000-00000000000f',
  '{0192f0c4-0000-7000-8000-00000000000f}',
]) {
  test(`bad input: there is no transfer ${id}`, async () => {
    await refused('transfer_not_found', 'GET', `/transfers/${encodeURI(id)}`);
  });
}

for (const segment of ['%', '%4', '%ZZ', '%FF', '%C0%AF', '%ED%A0%80', '%E0%A4%A']) {
  test(`bad input: a path with ${segment} is not correctly encoded`, async (t) => {
    for (const path of [`/accounts/${segment}`, `/accounts/${segment}/entries`, `/transfers/${segment}`]) {
      checkRaw(await sendRaw(t, [`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`]), 'invalid_request');
    }
  });
}

const ALLOWED: Record<string, string[]> = {
  '/accounts': ['POST', 'GET'],
  '/accounts/ANN': ['GET', 'PATCH', 'DELETE'],
  '/accounts/ANN/entries': ['GET'],
  '/accounts/ANN/balance': ['GET'],
  '/transfers': ['POST', 'GET'],
  '/transfers/0192f0c4-0000-7000-8000-00000000000f': ['GET'],
  '/healthz': ['GET'],
  '/readyz': ['GET'],
  '/metrics': ['GET'],
  '/openapi.json': ['GET'],
};

for (const [path, allowed] of Object.entries(ALLOWED)) {
  const listed = [...allowed, ...(allowed.includes('GET') ? ['HEAD'] : []), 'OPTIONS'];
  test(`bad input: ${path} has ${listed.join(', ')} and no other method`, async (t) => {
    const untouched = await snapshot();
    for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'TRACE', 'PROPFIND']) {
      if (allowed.includes(method)) continue;
      const answer = await sendRaw(t, [`${method} ${path} HTTP/1.1\r\nHost: x\r\n\r\n`]);
      checkRaw(answer, 'method_not_allowed');
      assert.deepEqual(answer.headers.get('allow')?.split(', ').toSorted(), listed.toSorted());
    }
    assert.deepEqual(await snapshot(), untouched);
  });
}

for (const target of ['http://u@x/healthz', 'ftp://x/', 'http://', 'healthz', 'x:80']) {
  test(`bad input: the request target ${target} is refused`, async (t) => {
    const refusal = ['invalid_request', 'malformed_http'] as const;
    checkRawAny(await sendRaw(t, [`GET ${target} HTTP/1.1\r\nHost: x\r\n\r\n`]), refusal);
    checkRawAny(await sendRaw(t, [`OPTIONS ${target} HTTP/1.1\r\nHost: x\r\n\r\n`]), refusal);
  });
}

test('bad input: a tunnel is refused', async (t) => {
  for (const target of ['example.com:443', '/transfers', '*']) {
    checkRaw(await sendRaw(t, [`CONNECT ${target} HTTP/1.1\r\nHost: x\r\n\r\n`]), 'method_not_implemented');
  }
});

// Queries.

const LISTS = ['/accounts', '/transfers', '/transfers?account=ANN', '/accounts/ANN/entries'];
for (const limit of [
  '0',
  '-1',
  '1001',
  '99999999999999999999',
  'abc',
  '',
  '1.5',
  '1e2',
  '0x10',
  '%2010',
  '+10',
  'Infinity',
  '%00',
  '10&limit=10',
]) {
  test(`bad input: the limit "${limit}" is refused`, async () => {
    for (const path of LISTS) await refused('invalid_request', 'GET', withQuery(path, `limit=${limit}`));
  });
}

const CURSORS = [
  '',
  'x',
  '%00',
  '%00:USD',
  ':USD',
  'ANN',
  'ANN:usd',
  'ANN:USD:',
  'ANN%0A:USD',
  '-1',
  '1.5',
  '1e3',
  '9'.repeat(19),
  'e30',
  'bnVsbA',
  'W10',
  '%FF',
  'x'.repeat(201),
];
for (const after of CURSORS) {
  test(`bad input: the cursor "${show(after)}" is refused`, async () => {
    for (const path of LISTS) await refused('invalid_request', 'GET', withQuery(path, `after=${after}`));
  });
}

const ID = '0192f0c4-0000-7000-8000-00000000000f';
const SETTLED = { stage: 'settled', number: '1', position: 1, entry: '1' };
const FORGED: unknown[] = [
  null,
  [],
  {},
  { stage: 'pending' },
  { stage: 'pending', id: 'x' },
  { stage: 'pending', id: [ID] },
  { stage: 'pending', id: `${ID}\u0000` },
  { stage: 'other', id: ID },
  { ...SETTLED, number: '9223372036854775808' },
  { ...SETTLED, number: '-1' },
  { ...SETTLED, number: ['1'] },
  { ...SETTLED, number: 1 },
  { ...SETTLED, number: undefined },
  { ...SETTLED, position: 2_147_483_648 },
  { ...SETTLED, position: -1 },
  { ...SETTLED, position: '1' },
  { ...SETTLED, position: 1.5 },
  { ...SETTLED, entry: '9999999999999999999' },
  { ...SETTLED, entry: undefined },
  { ...SETTLED, entry: { toString: 'x' } },
];
for (const cursor of FORGED) {
  test(`bad input: the forged cursor ${JSON.stringify(cursor)} is refused`, async () => {
    const after = Buffer.from(JSON.stringify(cursor)).toString('base64url');
    for (const path of ['/transfers', '/transfers?account=ANN', '/transfers?status=failed']) {
      await refused('invalid_request', 'GET', withQuery(path, `after=${after}`));
    }
  });
}

const INSTANTS = [
  '',
  'now',
  '2026',
  '2026-01-01',
  '2026-01-01 00:00:00Z',
  '2026-01-01T00:00:00',
  '2026-01-01T00:00Z',
  '1767225600',
  'infinity',
  '%00',
  '2026-13-01T00:00:00Z',
  '2026-00-01T00:00:00Z',
  '2026-02-29T00:00:00Z',
  '2026-04-31T00:00:00Z',
  '2026-01-01T24:00:00Z',
  '2026-01-01T00:60:00Z',
  '2026-06-30T23:59:60Z',
  '2026-01-01T00:00:00+24:00',
  '2026-01-01T00:00:00+02:60',
  '2026-01-01T00:00:00+2',
  // Written as an instant is, and still none that PostgreSQL knows.
  '0000-01-01T00:00:00Z',
  '2026-01-01T00:00:00+23:59',
  '2026-01-01T00:00:00-16:00',
  '2026-01-01T00:00:00+16:00',
  '-2026-01-01T00:00:00Z',
  '12026-01-01T00:00:00Z',
  `2026-01-01T00:00:00.${'1'.repeat(2000)}Z`,
];
for (const instant of INSTANTS) {
  test(`bad input: ${show(instant)} is no instant`, async () => {
    const value = instant.replaceAll('+', '%2B').replaceAll(' ', '%20');
    await refused('invalid_request', 'GET', `/accounts/ANN/balance?at=${value}`);
    await refused('invalid_request', 'GET', `/transfers?since=${value}`);
    await refused('invalid_request', 'GET', `/transfers?account=ANN&until=${value}`);
  });
}

for (const instant of [
  '0001-01-01T00:00:00Z',
  '0001-01-01T00:00:00+15:59',
  '9999-12-31T23:59:59.999999Z',
  '9999-12-31T23:59:59-15:59',
  '2024-02-29T00:00:00-00:00',
]) {
  test(`bad input: ${instant} is an instant, if a strange one`, async () => {
    const value = instant.replaceAll('+', '%2B');
    for (const path of [
      `/accounts/ANN/balance?at=${value}`,
      `/transfers?since=${value}`,
      `/transfers?account=ANN&until=${value}`,
    ]) {
      const answer = await request(service, 'GET', path);
      // A balance of the future is not known yet.
      const isRefused = path.includes('at=9999');
      assert.equal(answer.status, isRefused ? 409 : 200, answer.text);
    }
  });
}

const QUERIES = [
  '/accounts?limt=5',
  '/accounts?limit=5&limit=5',
  '/accounts?account=ANN',
  '/healthz?x',
  '/metrics?x=1',
  '/openapi.json?x=1',
  '/readyz?=',
  '/transfers?status=done',
  '/transfers?status=',
  '/transfers?status=Pending',
  '/transfers?status=failed&status=failed',
  '/transfers?account=',
  '/transfers?account=a%20b',
  '/transfers?account=@external',
  '/transfers?account=ANN%00',
  `/transfers?account=${'a'.repeat(35)}`,
  '/transfers?currency=usd',
  '/transfers?currency=XYZ',
  '/accounts/ANN?currency=usd',
  '/accounts/ANN/entries?currency=USD%00',
  '/transfers?request_id=',
  '/transfers?request_id=%00',
  '/transfers?request_id=a%20b',
  '/transfers?request_id=%ZZ',
  '/transfers?request_id=%FF',
  `/transfers?request_id=${'a'.repeat(129)}`,
  '/accounts/ANN/entries?order=best',
  '/accounts/ANN/entries?order=',
  '/accounts/ANN/balance?at',
  '/accounts/ANN?x=1',
  `/transfers/${ID}?x=1`,
  '/transfers?account=ANN&account=BOB',
  '/transfers?account=ANN;account=BOB',
];
for (const path of QUERIES) {
  test(`bad input: the query of ${show(path)} is refused`, async () => {
    await refused('invalid_request', 'GET', path);
  });
}

test('bad input: queries are looked at where something would be done, too', async () => {
  await refused('invalid_request', 'POST', '/transfers?dry_run=yes', TRANSFER);
  await refused('invalid_request', 'POST', '/transfers?dry_rnu=true', TRANSFER);
  await refused('invalid_request', 'POST', '/accounts?dry_run=true', ACCOUNT);
  await refused('invalid_request', 'PATCH', '/accounts/ANN?dry_run=true', { name: 'Another' });
  await refused('invalid_request', 'DELETE', '/accounts/ANN?dry_run=true');
});

// What is hardly HTTP.

const BODY = JSON.stringify(TRANSFER);
const HEAD = 'POST /transfers HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n';
const MALFORMED: { name: string; parts: string[]; code?: ProblemCode }[] = [
  { name: 'no HTTP at all', parts: ['hello\r\n\r\n'] },
  { name: 'TLS', parts: ['\u0016\u0003\u0001\u0000\u00ff\u0001\u0000'] },
  { name: 'HTTP/2', parts: ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'] },
  { name: 'a version that does not exist', parts: ['GET /healthz HTTP/9.9\r\nHost: x\r\n\r\n'] },
  {
    name: 'a method that does not exist',
    parts: ['FROB /healthz HTTP/1.1\r\nHost: x\r\n\r\n'],
    code: 'method_not_implemented',
  },
  { name: 'no path', parts: ['GET  HTTP/1.1\r\nHost: x\r\n\r\n'] },
  { name: 'a byte above 127 in the path', parts: ['GET /accounts/\u00ff HTTP/1.1\r\nHost: x\r\n\r\n'] },
  { name: 'lines that end without a carriage return', parts: ['GET /healthz HTTP/1.1\nHost: x\n\n'] },
  { name: 'a folded header', parts: ['GET /healthz HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n'] },
  { name: 'a header without a colon', parts: ['GET /healthz HTTP/1.1\r\nHost: x\r\nnothing\r\n\r\n'] },
  { name: 'a space before the colon', parts: ['GET /healthz HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n'] },
  { name: 'a control character in a header', parts: ['GET /healthz HTTP/1.1\r\nHost: x\r\nA: \u0001\r\n\r\n'] },
  { name: 'no Host', parts: ['GET /healthz HTTP/1.1\r\n\r\n'], code: 'invalid_request' },
  {
    name: 'a length and chunks',
    parts: [`${HEAD}Content-Length: ${BODY.length}\r\nTransfer-Encoding: chunked\r\n\r\n${BODY}`],
  },
  {
    name: 'two lengths',
    parts: [`${HEAD}Content-Length: ${BODY.length}\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`],
  },
  { name: 'a length that is no number', parts: [`${HEAD}Content-Length: abc\r\n\r\n${BODY}`] },
  { name: 'a length below zero', parts: [`${HEAD}Content-Length: -5\r\n\r\n${BODY}`] },
  { name: 'a length beyond all bounds', parts: [`${HEAD}Content-Length: ${'9'.repeat(30)}\r\n\r\n${BODY}`] },
  { name: 'a transfer encoding that is unknown', parts: [`${HEAD}Transfer-Encoding: x\r\n\r\n${BODY}`] },
  { name: 'a chunk of no size', parts: [`${HEAD}Transfer-Encoding: chunked\r\n\r\nzz\r\n${BODY}\r\n0\r\n\r\n`] },
  {
    name: 'a chunk longer than its size',
    parts: [`${HEAD}Transfer-Encoding: chunked\r\n\r\n5\r\n${BODY}\r\n0\r\n\r\n`],
  },
  { name: 'a second chunk of no size', parts: [`${HEAD}Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n`, 'zz\r\n'] },
  {
    name: 'a chunk extension without end',
    parts: [`${HEAD}Transfer-Encoding: chunked\r\n\r\n5;${'x'.repeat(20_000)}\r\n`],
  },
  {
    name: 'a head that is too large',
    parts: [`GET /healthz HTTP/1.1\r\nHost: x\r\nA: ${'x'.repeat(17_000)}\r\n\r\n`],
    code: 'headers_too_large',
  },
  {
    name: 'a path that is too large',
    parts: [`GET /${'x'.repeat(17_000)} HTTP/1.1\r\nHost: x\r\n\r\n`],
    code: 'headers_too_large',
  },
];

for (const { name, parts, code = 'malformed_http' } of MALFORMED) {
  test(`bad input: ${name} is refused`, async (t) => {
    const untouched = await snapshot();
    checkRaw(await sendRaw(t, parts), code);
    assert.deepEqual(await snapshot(), untouched);
  });
}

test('bad input: what follows a good request does not take its answer away', async (t) => {
  const headers = 'Content-Type: application/json\r\nPrefer: wait=9\r\n';
  const [first, second] = await sendRawAll(t, [`${post(BODY, headers)}garbage\r\n\r\n`], 2);
  assert.ok(first);
  assert.equal(first.status, 200, first.text);
  assert.equal(JSON.parse(first.text).status, 'completed');
  assert.ok(second);
  checkRaw(second, 'malformed_http');
});

test('bad input: what is wrong in a second request is not told as the answer to the first', async (t) => {
  const headers = 'Content-Type: application/json\r\nPrefer: wait=9\r\n';
  const broken = `${HEAD}Transfer-Encoding: chunked\r\n\r\nzz\r\n`;
  const [first, second] = await sendRawAll(t, [`${post(BODY, headers)}${broken}`], 2);
  assert.ok(first);
  assert.equal(first.status, 200, first.text);
  assert.ok(second);
  checkRaw(second, 'malformed_http');
});

test('bad input: what does not arrive in time is refused', async (t) => {
  const untouched = await snapshot();
  const hasty = await startService(t, {
    database,
    env: { THREADS: '1', REQUEST_TIMEOUT_MS: '500', LOG_LEVEL: 'warn' },
  });
  const parts = { head: HEAD, body: `${HEAD}Content-Length: ${BODY.length}\r\n\r\n${BODY.slice(0, -1)}` };
  const answers = await Promise.all(Object.values(parts).map((part) => sendRaw(t, [part], hasty)));
  for (const answer of answers) {
    checkRaw(answer, 'request_timeout');
    assert.equal(answer.headers.get('connection'), 'close');
  }
  assert.deepEqual(await snapshot(), untouched);
});

test('bad input: a head has a time of its own to arrive in', async (t) => {
  const hasty = await startService(t, {
    database,
    env: { THREADS: '1', HEADERS_TIMEOUT_MS: '500', LOG_LEVEL: 'warn' },
  });
  const startedAt = performance.now();
  checkRaw(await sendRaw(t, [HEAD], hasty), 'request_timeout');
  assert.ok(performance.now() - startedAt < 10_000, 'The time of the whole request is longer.');
});

test('bad input: a caller that hangs up in the middle of its body stores nothing', async (t) => {
  const untouched = await snapshot();
  const socket = connect(Number(new URL(service.url).port), '127.0.0.1');
  onEnd(t, () => {
    socket.destroy();
  });
  await new Promise<void>((done) => {
    socket.write(`${HEAD}Content-Length: ${BODY.length}\r\n\r\n${BODY.slice(0, -1)}`, () => done());
  });
  const closed = new Promise((done) => {
    socket.once('close', done);
  });
  socket.resume().end();
  await closed;
  assert.deepEqual(await snapshot(), untouched);
});

test('bad input: after all this the service is alive, and has found no fault with itself', async () => {
  const answer = await request(service, 'GET', '/healthz');
  assert.equal(answer.status, 200);
  assert.equal(service.ended(), false);
  const faults = service.logs().filter(({ level }) => typeof level !== 'number' || level >= 50);
  assert.deepEqual(faults, []);
  await checkPromises(database, { nothingPending: true });
});

/** Sends a request that must be refused with this code, and leave the database as it was. */
async function refused(
  code: ProblemCode,
  method: Method,
  path: string,
  body?: unknown,
  headers?: Record<string, string>,
): Promise<void> {
  await refusedByAny([code], method, path, body, headers);
}

async function refusedByAny(
  codes: readonly ProblemCode[],
  method: Method,
  path: string,
  body?: unknown,
  headers?: Record<string, string>,
): Promise<void> {
  const untouched = await snapshot();
  checkAnswer(await request(service, method, path, body, headers), ...codes);
  assert.deepEqual(await snapshot(), untouched);
}

/** The whole content of every table, in short. Intakes alone change by themselves: they have a heartbeat. */
async function snapshot(): Promise<Record<string, unknown>> {
  const columns = tables.map(
    (table) =>
      `(select count(*) || ' ' || coalesce(md5(string_agg(r::text, '|' order by r::text)), '') from ${table} r) as ${table}`,
  );
  const [row] = await database.query(`select ${columns.join(', ')}`);
  assert.ok(row);
  return row;
}

function checkAnswer(
  answer: { status: number; headers: Record<string, string | string[] | undefined>; text: string },
  ...codes: ProblemCode[]
): void {
  checkProblem(
    { status: answer.status, contentType: String(answer.headers['content-type']), text: answer.text },
    ...codes,
  );
  assert.ok(answer.headers['x-request-id']);
}

function checkRaw(answer: RawAnswer, code: ProblemCode): void {
  checkRawAny(answer, [code]);
}

function checkRawAny(answer: RawAnswer, codes: readonly ProblemCode[]): void {
  checkProblem({ ...answer, contentType: answer.headers.get('content-type') ?? '' }, ...codes);
  assert.equal(JSON.parse(answer.text).request_id, answer.headers.get('x-request-id'));
}

function checkProblem(answer: { status: number; contentType: string; text: string }, ...codes: ProblemCode[]): void {
  assert.equal(answer.contentType, 'application/problem+json', answer.text);
  const problem: unknown = JSON.parse(answer.text);
  // Parsing leaves out what the view does not have.
  assert.deepEqual(ANSWER_VIEWS.Problem.parse(problem), problem);
  const code = codes.find((each) => answer.text.includes(`"code":"${each}"`));
  assert.ok(code, `${codes.join(' or ')} was expected: ${answer.text}`);
  assert.equal(answer.status, PROBLEMS[code].status);
}

/** Writes to a socket of its own as it is told to, and returns the one answer. */
async function sendRaw(t: TestContext, parts: readonly string[], to: Service = service): Promise<RawAnswer> {
  const [answer] = await sendRawAll(t, parts, 1, { to });
  assert.ok(answer);
  return answer;
}

async function sendRawAll(
  t: TestContext,
  parts: readonly string[],
  count: number,
  { to = service }: { to?: Service } = {},
): Promise<RawAnswer[]> {
  const socket = connect(Number(new URL(to.url).port), '127.0.0.1');
  onEnd(t, () => {
    socket.destroy();
  });
  return await new Promise((resolve, reject) => {
    let received = Buffer.alloc(0);
    const giveUp = (why: string): void => {
      reject(new Error(`${why} before ${count} answers were there. They were: ${received.toString('latin1')}`));
    };
    const patience = setTimeout(giveUp, ANSWER_TIMEOUT_MS, `${ANSWER_TIMEOUT_MS} ms were over`);
    const look = (): boolean => {
      const answers = parseAnswers(received);
      if (answers.length < count) return false;
      clearTimeout(patience);
      resolve(answers);
      return true;
    };
    // Each part goes out when the one before it has, so that the service reads them one by one.
    const [...waiting] = parts;
    const writeNext = (): void => {
      const part = waiting.shift();
      if (part !== undefined && socket.writable) socket.write(part, 'latin1', () => setImmediate(writeNext));
    };
    socket.once('connect', writeNext);
    socket.on('data', (data: Buffer) => {
      received = Buffer.concat([received, data]);
      look();
    });
    // A connection that is cut while we still write is an error; what had come before it counts.
    socket.on('error', () => {});
    socket.on('close', () => {
      clearTimeout(patience);
      if (!look()) giveUp('The connection was closed');
    });
  });
}

/** The answers that have arrived whole. */
function parseAnswers(received: Buffer): RawAnswer[] {
  const answers: RawAnswer[] = [];
  let rest = received;
  for (;;) {
    const end = rest.indexOf('\r\n\r\n');
    if (end === -1) return answers;
    const [statusLine = '', ...lines] = rest.subarray(0, end).toString('latin1').split('\r\n');
    const headers = new Map(
      lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
    );
    const length = Number(headers.get('content-length') ?? 0);
    const body = rest.subarray(end + 4, end + 4 + length);
    if (body.length < length) return answers;
    answers.push({ status: Number(statusLine.split(' ')[1]), headers, text: body.toString('utf8') });
    rest = rest.subarray(end + 4 + length);
  }
}

function post(body: string, headers: string): string {
  return `POST /transfers HTTP/1.1\r\nHost: x\r\n${headers}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
}

function withQuery(path: string, query: string): string {
  return `${path}${path.includes('?') ? '&' : '?'}${query}`;
}

function show(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}
