// Goal: the spans that a collector gets are those of docs/TRACES.md: a request, its intake, its way to a job, and the job
// with its statements. Method: the service in a process of its own, and a collector that decodes what it is sent.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, test } from 'node:test';
import { type Collector, type ReceivedSpan, startCollector } from '../support/collector.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { type Answer, awaitFinal, request, type Service, startService } from '../support/service.ts';
import { lockAccount } from '../support/trouble.ts';
import { until } from '../support/until.ts';

const WAIT = { prefer: 'wait=20' };
const LOCK_TIMEOUT_MS = 200;

let collector: Collector;
let database: TestDatabase;
let service: Service;

before(async (t) => {
  collector = await startCollector(t);
  database = await createDatabase(t);
  const env = {
    THREADS: '2',
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    DB_LOCK_TIMEOUT_MS: String(LOCK_TIMEOUT_MS),
  };
  service = await startService(t, { database, env });
  for (const number of ['A', 'B', 'C']) {
    const account = { account_number: number, name: number, balance: 1_000_000 };
    assert.equal((await request(service, 'POST', '/accounts', account)).status, 201);
  }
});

type Sent = Answer<Record<string, unknown>> & { requestId: string };

async function post(path: string, body: object, headers: Record<string, string> = {}): Promise<Sent> {
  const requestId = randomUUID();
  return { ...(await request(service, 'POST', path, body, { 'x-request-id': requestId, ...headers })), requestId };
}

/** The span of a request. */
async function spanOf({ requestId }: { requestId: string }): Promise<ReceivedSpan> {
  return await until(() => collector.spans.find(({ attributes }) => attributes['gopherpay.request_id'] === requestId), {
    what: 'the span of the request',
  });
}

async function childOf(parent: ReceivedSpan, name: string): Promise<ReceivedSpan> {
  return await until(() => childrenOf(parent).find((span) => span.name === name), { what: `the span ${name}` });
}

function childrenOf(parent: ReceivedSpan): ReceivedSpan[] {
  const children = collector.spans.filter(
    ({ traceId, parentId }) => traceId === parent.traceId && parentId === parent.spanId,
  );
  return children.sort((one, other) => Number(one.start - other.start));
}

/** The spans of the jobs that a span names. */
async function jobsOf(settle: ReceivedSpan): Promise<ReceivedSpan[]> {
  const find = ({ spanId }: { spanId: string }) => collector.spans.find((span) => span.spanId === spanId);
  await until(() => settle.links.every(find), { what: 'the spans of the jobs' });
  return settle.links.flatMap((link) => find(link) ?? []);
}

/** A part lies within the whole: all times are of one clock. The end of the whole is rounded, by a microsecond at most. */
function assertWithin(part: ReceivedSpan, whole: ReceivedSpan): void {
  assert.ok(part.start <= part.end, part.name);
  assert.ok(part.start >= whole.start - 1000n && part.end <= whole.end + 1000n, `${part.name} in ${whole.name}`);
}

test('traces: a transfer that is answered 202 has an intake, and is linked to its job and back', async () => {
  const sent = await post('/transfers', { from_account: 'A', to_account: 'B', amount: 3 });
  assert.equal(sent.status, 202);
  const span = await spanOf(sent);
  assert.equal(span.name, 'POST /transfers');
  assert.equal(span.kind, 'server');
  assert.equal(span.parentId, '');
  assert.equal(span.isError, false);
  assert.deepEqual(span.attributes, {
    'http.request.method': 'POST',
    'url.scheme': 'http',
    'http.route': '/transfers',
    'http.response.status_code': 202,
    'gopherpay.request_id': sent.requestId,
    'gopherpay.ledger': 'main',
    'gopherpay.transfer_id': sent.body['id'],
  });
  assert.equal(span.resource['service.name'], 'gopherpay');
  const intake = await childOf(span, 'intake');
  assertWithin(intake, span);
  assert.deepEqual(intake.attributes, { 'gopherpay.result': 'stored', 'gopherpay.intake.requests': 1 });
  const insert = await childOf(intake, 'insert pending');
  assertWithin(insert, intake);
  assert.equal(insert.kind, 'client');
  const settle = await childOf(span, 'settle');
  assert.deepEqual(settle.attributes, { 'gopherpay.result': 'settled' });
  const [job, ...others] = await jobsOf(settle);
  assert.ok(job);
  assert.equal(others.length, 0);
  assert.notEqual(job.traceId, span.traceId);
  assert.equal(job.parentId, '');
  assert.deepEqual(job.links, [{ traceId: span.traceId, spanId: span.spanId }]);
});

