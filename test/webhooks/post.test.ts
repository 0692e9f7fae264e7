// One attempt to deliver, against receivers that are slow, that lie, that redirect, or that are not there.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import { createServer as createPlainServer, type Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { createPost, type PostResult } from '../../src/main/webhooks/post.ts';
import type { TargetRules } from '../../src/main/webhooks/target.ts';
import { onEnd } from '../support/cleanup.ts';
import { reset } from '../support/reset.ts';
import { until } from '../support/until.ts';

const MESSAGE = { headers: { 'content-type': 'application/json' }, body: '{"type":"account.opened"}' };
const never = new AbortController().signal;

async function listen(t: TestContext, answer: (response: ServerResponse, url: string) => void) {
  const seen: { url: string; host: string; body: string }[] = [];
  const server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (chunk: string) => {
      body += chunk;
    });
    request.on('end', () => {
      seen.push({ url: request.url ?? '', host: request.headers.host ?? '', body });
      answer(response, request.url ?? '');
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onEnd(t, () => {
    server.closeAllConnections();
    server.close();
  });
  return { port: portOf(server.address()), seen };
}

const portOf = (address: unknown): number =>
  typeof address === 'object' && address !== null && 'port' in address ? Number(address.port) : 0;

function open(t: TestContext, rules: Partial<TargetRules> = {}, timeoutMs = 10_000) {
  const { post, close } = createPost({ allowPrivate: true, resolve: async () => [], ...rules }, timeoutMs);
  onEnd(t, close);
  return post;
}

/** The result of an attempt at a receiver that answers like this. */
async function attempt(
  t: TestContext,
  answer: (response: ServerResponse) => void,
  timeoutMs?: number,
): Promise<PostResult> {
  const { port } = await listen(t, answer);
  return await open(t, {}, timeoutMs)(`http://127.0.0.1:${port}/`, MESSAGE, never);
}

test('post: a whole answer of 2xx is a delivery, and no other status', async (t) => {
  for (const status of [200, 201, 202, 204, 299]) {
    assert.deepEqual(await attempt(t, (response) => response.writeHead(status).end()), { status, error: null });
  }
  for (const status of [300, 304, 400, 401, 404, 410, 429, 500, 503]) {
    assert.deepEqual(await attempt(t, (response) => response.writeHead(status).end()), { status, error: 'status' });
  }
});

test('post: a redirect is a failure, and is not followed', async (t) => {
  for (const status of [301, 302, 303, 307, 308]) {
    const { port, seen } = await listen(t, (response) => {
      response.writeHead(status, { location: '/elsewhere' }).end();
    });
    assert.deepEqual(await open(t)(`http://127.0.0.1:${port}/`, MESSAGE, never), { status, error: 'status' });
    assert.deepEqual(
      seen.map(({ url }) => url),
      ['/'],
    );
  }
});

test('post: an answer that breaks off is no delivery, although its status is 200', async (t) => {
  const cut = await attempt(t, (response) => {
    response.writeHead(200, { 'content-length': '100' });
    response.write('{', () => {
      if (response.socket) reset(response.socket);
    });
  });
  assert.deepEqual(cut, { status: 200, error: 'connection' });
});

test('post: an answer is read up to 64 KiB, and a body without end is left', async (t) => {
  const fits = await attempt(t, (response) => response.writeHead(200).end('x'.repeat(64 * 1024)));
  assert.deepEqual(fits, { status: 200, error: null });
  const large = await attempt(t, (response) => response.writeHead(200).end('x'.repeat(10_000_000)));
  assert.deepEqual(large, { status: 200, error: 'too_large' });
  let closed = false;
  const endless = await attempt(t, (response) => {
    response.writeHead(200);
    const pour = (): void => {
      if (!response.destroyed) response.write('x'.repeat(16_384), () => setImmediate(pour));
    };
    response.once('close', () => {
      closed = true;
    });
    pour();
  });
  assert.deepEqual(endless, { status: 200, error: 'too_large' });
  await until(() => closed, { what: 'the connection to be closed' });
});

test('post: an attempt ends at its time, whatever the receiver does until then', async (t) => {
  const silent = await attempt(t, () => {}, 200);
  assert.deepEqual(silent, { status: null, error: 'timeout' });
  const trickle = await attempt(
    t,
    (response) => {
      response.writeHead(200);
      const timer = setInterval(() => response.write('.'), 20);
      response.once('close', () => clearInterval(timer));
    },
    300,
  );
  assert.deepEqual(trickle, { status: 200, error: 'timeout' });
});

test('post: a receiver that does not speak HTTP, or that is not there, is a failed connection', async (t) => {
  const sockets = new Set<Socket>();
  const server = createPlainServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.end('220 mail.example.com ESMTP\r\n');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${portOf(server.address())}/`;
  const post = open(t);
  assert.deepEqual(await post(url, MESSAGE, never), { status: null, error: 'connection' });
  for (const socket of sockets) socket.destroy();
  server.close();
  await once(server, 'close');
  assert.deepEqual(await post(url, MESSAGE, never), { status: null, error: 'connection' });
  assert.deepEqual(await post('http://hooks.example.com/', MESSAGE, never), { status: null, error: 'connection' });
});

test('post: a private target is refused without a connection, by its address and by its name', async (t) => {
  const { port, seen } = await listen(t, (response) => response.end());
  const resolve = async () => [{ address: '127.0.0.1', family: 4 }];
  const post = open(t, { allowPrivate: false, resolve });
  for (const host of ['127.0.0.1', '[::1]', '2130706433', 'localhost', 'hooks.example.com']) {
    assert.deepEqual(await post(`https://${host}:${port}/`, MESSAGE, never), { status: null, error: 'refused' }, host);
  }
  assert.deepEqual(await post(`http://hooks.example.com:${port}/`, MESSAGE, never), { status: null, error: 'refused' });
  assert.deepEqual(seen, []);
});

