// Our contestants: the service as its own process, a load on it from another one, and the books checked after every turn.
import { join } from 'node:path';
import { z } from 'zod';
import {
  ACCOUNTS,
  audit,
  type Bench,
  CONNECTIONS,
  makeLedger,
  ROOT,
  startService,
  WARM_UP_SECONDS,
  withConnection,
} from './bench.ts';
import { checkBooks, countCompleted } from './books.ts';
import { BrokenPromise, type Contestant, type Measured, type Run } from './contestant.ts';
import { ended, killIfRunning, nextLine, start, type Started, watchMemory } from './processes.ts';
import { PREFIX } from './seed.ts';
import { passWindow, type Window } from './window.ts';

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
  readonly connections?: number;
  readonly accounts?: number;
  readonly bulk?: number;
  readonly hot?: number;
  /** Callers wait for the end: an answer is final, and a connection's next request comes after it. */
  readonly wait?: boolean;
  /** Requests per second of an open loop, found when the turn begins; absent: a closed loop. */
  readonly rate?: () => number;
};

type Ours = Pick<Contestant, 'name' | 'what'> & {
  readonly tree?: string;
  readonly needs?: readonly string[];
  readonly load: Load;
  readonly settings?: Readonly<Record<string, string>>;
  /** Transfers that are in the books before the first turn. */
  readonly history?: number;
};

/** A contestant of ours: closed or open loop on a service of a checkout. */
export function ours(
  bench: Bench,
  { name, what, needs = [], load, settings = {}, history = 0, ...rest }: Ours,
): Contestant {
  const tree = rest.tree ?? ROOT;
  const database = name.replaceAll(/\W+/g, '_').toLowerCase();
  const accounts = load.accounts ?? ACCOUNTS;
  return {
    name,
    what,
    needs,
    unit: 'transfers/s',
    prepare: async () => await makeLedger(bench, tree, database, { accounts, transfers: history }),
    run: async (seconds) => {
      const service = await startService(bench, tree, database, settings);
      const memory = watchMemory(service.id);
      let loaded: Loaded;
      let remembered: Measured;
      try {
        loaded = await putLoad(bench, service, service.url, { ...load, accounts }, seconds);
      } finally {
        remembered = memory.end();
        await service.stop();
      }
      const { window, said, command } = loaded;
      const figure = await withConnection(bench, database, async (connection) => {
        await checkBooks(connection);
        return (await countCompleted(connection, window.from, window.to)) / ((window.to - window.from) / 1000);
      });
      await bench.cluster.settle(database);
      return {
        figure,
        measured: { ...window.measured, ...said, ...remembered },
        command: withSettings(command, settings),
      };
    },
    prove: async () => await audit(bench, tree, database),
    close: async () => {},
  };
}

function withSettings(command: string, settings: Readonly<Record<string, string>>): string {
  const set = Object.entries(settings).map(([name, value]) => `${name}=${value} `);
  return `${set.join('')}gopherpay serve; ${command}`;
}

type Loaded = { window: Window; said: Measured; command: string };

/** Runs the load generator against a URL. Throws if what it accepted was not all final in the end. */
export async function putLoad(
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
    window = await passWindow(bench, load, service);
    result = summary.parse(JSON.parse(await nextLine(load, 'The load')));
    await ended(load);
  } finally {
    killIfRunning(load);
  }
  if (result.unbalanced.length > 0) throw new BrokenPromise('The service shows balances that do not sum to zero.');
  const perSecond = (count: number) => count / seconds;
  const said = {
    offeredPerSecond: perSecond(result.offered),
    acceptedPerSecond: perSecond(result.accepted),
    refusedPerSecond: perSecond(result.refused),
    failedPerSecond: perSecond(result.failed),
    ...timesOf('accept', result.acceptMs),
    ...timesOf('refuse', result.refuseMs),
    ...timesOf('final', result.finalMs),
  };
  return { window, said, command: `node bench/generator.ts ${shown.join(' ')}` };
}

function timesOf(what: string, times: Percentiles): Record<string, number> {
  return times === null
    ? {}
    : { [`${what}MeanMs`]: times.mean, [`${what}P50Ms`]: times.p50, [`${what}P99Ms`]: times.p99 };
}

/** A run's figure from a limit, which has no service. */
export function toRun(figure: number, window: Window, command: string, more: Measured = {}): Run {
  return { figure, measured: { ...window.measured, ...more }, command };
}