test('traces: a job has its statements and its decision, in its time', async () => {
  const sent = await post('/transfers', { from_account: 'A', to_account: 'B', amount: 4 }, WAIT);
  assert.equal(sent.status, 200);
  const span = await spanOf(sent);
  assert.deepEqual(
    childrenOf(span).map(({ name }) => name),
    ['settle'],
  );
  const settle = await childOf(span, 'settle');
  assertWithin(settle, span);
  const [job] = await jobsOf(settle);
  assert.ok(job);
  assertWithin(job, settle);
  const { 'gopherpay.journal_number': number, ...attributes } = job.attributes;
  assert.equal(typeof number, 'number');
  assert.deepEqual(attributes, {
    'gopherpay.ledger': 'main',
    'gopherpay.result': 'settled',
    'gopherpay.job.mode': 'settle',
    'gopherpay.job.units': 1,
    'gopherpay.job.transfers': 1,
    'gopherpay.job.openings': 0,
    'gopherpay.job.failed': 0,
    'gopherpay.job.attempts': 1,
  });
  const parts = childrenOf(job);
  assert.deepEqual(
    parts.map(({ name }) => name),
    ['begin', 'lock accounts', 'load time', 'decide', 'update accounts', 'lock journal', 'write ended', 'commit'],
  );
  for (const part of parts) {
    assertWithin(part, job);
    assert.equal(part.isError, false);
    const isDecision = part.name === 'decide';
    assert.equal(part.kind, isDecision ? 'internal' : 'client');
    const ofStatement = { 'db.system.name': 'postgresql', 'db.query.summary': part.name };
    assert.deepEqual(part.attributes, isDecision ? {} : ofStatement);
  }
});

test('traces: a refused request has the code of its problem, and is no error of the service', async () => {
  const sent = await post('/transfers', { from_account: 'A', to_account: 'B', amount: -1 });
  assert.equal(sent.status, 422);
  const span = await spanOf(sent);
  assert.equal(span.attributes['http.response.status_code'], 422);
  assert.equal(span.attributes['gopherpay.problem'], sent.body['code']);
  assert.equal(span.attributes['error.type'], undefined);
  assert.equal(span.isError, false);
  assert.deepEqual(childrenOf(span), []);
});

test('traces: a path without a route is named by its method alone', async () => {
  const sent = await post('/nothing/here', {});
  const span = await spanOf(sent);
  assert.equal(span.name, 'POST');
  assert.equal(span.attributes['http.route'], undefined);
});

test('traces: a transfer that fails by a rule is counted by its job, and is no error', async () => {
  const sent = await post('/transfers', { from_account: 'A', to_account: 'nowhere', amount: 1 }, WAIT);
  assert.equal(sent.body['status'], 'failed', sent.text);
  const [job] = await jobsOf(await childOf(await spanOf(sent), 'settle'));
  assert.equal(job?.attributes['gopherpay.job.failed'], 1);
  assert.equal(job.isError, false);
});

test('traces: a bulk is one unit of its job', async () => {
  const transfers = [1, 2, 3].map((amount) => ({ from_account: 'A', to_account: 'C', amount }));
  const sent = await post('/transfers', { transfers });
  assert.equal(sent.status, 202);
  const span = await spanOf(sent);
  assert.equal(span.attributes['gopherpay.transfers'], 3);
  assert.equal(typeof span.attributes['gopherpay.group_id'], 'string');
  const [job] = await jobsOf(await childOf(span, 'settle'));
  assert.equal(job?.attributes['gopherpay.job.units'], 1);
  assert.equal(job.attributes['gopherpay.job.transfers'], 3);
});

test('traces: an opened account is an opening of its job', async () => {
  const sent = await post('/accounts', { account_number: 'D', name: 'D' });
  assert.equal(sent.status, 201);
  const [job] = await jobsOf(await childOf(await spanOf(sent), 'settle'));
  assert.equal(job?.attributes['gopherpay.job.openings'], 1);
});

test('traces: a dry run has a job that writes nothing', async () => {
  const sent = await post('/transfers?dry_run=true', { from_account: 'A', to_account: 'B', amount: 1 });
  assert.equal(sent.status, 200);
  const { spanId } = await spanOf(sent);
  const job = await until(
    () => collector.spans.find(({ name, links }) => name === 'job' && links.some((link) => link.spanId === spanId)),
    { what: 'the job of the dry run' },
  );
  assert.equal(job.attributes['gopherpay.job.mode'], 'dry run');
  assert.equal(job.attributes['gopherpay.journal_number'], undefined);
});

