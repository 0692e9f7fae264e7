// The two locks of a data folder: who may start or stop the server, and who uses it.
//
// Both are SQLite's: locks of the kernel, which end with the process that holds them, however it ends. A file with a process id in
// it would outlive its process, and the id be given to another one. Closing any descriptor of a lock file drops the locks of the
// whole process, so that nothing here may open them but SQLite, which knows.
import { randomBytes } from 'node:crypto';
import { access, constants, link, lstat, open, rm } from 'node:fs/promises';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import type { OsUser } from './os-user.ts';
import { codeOf } from './errors.ts';

const POLL_INTERVAL_MS = 10;
const SQLITE_BUSY = 5;

/** The locks by which we are counted as users. A lock that is only referred to by a forgotten result must not be collected. */
const memberships = new Set<DatabaseSync>();

/**
 * Creates a lock file if there is none. Root may create it in a folder of another user, whose links must not be followed. So the file
 * gets a name that cannot be predicted, changes its owner while it is open, and is then linked to its own name, which fails if that is
 * taken. Its descriptor is therefore closed before it is a lock.
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
  // Without the right to write, SQLite would fall back to reading, and to a lock that excludes no other process.
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

/** Opens a lock file. Without `mode=rw`, SQLite would create one that was deleted, and as root through a link. */
function openLock(path: string): DatabaseSync {
  const url = pathToFileURL(path);
  url.searchParams.set('mode', 'rw');
  return new DatabaseSync(url, { timeout: 0 });
}

/** Waits for the start lock, and returns null if another process still has it after `timeoutMs`. */
export async function lockStart(path: string, timeoutMs: number): Promise<DatabaseSync | null> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const lock = tryLock(path);
    if (lock !== null || performance.now() > deadline) return lock;
    await sleep(POLL_INTERVAL_MS);
  }
}

/** Takes the exclusive lock, until it is closed, or returns null if another process has it. */
export function tryLock(path: string): DatabaseSync | null {
  const lock = openLock(path);
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

/** Takes the shared lock: a process that gets the exclusive one knows that no process uses the server. */
export function joinUsers(path: string): DatabaseSync {
  const membership = openLock(path);
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
