// The metrics of the service, in Prometheus' format. Only histograms are observed by prom-client; everything else is a
// plain number that is read when the metrics are rendered, so that it costs callers nothing.
import { collectDefaultMetrics, Registry } from 'prom-client';
import type { ConnectionPool } from '../../db/connection/connect.ts';
import type { WebhookState } from '../../db/queries/webhooks.ts';
import type { JobReport } from '../../domain/job.ts';
import type { FailureCode } from '../../domain/transfer.ts';
import { droppedLogLines } from '../../log-destination.ts';
import type { Admission } from './admission.ts';
import { FiguresByLedger } from './ledger-figures.ts';
import type { ValueName } from './metric-definitions.ts';
import { type MetricsSnapshot, Totals } from './metric-totals.ts';
import { createHistograms, type Read, type Reading, readingsOf, Values } from './metric-values.ts';

/** Other methods share one label, because callers choose them. */
const METHODS = new Set(['GET', 'HEAD', 'POST', 'PATCH', 'DELETE', 'OPTIONS']);

/** The resources of which a caller may have its share, or which may be used up. */
const REFUSING = ['connections', 'event_streams', 'statement_streams', 'queue'] as const;

/** What became of accepted transfers that the database lacked. */
const MISSING = ['stored_again', 'repeated', 'lost'] as const;

/** All webhooks together. `sending`: those to which this process is sending. */
export type ObservedWebhooks = WebhookState & { readonly sending: number };

export type Metrics = {
  /** One answered request; `route` is the pattern that matched, and `ledger` the ledger that admitted it. */
  request(method: string, route: string, status: number, durationMs: number, ledger?: string): void;
  /** An answer that reports a problem. */
  problem(code: string): void;
  /** Transfers that one statement made durable. */
  stored(count: number, durationMs: number): void;
  /** One job that a thread has returned. */
  job(result: JobReport['result'], transferCount: number, durationMs: number): void;
  /** Transfers that were failed because they broke their jobs. */
  quarantined(count: number): void;
  /** Accepted transfers that the database lacked. */
  missing(outcome: (typeof MISSING)[number], count: number): void;
  /** One transfer that became final, and the time since it was accepted, or since a waiting caller submitted it. */
  settled(ledger: string, failureCode: FailureCode | null, durationMs: number): void;
  /** A row that this process added to a journal. */
  journal(ledger: string, number: bigint): void;
  /** One more or one less answer that is being streamed. */
  streaming(route: string, change: 1 | -1): void;
  /**
   * Counts a request or connection that was refused, because its caller has its share or because the resource is
   * exhausted.
   */
  refused(resource: (typeof REFUSING)[number]): void;
  /** One attempt to deliver to a webhook. */
  webhookAttempt(result: string, durationMs: number): void;
  webhooks(state: ObservedWebhooks): void;
  /** Exports a value, which is read whenever the metrics are rendered. */
  show(name: ValueName, read: Read, ...labels: string[]): void;
  showPool(name: string, pool: ConnectionPool): void;
  /** Exports how many transfers of each ledger are in progress. */
  showLedgerQueues(read: () => Iterable<readonly [ledger: string, count: number]>): void;
  render(): Promise<{ contentType: string; text: string }>;
  /** The main figures as plain numbers. Cheap, for a reader that asks every second. */
  snapshot(): MetricsSnapshot;
};

