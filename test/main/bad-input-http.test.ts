// Goal: every wrong request gets a clear answer at once, nothing is stored, and the service continues. Here: malformed
// HTTP. Method: one wrong request at a time; after each the content of the database must be unchanged.
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { before, test } from 'node:test';
import { type ProblemCode } from '../../src/main/http/problem.ts';
import { onEnd } from '../support/cleanup.ts';
import { startService } from '../support/service.ts';
import {
  checkHealth,
  checkRaw,
  database,
  post,
  sendRaw,
  sendRawAll,
  service,
  snapshot,
  start,
  TRANSFER,
} from './bad-input.ts';

before(start);

// Malformed HTTP.

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

test('bad input: garbage after a good request does not affect its answer', async (t) => {
  const headers = 'Content-Type: application/json\r\nPrefer: wait=9\r\n';
  const [first, second] = await sendRawAll(t, [`${post(BODY, headers)}garbage\r\n\r\n`], 2);
  assert.ok(first);
  assert.equal(first.status, 200, first.text);
  assert.equal(JSON.parse(first.text).status, 'completed');
  assert.ok(second);
  checkRaw(second, 'malformed_http');
});

test('bad input: an error in a second request is not answered to the first', async (t) => {
  const headers = 'Content-Type: application/json\r\nPrefer: wait=9\r\n';
  const broken = `${HEAD}Transfer-Encoding: chunked\r\n\r\nzz\r\n`;
  const [first, second] = await sendRawAll(t, [`${post(BODY, headers)}${broken}`], 2);
  assert.ok(first);
  assert.equal(first.status, 200, first.text);
  assert.ok(second);
  checkRaw(second, 'malformed_http');
});

test('bad input: a request that does not arrive in time is refused', async (t) => {
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

test('bad input: a head has a timeout of its own', async (t) => {
  const hasty = await startService(t, {
    database,
    env: { THREADS: '1', HEADERS_TIMEOUT_MS: '500', LOG_LEVEL: 'warn' },
  });
  const startedAt = performance.now();
  checkRaw(await sendRaw(t, [HEAD], hasty), 'request_timeout');
  assert.ok(performance.now() - startedAt < 10_000, 'The time of the whole request is longer.');
});

test('bad input: a caller that disconnects during its body stores nothing', async (t) => {
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

test('bad input: the service is alive afterwards, and logs no error', checkHealth);
