// The built client in a browser, as a module of a page: it orders a transfer, and verifies events with SubtleCrypto. The
// page and the service have one origin, by a proxy of the test.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, request as forward, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { NEEDS_CHROMIUM, openBrowser } from '../support/browser.ts';
import { onEnd, type Scope } from '../support/cleanup.ts';
import { ROOT, runTool } from '../support/contract-tools.ts';
import { createDatabase } from '../support/database.ts';
import { checkPromises } from '../support/promises/check.ts';
import { makeFolder, startService } from '../support/service.ts';

const TIMEOUT_MS = 120_000;
/** Paths of the test's own server; all others are those of the service. */
const OWN = '/of-the-test/';

/** What the packages of the client are in a browser. */
const IMPORTS = {
  '@gopherpay/client': `${OWN}client/index.js`,
  'openapi-fetch': `${OWN}node_modules/openapi-fetch/dist/index.mjs`,
  'eventsource-parser': `${OWN}node_modules/eventsource-parser/dist/index.js`,
};

const PAGE = `<!DOCTYPE html>
<meta charset="utf-8">
<script type="importmap">${JSON.stringify({ imports: IMPORTS })}</script>
<script type="module">
  const report = (result) => fetch('${OWN}result', { method: 'POST', body: JSON.stringify(result) });
  addEventListener('unhandledrejection', ({ reason }) => report({ error: String(reason) }));
  const { ChainError, GopherPay } = await import('@gopherpay/client').catch((error) => report({ error: String(error) }));
  const gopherpay = new GopherPay({ baseUrl: location.origin });
  for (const number of ['ANN', 'BOB']) {
    await gopherpay.accounts.create({ account_number: number, name: number, balance: 100 });
  }
  const order = { from_account: 'ANN', to_account: 'BOB', amount: 30 };
  const transfer = await gopherpay.transfers.create(order, { waitSeconds: 10 });
  let verified = 0;
  for await (const event of gopherpay.events.follow()) {
    verified = event.journal_number;
    if (event.transfers.some(({ id }) => id === transfer.id)) break;
  }
  // With another hash before it, the next event must not be accepted.
  const forged = { journal_number: verified - 1, hash: 'f'.repeat(64) };
  const next = gopherpay.events.follow({ after: forged }).next();
  const refusal = await next.then(() => 'accepted', (error) => (error instanceof ChainError ? 'ChainError' : String(error)));
  await report({ status: transfer.status, hasVerified: verified > 0, refusal });
</script>`;

test(
  'client: it runs in a browser, and verifies events there',
  { timeout: TIMEOUT_MS, ...NEEDS_CHROMIUM },
  async (t) => {
    const built = await makeFolder(t);
    await runTool('tsc', ['-p', join(ROOT, 'clients/typescript'), '--outDir', built]);
    const database = await createDatabase(t);
    const service = await startService(t, { database });
    const { origin, result } = await openOrigin(t, service.url, built);
    const browser = await openBrowser(t);
    const page = await browser.newPage();
    await page.goto(`${origin}${OWN}page.html`);
    assert.deepEqual(JSON.parse(await result), { status: 'completed', hasVerified: true, refusal: 'ChainError' });
    await checkPromises(database, { nothingPending: true });
  },
);

/** A server with the page and its modules; everything else is the service. `result` is what the page reports. */
async function openOrigin(scope: Scope, service: string, built: string) {
  const result = Promise.withResolvers<string>();
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { pathname } = new URL(request.url ?? '', service);
    if (!pathname.startsWith(OWN)) return forwardTo(service, request, response);
    const name = pathname.slice(OWN.length);
    if (name === 'result') {
      result.resolve(await text(request));
      response.writeHead(204).end();
    } else if (name === 'page.html') {
      response.writeHead(200, { 'Content-Type': 'text/html' }).end(PAGE);
    } else {
      const file = name.startsWith('client/') ? join(built, name.slice('client/'.length)) : join(ROOT, name);
      response.writeHead(200, { 'Content-Type': 'text/javascript' }).end(await readFile(file));
    }
  };
  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => {
      result.reject(error);
      response.writeHead(500).end();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onEnd(scope, () => {
    server.closeAllConnections();
    server.close();
  });
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : undefined;
  return { origin: `http://127.0.0.1:${port}`, result: result.promise };
}

function forwardTo(service: string, request: IncomingMessage, response: ServerResponse): void {
  const { method, headers, url } = request;
  const upstream = forward(new URL(url ?? '', service), { method: method ?? 'GET', headers }, (answer) => {
    response.writeHead(answer.statusCode ?? 500, answer.headers);
    // The head of a feed must not wait for its first event.
    response.flushHeaders();
    answer.pipe(response);
  });
  upstream.on('error', () => response.destroy());
  response.on('close', () => upstream.destroy());
  request.pipe(upstream);
}
