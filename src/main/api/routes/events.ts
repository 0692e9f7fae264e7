// The handler of the feed: settled transfers in commit order, as pages or as Server-Sent Events.
import type { IncomingHttpHeaders } from 'node:http';
import type { EventFilter } from '../../../domain/event.ts';
import type { Ledger } from '../../../domain/ledger.ts';
import { chooseType } from '../../http/negotiate.ts';
import { eventsSchema } from '../event-schemas.ts';
import type { Feed } from '../feed.ts';
import { Problem } from '../../http/problem.ts';
import type { Reads } from '../reads.ts';
import { type Answer, defineRoute, NO_BODY, type Route } from '../route.ts';
import type { StreamSlots } from '../../http/stream.ts';
import { renderItems, renderPage } from '../pages.ts';
import { renderEvent } from '../views.ts';

type FeedParts = {
  feed: Feed;
  streams: StreamSlots;
  /** For pages only: followers share the pages that they read. */
  pages: Reads;
};

export function eventRoutes(parts: FeedParts): Route[] {
  return [
    defineRoute({
      operationId: 'listEvents',
      tag: 'Events',
      method: 'GET',
      pattern: '/events',
      wholeLedger: true,
      scope: 'events:read',
      summary: 'Settled transfers and changed accounts, in commit order; live with Accept: text/event-stream',
      query: eventsSchema,
      body: NO_BODY,
      answers: { 200: 'EventPage' },
      problems: ['too_many_streams'],
      async handle({ ledger, headers, query, caller }) {
        const type = chooseType(headers.accept, ['application/json', 'text/event-stream']);
        const filter = { types: query.types ?? null, account: query.account ?? null, kind: query.kind ?? null };
        const resumed = type === 'application/json' ? null : parseLastEventId(headers);
        const after = resumed ?? (await parseAfter(parts, query.after, { ledger, caller }));
        return type === 'application/json'
          ? await parts.pages.run(caller, () => showEvents(parts, ledger, { after, limit: query.limit, filter }))
          : await followEvents(parts, { ledger, caller, filter }, after);
      },
    }),
  ];
}

async function parseAfter(
  { feed, pages }: FeedParts,
  after: string,
  { ledger, caller }: { ledger: Ledger; caller: string },
): Promise<bigint> {
  return after === 'end' ? await pages.run(caller, () => feed.end(ledger)) : BigInt(after);
}

async function showEvents(
  { feed }: FeedParts,
  ledger: Ledger,
  { after, limit, filter }: { after: bigint; limit: number; filter: EventFilter },
): Promise<Answer> {
  const page = await feed.load(ledger, after, limit, filter);
  if (page.next === after) await refuseBeyondEnd(feed, ledger, after);
  const items = renderItems(page.events, limit, renderEvent);
  // A page that is cut off at its bytes ends with its last event, and not with the last row that was read.
  const last = items.length < page.events.length ? page.events[items.length - 1]?.journalNumber : undefined;
  const next = last ?? page.next;
  return { status: 200, ...renderPage(items, Number(next)) };
}

async function followEvents(
  { feed, streams, pages }: FeedParts,
  { ledger, caller, filter }: { ledger: Ledger; caller: string; filter: EventFilter },
  after: bigint,
): Promise<Answer> {
  await pages.run(caller, () => refuseBeyondEnd(feed, ledger, after));
  const release = streams.take(caller);
  return {
    status: 200,
    headers: {
      'Cache-Control': 'no-store',
      // nginx would buffer events until its buffer is full.
      'X-Accel-Buffering': 'no',
      // The connection ends with the stream, so that an idle one does not delay the stop of the service.
      Connection: 'close',
    },
    stream: {
      contentType: 'text/event-stream',
      async write(writer) {
        try {
          await feed.follow(ledger, after, filter, writer);
        } finally {
          release();
        }
      },
    },
  };
}

/** A reader that is ahead of the journal has the cursor of another journal, and would silently miss events. */
async function refuseBeyondEnd(feed: Feed, ledger: Ledger, after: bigint): Promise<void> {
  const end = await feed.end(ledger);
  if (after > end) throw new Problem('invalid_request', `The journal ends at row ${end}, which is before ${after}.`);
}

/** The last event that a reader of Server-Sent Events has received, sent when it reconnects. It outranks `after`. */
function parseLastEventId(headers: IncomingHttpHeaders): bigint | null {
  const id = headers['last-event-id'];
  if (id === undefined || id === '') return null;
  if (typeof id !== 'string' || !/^\d{1,15}$/.test(id)) {
    throw new Problem('invalid_request', '`Last-Event-ID` must be the id of an event.');
  }
  return BigInt(id);
}
