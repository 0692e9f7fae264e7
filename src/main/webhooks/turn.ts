// One turn of an endpoint's line: its events in the order of the journal, one after the other. An event that cannot be
// delivered blocks the later ones, so that each account's events arrive in order. What is done is written in batches: a
// process that dies has the last batch sent again, with the same ids.
import { type FeedEvent, loadEvents } from '../../db/queries/feed.ts';
import type { ConnectionPool } from '../../db/connection/connect.ts';
import { DamagedBooksError } from '../../db/connection/errors.ts';
import * as claims from '../../db/ledger/webhook-claims.ts';
import { wantsChange, wantsTransfer } from '../../domain/event.ts';
import type { Logger } from '../../logger.ts';
import { type EventJson, renderMessage, signMessage, type WebhookMessage } from '../../render/webhook.ts';
import { pauseMs, readRetryAfter } from './pauses.ts';
import type { Post, PostError, PostResult } from './post.ts';

/** After so many messages, or so long, another endpoint may have its turn. */
const MESSAGES_MAX = 500;
const TURN_MS = 2000;
/** What a process that dies may have sent and not written. */
const UNWRITTEN_MAX = 20;
const UNWRITTEN_MS = 250;
const REQUESTED_MAX = 10;
const PAGE = { rowsMax: 100, recordsMax: 128 };
const GIVE_UP_MS = 5 * 24 * 3_600_000;
/** The receiver wants no more. */
const GONE = 410;

export type TurnParts = {
  readonly pool: ConnectionPool;
  readonly logger: Logger;
  readonly post: Post;
  /** This process, as claims name it. */
  readonly holder: string;
  readonly now: () => Date;
  /** An event as the feed shows it. */
  readonly renderEvent: (event: FeedEvent) => EventJson;
  readonly onAttempt: (result: 'delivered' | PostError, durationMs: number) => void;
};

export class Turn {
  readonly #parts: TurnParts;
  readonly #line: claims.ClaimedLine;
  /** Aborts attempts: the claim is lost, or the service cannot wait any longer. */
  readonly #abort: AbortSignal;
  readonly #isStopping: () => boolean;
  #state: claims.LineState;
  #written: claims.LineState;
  #attempts: claims.Attempt[] = [];
  #writtenAt = performance.now();
  #sent = 0;
  #startedAt: number;

  constructor(
    parts: TurnParts,
    line: claims.ClaimedLine,
    { abort, isStopping }: { abort: AbortSignal; isStopping: () => boolean },
  ) {
    this.#parts = parts;
    this.#line = line;
    this.#state = line.state;
    this.#written = line.state;
    this.#abort = abort;
    this.#isStopping = isStopping;
    this.#startedAt = parts.now().getTime();
  }

