// Follows the feed as a caller does: reads Server-Sent Events from a connection of its own, and checks their form.
import assert from 'node:assert/strict';
import { request as send } from 'undici';
import { z } from 'zod';
import { EVENT_TYPES } from '../../src/domain/event.ts';
import { onEnd, type Scope } from '../support/cleanup.ts';

const feedTransfer = z.looseObject({
  type: z.enum(EVENT_TYPES),
  id: z.uuid(),
  status: z.enum(['completed', 'failed']),
  failure_code: z.string().nullable(),
  from_account: z.string(),
  to_account: z.string(),
  amount: z.int().nullable(),
  journal_number: z.int(),
  from_entry_number: z.int().nullable(),
  to_entry_number: z.int().nullable(),
});

const feedEvent = z.strictObject({
  object: z.literal('event'),
  ledger: z.string(),
  journal_number: z.int(),
  settled_at: z.iso.datetime(),
  hash: z.hash('sha256'),
  previous_hash: z.hash('sha256'),
  digest: z.hash('sha256'),
  transfer_count: z.int(),
  change_count: z.int(),
  transfers: z.array(feedTransfer),
  account_changes: z.array(
    z.strictObject({
      type: z.enum(EVENT_TYPES),
      account_number: z.string(),
      currency: z.string(),
      change_number: z.int(),
    }),
  ),
});

export const eventPage = z.strictObject({ object: z.literal('list'), items: z.array(feedEvent), next: z.int() });

export type FeedEvent = z.infer<typeof feedEvent>;

export type Follower = {
  readonly events: FeedEvent[];
  /** The number of the last event, or the requested one if there is none yet. */
  last: () => number;
  headers: () => Record<string, string | string[] | undefined>;
  /** Whether the service has started to answer. */
  isOpen: () => boolean;
  /** Settles when the stream has ended: with true if the service ended it in good order, with false if it broke. */
  ended: Promise<boolean>;
  /** Hangs up. */
  leave: () => Promise<void>;
};

/** Follows the feed of a ledger (main) until the scope ends. A form that is not that of an event rejects `ended`. */
export function follow(
  scope: Scope,
  service: { url: string },
  from: { after: number; lastEventId?: number; ledger?: string; query?: string },
): Follower {
  const events: FeedEvent[] = [];
  const hangUp = new AbortController();
  let headers: Record<string, string | string[] | undefined> = {};
  let text = '';
  const read = async (): Promise<boolean> => {
    const prefix = from.ledger === undefined ? '' : `/ledgers/${from.ledger}`;
    const answer = await send(new URL(`${prefix}/events?after=${from.after}&${from.query ?? ''}`, service.url), {
      signal: hangUp.signal,
      headers: {
        accept: 'text/event-stream',
        ...(from.lastEventId === undefined ? {} : { 'last-event-id': String(from.lastEventId) }),
      },
    });
    headers = answer.headers;
    answer.body.setEncoding('utf8');
    if (answer.statusCode !== 200) throw new Error(`/events was answered with ${answer.statusCode}.`);
    for await (const chunk of answer.body) {
      text += String(chunk);
      for (let end = text.indexOf('\n\n'); end !== -1; end = text.indexOf('\n\n')) {
        const event = parseEvent(text.slice(0, end));
        text = text.slice(end + 2);
        if (event) events.push(event);
      }
    }
    return text === '';
  };
  const ended = read().catch((error: unknown) => {
    if (error instanceof assert.AssertionError || error instanceof z.ZodError) throw error;
    return false;
  });
  // The rejection is for callers that await `ended`; it must not be unhandled.
  ended.catch(() => {});
  const leave = async (): Promise<void> => {
    hangUp.abort();
    await ended;
  };
  onEnd(scope, leave);
  return {
    events,
    last: () => events.at(-1)?.journal_number ?? from.lastEventId ?? from.after,
    headers: () => headers,
    isOpen: () => Object.keys(headers).length > 0,
    ended,
    leave,
  };
}

/** One block of the stream: an event, or null for a comment. */
function parseEvent(block: string): FeedEvent | null {
  if (block.startsWith(':')) return null;
  const [id, name, data, ...rest] = block.split('\n');
  assert.deepEqual([name, rest], ['event: settled', []], block);
  const event = feedEvent.parse(JSON.parse(data?.replace(/^data: /, '') ?? ''));
  assert.equal(id, `id: ${event.journal_number}`);
  return event;
}
