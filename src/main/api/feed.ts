// The live feed of each ledger. The followers of a ledger share the pages they read. One poll reads the ends of the
// journals of all ledgers that are followed, and runs only while there are followers. Each follower has a cursor of its
// own, so no transfer is missed or sent twice.
import { setTimeout as sleep } from 'node:timers/promises';
import type { ConnectionPool } from '../../db/connection/connect.ts';
import { DamagedBooksError, retryPolicyOf, toError } from '../../db/connection/errors.ts';
import { type FeedEvent, loadEvents, loadJournalNumber, loadJournalNumbers } from '../../db/queries/feed.ts';
import type { Ledger } from '../../domain/ledger.ts';
import type { Logger } from '../../logger.ts';
import type { StreamWriter } from '../http/stream.ts';
import { renderEvent } from './views.ts';

/**
 * A page is read and rendered at once, so its rows and their transfers are bounded. One job may have more transfers.
 */
const PAGE_RECORDS_MAX = 128;
const PAGE_ROWS_MAX = 100;
/**
 * For all ledgers. Followers that have caught up need the same page. A follower whose page was dropped reads it again.
 */
const PAGES_KEPT = 64;
const PAGES_BYTES_MAX = 32 * 1024 * 1024;
/** Each piece has its own memory, so a slow follower keeps one piece in memory and not a page. */
const PIECE_BYTES = 64 * 1024;
const POLL_MS = 200;
const RETRY_MS = 1000;
const KEEP_ALIVE_MS = 15_000;

/** A page as it is sent, rendered once for all followers. The same page read again begins with the same bytes. */
type Page = { readonly pieces: readonly Buffer[]; readonly bytes: number; readonly next: bigint };
type Follower = { readonly end: AbortController; readonly writer: StreamWriter };
/** The followers of one ledger. It exists while there are any. */
type Group = {
  readonly ledger: Ledger;
  readonly followers: Set<Follower>;
  readonly waiters: Set<() => void>;
  /** The last number of the journal that is known to be committed. */
  head: bigint;
};

export class Feed {
  readonly #pool: ConnectionPool;
  readonly #logger: Logger;
  readonly #lingerTimeoutMs: number;
  /** By the ids of their ledgers. */
  readonly #groups = new Map<number, Group>();
  /** Pages by their ledger and the journal number that they follow, least recently used first. */
  readonly #pages = new Map<string, Promise<Page>>();
  readonly #pageBytes = new Map<string, number>();
  #polling: Promise<void> | null = null;
  #stopped = false;

  /**
   * The pool is for the feed alone, so that it and other reads do not delay each other. `lingerTimeoutMs`: how long a
   * stalled follower may delay the stop.
   */
  constructor(options: { pool: ConnectionPool; logger: Logger; lingerTimeoutMs: number }) {
    this.#pool = options.pool;
    this.#logger = options.logger;
    this.#lingerTimeoutMs = options.lingerTimeoutMs;
  }

