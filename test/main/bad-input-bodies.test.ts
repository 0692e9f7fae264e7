// Goal: every wrong request gets a clear answer at once, nothing is stored, and the service continues. Here: content
// and size of bodies. Method: one wrong request at a time; after each the content of the database must be unchanged.
import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { before, test } from 'node:test';
import { request as send } from 'undici';
import { type ProblemCode } from '../../src/main/http/problem.ts';
import { request } from '../support/service.ts';
import {
  ACCOUNT,
  BODY_BYTES_MAX,
  checkAnswer,
  checkHealth,
  checkProblem,
  checkRaw,
  type Method,
  refused,
  refusedByAny,
  sendRaw,
  service,
  show,
  snapshot,
  start,
  TRANSFER,
  TYPE,
  WITH_BODY,
} from './bad-input.ts';

before(start);

// Content of bodies.

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
  ...['', 'ada', 'a@b', '@b.example', `${'a'.repeat(250)}@b.example`, 7, 'a b@c.example', ...EMAIL_FLAWS].map(
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
  ...['', 'ada', 7].map((email) => ({ email })),
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

test('bad input: a member named __proto__ is refused at any depth', async () => {
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

test('bad input: an error has a JSON pointer and names the member, also if its name needs escapes', async () => {
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

test('bad input: a problem is short, even for a long request', async () => {
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

test('bad input: the length of a text counts characters, and every stored text can be searched for', async () => {
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

// Size of bodies.

test('bad input: a body with a too large Content-Length is refused before it is sent', async (t) => {
  const head = `POST /transfers HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${2 ** 40}\r\n\r\n`;
  checkRaw(await sendRaw(t, [head]), 'body_too_large');
});

test('bad input: a body that is too large is refused, and its sender receives the problem', async () => {
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

test('bad input: endless chunks are refused while they arrive', async (t) => {
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

test('bad input: the service is alive afterwards, and logs no error', checkHealth);
