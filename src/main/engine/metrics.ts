// The metrics of the service, in Prometheus' format.
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { WebhookState } from '../../db/queries/webhooks.ts';
import type { OutcomeCode } from '../../domain/job.ts';
import { droppedLogLines } from '../../log-destination.ts';
import type { Admission } from './admission.ts';

const SECONDS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10];
const SIZES = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000];

export type Metrics = {
  /** One answered request; `route` is the pattern that matched. */
  request(route: string, status: number, durationMs: number): void;
  /** Transfers that one statement made durable. */
  stored(count: number, durationMs: number): void;
  /** One job that was settled. */
  job(transferCount: number, durationMs: number): void;
  /** One transfer that became final, and the time since it was accepted, or since a waiting caller submitted it. */
  settled(ending: OutcomeCode, durationMs: number): void;
  /** One more or one less answer that is being streamed. */
  streaming(route: string, change: 1 | -1): void;
  /**
   * Counts a request or connection that was refused, because its caller has its share or because the resource is
   * exhausted.
   */
  refused(resource: 'connections' | 'event_streams' | 'statement_streams' | 'queue'): void;
  /** One attempt to deliver to a webhook. */
  webhookAttempt(result: string, durationMs: number): void;
  /** All webhooks together. `sending`: those to which this process is sending. */
  webhooks(state: WebhookState & { readonly sending: number }): void;
  render(): Promise<{ contentType: string; text: string }>;
  /** The main figures as plain numbers. Cheap, for a reader that asks every second. */
  snapshot(): MetricsSnapshot;
};

/** Totals since the start of the process, and the present state of the queue. */
export type MetricsSnapshot = {
  /** Answered requests, and those answered with 429. */
  readonly requests: number;
  readonly refused: number;
  /** Transfers that became final. */
  readonly settled: number;
  readonly queue: {
    readonly transfers: number;
    readonly transfersMax: number;
    readonly bytes: number;
    readonly bytesMax: number;
  };
  /** The times from accepted to final. `counts[i]`: transfers that took at most `boundsSeconds[i]`. */
  readonly settleTimes: {
    readonly boundsSeconds: readonly number[];
    readonly counts: readonly number[];
    readonly count: number;
    readonly sumSeconds: number;
  };
};

export function createMetrics(admission: Admission): Metrics {
  const registry = new Registry();
  registerGauges(registry, admission);
  const { requests, intakes, intakeSeconds, jobs, jobSeconds, settledCount, settledSeconds, streams, refusals } =
    createInstruments(registry);
  const { webhookAttempts, webhookSeconds, webhookEndpoints, webhookSending, webhookLag } =
    createWebhookInstruments(registry);
  const requestsOf = remembered((route, status) => requests.labels(route, String(status)));
  const settledOf = remembered((ending) => settledCount.labels(ending));
  const totals = new Totals();
  return {
    request(route, status, durationMs) {
      requestsOf(route, status).observe(durationMs / 1000);
      totals.request(status);
    },
    stored(count, durationMs) {
      intakes.observe(count);
      intakeSeconds.observe(durationMs / 1000);
    },
    job(transferCount, durationMs) {
      jobs.observe(transferCount);
      jobSeconds.observe(durationMs / 1000);
    },
    settled(ending, durationMs) {
      settledOf(ending ?? 'completed').inc();
      settledSeconds.observe(durationMs / 1000);
      totals.settled(durationMs / 1000);
    },
    streaming: (route, change) => streams.labels(route).inc(change),
    refused: (resource) => refusals.labels(resource).inc(),
    webhookAttempt(result, durationMs) {
      webhookAttempts.labels(result).inc();
      webhookSeconds.observe(durationMs / 1000);
    },
    webhooks({ sending, lagSeconds, ...countOf }) {
      for (const [status, count] of Object.entries(countOf)) webhookEndpoints.labels(status).set(count);
      webhookSending.set(sending);
      webhookLag.set(lagSeconds);
    },
    render: async () => ({ contentType: registry.contentType, text: await registry.metrics() }),
    snapshot: () => totals.snapshot(admission),
  };
}

/** The figures of a snapshot. prom-client returns values only through promises, after it collected all of a metric. */
class Totals {
  readonly #settleCounts = SECONDS.map(() => 0);
  #requests = 0;
  #refused = 0;
  #settled = 0;
  #settleSeconds = 0;

  request(status: number): void {
    this.#requests += 1;
    if (status === 429) this.#refused += 1;
  }

  settled(seconds: number): void {
    this.#settled += 1;
    this.#settleSeconds += seconds;
    const index = SECONDS.findIndex((bound) => seconds <= bound);
    if (index !== -1) this.#settleCounts[index] = (this.#settleCounts[index] ?? 0) + 1;
  }

