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
  /** Makes the span of a job and those of its statements. `requests`: sampled requests whose transfers it carries. */
  traceJob(requests: readonly RequestSpan[], job: TracedJob): Trace;
};

/** The span of a sampled request. A request whose span never ends is not exported. */
export type RequestSpan = {
  readonly trace: Trace;
  /** Ends it with what the log line of the request says. */
  end(line: RequestLine): void;
  /** Makes the span of the storing of its transfers in the intake log, also if that failed. */
  traceIntake(intake: TracedIntake): void;
  /** Makes the span of its transfers' way through the queue and their jobs. */
  traceSettling(settling: TracedSettling): void;
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
