// gopherpay checkpoint: signs the heads of the journals, so that a copy that is kept elsewhere cannot be forged, and
// verifies such a copy without the database.
import { defineCommand } from 'citty';
import { z } from 'zod';
import { readConfig } from '../config.ts';
import { type Head, readHeads } from '../db/audit/heads.ts';
import { readingTimeouts } from '../db/connection/connect.ts';
import {
  CommandError,
  EXIT,
  findLedger,
  interruptible,
  ledgerName,
  parseArguments,
  withConnection,
  withDatabase,
} from './command.ts';
import { writeStandardOutput } from './file.ts';
import {
  createKeyPair,
  readPrivateKey,
  readPublicKey,
  readVerified,
  signCheckpoint,
  type Unsigned,
} from './signature.ts';

const path = z.string().min(1, 'must be a file').optional();

export const checkpoint = defineCommand({
  meta: {
    name: 'checkpoint',
    description: 'Sign the last row of the journal of every ledger, or verify such signatures without the database.',
  },
  args: {
    'private-key': { type: 'string', description: 'Sign with this private key: Ed25519, PEM', valueHint: 'FILE' },
    ledger: { type: 'string', description: 'Sign only for this ledger', valueHint: 'NAME' },
    'new-key': {
      type: 'string',
      description: 'Create a private key, and its public key in FILE.pub',
      valueHint: 'FILE',
    },
    verify: { type: 'string', description: 'Verify the checkpoints in this file', valueHint: 'FILE' },
    'public-key': { type: 'string', description: 'With --verify: the public key, PEM', valueHint: 'FILE' },
  },
  async run({ args }) {
    const options = parseArguments(
      { 'private-key': path, ledger: ledgerName.optional(), 'new-key': path, verify: path, 'public-key': path },
      args,
    );
    const { 'private-key': key, ledger, 'new-key': newKey, verify, 'public-key': publicKey } = options;
    const given = Object.values(options).filter((value) => value !== undefined).length;
    if (newKey !== undefined && given === 1) await makeKey(newKey);
    else if (verify !== undefined && publicKey !== undefined && given === 2) await verifyFile(verify, publicKey);
    else if (key !== undefined && given === (ledger === undefined ? 1 : 2)) await signHeads(key, ledger ?? null);
    else {
      throw new CommandError(
        EXIT.wrongUsage,
        'Give --private-key=FILE, with or without --ledger=NAME; or --verify=FILE and --public-key=FILE; or --new-key=FILE alone.',
      );
    }
  },
});

async function makeKey(file: string): Promise<void> {
  await writeStandardOutput([await createKeyPair(file)]);
  process.stderr.write(`The private key is in ${file}, and the public key in ${file}.pub.\n`);
}

async function verifyFile(file: string, publicKeyFile: string): Promise<void> {
  const checkpoints = await readVerified(file, await readPublicKey(publicKeyFile));
  await writeStandardOutput(
    checkpoints.map(
      ({ ledger, journal_number: number, journal_hash: hash, signed_at: signedAt }) =>
        `ledger ${ledger}, journal ${number} sha256:${hash} signed at ${signedAt}\n`,
    ),
  );
}

async function signHeads(keyFile: string, ledgerName: string | null): Promise<void> {
  const key = await readPrivateKey(keyFile);
  await interruptible(async (signal) => {
    const heads = await loadHeads(ledgerName, signal);
    const [wrong] = heads.filter(({ flaw }) => flaw !== null);
    if (wrong) {
      throw new CommandError(
        EXIT.discrepancy,
        `Nothing is signed, because the ledger ${wrong.ledger} is not whole: ${wrong.flaw}. Run gopherpay audit.`,
      );
    }
    const common = { signed_at: new Date().toISOString(), ledgers: heads.length };
    const lines = heads.map((head) => `${JSON.stringify(signCheckpoint({ ...fieldsOf(head), ...common }, key))}\n`);
    await writeStandardOutput(lines, signal);
  });
}

async function loadHeads(name: string | null, signal: AbortSignal): Promise<readonly Head[]> {
  const config = readConfig();
  const timeouts = readingTimeouts(config.readingTimeoutMs);
  const applicationName = 'gopherpay checkpoint';
  return await withDatabase(
    config,
    'reader',
    async (database) =>
      await withConnection(database, { timeouts, signal, applicationName }, async (connection) => {
        const ledger = name === null ? null : await findLedger(connection, name);
        return await readHeads(connection, ledger?.id ?? null);
      }),
  );
}

function fieldsOf({ ledger, number, hash, settledAt }: Head): Omit<Unsigned, 'signed_at' | 'ledgers'> {
  return { ledger, journal_number: Number(number), journal_hash: hash, settled_at: settledAt };
}
