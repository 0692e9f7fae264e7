// The context of a running benchmark.
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { connect, type Connection, disconnect, READING_TIMEOUTS } from '../src/db/connection/connect.ts';
import type { Cluster, SocketSettings } from './cluster.ts';
import { medianOf } from './subject.ts';
import type { Sample } from './subject.ts';
import { lineLike, runToEnd, start, type Started, stop } from './processes.ts';
import type * as Seed from './seed.ts';

export const ROOT = dirname(import.meta.dirname);
export const ACCOUNTS = 10_000;
export const CONNECTIONS = 128;
/** V8 compiles for about so long: after 2 s, a transfer took up to a fifth more processor time than after 8 s. */
export const WARM_UP_SECONDS = 6;

export type Bench = {
  readonly cluster: Cluster;
  /** A folder for the files of a subject; removed at the end. */
  readonly folder: string;
  /** All samples so far. */
  readonly samples: readonly Sample[];
  log(line: string): void;
};

/** The median of a subject's figures so far; throws if there is none. */
export function figureSoFar({ samples }: Bench, subject: string): number {
  const figures = samples.flatMap((sample) => (sample.subject === subject ? (sample.figure ?? []) : []));
  const median = medianOf(figures);
  if (median === null) throw new Error(`It needs a figure of ${subject}, and there is none.`);
  return median;
}

export async function withConnection<Result>(
  bench: Bench,
  database: string,
  work: (connection: Connection) => Promise<Result>,
): Promise<Result> {
  const connection = await bench.cluster.open(database);
  try {
    return await work(connection);
  } finally {
    await disconnect(connection);
  }
}

/** A service of a checkout of this project, as its own process. Its log, at the default level, is discarded. */
export async function startService(
  bench: Bench,
  tree: string,
  database: string,
  settings: Readonly<Record<string, string>> = {},
): Promise<Started & { url: string; stop(): Promise<void> }> {
  // Not the project's folder, which may have a .env.
  await mkdir(bench.folder, { recursive: true });
  const started = start(process.execPath, [join(tree, 'src/cli/main.js'), 'serve'], {
    cwd: bench.folder,
    env: { ...databaseEnvironment(bench.cluster.settingsOf(database)), PORT: '0', ...settings },
    stderr: 'ignore',
  });
  const url = await lineLike(started, /listening on (\S+)/, 'The service');
  return { ...started, url, stop: async () => await stop(started) };
}

/** The settings with which a process finds a database. */
export function databaseEnvironment({ host, port, user, database }: SocketSettings): Record<string, string> {
  return { DB_HOST: host, DB_PORT: String(port), DB_USER: user, DB_NAME: database };
}

/** Makes a database with the schema of a checkout, accounts, and a history of so many transfers, by the seed of that checkout. */
export async function makeLedger(
  bench: Bench,
  tree: string,
  database: string,
  size: { accounts: number; transfers: number },
): Promise<void> {
  await bench.cluster.create(database);
  // The service creates the schema of its own version.
  const service = await startService(bench, tree, database);
  await service.stop();
  // As the owner of the tables.
  const connection = await connect(bench.cluster.settingsOf(database), READING_TIMEOUTS, { applicationName: 'seed' });
  try {
    const { seedLedger }: typeof Seed = await import(join(tree, 'bench/seed.ts'));
    bench.log(`${database}: ${size.accounts} accounts, ${size.transfers} transfers`);
    await seedLedger(connection, size.accounts, size.transfers);
  } finally {
    await disconnect(connection);
  }
}

/** Makes a key with all scopes by the command of a checkout, and returns its text. */
export async function createKey(bench: Bench, tree: string, database: string): Promise<string> {
  const command = [join(tree, 'src/cli/main.js'), 'keys', 'create', '--name=benchmark', '--scopes=all'];
  return await runToEnd(process.execPath, command, {
    cwd: bench.folder,
    env: databaseEnvironment(bench.cluster.settingsOf(database)),
  });
}

/** Audits a whole database with `gopherpay audit`, including the hash chain; null if the books are consistent. */
export async function audit(bench: Bench, tree: string, database: string): Promise<string | null> {
  try {
    await runToEnd(process.execPath, [join(tree, 'src/cli/main.js'), 'audit'], {
      cwd: bench.folder,
      env: databaseEnvironment(bench.cluster.settingsOf(database)),
    });
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
