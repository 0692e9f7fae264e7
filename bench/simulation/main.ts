// npm run simulate: what 1 to 100 nodes carry, how long a transfer takes, and where it breaks. The costs are those of a
// measured run of the benchmark; everything else is a model.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { costsOf } from './costs.ts';
import { type Outcome, simulate } from './simulate.ts';
import { type Coordinator, layOut, limitsOf, type World } from './world.ts';

const EXIT_WRONG_USAGE = 2;

const USAGE = `npm run simulate -- [options]

  --nodes=LIST         numbers of nodes (1,2,5,10,20,50,100)
  --cores=N            cores of each node (8)
  --ledgers=N          ledgers (1000)
  --skew=S             sizes of the ledgers by Zipf's law with this exponent; 0: equal (0.5)
  --between=P          percent of the transfers that go from one ledger to another (0)
  --coordinator=WHICH  none: each node is a PostgreSQL of its own; one: Citus with one coordinator; every: Citus, and
                       each node coordinates (none)
  --sync=MS            what a commit waits for the disk, or for a standby (1)
  --one-way=MS         from the service to a node, one way (0.25)
  --job-size=N         transfers in a job at most (1024)
  --within=MS          the bound of the p99 for the last rate (100)
  --results=FILE       a run of the benchmark, for the costs (bench/simulation/results.json)
  --seed=N             (1)

The costs come from: npm run bench -- --server=stock --only=sql-1 --only=sql-16 --only=sql-128 --only=sql \\
  --only=single-256 --only=bulk --out=bench/simulation`;

/** Arrivals of one simulated run at most: enough for a p99, and a second or two of work. */
const ARRIVALS_MAX = 400_000;
const SECONDS_MAX = 4;
/** Halvings of the search for the rate that keeps the bound: it is found to 2 %. */
const SEARCH_STEPS = 6;

const COORDINATORS: Readonly<Record<string, Coordinator>> = { none: 'none', one: 'one', every: 'every node' };

const samplesForm = z.object({
  samples: z.array(
    z.object({
      subject: z.string(),
      round: z.number(),
      figure: z.number().nullable(),
      broken: z.string().nullable(),
      measured: z.record(z.string(), z.number()),
      command: z.string(),
    }),
  ),
});

function readOptions() {
  const { values } = parseArgs({
    strict: true,
    options: {
      help: { type: 'boolean', default: false },
      nodes: { type: 'string', default: '1,2,5,10,20,50,100' },
      cores: { type: 'string', default: '8' },
      ledgers: { type: 'string', default: '1000' },
      skew: { type: 'string', default: '0.5' },
      between: { type: 'string', default: '0' },
      coordinator: { type: 'string', default: 'none' },
      sync: { type: 'string', default: '1' },
      'one-way': { type: 'string', default: '0.25' },
      'job-size': { type: 'string', default: '1024' },
      within: { type: 'string', default: '100' },
      results: { type: 'string', default: join(import.meta.dirname, 'results.json') },
      seed: { type: 'string', default: '1' },
    },
  });
  const number = (name: keyof typeof values, [least, most]: readonly [number, number]): number => {
    const value = Number(values[name]);
    if (!(value >= least && value <= most)) throw new RangeError(`--${name} is a number from ${least} to ${most}.`);
    return value;
  };
  const coordinator = COORDINATORS[values.coordinator];
  if (coordinator === undefined) throw new RangeError('--coordinator is none, one or every.');
  const nodes = values.nodes.split(',').map(Number);
  if (nodes.some((each) => !(Number.isInteger(each) && each >= 1 && each <= 1000))) {
    throw new RangeError('--nodes is a list of numbers from 1 to 1000.');
  }
  return {
    help: values.help,
    nodes,
    seed: number('seed', [0, 2 ** 31]),
    withinMs: number('within', [1, 60_000]),
    results: values.results,
    world: {
      cores: number('cores', [1, 1024]),
      ledgers: number('ledgers', [1, 1_000_000]),
      skew: number('skew', [0, 10]),
      between: number('between', [0, 100]) / 100,
      coordinator,
      syncMs: number('sync', [0, 10_000]),
      oneWayMs: number('one-way', [0, 10_000]),
      jobSizeMax: number('job-size', [1, 100_000]),
    },
  };
}

/** One line of the table: what so many nodes carry. */
function simulateNodes(world: World, { withinMs, seed }: { withinMs: number; seed: number }): string {
  const limits = limitsOf(world, layOut(world)).sort((a, b) => a.transfersPerSecond - b.transfersPerSecond);
  const [first] = limits;
  if (!first) throw new TypeError('A world has a limit.');
  const { part, transfersPerSecond: most } = first;
  const at = (transfersPerSecond: number): Outcome => {
    const seconds = Math.min(SECONDS_MAX, ARRIVALS_MAX / transfersPerSecond);
    return simulate(world, { transfersPerSecond, seconds, seed });
  };
  const half = at(most / 2);
  const kept = mostWithin(most, ({ p99Ms }) => p99Ms !== null && p99Ms <= withinMs, at);
  const cores = (micros: number) => Math.ceil((kept * micros) / 1e6);
  const ms = (value: number | null) => (value === null ? '–' : Math.round(value).toLocaleString('en-US'));
  const rate = (value: number) => Number(value.toPrecision(2)).toLocaleString('en-US');
  const { serviceSingleMicros, serviceBulkMicros } = world.costs;
  const cells = [
    world.nodes,
    rate(most),
    part,
    `${ms(half.p50Ms)}, ${ms(half.p99Ms)}`,
    half.jobSize.toFixed(0),
    rate(kept),
    `${cores(serviceSingleMicros)}, ${cores(serviceBulkMicros)}`,
  ];
  return `| ${cells.join(' | ')} |`;
}

/** The highest rate up to `most` whose outcome is as wanted; 0 if none of those that were tried is. */
function mostWithin(most: number, isWanted: (outcome: Outcome) => boolean, at: (rate: number) => Outcome): number {
  let [low, high] = [0, most];
  for (let step = 0; step < SEARCH_STEPS; step += 1) {
    const middle = (low + high) / 2;
    if (isWanted(at(middle))) low = middle;
    else high = middle;
  }
  return low;
}

function main(): void {
  const { help, nodes, seed, withinMs, results, world } = readOptions();
  const print = (text: string): void => void process.stdout.write(`${text}\n`);
  if (help) return print(USAGE);
  const { samples } = samplesForm.parse(JSON.parse(readFileSync(results, 'utf8')));
  const { errorMax, ...costs } = costsOf(samples);
  const micros = (value: number) => `${value.toPrecision(3)} µs`;
  print(
    `PostgreSQL: ${micros(costs.jobMicros)} a job and ${micros(costs.transferMicros)} a transfer (fitted within ${(errorMax * 100).toFixed(0)} %).`,
  );
  print(
    `The service: ${micros(costs.serviceSingleMicros)} for a transfer alone, ${micros(costs.serviceBulkMicros)} for one of 1,000 in a request.\n`,
  );
  print(
    `| nodes | most transfers/s | breaks at | half of it: p50, p99 ms | its jobs | transfers/s with p99 ≤ ${withinMs} ms | cores of the service for these: alone, in bulk |`,
  );
  print('|---:|---:|---|---:|---:|---:|---:|');
  for (const count of nodes) print(simulateNodes({ ...world, nodes: count, costs }, { withinMs, seed }));
}

try {
  main();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}\n`);
  process.exitCode = EXIT_WRONG_USAGE;
}
