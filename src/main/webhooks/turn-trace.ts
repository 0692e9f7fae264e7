// What a turn reports to the tracer: its attempts, once all of them have ended.
import type { TracedAttempt, Tracer } from '../tracer.ts';

export class TurnTrace {
  readonly #tracer: Tracer;
  readonly #line: { readonly ledger: string; readonly webhookId: string };
  readonly #startedAt = performance.now();
  readonly #attempts: TracedAttempt[] = [];

  constructor(tracer: Tracer, line: { readonly ledger: string; readonly webhookId: string }) {
    this.#tracer = tracer;
    this.#line = line;
  }

  note(attempt: Omit<TracedAttempt, 'endedAt'>): void {
    this.#attempts.push({ ...attempt, endedAt: performance.now() });
  }

  /** A turn that sent nothing has no span. */
  end(): void {
    const period = { startedAt: this.#startedAt, endedAt: performance.now() };
    if (this.#attempts.length > 0) this.#tracer.traceTurn({ ...this.#line, ...period, attempts: this.#attempts });
  }
}
