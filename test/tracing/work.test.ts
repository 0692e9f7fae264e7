// Goal: what no request waits for has spans, too: deliveries of webhooks, the end of due holds, and the adoption of transfers.
// Method: services in processes of their own, a receiver of webhooks, and a collector that decodes what it is sent.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { type Collector, type ReceivedSpan, startCollector } from '../support/collector.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { startReceiver } from '../support/receiver.ts';
import { awaitFinal, request, type Service, startService } from '../support/service.ts';
import { lockAccount } from '../support/trouble.ts';
import { until } from '../support/until.ts';

const WAIT = { prefer: 'wait=20' };
const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const PARENT = '00f067aa0ba902b7';

type Started = { collector: Collector; database: TestDatabase; service: Service };

async function start(t: TestContext, env: Record<string, string> = {}): Promise<Started> {
  const collector = await startCollector(t);
  const database = await createDatabase(t);
  const all = { THREADS: '1', WEBHOOK_TARGETS: 'any', OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, ...env };
  const service = await startService(t, { database, env: all });
  for (const number of ['A', 'B']) {
    const account = { account_number: number, name: number, balance: 1000 };
    assert.equal((await request(service, 'POST', '/accounts', account)).status, 201);
  }
  return { collector, database, service };
}

async function childrenOf(collector: Collector, parent: ReceivedSpan, count: number): Promise<ReceivedSpan[]> {
  const find = (): ReceivedSpan[] =>
    collector.spans.filter(({ traceId, parentId }) => traceId === parent.traceId && parentId === parent.spanId);
  await until(() => find().length === count, { what: `${count} parts of ${parent.name}` });
  return find();
}

/** The job of a span that names one. */
async function jobOf(collector: Collector, { links }: ReceivedSpan): Promise<ReceivedSpan> {
  const [link] = links;
  return await until(() => collector.spans.find(({ spanId }) => spanId === link?.spanId), { what: 'the job' });
}

const order = { from_account: 'A', to_account: 'B', amount: 1 };

test('traces: a turn of a webhook has its attempts, each linked to the request of its transfer', async (t) => {
  const { collector, service } = await start(t);
  const receiver = await startReceiver(t);
  receiver.answer = (response) => void response.writeHead(receiver.received.length === 1 ? 500 : 204).end();
  const made = await request(service, 'POST', '/webhooks', { url: receiver.url, types: ['transfer.completed'] });
  assert.equal(made.status, 201, made.text);
  const sent = await request(service, 'POST', '/transfers', order, { ...WAIT, 'x-request-id': 'delivered' });
  assert.equal(sent.status, 200);
  const [turn] = await collector.named('webhook turn');
  assert.ok(turn);
  assert.equal(turn.parentId, '');
  assert.deepEqual(turn.attributes, {
    'gopherpay.ledger': 'main',
    'gopherpay.webhook_id': made.body['id'],
    'gopherpay.webhook.attempts': 1,
    'gopherpay.webhook.delivered': 0,
    'error.type': 'status',
  });
  const [attempt] = await childrenOf(collector, turn, 1);
  assert.ok(attempt);
  assert.deepEqual([attempt.name, attempt.kind, attempt.isError], ['webhook attempt', 'client', true]);
  assert.deepEqual(attempt.attributes, {
    'http.request.method': 'POST',
    'http.response.status_code': 500,
    'gopherpay.event_id': receiver.received[0]?.id,
    'gopherpay.transfer_id': sent.body['id'],
    'error.type': 'status',
  });
  const post = await until(
    () => collector.spans.find(({ attributes }) => attributes['gopherpay.request_id'] === 'delivered'),
    { what: 'the span of the request' },
  );
  assert.deepEqual(attempt.links, [{ traceId: post.traceId, spanId: post.spanId }]);
  // The address of a receiver may have a secret.
  assert.ok(!Buffer.concat(collector.bodies).includes('/hook'));
});

test('traces: of turns, those are traced whose transfers have a traced request', async (t) => {
  const sampling = { OTEL_TRACES_SAMPLER: 'parentbased_traceidratio', OTEL_TRACES_SAMPLER_ARG: '0' };
  const { collector, service } = await start(t, sampling);
  const receiver = await startReceiver(t);
  const made = await request(service, 'POST', '/webhooks', { url: receiver.url, types: ['transfer.completed'] });
  assert.equal(made.status, 201, made.text);
  assert.equal((await request(service, 'POST', '/transfers', order, WAIT)).status, 200);
  await until(() => receiver.received.length === 1, { what: 'the first delivery' });
  const traced = { ...WAIT, traceparent: `00-${TRACE}-${PARENT}-01` };
  assert.equal((await request(service, 'POST', '/transfers', order, traced)).status, 200);
  await until(() => receiver.received.length === 2, { what: 'the second delivery' });
  await service.stop();
  const attempts = collector.spans.filter(({ name }) => name === 'webhook attempt');
  assert.ok(attempts.some(({ links }) => links.some(({ traceId }) => traceId === TRACE)));
  const turns = collector.spans.filter(({ name }) => name === 'webhook turn');
  for (const { spanId } of turns) {
    assert.ok(attempts.some(({ parentId, links }) => parentId === spanId && links.length === 1));
  }
});

test('traces: the end of due holds is a trace, and its job is linked to it', async (t) => {
  const { collector, service } = await start(t);
  const held = await request(service, 'POST', '/holds', { ...order, expires_in: 1 }, WAIT);
  assert.equal(held.status, 200, held.text);
  const [work] = await collector.named('expire holds');
  assert.ok(work);
  assert.equal(work.parentId, '');
  assert.deepEqual(work.attributes, { 'gopherpay.count': 1 });
  const [settle] = await childrenOf(collector, work, 1);
  assert.ok(settle);
  assert.deepEqual([settle.name, settle.attributes['gopherpay.result']], ['settle', 'settled']);
  const job = await jobOf(collector, settle);
  assert.deepEqual(job.links, [{ traceId: work.traceId, spanId: work.spanId }]);
  await service.stop();
  assert.equal(collector.spans.filter(({ name }) => name === 'expire holds').length, 1);
});

test('traces: adopted transfers have a trace, although the request of another process had accepted them', async (t) => {
  const { database, service } = await start(t);
  const release = await lockAccount(database, 'A');
  const accepted = await request(service, 'POST', '/transfers', order);
  assert.equal(accepted.status, 202);
  await service.kill();
  await release();
  const collector = await startCollector(t);
  const env = {
    THREADS: '1',
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    ORPHANED_AFTER_MS: '1000',
    HEARTBEAT_MS: '100',
  };
  const other = await startService(t, { database, env });
  await awaitFinal(other, String(accepted.body['id']));
  const [work] = await collector.named('adopt transfers');
  assert.ok(work);
  assert.deepEqual(work.attributes, { 'gopherpay.count': 1 });
  const [settle] = await childrenOf(collector, work, 1);
  assert.ok(settle);
  const job = await jobOf(collector, settle);
  assert.deepEqual(job.links, [{ traceId: work.traceId, spanId: work.spanId }]);
});

test('traces: spans that do not reach the collector are counted in the metrics', async (t) => {
  const { service } = await start(t, { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1' });
  const read = async (): Promise<number> => {
    const { text } = await request(service, 'GET', '/metrics');
    assert.match(text, /^gopherpay_trace_spans_dropped_total\{reason="queue_full"\} 0$/m);
    return Number(/^gopherpay_trace_spans_dropped_total\{reason="export_failed"\} (\d+)$/m.exec(text)?.[1]);
  };
  await until(async () => (await read()) > 0, { timeoutMs: 20_000, what: 'spans that were dropped' });
});
