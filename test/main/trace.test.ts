// The trace context of requests: which headers are valid, and what the log has of them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readTrace } from '../../src/main/http/trace.ts';
import { createDatabase } from '../support/database.ts';
import { request, startService } from '../support/service.ts';
import { until } from '../support/until.ts';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const SPAN = '00f067aa0ba902b7';
const VALID = `00-${TRACE}-${SPAN}-01`;
const LATER = `01-${TRACE}-${SPAN}-01`;

for (const text of [
  VALID,
  `00-${TRACE}-${SPAN}-ff`,
  LATER,
  `${LATER}-`,
  `${LATER}-more-of_it`,
  `cc-${TRACE}-${SPAN}-00`,
]) {
  test(`trace: ${text} is valid`, () => {
    assert.deepEqual(readTrace({ traceparent: text }), {
      traceId: TRACE,
      spanId: SPAN,
      sampled: !text.endsWith('-00'),
    });
  });
}

for (const text of [
  '',
  TRACE,
  VALID.toUpperCase(),
  `${VALID}-`,
  `${VALID}-more`,
  `${VALID}0`,
  `${LATER}0`,
  ` ${VALID}`,
  `${VALID}, ${VALID}`,
  `ff-${TRACE}-${SPAN}-01`,
  `0-${TRACE}-${SPAN}-01`,
  `00-${'0'.repeat(32)}-${SPAN}-01`,
  `00-${TRACE}-${'0'.repeat(16)}-01`,
  `00-${TRACE.slice(1)}-${SPAN}-01`,
  `00-${TRACE}0-${SPAN}-01`,
  `00-${TRACE}-${SPAN}-0`,
  `00-${TRACE}-${SPAN}-0g`,
  `00_${TRACE}_${SPAN}_01`,
]) {
  test(`trace: "${text}" is ignored`, () => {
    assert.equal(readTrace({ traceparent: text }), undefined);
  });
}

test('trace: the line of a request has the ids of its trace, also if it was refused', async (t) => {
  const database = await createDatabase(t);
  const service = await startService(t, { database, env: { THREADS: '1' } });
  const headers = (name: string, traceparent: string) => ({ 'x-request-id': name, traceparent });
  await request(service, 'GET', '/accounts', undefined, headers('read', VALID));
  await request(service, 'GET', '/nothing', undefined, headers('refused', VALID));
  await request(service, 'GET', '/accounts', undefined, headers('malformed', 'x'.repeat(8000)));
  const lines = await until(
    () => {
      const found = service.logs().filter(({ msg }) => msg === 'request');
      return found.length === 3 ? found : undefined;
    },
    { timeoutMs: 10_000, what: 'three log lines' },
  );
  assert.deepEqual(
    lines.map(({ request_id: id, trace_id: trace, span_id: span, status }) => [id, trace, span, status]),
    [
      ['read', TRACE, SPAN, 200],
      ['refused', TRACE, SPAN, 404],
      ['malformed', undefined, undefined, 200],
    ],
  );
});