test('traces: a job that waits for a lock ends as an error, is run again, and carries what came meanwhile', async () => {
  const release = await lockAccount(database, 'B');
  const first = await post('/transfers', { from_account: 'A', to_account: 'B', amount: 5 });
  const settled = async (): Promise<ReceivedSpan[]> => await jobsOf(await childOf(await spanOf(first), 'settle'));
  const failed = await until(() => collector.spans.find(({ name, isError }) => name === 'job' && isError), {
    what: 'a job that failed',
  });
  assert.equal(failed.attributes['gopherpay.result'], 'unavailable');
  assert.equal(failed.attributes['error.type'], '55P03');
  assert.equal(failed.statusMessage, '');
  const statement = childrenOf(failed).find(({ name }) => name === 'lock accounts');
  assert.equal(statement?.isError, true);
  assert.equal(statement.attributes['db.response.status_code'], '55P03');
  await release();
  await awaitFinal(service, String(first.body['id']));
  const jobs = await settled();
  assert.ok(jobs.length >= 2, `${jobs.length} jobs`);
  assert.equal(jobs.at(-1)?.attributes['gopherpay.result'], 'settled');
  assert.ok(jobs.slice(0, -1).every(({ isError }) => isError));
});

test('traces: a job that carries several requests is linked to each of them', async (t) => {
  // While the only job of the ledger waits, further transfers gather for the next.
  const own = await createDatabase(t);
  const env = { THREADS: '1', OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_SERVICE_NAME: 'several' };
  const gathering = await startService(t, { database: own, env });
  for (const number of ['A', 'B', 'C']) {
    await request(gathering, 'POST', '/accounts', { account_number: number, name: number, balance: 1000 });
  }
  const release = await lockAccount(own, 'A');
  const order = async (from: string, requestId: string = randomUUID()) => {
    const body = { from_account: from, to_account: 'C', amount: 1 };
    const { status } = await request(gathering, 'POST', '/transfers', body, { 'x-request-id': requestId });
    assert.equal(status, 202);
    return { requestId };
  };
  await order('A');
  const later = [await order('B'), await order('B'), await order('B')];
  await release();
  const spans = await Promise.all(later.map(spanOf));
  const jobs = await Promise.all(spans.map(async (span) => await jobsOf(await childOf(span, 'settle'))));
  const [job] = jobs[0] ?? [];
  assert.ok(job);
  assert.equal(job.resource['service.name'], 'several');
  assert.ok(jobs.every((each) => each.length === 1 && each[0]?.spanId === job.spanId));
  assert.equal(job.attributes['gopherpay.job.units'], 3);
  assert.deepEqual(
    job.links,
    spans.map(({ traceId, spanId }) => ({ traceId, spanId })),
  );
});

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const PARENT = '00f067aa0ba902b7';

test('traces: a request continues the sampled trace of its caller, and the log has the ids of its span', async () => {
  const sent = await post(
    '/transfers',
    { from_account: 'A', to_account: 'B', amount: 1 },
    { traceparent: `00-${TRACE}-${PARENT}-01` },
  );
  const span = await spanOf(sent);
  assert.equal(span.traceId, TRACE);
  assert.equal(span.parentId, PARENT);
  const settle = await childOf(span, 'settle');
  assert.equal(settle.traceId, TRACE);
  const [job] = await jobsOf(settle);
  assert.ok(job);
  const line = service.logs().find(({ request_id: id }) => id === sent.requestId);
  assert.equal(line?.['trace_id'], TRACE);
  assert.equal(line['span_id'], span.spanId);
  const ofJob = service.logs().find(({ msg, span_id: id }) => msg === 'job settled' && id === job.spanId);
  assert.equal(ofJob?.['trace_id'], job.traceId);
});

test('traces: a request whose caller does not sample has no span, and neither has a probe', async () => {
  const unsampled = await post(
    '/transfers',
    { from_account: 'A', to_account: 'B', amount: 1 },
    { ...WAIT, traceparent: `00-${TRACE}-${PARENT}-00` },
  );
  assert.equal(unsampled.status, 200);
  for (const path of ['/healthz', '/readyz', '/metrics']) await request(service, 'GET', path);
  // Spans are sent in order.
  const last = await post('/transfers', { from_account: 'A', to_account: 'B', amount: 1 }, WAIT);
  const [job] = await jobsOf(await childOf(await spanOf(last), 'settle'));
  assert.ok(job);
  const isOfUnsampled = ({ attributes }: ReceivedSpan) => attributes['gopherpay.request_id'] === unsampled.requestId;
  assert.deepEqual(collector.spans.filter(isOfUnsampled), []);
  assert.deepEqual(
    collector.spans.filter(({ attributes }) => /healthz|readyz|metrics/.test(String(attributes['http.route']))),
    [],
  );
  const line = service.logs().find(({ request_id: id }) => id === unsampled.requestId);
  assert.equal(line?.['trace_id'], TRACE);
  assert.equal(line['span_id'], PARENT);
});
