// Goal: behind a proxy with a prefix, every path and every link works, whether the proxy removes the prefix or not.
// Method: a proxy in this process passes requests on in both ways, and callers follow what they are answered.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, request as forward } from 'node:http';
import { before, test, type TestContext } from 'node:test';
import { z } from 'zod';
import { GopherPay } from '../../clients/typescript/src/index.ts';
import { withoutBase } from '../../src/main/http/router.ts';
import { onEnd, type Scope } from '../support/cleanup.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { request, type Service, startProgram, startService } from '../support/service.ts';

let database: TestDatabase;
let service: Service;

before(async (t) => {
  database = await createDatabase(t);
  service = await startService(t, { database, env: { THREADS: '1', BASE_PATH: '/pay/v1', LOG_LEVEL: 'warn' } });
});

/** Starts a proxy that serves the service at /pay/v1. Returns its URL. */
async function startProxy(scope: Scope, { keepsPrefix }: { keepsPrefix: boolean }): Promise<string> {
  const proxy = createServer((incoming, outgoing) => {
    const path = incoming.url ?? '';
    if (!path.startsWith('/pay/v1/')) {
      outgoing.writeHead(404).end();
      return;
    }
    const { host, hostname, port } = new URL(service.url);
    const passed = forward(
      {
        hostname,
        port,
        method: incoming.method,
        path: keepsPrefix ? path : path.slice('/pay/v1'.length),
        headers: { ...incoming.headers, host },
      },
      (answer) => {
        outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(outgoing);
      },
    );
    incoming.pipe(passed);
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  onEnd(scope, () => {
    proxy.closeAllConnections();
    proxy.close();
  });
  const address = proxy.address();
  assert.ok(typeof address === 'object' && address !== null);
  return `http://127.0.0.1:${address.port}`;
}

async function assertServed(t: TestContext, options: { keepsPrefix: boolean }): Promise<void> {
  const url = await startProxy(t, options);
  const name = options.keepsPrefix ? 'keeps' : 'strips';
  const send = async (method: 'GET' | 'POST', path: string, body?: unknown) =>
    await request({ url }, method, path, body, { prefer: 'wait=10' });
  const created: [string, unknown][] = [
    ['/pay/v1/ledgers', { name }],
    ['/pay/v1/accounts', { account_number: name, name: 'Ann' }],
    [`/pay/v1/ledgers/${name}/accounts`, { account_number: name, name: 'Ann' }],
    ['/pay/v1/transfers', { from_account: '@external', to_account: name, amount: 5 }],
    [`/pay/v1/ledgers/${name}/transfers`, { from_account: '@external', to_account: name, amount: 5 }],
    ['/pay/v1/holds', { from_account: '@external', to_account: name, amount: 5 }],
    ['/pay/v1/transfers', { transfers: [{ from_account: '@external', to_account: name, amount: 5 }] }],
  ];
  for (const [path, body] of created) {
    const { headers, status, text } = await send('POST', path, body);
    assert.ok(status === 200 || status === 201, text);
    const location = String(headers['location']);
    assert.ok(location.startsWith(`${path}/`) || location.startsWith(`${path}?`), location);
    assert.equal((await send('GET', location)).status, 200, location);
  }
  const client = new GopherPay({ baseUrl: `${url}/pay/v1`, ledger: name });
  const [first] = await Array.fromAsync(client.transfers.list());
  assert.equal(first?.amount, 5);
  assert.equal((await send('GET', '/accounts')).status, 404, 'Other paths belong to other services.');
}

test('base path: behind a proxy that removes the prefix, every Location can be followed', async (t) => {
  await assertServed(t, { keepsPrefix: false });
});

test('base path: behind a proxy that keeps the prefix, every Location can be followed', async (t) => {
  await assertServed(t, { keepsPrefix: true });
});

test('base path: the OpenAPI document names the prefix in its servers', async () => {
  const { body } = await request(service, 'GET', '/pay/v1/openapi.json');
  const servers = z.array(z.looseObject({ url: z.string() }));
  const { servers: all, paths } = z
    .looseObject({
      servers,
      paths: z.record(z.string(), z.record(z.string(), z.looseObject({ servers: servers.optional() }))),
    })
    .parse(body);
  assert.deepEqual(
    all.map(({ url }) => url),
    ['/pay/v1', '/pay/v1/ledgers/{ledger}'],
  );
  assert.equal(paths['/ledgers']?.['post']?.servers?.[0]?.url, '/pay/v1');
});

test('base path: probes that do not pass the proxy need no prefix', async () => {
  for (const path of ['/healthz', '/readyz', '/metrics', '/pay/v1/healthz']) {
    assert.equal((await request(service, 'GET', path)).status, 200, path);
  }
});

for (const [path, rest] of [
  ['/pay/accounts', '/accounts'],
  ['/pay/pay/accounts', '/pay/accounts'],
  ['/pay/', '/'],
  ['/pay', '/pay'],
  ['/payment/accounts', '/payment/accounts'],
  ['/accounts', '/accounts'],
  ['*', '*'],
] as const) {
  test(`base path: /pay is removed from ${path} once, if it is a whole segment`, () => {
    assert.equal(withoutBase(path, '/pay'), rest);
    assert.equal(withoutBase(path, ''), path);
  });
}

test('base path: one that begins like the paths of the service stops the start', async (t) => {
  const program = await startProgram(t, { database, args: ['serve'], env: { PORT: '0', BASE_PATH: '/accounts' } });
  const { code } = await program.exited;
  assert.notEqual(code, 0);
  assert.match(
    program.output(),
    /The setting BASE_PATH "\/accounts" is wrong: it begins like the paths of the service\./,
  );
});
