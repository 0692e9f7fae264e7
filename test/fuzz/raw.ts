// A corpus of what is hardly HTTP, or very much so: bytes as they go over the wire, what must be answered, what becomes of
// the connection, and how many transfers may be stored by it. RFC 9112 says what a server may do with most of it.

/** What to do next: send these bytes, wait, end our half of the connection, or cut it. */
export type Step = string | { readonly waitMs: number } | { readonly ends: 'half' | 'all' };

const FIN: Step = { ends: 'half' };
const RST: Step = { ends: 'all' };

export type Entry = {
  readonly name: string;
  readonly steps: readonly Step[];
  /** The status of each answer, in order, or those that are allowed. */
  readonly answers: readonly (number | readonly number[])[];
  /** Whether the connection is closed by the service, or goes on; a request that follows is then answered. */
  readonly afterwards: 'closed' | 'open';
  /** How many transfers are stored: exactly, or one of these. */
  readonly stored: number | readonly number[];
  /** Which answers are to HEAD, and so have no body. */
  readonly heads?: readonly number[];
  /** The X-Request-ID of each answer, where the requests have one. */
  readonly ids?: readonly string[];
  /** The answers may be lost on their way, the last ones first. */
  readonly unheard?: boolean;
  /** Takes as long as the service is patient: not worth mutating. */
  readonly slow?: boolean;
};

/** The settings that the entries are made for. */
export const RAW_ENV = {
  THREADS: '2',
  BODY_BYTES_MAX: '65536',
  REQUEST_TIMEOUT_MS: '1000',
  LOG_LEVEL: 'error',
};
const BODY_BYTES_MAX = Number(RAW_ENV.BODY_BYTES_MAX);

const GET = 'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n';
const JSON_HEAD = 'POST /transfers HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n';

/** The entries; `tag` is the description of every transfer that they order. */
export function corpus(tag: (name: string) => string): Entry[] {
  return [...SIMPLE, ...ORDERS.flatMap(({ name, make }) => ({ name, ...make(partsOf(tag(name))) }))];
}

type Parts = {
  /** The body of an order. */
  body: string;
  /** A whole order. */
  order: string;
  /** An order's head up to its body, with these headers. */
  head: (headers: string) => string;
  /** An order in chunks as they are given. */
  chunked: (chunks: string) => string;
};

function partsOf(tag: string): Parts {
  const body = JSON.stringify({ from_account: '@external', to_account: 'ANN', amount: 1, description: tag });
  const head = (headers: string): string => `${JSON_HEAD}${headers}\r\n\r\n`;
  return {
    body,
    head,
    order: `${head(`Content-Length: ${body.length}`)}${body}`,
    chunked: (chunks) => `${head('Transfer-Encoding: chunked')}${chunks}`,
  };
}

/** One chunk of this content. */
function chunk(content: string, extension = ''): string {
  return `${content.length.toString(16)}${extension}\r\n${content}\r\n`;
}

const refused = (name: string, bytes: string, status: number | readonly number[] = 400): Entry => ({
  name,
  steps: [bytes],
  answers: [status],
  afterwards: 'closed',
  stored: 0,
});
const answered = (name: string, bytes: string, status: number = 200): Entry => ({
  name,
  steps: [bytes],
  answers: [status],
  afterwards: 'open',
  stored: 0,
});
const last = (name: string, bytes: string): Entry => ({
  name,
  steps: [bytes],
  answers: [200],
  afterwards: 'closed',
  stored: 0,
});
const withHead = (line: string): string => GET.replace('Host: x\r\n', `Host: x\r\n${line}\r\n`);
const drip = (text: string, waitMs: number): Step[] => Array.from(text).flatMap((character) => [character, { waitMs }]);

const TLS_CLIENT_HELLO =
  '\u0016\u0003\u0001\u0000\u00a5\u0001\u0000\u0000\u00a1\u0003\u0003' +
  `${'\u0042'.repeat(32)}\u0000\u0000\u0002\u0013\u0001\u0001\u0000\u0000\u0076${'\u0007'.repeat(118)}`;

