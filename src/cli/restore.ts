// gopherpay restore: loads a backup into an empty database, and proves the restored books.
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { createZstdDecompress } from 'node:zlib';
import { defineCommand } from 'citty';
import { SingleBar } from 'cli-progress';
import { z } from 'zod';
import { type Config, readConfig } from '../config.ts';
import type { Checkpoint } from '../db/audit/chain.ts';
import { BackupError, type Header } from '../db/backup/format.ts';
import { analyzeBooks, loadBooks, refuseTarget, verifyBackup } from '../db/backup/load.ts';
import { readingTimeouts } from '../db/connection/connect.ts';
import { toError } from '../db/connection/errors.ts';
import { openEmbeddedServer } from '../db/embedded/server.ts';
import { limitedRolesOf } from '../db/ledger/grants.ts';
import { listMigrations, migrate } from '../db/ledger/migrate.ts';
import { printAudit } from './audit.ts';
import {
  CommandError,
  databaseAs,
  type Databases,
  EXIT,
  interruptible,
  namedDatabases,
  parseArguments,
} from './command.ts';
import { exitOf } from './exit.ts';
import { EXPECT_ARGS, expectOptions, readExpected } from './expected.ts';

const DISCREPANCIES_MAX = 100;

export const restore = defineCommand({
  meta: {
    name: 'restore',
    description: 'Load a backup into an empty database, or a new data folder, and audit the restored books.',
  },
  args: {
    file: { type: 'positional', required: true, description: 'The file that gopherpay backup wrote' },
    check: { type: 'boolean', description: 'Only verify that the file is whole; no database is needed' },
    ...EXPECT_ARGS,
    'pause-webhooks': { type: 'boolean', description: 'Pause all webhooks: for a copy beside the original books' },
  },
  async run({ args }) {
    const options = parseArguments(
      {
        file: z.string().min(1),
        check: z.boolean().default(false),
        ...expectOptions,
        'pause-webhooks': z.boolean().default(false),
      },
      { ...args, _: args._.slice(1) },
    );
    const { file, check, 'pause-webhooks': pauseWebhooks } = options;
    // The heads in the file are no proof: only an audit computes them.
    if (check && (options.expect !== undefined || options['public-key'] !== undefined)) {
      throw new CommandError(
        EXIT.wrongUsage,
        'The options --expect and --public-key need the restored books: omit --check.',
      );
    }
    const expected = await readExpected(options, () => null);
    await interruptible(async (signal) => {
      const found = await readBackup(file, signal, verifyBackup);
      await refuseNewer(file, found.header);
      process.stderr.write(`${describe(file, found)}\n`);
      if (check) return;
      const config = readConfig();
      await withTarget(config, signal, async (databases) => {
        await load(file, databases, { config, header: found.header, rows: found.rows, pauseWebhooks, signal });
        process.stderr.write('The books are loaded; do not start a service on them before they are proved\n');
        try {
          await complete(databases, config);
          await prove(databases, { config, header: found.header, expected, signal });
        } catch (error) {
          throw explainUnproved(error);
        }
        const counts = Object.entries(found.uncovered).map(([table, rows]) => `${table.replaceAll('_', ' ')} ${rows}`);
        process.stderr.write(`The audit and checkpoints do not cover these rows: ${counts.join(', ')}\n`);
      });
    });
  },
});

/** Passes the text of a backup to `work`. An error of it, or of the file, becomes a sentence. */
async function readBackup<Result>(
  file: string,
  signal: AbortSignal,
  work: (chunks: AsyncIterable<Buffer>) => Promise<Result>,
): Promise<Result> {
  const found = await stat(file).catch((error: unknown) => {
    throw new CommandError(EXIT.failed, `The backup ${file} cannot be read: ${toError(error).message}.`);
  });
  if (!found.isFile()) throw new CommandError(EXIT.wrongUsage, `The backup ${file} is not a file.`);
  const ended: { result?: Result } = {};
  const text = createZstdDecompress();
  try {
    await pipeline(
      createReadStream(file),
      text,
      async (chunks: AsyncIterable<Buffer>) => {
        ended.result = await work(chunks);
      },
      { signal },
    );
  } catch (error) {
    signal.throwIfAborted();
    // The end of the frame ends the pipeline, whatever follows.
    throw explain(file, toError(error).name === 'AbortError' ? trailing() : error);
  }
  if (text.bytesWritten < found.size) throw explain(file, trailing());
  if (!('result' in ended)) throw new Error('The backup was not read.');
  return ended.result;
}

function trailing(): BackupError {
  return new BackupError('is damaged, something follows its end: use another backup');
}

