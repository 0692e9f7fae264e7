// Goal: the network fails only as requested. Otherwise tests would attribute its errors to the service.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Server } from 'node:net';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { onEnd } from './cleanup.ts';
import { until } from './until.ts';
import { Proxy } from './proxy.ts';
import { reset } from './reset.ts';

/** Has a server listen until the test ends, and returns its port. */
async function listen(t: TestContext, server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onEnd(t, () => void server.close());
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  return address.port;
}

test('proxy: a changing delay alters neither the order nor the number of bytes', async (t) => {
  let received = '';
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      received += chunk.toString();
    });
  });
  const port = await listen(t, server);
  const proxy = await Proxy.open({ host: '127.0.0.1', port });
  onEnd(t, () => proxy.close());
  const client = connect(proxy.port, '127.0.0.1').setNoDelay();
  client.on('error', () => {});
  await once(client, 'connect');
  let sent = '';
  for (let count = 0; count < 400; count += 1) {
    if (count % 50 === 0) proxy.slow(count % 100 === 0 ? 60 : 0);
    const piece = `${count};`;
    sent += piece;
    client.write(piece);
    // Each piece shall travel alone.
    await sleep(1);
  }
  proxy.slow(0);
  await until(() => received.length >= sent.length, { what: 'all bytes to arrive' });
  assert.equal(received, sent);
});

test('proxy: an end arrives after all earlier bytes, and not at all in a black hole', async (t) => {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {});
    // Echoes what it receives, including the end.
    socket.pipe(socket);
  });
  const port = await listen(t, server);
  const proxy = await Proxy.open({ host: '127.0.0.1', port });
  onEnd(t, () => proxy.close());
  const join = async () => {
    const client = connect({ port: proxy.port, host: '127.0.0.1', allowHalfOpen: true });
    client.on('error', () => {});
    let received = '';
    client.on('data', (chunk) => {
      received += chunk.toString();
    });
    const ended = new Promise<string>((resolve) => {
      client.once('end', () => resolve(received));
    });
    await once(client, 'connect');
    return { client, ended, received: () => received };
  };

  const slow = await join();
  proxy.slow(50);
  slow.client.end('all of it');
  assert.equal(await slow.ended, 'all of it');
  slow.client.destroy();
  proxy.slow(0);

  const lost = await join();
  lost.client.write('before');
  await until(() => lost.received() === 'before', { what: 'the answer' });
  proxy.swallow();
  lost.client.end('lost');
  const late = await join();
  late.client.write('lost too');
  await proxy.heal();
  const well = await join();
  well.client.end('well again');
  assert.equal(await well.ended, 'well again');
  assert.deepEqual([lost.received(), late.received()], ['before', '']);
  assert.ok(!lost.client.readableEnded);
  lost.client.destroy();
  late.client.destroy();
  await until(() => proxy.connectionCount <= 2, { what: 'the closed connections to be removed' });
});

test('proxy: a refusing network admits no connection until it heals', async (t) => {
  const server = createServer((socket) => void socket.on('error', () => {}).pipe(socket));
  const port = await listen(t, server);
  const proxy = await Proxy.open({ host: '127.0.0.1', port });
  onEnd(t, () => proxy.close());
  const before = connect(proxy.port, '127.0.0.1');
  const reset = new Promise((resolve) => {
    before.on('error', resolve);
  });
  before.write('x');
  await once(before, 'data');
  await proxy.refuse();
  assert.match(String(await reset), /ECONNRESET/);
  await assert.rejects(once(connect(proxy.port, '127.0.0.1'), 'connect'), /ECONNREFUSED/);
  await proxy.heal();
  const after = connect(proxy.port, '127.0.0.1');
  after.write('y');
  assert.equal(String((await once(after, 'data'))[0]), 'y');
  after.destroy();
});

test('reset: a connection is closed without an error, also while its end is on its way', async (t) => {
  for (const isEnding of [false, true]) {
    const errors: Error[] = [];
    const closed = Promise.withResolvers<void>();
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on('error', (error) => errors.push(error)).on('close', () => closed.resolve());
      socket.write('an answer');
      if (isEnding) socket.end();
      reset(socket);
    });
    const port = await listen(t, server);
    const client = connect(port, '127.0.0.1').on('error', () => {});
    onEnd(t, () => void client.destroy());
    await closed.promise;
    assert.deepEqual(errors, []);
  }
});
