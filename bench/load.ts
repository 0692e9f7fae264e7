// Puts load on a service, by one of two generators, and measures the window of it that counts.
import { join } from 'node:path';
import { z } from 'zod';
import { ACCOUNTS, type Bench, CONNECTIONS, WARM_UP_SECONDS } from './bench.ts';
import { BrokenPromise, type Measured } from './subject.ts';
import { ended, killIfRunning, nextLine, start, type Started } from './processes.ts';
import { PREFIX } from './seed.ts';
import { marksOf, passWindow, type Window } from './window.ts';
import { putWrk } from './wrk.ts';

const percentiles = z.object({ mean: z.number(), p50: z.number(), p99: z.number() }).nullable();
const summary = z.object({
  offered: z.number(),
  accepted: z.number(),
  refused: z.number(),
  failed: z.number(),
  acceptMs: percentiles,
  refuseMs: percentiles,
  finalMs: percentiles,
  unbalanced: z.array(z.string()),
});
type Percentiles = z.output<typeof percentiles>;
type Summary = z.output<typeof summary>;

export type Load = {
  /** `node`: bench/generator.ts, which measures how long a transfer takes to become final. */
  readonly generator: 'node' | 'wrk';
  readonly connections?: number;
  readonly accounts?: number;
  readonly bulk?: number;
  readonly hot?: number;
  /** Callers wait for the outcome: an answer is final, and a connection sends its next request after it. */
  readonly wait?: boolean;
  /** Requests per second of an open loop, found when the turn begins; absent: a closed loop. */
  readonly rate?: () => number;
  /** With wrk: transfers are spread over the ledgers l1, l2 and so on, up to this one. */
  readonly ledgers?: number;
  /** With wrk: the key that every request carries. */
  readonly key?: string;
  /** With wrk: every request opens an account. */
  readonly opens?: boolean;
};

export type Loaded = {
  readonly window: Window;
  readonly reported: Measured;
  /** Requests that were accepted, in the window at least. All of them must have taken effect. */
  readonly accepted: number;
  readonly command: string;
};

/** Runs the load generator against a URL. */
export async function putLoad(
  bench: Bench,
  service: Started,
  url: string,
  load: Load,
  seconds: number,
): Promise<Loaded> {
  return await (load.generator === 'wrk' ? putWrk : putNode)(bench, service, url, load, seconds);
}

async function putNode(
  bench: Bench,
  service: Started,
  url: string,
  { connections = CONNECTIONS, accounts = ACCOUNTS, bulk = 1, hot = 0, wait = false, rate }: Load,
  seconds: number,
): Promise<Loaded> {
  const options = {
    connections,
    accounts,
    bulk,
    hot,
    rate: Math.round(rate?.() ?? 0),
    prefix: PREFIX,
    seed: Math.floor(Math.random() * 2 ** 31),
    'warm-up': WARM_UP_SECONDS,
    seconds,
  };
  const shown = Object.entries(options).map(([name, value]) => `--${name}=${value}`);
  if (wait) shown.push('--wait');
  const script = join(import.meta.dirname, 'generator.ts');
  const load = start(process.execPath, [script, `--url=${url}`, ...shown], { cwd: bench.folder });
  let window: Window;
  let result: Summary;
  try {
    window = await passWindow(bench, marksOf(load), load, service);
    result = summary.parse(JSON.parse(await nextLine(load, 'The load')));
    await ended(load);
  } finally {
    killIfRunning(load);
  }
  if (result.unbalanced.length > 0) throw new BrokenPromise('The service shows balances that do not sum to zero.');
  const perSecond = (count: number) => count / seconds;
  const reported = {
    offeredPerSecond: perSecond(result.offered),
    acceptedPerSecond: perSecond(result.accepted),
    refusedPerSecond: perSecond(result.refused),
    failedPerSecond: perSecond(result.failed),
    ...timesOf('accept', result.acceptMs),
    ...timesOf('refuse', result.refuseMs),
    ...timesOf('final', result.finalMs),
  };
  return { window, reported, accepted: result.accepted, command: `node bench/generator.ts ${shown.join(' ')}` };
}

function timesOf(what: string, times: Percentiles): Record<string, number> {
  return times === null
    ? {}
    : { [`${what}MeanMs`]: times.mean, [`${what}P50Ms`]: times.p50, [`${what}P99Ms`]: times.p99 };
}
