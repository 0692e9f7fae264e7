// What can be wrong with a request apart from the values in its body: its method, path, query, headers, and bytes.
import * as fc from 'fast-check';

export type Header = readonly [name: string, value: string];

const PREFERENCES = [
  'wait=0',
  'wait=1',
  'wait=99999999',
  'wait=-1',
  'respond-async, wait=2',
  'wait="1"',
  'wait',
  'wait=1e3',
];
const ACCEPTED = [
  '*/*',
  'text/html',
  'text/csv;q=0.9',
  'application/json;q=0',
  ',,;q=;,',
  'text/event-stream',
  '\u00ff',
];
const REQUEST_IDS = [
  'mine',
  'a'.repeat(128),
  'a'.repeat(129),
  '-a',
  'a b',
  '',
  '0',
  "'; drop table accounts; --",
  '\u00e9',
];
const INDIFFERENT: Header[] = [
  ['Connection', 'keep-alive'],
  ['Connection', 'close'],
  ['Connection', 'close, keep-alive'],
  ['Connection', 'Content-Type'],
  ['Upgrade', 'h2c'],
  ['Expect', '100-continue'],
  ['Cookie', 'a=b; c="d'],
  ['Authorization', 'Bearer \u00ff'],
  ['X-HTTP-Method-Override', 'DELETE'],
  ['X-Forwarded-Host', 'evil.example'],
  ['If-None-Match', '*'],
  ['If-Modified-Since', 'yesterday'],
  ['Range', 'bytes=0-0,5-,-1'],
  ['TE', 'trailers'],
  ['Last-Event-ID', ''],
  ['Host', ''],
  ['Host', 'localhost.:1'],
  ['Host', '[::1]:99999'],
  ['Sec-Fetch-Site', 'none'],
  ['X-Long', 'x'.repeat(9000)],
  ['__proto__', 'x'],
  ['constructor', 'x'],
];
const TYPES = [
  'application/json; charset=utf-8',
  'Application/JSON',
  'application/json;charset="UTF-8"',
  'application/json ',
  'application/json;',
  'application/json; charset=utf8; x="y;z"',
];

/** Headers that no request is refused for. */
export const plainHeader: fc.Arbitrary<Header> = fc.oneof(
  { arbitrary: fc.uuid().map((key): Header => ['Idempotency-Key', key]), weight: 4 },
  {
    arbitrary: fc
      .constantFrom('k1', 'k2', 'k3', 'k'.repeat(255), '!~"\\')
      .map((key): Header => ['Idempotency-Key', key]),
    weight: 2,
  },
  { arbitrary: fc.constantFrom(...REQUEST_IDS).map((id): Header => ['X-Request-ID', id]), weight: 3 },
  { arbitrary: fc.constantFrom(...PREFERENCES).map((preference): Header => ['Prefer', preference]), weight: 4 },
  { arbitrary: fc.constantFrom(...ACCEPTED).map((type): Header => ['Accept', type]), weight: 3 },
  { arbitrary: fc.constantFrom(...TYPES).map((type): Header => ['Content-Type', type]), weight: 1 },
  { arbitrary: fc.constantFrom(...INDIFFERENT), weight: 2 },
);

/** Headers that some requests are refused for. */
export const headerMutation: fc.Arbitrary<Header> = fc.oneof(
  fc
    .constantFrom(
      '',
      'text/plain',
      'application/json; charset=utf-16',
      'application/jsonx',
      'application/json, x',
      '\u00ff',
    )
    .map((type): Header => ['Content-Type', type]),
  fc.constantFrom('gzip', 'identity', 'br', '').map((encoding): Header => ['Content-Encoding', encoding]),
  fc
    .constantFrom('', ' ', 'a key', 'k'.repeat(256), 'k'.repeat(9000), 'schl\u00fcssel', 'a\tb', '\u0080')
    .map((key): Header => ['Idempotency-Key', key]),
  fc
    .constantFrom('x', '-1', '1.5', '99999999999999999999', '999999999999999')
    .map((id): Header => ['Last-Event-ID', id]),
  fc.constantFrom('nothing', '100-continue, x', '').map((expectation): Header => ['Expect', expectation]),
  fc
    .constantFrom('gzip, chunked', 'identity', 'chunked, chunked', 'x')
    .map((coding): Header => ['Transfer-Encoding', coding]),
  fc
    .constantFrom('0', '1', '-1', '+1', '1e1', '0x10', '9'.repeat(25), '')
    .map((length): Header => ['Content-Length', length]),
  fc
    .constantFrom('a b\u00ff:99999', 'attacker.example', 'a.b:80', '192.0.2.1', '@', 'x:x')
    .map((host): Header => ['Host', host]),
  fc
    .constantFrom('null', 'http://attacker.example', 'http://localhost', '', 'http://x', 'x')
    .map((origin): Header => ['Origin', origin]),
  fc.constantFrom('cross-site', 'same-site', '', 'x').map((site): Header => ['Sec-Fetch-Site', site]),
  fc.constantFrom('\u0000', 'a\u0001b', '\u007f', 'x'.repeat(17_000)).map((value): Header => ['X-Odd', value]),
  fc.constantFrom('', ' ', 'X Y', 'X(', '\u00e9', '\u0000', ':').map((name): Header => [name, 'x']),
  fc.tuple(fc.stringMatching(/^[A-Za-z-]{1,20}$/), fc.stringMatching(/^[\u0020-\u007e\u0080-\u00ff]{0,50}$/)),
);

