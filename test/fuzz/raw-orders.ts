// Raw requests that request transfers: in one body, in chunks, one behind another, whole or cut.
import { BODY_BYTES_MAX, chunk, drip, type Entry, FIN, JSON_HEAD, RST, type Step, withHead } from './raw-entry.ts';

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

export function partsOf(tag: string): Parts {
  const body = JSON.stringify({ from_account: '@external', to_account: 'ANN', amount: 1, description: tag });
  const head = (headers: string): string => `${JSON_HEAD}${headers}\r\n\r\n`;
  return {
    body,
    head,
    order: `${head(`Content-Length: ${body.length}`)}${body}`,
    chunked: (chunks) => `${head('Transfer-Encoding: chunked')}${chunks}`,
  };
}

type Ordering = { name: string; make: (parts: Parts) => Omit<Entry, 'name'> };

const order = (name: string, make: Ordering['make']): Ordering => ({ name, make });
/** An ambiguous framing: refused, and the bytes after it are not parsed (RFC 9112, section 11.2). */
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

export const ORDERS: Ordering[] = [
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
  // A length that is too short: the rest is not a request.
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
    steps: [`DELETE /accounts/NOSUCH HTTP/1.1\r\nHost: x\r\nContent-Length: ${order.length}\r\n\r\n${order}`],
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
  // Node drops bytes in one packet with an ignored upgrade. Nothing after it takes effect, with any segmentation.
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
  order('an order with a wait, and a request that overtakes it', ({ body, head }) => ({
    steps: [
      `${head(`Prefer: wait=5\r\nX-Request-ID: first\r\nContent-Length: ${body.length}`)}${body}${withHead('X-Request-ID: second')}`,
    ],
    answers: [200, 200],
    ids: ['first', 'second'],
    afterwards: 'open',
    stored: 1,
  })),
  order('a complete body that is too large, and an order after it', ({ order }) => ({
    steps: [`${JSON_HEAD}Content-Length: ${BODY_BYTES_MAX + 1}\r\n\r\n${' '.repeat(BODY_BYTES_MAX + 1)}${order}`],
    answers: [413, 202],
    afterwards: 'open',
    stored: 1,
  })),
  // Incomplete requests.
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
    // Whether it is read before the chunk arrives depends on timing; there is one answer.
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
  // Node treats a half-closed connection as closed, and does not answer. The order takes effect, unless the end arrives
  // while it waits for its turn.
  order('the end behind an order', ({ order }) => ({
    steps: [order, FIN],
    answers: [202],
    unheard: true,
    afterwards: 'closed',
    stored: [0, 1],
  })),
  // The answer is lost; whether the order was read before the reset depends on timing.
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