export function createMetrics(admission: Admission): Metrics {
  const registry = new Registry();
  const values = new Values(registry);
  const histograms = createHistograms(registry);
  const totals = new Totals();
  const problems = values.tally('gopherpay_problems_total', 'queue_full');
  const jobs = values.tally('gopherpay_jobs_total', 'settled', 'unavailable', 'poisoned', 'died');
  const endings = values.tally('gopherpay_transfers_settled_total', 'completed');
  const missing = values.tally('gopherpay_transfers_missing_total', ...MISSING);
  const streams = values.tally('gopherpay_streams');
  const refusals = values.tally('gopherpay_refused_total', ...REFUSING);
  const attempts = values.tally('gopherpay_webhook_attempts_total', 'delivered');
  const ledgers = new FiguresByLedger();
  let quarantinedCount = 0;
  let webhooks: ObservedWebhooks | null = null;
  const requestsOf = remembered((method, route, status) =>
    histograms.gopherpay_request_seconds.labels(METHODS.has(method) ? method : 'other', route, String(status)),
  );
  collectDefaultMetrics({ register: registry });
  showQueue(values, admission);
  showLedgers(values, ledgers);
  values.show('gopherpay_log_lines_dropped_total', droppedLogLines);
  values.show('gopherpay_transfers_quarantined_total', () => quarantinedCount);
  showWebhooks(values, () => webhooks);
  return {
    request(method, route, status, durationMs, ledger) {
      requestsOf(method, route, status).observe(durationMs / 1000);
      totals.request(status);
      if (status === 429 && ledger !== undefined) ledgers.of(ledger).refused += 1;
    },
    problem: (code) => problems.add(code),
    stored(count, durationMs) {
      histograms.gopherpay_intake_transfers.observe(count);
      histograms.gopherpay_intake_seconds.observe(durationMs / 1000);
    },
    job(result, transferCount, durationMs) {
      jobs.add(result);
      if (result !== 'settled') return;
      histograms.gopherpay_job_transfers.observe(transferCount);
      histograms.gopherpay_job_seconds.observe(durationMs / 1000);
    },
    quarantined(count) {
      quarantinedCount += count;
    },
    missing: (outcome, count) => missing.add(outcome, count),
    settled(ledger, failureCode, durationMs) {
      endings.add(failureCode ?? 'completed');
      ledgers.of(ledger)[failureCode === null ? 'completed' : 'failed'] += 1;
      histograms.gopherpay_settle_seconds.observe(durationMs / 1000);
      totals.settled(durationMs / 1000);
    },
    journal: (ledger, number) => ledgers.journal(ledger, number),
    streaming: (route, change) => streams.add(route, change),
    refused: (resource) => refusals.add(resource),
    webhookAttempt(result, durationMs) {
      attempts.add(result);
      histograms.gopherpay_webhook_attempt_seconds.observe(durationMs / 1000);
    },
    webhooks(state) {
      webhooks = state;
    },
    show: (name, read, ...labels) => values.show(name, read, ...labels),
    showPool: (name, pool) => showPool(values, name, pool),
    showLedgerQueues: (read) =>
      values.showAll('gopherpay_ledger_queue_transfers', () => readingsOf(ledgers.byLabel(read()))),
    render: async () => ({ contentType: registry.contentType, text: await registry.metrics() }),
    snapshot: () => totals.snapshot(admission),
  };
}

function showQueue(values: Values, admission: Admission): void {
  values.show('gopherpay_queue_transfers', () => admission.size);
  values.show('gopherpay_queue_transfers_limit', () => admission.maxQueue);
  values.show('gopherpay_queue_bytes', () => admission.bytes);
  values.show('gopherpay_queue_bytes_limit', () => admission.maxQueueBytes);
}

function showLedgers(values: Values, ledgers: FiguresByLedger): void {
  values.showAll('gopherpay_ledger_transfers_settled_total', () =>
    ledgers.all().flatMap(([label, { completed, failed }]): Reading[] => [
      [completed, label, 'completed'],
      [failed, label, 'failed'],
    ]),
  );
  values.showAll('gopherpay_ledger_requests_refused_total', () =>
    ledgers.all().map(([label, { refused }]): Reading => [refused, label]),
  );
  values.showAll('gopherpay_ledger_journal_number', () =>
    ledgers.all().map(([label, { journalNumber }]): Reading => [journalNumber, label]),
  );
}

function showWebhooks(values: Values, read: () => ObservedWebhooks | null): void {
  for (const status of ['enabled', 'paused', 'gone', 'failing'] as const) {
    values.show('gopherpay_webhooks', () => read()?.[status] ?? null, status);
  }
  values.show('gopherpay_webhooks_sending', () => read()?.sending ?? null);
  values.show('gopherpay_webhook_lag_seconds', () => read()?.lagSeconds ?? null);
  values.showAll('gopherpay_ledger_webhook_lag_seconds', () => readingsOf(read()?.lagByLedger ?? []));
}

function showPool(values: Values, name: string, pool: ConnectionPool): void {
  values.show('gopherpay_database_connections', () => pool.totalCount - pool.idleCount, name);
  values.show('gopherpay_database_connections_limit', () => pool.options.max, name);
  values.show('gopherpay_database_waiting', () => pool.waitingCount, name);
}

/** Caches by the labels of a request, because prom-client sorts and joins the labels on every call. */
function remembered<Made>(
  make: (method: string, route: string, status: number) => Made,
): (method: string, route: string, status: number) => Made {
  const known = new Map<string, Map<string, Map<number, Made>>>();
  return (method, route, status) => {
    const made = known.get(method)?.get(route)?.get(status);
    if (made !== undefined) return made;
    const fresh = make(method, route, status);
    const byRoute = known.get(method) ?? new Map<string, Map<number, Made>>();
    const byStatus = byRoute.get(route) ?? new Map<number, Made>();
    known.set(method, byRoute.set(route, byStatus.set(status, fresh)));
    return fresh;
  };
}
