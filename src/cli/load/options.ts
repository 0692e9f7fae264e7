// The parsed options of a load test.
import { randomInt } from 'node:crypto';
import { z } from 'zod';
import { mustBe } from '../../validation.ts';
import type { Service } from '../remote/connection.ts';
import { CONNECTION_OPTIONS } from '../remote/options.ts';

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

export const OPTIONS = {
  ...CONNECTION_OPTIONS,
  yes: z.boolean().default(false),
  connections: whole(1, 10_000).default(64),
  rate: number(0.1, 1_000_000).optional(),
  duration: number(1, 86_400).default(10),
  accounts: whole(2, 1_000_000).default(1000),
  skew: number(0, 5).default(0),
  bulk: whole(1, 1000).default(1),
  wait: z.boolean().default(false),
  json: z.boolean().default(false),
  seed: whole(0, 2 ** 32 - 1).default(() => randomInt(2 ** 32)),
  'max-p99-final-ms': number(0, 1e9).optional(),
  'min-settled-per-second': number(0, 1e9).optional(),
  'max-failed': whole(0, 1e9).optional(),
};

/** Without the key, which is not for the result. */
export type LoadOptions = Omit<z.output<z.ZodObject<typeof OPTIONS>>, 'key' | 'url' | 'ledger'> &
  Pick<Service, 'url' | 'ledger'>;
