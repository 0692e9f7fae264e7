// The data folder: its layout and its owner. Creates the folder, the folder of the socket and the lock files. Must not
// touch the database.
import { createHash } from 'node:crypto';
import { lstat, mkdir, open, readFile, realpath } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { findOsUser, handOver, type OsUser } from './os-user.ts';
import { codeOf, explainFolder } from './errors.ts';
import { prepareLock } from './locks.ts';

export type DataFolder = {
  dataDir: string;
  clusterDir: string;
  socketDir: string;
  logFile: string;
  startLock: string;
  usersLock: string;
  account: OsUser | null;
};

/** The number by which PostgreSQL names its socket; no TCP port is opened. */
export const PORT = 5432;
/** The shortest limit of all systems (macOS: 104 with the final zero; Linux: 108). */
const SOCKET_PATH_BYTES_MAX = 103;

/** Prepares a new or existing data folder. Throws an error that states the remedy for the folder or the disk. */
export async function prepareDataFolder(wanted: string): Promise<DataFolder> {
  if (resolve(wanted).includes('\n')) {
    // PostgreSQL's own files have one path per line.
    throw new Error('The data folder has a line break in its path: set DATA_DIR to another folder.');
  }
  try {
    await mkdir(dirname(wanted), { recursive: true });
    const made = await makeFolder(wanted);
    const dataDir = await realpath(wanted);
    const clusterDir = join(dataDir, 'postgres');
    const account = await findOsUser(clusterDir);
    if (made) {
      await handOver(dataDir, account);
      await syncFolder(dirname(dataDir));
    }
    const folder = {
      dataDir,
      clusterDir,
      socketDir: await prepareSocketDir(dataDir, account),
      logFile: join(dataDir, 'postgres.log'),
      startLock: join(dataDir, 'start.lock'),
      usersLock: join(dataDir, 'users.lock'),
      account,
    };
    for (const lock of [folder.startLock, folder.usersLock]) await prepareLock(lock, account);
    return folder;
  } catch (error) {
    throw explainFolder(wanted, error);
  }
}

async function prepareSocketDir(dataDir: string, account: OsUser | null): Promise<string> {
  const inside = join(dataDir, 'socket');
  const fits = Buffer.byteLength(socketFile(inside)) <= SOCKET_PATH_BYTES_MAX;
  const socketDir = fits
    ? inside
    : join(tmpdir(), `gopherpay-${createHash('sha256').update(dataDir).digest('hex').slice(0, 16)}`);
  await makeFolder(socketDir);
  const status = await lstat(socketDir);
  // A folder of root's was just created: now, or by a process that was killed before it changed the owner.
  const isRoots = account !== null && status.uid === 0;
  const isOurs = isRoots || status.uid === (account?.userId ?? process.geteuid?.());
  // The folder for temporary files is shared by all users: another user may have created it before us.
  if (!status.isDirectory() || !isOurs || (status.mode & 0o077) !== 0) {
    throw new Error(
      `${socketDir} is not a folder for the database's user alone: remove it if you know where it comes from, or set DATA_DIR to another (and shorter) path.`,
    );
  }
  if (isRoots) await handOver(socketDir, account);
  return socketDir;
}

/** The socket of a server whose socket folder is this one. */
export function socketFile(socketDir: string): string {
  return join(socketDir, `.s.PGSQL.${PORT}`);
}

/** Creates a folder for its owner alone. False: the name was already taken. */
async function makeFolder(path: string): Promise<boolean> {
  try {
    await mkdir(path, { mode: 0o700 });
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  }
}

/** Flushes a folder to the disk: only then does a new name in it survive a power cut. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** The text of a file from a byte offset on (default 0); empty if there is no such file. */
export async function readFrom(path: string, offset = 0): Promise<string> {
  const content = await readFile(path).catch(() => Buffer.alloc(0));
  return content.subarray(offset).toString('utf8');
}
