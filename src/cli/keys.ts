// gopherpay keys: creates, lists, rotates and revokes keys. Nothing else does: no key can make or widen one.
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { defineCommand } from 'citty';
import { z } from 'zod';
import { type Config, readConfig } from '../config.ts';
import type { Queryable } from '../db/connection/connect.ts';
import { constraintOf } from '../db/connection/errors.ts';
import { recordAdministration } from '../db/ledger/administration.ts';
import {
  bumpAccessVersion,
  insertKey,
  type KeyRecord,
  KEYS_MAX,
  listKeys,
  loadKey,
  revokeKey,
  rotateKey,
} from '../db/ledger/keys.ts';
import { type AccessLimits, isScope, type Scope, SCOPES } from '../domain/access.ts';
import { ACCOUNT_FORM } from '../domain/account.ts';
import { type Ledger, MAIN_LEDGER } from '../domain/ledger.ts';
import { certificateDigestOf, digestOf, makeKeyId, makeSecret, renderKey } from '../key-text.ts';
import { mustBe } from '../validation.ts';
import { administer, ACTOR } from './administration.ts';
import { CommandError, EXIT, findLedger, interruptible, ledgerName, parseArguments } from './command.ts';
import { writeStandardOutput } from './file.ts';

const DURATION = /^(\d{1,6})([smhd])$/;
const SECONDS = { s: 1, m: 60, h: 3600, d: 86_400 };
const DURATION_MAX_SECONDS = 10 * 366 * 86_400;

const duration = z
  .string({ error: mustBe('a duration such as 90d, 12h or 30m') })
  .regex(DURATION)
  .transform(secondsOf)
  .refine((seconds) => seconds <= DURATION_MAX_SECONDS, 'must be at most ten years');
const expiry = z.union([z.literal('never'), duration], { error: mustBe('a duration such as 90d or 12h, or never') });
const amount = z
  .string({ error: mustBe('a whole amount in minor units') })
  .regex(/^[1-9]\d{0,15}$/)
  .transform(BigInt);
const keyId = z.string({ error: mustBe('the id of a key, as `keys list` shows it') }).regex(/^[a-z0-9]{12}$/);
const keyName = z.string({ error: mustBe('a name of at most 100 characters') }).regex(/^[^\p{Cc}\p{Cf}]{1,100}$/u);
const scopeList = z
  .string({ error: mustBe(`all, or a list of scopes such as ${SCOPES.slice(0, 2).join(',')}`) })
  .transform((text, context): readonly Scope[] => {
    const names = text === 'all' ? [...SCOPES] : text.split(',').map((name) => name.trim());
    const unknown = names.find((name) => !isScope(name));
    if (unknown !== undefined) {
      context.addIssue(`names no scope "${unknown}"; the scopes are ${SCOPES.join(', ')}`);
    }
    return [...new Set(names.filter(isScope))];
  });

function secondsOf(text: string): number {
  const [, count, unit] = DURATION.exec(text) ?? [];
  return Number(count) * SECONDS[unit === 's' || unit === 'm' || unit === 'h' ? unit : 'd'];
}

