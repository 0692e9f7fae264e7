// The options of every command that proves books: the hashes that rows of journals must have, the key that must have signed
// them, and how many discrepancies are listed.
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import type { Checkpoint } from '../db/audit/chain.ts';
import { isLedgerName, MAIN_LEDGER } from '../domain/ledger.ts';
import { CommandError, EXIT } from './command.ts';
import { parseCheckpoints, readPublicKey, readVerified, type SignedCheckpoint } from './signature.ts';

export const EXPECT_ARGS = {
  expect: {
    type: 'string',
    description:
      'Hashes that rows must have: [LEDGER:]NUMBER:HASH, several with commas, or @ and a file with a summary or checkpoints',
    valueHint: 'NUMBER:HASH',
  },
  'public-key': {
    type: 'string',
    description: 'With --expect=@FILE: the key with which the checkpoints in the file must be signed, PEM',
    valueHint: 'FILE',
  },
} as const;

export const LIMIT_ARGS = {
  limit: { type: 'string', description: 'Discrepancies to list for each check (100)' },
} as const;

export const expectOptions = {
  expect: z.string().optional(),
  'public-key': z.string().min(1, 'must be a file').optional(),
};

export const limitOption = {
  limit: z
    .string()
    .regex(/^\d{1,5}$/, 'must be a whole number up to 99999')
    .transform(Number)
    .default(100),
};

type ExpectOptions = { readonly expect?: string | undefined; readonly 'public-key'?: string | undefined };

/** A checkpoint. Without a ledger, it belongs to the audited ledger, or to the main one. */
const EXPECTED = /^(?:([^:]+):)?(\d{1,18}):(?:sha256:)?([0-9a-fA-F]{64})$/;
const EXPECTED_FORM = 'it must be the number of a row, a colon and 64 hexadecimal digits, or @ and a file';

/** The parts of an audit's summary, its last line of JSON, that a later audit reads. */
const savedSummary = z.object({
  journals: z.array(
    z.object({ ledger: z.string(), journal_number: z.int().min(0), journal_hash: z.string().nullable() }),
  ),
});

export function wrongExpectation(why: string): CommandError {
  return new CommandError(EXIT.wrongUsage, `The option --expect is wrong: ${why}.`);
}

/**
 * The checkpoints that the options name. `findAudited`: the name of the ledger that the command proves; null if it proves all.
 */
export async function readExpected(
  { expect: text, 'public-key': publicKey }: ExpectOptions,
  findAudited: () => string | null | Promise<string | null>,
): Promise<readonly Checkpoint[]> {
  if (publicKey !== undefined && !text?.startsWith('@')) {
    throw new CommandError(EXIT.wrongUsage, 'The option --public-key needs --expect=@FILE.');
  }
  if (text === undefined) return [];
  const audited = await findAudited();
  if (text.startsWith('@')) {
    const file = text.slice(1);
    const saved =
      publicKey === undefined
        ? await readSaved(file)
        : (await readVerified(file, await readPublicKey(publicKey))).map(toExpected);
    const expect = saved.filter(({ ledger }) => audited === null || ledger === audited);
    if (expect.length === 0)
      throw wrongExpectation(`${text.slice(1)} has no entry for the ledger ${audited ?? 'main'}`);
    return expect;
  }
  return text.split(',').map((part) => {
    const [, ledger = audited ?? MAIN_LEDGER.name, number = '', hash = ''] = EXPECTED.exec(part) ?? [];
    if (hash === '' || !isLedgerName(ledger)) throw wrongExpectation(EXPECTED_FORM);
    if (audited !== null && ledger !== audited) throw wrongExpectation(`only the ledger ${audited} is audited`);
    return { ledger, number: BigInt(number), hash: hash.toLowerCase() };
  });
}

/** The ends of the journals from a file with checkpoints, or with the JSON of an audit, or its last line. */
async function readSaved(path: string): Promise<readonly Checkpoint[]> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw wrongExpectation(`${path} cannot be read (${error instanceof Error ? error.message : String(error)})`);
  });
  const checkpoints = parseCheckpoints(text).flatMap((checkpoint) => checkpoint ?? []);
  const lines = text.trimEnd().split('\n');
  if (checkpoints.length === lines.length) return checkpoints.map(toExpected);
  const last = lines.at(-1) ?? '';
  const summary = savedSummary.safeParse(parseJson(last));
  if (!summary.success)
    throw wrongExpectation(`${path} does not end with the summary of an audit (--json), and has no checkpoints`);
  return summary.data.journals.flatMap(({ ledger, journal_number: number, journal_hash: hash }) =>
    hash === null ? [] : [{ ledger, number: BigInt(number), hash }],
  );
}

function toExpected({ ledger, journal_number: number, journal_hash: hash }: SignedCheckpoint): Checkpoint {
  return { ledger, number: BigInt(number), hash };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