  snapshot({ size, maxQueue, bytes, maxQueueBytes }: Admission): MetricsSnapshot {
    let count = 0;
    return {
      requests: this.#requests,
      refused: this.#refused,
      settled: this.#settled,
      queue: { transfers: size, transfersMax: maxQueue, bytes, bytesMax: maxQueueBytes },
      settleTimes: {
        boundsSeconds: SECONDS,
        counts: this.#settleCounts.map((each) => (count += each)),
        count: this.#settled,
        sumSeconds: this.#settleSeconds,
      },
    };
  }
}

function createInstruments(registry: Registry) {
  const registers = [registry];
  const requests = new Histogram({
    name: 'gopherpay_request_seconds',
    help: 'From the head of a request to its answer, or to the head of a streamed answer.',
    labelNames: ['route', 'status'],
    buckets: SECONDS,
    registers,
  });
  const intakes = new Histogram({
    name: 'gopherpay_intake_transfers',
    help: 'Transfers that one statement made durable.',
    buckets: SIZES,
    registers,
  });
  const intakeSeconds = new Histogram({
    name: 'gopherpay_intake_seconds',
    help: 'How long that statement took, its commit included.',
    buckets: SECONDS,
    registers,
  });
  const jobs = new Histogram({
    name: 'gopherpay_job_transfers',
    help: 'Transfers in one settled job.',
    buckets: SIZES,
    registers,
  });
  const jobSeconds = new Histogram({
    name: 'gopherpay_job_seconds',
    help: 'How long a job took, from being handed to a thread to its report.',
    buckets: SECONDS,
    registers,
  });
  const settledCount = new Counter({
    name: 'gopherpay_transfers_settled_total',
    help: 'Transfers that became final, by how they ended.',
    labelNames: ['ending'],
    registers,
  });
  const settledSeconds = new Histogram({
    name: 'gopherpay_settle_seconds',
    help: 'From accepted to final; for a caller that waits, from submitted to final.',
    buckets: SECONDS,
    registers,
  });
  const streams = new Gauge({
    name: 'gopherpay_streams',
    help: 'Answers that are being streamed.',
    labelNames: ['route'],
    registers,
  });
  const refusals = new Counter({
    name: 'gopherpay_refused_total',
    help: 'Connections, streams and transfers refused because the caller has its share, or because the resource is used up.',
    labelNames: ['resource'],
    registers,
  });
  return { requests, intakes, intakeSeconds, jobs, jobSeconds, settledCount, settledSeconds, streams, refusals };
}

function createWebhookInstruments(registry: Registry) {
  const registers = [registry];
  const webhookAttempts = new Counter({
    name: 'gopherpay_webhook_attempts_total',
    help: 'Attempts to deliver an event to a webhook, by their result.',
    labelNames: ['result'],
    registers,
  });
  const webhookSeconds = new Histogram({
    name: 'gopherpay_webhook_attempt_seconds',
    help: 'How long an attempt to deliver an event to a webhook took.',
    buckets: SECONDS,
    registers,
  });
  const webhookEndpoints = new Gauge({
    name: 'gopherpay_webhooks',
    help: 'Webhooks of all ledgers: enabled, or the reason why they are disabled.',
    labelNames: ['status'],
    registers,
  });
  const webhookSending = new Gauge({
    name: 'gopherpay_webhooks_sending',
    help: 'Webhooks to which this process is sending.',
    registers,
  });
  const webhookLag = new Gauge({
    name: 'gopherpay_webhook_lag_seconds',
    help: 'The age of the oldest event that an enabled webhook has not received.',
    registers,
  });
  return { webhookAttempts, webhookSeconds, webhookEndpoints, webhookSending, webhookLag };
}

/** The values that are read when the metrics are rendered. */
function registerGauges(registry: Registry, admission: Admission): void {
  registry.registerMetric(
    new Counter({
      name: 'gopherpay_log_lines_dropped_total',
      help: 'Log lines that were dropped because standard error did not take them.',
      registers: [],
      collect() {
        this.reset();
        this.inc(droppedLogLines());
      },
    }),
  );
  registry.registerMetric(
    new Gauge({
      name: 'gopherpay_queue_transfers',
      help: 'Transfers that are admitted and not yet final.',
      registers: [],
      collect() {
        this.set(admission.size);
      },
    }),
  );
}

/** Caches by a name and a number, because prom-client sorts and joins the labels on every call. */
function remembered<Made>(make: (name: string, number: number) => Made): (name: string, number?: number) => Made {
  const byName = new Map<string, Map<number, Made>>();
  return (name, number = 0) => {
    const made = byName.get(name)?.get(number);
    if (made !== undefined) return made;
    const fresh = make(name, number);
    byName.set(name, (byName.get(name) ?? new Map<number, Made>()).set(number, fresh));
    return fresh;
  };
}
