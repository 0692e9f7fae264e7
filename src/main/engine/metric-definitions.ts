// The metrics of the service by name: their types, labels and meanings. docs/METRICS.md has the same table; a test
// compares the two. The limit of a metric has its name with the suffix `_limit`.

const SECONDS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10];
const SIZES = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000];

export type MetricDefinition = {
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  readonly labels?: readonly string[];
  /** Of a histogram. */
  readonly buckets?: readonly number[];
};

/** Times and sizes, observed one by one. */
export const HISTOGRAMS = {
  gopherpay_request_seconds: {
    type: 'histogram',
    help: 'From the head of a request to its answer, or to the head of a streamed answer.',
    labels: ['method', 'route', 'status'],
    buckets: SECONDS,
  },
  gopherpay_intake_transfers: {
    type: 'histogram',
    help: 'Transfers that one statement made durable.',
    buckets: SIZES,
  },
  gopherpay_intake_seconds: {
    type: 'histogram',
    help: 'How long that statement took, its commit included.',
    buckets: SECONDS,
  },
  gopherpay_job_transfers: {
    type: 'histogram',
    help: 'Transfers in one settled job.',
    buckets: SIZES,
  },
  gopherpay_job_seconds: {
    type: 'histogram',
    help: 'How long a settled job took, from being handed to a thread to its report.',
    buckets: SECONDS,
  },
  gopherpay_settle_seconds: {
    type: 'histogram',
    help: 'From accepted to final; for a caller that waits, from submitted to final.',
    buckets: SECONDS,
  },
  gopherpay_webhook_attempt_seconds: {
    type: 'histogram',
    help: 'How long an attempt to deliver an event to a webhook took.',
    buckets: SECONDS,
  },
} as const satisfies Readonly<Record<string, MetricDefinition>>;

