// The two locks of a data folder: who may start or stop the server, and who uses it.
//
// Both are SQLite's: locks of the kernel, which end with the process that holds them, however it ends. A file with a process id in
// it would outlive its process, and the id be given to another one. Closing any descriptor of a lock file drops the locks of the
// whole process, so that nothing here may open them but SQLite, which knows.
import { chmod, lstat } from 'node:fs/promises';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { handOver, type Account } from './account.ts';

const POLL_INTERVAL_MS = 10;
const SQLITE_BUSY = 5;

/** The locks by which we are counted as users. A lock that is only referred to by a forgotten result must not be collected. */
const memberships = new Set<DatabaseSync>();

/**
 * Makes a lock file if there is none. SQLite would fall back to reading, and to a lock that excludes nobody, if it may not write:
 * chmod raises before that.
 */
export async function prepareLock(path: string, account: Account | null): Promise<void> {
  new DatabaseSync(path).close();
  await handOver(path, account);
  if (!(await lstat(path)).isFile()) throw new Error(`${path} is not a file: remove it and start again.`);
  await chmod(path, 0o600);
}

/** Waits for the start lock, and returns null if somebody else still has it after `timeoutMs`. */
export async function lockStart(path: string, timeoutMs: number): Promise<DatabaseSync | null> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const lock = tryLock(path);
    if (lock !== null || performance.now() > deadline) return lock;
    await sleep(POLL_INTERVAL_MS);
  }
}

/** Takes the exclusive lock, until it is closed, or returns null if somebody else has it. */
export function tryLock(path: string): DatabaseSync | null {
  const lock = new DatabaseSync(path, { timeout: 0 });
  try {
    // Without a journal file, which a full disk would have no room for.
    lock.exec('pragma journal_mode = memory; begin exclusive');
    return lock;
  } catch (error) {
    lock.close();
    if (error instanceof Error && 'errcode' in error && error.errcode === SQLITE_BUSY) return null;
    throw error;
  }
}

/** Takes the shared lock: whoever gets the exclusive one knows that nobody uses the server. */
export function joinUsers(path: string): DatabaseSync {
  const membership = new DatabaseSync(path, { timeout: 0 });
  membership.exec('begin');
  membership.prepare('select count(*) from sqlite_schema').get();
  memberships.add(membership);
  return membership;
}

/** Gives the shared lock back. */
export function leaveUsers(membership: DatabaseSync): void {
  memberships.delete(membership);
  membership.close();
}
