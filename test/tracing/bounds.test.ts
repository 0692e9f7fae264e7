// Goal: spans take bounded memory. Method: the processor with an exporter that does not answer, and jobs of many requests.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { randomBytes } from 'node:crypto';
import { ROOT_CONTEXT } from '@opentelemetry/api';
import {
  InMemorySpanExporter,
  SamplingDecision,
  SimpleSpanProcessor,
  type SpanExporter,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import { createProcessor, SPANS_MAX } from '../../src/main/tracing/export.ts';
import { RecentRequests, TRANSFERS_REMEMBERED } from '../../src/main/tracing/recent-requests.ts';
import { createSampling } from '../../src/main/tracing/sampling.ts';
import { createTracer, LINKS_MAX } from '../../src/main/tracing/spans.ts';

test('traces: spans beyond the bound are dropped and counted, and those that were sent are released', async () => {
  const waiting: (() => void)[] = [];
  let isAnswering = false;
  const memory = new InMemorySpanExporter();
  const exporter: SpanExporter = {
    export(spans, done) {
      const answer = (): void => memory.export(spans, done);
      if (isAnswering) answer();
      else waiting.push(answer);
    },
    shutdown: async () => {},
  };
  let dropped = 0;
  const { processor } = createProcessor(exporter, {
    note: (spans, kind) => (dropped += kind === 'queue_full' ? spans : 0),
  });
  const spans = new TracerProvider({ spanProcessors: [processor] }).getTracer('test');
  const end = (count: number): void => {
    for (let n = 0; n < count; n += 1) spans.startSpan('span').end();
  };
  end(SPANS_MAX + 1000);
  assert.equal(dropped, 1000);
  isAnswering = true;
  for (const answer of waiting) answer();
  await processor.forceFlush();
  end(SPANS_MAX);
  assert.equal(dropped, 1000);
  await processor.shutdown();
});

test('traces: a batch that fails is counted, and released', async () => {
  const exporter = new InMemorySpanExporter();
  await exporter.shutdown();
  const losses: [number, string, string][] = [];
  const { processor } = createProcessor(exporter, { note: (...loss) => losses.push(loss) });
  const spans = new TracerProvider({ spanProcessors: [processor] }).getTracer('test');
  for (let n = 0; n < 3; n += 1) spans.startSpan('span').end();
  await assert.rejects(processor.forceFlush(), /stopped/);
  assert.deepEqual(losses, [[3, 'export_failed', 'Exporter has been stopped']]);
});

test('traces: a job names a limited number of the requests that it carries, and counts all', () => {
  const exporter = new InMemorySpanExporter();
  const provider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] });
  const spans = provider.getTracer('test');
  const tracer = createTracer(spans, { isSampled: () => true, dropped: () => 0 });
  const arrival = { method: 'POST', scheme: 'http', continued: undefined, startedAt: performance.now() } as const;
  const requests = Array.from({ length: LINKS_MAX + 10 }, () => tracer.beginRequest(arrival)).filter(
    (request) => request !== null,
  );
  tracer.traceJob(requests, {
    startedAt: performance.now(),
    endedAt: performance.now(),
    ledger: 'main',
    mode: 'settle',
    result: 'settled',
    sqlState: null,
    units: requests.length,
    transfers: requests.length,
    openings: 0,
    failed: 0,
    attempts: 1,
    journalNumber: 1,
    timings: [],
  });
  const [job] = exporter.getFinishedSpans();
  assert.equal(job?.links.length, LINKS_MAX);
  assert.equal(job.attributes['gopherpay.job.units'], LINKS_MAX + 10);
});

test('traces: what ordered a transfer is remembered in bounded memory, the latest first', () => {
  const recent = new RecentRequests();
  const trace = (spanId: string) => ({ traceId: '1'.repeat(32), spanId });
  const ids = Array.from({ length: 3 * TRANSFERS_REMEMBERED }, (_, index) => String(index));
  recent.note(trace('a'), ['first']);
  recent.note(trace('b'), ids.slice(0, 10));
  assert.equal(recent.of('first')?.spanId, 'a');
  recent.note(trace('c'), ids.slice(10, TRANSFERS_REMEMBERED + 5));
  assert.deepEqual([recent.of('first'), recent.of('0'), recent.of(null)], [undefined, undefined, undefined]);
  assert.deepEqual([recent.of('9')?.spanId, recent.of('10')?.spanId], ['b', 'c']);
  recent.note(trace('d'), ids);
  assert.equal([...ids].filter((id) => recent.of(id)).length, TRANSFERS_REMEMBERED);
});

const SAMPLED = { traceId: 'a'.repeat(32), spanId: 'b'.repeat(16), sampled: true };
const UNSAMPLED = { ...SAMPLED, sampled: false };
for (const [sampler, ratio, ...expected] of [
  ['always_on', 0, true, true, true],
  ['always_off', 1, false, false, false],
  ['parentbased_always_on', 0, true, true, false],
  ['parentbased_always_off', 1, false, true, false],
  ['traceidratio', 1, true, true, true],
  ['traceidratio', 0, false, false, false],
  ['parentbased_traceidratio', 1, true, true, false],
  ['parentbased_traceidratio', 0, false, true, false],
] as const) {
  test(`traces: ${sampler} with ${ratio} samples without a caller, with one that samples, and with one that does not`, () => {
    const isSampled = createSampling({ sampler, ratio });
    assert.deepEqual([undefined, SAMPLED, UNSAMPLED].map(isSampled), expected);
  });
}

test('traces: a ratio decides by the id of a trace as the SDK does, and draws as often for a new one', () => {
  const ratio = 0.3;
  const isSampled = createSampling({ sampler: 'traceidratio', ratio });
  const sdk = new TraceIdRatioBasedSampler(ratio);
  let drawn = 0;
  for (let n = 0; n < 5000; n += 1) {
    const traceId = randomBytes(16).toString('hex');
    const expected = sdk.shouldSample(ROOT_CONTEXT, traceId).decision === SamplingDecision.RECORD_AND_SAMPLED;
    assert.equal(isSampled({ ...UNSAMPLED, traceId }), expected, traceId);
    if (isSampled(undefined)) drawn += 1;
  }
  // Further away than seven standard deviations: once in 10^11 runs.
  assert.ok(Math.abs(drawn - 5000 * ratio) < 7 * Math.sqrt(5000 * ratio * (1 - ratio)), `${drawn} of 5000`);
});
