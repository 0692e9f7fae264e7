// The parsed options of a load test.
import { randomInt } from 'node:crypto';
import { z } from 'zod';
import { mustBe } from '../../validation.ts';
import { CONNECTIONS_MAX, type Plan, parseStages, RATE_MAX } from '../../load/stages.ts';
import { CommandError, EXIT } from '../command.ts';
import type { Service } from '../remote/connection.ts';
import { CONNECTION_OPTIONS } from '../remote/options.ts';

const DURATION_SECONDS = 10;
const CONNECTIONS = 64;

const number = (min: number, max: number) =>
  z.coerce
    .number({ error: mustBe(`a number from ${min} to ${max}`) })
    .min(min)
    .max(max);
const whole = (min: number, max: number) =>
  z.coerce
    .number({ error: mustBe(`a whole number from ${min} to ${max}`) })
    .int()
    .min(min)
    .max(max);

const stages = z.string().transform((text, context): Plan => {
  const plan = parseStages(text);
  if (typeof plan !== 'string') return plan;
  context.addIssue({ code: 'custom', message: plan });
  return z.NEVER;
});

export const OPTIONS = {
  ...CONNECTION_OPTIONS,
  yes: z.boolean().default(false),
  stages: stages.optional(),
  connections: whole(1, CONNECTIONS_MAX).optional(),
  rate: number(0.1, RATE_MAX).optional(),
  duration: number(1, 86_400).optional(),
  accounts: whole(2, 1_000_000).default(1000),
  skew: number(0, 5).default(0),
  bulk: whole(1, 1000).default(1),
  wait: z.boolean().default(false),
  json: z.boolean().default(false),
  output: z.string().min(1).optional(),
  report: z.string().min(1).optional(),
  seed: whole(0, 2 ** 32 - 1).default(() => randomInt(2 ** 32)),
  'max-p99-final-ms': number(0, 1e9).optional(),
  'min-settled-per-second': number(0, 1e9).optional(),
  'max-failed': whole(0, 1e9).optional(),
};

type Parsed = z.output<z.ZodObject<typeof OPTIONS>>;

/** What the load is made of. */
export type LoadOptions = Pick<Parsed, 'accounts' | 'skew' | 'bulk' | 'wait' | 'seed'> &
  Pick<Service, 'url' | 'ledger'> & { readonly plan: Plan; readonly connections: number };

/** Of --stages, or of --rate or --connections, which make one stage of --duration. */
export function loadOptionsOf(parsed: Parsed, { url, ledger }: Service): LoadOptions {
  const { accounts, skew, bulk, wait, seed, stages, rate, duration, connections } = parsed;
  const other = rate !== undefined ? '--rate' : duration !== undefined ? '--duration' : null;
  if (stages && other !== null) throw new CommandError(EXIT.wrongUsage, `Choose --stages or ${other}, not both.`);
  if (stages?.unit === 'connections' && connections !== undefined) {
    throw new CommandError(EXIT.wrongUsage, 'The stages have their connections: leave out --connections.');
  }
  const load = rate ?? connections ?? CONNECTIONS;
  const plan: Plan = stages ?? {
    unit: rate === undefined ? 'connections' : 'requests_per_second',
    stages: [{ seconds: duration ?? DURATION_SECONDS, from: load, to: load }],
  };
  const most = plan.unit === 'connections' ? Math.max(...plan.stages.flatMap(({ from, to }) => [from, to])) : null;
  return { url, ledger, accounts, skew, bulk, wait, seed, plan, connections: most ?? connections ?? CONNECTIONS };
}