  /** Sends until the line is empty, an attempt fails, or the turn is over. Throws only what the database throws. */
  async run(): Promise<void> {
    await this.#sendRequested();
    const { nextAttemptAt } = this.#line.state;
    if (nextAttemptAt !== null && nextAttemptAt > this.#parts.now()) return;
    // However slow the requested ones were, the line moves too.
    this.#startedAt = this.#parts.now().getTime();
    while (!this.#isOver()) {
      const events = await loadEvents(this.#parts.pool, this.#line.ledger, this.#state.journalNumber, PAGE);
      if (events.length === 0 || !(await this.#sendEvents(events))) break;
    }
    if (this.#state !== this.#written) await this.#write();
  }

  #isOver(): boolean {
    // A database that is slow must not end every turn before its first message.
    const isMoving = this.#sent > 0 || this.#state !== this.#line.state;
    const isLong = isMoving && this.#parts.now().getTime() - this.#startedAt >= TURN_MS;
    return isLong || this.#sent >= MESSAGES_MAX || this.#isStopping() || this.#abort.aborted;
  }

  /** Returns whether all were sent. */
  async #sendEvents(events: readonly FeedEvent[]): Promise<boolean> {
    for (const event of events) {
      const wanted = this.#wantedOf(event).filter((position) => position >= this.#state.position);
      if (wanted.length > 0 && !(await this.#sendRecords(event, wanted))) return false;
      this.#state = { ...this.#state, journalNumber: event.journalNumber, position: 0 };
    }
    return true;
  }

  /** The positions of the records of an event that pass the filter, in the order of their messages. */
  #wantedOf({ accountChanges, transfers }: FeedEvent): number[] {
    const { filter } = this.#line;
    return [
      ...accountChanges.map((change) => wantsChange(filter, change)),
      ...transfers.map((transfer) => wantsTransfer(filter, transfer)),
    ].flatMap((isWanted, position) => (isWanted ? [position] : []));
  }

  async #sendRecords(event: FeedEvent, positions: readonly number[]): Promise<boolean> {
    const json = this.#parts.renderEvent(event);
    for (const position of positions) {
      if (this.#isOver()) return false;
      const message = renderMessage(this.#line.ledger.name, json, position);
      if (message && !(await this.#send(message, { journalNumber: event.journalNumber, position }))) return false;
    }
    return true;
  }

  /** Returns whether the message was delivered. */
  async #send(message: WebhookMessage, place: Pick<claims.Attempt, 'journalNumber' | 'position'>): Promise<boolean> {
    const result = await this.#attempt(message);
    if (result === null) return false;
    const number = this.#state.deliveryNumber + 1n;
    const { id: eventId, type } = message;
    const attemptedAt = this.#parts.now();
    this.#attempts.push({ ...place, ...result, number, eventId, type, attemptedAt });
    if (result.error !== null) {
      await this.#noteFailure(result, attemptedAt);
      return false;
    }
    this.#state = {
      ...this.#state,
      position: place.position + 1,
      deliveryNumber: number,
      attempts: 0,
      failingSince: null,
      nextAttemptAt: null,
    };
    const isLate = performance.now() - this.#writtenAt >= UNWRITTEN_MS;
    return isLate || this.#attempts.length >= UNWRITTEN_MAX ? await this.#write() : true;
  }

  async #attempt(message: WebhookMessage): Promise<PostResult | null> {
    this.#sent += 1;
    const { url, secrets } = this.#line;
    const headers = signMessage(message, secrets, this.#parts.now());
    const startedAt = performance.now();
    try {
      const result = await this.#parts.post(url, { headers, body: message.body }, this.#abort);
      this.#parts.onAttempt(result.error ?? 'delivered', performance.now() - startedAt);
      return result;
    } catch (error) {
      // Whether it arrived is unknown: it is sent again.
      if (this.#abort.aborted) return null;
      throw error;
    }
  }

  async #noteFailure({ status, error, retryAfter }: PostResult, now: Date): Promise<void> {
    const attempts = this.#state.attempts + 1;
    const failingSince = this.#state.failingSince ?? now;
    const askedMs = retryAfter === undefined ? null : readRetryAfter(retryAfter, now);
    const nextAttemptAt = new Date(now.getTime() + pauseMs(attempts, Math.random(), askedMs));
    this.#state = { ...this.#state, attempts, failingSince, nextAttemptAt };
    if (!(await this.#write())) return;
    const isGone = error === 'status' && status === GONE;
    if (!isGone && now.getTime() - failingSince.getTime() < GIVE_UP_MS) return;
    const { pool, logger } = this.#parts;
    const reason = isGone ? 'gone' : 'failing';
    if (!(await claims.disableWebhook(pool, this.#line, reason))) return;
    const { ledger, endpointId } = this.#line;
    logger.warn({ ledger: ledger.name, webhook_id: endpointId, reason, status, error, attempts }, 'webhook disabled');
  }

  /** Writes what is done. Returns false if another process has the line now. */
  async #write(): Promise<boolean> {
    const { pool, holder } = this.#parts;
    const attempts = this.#attempts;
    this.#attempts = [];
    this.#written = this.#state;
    const isHeld = await claims.recordProgress(pool, this.#line, { holder, state: this.#state, attempts });
    this.#writtenAt = performance.now();
    return isHeld;
  }

  /** Deliveries that callers asked to have sent again, each once. */
  async #sendRequested(): Promise<void> {
    const { pool } = this.#parts;
    const { ledger } = this.#line;
    for (const requested of await claims.loadRequested(pool, this.#line, REQUESTED_MAX)) {
      if (this.#isOver()) return;
      const { number, journalNumber, position } = requested;
      const [event] = await loadEvents(pool, ledger, journalNumber - 1n, { ...PAGE, rowsMax: 1 });
      const message = event && renderMessage(ledger.name, this.#parts.renderEvent(event), position);
      if (!message) throw new DamagedBooksError(`Row ${journalNumber} of the journal has no record ${position}.`);
      const result = await this.#attempt(message);
      if (!result) return;
      await claims.recordRequested(pool, this.#line, { ...result, number, attemptedAt: this.#parts.now() });
    }
  }
}
