// The parsed options of a load test.
import { randomInt } from 'node:crypto';
import { z } from 'zod';
import { MAIN_LEDGER } from '../../domain/ledger.ts';
import { mustBe } from '../../validation.ts';
import { ledgerName } from '../command.ts';

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
  url: z
    .url({ protocol: /^http$/, error: mustBe('an http URL such as http://127.0.0.1:8080') })
    .transform((text) => new URL(text).origin)
    .default('http://127.0.0.1:8080'),
  ledger: ledgerName.default(MAIN_LEDGER.name),
  'key-file': z.string().optional(),
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

export type LoadOptions = z.output<z.ZodObject<typeof OPTIONS>>;
