// The feed of what was settled, for those who follow it live. All followers share one poll of the journal's head, which
// runs only while there are any, and the pages they read; each has a cursor of its own, so nothing is missed or told twice.
import { setTimeout as sleep } from 'node:timers/promises';
import type { ConnectionPool } from '../db/connect.ts';
import { DamagedBooksError, retryAfter, toError } from '../db/errors.ts';
import { type FeedEvent, loadEvents, loadJournalNumber } from '../db/feed.ts';
import type { Logger } from '../logger.ts';
import type { StreamWriter } from './stream.ts';
import { renderEvent } from './wire.ts';

/** A page is read and rendered at once, so it is bounded by rows and by transfers; one job may have more than these. */
const PAGE_TRANSFERS_MAX = 500;
const PAGE_ROWS_MAX = 100;
/** Followers who have caught up are at the same place and want the same page; few others do. */
const PAGES_KEPT = 4;
const POLL_MS = 200;
const RETRY_MS = 1000;
const KEEP_ALIVE_MS = 15_000;

type Page = { readonly text: string; readonly next: bigint };
type Follower = { readonly end: AbortController; readonly writer: StreamWriter };

export class Feed {
  readonly #pool: ConnectionPool;
  readonly #logger: Logger;
  readonly #lingerTimeoutMs: number;
  readonly #followers = new Set<Follower>();
  readonly #waiters = new Set<() => void>();
  readonly #pages = new Map<bigint, Promise<Page>>();
  #head = 0n;
  #polling: Promise<void> | null = null;
  #stopped = false;

  /** The pool is the feed's own: its readers must not hold up the others, nor they it. `lingerTimeoutMs`: how long a follower that takes nothing may hold up the end. */
  constructor(options: { pool: ConnectionPool; logger: Logger; lingerTimeoutMs: number }) {
    this.#pool = options.pool;
    this.#logger = options.logger;
    this.#lingerTimeoutMs = options.lingerTimeoutMs;
  }

  /** A page of events after a number. */
  async load(after: bigint, rowsMax: number): Promise<FeedEvent[]> {
    return await loadEvents(this.#pool, after, { rowsMax, transfersMax: PAGE_TRANSFERS_MAX });
  }

  /** The number of the journal's last row. */
  async end(): Promise<bigint> {
    return await loadJournalNumber(this.#pool);
  }

  /** Says that this row of the journal is committed, before the next poll finds it. */
  advance(number: bigint): void {
    if (number <= this.#head) return;
    this.#head = number;
    for (const wake of this.#waiters) wake();
  }

  /** Sends all events after a number, and those to come, as Server-Sent Events, until the caller leaves or the service stops. */
  async follow(after: bigint, writer: StreamWriter): Promise<void> {
    const end = new AbortController();
    const leave = () => end.abort();
    writer.gone.addEventListener('abort', leave, { once: true });
    if (writer.gone.aborted || this.#stopped) leave();
    const follower = { end, writer };
    this.#followers.add(follower);
    this.#polling ??= this.#poll();
    try {
      await this.#send(after, writer, end.signal);
    } finally {
      this.#followers.delete(follower);
      writer.gone.removeEventListener('abort', leave);
    }
  }

  /** Ends all streams; resolves when the poll has ended. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const { end } of this.#followers) end.abort();
    setTimeout(() => {
      for (const { writer } of this.#followers) writer.breakOff();
    }, this.#lingerTimeoutMs).unref();
    await this.#polling;
  }

  async #send(after: bigint, writer: StreamWriter, end: AbortSignal): Promise<void> {
    let cursor = after;
    // The first bytes tell the caller that it is connected, while there may be nothing to tell yet.
    await writer.send(': the journal follows\n\n');
    while (!end.aborted) {
      if (this.#head <= cursor) {
        const moved = await this.#waitBeyond(cursor, end);
        if (!moved && !end.aborted) await writer.send(': nothing new\n\n');
        continue;
      }
      const page = await this.#page(cursor).catch((error: unknown) => {
        if (retryAfter(error) === 'never') throw error;
        return null;
      });
      if (page === null) await sleep(RETRY_MS, null, { signal: end }).catch(() => {});
      else if (!end.aborted) {
        await writer.send(page.text);
        cursor = page.next;
      }
    }
  }

  /** Whether the journal went past a number before it was time for a sign of life, or for the end. */
  async #waitBeyond(number: bigint, end: AbortSignal): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const wake = () => resolve();
    const timer = setTimeout(wake, KEEP_ALIVE_MS);
    this.#waiters.add(wake);
    end.addEventListener('abort', wake, { once: true });
    await promise;
    clearTimeout(timer);
    this.#waiters.delete(wake);
    end.removeEventListener('abort', wake);
    return this.#head > number;
  }

  async #page(after: bigint): Promise<Page> {
    const known = this.#pages.get(after);
    if (known) return await known;
    const page = this.#loadPage(after);
    this.#pages.set(after, page);
    const [oldest] = this.#pages.keys();
    if (this.#pages.size > PAGES_KEPT && oldest !== undefined) this.#pages.delete(oldest);
    try {
      return await page;
    } catch (error) {
      this.#pages.delete(after);
      throw error;
    }
  }

  async #loadPage(after: bigint): Promise<Page> {
    const events = await this.load(after, PAGE_ROWS_MAX);
    const last = events.at(-1);
    if (last === undefined) throw new DamagedBooksError(`The journal's head is beyond ${after}, and its rows are not.`);
    return { text: events.map(renderServerSentEvent).join(''), next: last.journalNumber };
  }

  async #poll(): Promise<void> {
    let isAway = false;
    while (this.#followers.size > 0 && !this.#stopped) {
      try {
        this.advance(await this.end());
        isAway = false;
      } catch (error) {
        if (!isAway) this.#logger.warn({ reason: toError(error).message }, 'the feed cannot read the journal');
        isAway = true;
      }
      await sleep(POLL_MS);
    }
    this.#polling = null;
    this.#pages.clear();
  }
}

function renderServerSentEvent(event: FeedEvent): string {
  return `id: ${event.journalNumber}\nevent: settled\ndata: ${JSON.stringify(renderEvent(event))}\n\n`;
}
