// Reads the feed of a ledger as Server-Sent Events, for as long as the caller wants: reconnects, resumes after the last
// event, and verifies the hash of each row of the journal, and that it follows the one before it.
import { createParser, type EventSourceMessage } from 'eventsource-parser';
import { ChainError, ConnectionError, GopherPayError, UnexpectedAnswerError } from './errors.ts';
import { parseJson } from './json.ts';
import { BACK_OFF_MAX_MS, type Clock, CLOCK, pauseAfter } from './retry.ts';
import type { JournalEvent } from './types.ts';

/** The `previous_hash` of the first row. */
const NO_HASH = '0'.repeat(64);

/** An event that was read before, such as the last one that was processed. */
export type Position = Pick<JournalEvent, 'journal_number' | 'hash'> & Partial<Pick<JournalEvent, 'ledger'>>;

export type ChainOptions = {
  /** Whether the events are read with a filter, which leaves rows and records out. */
  readonly filtered?: boolean | undefined;
  /** The ledger of all events; that of the position by default, and without one that of the first event. */
  readonly ledger?: string | undefined;
};

export type FollowOptions = {
  readonly signal?: AbortSignal | undefined;
  /** How long a connection may be silent: the service sends a comment every 15 seconds. 45 seconds by default. */
  readonly silenceTimeoutMs?: number | undefined;
};

/** Opens a stream of the events after a journal number. */
export type Connect = (after: number, signal: AbortSignal) => Promise<Response>;

/**
 * Verifies that each event is the row that follows the one before: it is of the same ledger, its number is the next one,
 * its `previous_hash` is the hash of that row, its own hash is right, and it has as many transfers and account changes
 * as the row covers. So a reader that keeps its position detects a journal that was rewritten, restored from an older
 * backup, has a gap, or is that of another ledger.
 * The digest, which the hash covers, cannot be recomputed: it covers fields that events do not have.
 * A filter leaves rows and records out. Then every hash is verified, but only events that follow each other directly are
 * compared, and records are not counted.
 */
export class Chain {
  readonly #filtered: boolean;
  /** Undefined: that of the next event. */
  #ledger: string | undefined;
  #number: number;
  /** Null: the row of this number was not read. */
  #hash: string | null;

  /** After an event, or after a number alone, whose hash is then not known. */
  constructor(after: Position | number, { filtered = false, ledger }: ChainOptions = {}) {
    this.#filtered = filtered;
    this.#ledger = ledger;
    if (typeof after === 'number') {
      this.#number = after;
      this.#hash = after === 0 ? NO_HASH : null;
    } else {
      this.#number = after.journal_number;
      this.#hash = after.hash;
      if (after.ledger !== undefined) this.#enter(after.ledger, after.journal_number);
    }
  }

  /** The last row that was read or skipped. */
  get number(): number {
    return this.#number;
  }

