// Which address a request comes from, behind proxies and in front of them.
import assert from 'node:assert/strict';
import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { request as send } from 'undici';
import { TrustedProxies } from '../../src/main/http/proxies.ts';
import { onEnd } from '../support/cleanup.ts';
import { createDatabase } from '../support/database.ts';
import { type Service, startService } from '../support/service.ts';

const TRUSTED = ['192.0.2.1', '10.0.0.0/8', 'fd00::/8'];

/** The address that a request has, when it comes from `peer`. */
function addressOf(peer: string, forwardedFor?: string, others: Record<string, string> = {}): string | undefined {
  const socket = new Socket();
  Object.defineProperty(socket, 'remoteAddress', { value: peer });
  const request = new IncomingMessage(socket);
  request.headers = { ...others, ...(forwardedFor !== undefined && { 'x-forwarded-for': forwardedFor }) };
  return new TrustedProxies(TRUSTED).addressOf(request);
}

const CASES: { what: string; peer: string; header?: string; address: string }[] = [
  { what: 'a peer that is no trusted proxy is the caller', peer: '192.0.2.2', header: '1.2.3.4', address: '192.0.2.2' },
  { what: 'a trusted proxy names the caller', peer: '192.0.2.1', header: '1.2.3.4', address: '1.2.3.4' },
  { what: 'a trusted network names the caller', peer: '10.9.8.7', header: '1.2.3.4', address: '1.2.3.4' },
  { what: 'an IPv4 address in IPv6 is trusted', peer: '::ffff:10.9.8.7', header: '1.2.3.4', address: '1.2.3.4' },
  { what: 'a network of IPv6 is trusted', peer: 'fd12::1', header: '2001:db8::1', address: '2001:db8::1' },
  { what: 'the last address counts', peer: '10.0.0.1', header: '6.6.6.6, 1.2.3.4', address: '1.2.3.4' },
  { what: 'trusted proxies are passed over', peer: '10.0.0.1', header: '6.6.6.6,1.2.3.4,10.2.2.2', address: '1.2.3.4' },
  { what: 'if all are trusted, the first counts', peer: '10.0.0.1', header: '10.3.3.3, 10.2.2.2', address: '10.3.3.3' },
  { what: "a caller's own text does not matter", peer: '10.0.0.1', header: 'x,,;"[, 1.2.3.4', address: '1.2.3.4' },
  { what: 'a port is left out', peer: '10.0.0.1', header: '1.2.3.4:5678', address: '1.2.3.4' },
  { what: 'a port of IPv6 is left out', peer: '10.0.0.1', header: '[2001:db8::1]:5678', address: '2001:db8::1' },
  { what: 'without the header the proxy is the caller', peer: '10.0.0.1', address: '10.0.0.1' },
  ...[
    '',
    ' ',
    ',',
    '1.2.3.4,',
    'unknown',
    '_hidden',
    '1.2.3.4.5',
    '1.2.3.4:x',
    '256.1.1.1',
    '[1.2.3.4',
    '1.2.3.4 5',
  ].map((header) => ({ what: `"${header}" is malformed`, peer: '10.0.0.1', header, address: '10.0.0.1' })),
  {
    what: 'a chain of many proxies is malformed',
    peer: '10.0.0.1',
    header: `1.2.3.4,${Array.from({ length: 16 }, () => '10.2.2.2').join(',')}`,
    address: '10.0.0.1',
  },
];

for (const { what, peer, header, address } of CASES) {
  test(`proxies: ${what}`, () => {
    assert.equal(addressOf(peer, header), address);
  });
}

test('proxies: other headers are ignored', () => {
  const others = { forwarded: 'for=1.2.3.4', 'x-real-ip': '1.2.3.4', 'x-client-ip': '1.2.3.4' };
  assert.equal(addressOf('10.0.0.1', undefined, others), '10.0.0.1');
});

test('proxies: without a trusted proxy the header is ignored', () => {
  const request = new IncomingMessage(new Socket());
  request.headers = { 'x-forwarded-for': '1.2.3.4' };
  assert.equal(new TrustedProxies([]).addressOf(request), undefined);
});

/** Opens a stream of events, and returns the status of the answer; the stream stays open. */
async function follow(t: TestContext, { url }: Service, forwardedFor: string): Promise<number> {
  const headers = { accept: 'text/event-stream', 'x-forwarded-for': forwardedFor };
  const { statusCode, body } = await send(new URL('/events', url), { headers });
  onEnd(t, () => {
    body.on('error', () => {});
    body.destroy();
  });
  return statusCode;
}

const SMALL = { THREADS: '1', EVENT_STREAMS_MAX: '4', CONNECTIONS_MAX: '6', CALLER_SHARE_PERCENT: '50' };

test('proxies: behind a trusted proxy, each forwarded address has a share, and the proxy no limit of connections', async (t) => {
  const env = { ...SMALL, TRUSTED_PROXIES: '127.0.0.0/8, ::1' };
  const service = await startService(t, { database: await createDatabase(t), env });
  const statuses: number[] = [];
  for (const caller of ['1.1.1.1', '1.1.1.1', '1.1.1.1', '9.9.9.9, 2.2.2.2', '9.9.9.9, 2.2.2.2'])
    statuses.push(await follow(t, service, caller));
  // A caller takes half of four streams, the next one half of the rest.
  assert.deepEqual(statuses, [200, 200, 503, 200, 503]);
});

test('proxies: a forged X-Forwarded-For gets no share of its own', async (t) => {
  const env = { ...SMALL, CONNECTIONS_MAX: '100', TRUSTED_PROXIES: '10.0.0.1' };
  const service = await startService(t, { database: await createDatabase(t), env });
  const statuses: number[] = [];
  for (const caller of ['1.1.1.1', '2.2.2.2', '3.3.3.3']) statuses.push(await follow(t, service, caller));
  assert.deepEqual(statuses, [200, 200, 503]);
});
