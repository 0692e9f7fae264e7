// Runs the service as its users do, in a process of its own, and talks to it over HTTP.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { request as send } from 'undici';
import { z } from 'zod';
import { openEmbeddedServer } from '../../src/db/embedded/server.ts';
import { onEnd, type Scope } from './cleanup.ts';
import { until } from './until.ts';

/** The program of npm start and `npx gopherpay`. */
export const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
/** The commands that only the owner of the tables may run. */
const OF_OWNERS = new Set(['keys', 'approval-rule', 'archive', 'close', 'import']);
const READY = /^gopherpay listening on (https?:\/\/\S+)$/m;
/** An embedded server may have to be made first. */
const READY_TIMEOUT_MS = 60_000;
/** How long SIGTERM may take before a cleanup turns to SIGKILL. */
const STOP_TIMEOUT_MS = 20_000;

/**
 * The part of this environment that a started process needs. The rest, such as a developer's DATABASE_URL, is left out.
 */
const INHERITED = ['PATH', 'HOME', 'USER', 'TMPDIR', 'LANG', 'NODE_V8_COVERAGE'];

export type Exit = { code: number | null; signal: NodeJS.Signals | null };

/** A process under test. */
export type Program = {
  pid: number;
  /** Settles when the process has ended, however that came. Never rejects. */
  exited: Promise<Exit>;
  ended: () => boolean;
  /** All it has printed so far, standard output and standard error as they came. */
  output: () => string;
  /** What it has printed to standard output alone. */
  stdout: () => string;
  /** The lines of its standard error that are JSON objects: its log. */
  logs: () => Record<string, unknown>[];
  /** Stops reading its standard error, like a stalled log collector. The buffered bytes are read after its end. */
  stallErrors: () => void;
  /** Closes the reading end of its standard error, as a log collector that died. */
  cutErrors: () => void;
  /** Stops it with SIGTERM, and waits until it has ended. */
  stop: () => Promise<Exit>;
  /** Kills it with SIGKILL, and waits until it has ended. */
  kill: () => Promise<Exit>;
};

export type Service = Program & { url: string };

export type ProgramOptions = {
  /** The database it is to use; without one it keeps its own in the folder it is started in. */
  database?: { url: string; ownerUrl?: string };
  /** More of its environment, such as THREADS. */
  env?: Record<string, string>;
  /** More of its arguments. */
  args?: string[];
  /** The folder it is started in: by default an empty one, so that no .env is read. */
  folder?: string;
  /** The program to start: by default the one of the project. */
  main?: string;
};

export type Answer<Body> = {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  /** The parsed body where it is JSON, otherwise an empty object. */
  body: Body;
  text: string;
};

/** Starts the service on a free port and waits until it is ready. It is stopped when the scope ends, if it still runs. */
export async function startService(scope: Scope, options: ProgramOptions = {}): Promise<Service> {
  const program = await startProgram(scope, {
    ...options,
    args: ['serve', ...(options.args ?? [])],
    env: { PORT: '0', ...options.env },
  });
  const giveUp = (why: string): never => {
    throw new Error(`The service ${why}. It printed:\n${program.output()}`);
  };
  const url = await until(() => program.ended() || READY.exec(program.stdout())?.[1], {
    timeoutMs: READY_TIMEOUT_MS,
    what: 'the service',
  }).catch(() => giveUp(`was not ready after ${READY_TIMEOUT_MS} ms`));
  return url === true ? giveUp('ended before it was ready') : { ...program, url };
}

