// Reads the feed of a ledger as Server-Sent Events, for as long as the caller wants: reconnects, resumes after the last
// event, and verifies that each row of the journal follows the one before it.
import { createParser, type EventSourceMessage } from 'eventsource-parser';
import { ChainError, ConnectionError, GopherPayError, UnexpectedAnswerError } from './errors.ts';
import { parseJson } from './json.ts';
import { BACK_OFF_MAX_MS, type Clock, CLOCK, pauseAfter } from './retry.ts';
import type { JournalEvent } from './types.ts';

/** The `previous_hash` of the first row. */
const NO_HASH = '0'.repeat(64);

/** An event that was read before, such as the last one that was processed. */
export type Position = Pick<JournalEvent, 'journal_number' | 'hash'>;

export type FollowOptions = {
  readonly signal?: AbortSignal | undefined;
  /** How long a connection may be silent: the service sends a comment every 15 seconds. 45 seconds by default. */
  readonly silenceTimeoutMs?: number | undefined;
};

/** Opens a stream of the events after a journal number. */
export type Connect = (after: number, signal: AbortSignal) => Promise<Response>;

/**
 * Verifies that each event is the row that follows the one before: its number is the next one, and its `previous_hash`
 * is the hash of that row. So a reader that keeps its position detects a journal that was rewritten, restored from an
 * older backup, or has a gap. The hash itself cannot be recomputed: it also covers fields that events do not have.
 * A filter leaves rows out; then only events that follow each other directly can be compared.
 */
export class Chain {
  readonly #filtered: boolean;
  #number: number;
  /** Null: the row of this number was not read. */
  #hash: string | null;

  /** After an event, or after a number alone, whose hash is then not known. */
  constructor(after: Position | number, { filtered = false }: { filtered?: boolean } = {}) {
    this.#filtered = filtered;
    this.#number = typeof after === 'number' ? after : after.journal_number;
    this.#hash = typeof after === 'number' ? (after === 0 ? NO_HASH : null) : after.hash;
  }

  /** The last row that was read or skipped. */
  get number(): number {
    return this.#number;
  }

  /** Takes the next event. Throws a ChainError if it does not follow. */
  add({ journal_number: number, previous_hash: found, hash }: JournalEvent): void {
    const next = this.#number + 1;
    if (number < next || (number > next && !this.#filtered)) {
      throw new ChainError(next, 'the number', { expected: next, found: number });
    }
    if (number === next && this.#hash !== null && found !== this.#hash) {
      throw new ChainError(number, 'the previous hash', { expected: this.#hash, found });
    }
    this.#number = number;
    this.#hash = hash;
  }

  /** Moves behind rows that the filter leaves out. */
  skipTo(number: number): void {
    if (number <= this.#number) return;
    this.#number = number;
    this.#hash = null;
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
        chain.add(event);
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
    'journal_number' in value &&
    'hash' in value &&
    'previous_hash' in value &&
    Number.isSafeInteger(value.journal_number) &&
    typeof value.hash === 'string' &&
    typeof value.previous_hash === 'string'
  );
}