const create = defineCommand({
  meta: { name: 'create', description: 'Create a key. Its secret is printed once, to standard output.' },
  args: {
    name: { type: 'string', required: true, description: 'What the key is for', valueHint: 'shop' },
    scopes: { type: 'string', required: true, description: 'all, or scopes with commas', valueHint: 'transfers:write' },
    ledger: { type: 'string', description: 'The ledger of the key (main)', valueHint: 'main' },
    'all-ledgers': { type: 'boolean', description: 'A key of every ledger' },
    expires: { type: 'string', description: 'When it ends: 90d (the default), 12h, or never' },
    'account-prefix': { type: 'string', description: 'Only accounts that begin with this text', valueHint: 'SHOP-' },
    'amount-max': { type: 'string', description: 'The largest amount of a transfer, in minor units' },
    'daily-amount-max': { type: 'string', description: 'The largest sum of amounts in a day (UTC), in minor units' },
    'requests-per-second': { type: 'string', description: 'The most requests in a second' },
    'client-certificate': { type: 'string', description: 'A certificate (PEM) that may be used instead of the secret' },
  },
  async run({ args }) {
    const options = parseArguments(
      {
        name: keyName,
        scopes: scopeList,
        ledger: ledgerName.optional(),
        'all-ledgers': z.boolean().default(false),
        expires: expiry.default(90 * SECONDS.d),
        'account-prefix': z.string().regex(ACCOUNT_FORM, 'must be the beginning of an account number').optional(),
        'amount-max': amount.optional(),
        'daily-amount-max': amount.optional(),
        'requests-per-second': z.coerce.number().int().min(1).max(1_000_000).optional(),
        'client-certificate': z.string().min(1).optional(),
      },
      args,
    );
    if (options['all-ledgers'] && options.ledger !== undefined) {
      throw new CommandError(EXIT.wrongUsage, 'Choose --ledger or --all-ledgers, not both.');
    }
    const certificate = options['client-certificate'];
    const clientCertificate = certificate === undefined ? null : await fingerprintOf(certificate);
    const secret = makeSecret();
    const id = makeKeyId();
    await change(readConfig(), async (connection) => {
      const ledger = options['all-ledgers'] ? null : await findLedger(connection, options.ledger ?? MAIN_LEDGER.name);
      const limits = {
        accountPrefix: options['account-prefix'] ?? null,
        amountMax: options['amount-max'] ?? null,
        dailyAmountMax: options['daily-amount-max'] ?? null,
        requestsPerSecond: options['requests-per-second'] ?? null,
      };
      const { name, scopes, expires } = options;
      const expiresInSeconds = expires === 'never' ? null : expires;
      const key = {
        id,
        name,
        ledger,
        scopes,
        limits,
        expiresInSeconds,
        clientCertificate,
        secretDigest: digestOf(secret),
      };
      const record = await insertKey(connection, key).catch((error: unknown) => {
        if (constraintOf(error) !== 'api_keys_client_certificate') throw error;
        throw new CommandError(EXIT.failed, 'Another key has this certificate: revoke it, or use another certificate.');
      });
      if (!record) throw new CommandError(EXIT.failed, `There are ${KEYS_MAX} keys: revoke one that is not used.`);
      return { action: 'key.created', key: record, ledger };
    });
    process.stderr.write(`Key ${id} was created. This is the only time that its secret is shown:\n`);
    await writeStandardOutput([`${renderKey({ id, secret })}\n`]);
  },
});

const rotate = defineCommand({
  meta: { name: 'rotate', description: 'Give a key a new secret. The present one stays valid for a while.' },
  args: {
    id: { type: 'string', required: true, description: 'The id of the key' },
    overlap: {
      type: 'string',
      description: 'How long the present secret stays valid: 24h (the default), 0s for not at all',
    },
  },
  async run({ args }) {
    const { id, overlap } = parseArguments({ id: keyId, overlap: duration.default(SECONDS.d) }, args);
    const secret = makeSecret();
    await change(readConfig(), async (connection) => {
      const done = await rotateKey(connection, id, { secretDigest: digestOf(secret), overlapSeconds: overlap });
      const key = await loadKey(connection, id);
      if (!done || !key) throw noValidKey(id, key);
      return { action: 'key.rotated', key, ledger: await ledgerOf(connection, key) };
    });
    process.stderr.write(`Key ${id} has a new secret. This is the only time that it is shown:\n`);
    await writeStandardOutput([`${renderKey({ id, secret })}\n`]);
  },
});

const revoke = defineCommand({
  meta: { name: 'revoke', description: 'End a key. Every process refuses it within two seconds.' },
  args: { id: { type: 'string', required: true, description: 'The id of the key' } },
  async run({ args }) {
    const { id } = parseArguments({ id: keyId }, args);
    await change(readConfig(), async (connection) => {
      const done = await revokeKey(connection, id);
      const key = await loadKey(connection, id);
      if (!done || !key) throw noValidKey(id, key);
      return { action: 'key.revoked', key, ledger: await ledgerOf(connection, key) };
    });
    process.stderr.write(`Key ${id} was revoked.\n`);
  },
});

