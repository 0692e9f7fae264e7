// Goal: what comes through a slow network comes whole and in order, or the harness would blame the service for what it did itself.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { onEnd } from '../support/cleanup.ts';
import { until } from '../support/until.ts';
import { Proxy } from './proxy.ts';

test('proxy: a delay that comes and goes changes neither the order nor the number of bytes', async (t) => {
  let received = '';
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      received += chunk.toString();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onEnd(t, () => void server.close());
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  const proxy = await Proxy.open({ host: '127.0.0.1', port: address.port });
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
