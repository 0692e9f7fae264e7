// Follows the feed of the shown ledger for a page: the newest transfers, and what is settled each second.
//
//   connecting ─▶ following ─▶ flood ──▶ connecting, once it is calm
//     │    ▲          │
//     │    └──────────┘ the stream broke off, or is behind
//     └─▶ refused ──▶ connecting, after a while
//
// In `flood` and `refused` the page reads once a second instead, and with a key that may not read events it always does.
// It is in none of these states while the tab is hidden: a stream that shows nothing would be missing elsewhere.
import { useEffect, useMemo, useState } from 'preact/hooks';
import { type Api, ApiError } from './api.ts';
import { type FeedFigures, newestOf, RateLimit, Tally } from './feed-figures.ts';
import { useSession } from './session.ts';
import type { JournalEvent, JournalRow, Page, Transfer } from './wire.ts';

/** Beyond it the page reads figures instead of transfers; decision 43 has what both cost the service. */
export const FLOOD_PER_SECOND = 1000;
const NEWEST_MAX = 10;
/** A person cannot read more often, and a reading of figures is for one second too. */
const SHOW_MS = 1000;
const READ_MS = 1000;
const RETRY_MS = 2000;
/** How long a refused page leaves the streams to others. */
const REFUSED_MS = 30_000;
/** A page that has not reached the end of the journal after this time skips to the present one. */
const BEHIND_MS = 5000;
/** A flood is over after so many readings of less than half of its rate. */
const CALM_READINGS = 5;
const ROWS_MAX = 1000;

export type FeedState = 'connecting' | 'following' | 'flood' | 'refused' | 'not_allowed';

export type FeedView = {
  readonly state: FeedState;
  /** The newest first; null before the first reading. */
  readonly newest: readonly Transfer[] | null;
  readonly error: ApiError | null;
};

export type Feed = FeedView & {
  /** What was settled since the last call. Null: the key may not read it. */
  readonly takeFigures: () => FeedFigures | null;
};

type Scopes = { readonly mayFollow: boolean; readonly mayList: boolean };

export function useFeed(): Feed {
  const { api, ledger, access, may } = useSession();
  const mayFollow = may('events:read') && access.account_prefix === null;
  const mayList = may('transfers:read');
  const [view, setView] = useState<FeedView>({ state: 'connecting', newest: null, error: null });
  const tally = useMemo(() => new Tally(), [api, ledger]);
  useEffect(() => {
    let follower: Follower | null = null;
    // What was shown before the tab was hidden stays until it is read again.
    const onView = (view: FeedView): void => setView(({ newest }) => ({ ...view, newest: view.newest ?? newest }));
    const turn = (): void => {
      follower?.stop();
      follower = document.hidden ? null : new Follower({ api, ledger, tally, mayFollow, mayList, onView });
      void follower?.run();
    };
    turn();
    document.addEventListener('visibilitychange', turn);
    return () => {
      document.removeEventListener('visibilitychange', turn);
      follower?.stop();
    };
  }, [api, ledger, tally, mayFollow, mayList]);
  const takeFigures = useMemo(() => () => (mayFollow ? tally.take(performance.now()) : null), [tally, mayFollow]);
  return { ...view, takeFigures };
}

/** How a stream ended. */
type End = 'broken' | 'flood' | 'refused';

class Follower {
  readonly #api: Api;
  readonly #ledger: string;
  readonly #tally: Tally;
  readonly #scopes: Scopes;
  readonly #onView: (view: FeedView) => void;
  readonly #abort = new AbortController();
  /** The last row of the journal that was read. Null: begin at the present end. */
  #cursor: number | null = null;
  #view: FeedView = { state: 'connecting', newest: null, error: null };
  #shownAt = -SHOW_MS;
  #showing: ReturnType<typeof setTimeout> | undefined;

  constructor({
    api,
    ledger,
    tally,
    onView,
    ...scopes
  }: Scopes & { api: Api; ledger: string; tally: Tally; onView: (view: FeedView) => void }) {
    this.#api = api;
    this.#ledger = ledger;
    this.#tally = tally;
    this.#scopes = scopes;
    this.#onView = onView;
  }

