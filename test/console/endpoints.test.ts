// The console over HTTP: who gets a page and who the problem as before, its headers, its files, and where it is not served.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { request as send } from 'undici';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { type Service, startService } from '../support/service.ts';
import { until } from '../support/until.ts';

const HTML = 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8';

let database: TestDatabase;
let service: Service;

before(async (t) => {
  database = await createDatabase(t);
  service = await startService(t, { database, env: { BASE_PATH: '/pay', LOG_LEVEL: 'warn' } });
});

async function get(path: string, headers: Record<string, string> = {}, of: Service = service) {
  const answer = await send(new URL(path, of.url), { headers });
  const bytes = Buffer.from(await answer.body.arrayBuffer());
  return { status: answer.statusCode, headers: answer.headers, bytes, text: bytes.toString() };
}

for (const path of ['/pay/', '/pay/docs']) {
  test(`console: ${path} is a page for browsers, and not found for programs`, async () => {
    const page = await get(path, { accept: HTML });
    assert.equal(page.status, 200);
    assert.match(String(page.headers['content-type']), /^text\/html/);
    assert.equal(page.headers['cache-control'], 'no-cache');
    assert.match(String(page.headers['vary']), /Accept/);
    assert.equal(page.headers['x-content-type-options'], 'nosniff');
    const policy = String(page.headers['content-security-policy']);
    for (const rule of ["default-src 'none'", "connect-src 'self'", "frame-ancestors 'none'", "style-src 'self'"]) {
      assert.ok(policy.split('; ').includes(rule), policy);
    }
    assert.doesNotMatch(policy, /unsafe|https?:|\*/);
    for (const accept of ['application/json', '*/*', '']) {
      const other = await get(path, accept === '' ? {} : { accept });
      assert.equal(other.status, 404);
      assert.match(String(other.headers['content-type']), /^application\/problem\+json/);
      assert.match(other.text, /"code":"not_found"/);
    }
  });

  test(`console: the files of ${path} are kept for ever, and gzipped`, async () => {
    const page = await get(path, { accept: HTML });
    const paths = [...page.text.matchAll(/(?:src|href)="(assets\/[^"]+)"/g)].map(([, file = '']) => file);
    assert.ok(paths.length >= 4);
    for (const file of paths) {
      assert.match(file, /\.[0-9a-f]{16}\.(js|css|svg)$/);
      const plain = await get(`/pay/${file}`);
      assert.equal(plain.status, 200, file);
      assert.equal(plain.headers['cache-control'], 'public, max-age=31536000, immutable');
      const zipped = await get(`/pay/${file}`, { 'accept-encoding': 'gzip' });
      assert.equal(zipped.headers['content-encoding'], 'gzip');
      assert.deepEqual(gunzipSync(zipped.bytes), plain.bytes);
    }
    assert.equal((await get('/pay/assets/main.0000000000000000.js')).status, 404);
    assert.doesNotMatch(page.text, /(?:src|href)="\//);
  });
}

test('console: HEAD has the headers of a page, and no body', async () => {
  const answer = await send(new URL('/pay/', service.url), { method: 'HEAD', headers: { accept: HTML } });
  assert.equal(answer.statusCode, 200);
  assert.ok(Number(answer.headers['content-length']) > 0);
  assert.equal(await answer.body.text(), '');
});

test('console: CONSOLE=off serves neither page', async (t) => {
  const without = await startService(t, { database, env: { CONSOLE: 'off', LOG_LEVEL: 'warn' } });
  for (const path of ['/', '/docs', '/assets/main.js']) {
    assert.equal((await get(path, { accept: HTML }, without)).status, 404);
  }
});

test('console: the listener for operators does not serve it', async (t) => {
  const both = await startService(t, { database, env: { OPERATIONS_PORT: '0' } });
  const started = await until(() => both.logs().find(({ msg }) => msg === 'operations listener started'), {
    timeoutMs: 10_000,
    what: 'the listener for operators',
  });
  const operations = { ...both, url: String(started['url']) };
  assert.equal((await get('/healthz', {}, operations)).status, 200);
  for (const path of ['/', '/docs']) assert.equal((await get(path, { accept: HTML }, operations)).status, 404);
  assert.equal((await get('/', { accept: HTML }, both)).status, 200);
});

test('console: types that Node strips leave no warning of Node on standard error', async (t) => {
  const quiet = await startService(t, { database });
  await get('/', { accept: HTML }, quiet);
  assert.doesNotMatch(quiet.output(), /ExperimentalWarning/);
});
