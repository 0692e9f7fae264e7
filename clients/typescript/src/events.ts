// The journal of a ledger: page by page, and as a feed that does not end.
import { dataOf } from './answers.ts';
import { Chain, follow, type FollowOptions, type Position } from './feed.ts';
import type { Http, RequestOptions } from './http.ts';
import { List } from './pages.ts';
import type { EventsQuery, JournalEvent } from './types.ts';

/** What the feed is to contain; everything by default. */
export type EventFilter = { readonly [Name in Exclude<keyof EventsQuery, 'after' | 'limit'>]?: EventsQuery[Name] };

export class Events {
  readonly #http: Http;

  constructor(http: Http) {
    this.#http = http;
  }

  /** The events up to now, in commit order. `after`: the number of the last event that the caller has. */
  list(query: EventsQuery = {}, options: RequestOptions = {}): List<JournalEvent> {
    return new List(async (after = query.after ?? '0') => {
      const { items, next } = await dataOf(
        this.#http.api.GET('/events', { ...this.#http.repeatable(options), params: { query: { ...query, after } } }),
      );
      // A filter may leave a page without events before the end. At the end `next` stays where it is.
      return { items, next: String(next) === after ? null : String(next) };
    });
  }

  /**
   * The events after a position and those to come, each once and in commit order. `after` is an event that was read
   * before, or its number; only with the event can the first one be verified to follow it.
   */
  follow(
    { after = 0, ...filter }: EventFilter & { readonly after?: Position | number } = {},
    options: FollowOptions = {},
  ): AsyncGenerator<JournalEvent, void, undefined> {
    const query = Object.entries<string | undefined>(filter).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, value]],
    );
    const path = query.length === 0 ? '/events' : `/events?${new URLSearchParams(query).toString()}`;
    const chain = new Chain(after, { filtered: query.length > 0, ledger: this.#http.ledger });
    return follow((number, signal) => this.#http.stream(path, number, signal), chain, options);
  }
}