export const methodMutation = fc.constantFrom(
  'HEAD',
  'GET',
  'POST',
  'PUT',
  'PATCH',
  'DELETE',
  'OPTIONS',
  'TRACE',
  'CONNECT',
  'PROPFIND',
  'QUERY',
  'PURGE',
  'get',
  'FROB',
  'G',
  ' GET',
  'GET\t',
  '',
  'X'.repeat(200),
);

type Change = { readonly name: string; readonly change: (text: string) => string };

const PATHS: Record<string, (path: string) => string> = {
  'slash behind': (path) => `${path}/`,
  'two slashes': (path) => `/${path}`,
  'dot segments': (path) => `/x/..${path}`,
  'dot behind': (path) => `${path}/.`,
  'encoded slash': (path) => path.replace(/.\//, '%2f'),
  'encoded letter': (path) => `/%61${path.slice(2)}`,
  'capital letters': (path) => path.toUpperCase(),
  'NUL behind': (path) => `${path}%00`,
  parameter: (path) => `${path};x=1`,
  fragment: (path) => `${path}#x`,
  backslash: (path) => path.replaceAll('/', '\\'),
  'half an escape': (path) => `${path}%`,
  'no escape': (path) => `${path}%ZZ`,
  'overlong slash': (path) => `${path}%c0%af`,
  surrogate: (path) => `${path}%ED%A0%80`,
  'unicode encoded': (path) => `${path}%F0%9F%A7%80`,
  'unicode as it is': (path) => `${path}\u00c3\u00a9`,
  space: (path) => `${path} x`,
  tab: (path) => `${path}\t`,
  'control character': (path) => `${path}\u0001`,
  'very long': (path) => `${path}${'x'.repeat(8000)}`,
  'too long': (path) => `${path}${'x'.repeat(17_000)}`,
  'very deep': (path) => `${path}${'/x'.repeat(3000)}`,
  absolute: (path) => `http://x${path}`,
  'other scheme': (path) => `ftp://x${path}`,
  'other origin': (path) => `//evil.example${path}`,
  asterisk: () => '*',
  authority: () => 'x:80',
  nothing: () => '',
  root: () => '/',
  'no slash': (path) => path.slice(1),
  __proto__: () => '/__proto__',
  'prototype of a route': (path) => `${path}/constructor`,
};

export const pathMutation: fc.Arbitrary<Change> = fc
  .constantFrom(...Object.entries(PATHS))
  .map(([name, change]) => ({ name, change }));

/** A parameter of a path, encoded as it is or wrongly. */
export const segmentMutation = fc.oneof(
  fc.constantFrom(
    '',
    '%00',
    'F0%00',
    '%',
    '%4',
    '%FF',
    '%C0%AF',
    '%2F',
    '..',
    '.',
    '%2e%2e',
    '@external',
    '%40external',
    'f0',
    "'%20or%20true--",
    '%F0%9F%A7%80',
    'F0%20',
    'L'.repeat(35),
    'x'.repeat(6000),
    '__proto__',
    'null',
    '0',
    '-1',
    '{}',
    '~',
    '*',
    '%D7%A9',
    '%EF%BB%BFF0',
    '%0d%0aX-Evil:%201',
    '9'.repeat(400),
    'NOSUCH',
    'undefined',
  ),
  fc
    .string({ unit: 'binary', minLength: 1, maxLength: 40 })
    .filter((text) => text.isWellFormed())
    .map(encodeURIComponent),
);

export const queryMutation = fc.oneof(
  fc.constantFrom(
    'x',
    '=',
    '=&=',
    '%',
    '%ZZ=1',
    'a=%FF',
    'limit=1&limit=2',
    'limit=0',
    'limit=1001',
    'limit=',
    'limit=1e2',
    'limit=%31',
    'limit=0x10',
    'limit=-1',
    'limit=1.0',
    'limit[]=1',
    'limit=9999999999999999999999',
    'after=',
    'after=%00',
    'after=x',
    'after=-1',
    `after=${'9'.repeat(18)}`,
    `after=${'9'.repeat(15)}`,
    'after=F0:EUR',
    'after=%EF%BF%BD',
    'after=bnVsbA',
    'after=e30',
    `after=${'x'.repeat(201)}`,
    'metadata=',
    'metadata=a%00',
    'metadata=a:%00',
    'metadata=a:',
    'metadata=a:%ED%A0%80',
    'metadata=a:%FF',
    'metadata=a:%F0%9F%A7%80',
    `metadata=a:${'x'.repeat(501)}`,
    'metadata=%22',
    'dry_run=TRUE',
    'dry_run=1',
    'dry_run',
    'dry_run=true&dry_run=true',
    'dry_run=true',
    '__proto__=x',
    'constructor=x',
    'at=now',
    'at=infinity',
    'at=0000-01-01T00:00:00Z',
    'at=2026-02-29T00:00:00Z',
    'at=2026-01-01T00:00:00+23:59',
    'status=closed',
    'status=Pending',
    'account=%40external',
    'account=F0%00',
    'currency=eur',
    'currency=EUR&currency=EUR',
    'order=',
    'format=pdf',
    'request_id=%00',
    'request_id=a%20b',
    'group_id=x',
    'parent_id=%00',
    '&&&',
    '?',
    '#x',
    'since=9999-12-31T23:59:59-15:59&until=0001-01-01T00:00:00%2B15:59',
    `x=${'y'.repeat(9000)}`,
    'a=1&'.repeat(2000),
  ),
  fc.webQueryParameters(),
);

const FORMS: Record<string, (text: string) => string> = {
  absent: (text) => text,
  empty: () => '',
  blank: () => ' \r\n\t',
  'byte order mark': (text) => `\u00ef\u00bb\u00bf${text}`,
  'comma behind': (text) => `${text},`,
  'comma within': (text) => text.replace(/[}\]]$/, (end) => `,${end}`),
  twice: (text) => `${text}${text}`,
  'cut off': (text) => text.slice(0, -1),
  'half of it': (text) => text.slice(0, Math.floor(text.length / 2)),
  'in a list': (text) => `[${text}]`,
  'in a text': (text) => JSON.stringify(text),
  'white space': (text) => ` \r\n\t${text}\r\n\t `,
  'much white space': (text) => `${' '.repeat(100_000)}${text}`,
  'too much white space': (text) => `${text}${' '.repeat(300_000)}`,
  'vertical tab': (text) => `\u000b${text}`,
  'no-break space': (text) => `\u00c2\u00a0${text}`,
  'UTF-16': (text) => Buffer.from(`\ufeff${text}`, 'utf16le').toString('latin1'),
  'NUL behind': (text) => `${text}\u0000`,
  'a comment': (text) => `${text}// x`,
  null: () => 'null',
  form: () => 'name=x&amount=5',
  gzip: () => '\u001f\u008b\u0008\u0000\u0000\u0000\u0000\u0000',
};

export const formMutation: fc.Arbitrary<Change> = fc
  .constantFrom(...Object.entries(FORMS))
  .map(([name, change]) => ({ name, change }));

/** Bytes to put into a body: cut characters, surrogates in UTF-8, overlong forms, and what is only just allowed. */
export const byteMutation = fc.record({
  where: fc.nat(2000),
  bytes: fc.oneof(
    fc.constantFrom(
      '\u00ff',
      '\u00c3',
      '\u00ed\u00a0\u0080',
      '\u00c0\u0080',
      '\u00f5\u0080\u0080\u0080',
      '\u0000',
      '\u00f0\u009f',
    ),
    fc.constantFrom(
      '\u00f0\u009f\u00a7\u0080',
      '\u00c3\u00a9',
      '\u00e2\u0080\u00ae',
      '"',
      '\\',
      '{',
      '}',
      ',',
      ':',
      '0',
      '-',
      '.',
      'e',
    ),
    fc.uint8Array({ minLength: 1, maxLength: 3 }).map((bytes) => Buffer.from(bytes).toString('latin1')),
  ),
});
