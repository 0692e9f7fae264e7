// Two installed PostgreSQL servers, the second of which is a streaming standby of the first (Debian's package
// postgresql). Both listen on a loopback port, so that one URL can name both.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chown, mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Client, type QueryResultRow, TypeOverrides } from 'pg';
import { findOsUser } from '../../src/db/embedded/os-user.ts';
import { migrate } from '../../src/db/ledger/migrate.ts';
import { onEnd, type Scope } from './cleanup.ts';
import { findInstalled } from './installed.ts';
import { until } from './until.ts';

const run = promisify(execFile);

const ROLES = { owner: 'gopherpay', runtime: 'gopherpay_service', reader: 'gopherpay_reader' };
const BOOKS = 'books';
const CONNECTIONS_MAX = 200;
/** The name under which the standby confirms what it has received. */
const STANDBY = 'second';

/** Money and numbers are bigint, as they are in the service. */
const types = new TypeOverrides();
types.setTypeParser(20, BigInt);

type Tools = { bin: string; settings: { cwd: string; env: NodeJS.ProcessEnv; uid?: number; gid?: number } };

/** One of the two servers. */
export class Member {
  readonly port: number;
  /** The superuser's way to the books. */
  readonly admin: { host: string; port: number; user: string; database: string };
  readonly #tools: Tools;
  readonly #data: string;
  readonly #name: string;
  #child: ChildProcess | null = null;

  constructor(tools: Tools, folder: string, { name, port }: { name: string; port: number }) {
    this.#tools = tools;
    this.#name = name;
    this.#data = join(folder, name);
    this.port = port;
    this.admin = { host: '127.0.0.1', port, user: 'postgres', database: BOOKS };
  }

  get data(): string {
    return this.#data;
  }