  /** A page of a ledger's events after a number. */
  async load(ledger: Ledger, after: bigint, rowsMax: number): Promise<FeedEvent[]> {
    return await loadEvents(this.#pool, ledger, after, { rowsMax, recordsMax: PAGE_RECORDS_MAX });
  }

  /** The number of the last row of a ledger's journal. */
  async end(ledger: Ledger): Promise<bigint> {
    return await loadJournalNumber(this.#pool, ledger);
  }

  /** Announces that this row of a ledger's journal is committed, before the next poll finds it. */
  advance(ledger: Pick<Ledger, 'id'>, number: bigint): void {
    const group = this.#groups.get(ledger.id);
    if (!group || number <= group.head) return;
    group.head = number;
    for (const wake of group.waiters) wake();
  }

  /**
   * Sends all events of a ledger after a number, and those to come, as Server-Sent Events, until the caller leaves or
   * the service stops.
   */
  async follow(ledger: Ledger, after: bigint, writer: StreamWriter): Promise<void> {
    const end = new AbortController();
    const leave = () => end.abort();
    writer.gone.addEventListener('abort', leave, { once: true });
    if (writer.gone.aborted || this.#stopped) leave();
    const follower = { end, writer };
    const group = this.#join(ledger, follower);
    try {
      await this.#send(group, after, writer, end.signal);
    } finally {
      group.followers.delete(follower);
      if (group.followers.size === 0) this.#groups.delete(ledger.id);
      writer.gone.removeEventListener('abort', leave);
    }
  }

  /** Ends all streams; resolves when the poll has ended. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const { end } of this.#followers()) end.abort();
    setTimeout(() => {
      for (const { writer } of this.#followers()) writer.breakOff();
    }, this.#lingerTimeoutMs).unref();
    await this.#polling;
  }

  #join(ledger: Ledger, follower: Follower): Group {
    const known = this.#groups.get(ledger.id);
    const group = known ?? { ledger, followers: new Set(), waiters: new Set(), head: 0n };
    group.followers.add(follower);
    this.#groups.set(ledger.id, group);
    if (this.#polling === null) this.#polling = this.#poll();
    else if (!known) {
      // The poll may be asleep. If the database cannot be read, the poll reports it.
      this.end(ledger).then(
        (number) => this.advance(ledger, number),
        () => {},
      );
    }
    return group;
  }

  #followers(): Follower[] {
    return [...this.#groups.values()].flatMap(({ followers }) => [...followers]);
  }

  async #send(group: Group, after: bigint, writer: StreamWriter, end: AbortSignal): Promise<void> {
    let cursor = after;
    /** How many pieces of the page after the cursor were sent. A slow follower must not keep the page in memory. */
    let sent = 0;
    let page: WeakRef<Page> | undefined;
    // The first bytes show the caller that it is connected, even if there is no event yet.
    await writer.send(': the journal follows\n\n');
    while (!end.aborted || sent > 0) {
      if (sent === 0 && group.head <= cursor) {
        const moved = await this.#waitBeyond(group, cursor, end);
        if (!moved && !end.aborted) await writer.send(': nothing new\n\n');
        continue;
      }
      const next = await this.#piece(group.ledger, cursor, sent, page?.deref());
      page = next?.page;
      if (next === null) {
        // Without the rest of its page, the stream would end in the middle of an event.
        if (end.aborted) return;
        await sleep(RETRY_MS, null, { signal: end }).catch(() => {});
      } else if (!end.aborted || sent > 0) {
        await writer.send(next.piece);
        sent = next.isLast ? 0 : sent + 1;
        if (next.isLast) {
          cursor = next.cursor;
          page = undefined;
        }
      }
    }
  }

  /** A piece of a page, and where the next page begins; null if the database cannot be read at the moment. */
  async #piece(
    ledger: Ledger,
    after: bigint,
    index: number,
    known: Page | undefined,
  ): Promise<{ page: WeakRef<Page>; piece: Buffer; isLast: boolean; cursor: bigint } | null> {
    try {
      const page = known ?? (await this.#page(ledger, after));
      const piece = page.pieces[index];
      if (piece === undefined) throw new DamagedBooksError(`The journal after row ${after} has changed.`);
      return { page: new WeakRef(page), piece, isLast: index === page.pieces.length - 1, cursor: page.next };
    } catch (error) {
      if (retryPolicyOf(error) === 'never') throw error;
      return null;
    }
  }

  /**
   * Waits until the journal has more rows, or until a keep-alive or the end is due. Returns whether it has more rows.
   */
  async #waitBeyond(group: Group, number: bigint, end: AbortSignal): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const wake = () => resolve();
    const timer = setTimeout(wake, KEEP_ALIVE_MS);
    group.waiters.add(wake);
    end.addEventListener('abort', wake, { once: true });
    await promise;
    clearTimeout(timer);
    group.waiters.delete(wake);
    end.removeEventListener('abort', wake);
    return group.head > number;
  }

  async #page(ledger: Ledger, after: bigint): Promise<Page> {
    const key = `${ledger.id} ${after}`;
    const page = this.#pages.get(key) ?? this.#loadPage(ledger, after);
    this.#pages.delete(key);
    this.#pages.set(key, page);
    try {
      const { bytes } = await page;
      if (this.#pages.get(key) === page) this.#pageBytes.set(key, bytes);
      this.#forgetPages();
      return await page;
    } catch (error) {
      this.#pages.delete(key);
      throw error;
    }
  }

  /** Drops the least recently used pages until the bounds are met, but not the last one. */
  #forgetPages(): void {
    let bytes = this.#pageBytes.values().reduce((sum, each) => sum + each, 0);
    for (const key of this.#pages.keys()) {
      if (this.#pages.size === 1 || (this.#pages.size <= PAGES_KEPT && bytes <= PAGES_BYTES_MAX)) return;
      bytes -= this.#pageBytes.get(key) ?? 0;
      this.#pages.delete(key);
      this.#pageBytes.delete(key);
    }
  }

  async #loadPage(ledger: Ledger, after: bigint): Promise<Page> {
    const events = await this.load(ledger, after, PAGE_ROWS_MAX);
    const last = events.at(-1);
    if (last === undefined)
      throw new DamagedBooksError(`The journal's head is beyond row ${after}, but there are no such rows.`);
    const all = Buffer.from(events.map(renderServerSentEvent).join(''));
    const pieces: Buffer[] = [];
    for (let start = 0; start < all.length; start += PIECE_BYTES) {
      const piece = Buffer.allocUnsafeSlow(Math.min(PIECE_BYTES, all.length - start));
      all.copy(piece, 0, start);
      pieces.push(piece);
    }
    return { pieces, bytes: all.length, next: last.journalNumber };
  }

  async #poll(): Promise<void> {
    let isAway = false;
    while (this.#groups.size > 0 && !this.#stopped) {
      try {
        const numbers = await loadJournalNumbers(this.#pool, [...this.#groups.keys()]);
        for (const [id, number] of numbers) this.advance({ id }, number);
        isAway = false;
      } catch (error) {
        if (!isAway) this.#logger.warn({ reason: toError(error).message }, 'feed poll failed');
        isAway = true;
      }
      await sleep(POLL_MS);
    }
    this.#polling = null;
    this.#pages.clear();
    this.#pageBytes.clear();
  }
}

function renderServerSentEvent(event: FeedEvent): string {
  return `id: ${event.journalNumber}\nevent: settled\ndata: ${JSON.stringify(renderEvent(event))}\n\n`;
}
