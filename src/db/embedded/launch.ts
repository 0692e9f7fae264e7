// One launch of the server: its settings, and its outcome. Must not decide whether to launch it.
import type { ChildProcess } from 'node:child_process';
import { constants } from 'node:fs';
import { lstat, open, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { explainFolder, explainOutput, lastLines } from './errors.ts';
import { PORT, readFrom, type DataFolder } from './data-folder.ts';
import { findIdentity, launch, type Programs } from './programs.ts';

/** The output begins at byte `logStart` of the log. */
export type Launch = { child: ChildProcess; logStart: number };

const { O_WRONLY, O_APPEND, O_CREAT, O_NOFOLLOW, O_NONBLOCK } = constants;
const LOG_BYTES_MAX = 8 * 1024 * 1024;

/** The differences from PostgreSQL's defaults. Everything that makes a commit durable is on by default and stays on. */
const SETTINGS = [
  'listen_addresses=',
  `port=${PORT}`,
  'unix_socket_permissions=0700',
  'max_connections=200',
  'shared_buffers=256MB',
  'max_wal_size=2GB',
  'checkpoint_timeout=15min',
  'autovacuum_naptime=5s',
  'jit=off',
  'timezone=UTC',
  'log_timezone=UTC',
  // The log must not show who pays whom: neither a failed statement nor its values.
  'log_min_error_statement=panic',
  'log_error_verbosity=terse',
];

/**
 * Launches the server, without waiting until it is ready. Throws an error that states the remedy for the folder or the
 * programs.
 */
export async function launchServer(folder: DataFolder, programs: Programs): Promise<Launch> {
  try {
    const identity = await findIdentity(folder.account, programs.postgres, [folder.dataDir, folder.socketDir]);
    const before = await lstat(folder.logFile).catch(() => null);
    if (before !== null && before.size > LOG_BYTES_MAX) await rename(folder.logFile, `${folder.logFile}.1`);
    // The folder may belong to another user, who must not make root write to, or change the owner of, the target of a
    // link.
    const log = await open(folder.logFile, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600);
    try {
      const status = await log.stat();
      const logStart = status.size;
      // A second name would be that of another file, and a pipe without a reader would block this process.
      if (!status.isFile() || status.nlink !== 1) {
        throw new Error(`${folder.logFile} is not a file of the database alone: remove it and start again.`);
      }
      if (folder.account !== null) await log.chown(folder.account.userId, folder.account.groupId);
      const settings = [...SETTINGS, `unix_socket_directories="${folder.socketDir.replaceAll('"', '""')}"`];
      const options = ['-D', folder.clusterDir, ...settings.flatMap((setting) => ['-c', setting])];
      return { child: await launch(identity, programs.postgres, options, log.fd), logStart };
    } finally {
      await log.close();
    }
  } catch (error) {
    throw explainFolder(folder.dataDir, error);
  }
}

/** Whether the launched server has ended. */
export function hasEnded({ child }: Launch): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

/**
 * Whether PostgreSQL refused to start because another server uses the folder. The caller then waits for that server.
 */
export function isInterlocked(output: string): boolean {
  return /lock file ".*" (already exists|is empty)|pre-existing shared memory block/.test(output);
}

/** The error for a launch that has ended with this output. */
export async function explainEnd(folder: DataFolder, { child }: Launch, output: string): Promise<Error> {
  const cause = new Error(lastLines(output));
  const known = explainOutput(folder.dataDir, output, cause);
  if (known !== null) return known;
  if (output.includes('database files are incompatible with server')) {
    const version = (await readFrom(join(folder.clusterDir, 'PG_VERSION'))).trim();
    return new Error(
      `${folder.clusterDir} was created by another version, PostgreSQL ${version}: make a backup with the version of GopherPay that used it (gopherpay backup FILE), move ${folder.dataDir} away, and load the backup with this version (gopherpay restore FILE).`,
      { cause },
    );
  }
  return new Error(
    `PostgreSQL ended while starting${child.signalCode === null ? '' : `, by ${child.signalCode}`}: correct what it complains about in ${folder.logFile} and start again: ${lastLines(output)}`,
    { cause },
  );
}
