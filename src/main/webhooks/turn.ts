// One turn of an endpoint's line: its events in the order of the journal. Those that follow each other and have no account in
// common are sent at the same time; an event that cannot be delivered blocks the later ones. So each account's events arrive
// in order. What is done is written in batches: a process that dies has the last batch sent again, with the same ids.
import { type FeedEvent, loadEvents } from '../../db/queries/feed.ts';
import type { ConnectionPool } from '../../db/connection/connect.ts';
import { DamagedBooksError } from '../../db/connection/errors.ts';
import * as claims from '../../db/ledger/webhook-claims.ts';
import { recordProgress } from '../../db/ledger/webhook-progress.ts';
import { wantsChange, wantsTransfer } from '../../domain/event.ts';
import type { Logger } from '../../logger.ts';
import { type EventJson, renderMessage, signMessage, type WebhookMessage } from '../../render/webhook.ts';
import type { Shares } from '../shares.ts';
import type { Tracer } from '../tracer.ts';
import { pauseMs, readRetryAfter } from './pauses.ts';
import type { Post, PostError, PostResult } from './post.ts';
import { TurnTrace } from './turn-trace.ts';

/** After so many messages, or so long, another endpoint may have its turn. */
const MESSAGES_MAX = 500;
const TURN_MS = 2000;
/** Messages of one line that are sent at the same time, if they have no account in common. */
export const TOGETHER_MAX = 16;
/** A process that dies may have sent so many and not written them, and those that are being sent. */
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
  /** The places of messages beyond the first that a line sends at the same time, shared by ledgers. */
  readonly extra: Shares;
  /** This process, as claims name it. */
  readonly holder: string;
  readonly now: () => Date;
  /** An event as the feed shows it. */
  readonly renderEvent: (event: FeedEvent) => EventJson;
  readonly onAttempt: (result: 'delivered' | PostError, durationMs: number) => void;
  /** Null: no turn is traced. */
  readonly tracer: Tracer | null;
};

/** A record of the journal, as a message. */
type Item = Pick<claims.Attempt, 'journalNumber' | 'position'> & {
  readonly message: WebhookMessage;
  readonly accounts: readonly string[];
  /** Null: it is about an account. */
  readonly transferId: string | null;
};

function sharesAccount(one: Item, other: Item): boolean {
  return one.accounts.some((account) => other.accounts.includes(account));
}

