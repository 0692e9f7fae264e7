// Tracing as the other rooms see it: they report what happened, and src/main/tracing makes spans of it. Without a collector
// in the settings there is no tracer. Times are on the clock of performance.now(), which threads share.
import type { Timing } from '../domain/job.ts';
import type { RequestLine, Trace } from '../request-line.ts';

export type { Trace };

/** The trace that a caller continues, and whether the caller samples it. */
export type CallerTrace = Trace & { readonly sampled: boolean };

export type Tracer = {
  /** Begins the span of a request. Null: it is not sampled. */
  beginRequest(arrival: {
    readonly method: string;
    readonly scheme: 'http' | 'https';
    /** The trace that the caller continues, if it names one. */
    readonly continued: CallerTrace | undefined;
    readonly startedAt: number;
  }): RequestSpan | null;
  /** Begins the span of work that no request ordered. Null: it is not sampled. */
  beginWork(work: Work): WorkSpan | null;
  /** Makes the span of a job and those of its statements. `carried`: what ordered its transfers, as far as it is sampled. */
  traceJob(carried: readonly UnitSpan[], job: TracedJob): Trace;
  /** Remembers for a while what ordered these transfers, for their deliveries. */
  remember(ordered: UnitSpan, transferIds: readonly string[]): void;
  /** Makes the spans of a turn of a webhook, if it is sampled, or one of the requests whose transfers it delivers. */
  traceTurn(turn: TracedTurn): void;
  /** How many spans were dropped, for the metrics. */
  dropped(reason: DropReason): number;
};

/** queue_full: too many spans wait for the collector. export_failed: it refused them, or did not answer. */
export const DROP_REASONS = ['queue_full', 'export_failed'] as const;
export type DropReason = (typeof DROP_REASONS)[number];

/** What a unit of the queue needs of the span of its request, or of the work that found it. */
export type UnitSpan = {
  readonly trace: Trace;
  /** Makes the span of its transfers' way through the queue and their jobs. */
  traceSettling(settling: TracedSettling): void;
};

/** The end of due holds, or the adoption of transfers that another process had accepted, page by page. */
export type Work = {
  readonly name: 'expire holds' | 'adopt transfers';
  readonly startedAt: number;
  /** Holds or transfers of the page. */
  readonly count: number;
};

export type WorkSpan = UnitSpan & { end(): void };

/** The span of a sampled request. A request whose span never ends is not exported. */
export type RequestSpan = UnitSpan & {
  /** Ends it with what the log line of the request says. */
  end(line: RequestLine): void;
  /** Makes the span of the storing of its transfers in the intake log, also if that failed. */
  traceIntake(intake: TracedIntake): void;
};

type Period = { readonly startedAt: number; readonly endedAt: number };

export type TracedIntake = Period & {
  readonly result: string;
  /** The statement that stored it, together with other requests; null: no statement did. */
  readonly insert: (Period & { readonly requests: number }) | null;
};

export type TracedSettling = Period & {
  readonly result: string;
  /** The spans of the jobs that carried it. */
  readonly jobs: readonly Trace[];
};

export type TracedJob = Period & {
  readonly ledger: string;
  readonly mode: string;
  readonly result: string;
  readonly sqlState: string | null;
  /** How many requests (or parts of one), transfers and openings it carried; how many transfers ended as failed. */
  readonly units: number;
  readonly transfers: number;
  readonly openings: number;
  readonly failed: number;
  /** Attempts of its thread; null: it did not settle. */
  readonly attempts: number | null;
  readonly journalNumber: number | null;
  readonly timings: readonly Timing[];
};

/** A turn of a webhook: the messages that were sent to its URL one after the other, or together. */
export type TracedTurn = Period & {
  readonly ledger: string;
  readonly webhookId: string;
  readonly attempts: readonly TracedAttempt[];
};

export type TracedAttempt = Period & {
  readonly eventId: string;
  /** The transfer that the event is about; null: it is about an account. */
  readonly transferId: string | null;
  /** The status of the answer; null: there was none. */
  readonly status: number | null;
  /** Why it failed; null: it was delivered. */
  readonly error: string | null;
};
