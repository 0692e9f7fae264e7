// The result of a load test as JSON, and its schema: what --output writes, and what a comparison reads.
import { z } from 'zod';
import type { Row } from './series.ts';
import type { Percentiles, Summary } from './tally.ts';

const count = z.int().nonnegative();
const ms = z.number().nonnegative();

const spread = z
  .object({ p50: ms, p90: ms, p99: ms, max: ms })
  .nullable()
  .describe('Milliseconds; null where nothing was measured. Percentiles are at most 2 % too high.');

const percentiles = z
  .object({ mean: ms, p50: ms, p90: ms, p99: ms, p999: ms, max: ms })
  .nullable()
  .describe('Milliseconds, from the intended start of the request; null where nothing was measured.');

const answers = z.record(z.string(), count);

export const intervalForm = z.object({
  second: z.number().describe('When the interval begins, in seconds after the beginning of the load.'),
  wanted: z.number().nullable().describe('The load that the stages wanted, in `unit`; null after their end.'),
  offered: count.describe('Transfers that were due in the interval.'),
  sent: count.describe('Transfers that were sent in the interval, also those that were due before.'),
  accepted: count.describe('Transfers that were answered 200 or 202 in the interval.'),
  refused: count.describe('Transfers that were answered 429.'),
  failed: count.describe('Transfers that got another answer, or none.'),
  settled: count.describe('Transfers that were seen to be final in the interval.'),
  in_flight: count.describe('Transfers without an answer at the end of the interval.'),
  answers: answers.describe('Transfers by status (accepted) or by the code of the problem or the network error.'),
  accept_ms: spread.describe(
    'From the intended start to the answer, of accepted requests that were due in the interval.',
  ),
  final_ms: spread.describe('From the intended start to the final transfer, of those that were due in the interval.'),
});

export const resultForm = z.object({
  format: z.literal('gopherpay-load/1'),
  measured_at: z.iso.datetime().describe('When the load began.'),
  command: z.string().describe('The command, without its key.'),
  target: z.object({ url: z.string(), ledger: z.string(), version: z.string().nullable() }),
  generator: z.object({ version: z.string(), node: z.string(), platform: z.string(), processors: z.string() }),
  unit: z.enum(['requests_per_second', 'connections']).describe('Of what the stages have.'),
  stages: z.array(z.object({ seconds: z.number().positive(), from: z.number(), to: z.number() })).min(1),
  connections: count,
  accounts: count,
  skew: z.number(),
  bulk: count.describe('Transfers per request.'),
  wait: z.boolean(),
  seed: count,
  prefix: z.string().describe('How the numbers of the accounts of the test begin.'),
  interrupted: z.boolean(),
  seconds: z.number().describe('How long requests were sent and answered.'),
  offered: count,
  accepted: count,
  refused: count,
  failed: count,
  settled: count,
  settled_as_failed: count.describe('Of `settled`, those that are final because they failed.'),
  accepted_per_second: z.number(),
  settled_per_second: z.number(),
  accept_ms: percentiles,
  refuse_ms: percentiles,
  final_ms: percentiles,
  errors: answers.describe('Requests by the code of their problem, or of the network error.'),
  unbalanced: z
    .array(z.string())
    .nullable()
    .describe('Currencies whose balances do not sum to zero after the test; null if they could not be read.'),
  swept: count.describe('What was moved back to @external, in minor units.'),
  left: z.array(z.string()).describe('Accounts that may still be open or have money.'),
  interval_seconds: z.int().positive(),
  series: z.array(intervalForm),
});

export type LoadResult = z.output<typeof resultForm>;
export type LoadInterval = z.output<typeof intervalForm>;

/** The parts of the result that were counted. */
export function renderSummary(summary: Summary) {
  const { seconds, offered, accepted, refused, failed, settled, errors } = summary;
  return {
    seconds,
    offered,
    accepted,
    refused,
    failed,
    settled,
    settled_as_failed: summary.settledAsFailed,
    accepted_per_second: summary.acceptedPerSecond,
    settled_per_second: summary.settledPerSecond,
    accept_ms: summary.acceptMs,
    refuse_ms: summary.refuseMs,
    final_ms: summary.finalMs,
    errors: { ...errors },
  } satisfies Partial<Record<keyof LoadResult, Percentiles | number | object>>;
}

export function renderRow({ inFlight, acceptMs, finalMs, answers, ...row }: Row): LoadInterval {
  return { ...row, in_flight: inFlight, answers: { ...answers }, accept_ms: acceptMs, final_ms: finalMs };
}
