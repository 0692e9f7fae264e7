// Sends the events of every ledger to the endpoints that callers registered. It reads the journal after its commits, on
// connections of its own. Each line is claimed by one process, which renews its claim while it sends.
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ConnectionPool } from '../../db/connection/connect.ts';
import { toError } from '../../db/connection/errors.ts';
import {
  type ClaimedLine,
  claimLines,
  findDueLines,
  releaseClaim,
  renewClaims,
} from '../../db/ledger/webhook-claims.ts';
import { loadWebhookState, type WebhookState } from '../../db/queries/webhooks.ts';
import type { Logger } from '../../logger.ts';
import { Shares } from '../shares.ts';
import type { Post } from './post.ts';
import type { TargetRules } from './target.ts';
import { Turn, type TurnParts } from './turn.ts';

/**
 * Lines that one process works on at once, most of which wait for their receivers. One ledger gets at most half of these
 * places: more than it may have endpoints, so that slow receivers do not even delay the others of their ledger.
 */
export const TURNS_MAX = 256;
/** Its line has a connection, and so has one further message. */
export const CONNECTIONS_OF_PLACE = 2;
const LEDGER_SHARE_PERCENT = 50;
/** For one attempt, from its connection to the end of the answer. */
const ATTEMPT_TIMEOUT_MS = 10_000;
/** How often lines are looked for, and how often at most when transfers are settled all the time. */
const POLL_MS = 1000;
const POLL_PAUSE_MS = 100;
/** A poll that takes long, because there are many ledgers, is followed by a pause so many times as long, up to POLL_MS. */
const POLL_PAUSE_FACTOR = 9;
/** How often the state of all endpoints is read. Without an enabled endpoint, this is the only statement. */
const OBSERVE_MS = 5000;
/** Deliveries that callers can list, for each endpoint. */
export const DELIVERIES_KEPT = 10_000;

export type WebhookOptions = Pick<TurnParts, 'renderEvent' | 'onAttempt' | 'tracer'> & {
  /** For webhooks alone, so that they and other work do not delay each other. */
  readonly pool: ConnectionPool;
  readonly logger: Logger;
  readonly rules: TargetRules;
  /** `sending`: lines that this process works on. */
  readonly onState: (state: WebhookState & { readonly sending: number }) => void;
  /** Lines that this process works on at once: at most TURNS_MAX. */
  readonly placesMax: number;
  /** How long a claim lasts, and how often it is renewed. */
  readonly claimMs: number;
  readonly renewMs: number;
  /** The clock of the pauses between attempts, and of signatures. */
  readonly now?: () => Date;
  readonly attemptTimeoutMs?: number;
};

/** A line that this process has claimed. */
type Held = {
  readonly line: ClaimedLine;
  /** Aborts the turn: another process may have claimed the line. */
  readonly lost: AbortController;
  /** By the clock of performance.now(). */
  until: number;
  /** The turn ends after the running attempt, and the next one has what was changed. */
  isChanged: boolean;
};

export class WebhookSender {
  readonly #options: WebhookOptions;
  readonly #holder = randomUUID();
  readonly #shares: Shares;
  /** Messages that all lines together send at once beyond one of each. */
  readonly #extra: Shares;
  readonly #turns = new Map<Held, Promise<void>>();
  /** Aborts attempts that outlast the time to stop. */
  readonly #abort = new AbortController();
  #sending: { readonly post: Post; readonly close: () => Promise<void> } | null = null;
  #running: Promise<void> | null = null;
  #heartbeat: NodeJS.Timeout | undefined;
  #isRenewing = false;
  #isStopping = false;
  #hasEndpoints = false;
  #observedAt = -Infinity;
  #isAway = false;
  #isAwake = false;
  #wake: () => void = () => {};

  constructor(options: WebhookOptions) {
    this.#options = options;
    const total = options.placesMax;
    this.#shares = new Shares({ total, percent: LEDGER_SHARE_PERCENT });
    this.#extra = new Shares({ total, percent: LEDGER_SHARE_PERCENT });
  }

