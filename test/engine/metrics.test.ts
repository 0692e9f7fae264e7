import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Admission } from '../../src/main/engine/admission.ts';
import { LEDGERS_MAX } from '../../src/main/engine/ledger-figures.ts';
import { createMetrics, type Metrics } from '../../src/main/engine/metrics.ts';

test('metrics: a snapshot has the totals, the queue and the cumulative times', () => {
  const admission = new Admission(10, 1000);
  const metrics = createMetrics(admission);
  assert.ok(admission.tryAdmit(3, 300));
  metrics.request('POST', '/transfers', 202, 5);
  metrics.request('POST', '/transfers', 429, 1);
  metrics.settled('main', null, 4);
  metrics.settled('main', 'insufficient_funds', 5);
  metrics.settled('main', null, 60_000);
  const { settleTimes, ...figures } = metrics.snapshot();
  assert.deepEqual(figures, {
    requests: 2,
    refused: 1,
    settled: 3,
    queue: { transfers: 3, transfersMax: 10, bytes: 300, bytesMax: 1000 },
  });
  assert.equal(settleTimes.count, 3);
  assert.ok(Math.abs(settleTimes.sumSeconds - 60.009) < 1e-9);
  const within = (seconds: number) => settleTimes.counts[settleTimes.boundsSeconds.indexOf(seconds)];
  assert.deepEqual([within(0.002), within(0.005), within(10)], [0, 2, 2]);
});

/** The exported values of a metric by their labels. */
async function valuesOf(metrics: Metrics, name: string): Promise<Map<string, number>> {
  const { text } = await metrics.render();
  const samples = text.matchAll(new RegExp(`^${name}(?:\\{(.*)\\})? (\\S+)$`, 'gm'));
  return new Map([...samples].map(([, labels = '', value]) => [labels, Number(value)]));
}

test('metrics: further ledgers share one label, whatever callers create', async () => {
  const metrics = createMetrics(new Admission(10, 1000));
  for (let ledger = 0; ledger < 10 * LEDGERS_MAX; ledger += 1) {
    metrics.settled(`ledger-${ledger}`, ledger % 2 === 0 ? null : 'insufficient_funds', 1);
    metrics.request('POST', '/transfers', 429, 1, `ledger-${ledger}`);
    metrics.journal(`ledger-${ledger}`, BigInt(ledger));
  }
  metrics.showLedgerQueues(() => [
    ['ledger-0', 5],
    ['ledger-900', 3],
    ['ledger-901', 4],
  ]);
  const settled = await valuesOf(metrics, 'gopherpay_ledger_transfers_settled_total');
  assert.equal(settled.size, 2 * (LEDGERS_MAX + 1));
  assert.equal(settled.get('ledger="ledger-1",result="failed"'), 1);
  assert.equal(settled.get('ledger="_other",result="completed"'), (9 * LEDGERS_MAX) / 2);
  const refused = await valuesOf(metrics, 'gopherpay_ledger_requests_refused_total');
  assert.equal(refused.get('ledger="_other"'), 9 * LEDGERS_MAX);
  const journals = await valuesOf(metrics, 'gopherpay_ledger_journal_number');
  assert.deepEqual([journals.size, journals.has('ledger="_other"')], [LEDGERS_MAX, false]);
  const queues = await valuesOf(metrics, 'gopherpay_ledger_queue_transfers');
  assert.deepEqual([queues.get('ledger="ledger-0"'), queues.get('ledger="_other"')], [5, 7]);
});

test('metrics: methods that callers make up share one label', async () => {
  const metrics = createMetrics(new Admission(10, 1000));
  for (const method of ['GET', 'PURGE', 'MKCOL']) metrics.request(method, 'none', 404, 1);
  const counts = await valuesOf(metrics, 'gopherpay_request_seconds_count');
  assert.deepEqual(
    [...counts],
    [
      ['method="GET",route="none",status="404"', 1],
      ['method="other",route="none",status="404"', 2],
    ],
  );
});

test('metrics: a value that does not exist at the moment is not exported', async () => {
  const metrics = createMetrics(new Admission(10, 1000));
  assert.equal((await valuesOf(metrics, 'gopherpay_certificate_expiry_timestamp_seconds')).size, 0);
  metrics.show('gopherpay_certificate_expiry_timestamp_seconds', () => 7);
  assert.equal((await valuesOf(metrics, 'gopherpay_certificate_expiry_timestamp_seconds')).get(''), 7);
});

test('metrics: values of the process are exported', async () => {
  const metrics = createMetrics(new Admission(10, 1000));
  assert.ok(((await valuesOf(metrics, 'process_resident_memory_bytes')).get('') ?? 0) > 0);
});