/** Nothing in here orders anything. */
const SIMPLE: Entry[] = [
  // What is no HTTP/1.1.
  refused('TLS', TLS_CLIENT_HELLO),
  refused(
    'the preface of HTTP/2',
    'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\u0000\u0000\u0000\u0004\u0000\u0000\u0000\u0000\u0000',
  ),
  // A line alone may still become a request.
  { name: 'HTTP/0.9', steps: ['GET /healthz\r\n'], answers: [408], afterwards: 'closed', stored: 0, slow: true },
  refused('SSH', 'SSH-2.0-OpenSSH_9.9\r\n'),
  refused('SMTP', 'EHLO example\r\n'),
  refused('SOCKS', '\u0005\u0001\u0000'),
  refused('the PROXY protocol', `PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n${GET}`),
  refused('the PROXY protocol, binary', `\r\n\r\n\u0000\r\nQUIT\n\u0021\u0011\u0000\u000c${'\u0001'.repeat(12)}${GET}`),
  refused('NUL', '\u0000'.repeat(64)),
  refused('random bytes', '\u00e9\u0093\u0001\u00ff\u007f\u0010\u0080\u0042\u00aa\u0055\r\n\r\n'),
  refused('UTF-16', Buffer.from(GET, 'utf16le').toString('latin1')),
  refused('a byte order mark', `\u00ef\u00bb\u00bf${GET}`),
  // The request line.
  answered('empty lines before the request line', `\r\n\r\n${GET}`),
  refused('a space before the request line', ` ${GET}`),
  refused('a method in small letters', GET.replace('GET', 'get'), 501),
  refused('a method of its own', GET.replace('GET', 'FROB'), 501),
  refused('a method of its own behind an empty line', `\r\n${GET.replace('GET', 'FROB')}`, 501),
  refused('a method that begins like another', GET.replace('GET', 'GETX'), 501),
  refused('a method of its own without a version', 'FROB /healthz\r\n\r\n'),
  refused('a method without end', 'A'.repeat(100_000)),
  // RFC 9112, section 3: a server may take any white space.
  answered('two spaces in the request line', GET.replace(' /', '  /')),
  refused('a tab in the request line', GET.replace(' /', '\t/')),
  refused('a space behind the version', GET.replace('1.1\r', '1.1 \r')),
  refused('HTTP/1.2', GET.replace('1.1', '1.2')),
  refused('HTTP/2.0', GET.replace('1.1', '2.0')),
  refused('HTTP/1.10', GET.replace('1.1', '1.10')),
  refused('HTTP/1', GET.replace('1.1', '1')),
  refused('HTTP in small letters', GET.replace('HTTP', 'http')),
  refused('another protocol', GET.replace('HTTP', 'ICY')),
  refused('NUL in the path', GET.replace('healthz', 'health\u0000z')),
  refused('a byte above 127 in the path', GET.replace('healthz', 'health\u00e9')),
  refused('a path without end', `GET /${'x'.repeat(100_000)}`, 431),
  { name: 'HTTP/1.0', steps: ['GET /healthz HTTP/1.0\r\n\r\n'], answers: [200], afterwards: 'closed', stored: 0 },
  answered('HTTP/1.0 that is kept alive', 'GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n'),
  // Targets (RFC 9112, section 3.2).
  answered('the absolute form', GET.replace('/healthz', 'http://x/healthz')),
  answered('the absolute form of https', GET.replace('/healthz', 'HTTPS://x:443/healthz')),
  answered('the absolute form without a path', GET.replace('/healthz', 'http://x'), 404),
  answered('the absolute form with a user', GET.replace('/healthz', 'http://u@x/healthz'), 400),
  answered('the absolute form without a host', GET.replace('/healthz', 'http:///healthz'), 400),
  answered('the absolute form with a port alone', GET.replace('/healthz', 'http://:80/healthz'), 400),
  answered('the absolute form of another scheme', GET.replace('/healthz', 'ftp://x/healthz'), 400),
  answered('the absolute form of a foreign host', GET.replace('/healthz', 'http://attacker.example/healthz'), 421),
  answered('the asterisk form', GET.replace('GET /healthz', 'OPTIONS *'), 204),
  answered('the asterisk form of another method', GET.replace('/healthz', '*'), 400),
  answered('the asterisk form of a proxy', GET.replace('GET /healthz', 'OPTIONS http://x'), 204),
  refused('the authority form', GET.replace('GET /healthz', 'CONNECT x:80'), 501),
  {
    name: 'the authority form behind a request',
    steps: [`${GET}${GET.replace('GET /healthz', 'CONNECT x:80')}`],
    answers: [200, 501],
    afterwards: 'closed',
    stored: 0,
  },
  {
    name: 'a cut behind the authority form',
    steps: [GET.replace('GET /healthz', 'CONNECT x:80'), RST],
    answers: [501],
    unheard: true,
    afterwards: 'closed',
    stored: 0,
  },
  // Headers.
  answered('no Host', 'GET /healthz HTTP/1.1\r\n\r\n', 400),
  answered('two Hosts', withHead('Host: x'), 400),
  answered('two Hosts that differ', withHead('host: y'), 400),
  answered('a foreign Host', GET.replace('Host: x', 'Host: attacker.example'), 421),
  answered('a Host that is none', GET.replace('Host: x', 'Host: a b'), 400),
  answered('bytes above 127 in a header', withHead('X-Odd: \u00ff\u0080\u00e9')),
  answered('an empty header', withHead('X-Odd:')),
  answered('very many headers', withHead(Array.from({ length: 2500 }, () => 'a:').join('\r\n'))),
  answered('a header just short enough', withHead(`X-Odd: ${'x'.repeat(15_000)}`)),
  refused('a header too long', withHead(`X-Odd: ${'x'.repeat(17_000)}`), 431),
  refused('too many headers', withHead(Array.from({ length: 17_000 }, () => 'a:').join('\r\n')), 431),
  refused('headers without end', `GET /healthz HTTP/1.1\r\n${'a: b\r\n'.repeat(20_000)}`, 431),
  refused('a header name without end', `GET /healthz HTTP/1.1\r\n${'a'.repeat(100_000)}`, 431),
  refused('lines that end without a carriage return', GET.replaceAll('\r', '')),
  refused('lines that end without a line feed', GET.replaceAll('\n', '')),
  refused('one line that ends without a carriage return', GET.replace('x\r\n', 'x\n')),
  refused('a folded header', withHead('X-Odd: a\r\n b')),
  refused('a fold of the first header', GET.replace('Host', ' Host')),
  refused('NUL in a header', withHead('X-Odd: a\u0000b')),
  refused('a carriage return in a header', withHead('X-Odd: a\rb')),
  refused('DEL in a header', withHead('X-Odd: \u007f')),
  refused('a byte above 127 in a header name', withHead('X-\u00e9: a')),
  refused('a space before the colon', withHead('X-Odd : a')),
  refused('a header without a name', withHead(': a')),
  refused('a header without a colon', withHead('nothing')),
  last('an upgrade', withHead('Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x')),
  last('an upgrade to HTTP/2', withHead('Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA')),
  answered('an upgrade that is not asked for', withHead('Upgrade: h2c')),
  answered('an expectation that is unknown', withHead('Expect: nothing'), 417),
  answered('100-continue without a body', withHead('Expect: 100-continue')),
  {
    name: 'the end, if asked for',
    steps: [withHead('Connection: close')],
    answers: [200],
    afterwards: 'closed',
    stored: 0,
  },
  // What never comes whole.
  { name: 'nothing', steps: [], answers: [408], afterwards: 'closed', stored: 0, slow: true },
  {
    name: 'a slow head',
    steps: drip(withHead(`X-Odd: ${'x'.repeat(200)}`), 50),
    answers: [408],
    afterwards: 'closed',
    stored: 0,
    slow: true,
  },
  { name: 'half a request line', steps: ['GET /heal'], answers: [408], afterwards: 'closed', stored: 0, slow: true },
  {
    name: 'half a head',
    steps: ['GET /healthz HTTP/1.1\r\nHost: x\r\n'],
    answers: [408],
    afterwards: 'closed',
    stored: 0,
    slow: true,
  },
  {
    name: 'a second head that never comes whole',
    steps: [`${GET}GET /heal`],
    answers: [200, 408],
    afterwards: 'closed',
    stored: 0,
    slow: true,
  },
  ...['', 'G', 'GET /heal', 'GET /healthz HTTP/1.1\r\nHost: x\r\n'].flatMap((part): Entry[] => [
    {
      name: `the end after ${JSON.stringify(part)}`,
      steps: [part, FIN],
      answers: part === '' ? [] : [400],
      afterwards: 'closed',
      stored: 0,
    },
    { name: `a cut after ${JSON.stringify(part)}`, steps: [part, RST], answers: [], afterwards: 'closed', stored: 0 },
  ]),
  { name: 'the end behind a whole request', steps: [GET, FIN], answers: [200], afterwards: 'closed', stored: 0 },
  // Several at once.
  {
    name: 'several requests in one packet, answered in order',
    steps: [
      ['/healthz', '/nothing', '/readyz', '/accounts/NOBODY', '/accounts', '/healthz']
        .map((path, index) => `GET ${path} HTTP/1.1\r\nHost: x\r\nX-Request-ID: r${index}\r\n\r\n`)
        .join(''),
    ],
    answers: [200, 404, 200, 404, 200, 200],
    ids: ['r0', 'r1', 'r2', 'r3', 'r4', 'r5'],
    afterwards: 'open',
    stored: 0,
  },
  {
    name: 'very many requests in one packet',
    steps: [GET.repeat(300)],
    answers: Array.from({ length: 300 }, () => 200),
    afterwards: 'open',
    stored: 0,
  },
  {
    name: 'HEAD and GET in one packet',
    steps: [`HEAD${GET.slice(3)}${GET}`],
    answers: [200, 200],
    heads: [0],
    afterwards: 'open',
    stored: 0,
  },
  { name: 'a request cut into bytes', steps: drip(GET, 0), answers: [200], afterwards: 'open', stored: 0 },
  {
    name: 'the end before a second request',
    steps: [`${withHead('Connection: close')}${GET}`],
    answers: [200],
    afterwards: 'closed',
    stored: 0,
  },
];

