// Compares checkouts by short slices of load in turn, while the services of all of them are up. Noise of the machine lasts
// longer than a slice, so it reaches both sides: after a minute, the quartiles of a ratio are some hundredths apart. The
// full benchmark needs many rounds for that.
//
//   node bench/slices.ts [--connections=N] [--wait] [--slices=N] [--seconds=N] before=../before after=.
//   node bench/slices.ts --openings --connections=64 [--sync=MS] original=../gopher-pay after=.
//
// With --openings the load opens accounts instead of moving money. --sync makes every sync of the disk longer. A folder with a
// go.mod is the Go original that this service rebuilds: build it there with `go build -o server ./cmd/server`.
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { ACCOUNTS, type Bench, makeLedger, ROOT, startService, WARM_UP_SECONDS, withConnection } from './bench.ts';
import { openCluster } from './cluster.ts';
import { compileSlowSync } from './ledgers.ts';
import type { Load } from './load.ts';
import { startOriginal } from './original.ts';
import { awaitSettled } from './ours.ts';
import { endAll, familySeconds, memoryOf, processorSeconds, runToEnd, threadSeconds } from './processes.ts';
import { optionsOf, requireWrk } from './wrk.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    connections: { type: 'string', default: '256' },
    wait: { type: 'boolean', default: false },
    openings: { type: 'boolean', default: false },
    sync: { type: 'string', default: '0' },
    slices: { type: 'string', default: '14' },
    seconds: { type: 'string', default: '2' },
  },
});

/** Transfers or accounts per second, µs of processor time for each by component, and how many a job has. */
type Slice = Readonly<Record<string, number>>;
type Side = {
  readonly name: string;
  readonly database: string;
  readonly service: Awaited<ReturnType<typeof startService>>;
  /** Whether it is a service of this project: it has jobs, and threads with names. */
  readonly hasJobs: boolean;
  readonly slices: Slice[];
};

const load: Load = {
  generator: 'wrk',
  connections: Number(values.connections),
  wait: values.wait,
  ...(values.openings && { opens: true }),
};
const COUNT_DONE = values.openings
  ? 'select count(*)::float8 as done from accounts'
  : 'select sum(transfer_count)::float8 as done from journal';
const COUNT_JOBS = 'select count(*)::float8 as jobs from journal';
const write = (line: string): boolean => process.stdout.write(`${line}\n`);

async function openSide(bench: Bench, argument: string, index: number): Promise<Side> {
  const [name = '', tree = ''] = argument.split('=');
  if (tree === '') throw new Error(`Name each checkout as NAME=FOLDER, not as ${argument}.`);
  const folder = resolve(ROOT, tree);
  const side = { name, database: `side${index}`, slices: [] };
  if (existsSync(join(folder, 'go.mod'))) {
    if (!values.openings) throw new Error('The Go original is compared by --openings only.');
    return { ...side, service: await startOriginal(bench, folder, side.database), hasJobs: false };
  }
  await makeLedger(bench, folder, side.database, { accounts: ACCOUNTS, transfers: 0 });
  return { ...side, service: await startService(bench, folder, side.database), hasJobs: true };
}

async function putSlice({ service }: Side, seconds: number): Promise<void> {
  await runToEnd('wrk', optionsOf(load, service.url, seconds), { cwd: ROOT });
}

async function read(bench: Bench, { database, service, hasJobs }: Side) {
  const counted = await withConnection(bench, database, async (connection) => {
    const done = await connection.query<{ done: number }>(COUNT_DONE);
    const jobs = hasJobs ? await connection.query<{ jobs: number }>(COUNT_JOBS) : null;
    return { done: done.rows[0]?.done ?? 0, jobs: jobs?.rows[0]?.jobs ?? NaN };
  });
  const { main, workers } = hasJobs ? threadSeconds(service.id) : { main: NaN, workers: NaN };
  const own = processorSeconds(service.id);
  const postgres = familySeconds(bench.cluster.postmasterId);
  return { ...counted, main, workers, service: own, postgres, system: own + postgres };
}

async function measure(bench: Bench, side: Side): Promise<Slice> {
  const before = await read(bench, side);
  const startedAt = performance.now();
  await putSlice(side, Number(values.seconds));
  const elapsedMs = performance.now() - startedAt;
  if (!values.openings) await awaitSettled(bench, side.database);
  const after = await read(bench, side);
  const done = after.done - before.done;
  const micros = (name: keyof typeof after): number => ((after[name] - before[name]) * 1e6) / done;
  return {
    'per second': (done * 1000) / elapsedMs,
    'main thread': micros('main'),
    workers: micros('workers'),
    service: micros('service'),
    PostgreSQL: micros('postgres'),
    system: micros('system'),
    job: done / (after.jobs - before.jobs),
  };
}

/** The middle of some numbers, and their quartiles. */
function spreadOf(numbers: readonly number[], digits: number): string {
  const sorted = numbers.toSorted((a, b) => a - b);
  const at = (part: number): string => (sorted[Math.floor((sorted.length - 1) * part)] ?? NaN).toFixed(digits);
  return `${at(0.5)} (${at(0.25)} – ${at(0.75)})`;
}

function report(sides: readonly Side[]): void {
  const [first] = sides;
  if (!first) return;
  const names = Object.keys(first.slices[0] ?? {});
  const of = (side: Side, name: string): number[] => side.slices.map((slice) => slice[name] ?? NaN);
  for (const side of sides) {
    write(`${side.name}: ${memoryOf(side.service.id).now.toFixed(0)} MB`);
    for (const name of names) {
      const ratios = of(side, name).map((figure, index) => figure / (of(first, name)[index] ?? NaN));
      // The Go original has no jobs and no threads of these names.
      if (of(side, name).every(Number.isNaN)) continue;
      const isComparable = side !== first && !ratios.every(Number.isNaN);
      const compared = isComparable ? `   ÷ ${first.name}: ${spreadOf(ratios, 2)}` : '';
      write(`  ${name.padEnd(12)} ${spreadOf(of(side, name), 1)}${compared}`);
    }
  }
}

await requireWrk();
const folder = await mkdtemp(join(tmpdir(), 'gopherpay-slices-'));
// The server has an operating system user of its own, which loads the library that delays syncs.
await chmod(folder, 0o755);
const syncMs = Number(values.sync);
const slow = syncMs > 0 ? { LD_PRELOAD: await compileSlowSync(folder), SYNC_DELAY_MS: String(syncMs) } : {};
const cluster = await openCluster(folder, 'stock', slow);
try {
  const bench: Bench = { cluster, folder: join(folder, 'service'), samples: [], log: () => {} };
  const sides: Side[] = [];
  for (const [index, argument] of positionals.entries()) sides.push(await openSide(bench, argument, index));
  for (const side of sides) {
    await putSlice(side, WARM_UP_SECONDS);
    if (!values.openings) await awaitSettled(bench, side.database);
  }
  for (let turn = 0; turn < Number(values.slices); turn += 1) {
    // Each side is as often the first.
    const inTurn = turn % 2 === 0 ? sides : sides.toReversed();
    for (const side of inTurn) side.slices.push(await measure(bench, side));
  }
  report(sides);
  for (const { service } of sides) await service.stop();
} finally {
  endAll();
  await cluster.close();
  await rm(folder, { recursive: true, force: true });
}
