// The answers about the caller and about the process.
import { z } from 'zod';
import { type Principal, SCOPES } from '../../domain/access.ts';
import { instant } from '../../render/json.ts';
import { VERSION } from '../../version.ts';
import type { MetricsSnapshot } from '../engine/metric-totals.ts';

const accessView = z.object({
  object: z.literal('access'),
  key: z.string().nullable().describe('The id of the key, or the subject of the token; null: the service has no keys.'),
  ledger: z.string().nullable().describe('The ledger to which the key belongs; null: it may use all.'),
  scopes: z.array(z.enum(SCOPES)),
  account_prefix: z.string().nullable().describe('What the numbers of its accounts begin with; null: it may use all.'),
  version: z.string().describe('The version of the service.'),
});

export function renderAccess({ id, ledger, scopes, limits }: Principal): z.input<typeof accessView> {
  return {
    object: 'access',
    key: id,
    ledger,
    scopes: SCOPES.filter((scope) => scopes.has(scope)),
    account_prefix: limits.accountPrefix,
    version: VERSION,
  };
}

const activityView = z.object({
  object: z.literal('activity'),
  process: z.uuid().describe('Names the process. Compare totals only if it is the same.'),
  at: instant,
  uptime_seconds: z.number(),
  queue: z.object({
    transfers: z.int().describe('Transfers that are admitted and not yet final.'),
    transfers_max: z.int(),
    bytes: z.int().describe('Their text.'),
    bytes_max: z.int(),
  }),
  totals: z
    .object({
      requests: z.int(),
      settled: z.int().describe('Transfers that became final.'),
      refused: z.int().describe('Requests that were answered 429.'),
    })
    .describe('Since the process started.'),
  settle_seconds: z
    .array(z.object({ le: z.number().nullable().describe('In seconds; null: no bound.'), count: z.int() }))
    .describe('How many transfers became final within each bound, from accepted to final, since the process started.'),
});

export function renderActivity(
  process: string,
  { requests, settled, refused, queue, settleTimes }: MetricsSnapshot,
): z.input<typeof activityView> {
  return {
    object: 'activity',
    process,
    at: new Date().toISOString(),
    uptime_seconds: performance.now() / 1000,
    queue: {
      transfers: queue.transfers,
      transfers_max: queue.transfersMax,
      bytes: queue.bytes,
      bytes_max: queue.bytesMax,
    },
    totals: { requests, settled, refused },
    settle_seconds: [
      ...settleTimes.boundsSeconds.map((le, index) => ({ le, count: settleTimes.counts[index] ?? 0 })),
      { le: null, count: settleTimes.count },
    ],
  };
}

export const ACCESS_VIEWS = { Access: accessView, Activity: activityView };
