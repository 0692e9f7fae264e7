// wrk, a load generator in C: it takes less of the processor from the measured service than a generator in Node.
import { execFile } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { z } from 'zod';
import { ACCOUNTS, type Bench, CONNECTIONS, ROOT, WARM_UP_SECONDS } from './bench.ts';
import type { Load, Loaded } from './load.ts';
import { killIfRunning, outputOf, start, type Started } from './processes.ts';
import { PREFIX } from './seed.ts';
import { passWindow } from './window.ts';

const PROGRAM = 'wrk';
/** The load runs for so long before and after the window. wrk takes whole seconds. */
const MARGIN_SECONDS = 0.5;

const result = z.object({
  seconds: z.number(),
  requests: z.number(),
  /** Requests answered with an error, 429 for example. */
  refused: z.number(),
  /** Errors of connections. */
  failed: z.number(),
  meanMs: z.number(),
  p50Ms: z.number(),
  p99Ms: z.number(),
});

/** Returns the version of wrk, or null if it is not installed. */
export async function wrkVersion(): Promise<string | null> {
  // It ends with 1 after it has printed its version.
  const output = await promisify(execFile)(PROGRAM, ['-v']).catch((error: unknown) => error);
  const { success, data } = z.object({ stdout: z.string() }).safeParse(output);
  return success && data.stdout !== '' ? (data.stdout.split(' [')[0] ?? '') : null;
}

/** Throws one sentence if wrk is not installed. */
export async function requireWrk(): Promise<void> {
  if ((await wrkVersion()) === null) throw new Error('wrk is not installed: install the Debian package wrk.');
}

/** Reads what the script prints at the end; wrk prints its own text before. */
export function parseWrk(output: string): z.output<typeof result> {
  const line = output.split('\n').findLast((line) => line.startsWith('{'));
  if (line === undefined) throw new Error(`wrk printed no result: ${output}`);
  return result.parse(JSON.parse(line));
}

/** Runs wrk against a service, first to warm it up, then to measure. Latencies are reported only if every request was accepted. */
export async function putWrk(
  bench: Bench,
  service: Started,
  url: string,
  load: Load,
  seconds: number,
): Promise<Loaded> {
  const run = (options: readonly string[]) => start(PROGRAM, options, { cwd: ROOT });
  const warmedUp = parseWrk(await outputOf(run(optionsOf(load, url, WARM_UP_SECONDS))));
  const options = optionsOf(load, url, seconds + 2 * MARGIN_SECONDS);
  const started = run(options);
  const marks = {
    begin: async () => await sleep(MARGIN_SECONDS * 1000),
    end: async () => await sleep(seconds * 1000),
  };
  try {
    const window = await passWindow(bench, marks, started, service);
    const measured = parseWrk(await outputOf(started));
    const accepted = measured.requests - measured.refused;
    const perSecond = (count: number) => count / measured.seconds;
    const { meanMs, p50Ms, p99Ms } = measured;
    const reported = {
      offeredPerSecond: perSecond(measured.requests),
      acceptedPerSecond: perSecond(accepted),
      refusedPerSecond: perSecond(measured.refused),
      failedPerSecond: perSecond(measured.failed),
      ...(measured.refused === 0 ? { acceptMeanMs: meanMs, acceptP50Ms: p50Ms, acceptP99Ms: p99Ms } : {}),
      ...(measured.refused === 0 && load.wait ? { finalMeanMs: meanMs, finalP50Ms: p50Ms, finalP99Ms: p99Ms } : {}),
    };
    // The results name no key.
    const texts = options.map((option) => option.replace(url, 'URL').replace(load.key ?? url, 'KEY'));
    const shown = texts.map((text) => (text.includes(' ') ? `'${text}'` : text));
    const command = [PROGRAM, ...shown].join(' ');
    return { window, reported, accepted: accepted + warmedUp.requests - warmedUp.refused, command };
  } finally {
    killIfRunning(started);
  }
}

export function optionsOf(load: Load, url: string, seconds: number): string[] {
  const { connections = CONNECTIONS, accounts = ACCOUNTS, wait = false, ledgers = 0, opens = false, rate } = load;
  const headers = [
    'Content-Type: application/json',
    ...(wait ? ['Prefer: wait=5'] : []),
    ...(load.key === undefined ? [] : [`Authorization: Bearer ${load.key}`]),
  ];
  // A new one for every run, because it is part of the numbers of opened accounts.
  const seed = Math.floor(Math.random() * 2 ** 31);
  const script = [opens ? 'openings' : 'transfers', accounts, PREFIX, ledgers, Math.round(rate?.() ?? 0), seed];
  return [
    '--threads=1',
    `--connections=${connections}`,
    `--duration=${seconds}`,
    '--timeout=30s',
    ...headers.map((header) => `--header=${header}`),
    '--script=bench/wrk.lua',
    url,
    '--',
    ...script.map(String),
  ];
}
