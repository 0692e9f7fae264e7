// Sends the events of every ledger to the endpoints that callers registered. It reads the journal after its commits, on
// connections of its own. Each line is claimed by one process, which renews its claim while it sends.
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ConnectionPool } from '../../db/connection/connect.ts';
import { toError } from '../../db/connection/errors.ts';
import { type ClaimedLine, claimLines, releaseClaim, renewClaim } from '../../db/ledger/webhook-claims.ts';
import { loadWebhookState, type WebhookState } from '../../db/queries/webhooks.ts';
import type { Logger } from '../../logger.ts';
import type { Post } from './post.ts';
import type { TargetRules } from './target.ts';
import { Turn, type TurnParts } from './turn.ts';

/** Lines that one process works on at once. */
export const TURNS_MAX = 16;
/** For one attempt, from its connection to the end of the answer. */
const ATTEMPT_TIMEOUT_MS = 10_000;
/** How often lines are looked for, and how often at most when transfers are settled all the time. */
const POLL_MS = 1000;
const POLL_PAUSE_MS = 100;
/** A poll that takes long, because there are many endpoints, is followed by a pause so many times as long, up to POLL_MS. */
const POLL_PAUSE_FACTOR = 9;
/** How often the state of all endpoints is read. Without an enabled endpoint, this is the only statement. */
const OBSERVE_MS = 5000;
/** Deliveries that callers can list, for each endpoint. */
export const DELIVERIES_KEPT = 10_000;

export type WebhookOptions = Pick<TurnParts, 'renderEvent' | 'onAttempt'> & {
  /** For webhooks alone, so that they and other work do not delay each other. */
  readonly pool: ConnectionPool;
  readonly logger: Logger;
  readonly rules: TargetRules;
  readonly onState: (state: WebhookState) => void;
  /** How long a claim lasts, and how often it is renewed. */
  readonly claimMs: number;
  readonly renewMs: number;
  /** The clock of the pauses between attempts, and of signatures. */
  readonly now?: () => Date;
  readonly attemptTimeoutMs?: number;
};

export class WebhookSender {
  readonly #options: WebhookOptions;
  readonly #holder = randomUUID();
  readonly #turns = new Set<Promise<void>>();
  /** Aborts attempts that outlast the time to stop. */
  readonly #abort = new AbortController();
  #sending: { readonly post: Post; readonly close: () => Promise<void> } | null = null;
  #running: Promise<void> | null = null;
  #isStopping = false;
  #hasEndpoints = false;
  #observedAt = -Infinity;
  #isAway = false;
  #isAwake = false;
  #wake: () => void = () => {};

  constructor(options: WebhookOptions) {
    this.#options = options;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** A row of a journal is committed. It is called for every job, and must cost nothing. */
  noteJournal(): void {
    if (this.#hasEndpoints) this.#wakeUp();
  }

  /** A caller changed an endpoint, or asked for a delivery. */
  noteChange(): void {
    this.#hasEndpoints = true;
    this.#observedAt = -Infinity;
    this.#wakeUp();
  }

  /** Lets the running attempts end, for at most `timeoutMs`; then aborts them. Gives up all claims. */
  async stop(timeoutMs: number): Promise<void> {
    this.#isStopping = true;
    this.#wakeUp();
    const patience = setTimeout(() => this.#abort.abort(), timeoutMs);
    await this.#running;
    await Promise.all(this.#turns);
    clearTimeout(patience);
    await this.#sending?.close();
    this.#sending = null;
  }

  async #run(): Promise<void> {
    while (!this.#isStopping) {
      this.#isAwake = false;
      const startedAt = performance.now();
      try {
        if (performance.now() - this.#observedAt >= OBSERVE_MS) await this.#observe();
        if (this.#hasEndpoints) await this.#claim();
        this.#isAway = false;
      } catch (error) {
        if (!this.#isAway) this.#options.logger.warn({ reason: toError(error).message }, 'webhook poll failed');
        this.#isAway = true;
      }
      const tookMs = performance.now() - startedAt;
      if (!this.#isStopping) await sleep(Math.min(POLL_MS, Math.max(POLL_PAUSE_MS, POLL_PAUSE_FACTOR * tookMs)));
      await this.#rest(this.#hasEndpoints ? POLL_MS : OBSERVE_MS);
    }
  }

  async #observe(): Promise<void> {
    const state = await loadWebhookState(this.#options.pool);
    this.#observedAt = performance.now();
    this.#hasEndpoints = state.enabled > 0;
    this.#options.onState(state);
  }

  async #claim(): Promise<void> {
    const { pool, claimMs, now = () => new Date(), rules, attemptTimeoutMs = ATTEMPT_TIMEOUT_MS } = this.#options;
    const limit = TURNS_MAX - this.#turns.size;
    if (limit === 0) return;
    const claim = { holder: this.#holder, claimMs };
    const lines = await claimLines(pool, { ...claim, limit, now: now() });
    if (lines.length === 0) return;
    if (this.#sending === null) {
      // Loaded only if it is needed: undici takes time.
      const { createPost } = await import('./post.ts');
      this.#sending = createPost(rules, attemptTimeoutMs);
    }
    const parts = { ...this.#options, post: this.#sending.post, holder: this.#holder, now };
    for (const line of lines) {
      const turn = this.#takeTurn(parts, line).finally(() => {
        this.#turns.delete(turn);
        // The line may have more, and another one may have waited for the place.
        this.#wakeUp();
      });
      this.#turns.add(turn);
    }
  }

  async #takeTurn(parts: TurnParts, line: ClaimedLine): Promise<void> {
    const { pool, logger, claimMs, renewMs } = this.#options;
    const lost = new AbortController();
    let isChanged = false;
    let heldUntil = performance.now() + claimMs;
    const renew = async (): Promise<void> => {
      const askedAt = performance.now();
      const renewed = await renewClaim(pool, line, { holder: this.#holder, claimMs }).catch(() => 'unknown');
      if (renewed === 'held' || renewed === 'changed') heldUntil = askedAt + claimMs;
      // The turn ends after the running attempt, and the next one has what was changed.
      if (renewed === 'changed') isChanged = true;
      // Another process may have claimed the line.
      if (renewed === 'lost' || performance.now() > heldUntil) lost.abort();
    };
    const timer = setInterval(() => {
      // An earlier renewal may still wait for its answer.
      if (performance.now() > heldUntil) lost.abort();
      void renew();
    }, renewMs);
    try {
      const abort = AbortSignal.any([lost.signal, this.#abort.signal]);
      await new Turn(parts, line, { abort, isStopping: () => isChanged || this.#isStopping }).run();
      await releaseClaim(pool, line, { holder: this.#holder, kept: DELIVERIES_KEPT });
    } catch (error) {
      // The claim ends by itself, and the line is tried again then.
      const { ledger, endpointId } = line;
      const reason = toError(error).message;
      logger.warn({ ledger: ledger.name, webhook_id: endpointId, reason }, 'webhook turn failed');
    } finally {
      clearInterval(timer);
    }
  }

  #wakeUp(): void {
    this.#isAwake = true;
    this.#wake();
  }

  async #rest(timeoutMs: number): Promise<void> {
    if (this.#isAwake || this.#isStopping) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, timeoutMs);
    this.#wake = resolve;
    await promise;
    clearTimeout(timer);
    this.#wake = () => {};
  }
}