/** Values that are read when the metrics are rendered. */
export const VALUES = {
  gopherpay_build_info: {
    type: 'gauge',
    help: 'Always 1; the labels are the versions of GopherPay and of Node.',
    labels: ['version', 'node'],
  },
  gopherpay_healthy: {
    type: 'gauge',
    help: 'Whether a part that /readyz checks works: 1 or 0.',
    labels: ['part'],
  },
  gopherpay_database_host_in_use: {
    type: 'gauge',
    help: 'Whether this host of DATABASE_URL took the last session: 1 or 0.',
    labels: ['host'],
  },
  gopherpay_log_lines_dropped_total: {
    type: 'counter',
    help: 'Log lines that were dropped because standard error did not take them.',
  },
  gopherpay_trace_spans_dropped_total: {
    type: 'counter',
    help: 'Spans of traces that did not reach the collector: queue_full, or export_failed; absent without traces.',
    labels: ['reason'],
  },
  gopherpay_certificate_expiry_timestamp_seconds: {
    type: 'gauge',
    help: 'When the TLS certificate of the listeners expires; absent without TLS.',
  },

  gopherpay_transfers_settled_total: {
    type: 'counter',
    help: 'Transfers that became final, by how they ended.',
    labels: ['ending'],
  },
  gopherpay_transfers_quarantined_total: {
    type: 'counter',
    help: 'Stored transfers that were failed because they alone broke their job.',
  },
  gopherpay_transfers_missing_total: {
    type: 'counter',
    help: 'Accepted transfers that a promoted standby lacked: stored_again, repeated (by their callers) or lost.',
    labels: ['outcome'],
  },
  gopherpay_jobs_total: {
    type: 'counter',
    help: 'Jobs by result: settled; unavailable (retried); poisoned (bisected); died (its thread ended, bisected).',
    labels: ['result'],
  },
  gopherpay_queue_transfers: { type: 'gauge', help: 'Transfers that are admitted and not yet final.' },
  gopherpay_queue_transfers_limit: { type: 'gauge', help: 'MAX_QUEUE.' },
  gopherpay_queue_bytes: { type: 'gauge', help: 'The bytes of text of these transfers.' },
  gopherpay_queue_bytes_limit: { type: 'gauge', help: 'MAX_QUEUE_BYTES.' },
  gopherpay_threads_busy: {
    type: 'gauge',
    help: 'Jobs and dry runs that threads have, those that wait for a thread included.',
  },
  gopherpay_threads_busy_limit: { type: 'gauge', help: 'THREADS.' },

  gopherpay_problems_total: {
    type: 'counter',
    help: 'Answers that report a problem, by its code.',
    labels: ['code'],
  },
  gopherpay_refused_total: {
    type: 'counter',
    help: 'Connections, streams and transfers refused because the caller has its share, or because the resource is used up.',
    labels: ['resource'],
  },
  gopherpay_connections: { type: 'gauge', help: 'Open connections of callers or operators.', labels: ['listener'] },
  gopherpay_connections_limit: {
    type: 'gauge',
    help: 'CONNECTIONS_MAX, or less if the limit of open files is lower.',
    labels: ['listener'],
  },
  gopherpay_body_bytes: {
    type: 'gauge',
    help: 'Bytes of request bodies in memory.',
    labels: ['listener'],
  },
  gopherpay_body_bytes_limit: { type: 'gauge', help: 'BODY_BYTES_IN_FLIGHT_MAX.', labels: ['listener'] },
  gopherpay_answer_bytes: {
    type: 'gauge',
    help: 'Bytes of large answers in memory.',
    labels: ['listener'],
  },
  gopherpay_answer_bytes_limit: { type: 'gauge', help: 'ANSWER_BYTES_IN_FLIGHT_MAX.', labels: ['listener'] },
  gopherpay_streams: { type: 'gauge', help: 'Answers that are being streamed.', labels: ['route'] },
  gopherpay_stream_slots: { type: 'gauge', help: 'Streams in progress, by their limit.', labels: ['resource'] },
  gopherpay_stream_slots_limit: {
    type: 'gauge',
    help: 'EVENT_STREAMS_MAX and STATEMENT_STREAMS_MAX.',
    labels: ['resource'],
  },

  gopherpay_database_connections: {
    type: 'gauge',
    help: 'Database connections in use, by pool. Threads and intake have one more each.',
    labels: ['pool'],
  },
  gopherpay_database_connections_limit: {
    type: 'gauge',
    help: 'The size of the pool.',
    labels: ['pool'],
  },
  gopherpay_database_waiting: {
    type: 'gauge',
    help: 'Statements that wait for a connection of the pool.',
    labels: ['pool'],
  },
  gopherpay_heartbeat_age_seconds: {
    type: 'gauge',
    help: 'The time since this process last wrote the heartbeat of its lease.',
  },
  gopherpay_heartbeat_age_seconds_limit: {
    type: 'gauge',
    help: 'ORPHANED_AFTER_MS: at this age, other processes adopt the transfers of this one.',
  },
  gopherpay_lease_renewals_total: {
    type: 'counter',
    help: 'New sessions of the lease, each after a lost answer or after another process took the lease over.',
  },
  gopherpay_leases: {
    type: 'gauge',
    help: 'Leases of all processes, as the last scan found them: open, or orphaned and not yet adopted.',
    labels: ['state'],
  },
  gopherpay_leases_taken_over_total: {
    type: 'counter',
    help: 'Leases of other processes that this process closed because their heartbeat stopped.',
  },
  gopherpay_adopted_transfers_total: {
    type: 'counter',
    help: 'Pending transfers that recovery found: orphans of other processes, or own ones after a lost answer.',
    labels: ['origin'],
  },
  gopherpay_adopted_units_total: {
    type: 'counter',
    help: 'The units of these transfers; an atomic group is one unit.',
    labels: ['origin'],
  },
  gopherpay_orphan_scans_total: {
    type: 'counter',
    help: 'Scans for orphaned transfers and due holds, by result: ok or failed.',
    labels: ['result'],
  },

  gopherpay_courier_open_transfers: {
    type: 'gauge',
    help: 'Transfers to other ledgers, of all ledgers and processes, that have not ended; at most 10,000 are counted.',
  },
  gopherpay_courier_oldest_open_age_seconds: {
    type: 'gauge',
    help: 'The time since the oldest of them was settled in its own ledger; those of test clocks do not count.',
  },
  gopherpay_courier_ended_total: {
    type: 'counter',
    help: 'Transfers to other ledgers that this process ended, by outcome: delivered, or refused by the other ledger.',
    labels: ['outcome'],
  },
  gopherpay_courier_failed_steps_total: {
    type: 'counter',
    help: 'Steps of such transfers that this process will order again.',
  },

  gopherpay_webhook_attempts_total: {
    type: 'counter',
    help: 'Attempts to deliver an event to a webhook, by their result.',
    labels: ['result'],
  },
  gopherpay_webhooks: {
    type: 'gauge',
    help: 'Webhooks of all ledgers: enabled, or the reason why they are disabled.',
    labels: ['status'],
  },
  gopherpay_webhooks_sending: { type: 'gauge', help: 'Webhooks to which this process is sending.' },
  gopherpay_webhooks_sending_limit: { type: 'gauge', help: 'To how many webhooks this process sends at once.' },
  gopherpay_webhook_lag_seconds: {
    type: 'gauge',
    help: 'The age of the oldest event that an enabled webhook has not received.',
  },

  gopherpay_ledger_transfers_settled_total: {
    type: 'counter',
    help: 'Transfers of the ledger that became final: completed or failed.',
    labels: ['ledger', 'result'],
  },
  gopherpay_ledger_requests_refused_total: {
    type: 'counter',
    help: 'Requests in the ledger that were answered with 429.',
    labels: ['ledger'],
  },
  gopherpay_ledger_queue_transfers: {
    type: 'gauge',
    help: 'Transfers of the ledger that are admitted and not yet final.',
    labels: ['ledger'],
  },
  gopherpay_ledger_journal_number: {
    type: 'gauge',
    help: 'The last row of the journal of the ledger that this process wrote.',
    labels: ['ledger'],
  },
  gopherpay_ledger_webhook_lag_seconds: {
    type: 'gauge',
    help: 'The same as gopherpay_webhook_lag_seconds, for each of the ledgers that are most behind.',
    labels: ['ledger'],
  },
} as const satisfies Readonly<Record<string, MetricDefinition>>;

export type ValueName = keyof typeof VALUES;

/** All of them, in the order of the document. */
export const METRICS: Readonly<Record<string, MetricDefinition>> = { ...HISTOGRAMS, ...VALUES };
