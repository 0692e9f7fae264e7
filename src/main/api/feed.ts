// The live feed of each ledger. The followers of a ledger share the pages they read. One poll reads the ends of the
// journals of all ledgers that are followed, and runs only while there are followers. Each follower has a cursor of its
// own, so no transfer is missed or sent twice.
import { setTimeout as sleep } from 'node:timers/promises';
import type { ConnectionPool } from '../../db/connection/connect.ts';
import { DamagedBooksError, retryPolicyOf, toError } from '../../db/connection/errors.ts';
import { type FeedEvent, loadEvents, loadJournalNumber, loadJournalNumbers } from '../../db/queries/feed.ts';
import { type EventFilter, isUnfiltered, wantsChange, wantsTransfer } from '../../domain/event.ts';
import type { Ledger } from '../../domain/ledger.ts';
import type { Logger } from '../../logger.ts';
import type { StreamWriter } from '../http/stream.ts';
import { renderEvent } from './views.ts';

/**
 * A page is read and rendered at once, so its rows and their transfers are bounded. One job may have more transfers.
 */
const PAGE_RECORDS_MAX = 128;
const PAGE_ROWS_MAX = 100;
/** How many such pages are read for one page of a filtered feed, while none of their events passes the filter. */
const SCANNED_PAGES_MAX = 16;
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
type Page = {
  readonly pieces: readonly Buffer[];
  readonly bytes: number;
  readonly next: bigint;
  /** The last event of the page; null if the filter left none. */
  readonly lastEvent: bigint | null;
};
type Source = { readonly ledger: Ledger; readonly filter: EventFilter };
type Piece = Pick<Page, 'lastEvent'> & {
  readonly page: WeakRef<Page>;
  /** Null if the page has no event. */
  readonly piece: Buffer | null;
  readonly isLast: boolean;
  readonly cursor: bigint;
};
/** Events that pass a filter, and the last row that was read for them. */
export type FilteredEvents = { readonly events: readonly FeedEvent[]; readonly next: bigint };
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
  readonly #keepAliveMs: number;
  /** By the ids of their ledgers. */
  readonly #groups = new Map<number, Group>();
  /** Pages by their ledger, their filter and the journal number that they follow, least recently used first. */
  readonly #pages = new Map<string, Promise<Page>>();
  readonly #pageBytes = new Map<string, number>();
  #polling: Promise<void> | null = null;
  #stopped = false;

  /**
   * The pool is for the feed alone, so that it and other reads do not delay each other. `lingerTimeoutMs`: how long a
   * stalled follower may delay the stop.
   */
  constructor(options: { pool: ConnectionPool; logger: Logger; lingerTimeoutMs: number; keepAliveMs?: number }) {
    this.#pool = options.pool;
    this.#logger = options.logger;
    this.#lingerTimeoutMs = options.lingerTimeoutMs;
    this.#keepAliveMs = options.keepAliveMs ?? KEEP_ALIVE_MS;
  }

  /**
   * A page of a ledger's events after a number, without what the filter leaves out. Rows of the journal of which nothing
   * is left are skipped, and `next` is behind them: a page may be empty before the end of the journal.
   */
  async load(ledger: Ledger, after: bigint, rowsMax: number, filter: EventFilter): Promise<FilteredEvents> {
    const bounds = { rowsMax: isUnfiltered(filter) ? rowsMax : PAGE_ROWS_MAX, recordsMax: PAGE_RECORDS_MAX };
    let next = after;
    for (let scanned = 0; scanned < SCANNED_PAGES_MAX; scanned += 1) {
      const rows = await loadEvents(this.#pool, ledger, next, bounds);
      next = rows.at(-1)?.journalNumber ?? next;
      const events = applyFilter(rows, filter);
      const cut = events[rowsMax];
      // Where the page is full, the next one begins behind its last event.
      if (cut) return { events: events.slice(0, rowsMax), next: events[rowsMax - 1]?.journalNumber ?? next };
      if (events.length > 0 || rows.length === 0) return { events, next };
    }
    return { events: [], next };
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
   * Sends the events of a ledger after a number that pass the filter, and those to come, as Server-Sent Events, until the
   * caller leaves or the service stops.
   */
  async follow(ledger: Ledger, after: bigint, filter: EventFilter, writer: StreamWriter): Promise<void> {
    const end = new AbortController();
    const leave = () => end.abort();
    writer.gone.addEventListener('abort', leave, { once: true });
    if (writer.gone.aborted || this.#stopped) leave();
    const follower = { end, writer };
    const group = this.#join(ledger, follower);
    try {
      await this.#send(group, { after, filter }, writer, end.signal);
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

  async #send(
    group: Group,
    { after, filter }: { after: bigint; filter: EventFilter },
    writer: StreamWriter,
    end: AbortSignal,
  ): Promise<void> {
    let cursor = after;
    /** The last id that the follower received, and when. The cursor is ahead of it where the filter skips rows. */
    let told = { id: after, at: performance.now() };
    /** How many pieces of the page after the cursor were sent. A slow follower must not keep the page in memory. */
    let sent = 0;
    let page: WeakRef<Page> | undefined;
    // The first bytes show the caller that it is connected, even if there is no event yet.
    await writer.send(': the journal follows\n\n');
    while (!end.aborted || sent > 0) {
      if (sent === 0 && cursor > told.id && performance.now() - told.at >= this.#keepAliveMs) {
        await writer.send(renderCursor(cursor));
        told = { id: cursor, at: performance.now() };
      }
      if (sent === 0 && group.head <= cursor) {
        const moved = await this.#waitBeyond(group, cursor, end);
        if (!moved && !end.aborted && cursor === told.id) await writer.send(': nothing new\n\n');
        continue;
      }
      const next = await this.#piece({ ledger: group.ledger, filter }, cursor, sent, page?.deref());
      page = next?.page;
      if (next === null) {
        // Without the rest of its page, the stream would end in the middle of an event.
        if (end.aborted) return;
        await sleep(RETRY_MS, null, { signal: end }).catch(() => {});
      } else if (!end.aborted || sent > 0) {
        if (next.piece) await writer.send(next.piece);
        sent = next.isLast ? 0 : sent + 1;
        if (next.isLast) {
          cursor = next.cursor;
          if (next.lastEvent !== null) told = { id: next.lastEvent, at: performance.now() };
          page = undefined;
        }
      }
    }
  }

  /** A piece of a page, and where the next page begins; null if the database cannot be read at the moment. */
  async #piece(source: Source, after: bigint, index: number, known: Page | undefined): Promise<Piece | null> {
    try {
      const page = known ?? (await this.#page(source, after));
      const piece = page.pieces[index] ?? null;
      if (piece === null && (index > 0 || page.lastEvent !== null)) {
        throw new DamagedBooksError(`The journal after row ${after} has changed.`);
      }
      const isLast = index >= page.pieces.length - 1;
      return { page: new WeakRef(page), piece, isLast, cursor: page.next, lastEvent: page.lastEvent };
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
    const timer = setTimeout(wake, this.#keepAliveMs);
    group.waiters.add(wake);
    end.addEventListener('abort', wake, { once: true });
    await promise;
    clearTimeout(timer);
    group.waiters.delete(wake);
    end.removeEventListener('abort', wake);
    return group.head > number;
  }

  async #page({ ledger, filter }: Source, after: bigint): Promise<Page> {
    const key = JSON.stringify([ledger.id, filter, String(after)]);
    const page = this.#pages.get(key) ?? this.#loadPage({ ledger, filter }, after);
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

  async #loadPage({ ledger, filter }: Source, after: bigint): Promise<Page> {
    const { events, next } = await this.load(ledger, after, PAGE_ROWS_MAX, filter);
    if (next === after)
      throw new DamagedBooksError(`The journal's head is beyond row ${after}, but there are no such rows.`);
    const all = Buffer.from(events.map(renderServerSentEvent).join(''));
    const pieces: Buffer[] = [];
    for (let start = 0; start < all.length; start += PIECE_BYTES) {
      const piece = Buffer.allocUnsafeSlow(Math.min(PIECE_BYTES, all.length - start));
      all.copy(piece, 0, start);
      pieces.push(piece);
    }
    return { pieces, bytes: all.length, next, lastEvent: events.at(-1)?.journalNumber ?? null };
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

/** Moves the cursor of a reader behind rows that its filter skipped, so that it need not have them read again. */
function renderCursor(number: bigint): string {
  return `id: ${number}\nevent: cursor\ndata: {"next":${number}}\n\n`;
}

function applyFilter(events: readonly FeedEvent[], filter: EventFilter): readonly FeedEvent[] {
  if (isUnfiltered(filter)) return events;
  return events
    .map((event) => ({
      ...event,
      transfers: event.transfers.filter((transfer) => wantsTransfer(filter, transfer)),
      accountChanges: event.accountChanges.filter((change) => wantsChange(filter, change)),
    }))
    .filter(({ transfers, accountChanges }) => transfers.length + accountChanges.length > 0);
}