const list = defineCommand({
  meta: { name: 'list', description: 'List keys, without their secrets.' },
  args: {
    ledger: { type: 'string', description: 'Only keys of this ledger', valueHint: 'main' },
    json: { type: 'boolean', description: 'One JSON object a line' },
  },
  async run({ args }) {
    const options = parseArguments({ ledger: ledgerName.optional(), json: z.boolean().default(false) }, args);
    await interruptible(async (signal) => {
      const keys = await administer(readConfig(), signal, async (connection) => {
        const ledger = options.ledger === undefined ? null : await findLedger(connection, options.ledger);
        return await listKeys(connection, ledger);
      });
      await writeStandardOutput(keys.map(options.json ? renderJson : renderLine), signal);
      if (keys.length === 0) process.stderr.write('There are no keys. `gopherpay keys create` makes one.\n');
    });
  },
});

export const keys = defineCommand({
  meta: { name: 'keys', description: 'Create, list, rotate and revoke keys.' },
  subCommands: { create, list, rotate, revoke },
});

type Changed = {
  readonly action: 'key.created' | 'key.rotated' | 'key.revoked';
  readonly key: KeyRecord;
  readonly ledger: Ledger | null;
};

/** Changes a key, and records that in the audit log and the journal, in one transaction. */
async function change(config: Config, work: (connection: Queryable) => Promise<Changed>): Promise<void> {
  await interruptible(async (signal) => {
    await administer(config, signal, async (connection) => {
      const { action, key, ledger } = await work(connection);
      await bumpAccessVersion(connection);
      const { name, scopes, limits, expiresAt, previousUntil } = key;
      const details = {
        name,
        ledger: key.ledger,
        scopes,
        ...renderLimits(limits),
        expires_at: expiresAt,
        previous_until: previousUntil,
      };
      // A key of every ledger is recorded in the main one.
      await recordAdministration(connection, ledger ?? MAIN_LEDGER, { action, actor: ACTOR, subject: key.id, details });
    });
  });
}

async function ledgerOf(connection: Queryable, key: KeyRecord): Promise<Ledger | null> {
  return key.ledger === null ? null : await findLedger(connection, key.ledger);
}

function noValidKey(id: string, key: KeyRecord | undefined): CommandError {
  return new CommandError(
    EXIT.failed,
    key ? `The key ${id} is ${key.state}.` : `There is no key ${id}; \`gopherpay keys list\` shows all.`,
  );
}

async function fingerprintOf(file: string): Promise<string> {
  try {
    return certificateDigestOf(new X509Certificate(await readFile(file)));
  } catch (error) {
    throw new CommandError(EXIT.wrongUsage, `The file ${file} has no certificate in PEM.`, { cause: error });
  }
}

function renderLimits({ accountPrefix, amountMax, dailyAmountMax, requestsPerSecond }: AccessLimits) {
  return {
    account_prefix: accountPrefix,
    amount_max: amountMax === null ? null : Number(amountMax),
    daily_amount_max: dailyAmountMax === null ? null : Number(dailyAmountMax),
    requests_per_second: requestsPerSecond,
  };
}

function renderJson(key: KeyRecord): string {
  return `${JSON.stringify({
    id: key.id,
    name: key.name,
    ledger: key.ledger,
    state: key.state,
    scopes: key.scopes,
    ...renderLimits(key.limits),
    created_at: key.createdAt,
    expires_at: key.expiresAt,
    revoked_at: key.revokedAt,
    previous_until: key.previousUntil,
  })}\n`;
}

function renderLine({ id, name, ledger, state, scopes, expiresAt }: KeyRecord): string {
  const where = ledger ?? 'all ledgers';
  return `${id}  ${state.padEnd(7)}  ${where}  ${expiresAt ?? 'never expires'}  ${name}  ${scopes.join(',')}\n`;
}