export class Turn {
  readonly #parts: TurnParts;
  readonly #line: claims.ClaimedLine;
  /** Aborts attempts: the claim is lost, or the service cannot wait any longer. */
  readonly #abort: AbortSignal;
  readonly #isStopping: () => boolean;
  readonly #trace: TurnTrace | null;
  #state: claims.LineState;
  #written: claims.LineState;
  #attempts: claims.Attempt[] = [];
  #writtenAt = performance.now();
  #sent = 0;
  /** Whether the receiver has accepted a message of this turn. */
  #hasDelivered = false;
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
    const { ledger, endpointId } = line;
    this.#trace = parts.tracer && new TurnTrace(parts.tracer, { ledger: ledger.name, webhookId: endpointId });
    this.#startedAt = parts.now().getTime();
  }

  /** Sends until the line is empty, an attempt fails, or the turn is over. Throws only what the database throws. */
  async run(): Promise<void> {
    try {
      await this.#send();
    } finally {
      this.#trace?.end();
    }
  }

  async #send(): Promise<void> {
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
    const { extra } = this.#parts;
    const ledger = String(this.#line.ledger.id);
    let together: Item[] = [];
    const send = async (): Promise<boolean> => {
      const items = together;
      together = [];
      try {
        return await this.#sendTogether(items);
      } finally {
        for (let index = 1; index < items.length; index += 1) extra.release(ledger);
      }
    };
    for (const item of this.#itemsOf(events)) {
      const isAlone = together.length >= this.#togetherMax() || together.some((other) => sharesAccount(item, other));
      if (together.length > 0 && (isAlone || !extra.tryTake(ledger)) && !(await send())) return false;
      together.push(item);
    }
    if (together.length > 0 && !(await send())) return false;
    const journalNumber = events.at(-1)?.journalNumber ?? this.#state.journalNumber;
    this.#state = { ...this.#state, journalNumber, position: 0 };
    return true;
  }

  /** A receiver that does not accept one message would not accept more. */
  #togetherMax(): number {
    return this.#hasDelivered ? TOGETHER_MAX : 1;
  }

  /** The records that pass the filter and are not done, in the order of their messages. */
  *#itemsOf(events: readonly FeedEvent[]): Generator<Item> {
    const { filter } = this.#line;
    for (const event of events) {
      const { journalNumber, accountChanges, transfers } = event;
      const records = [
        ...accountChanges.map((change) => ({
          accounts: [change.accountNumber],
          transferId: null,
          wanted: wantsChange(filter, change),
        })),
        ...transfers.map((transfer) => ({
          accounts: [transfer.fromAccount, transfer.toAccount],
          transferId: transfer.id,
          wanted: wantsTransfer(filter, transfer),
        })),
      ];
      if (!records.some(({ wanted }) => wanted)) continue;
      const first = journalNumber === this.#line.state.journalNumber + 1n ? this.#line.state.position : 0;
      const json = this.#parts.renderEvent(event);
      for (const [position, { accounts, transferId, wanted }] of records.entries()) {
        if (!wanted || position < first) continue;
        const message = renderMessage(this.#line.ledger.name, json, position);
        if (message) yield { message, journalNumber, position, accounts, transferId };
      }
    }
  }

  /**
   * Sends messages that have no account in common at the same time. The line moves to the first that was not delivered;
   * those after it are sent again later. Returns whether all were delivered.
   */
  async #sendTogether(items: readonly Item[]): Promise<boolean> {
    const [first] = items;
    if (!first || this.#isOver()) return false;
    const done = first.journalNumber - 1n;
    // Rows without a wanted record.
    if (done > this.#state.journalNumber) this.#state = { ...this.#state, journalNumber: done, position: 0 };
    const results = await Promise.all(
      items.map(async ({ message, transferId }) => await this.#attempt(message, transferId)),
    );
    const attemptedAt = this.#parts.now();
    const before = this.#state.deliveryNumber;
    let failure: PostResult | undefined;
    let areDelivered = true;
    for (const [index, { message, journalNumber, position }] of items.entries()) {
      const result = results[index] ?? null;
      const number = before + BigInt(index + 1);
      const { id: eventId, type } = message;
      if (result !== null) {
        this.#attempts.push({ journalNumber, position, ...result, number, eventId, type, attemptedAt });
      }
      if (!areDelivered) continue;
      areDelivered = result?.error === null;
      if (areDelivered) this.#advance({ journalNumber, position, number });
      else if (result !== null) failure = result;
    }
    if (failure) {
      await this.#noteFailure(failure, attemptedAt);
      return false;
    }
    if (!areDelivered) return false;
    const isLate = performance.now() - this.#writtenAt >= UNWRITTEN_MS;
    return isLate || this.#attempts.length >= UNWRITTEN_MAX ? await this.#write() : true;
  }

  /** A message was delivered, and all before it. */
  #advance({ journalNumber, position, number }: Pick<claims.Attempt, 'journalNumber' | 'position' | 'number'>): void {
    this.#hasDelivered = true;
    this.#state = {
      journalNumber: journalNumber - 1n,
      position: position + 1,
      deliveryNumber: number,
      attempts: 0,
      failingSince: null,
      nextAttemptAt: null,
    };
  }

  async #attempt(message: WebhookMessage, transferId: string | null): Promise<PostResult | null> {
    this.#sent += 1;
    const { url, secrets } = this.#line;
    const headers = signMessage(message, secrets, this.#parts.now());
    const startedAt = performance.now();
    try {
      const result = await this.#parts.post(url, { headers, body: message.body }, this.#abort);
      this.#parts.onAttempt(result.error ?? 'delivered', performance.now() - startedAt);
      this.#trace?.note({ startedAt, eventId: message.id, transferId, status: result.status, error: result.error });
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
    const isHeld = await recordProgress(pool, this.#line, { holder, state: this.#state, attempts });
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
      const transferId = event.transfers[position - event.accountChanges.length]?.id ?? null;
      const result = await this.#attempt(message, transferId);
      if (!result) return;
      await claims.recordRequested(pool, this.#line, { ...result, number, attemptedAt: this.#parts.now() });
    }
  }
}
