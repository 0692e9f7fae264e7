// Goal: whatever the collector does, the service answers, settles and stops as if there were none, and no span says what it
// must not. Method: the service in a process of its own; the collector is away, slow, failing, or watched.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type Collector, startCollector, type Value } from '../support/collector.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { makeKey } from '../support/keys.ts';
import { makeFolder, request, type Service, startService } from '../support/service.ts';
import { until } from '../support/until.ts';

const WAIT = { prefer: 'wait=20' };
/** A port that nothing listens on: it is reserved. */
const AWAY = 'http://127.0.0.1:1';

async function start(
  t: TestContext,
  env: Record<string, string>,
  headers: Record<string, string> = {},
  database?: TestDatabase,
): Promise<Service> {
  const own = database ?? (await createDatabase(t));
  const service = await startService(t, { database: own, env: { THREADS: '1', ...env } });
  for (const number of ['A', 'B']) {
    const account = { account_number: number, name: number, balance: 1_000_000 };
    assert.equal((await request(service, 'POST', '/accounts', account, headers)).status, 201);
  }
  return service;
}

async function transfer(service: Service, headers: Record<string, string> = WAIT): Promise<void> {
  const sent = { from_account: 'A', to_account: 'B', amount: 1 };
  const { status, text } = await request(service, 'POST', '/transfers', sent, headers);
  assert.ok(status === 200 || status === 202, text);
}

