// Goal: spans take bounded memory. Method: the processor with an exporter that does not answer, and jobs of many requests.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InMemorySpanExporter, SimpleSpanProcessor, type SpanExporter, TracerProvider } from '@opentelemetry/sdk-trace';
import { createProcessor, SPANS_MAX } from '../../src/main/tracing/export.ts';
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
  const { processor } = createProcessor(exporter, { note: (spans) => (dropped += spans), report() {} });
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
  const losses: [number, string][] = [];
  const { processor } = createProcessor(exporter, { note: (...loss) => losses.push(loss), report() {} });
  const spans = new TracerProvider({ spanProcessors: [processor] }).getTracer('test');
  for (let n = 0; n < 3; n += 1) spans.startSpan('span').end();
  await assert.rejects(processor.forceFlush(), /stopped/);
  assert.deepEqual(losses, [[3, 'Exporter has been stopped']]);
});

test('traces: a job names a limited number of the requests that it carries, and counts all', () => {
  const exporter = new InMemorySpanExporter();
  const provider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] });
  const spans = provider.getTracer('test');
  const tracer = createTracer({ requests: spans, jobs: spans });
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