type Ordering = { name: string; make: (parts: Parts) => Omit<Entry, 'name'> };

const order = (name: string, make: Ordering['make']): Ordering => ({ name, make });
/** A framing that nobody can be sure about: refused, and what follows is not looked at (RFC 9112, section 11.2). */
const unclear = (name: string, make: (parts: Parts) => string): Ordering[] => [
  order(name, (parts) => ({ steps: [make(parts)], answers: [400], afterwards: 'closed', stored: 0 })),
  order(`${name}, and an order behind`, (parts) => ({
    steps: [`${make(parts)}${parts.order}`],
    answers: [400],
    afterwards: 'closed',
    stored: 0,
  })),
];
const accepted = (name: string, make: (parts: Parts) => string): Ordering =>
  order(name, (parts) => ({ steps: [make(parts)], answers: [202], afterwards: 'open', stored: 1 }));

const ORDERS: Ordering[] = [
  accepted('an order', ({ order }) => order),
  accepted('an order in one chunk', ({ body, chunked }) => chunked(`${chunk(body)}0\r\n\r\n`)),
  accepted('an order in chunks of a byte', ({ body, chunked }) =>
    chunked(
      `${Array.from(body)
        .map((byte) => chunk(byte))
        .join('')}0\r\n\r\n`,
    ),
  ),
  accepted('chunks with extensions', ({ body, chunked }) => chunked(`${chunk(body, ';a=b;c="d;e";f')}0;last\r\n\r\n`)),
  accepted('chunks with trailers', ({ body, chunked }) => chunked(`${chunk(body)}0\r\nX-Odd: a\r\nX-Odder: b\r\n\r\n`)),
  accepted('a size with zeros in front', ({ body, chunked }) => chunked(`0000${chunk(body)}000\r\n\r\n`)),
  accepted('a size in capitals', ({ body, chunked }) =>
    chunked(`${body.length.toString(16).toUpperCase()}\r\n${body}\r\n0\r\n\r\n`),
  ),
  accepted(
    'a transfer encoding in capitals',
    ({ body, head }) => `${head('Transfer-Encoding: CHUNKED')}${chunk(body)}0\r\n\r\n`,
  ),
  accepted('a length with zeros in front', ({ body, head }) => `${head(`Content-Length: 000${body.length}`)}${body}`),
  order('an upgrade of an order', ({ body, head, order }) => ({
    steps: [`${head(`Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: ${body.length}`)}${body}${order}`],
    answers: [202],
    afterwards: 'closed',
    stored: 1,
  })),
  accepted(
    '100-continue that is not waited for',
    ({ body, head }) => `${head(`Expect: 100-continue\r\nContent-Length: ${body.length}`)}${body}`,
  ),
  order('100-continue', ({ body, head }) => ({
    steps: [head(`Expect: 100-continue\r\nContent-Length: ${body.length}`), { waitMs: 100 }, body],
    answers: [202],
    afterwards: 'open',
    stored: 1,
  })),
  order('an expectation that is unknown, and an order behind', ({ body, head, order }) => ({
    steps: [`${head(`Expect: nothing\r\nContent-Length: ${body.length}`)}${body}${order}`],
    answers: [417, 202],
    afterwards: 'open',
    stored: 1,
  })),
  order('HTTP/1.0 with a body', ({ order }) => ({
    steps: [order.replace('HTTP/1.1', 'HTTP/1.0')],
    answers: [202],
    afterwards: 'closed',
    stored: 1,
  })),
  // Where a body ends.
  ...unclear(
    'a length and chunks',
    ({ body, head }) => `${head(`Content-Length: 5\r\nTransfer-Encoding: chunked`)}${chunk(body)}0\r\n\r\n`,
  ),
  ...unclear(
    'chunks and a length',
    ({ body, head }) => `${head(`Transfer-Encoding: chunked\r\nContent-Length: ${body.length}`)}${body}`,
  ),
  ...unclear(
    'two lengths',
    ({ body, head }) => `${head(`Content-Length: ${body.length}\r\nContent-Length: ${body.length}`)}${body}`,
  ),
  ...unclear(
    'two lengths that differ',
    ({ body, head }) => `${head(`Content-Length: ${body.length}\r\nContent-Length: 5`)}${body}`,
  ),
  ...unclear(
    'a list of lengths',
    ({ body, head }) => `${head(`Content-Length: ${body.length}, ${body.length}`)}${body}`,
  ),
  ...['+5', '-5', '0x5', '5e0', '5.0', 'abc', '', '5 5', '5\u0000', '\u000b5', '9'.repeat(30)].flatMap((length) =>
    unclear(`the length ${JSON.stringify(length)}`, ({ body, head }) => `${head(`Content-Length: ${length}`)}${body}`),
  ),
  ...['identity, chunked', 'gzip, chunked', 'identity\r\nTransfer-Encoding: chunked', ', chunked'].flatMap((coding) =>
    unclear(
      `the transfer encoding ${JSON.stringify(coding)}`,
      ({ body, head }) => `${head(`Transfer-Encoding: ${coding}`)}${chunk(body)}0\r\n\r\n`,
    ),
  ),
  ...['x', 'chunked, x', 'x, chunked, x', 'identity', 'chunkedx', '"chunked"', 'chun\tked', 'chunked\u0000'].flatMap(
    (coding) =>
      unclear(
        `the transfer encoding ${JSON.stringify(coding)}`,
        ({ body, head }) => `${head(`Transfer-Encoding: ${coding}`)}${chunk(body)}0\r\n\r\n`,
      ),
  ),
  ...unclear(
    'a space before the colon of the transfer encoding',
    ({ body, head }) => `${head('Transfer-Encoding : chunked')}${chunk(body)}0\r\n\r\n`,
  ),
  ...unclear(
    'a folded transfer encoding',
    ({ body, head }) => `${head('Transfer-Encoding:\r\n chunked')}${chunk(body)}0\r\n\r\n`,
  ),
  ...unclear(
    'a transfer encoding on a line of its own end',
    ({ body, head }) => `${head('X-Odd: a\nTransfer-Encoding: chunked')}${chunk(body)}0\r\n\r\n`,
  ),
  ...['zz', '-1', '0x5', ' 5', '+5', '', '5;\u0000', '5\u0000', 'F'.repeat(17), '8'.repeat(40), '5_'].flatMap((size) =>
    unclear(`the size of chunk ${JSON.stringify(size)}`, ({ body, chunked }) =>
      chunked(`${size}\r\n${body}\r\n0\r\n\r\n`),
    ),
  ),
  ...unclear('a chunk longer than its size', ({ body, chunked }) => chunked(`5\r\n${body}\r\n0\r\n\r\n`)),
  ...unclear('no line end behind a chunk', ({ body, chunked }) =>
    chunked(`${body.length.toString(16)}\r\n${body}0\r\n\r\n`),
  ),
  ...unclear('sizes that end without a carriage return', ({ body, chunked }) =>
    chunked(`${body.length.toString(16)}\n${body}\r\n0\r\n\r\n`),
  ),
  ...unclear('a chunk that ends without a carriage return', ({ body, chunked }) =>
    chunked(`${body.length.toString(16)}\r\n${body}\n0\r\n\r\n`),
  ),
  ...unclear('a chunk extension with a line feed', ({ body, chunked }) => chunked(`${chunk(body, ';a\nb')}0\r\n\r\n`)),
  ...unclear('a chunk extension without end', ({ body, chunked }) =>
    chunked(`${chunk(body, `;${'x'.repeat(20_000)}`)}0\r\n\r\n`),
  ),
  ...unclear('a trailer that is none', ({ body, chunked }) => chunked(`${chunk(body)}0\r\nX Odd\r\n\r\n`)),
  ...unclear('a length in the trailers', ({ body, chunked }) =>
    chunked(`${chunk(body)}0\r\nContent-Length: 5\r\n\r\n`),
  ),
  accepted('trailers that would be headers', ({ body, chunked }) =>
    chunked(`${chunk(body)}0\r\nIdempotency-Key: a key\r\nHost: y\r\nContent-Type: text/plain\r\n\r\n`),
  ),
  ...unclear('a trailer with NUL', ({ body, chunked }) => chunked(`${chunk(body)}0\r\nX-Odd: \u0000\r\n\r\n`)),
  order('trailers without end', ({ body, chunked }) => ({
    steps: [chunked(`${chunk(body)}0\r\n${'a: b\r\n'.repeat(20_000)}\r\n`)],
    answers: [[400, 431]],
    afterwards: 'closed',
    stored: 0,
  })),
  order('chunks on HTTP/1.0', ({ body, chunked }) => ({
    steps: [chunked(`${chunk(body)}0\r\n\r\n`).replace('HTTP/1.1', 'HTTP/1.0')],
    // RFC 9112, section 6.1: the framing is faulty even if it can be read.
    answers: [400],
    afterwards: 'closed',
    stored: 0,
  })),
  // A length that is too short: what is left over is no request.
  order('a length that is too short', ({ body, head }) => ({
    steps: [`${head(`Content-Length: ${body.length - 5}`)}${body}`],
    answers: [400, 400],
    afterwards: 'closed',
    stored: 0,
  })),
  // Orders in bodies are no orders.
  order('an order in the body of GET', ({ order }) => ({
    steps: [`${withHead(`Content-Length: ${order.length}`)}${order}`],
    answers: [200],
    afterwards: 'open',
    stored: 0,
  })),
  order('an order in the body of DELETE', ({ order }) => ({
    steps: [`DELETE /accounts/NOBODY HTTP/1.1\r\nHost: x\r\nContent-Length: ${order.length}\r\n\r\n${order}`],
    answers: [404],
    afterwards: 'open',
    stored: 0,
  })),
  order('an order in the chunks of GET', ({ order }) => ({
    steps: [`${withHead('Transfer-Encoding: chunked')}${chunk(order)}0\r\n\r\n`],
    answers: [200],
    afterwards: 'open',
    stored: 0,
  })),
  order('an order in the body of HEAD', ({ order }) => ({
    steps: [`HEAD /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: ${order.length}\r\n\r\n${order}`],
    answers: [200],
    heads: [0],
    afterwards: 'open',
    stored: 0,
  })),
  order('an order behind CONNECT', ({ order }) => ({
    steps: [`CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n${order}`],
    answers: [501],
    afterwards: 'closed',
    stored: 0,
  })),
  // Node drops what comes in one packet with an upgrade that is not made. Nothing behind it is done, however it is cut.
  order('an order behind an upgrade', ({ order }) => ({
    steps: [`${withHead('Connection: Upgrade\r\nUpgrade: h2c')}${order}`],
    answers: [200],
    afterwards: 'closed',
    stored: 0,
  })),
  ...[0, 30, 100].map((cut) =>
    order(`an order behind an upgrade, cut after ${cut} bytes`, ({ order }) => ({
      steps: [
        `${withHead('Connection: Upgrade\r\nUpgrade: h2c')}${order.slice(0, cut)}`,
        `${order.slice(cut)}${order}`,
      ],
      answers: [200],
      unheard: true,
      afterwards: 'closed',
      stored: 0,
    })),
  ),
  order('an order in a packet of its own behind an upgrade that waits', ({ body, head, order }) => ({
    steps: [
      `${head(`Prefer: wait=5\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: ${body.length}`)}${body}`,
      order,
    ],
    answers: [200],
    unheard: true,
    afterwards: 'closed',
    stored: 1,
  })),
  order('an order in the absolute form', ({ order }) => ({
    steps: [order.replace('/transfers', 'http://x/transfers')],
    answers: [202],
    afterwards: 'open',
    stored: 1,
  })),
  // Pipelines.
  order('orders in one packet', ({ order }) => ({
    steps: [order.repeat(5)],
    answers: [202, 202, 202, 202, 202],
    afterwards: 'open',
    stored: 5,
  })),
  order('orders with one that is no JSON between them', ({ order, body }) => ({
    steps: [`${order}${order.replace(body, body.replace('{', '['))}${order}`],
    answers: [202, 400, 202],
    afterwards: 'open',
    stored: 2,
  })),
  order('orders with one of another type between them', ({ order }) => ({
    steps: [`${order}${order.replace('application/json', 'text/plain')}${order}`],
    answers: [202, 415, 202],
    afterwards: 'open',
    stored: 2,
  })),
  order('orders with one that is no HTTP between them', ({ order }) => ({
    steps: [`${order}garbage\r\n\r\n${order}`],
    answers: [202, 400],
    afterwards: 'closed',
    stored: 1,
  })),
  order('orders with one of two lengths between them', ({ order, body }) => ({
    steps: [`${order}${order.replace('Content-Length', 'Content-Length: 5\r\nContent-Length')}${order}${body}`],
    answers: [202, 400],
    afterwards: 'closed',
    stored: 1,
  })),
  order('an order and a bad chunk behind', ({ order, chunked }) => ({
    steps: [`${order}${chunked('zz\r\n')}${order}`],
    answers: [202, 400],
    afterwards: 'closed',
    stored: 1,
  })),
  order('an order that is waited for, and what overtakes it', ({ body, head }) => ({
    steps: [
      `${head(`Prefer: wait=5\r\nX-Request-ID: first\r\nContent-Length: ${body.length}`)}${body}${withHead('X-Request-ID: second')}`,
    ],
    answers: [200, 200],
    ids: ['first', 'second'],
    afterwards: 'open',
    stored: 1,
  })),
  order('a body too large that comes whole, and an order behind', ({ order }) => ({
    steps: [`${JSON_HEAD}Content-Length: ${BODY_BYTES_MAX + 1}\r\n\r\n${' '.repeat(BODY_BYTES_MAX + 1)}${order}`],
    answers: [413, 202],
    afterwards: 'open',
    stored: 1,
  })),
  // What never comes whole.
  order('a body too large that never comes', ({ head }) => ({
    steps: [head(`Content-Length: ${2 ** 40}`)],
    answers: [413],
    afterwards: 'closed',
    stored: 0,
    slow: true,
  })),
  order('chunks without end', ({ chunked }) => ({
    steps: [chunked(''), ...Array.from({ length: 40 }, () => chunk(' '.repeat(4096)))],
    answers: [413],
    afterwards: 'closed',
    stored: 0,
    slow: true,
  })),
  order('a slow body', ({ body, head }) => ({
    steps: [head(`Content-Length: ${body.length}`), ...drip(body.slice(0, -1), 20), { waitMs: 4000 }, body.slice(-1)],
    answers: [408],
    afterwards: 'closed',
    stored: 0,
    slow: true,
  })),
  order('half a body', ({ body, head }) => ({
    steps: [`${head(`Content-Length: ${body.length}`)}${body.slice(0, -1)}`],
    answers: [408],
    afterwards: 'closed',
    stored: 0,
    slow: true,
  })),
  order('slow chunks', ({ body, chunked }) => ({
    steps: [chunked(''), ...Array.from(body).flatMap((byte): Step[] => [chunk(byte), { waitMs: 40 }])],
    answers: [408],
    afterwards: 'closed',
    stored: 0,
    slow: true,
  })),
  order('no last chunk', ({ body, chunked }) => ({
    steps: [chunked(chunk(body))],
    answers: [408],
    afterwards: 'closed',
    stored: 0,
    slow: true,
  })),
  order('a bad chunk behind an answer', ({ chunked }) => ({
    steps: [chunked('').replace('application/json', 'text/plain'), { waitMs: 100 }, 'zz\r\n'],
    // Whether it is read before the chunk comes is a matter of moments; there is one answer.
    answers: [[400, 415]],
    afterwards: 'closed',
    stored: 0,
    slow: true,
  })),
  order('100-continue, and nothing then', ({ head }) => ({
    steps: [head('Expect: 100-continue\r\nContent-Length: 5')],
    answers: [408],
    afterwards: 'closed',
    stored: 0,
    slow: true,
  })),
  ...[0, 0.3, 0.6, 0.99].flatMap((part): Ordering[] => [
    order(`the end after ${part} of an order`, ({ order, body }) => ({
      steps: [order.slice(0, order.length - body.length + Math.floor(part * body.length)), FIN],
      answers: [400],
      afterwards: 'closed',
      stored: 0,
    })),
    order(`a cut after ${part} of an order`, ({ order, body }) => ({
      steps: [order.slice(0, order.length - body.length + Math.floor(part * body.length)), RST],
      answers: [],
      afterwards: 'closed',
      stored: 0,
    })),
  ]),
  order('the end in the middle of chunks', ({ body, chunked }) => ({
    steps: [chunked(chunk(body)), FIN],
    answers: [400],
    afterwards: 'closed',
    stored: 0,
  })),
  order('a cut in the middle of chunks', ({ body, chunked }) => ({
    steps: [chunked(chunk(body)), RST],
    answers: [],
    afterwards: 'closed',
    stored: 0,
  })),
  // Node takes a caller that ends its half for gone, and does not answer it; what it ordered may be done.
  order('the end behind an order', ({ order }) => ({
    steps: [order, FIN],
    answers: [202],
    unheard: true,
    afterwards: 'closed',
    stored: 1,
  })),
  // Nobody hears the answer; whether the order was read before the cut is a matter of moments.
  order('a cut behind an order', ({ order }) => ({
    steps: [order, RST],
    answers: [],
    afterwards: 'closed',
    stored: [0, 1],
  })),
  order('the end behind an order and half of another', ({ order }) => ({
    steps: [`${order}${order.slice(0, 60)}`, FIN],
    answers: [202, 400],
    afterwards: 'closed',
    stored: 1,
  })),
];