  /** Takes the next event, one at a time. Throws a ChainError if it does not follow, or does not agree with its hash. */
  async add(event: JournalEvent): Promise<void> {
    const { ledger, journal_number: number, previous_hash: found, hash } = event;
    const next = this.#number + 1;
    this.#enter(ledger, number);
    if (number < next || (number > next && !this.#filtered)) {
      throw new ChainError(next, 'the number', { expected: next, found: number });
    }
    if (number === next && this.#hash !== null && found !== this.#hash) {
      throw new ChainError(number, 'the previous hash', { expected: this.#hash, found });
    }
    const expected = await hashOf(event);
    if (hash !== expected) throw new ChainError(number, 'the hash', { expected, found: hash });
    if (!this.#filtered) checkCounts(event);
    this.#number = number;
    this.#hash = hash;
  }

  /** Throws a ChainError if this is not the ledger of the chain. */
  #enter(ledger: string, number: number): void {
    this.#ledger ??= ledger;
    if (ledger !== this.#ledger) throw new ChainError(number, 'the ledger', { expected: this.#ledger, found: ledger });
  }

  /** Moves behind rows that the filter leaves out. */
  skipTo(number: number): void {
    if (number <= this.#number) return;
    this.#number = number;
    this.#hash = null;
  }
}

/** The hash of a row, from all that it covers. The service computes it in the same way. */
async function hashOf(event: JournalEvent): Promise<string> {
  const { ledger, journal_number: number, transfer_count: transfers, change_count: changes } = event;
  const text = [ledger, number, microsecondsOf(event.settled_at), transfers, changes].join('|');
  const bytes = [...bytesOf(event.previous_hash), ...new TextEncoder().encode(text), ...bytesOf(event.digest)];
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', Uint8Array.from(bytes)));
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Since 1970. A Date would have milliseconds only. */
function microsecondsOf(instant: string): number {
  const [, seconds = '', fraction = ''] = /^([^.]*)(?:\.(\d{1,6}))?Z$/.exec(instant) ?? [];
  return Date.parse(`${seconds}Z`) * 1000 + Number(fraction.padEnd(6, '0'));
}

/** The bytes of a hash. What is none has no bytes, so that the hash of its row is wrong. */
function bytesOf(hash: string): number[] {
  const digits = /^[\da-f]{64}$/.test(hash) ? hash : '';
  return Array.from(digits.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16));
}

/** Throws a ChainError if an event without a filter does not have all records that its row covers. */
function checkCounts({
  journal_number: number,
  transfers,
  transfer_count: transferCount,
  account_changes: changes,
  change_count: changeCount,
}: JournalEvent): void {
  if (transfers.length !== transferCount) {
    throw new ChainError(number, 'the number of transfers', { expected: transferCount, found: transfers.length });
  }
  // A row that records an administrative act has no records in its event.
  const isAdministration = transferCount === 0 && changeCount === 1 && changes.length === 0;
  if (changes.length !== changeCount && !isAdministration) {
    throw new ChainError(number, 'the number of account changes', { expected: changeCount, found: changes.length });
  }
}

/**
 * The events after the position of a chain, and those to come. Failures are followed by another connection, unless the
 * service refuses it for good or the chain breaks. Ends only by that, by `break`, or by the signal, whose reason is
 * thrown.
 */
export async function* follow(
  connect: Connect,
  chain: Chain,
  { signal, silenceTimeoutMs = 45_000 }: FollowOptions,
  clock: Clock = CLOCK,
): AsyncGenerator<JournalEvent, void, undefined> {
  for (let failures = 0; ;) {
    const connection = new Connection(silenceTimeoutMs, signal);
    const openedAt = clock.now();
    let failure: unknown = null;
    try {
      for await (const message of connection.read(await connection.open(connect, chain.number))) {
        failures = 0;
        if (message.event === 'cursor') chain.skipTo(Number(message.id));
        if (message.event !== 'settled') continue;
        const event = toEvent(message);
        await chain.add(event);
        yield event;
      }
    } catch (error) {
      signal?.throwIfAborted();
      if (!(error instanceof GopherPayError) || error.retry === 'never') throw error;
      failure = error;
    } finally {
      connection.close();
    }
    // On a quiet ledger, a gateway may end an idle connection now and then.
    failures = clock.now() - openedAt > BACK_OFF_MAX_MS ? 1 : failures + 1;
    await clock.sleep(pauseAfter(failure, failures, clock.random()), signal);
  }
}

/** One connection, which is given up when it is silent for too long. */
class Connection {
  readonly #end = new AbortController();
  readonly #silenceTimeoutMs: number;
  readonly #signal: AbortSignal | undefined;
  readonly #abort = (): void => this.#end.abort(this.#signal?.reason);

  constructor(silenceTimeoutMs: number, signal: AbortSignal | undefined) {
    this.#silenceTimeoutMs = silenceTimeoutMs;
    this.#signal = signal;
    signal?.throwIfAborted();
    signal?.addEventListener('abort', this.#abort, { once: true });
  }

  async open(connect: Connect, after: number): Promise<Response> {
    return await this.#bounded(connect(after, this.#end.signal));
  }

  /** The messages of a stream, until it ends. A message that is cut off is none. */
  async *read({ body, status }: Response): AsyncGenerator<EventSourceMessage, void, undefined> {
    if (body === null) throw new UnexpectedAnswerError(status, '');
    const messages: EventSourceMessage[] = [];
    const parser = createParser({ onEvent: (message) => messages.push(message) });
    const decoder = new TextDecoder();
    const reader = body.getReader();
    for (;;) {
      const { value, done } = await this.#bounded(reader.read());
      if (done) return;
      parser.feed(decoder.decode(value, { stream: true }));
      yield* messages.splice(0);
    }
  }

  close(): void {
    this.#signal?.removeEventListener('abort', this.#abort);
    this.#end.abort();
  }

  /** Runs while the caller waits for the service, and not while the service waits for the caller. */
  async #bounded<Result>(work: Promise<Result>): Promise<Result> {
    const timer = setTimeout(() => this.#end.abort(new Error('the connection is silent')), this.#silenceTimeoutMs);
    try {
      return await work;
    } catch (error) {
      throw error instanceof GopherPayError ? error : new ConnectionError(error);
    } finally {
      clearTimeout(timer);
    }
  }
}

function toEvent({ data }: EventSourceMessage): JournalEvent {
  const event = parseJson(data);
  if (!isEvent(event)) throw new UnexpectedAnswerError(200, data);
  return event;
}

/** Whether it has what the chain needs; the rest is as the document of the API describes it. */
function isEvent(value: unknown): value is JournalEvent {
  return (
    typeof value === 'object' &&
    value !== null &&
    'ledger' in value &&
    'journal_number' in value &&
    'settled_at' in value &&
    'hash' in value &&
    'previous_hash' in value &&
    'digest' in value &&
    'transfers' in value &&
    'account_changes' in value &&
    typeof value.ledger === 'string' &&
    Number.isSafeInteger(value.journal_number) &&
    typeof value.settled_at === 'string' &&
    typeof value.hash === 'string' &&
    typeof value.previous_hash === 'string' &&
    typeof value.digest === 'string' &&
    Array.isArray(value.transfers) &&
    Array.isArray(value.account_changes)
  );
}