/** Starts the command line with `args` and does not wait for anything. It is stopped when the scope ends, if it still runs. */
export async function startProgram(scope: Scope, options: ProgramOptions): Promise<Program> {
  const folder = options.folder ?? (await makeFolder(scope));
  const env: NodeJS.ProcessEnv = {};
  for (const name of INHERITED) if (process.env[name] !== undefined) env[name] = process.env[name];
  if (options.database) env['DATABASE_URL'] = options.database.url;
  const ownerUrl = options.database?.ownerUrl;
  if (ownerUrl !== undefined && OF_OWNERS.has(options.args?.[0] ?? '')) env['DATABASE_OWNER_URL'] = ownerUrl;
  Object.assign(env, options.env);

  const child = spawn(process.execPath, [options.main ?? MAIN, ...(options.args ?? [])], {
    cwd: folder,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let ended = false;
  const exited = new Promise<Exit>((settle) => {
    child.once('close', (code, signal) => {
      ended = true;
      settle({ code, signal });
    });
    child.once('error', () => settle({ code: null, signal: null }));
  });
  // A stream that is not read to its end would keep the child from being closed.
  child.once('exit', () => child.stderr.resume());
  const killWithUs = (): void => {
    child.kill('SIGKILL');
  };
  process.once('exit', killWithUs);
  child.once('close', () => process.off('exit', killWithUs));
  const end = async (signal: NodeJS.Signals): Promise<Exit> => {
    child.kill(signal);
    return exited;
  };
  onEnd(scope, async () => {
    const patience = setTimeout(killWithUs, STOP_TIMEOUT_MS);
    if (!ended) await end('SIGTERM');
    clearTimeout(patience);
    if (!env['DATABASE_URL'] && !env['DB_HOST']) await stopOrphan(resolve(folder, env['DATA_DIR'] ?? '.gopherpay'));
  });

  let output = '';
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output += text;
    stderr += text;
  });
  if (child.pid === undefined) throw new Error(`${process.execPath} could not be started: is it executable?`);
  return {
    pid: child.pid,
    exited,
    ended: () => ended,
    output: () => output,
    stdout: () => stdout,
    logs: () =>
      // The last piece is empty, or a line of which a part has arrived.
      stderr
        .split('\n')
        .slice(0, -1)
        .filter((line) => line.startsWith('{'))
        .map(parseLine),
    stallErrors: () => void child.stderr.pause(),
    cutErrors: () => void child.stderr.destroy(),
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
  };
}

/** Stops the embedded server that a killed process leaves behind. */
async function stopOrphan(dataDir: string): Promise<void> {
  if (!existsSync(join(dataDir, 'postgres', 'postmaster.pid'))) return;
  const server = await openEmbeddedServer(dataDir);
  await server.release();
}

/** Makes an empty folder that is removed when the scope ends. */
export async function makeFolder(scope: Scope): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'gopherpay-test-'));
  onEnd(scope, () => rm(folder, { recursive: true, force: true }));
  return folder;
}

/**
 * Sends one request. A body that is no text is sent as JSON, a text as it is; either is declared as application/json unless
 * `headers` say otherwise.
 */
export async function request<Body = Record<string, unknown>>(
  service: { url: string },
  method: 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE',
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Answer<Body>> {
  const payload = body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) };
  const answer = await send(new URL(path, service.url), {
    method,
    headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
    ...payload,
  });
  const text = await answer.body.text();
  const json = /^application\/([a-z]+\+)?json/.test(String(answer.headers['content-type'])) && text !== '';
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the test states what it expects, and then checks it
  const parsed = (json ? JSON.parse(text) : {}) as Body;
  return { status: answer.statusCode, headers: answer.headers, body: parsed, text };
}

/** Waits until the transfer is no longer pending, and returns it as the service shows it. */
export async function awaitFinal(
  service: { url: string; headers?: Record<string, string> },
  id: string,
  timeoutMs = 10_000,
): Promise<Record<string, unknown>> {
  return until(
    async () => {
      const answer = await request(service, 'GET', `/transfers/${id}`, undefined, service.headers);
      if (answer.status !== 200)
        throw new Error(`GET /transfers/${id} was answered with ${answer.status}: ${answer.text}`);
      return answer.body['status'] === 'pending' ? undefined : answer.body;
    },
    { timeoutMs, what: `transfer ${id} to be completed or failed` },
  );
}

function parseLine(line: string): Record<string, unknown> {
  return z.record(z.string(), z.unknown()).parse(JSON.parse(line));
}