test('post: a name is resolved once for a connection, and the connection goes to that address', async (t) => {
  const { port, seen } = await listen(t, (response) => response.end());
  const asked: string[] = [];
  const resolve = async (name: string) => {
    asked.push(name);
    return [{ address: '127.0.0.1', family: 4 }];
  };
  const post = open(t, { resolve });
  const url = `http://hooks.example.com:${port}/hook?key=1`;
  assert.deepEqual(await post(url, MESSAGE, never), { status: 200, error: null });
  assert.deepEqual(asked, ['hooks.example.com']);
  assert.deepEqual(seen, [{ url: '/hook?key=1', host: `hooks.example.com:${port}`, body: MESSAGE.body }]);
});

test('post: an attempt that the service aborts throws, because it counts for nothing', async (t) => {
  const stop = new AbortController();
  const { port } = await listen(t, () => stop.abort());
  await assert.rejects(open(t)(`http://127.0.0.1:${port}/`, MESSAGE, stop.signal), { name: 'AbortError' });
});

test('post: an answer is bounded with its interim answers and the extensions of its chunks', async (t) => {
  const floods: [string, string][] = [
    ['', 'HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n'.repeat(1000)],
    ['HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;', 'a'.repeat(64 * 1024)],
  ];
  for (const [head, text] of floods) {
    const server = createPlainServer((socket: Socket) => {
      socket.on('error', () => {});
      const flood = (): void => {
        while (!socket.destroyed && socket.write(text));
        socket.once('drain', flood);
      };
      socket.once('data', () => {
        socket.write(head);
        flood();
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    onEnd(t, () => void server.close());
    const { error } = await open(t)(`http://127.0.0.1:${portOf(server.address())}/`, MESSAGE, never);
    assert.equal(error, 'too_large');
  }
});

test('post: a connection that is used again has no bound for all its answers together', async (t) => {
  const { port } = await listen(t, (response) => void response.end('x'.repeat(60 * 1024)));
  const post = open(t);
  for (let index = 0; index < 10; index += 1) {
    assert.deepEqual(await post(`http://127.0.0.1:${port}/`, MESSAGE, never), { status: 200, error: null });
  }
});
