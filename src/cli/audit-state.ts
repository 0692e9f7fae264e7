// The file of an audit in many snapshots: its state, so that an interrupted audit goes on, and the next one begins where it
// ended. A process that can write the file can make an audit skip rows, so it may be signed.
import type { KeyObject } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { z } from 'zod';
import type { Course } from '../db/audit/course.ts';
import type { Progress } from '../db/audit/many.ts';
import { CommandError, EXIT } from './command.ts';
import { writePrivateFile } from './file.ts';
import { isSignedText, readPrivateKey, signText } from './signature.ts';

const KIND = 'audit state v1';
/** A crash of the machine loses so much of an audit. */
const SAVE_EVERY_MS = 1000;

const count = z.int().min(0);
const text = z.string().nullable();
const decimal = z.string().regex(/^\d{1,19}$/);

const courseSchema = z.strictObject({
  books: z.string(),
  schema: z.string(),
  ledger: z.int().nullable(),
  whole: z.boolean(),
  ledgers: z.array(z.strictObject({ id: z.int(), name: z.string(), since: decimal, sinceHash: text })),
  heads: z.array(z.strictObject({ ledger: z.int(), number: decimal, settledAt: text, hash: text, previousHash: text })),
  at: text,
  positions: z.record(
    z.string(),
    z.strictObject({ at: text, hash: text, done: z.boolean(), counts: z.record(z.string(), z.number()) }),
  ),
  findings: z.strictObject({
    checks: z.record(
      z.string(),
      z.strictObject({
        total: count,
        kept: z.array(
          z.strictObject({
            ledger: z.int().nullable(),
            account: text,
            currency: text,
            transfer: text,
            journal: text,
            what: z.string(),
            expected: text,
            found: text,
          }),
        ),
      }),
    ),
    ledgers: z.record(z.string(), count),
    rows: z.record(z.string(), count),
  }),
  done: z.boolean(),
});

/** The file has the state as a text, because its signature covers every byte. */
const fileSchema = z.strictObject({ type: z.literal(KIND), state: z.string(), signature: z.string().nullable() });

export type SavedState = Progress & {
  /** Writes the last state, if it is not in the file yet. */
  readonly flush: () => Promise<void>;
};

/** Reads a file if there is one. Null: no state is kept. */
export async function openState(
  wanted: { readonly file: string; readonly key: string | null } | null,
): Promise<SavedState> {
  if (wanted === null) return { former: null, save: async () => {}, flush: async () => {} };
  const path = resolve(wanted.file);
  const key = wanted.key === null ? null : await readPrivateKey(wanted.key);
  const former = await readState(path, key);
  let unsaved: Course | null = null;
  let savedAt = performance.now();
  const flush = async () => {
    if (unsaved === null) return;
    const state = JSON.stringify(unsaved);
    unsaved = null;
    savedAt = performance.now();
    const signature = key === null ? null : signText(KIND, state, key);
    await writePrivateFile(path, `${JSON.stringify({ type: KIND, state, signature })}\n`);
  };
  const save = async (course: Course) => {
    unsaved = course;
    if (course.done || performance.now() - savedAt >= SAVE_EVERY_MS) await flush();
  };
  return { former, save, flush };
}

async function readState(path: string, key: KeyObject | null): Promise<Course | null> {
  const stored = await readFile(path, 'utf8').catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw refusal(path, 'cannot be read');
  });
  if (stored === null) return null;
  const file = fileSchema.safeParse(parseJson(stored));
  if (!file.success) throw refusal(path, 'is not the state of an audit');
  const { state, signature } = file.data;
  if (key !== null && (signature === null || !isSignedText(KIND, state, signature, key))) {
    throw new CommandError(EXIT.discrepancy, `${path} is not signed with the key of --state-key.`);
  }
  const course = courseSchema.safeParse(parseJson(state));
  if (!course.success) throw refusal(path, 'is not the state of an audit of this version');
  return course.data;
}

function refusal(path: string, why: string): CommandError {
  return new CommandError(EXIT.wrongUsage, `The option --state is wrong: ${path} ${why}.`);
}

function parseJson(stored: string): unknown {
  try {
    return JSON.parse(stored);
  } catch {
    return null;
  }
}
