// Signed checkpoints: their text, their keys (Ed25519, PEM), their signatures, and the files that hold them.
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  verify,
} from 'node:crypto';
import { readFile, rm, stat, writeFile } from 'node:fs/promises';
import { z } from 'zod';
import { toError } from '../db/connection/errors.ts';
import { isLedgerName } from '../domain/ledger.ts';
import { isOpenToOthers } from '../secret-file.ts';
import { CommandError, EXIT } from './command.ts';

const HASH = z.string().regex(/^[0-9a-f]{64}$/);
const INSTANT = z.string().regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3,6}Z$/);

/** A checkpoint as it is printed. Every field but the last two is signed, so there must be no others. */
const checkpointSchema = z.strictObject({
  type: z.literal('checkpoint'),
  ledger: z.string().refine(isLedgerName),
  journal_number: z.int().min(0),
  journal_hash: HASH,
  /** Null for an empty journal. */
  settled_at: INSTANT.nullable(),
  /** By the clock of the machine that signs. */
  signed_at: INSTANT,
  /** How many ledgers were signed at once, so that a missing line is noticed. */
  ledgers: z.int().min(1),
  /** SHA-256 of the public key in DER. */
  key_id: HASH,
  signature: z.string().refine((text) => Buffer.from(text, 'base64').toString('base64') === text),
});

export type SignedCheckpoint = z.output<typeof checkpointSchema>;
export type Unsigned = Omit<SignedCheckpoint, 'type' | 'key_id' | 'signature'>;

/** The text that is signed, from which any tool can verify a checkpoint. docs/AUDIT.md has its form, which never changes. */
function textOf(checkpoint: Unsigned): Buffer {
  const { ledger, journal_number: number, journal_hash: hash, settled_at, signed_at, ledgers } = checkpoint;
  const lines = ['gopherpay checkpoint v1', ledger, number, hash, settled_at ?? '', signed_at, ledgers];
  return Buffer.from(lines.map((line) => `${line}\n`).join(''));
}

export function signCheckpoint(unsigned: Unsigned, key: KeyObject): SignedCheckpoint {
  return {
    type: 'checkpoint',
    ...unsigned,
    key_id: keyIdOf(createPublicKey(key)),
    signature: sign(null, textOf(unsigned), key).toString('base64'),
  };
}

/** Signs another text than a checkpoint, in base64. `kind` tells such texts from each other. */
export function signText(kind: string, text: string, key: KeyObject): string {
  return sign(null, Buffer.from(`gopherpay ${kind}\n${text}`), key).toString('base64');
}

export function isSignedText(kind: string, text: string, signature: string, key: KeyObject): boolean {
  return verify(
    null,
    Buffer.from(`gopherpay ${kind}\n${text}`),
    createPublicKey(key),
    Buffer.from(signature, 'base64'),
  );
}

function keyIdOf(publicKey: KeyObject): string {
  return createHash('sha256')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest('hex');
}

/** The lines of a file of checkpoints; null for a line that is none. */
export function parseCheckpoints(text: string): readonly (SignedCheckpoint | null)[] {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => {
      try {
        return checkpointSchema.parse(JSON.parse(line));
      } catch {
        return null;
      }
    });
}

/** The checkpoints of a file, all signed with the key, and none missing. Throws an error that names what is wrong. */
export async function readVerified(path: string, publicKey: KeyObject): Promise<readonly SignedCheckpoint[]> {
  const keyId = keyIdOf(publicKey);
  const lines = parseCheckpoints(await readText(path));
  const checkpoints = lines.map((checkpoint, index) => {
    const where = `Line ${index + 1} of ${path}`;
    if (checkpoint === null) throw refusal(`${where} is not a checkpoint`);
    if (checkpoint.key_id !== keyId)
      throw refusal(`${where} is signed with the key ${checkpoint.key_id}, not ${keyId}`);
    if (!verify(null, textOf(checkpoint), publicKey, Buffer.from(checkpoint.signature, 'base64'))) {
      throw refusal(`${where} has a wrong signature`);
    }
    return checkpoint;
  });
  // A file may hold several runs of the command, each with a line for each of its ledgers.
  for (const [signedAt, run] of Map.groupBy(checkpoints, ({ signed_at: signedAt }) => signedAt)) {
    const found = new Set(run.map(({ ledger }) => ledger)).size;
    const expected = run.reduce((most, { ledgers }) => Math.max(most, ledgers), 0);
    if (found < expected) throw refusal(`${path} has ${found} of the ${expected} checkpoints signed at ${signedAt}`);
  }
  return checkpoints;
}

function refusal(sentence: string): CommandError {
  return new CommandError(EXIT.discrepancy, `${sentence}.`);
}

async function readText(path: string): Promise<string> {
  return await readFile(path, 'utf8').catch((error: unknown) => {
    throw new CommandError(EXIT.wrongUsage, `${path} cannot be read (${toError(error).message}).`);
  });
}

/** Reads a private key, unless other users of the machine may read it, too. */
export async function readPrivateKey(path: string): Promise<KeyObject> {
  const text = await readText(path);
  if (isOpenToOthers(await stat(path))) {
    throw new CommandError(
      EXIT.wrongUsage,
      `${path} is open to other users: allow only its owner (chmod 600 ${path}).`,
    );
  }
  return parseKey(path, 'private key in PEM (PKCS8, without a passphrase)', () => createPrivateKey(text));
}

export async function readPublicKey(path: string): Promise<KeyObject> {
  const text = await readText(path);
  return parseKey(path, 'public key in PEM', () => {
    // Node would derive the public key from a private one, which has no place where checkpoints are verified.
    if (!text.includes('-----BEGIN PUBLIC KEY-----')) throw new TypeError('Not a public key.');
    return createPublicKey(text);
  });
}

function parseKey(path: string, what: string, parse: () => KeyObject): KeyObject {
  let key: KeyObject;
  try {
    key = parse();
  } catch {
    throw new CommandError(EXIT.wrongUsage, `${path} is not a ${what}.`);
  }
  if (key.asymmetricKeyType === 'ed25519') return key;
  const type = String(key.asymmetricKeyType).toUpperCase();
  throw new CommandError(EXIT.wrongUsage, `${path} is a key of type ${type}: a checkpoint needs Ed25519.`);
}

/** Writes a new private key to `path`, and its public key to `path`.pub. Returns the public key. */
export async function createKeyPair(path: string): Promise<string> {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519', {
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  });
  await writeNew(path, privateKey, 0o600);
  try {
    await writeNew(`${path}.pub`, publicKey, 0o644);
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  }
  return publicKey;
}

/** Exclusive creation replaces no file, and follows no link. */
async function writeNew(path: string, text: string, mode: number): Promise<void> {
  await writeFile(path, text, { flag: 'wx', mode, flush: true }).catch((error: unknown) => {
    throw new CommandError(EXIT.failed, `${path} cannot be created (${toError(error).message}).`);
  });
}