  get #signal(): AbortSignal {
    return this.#abort.signal;
  }

  stop(): void {
    this.#abort.abort();
    this.#tally.close();
    clearTimeout(this.#showing);
  }

  /** Runs until it is stopped. */
  async run(): Promise<void> {
    if (!this.#scopes.mayFollow) return await this.#poll('not_allowed');
    while (!this.#signal.aborted) {
      const end = await this.#follow();
      if (this.#signal.aborted) return;
      this.#tally.close();
      if (end === 'broken') await this.#pause(RETRY_MS);
      else await this.#poll(end);
      this.#show({ state: 'connecting' });
    }
  }

  /** Reads the stream until it ends, or has to be ended. */
  async #follow(): Promise<End> {
    const stream = new AbortController();
    const signal = AbortSignal.any([this.#signal, stream.signal]);
    try {
      const isResumed = this.#cursor !== null;
      const after = (this.#cursor ??= await this.#readEnd(signal));
      const limit = new RateLimit(FLOOD_PER_SECOND, performance.now());
      for await (const messages of this.#api.events('/events', { ledger: this.#ledger, query: { after }, signal })) {
        if (this.#view.state !== 'following') this.#begin(isResumed, stream);
        const events = messages.map(toEvent);
        for (const event of events) this.#add(event);
        const count = events.reduce((sum, { transfers }) => sum + transfers.length, 0);
        if (!limit.admits(count, performance.now())) return 'flood';
      }
      return 'broken';
    } catch (error) {
      return signal.aborted ? 'broken' : this.#endOf(error);
    } finally {
      stream.abort();
    }
  }

  #endOf(error: unknown): End {
    if (!(error instanceof ApiError)) throw error;
    if (error.code === 'too_many_streams') return 'refused';
    if (error.code === 'event_too_large') return 'flood';
    // The journal ends before the cursor: it is another one, such as that of a backup.
    if (error.status === 400) this.#cursor = null;
    this.#show({ error });
    return 'broken';
  }

  /** The stream has begun. What was accepted before it is listed once. */
  #begin(isResumed: boolean, stream: AbortController): void {
    this.#tally.open(performance.now(), isResumed);
    this.#show({ state: 'following', error: null });
    this.#list().catch((error: unknown) => {
      if (error instanceof ApiError) this.#show({ error });
    });
    void this.#watchEnd(stream);
  }

  #add(event: JournalEvent): void {
    this.#cursor = event.journal_number;
    this.#tally.add(event);
    this.#showSoon({ newest: newestOf(event.transfers, this.#view.newest ?? [], NEWEST_MAX) });
  }

  /**
   * Ends a stream that does not reach the end of the journal, because the page, the network or the service is slow, and
   * one whose connection is dead.
   */
  async #watchEnd(stream: AbortController): Promise<void> {
    const signal = AbortSignal.any([this.#signal, stream.signal]);
    for (let end = 0; !signal.aborted;) {
      await this.#pause(BEHIND_MS, signal);
      if (this.#cursor !== null && this.#cursor < end) {
        this.#cursor = null;
        stream.abort();
      }
      if (signal.aborted) return;
      end = await this.#readEnd(signal).catch((error: unknown) => {
        if (error instanceof ApiError && error.status === 0) stream.abort();
        // The service is busy.
        return 0;
      });
    }
  }

  /** Reads once a second, until following the feed may work again. */
  async #poll(state: 'flood' | 'refused' | 'not_allowed'): Promise<void> {
    this.#show({ state });
    const startedAt = performance.now();
    const readRate = this.#rateReader();
    for (let calm = 0; !this.#signal.aborted;) {
      try {
        const rate = state === 'not_allowed' ? null : await readRate();
        this.#tally.setRate(rate);
        calm = rate !== null && rate < FLOOD_PER_SECOND / 2 ? calm + 1 : 0;
        await this.#list();
        this.#show({ error: null });
      } catch (error) {
        if (error instanceof ApiError) this.#show({ error });
      }
      await this.#pause(READ_MS);
      if (state === 'flood' && calm >= CALM_READINGS) return;
      if (state === 'refused' && performance.now() - startedAt >= REFUSED_MS) return;
    }
  }

  /** Reads how many transfers were settled a second, from rows of the journal alone. Null: not known yet. */
  #rateReader(): () => Promise<number | null> {
    let readAt: number | null = null;
    return async () => {
      const now = performance.now();
      const since = readAt;
      readAt = now;
      if (this.#cursor === null || since === null) {
        this.#cursor = await this.#readEnd(this.#signal);
        return null;
      }
      const { items, next } = await this.#api.get<Page<JournalRow>>('/journal', {
        ledger: this.#ledger,
        query: { order: 'oldest', limit: ROWS_MAX, after: this.#cursor },
        signal: this.#signal,
      });
      const transfers = items.reduce((sum, { transfer_count: count }) => sum + count, 0);
      // Where there are more rows, their number is not known. It goes on at the end.
      this.#cursor = next === null ? (items.at(-1)?.number ?? this.#cursor) : null;
      return (transfers * 1000) / (now - since);
    };
  }

  async #readEnd(signal: AbortSignal): Promise<number> {
    const query = { after: 'end', limit: 1 };
    const { next } = await this.#api.get<{ next: number }>('/events', { ledger: this.#ledger, query, signal });
    return next;
  }

  async #list(): Promise<void> {
    if (!this.#scopes.mayList) return;
    const query = { limit: NEWEST_MAX };
    const { items } = await this.#api.get<Page<Transfer>>('/transfers', {
      ledger: this.#ledger,
      query,
      signal: this.#signal,
    });
    this.#show({ newest: newestOf(settledOf(this.#view.newest), items, NEWEST_MAX) });
  }

  #show(change: Partial<FeedView>): void {
    this.#view = { ...this.#view, ...change };
    clearTimeout(this.#showing);
    this.#showing = undefined;
    this.#shownAt = performance.now();
    if (!this.#signal.aborted) this.#onView(this.#view);
  }

  /** As `show`, but what changes often is shown once a second. */
  #showSoon(change: Partial<FeedView>): void {
    this.#view = { ...this.#view, ...change };
    this.#showing ??= setTimeout(() => this.#show({}), Math.max(0, this.#shownAt + SHOW_MS - performance.now()));
  }

  async #pause(ms: number, signal = this.#signal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const end = (): void => resolve();
    const timer = setTimeout(end, ms);
    signal.addEventListener('abort', end);
    if (signal.aborted) end();
    await promise;
    clearTimeout(timer);
    signal.removeEventListener('abort', end);
  }
}

function toEvent(data: string): JournalEvent {
  return JSON.parse(data);
}

/** A listed transfer may be older than an event that arrived meanwhile, but never has a later state than a settled one. */
function settledOf(transfers: readonly Transfer[] | null): readonly Transfer[] {
  return (transfers ?? []).filter(({ status }) => status !== 'pending');
}
