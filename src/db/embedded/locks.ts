// The two locks of a data folder: one to start or stop the server, and one to use it.
//
// Both are SQLite's: locks of the kernel, which end with their process, however it ends. A file with a process id would
// outlive its process, and the id could be reused. Closing any descriptor of a lock file drops the locks of the whole
// process. So only SQLite, which handles this, may open the lock files.
import { randomBytes } from 'node:crypto';
import { access, constants, link, lstat, open, rm } from 'node:fs/promises';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import type { OsUser } from './os-user.ts';
import { codeOf } from './errors.ts';

const POLL_INTERVAL_MS = 10;
const SQLITE_BUSY = 5;

/** The locks that count this process as a user. The references keep the garbage collector from releasing a lock. */
const memberships = new Set<DatabaseSync>();

/**
 * Creates a lock file if there is none. Root may create it in a folder of another user, and must not follow links
 * there. So the file gets an unpredictable name, and changes its owner while it is open. It is then linked to its own
 * name, which fails if that is taken. Its descriptor is therefore closed before it is a lock.
 */
export async function prepareLock(path: string, account: OsUser | null): Promise<void> {
  if (!(await isThere(path))) {
    const unnamed = `${path}.${randomBytes(12).toString('hex')}`;
    const file = await open(unnamed, 'wx', 0o600);
    try {
      if (account !== null) await file.chown(account.userId, account.groupId);
    } finally {
      await file.close();
    }
    try {
      await link(unnamed, path);
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error;
    } finally {
      await rm(unnamed, { force: true });
    }
  }
  if (!(await lstat(path)).isFile()) throw new Error(`${path} is not a file: remove it and start again.`);
  // Without the right to write, SQLite would fall back to reading, and its lock would exclude no other process.
  await access(path, constants.R_OK | constants.W_OK);
}

async function isThere(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    throw error;
  }
}

/** Opens a lock file. Without `mode=rw`, SQLite would create a deleted file, as root even through a link. */
function openLock(path: string): DatabaseSync {
  const url = pathToFileURL(path);
  url.searchParams.set('mode', 'rw');
  return new DatabaseSync(url, { timeout: 0 });
}

/** Waits for the start lock. Returns null if another process still holds it after `timeoutMs`. */
export async function lockStart(path: string, timeoutMs: number): Promise<DatabaseSync | null> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const lock = tryLock(path);
    if (lock !== null || performance.now() > deadline) return lock;
    await sleep(POLL_INTERVAL_MS);
  }
}

/** Takes the exclusive lock, until it is closed. Returns null if another process holds it. */
export function tryLock(path: string): DatabaseSync | null {
  const lock = openLock(path);
  try {
    // Without a journal file, because a full disk would have no room for it.
    lock.exec('pragma journal_mode = memory; begin exclusive');
    return lock;
  } catch (error) {
    lock.close();
    if (error instanceof Error && 'errcode' in error && error.errcode === SQLITE_BUSY) return null;
    throw error;
  }
}

/** Takes the shared lock. A process that gets the exclusive one knows that no process uses the server. */
export function joinUsers(path: string): DatabaseSync {
  const membership = openLock(path);
  membership.exec('begin');
  membership.prepare('select count(*) from sqlite_schema').get();
  memberships.add(membership);
  return membership;
}

/** Releases the shared lock. */
export function leaveUsers(membership: DatabaseSync): void {
  memberships.delete(membership);
  membership.close();
}
