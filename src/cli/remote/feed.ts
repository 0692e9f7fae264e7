// The feed of a running service, page by page: it ends at the last event, or is followed across lost connections.
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { CommandError, EXIT } from '../command.ts';
import { type Call, request, type Service } from './connection.ts';
import { notGopherPay, refusalOf } from './refusal.ts';

/** How long to wait at the end of the feed. */
const PAUSE_MS = 300;
const RECONNECT_PAUSE_MS = 1000;

const record = z.looseObject({ type: z.string() });
const pageSchema = z.object({
  items: z.array(
    z.looseObject({
      journal_number: z.int(),
      settled_at: z.string(),
      hash: z.string(),
      transfers: z.array(record),
      account_changes: z.array(record),
    }),
  ),
  next: z.int(),
});

export type FeedPage = z.output<typeof pageSchema>;
export type FeedEvent = FeedPage['items'][number];
export type FeedFilter = { readonly [Name in 'types' | 'account' | 'kind']?: string | undefined };

/** The options of the filter, for parseArguments and for citty. */
export const FILTER_OPTIONS = {
  types: z.string().min(1).optional(),
  account: z.string().min(1).optional(),
  kind: z.string().min(1).optional(),
};
export const FILTER_ARGUMENTS = {
  types: { type: 'string', description: 'Only these types, separated by commas', valueHint: 'transfer.completed' },
  account: { type: 'string', description: 'Only events of this account', valueHint: 'ACC1001' },
  kind: { type: 'string', description: 'Only transfers of this kind' },
} as const;

type Reading = { readonly service: Service; readonly filter: FeedFilter; readonly signal: AbortSignal };

/** A page of the feed after an event, a number or `end`. Throws the error that ends the command if it is refused. */
export async function readFeed({ service, filter, signal }: Reading, after: string, limit = 100): Promise<FeedPage> {
  const filters = Object.entries(filter).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]]));
  const query = { ...Object.fromEntries(filters), after, limit: String(limit) };
  const call: Call = { method: 'GET', path: '/events', query };
  const { json } = await request(service, call, { signal, refuse: (answer) => refusalOf(service, answer) });
  const { data } = pageSchema.safeParse(json);
  if (!data) throw notGopherPay(service, 'the feed has another form');
  return data;
}

/** The events after a number, and those to come. A service that is away for a while is awaited. */
export async function* followFeed(reading: Reading, start: number): AsyncGenerator<FeedEvent, void, undefined> {
  const { signal, service } = reading;
  let isLost = false;
  for (let after = start; ;) {
    const page = await readFeed(reading, String(after)).catch((error: unknown) => {
      if (error instanceof CommandError && error.exitCode === EXIT.outOfReach) return error;
      throw error;
    });
    if (page instanceof CommandError) {
      if (!isLost) process.stderr.write(`${page.message}\nThe events continue when it is back.\n`);
      isLost = true;
      await sleep(RECONNECT_PAUSE_MS, null, { signal });
      continue;
    }
    if (isLost) process.stderr.write(`The service at ${service.url} is back.\n`);
    isLost = false;
    yield* page.items;
    // A page of a filter may be empty before the end.
    if (page.next === after) await sleep(PAUSE_MS, null, { signal });
    after = page.next;
  }
}
