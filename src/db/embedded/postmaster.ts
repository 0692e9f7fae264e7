// The server process of a data folder, which PostgreSQL calls the postmaster. Finds and stops it, regardless of the
// process that launched it. Must not trust a process id in a file, or signal a process that is not known to be this
// server.
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile, rm, rmdir } from 'node:fs/promises';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { codeOf } from './errors.ts';
import { readFrom, socketFile, type DataFolder } from './data-folder.ts';

/** A running server. Without `processId` it answers, but its process is not visible here (another container). */
type Sighting = { processId: number | null; ready: boolean; socketDir: string };

const FAST_TIMEOUT_MS = 20_000;
const IMMEDIATE_TIMEOUT_MS = 10_000;
/** The longest that stopping may take. */
export const STOP_TIMEOUT_MS = FAST_TIMEOUT_MS + IMMEDIATE_TIMEOUT_MS;
const POLL_INTERVAL_MS = 10;

/** The server of this data folder; null if none runs, whatever its files contain. */
export async function findServer(folder: DataFolder): Promise<Sighting | null> {
  // Line 1 is the process id (negative for a single-user session), line 5 the folder of the socket, line 8 the state.
  const lines = (await readFrom(stateFile(folder))).split('\n');
  const processId = Math.abs(Number(lines[0]));
  // The server reports its socket folder: the folder for temporary files, used for long paths, differs between
  // processes.
  const reported = lines[4] ?? '';
  const socketDir = reported !== '' && existsSync(socketFile(reported)) ? reported : folder.socketDir;
  if (processId > 0 && (await isServer(processId, folder))) {
    return { processId, ready: lines[7]?.trim() === 'ready', socketDir };
  }
  if (await accepts(socketFile(folder.socketDir))) return { processId: null, ready: true, socketDir: folder.socketDir };
  return null;
}

function stateFile(folder: DataFolder): string {
  return join(folder.clusterDir, 'postmaster.pid');
}

/**
 * Whether a process is the server of this data folder, by its command line. Every user can read that; its working
 * directory may be hidden from root in a container. It is empty once a process has ended but has not been collected.
 */
async function isServer(processId: number, folder: DataFolder): Promise<boolean> {
  const commandLine =
    process.platform === 'linux'
      ? await readFile(`/proc/${processId}/cmdline`, 'utf8').catch(() => '')
      : await promisify(execFile)('ps', ['-ww', '-o', 'command=', '-p', String(processId)]).then(
          ({ stdout }) => stdout.trim(),
          () => '',
        );
  return `${commandLine.replaceAll('\0', ' ')} `.includes(` -D ${folder.clusterDir} `);
}

/** Whether a process has released its memory, and with it its command line, but still holds its files. */
async function isExiting(processId: number): Promise<boolean> {
  if (process.platform !== 'linux') return false;
  const status = await readFile(`/proc/${processId}/status`, 'utf8').catch(() => '');
  return status !== '' && !/^State:\s+Z/m.test(status) && !/^VmSize:/m.test(status) && !/^Kthread:\s+1/m.test(status);
}

async function accepts(path: string): Promise<boolean> {
  const socket = connect(path);
  try {
    return await new Promise((resolve) => {
      socket.once('connect', () => resolve(true));
      socket.once('error', () => resolve(false));
    });
  } finally {
    socket.destroy();
  }
}

/**
 * Removes the files of a server that has ended. PostgreSQL itself gives up if another process now has the old process
 * id.
 */
export async function clearTraces(folder: DataFolder): Promise<void> {
  const socket = socketFile(folder.socketDir);
  for (const path of [stateFile(folder), socket, `${socket}.lock`]) await rm(path, { force: true });
}

/** Stops the server, if its process is visible, and waits until it has ended. Throws if it still runs after 30 s. */
export async function stopServer(folder: DataFolder): Promise<void> {
  const server = await findServer(folder);
  if (server === null || server.processId === null) return;
  // SIGINT is a fast shutdown: it ends the sessions and writes a checkpoint. SIGQUIT is an immediate one: at the next
  // start, the write-ahead log restores everything committed.
  const gone =
    (await signalServer(server.processId, 'SIGINT', folder, FAST_TIMEOUT_MS)) ||
    (await signalServer(server.processId, 'SIGQUIT', folder, IMMEDIATE_TIMEOUT_MS));
  if (!gone) {
    throw new Error(
      `The database in ${folder.dataDir} (process ${server.processId}) did not stop: see ${folder.logFile}, and end that process with "kill -QUIT ${server.processId}".`,
    );
  }
  if (dirname(server.socketDir) !== folder.dataDir) await rmdir(server.socketDir).catch(() => {});
}

async function signalServer(
  processId: number,
  signal: NodeJS.Signals,
  folder: DataFolder,
  timeoutMs: number,
): Promise<boolean> {
  try {
    process.kill(processId, signal);
  } catch (error) {
    if (codeOf(error) !== 'ESRCH') throw error;
  }
  const deadline = performance.now() + timeoutMs;
  while ((await isServer(processId, folder)) || (await isExiting(processId))) {
    if (performance.now() > deadline) return false;
    await sleep(POLL_INTERVAL_MS);
  }
  return true;
}