/** The modules of OpenTelemetry that the process and its threads loaded. */
async function runNoting(t: TestContext, env: Record<string, string>): Promise<string[]> {
  const file = join(await makeFolder(t), 'modules');
  const hook = new URL('../support/note-modules.js', import.meta.url).href;
  const service = await start(t, { NODE_OPTIONS: `--import=${hook}`, NOTED_MODULES: file, ...env });
  await transfer(service);
  await service.stop();
  const loaded = (await readFile(file, 'utf8')).split('\n');
  assert.ok(loaded.some((line) => /^thread .*settle\.ts$/.test(line)));
  // prom-client loads the API, which does nothing without an SDK.
  return loaded.filter((line) => /@opentelemetry\/(?!api\/)|\/main\/tracing\//.test(line));
}

test('traces: without a collector, nothing of OpenTelemetry is loaded', async (t) => {
  assert.deepEqual(await runNoting(t, {}), []);
  assert.deepEqual(await runNoting(t, { OTEL_EXPORTER_OTLP_ENDPOINT: AWAY, OTEL_SDK_DISABLED: 'true' }), []);
});

test('traces: with a collector, only the main thread loads OpenTelemetry', async (t) => {
  const loaded = await runNoting(t, { OTEL_EXPORTER_OTLP_ENDPOINT: AWAY });
  assert.ok(loaded.length > 0);
  assert.deepEqual(
    loaded.filter((line) => line.startsWith('thread ')),
    [],
  );
});

test('traces: a collector that is away costs spans, which the log counts, and nothing else', async (t) => {
  const service = await start(t, { OTEL_EXPORTER_OTLP_ENDPOINT: AWAY });
  for (let n = 0; n < 20; n += 1) await transfer(service);
  assert.deepEqual(await service.stop(), { code: 0, signal: null });
  const dropped = service.logs().filter(({ msg }) => msg === 'spans dropped');
  // Two accounts and 20 transfers: each has a request, its way to a job, the job, and at least seven parts.
  const spans = dropped.reduce((sum, line) => sum + Number(line['spans']), 0);
  assert.ok(spans >= 22 * 10, `${spans} spans dropped`);
  assert.match(String(dropped.at(-1)?.['reason']), /ECONNREFUSED|not answered/);
});

test('traces: a collector that never answers delays no request, and the stop for a limited time', async (t) => {
  const collector = await startCollector(t);
  const waiting: ServerResponse[] = [];
  collector.answer = (response) => waiting.push(response);
  const service = await start(t, { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url });
  await until(() => waiting.length > 0, { what: 'a request to the collector' });
  for (let n = 0; n < 20; n += 1) await transfer(service);
  assert.deepEqual(await service.stop(), { code: 0, signal: null });
});

test('traces: a collector that fails once gets the same spans again', async (t) => {
  const collector = await startCollector(t);
  const { answer } = collector;
  collector.answer = (response) => {
    collector.spans.length = 0;
    collector.answer = answer;
    response.writeHead(503).end();
  };
  const service = await start(t, { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url });
  await collector.named('POST /accounts', 2);
  assert.deepEqual(await service.stop(), { code: 0, signal: null });
  assert.deepEqual(
    service.logs().filter(({ msg }) => msg === 'spans dropped'),
    [],
  );
});

test('traces: the stop sends what has not been sent', async (t) => {
  const collector = await startCollector(t);
  const service = await start(t, { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url });
  for (let n = 0; n < 20; n += 1) await transfer(service, n % 2 === 0 ? WAIT : {});
  assert.deepEqual(await service.stop(), { code: 0, signal: null });
  const count = (name: string): number => collector.spans.filter((span) => span.name === name).length;
  assert.equal(count('POST /transfers'), 20);
  assert.equal(count('settle'), 22);
  assert.equal(count('intake'), 10);
});

test('traces: the settings say where spans are sent, with which headers, and what their resource is', async (t) => {
  const collector = await startCollector(t);
  const service = await start(t, {
    OTEL_EXPORTER_OTLP_ENDPOINT: AWAY,
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${collector.url}/otlp/traces`,
    OTEL_EXPORTER_OTLP_HEADERS: 'authorization=Bearer%20abc,x-tenant=one',
    OTEL_SERVICE_NAME: 'payments',
    OTEL_RESOURCE_ATTRIBUTES: 'service.name=ignored,deployment.environment.name=test%20bed',
  });
  await service.stop();
  assert.equal(collector.paths[0], '/otlp/traces');
  assert.equal(collector.headers[0]?.authorization, 'Bearer abc');
  assert.equal(collector.headers[0]['x-tenant'], 'one');
  assert.equal(collector.headers[0]['content-type'], 'application/x-protobuf');
  const resource = collector.spans[0]?.resource;
  assert.equal(resource?.['service.name'], 'payments');
  assert.equal(resource['deployment.environment.name'], 'test bed');
  assert.equal(typeof resource['service.version'], 'string');
});

test('traces: a sampler without a share traces only what callers sample', async (t) => {
  const collector = await startCollector(t);
  const service = await start(t, {
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    OTEL_TRACES_SAMPLER: 'parentbased_traceidratio',
    OTEL_TRACES_SAMPLER_ARG: '0',
  });
  await transfer(service);
  await transfer(service, { ...WAIT, traceparent: `00-${'1'.repeat(32)}-${'2'.repeat(16)}-01` });
  await service.stop();
  assert.deepEqual(
    collector.spans.filter(({ kind }) => kind === 'server').map(({ traceId }) => traceId),
    ['1'.repeat(32)],
  );
  assert.equal(collector.spans.filter(({ name }) => name === 'job').length, 1);
});

/** Every value of every attribute. */
function valuesOf({ spans }: Collector): Value[] {
  return spans.flatMap(({ attributes, resource }) => [...Object.values(attributes), ...Object.values(resource)]).flat();
}

test('traces: spans have no personal data, no secret, no amount, no body, no account and no query', async (t) => {
  const collector = await startCollector(t);
  const database = await createDatabase(t);
  const { headers, text } = await makeKey(database);
  const env = { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_EXPORTER_OTLP_HEADERS: 'x-token=planted-token' };
  const service = await start(t, env, headers, database);
  const [number, other, amount, balance] = ['PLANTED-1', 'PLANTED-2', 771_133, 99_887_766];
  const send = async (method: 'GET' | 'POST' | 'PATCH', path: string, body?: object, more = {}): Promise<number> =>
    (await request(service, method, path, body, { ...headers, ...more })).status;
  const account = { name: 'Planted Person', balance, metadata: { note: 'planted-metadata' } };
  assert.equal(await send('POST', '/accounts', { account_number: number, ...account }), 201);
  assert.equal(await send('POST', '/accounts', { account_number: other, ...account }), 201);
  assert.equal(await send('POST', '/accounts', { account_number: other, ...account }), 409);
  const sent = {
    from_account: number,
    to_account: other,
    amount,
    description: 'planted-description',
    metadata: { order: 'planted-order' },
  };
  const more = { 'idempotency-key': 'planted-key', cookie: 'planted-cookie', 'user-agent': 'planted-agent' };
  assert.equal(await send('POST', '/transfers', sent, { ...WAIT, ...more }), 200);
  assert.equal(await send('POST', '/transfers', { ...sent, amount: 2 }, more), 422);
  assert.equal(await send('POST', '/holds', sent), 202);
  assert.equal(await send('GET', `/accounts/${number}?planted=1`), 400);
  assert.equal(await send('GET', `/accounts?name=planted-query`), 200);
  assert.equal(await send('GET', `/transfers?account=${number}&status=planted`), 400);
  assert.equal(await send('PATCH', `/accounts/${number}`, { name: 'Planted Other' }), 200);
  assert.equal(await send('GET', '/planted/path'), 404);
  await service.stop();
  assert.ok(collector.spans.length > 30);
  const bodies = Buffer.concat(collector.bodies).toString('latin1');
  assert.doesNotMatch(bodies, /planted/i);
  assert.ok(!bodies.includes(text));
  assert.ok(!bodies.includes('127.0.0.1'));
  const planted = [amount, balance].flatMap((value) => [value, String(value)]);
  assert.deepEqual(
    valuesOf(collector).filter((value) => planted.some((each) => each === value)),
    [],
  );
  assert.ok(collector.spans.every(({ events, statusMessage }) => events === 0 && statusMessage === ''));
});