function explain(file: string, thrown: unknown): unknown {
  if (thrown instanceof BackupError) return new CommandError(EXIT.failed, `The backup ${file} ${thrown.message}.`);
  const error = toError(thrown);
  if (!('code' in error) || typeof error.code !== 'string' || !/^(ZSTD_|Z_|ERR__ZSTD)/.test(error.code)) return thrown;
  return new CommandError(
    EXIT.failed,
    `The backup ${file} is damaged, or not a backup of GopherPay (${error.message}): use another one.`,
  );
}

/** An error after the books were loaded. */
function explainUnproved(error: unknown): unknown {
  if (error instanceof CommandError && error.exitCode === EXIT.discrepancy) return error;
  return new CommandError(
    EXIT.discrepancy,
    `${exitOf(error).sentence}\nThe books are loaded, and not proved: run gopherpay migrate and gopherpay audit before a service uses them.`,
    { cause: error },
  );
}

async function refuseNewer(file: string, { migrations, gopherpay_version: version }: Header): Promise<void> {
  const known = await listMigrations();
  const isKnown = migrations.every((name, index) => known[index] === name);
  if (isKnown) return;
  throw new CommandError(
    EXIT.failed,
    `The backup ${file} was made by another version (${version}), whose schema this version does not know: restore it with that version or a newer one.`,
  );
}

function describe(file: string, { header, rows }: { header: Header; rows: number }): string {
  const { created_at: at, gopherpay_version: version, server_version: server, heads } = header;
  const ledgers = heads.length === 1 ? '1 ledger' : `${heads.length} ledgers`;
  return `${file} is whole: ${rows.toLocaleString('en')} rows of ${ledgers}, written at ${at} by GopherPay ${version} from PostgreSQL ${server}`;
}

/** Runs `work` with the database of the settings. The embedded one is created if there is none. */
async function withTarget(
  config: Config,
  signal: AbortSignal,
  work: (databases: Databases) => Promise<void>,
): Promise<void> {
  const named = namedDatabases(config);
  if (named) {
    await work(named);
    return;
  }
  const server = await openEmbeddedServer(config.dataDir, { signal });
  try {
    await work(server.roles);
  } finally {
    await server.release();
  }
}

type Loading = {
  readonly config: Config;
  readonly header: Header;
  readonly rows: number;
  readonly pauseWebhooks: boolean;
  readonly signal: AbortSignal;
};

/** Makes the schema of the backup, and loads its rows. */
async function load(file: string, databases: Databases, loading: Loading): Promise<void> {
  const { config, header, rows, pauseWebhooks, signal } = loading;
  const owner = databaseAs(databases, 'owner');
  const timeouts = readingTimeouts(config.readingTimeoutMs);
  await refuseTarget(owner, limitedRolesOf({ ...databases, owner }), timeouts);
  await migrate(owner, { only: header.migrations });
  const bar = process.stderr.isTTY
    ? new SingleBar({
        format: '{bar} {percentage} % | {value} of {total} rows',
        stream: process.stderr,
        hideCursor: true,
        clearOnComplete: true,
      })
    : null;
  bar?.start(rows, 0);
  try {
    await readBackup(file, signal, async (chunks) => {
      const onRows = (count: number): void => bar?.increment(count);
      await loadBooks(owner, chunks, { pauseWebhooks, onRows }, { timeouts, signal });
    });
  } finally {
    bar?.stop();
  }
}

/** Brings the schema to this version, and grants the roles their rights. */
async function complete(databases: Databases, config: Config): Promise<void> {
  const owner = databaseAs(databases, 'owner');
  await analyzeBooks(owner, readingTimeouts(config.readingTimeoutMs));
  await migrate(owner, { roles: limitedRolesOf({ ...databases, owner }) });
}

/** Audits the restored books, and compares the ends of their journals with those of the backup and of `expected`. */
async function prove(
  databases: Databases,
  {
    config,
    header,
    expected,
    signal,
  }: { config: Config; header: Header; expected: readonly Checkpoint[]; signal: AbortSignal },
): Promise<void> {
  const timeouts = readingTimeouts(config.readingTimeoutMs);
  const wanted = {
    json: false,
    ledger: null,
    since: null,
    expect: expected,
    discrepanciesMax: DISCREPANCIES_MAX,
    metricsFile: null,
    snapshots: 'one' as const,
  };
  const { journals } = await printAudit(databaseAs(databases, 'reader'), wanted, { timeouts, signal });
  for (const { ledger, journal_number: number, journal_hash: hash } of header.heads) {
    const end = journals.find((journal) => journal.ledger === ledger);
    if (end?.number === String(number) && end.hash === hash) continue;
    throw new CommandError(
      EXIT.discrepancy,
      `The journal of the ledger ${ledger} does not end as in the backup: expected row ${number} with ${hash}, found row ${end?.number ?? 'none'} with ${end?.hash ?? 'none'}.`,
    );
  }
}
