// A clock for a PostgreSQL server that can be set while the server runs: Debian's libfaketime, loaded into the server's processes. The
// monotonic clock stays right, so timeouts stay right, too.
import { existsSync } from 'node:fs';
import { open, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { prepareDataFolder } from '../../src/db/embedded/data-folder.ts';
import { findIdentity, findPrograms, launch } from '../../src/db/embedded/programs.ts';
import { until } from '../support/until.ts';
import { crash, findPostmaster } from '../support/postgres.ts';

export type Clock = {
  /** Sets the clock to this offset, forward or back, and waits until the server uses it. */
  shift: (offsetMs: number) => Promise<void>;
};

const LIBRARIES = ['x86_64-linux-gnu', 'aarch64-linux-gnu', 'arm-linux-gnueabihf'].map(
  (machine) => `/usr/lib/${machine}/faketime/libfaketime.so.1`,
);
const CONTROL_FILE = 'clock';
/** The maximum error of the clock, because the server's processes read the file at different moments. */
const TOLERANCE_MS = 60_000;

/** Returns why no clock can be set here, or null if one can. */
export async function tryClock(): Promise<string | null> {
  if (findLibrary() !== null) return null;
  return 'The clock of the database cannot be set here, which takes libfaketime: apt-get install faketime.';
}

function findLibrary(): string | null {
  return LIBRARIES.find((path) => existsSync(path)) ?? null;
}

/** Starts the server of a data folder anew, as it was started, but with a clock that can be set. */
export async function preloadClock(folder: string): Promise<Clock> {
  const library = findLibrary();
  if (library === null) throw new Error('There is no libfaketime.');
  const commandLine = await readFile(`/proc/${await findPostmaster(folder)}/cmdline`, 'utf8');
  const controlPath = join(folder, CONTROL_FILE);
  await writeOffset(controlPath, 0);
  await crash(folder);
  const place = await prepareDataFolder(folder);
  const { postgres } = await findPrograms();
  const identity = await findIdentity(place.account, postgres, [place.dataDir, place.socketDir]);
  const environment = [
    `LD_PRELOAD=${library}`,
    `FAKETIME_TIMESTAMP_FILE=${controlPath}`,
    'FAKETIME_CACHE_DURATION=1',
    'FAKETIME_DONT_FAKE_MONOTONIC=1',
  ];
  const log = await open(join(folder, 'clock.log'), 'a');
  // The owner of the first server stops this one too.
  await launch(identity, '/usr/bin/env', [...environment, ...commandLine.split('\0').slice(0, -1)], log.fd);
  await log.close();
  const admin = { host: join(folder, 'socket'), port: 5432, user: 'postgres', database: 'postgres' };
  const offset = async (): Promise<number | undefined> => {
    const client = new Client(admin);
    client.on('error', () => {});
    try {
      await client.connect();
      const found = await client.query<{ ms: string }>('select extract(epoch from clock_timestamp()) * 1000 as ms');
      return Number(found.rows[0]?.ms) - Date.now();
    } catch {
      return undefined;
    } finally {
      await client.end().catch(() => {});
    }
  };
  const isShifted = async (offsetMs: number): Promise<boolean> =>
    Math.abs(((await offset()) ?? Infinity) - offsetMs) < TOLERANCE_MS;
  await until(() => isShifted(0), { timeoutMs: 30_000, what: 'the database with a clock of its own' });
  return {
    shift: async (offsetMs) => {
      await writeOffset(controlPath, offsetMs);
      await until(() => isShifted(offsetMs), { what: 'the clock of the database to be set' });
      // A process that runs already reads the file once a second.
      await sleep(1100);
    },
  };
}

/** In place at once: a process that reads half a file would have another clock. */
async function writeOffset(path: string, offsetMs: number): Promise<void> {
  await writeFile(`${path}.new`, `${offsetMs < 0 ? '-' : '+'}${Math.abs(offsetMs) / 1000}s\n`, { mode: 0o644 });
  await rename(`${path}.new`, path);
}
