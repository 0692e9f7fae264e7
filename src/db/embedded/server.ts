// Runs the embedded PostgreSQL server of a data folder, if there is no DATABASE_URL. It owns these files in that folder,
// and must not touch files that it did not create:
//
//   postgres/      the database itself             postgres.log   the log of the server
//   socket/        the only way to reach it        start.lock     held while a process starts, adopts or stops the server
//   postgres.new-… an initialization under way     users.lock     shared by all processes that use the server
//
// The server is a separate process: it survives this one, even if this one is killed, and the next start adopts it.
//
//   nothing ── initdb, rename ──▶ stopped ── launch ──▶ starting ──▶ ready ── the last user leaves ──▶ stopping ──▶ stopped
//                                    ▲                      └─ crashed: recovers at the next launch ─┘
//
// All steps are taken under the start lock. This file decides which step is next; the others implement the steps.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { type OpenOptions, prepareCluster } from './cluster.ts';
import { lastLines } from './errors.ts';
import { explainEnd, hasEnded, isInterlocked, launchServer, type Launch } from './launch.ts';
import { joinUsers, leaveUsers, lockStart, tryLock } from './locks.ts';
import { prepareDataFolder, readFrom, type DataFolder } from './data-folder.ts';
import { clearTraces, findServer, STOP_TIMEOUT_MS, stopServer } from './postmaster.ts';
import { findPrograms, type Programs } from './programs.ts';
import { provision, type RoleSettings, settingsOf } from './provision.ts';

export type EmbeddedServer = {
  roles: RoleSettings;
  /** True if it was already running. */
  adopted: boolean;
  /** Leaves the server; the last process to leave stops it and waits until it is gone. May be called again. */
  release(): Promise<void>;
};

const START_TIMEOUT_MS = 60_000;
const POLL_INTERVAL_MS = 10;
const INTERLOCK_INTERVAL_MS = 100;

/**
 * Opens the server of a data folder. Creates a missing one, starts a stopped one, waits for one that is starting,
 * recovering or stopping, and adopts a running one. `startTimeoutMs` (60 000) bounds each of these waits. `onLaunch` is
 * called when the server has been launched and is not ready yet. When `signal` is aborted, throws the reason. Any other
 * error states the remedy for the folder, the disk, the binaries or the server.
 */
export async function openEmbeddedServer(
  dataDir: string,
  options: { startTimeoutMs?: number; onLaunch?: () => void } & OpenOptions = {},
): Promise<EmbeddedServer> {
  const startTimeoutMs = options.startTimeoutMs ?? START_TIMEOUT_MS;
  const programs = await findPrograms();
  const folder = await prepareDataFolder(dataDir);
  const startLock = await lockStart(folder.startLock, startTimeoutMs);
  if (startLock === null) {
    throw new Error(
      `Another process has been starting or stopping the database in ${folder.dataDir} for ${startTimeoutMs / 1000} s: wait until it is done, or end it, and start again.`,
    );
  }
  try {
    const membership = joinUsers(folder.usersLock);
    try {
      const { socketDir, adopted } = await bringUp(folder, programs, startTimeoutMs, options);
      let released: Promise<void> | null = null;
      return {
        roles: settingsOf(socketDir),
        adopted,
        release: async () => (released ??= leave(folder, membership)),
      };
    } catch (error) {
      leaveUsers(membership);
      if (options.signal?.aborted) await stopUnused(folder);
      throw error;
    }
  } finally {
    startLock.close();
  }
}

async function leave(folder: DataFolder, membership: DatabaseSync): Promise<void> {
  const startLock = await lockStart(folder.startLock, STOP_TIMEOUT_MS);
  leaveUsers(membership);
  // A process that holds the lock for so long uses the server, or is about to stop it. So this one does not stop it.
  if (startLock === null) return;
  try {
    await stopUnused(folder);
  } finally {
    startLock.close();
  }
}

/** Stops the server if no process uses it. The caller holds the start lock. */
async function stopUnused(folder: DataFolder): Promise<void> {
  const everybody = tryLock(folder.usersLock);
  if (everybody === null) return;
  everybody.close();
  await stopServer(folder);
}

/** Whether there is a database in the data folder. */
export function holdsCluster(dataDir: string): boolean {
  return existsSync(join(dataDir, 'postgres', 'PG_VERSION'));
}

async function bringUp(
  folder: DataFolder,
  programs: Programs,
  timeoutMs: number,
  { signal, onCreate, onLaunch }: { onLaunch?: () => void } & OpenOptions,
): Promise<{ socketDir: string; adopted: boolean }> {
  let launched: Launch | null = null;
  let deadline = performance.now() + timeoutMs;
  for (;;) {
    const server = await findServer(folder);
    const isOurs = launched !== null && !hasEnded(launched);
    // A launched server is stopped as soon as it can be found.
    if (server !== null || !isOurs) signal?.throwIfAborted();
    if (server?.ready && (await provisionOrStop(folder, server.socketDir, isOurs))) {
      return { socketDir: server.socketDir, adopted: !isOurs };
    }
    if (server === null && !isOurs) {
      if (launched === null) {
        await prepareCluster(folder, programs, { timeoutMs, signal, onCreate });
        // The time of an initialization does not count as waiting for the server.
        deadline = performance.now() + timeoutMs;
      } else {
        const output = await readFrom(folder.logFile, launched.logStart);
        if (!isInterlocked(output)) throw await explainEnd(folder, launched, output);
        await sleep(INTERLOCK_INTERVAL_MS);
      }
      // A server launched by a process that was just killed may have appeared meanwhile: its files must stay.
      if ((await findServer(folder)) === null) {
        await clearTraces(folder);
        launched = await launchServer(folder, programs);
        onLaunch?.();
      }
    }
    if (performance.now() > deadline) {
      throw new Error(
        `The database in ${folder.dataDir} was not ready after ${timeoutMs / 1000} s: it continues by itself, so start again later; its log ${folder.logFile} ends with: ${lastLines(await readFrom(folder.logFile))}`,
      );
    }
    await sleep(POLL_INTERVAL_MS);
  }
}

/** Stops a server that was launched here if it cannot be used. */
async function provisionOrStop(folder: DataFolder, socketDir: string, isOurs: boolean): Promise<boolean> {
  try {
    return await provision(folder, socketDir);
  } catch (error) {
    if (isOurs) await stopServer(folder);
    throw error;
  }
}
