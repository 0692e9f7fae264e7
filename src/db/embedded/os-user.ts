// The operating-system user that runs the server. PostgreSQL refuses to run as root, so root hands the server and its
// folders to another user. Must not touch files that this folder's modules did not create.
import { execFile } from 'node:child_process';
import { constants, open, readFile, stat } from 'node:fs/promises';
import { promisify } from 'node:util';

/** The user who owns the data folder and runs the server. */
export type OsUser = { userId: number; groupId: number };

/**
 * The user to run as; null for the current user, if that is not root. For root: the owner of an existing `clusterDir`,
 * otherwise the user postgres, otherwise the Unix user nobody. Throws if the machine has neither.
 */
export async function findOsUser(clusterDir: string): Promise<OsUser | null> {
  if (process.geteuid?.() !== 0) return null;
  const owner = await stat(clusterDir).catch(() => null);
  if (owner !== null && owner.uid !== 0) return { userId: owner.uid, groupId: owner.gid };
  const users = await readFile('/etc/passwd', 'utf8').catch(() => '');
  const account = findUser(users, 'postgres') ?? findUser(users, 'nobody');
  if (account === null) {
    throw new Error(
      'PostgreSQL does not run as root, and this machine has neither a user "postgres" nor "nobody": start as an ordinary user, or set DATABASE_URL.',
    );
  }
  return account;
}

function findUser(users: string, name: string): OsUser | null {
  const fields = users
    .split('\n')
    .map((line) => line.split(':'))
    .find((fields) => fields[0] === name);
  // macOS writes nobody as -2.
  const [userId, groupId] = [Number(fields?.[2]) >>> 0, Number(fields?.[3]) >>> 0];
  return userId === 0 ? null : { userId, groupId };
}

/**
 * Makes the user the owner of a folder, if this process is root. The folder is opened first, so that no link can
 * replace it.
 */
export async function handOver(path: string, account: OsUser | null): Promise<void> {
  if (account === null) return;
  const folder = await open(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  try {
    await folder.chown(account.userId, account.groupId);
  } finally {
    await folder.close();
  }
}

/** Makes the user the owner of a whole folder that root created, such as a restored backup. */
export async function handOverAll(path: string, account: OsUser | null): Promise<void> {
  if (account === null || (await stat(path)).uid === account.userId) return;
  const env = { PATH: process.env['PATH'] ?? '/usr/bin:/bin' };
  await promisify(execFile)('chown', ['-R', `${account.userId}:${account.groupId}`, path], { env });
}