  start(): void {
    this.#running ??= this.#run();
    this.#heartbeat ??= setInterval(() => void this.#renew(), this.#options.renewMs);
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
    await Promise.all(this.#turns.values());
    clearTimeout(patience);
    clearInterval(this.#heartbeat);
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
    this.#options.onState({ ...state, sending: this.#turns.size });
  }

  /** Claims the lines that are due, as many as each ledger's share has places. */
  async #claim(): Promise<void> {
    const { pool, claimMs, now = () => new Date() } = this.#options;
    if (this.#shares.free === 0) return;
    const due = await findDueLines(pool, { limit: this.#options.placesMax, now: now() });
    const chosen = due.filter(({ ledgerId }) => this.#shares.tryTake(String(ledgerId)));
    if (chosen.length === 0) return;
    let claimed: ClaimedLine[] = [];
    const askedAt = performance.now();
    try {
      const post = await this.#openPost();
      claimed = await claimLines(pool, chosen, { holder: this.#holder, claimMs });
      const parts = { ...this.#options, post, extra: this.#extra, holder: this.#holder, now };
      for (const line of claimed) this.#begin(parts, line, askedAt + claimMs);
    } finally {
      const ids = new Set(claimed.map(({ endpointId }) => endpointId));
      for (const { ledgerId, endpointId } of chosen) {
        if (!ids.has(endpointId)) this.#shares.release(String(ledgerId));
      }
    }
    // Another process was first, and there may be further lines.
    if (claimed.length < chosen.length) this.#wakeUp();
  }

  /** Loaded only if it is needed: undici takes time. */
  async #openPost(): Promise<Post> {
    const { rules, attemptTimeoutMs = ATTEMPT_TIMEOUT_MS } = this.#options;
    if (this.#sending === null) {
      const { createPost } = await import('./post.ts');
      this.#sending = createPost(rules, attemptTimeoutMs);
    }
    return this.#sending.post;
  }

  #begin(parts: TurnParts, line: ClaimedLine, until: number): void {
    const held = { line, until, lost: new AbortController(), isChanged: false };
    const turn = this.#takeTurn(parts, held).finally(() => {
      this.#turns.delete(held);
      this.#shares.release(String(line.ledger.id));
      // The line may have more, and another one may have waited for the place.
      this.#wakeUp();
    });
    this.#turns.set(held, turn);
  }

  async #takeTurn(parts: TurnParts, held: Held): Promise<void> {
    const { pool, logger } = this.#options;
    const { line } = held;
    try {
      const abort = AbortSignal.any([held.lost.signal, this.#abort.signal]);
      await new Turn(parts, line, { abort, isStopping: () => held.isChanged || this.#isStopping }).run();
      await releaseClaim(pool, line, { holder: this.#holder, kept: DELIVERIES_KEPT });
    } catch (error) {
      // The claim ends by itself, and the line is tried again then.
      const { ledger, endpointId } = line;
      const reason = toError(error).message;
      logger.warn({ ledger: ledger.name, webhook_id: endpointId, reason }, 'webhook turn failed');
    }
  }

  /** Renews all claims, and ends the turns whose claims could not be renewed in time. */
  async #renew(): Promise<void> {
    const { pool, claimMs } = this.#options;
    const all = [...this.#turns.keys()];
    const askedAt = performance.now();
    for (const held of all) if (askedAt > held.until) held.lost.abort();
    // An earlier renewal may still wait for its answer.
    if (this.#isRenewing || all.length === 0) return;
    this.#isRenewing = true;
    const lines = all.map(({ line }) => line);
    const renewed = await renewClaims(pool, lines, { holder: this.#holder, claimMs }).catch(() => []);
    this.#isRenewing = false;
    for (const [index, result] of renewed.entries()) {
      const held = all[index];
      if (!held) continue;
      if (result === 'held' || result === 'changed') held.until = askedAt + claimMs;
      if (result === 'changed') held.isChanged = true;
      if (result === 'lost') held.lost.abort();
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