  async start(): Promise<void> {
    const log = await open(`${this.#data}.log`, 'a');
    const options = [
      'listen_addresses=127.0.0.1',
      'unix_socket_directories=',
      `port=${this.port}`,
      `max_connections=${CONNECTIONS_MAX}`,
      `cluster_name=${this.#name}`,
    ];
    this.#child = spawn(
      join(this.#tools.bin, 'postgres'),
      ['-D', this.#data, ...options.flatMap((option) => ['-c', option])],
      { ...this.#tools.settings, stdio: ['ignore', log.fd, log.fd] },
    );
    await log.close();
    const answers = async () => await this.query('select 1', [], 'postgres').then(Boolean, () => false);
    await until(answers, { timeoutMs: 30_000, what: `the server ${this.#name}` });
  }

  /** Runs one statement as the superuser. */
  async query<Row extends QueryResultRow = QueryResultRow>(
    sql: string,
    parameters: unknown[] = [],
    database = BOOKS,
  ): Promise<Row[]> {
    const client = new Client({ ...this.admin, database, types, connectionTimeoutMillis: 5000 });
    client.on('error', () => {});
    try {
      await client.connect();
      return (await client.query<Row>(sql, parameters)).rows;
    } finally {
      await client.end().catch(() => {});
    }
  }

  /** What the server has logged. */
  async log(): Promise<string> {
    return await readFile(`${this.#data}.log`, 'utf8');
  }

  /** Ends all processes of the server at once, as the end of its machine would. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (child?.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    for (const pid of await this.#processes()) signal(pid, 'SIGKILL');
    await ended;
  }

  /** Stops all processes of the server, or those whose title contains a word, until the returned function is called. */
  async freeze(word = ''): Promise<() => void> {
    const frozen = await this.#processes(word);
    for (const pid of frozen) signal(pid, 'SIGSTOP');
    return () => {
      for (const pid of frozen.toReversed()) signal(pid, 'SIGCONT');
    };
  }

  async promote(): Promise<void> {
    await this.query('select pg_promote(wait => false)', [], 'postgres');
  }

  async stop(): Promise<void> {
    const child = this.#child;
    if (child?.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    for (const pid of await this.#processes()) signal(pid, 'SIGCONT');
    child.kill('SIGINT');
    await ended;
  }

  /** The main process first. */
  async #processes(word = ''): Promise<number[]> {
    const main = this.#child?.pid ?? 0;
    const { stdout } = await run('ps', ['-o', 'pid=,args=', '--ppid', String(main)]).catch(() => ({ stdout: '' }));
    const children = stdout
      .split('\n')
      .filter((line) => line.includes(word))
      .map((line) => Number.parseInt(line, 10));
    return [...(word === '' ? [main] : []), ...children.filter((pid) => pid > 0)];
  }
}

export type Replicated = {
  primary: Member;
  standby: Member;
  /** The DATABASE_URL of the service, with both hosts. */
  url: string;
  ownerUrl: string;
  readerUrl: string;
};

/** Whether the machine has the programs. */
export async function hasStandby(): Promise<boolean> {
  return (await findInstalled()) !== null;
}

/** Starts both servers with migrated, empty books. They are stopped when the scope ends. */
export async function startReplicated(scope: Scope, { synchronous }: { synchronous: boolean }): Promise<Replicated> {
  const bin = await findInstalled();
  if (bin === null) throw new Error('PostgreSQL is not installed: install the package postgresql of Debian.');
  const folder = await mkdtemp(join(tmpdir(), 'gopherpay-standby-'));
  onEnd(scope, () => rm(folder, { recursive: true, force: true }));
  const account = await findOsUser('');
  if (account !== null) await chown(folder, account.userId, account.groupId);
  const identity = account === null ? {} : { uid: account.userId, gid: account.groupId };
  const tools: Tools = {
    bin,
    settings: { cwd: folder, env: { PATH: process.env['PATH'], LC_ALL: 'C.UTF-8' }, ...identity },
  };
  const primary = new Member(tools, folder, { name: 'first', port: await freePort() });
  const standby = new Member(tools, folder, { name: STANDBY, port: await freePort() });
  await run(
    join(bin, 'initdb'),
    ['-D', primary.data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '-N'],
    tools.settings,
  );
  onEnd(scope, () => primary.stop());
  await primary.start();
  const { owner, runtime, reader } = ROLES;
  for (const role of [owner, runtime, reader]) await primary.query(`create role ${role} login`, [], 'postgres');
  await primary.query(`create database ${BOOKS} owner ${owner}`, [], 'postgres');
  await migrate({ ...primary.admin, user: owner }, { roles: { runtime, reader } });
  await follow(tools, primary, standby);
  onEnd(scope, () => standby.stop());
  if (synchronous) {
    // Only on the primary: a promoted standby has no standby of its own, and would wait for it.
    await primary.query(`alter system set synchronous_standby_names = '${STANDBY}'`, [], 'postgres');
    await primary.query('select pg_reload_conf()', [], 'postgres');
  }
  await until(async () => await isFollowed(primary, synchronous), { timeoutMs: 30_000, what: 'the standby to follow' });
  const urlOf = (role: string) =>
    `postgres://${role}@127.0.0.1:${primary.port},127.0.0.1:${standby.port}/${BOOKS}?target_session_attrs=read-write`;
  return { primary, standby, url: urlOf(runtime), ownerUrl: urlOf(owner), readerUrl: urlOf(reader) };
}

/** Copies the primary, and starts the copy as its standby. */
async function follow(tools: Tools, primary: Member, standby: Member): Promise<void> {
  const source = ['-h', '127.0.0.1', '-p', String(primary.port), '-U', 'postgres'];
  await run(
    join(tools.bin, 'pg_basebackup'),
    [...source, '-D', standby.data, '-R', '-X', 'stream', '-c', 'fast', '-N'],
    tools.settings,
  );
  await standby.start();
}

async function isFollowed(primary: Member, synchronous: boolean): Promise<boolean> {
  const rows = await primary.query<{ sync: string }>(
    `select sync_state as sync from pg_stat_replication where state = 'streaming'`,
  );
  return rows.some(({ sync }) => !synchronous || sync === 'sync');
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (typeof address !== 'object' || address === null) throw new Error('There is no free port.');
  return address.port;
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It has ended.
  }
}
