// Compares checkouts by short slices of load in turn, while the services of all of them are up. Noise of the machine lasts
// longer than a slice, so it reaches both sides: after a minute, the quartiles of a ratio are some hundredths apart. The
// full benchmark needs many rounds for that.
//
//   node bench/slices.ts [--connections=N] [--wait] [--slices=N] [--seconds=N] before=../before after=.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { ACCOUNTS, type Bench, makeLedger, ROOT, startService, WARM_UP_SECONDS, withConnection } from './bench.ts';
import { openCluster } from './cluster.ts';
import type { Load } from './load.ts';
import { awaitSettled } from './ours.ts';
import { endAll, familySeconds, memoryOf, processorSeconds, runToEnd, threadSeconds } from './processes.ts';
import { optionsOf, requireWrk } from './wrk.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    connections: { type: 'string', default: '256' },
    wait: { type: 'boolean', default: false },
    slices: { type: 'string', default: '14' },
    seconds: { type: 'string', default: '2' },
  },
});

/** Transfers per second, µs of processor time per transfer by component, and transfers per job. */
type Slice = Readonly<Record<string, number>>;
type Side = {
  readonly name: string;
  readonly database: string;
  readonly service: Awaited<ReturnType<typeof startService>>;
  readonly slices: Slice[];
};

const load: Load = { generator: 'wrk', connections: Number(values.connections), wait: values.wait };
const write = (line: string): boolean => process.stdout.write(`${line}\n`);

async function openSide(bench: Bench, argument: string, index: number): Promise<Side> {
  const [name = '', tree = ''] = argument.split('=');
  if (tree === '') throw new Error(`Name each checkout as NAME=FOLDER, not as ${argument}.`);
  const database = `side${index}`;
  await makeLedger(bench, resolve(ROOT, tree), database, { accounts: ACCOUNTS, transfers: 0 });
  return { name, database, service: await startService(bench, resolve(ROOT, tree), database), slices: [] };
}

async function putSlice({ service }: Side, seconds: number): Promise<void> {
  await runToEnd('wrk', optionsOf(load, service.url, seconds), { cwd: ROOT });
}

async function read(bench: Bench, { database, service }: Side) {
  const [counted] = await withConnection(bench, database, async (connection) => {
    const { rows } = await connection.query<{ transfers: number; jobs: number }>(
      'select sum(transfer_count)::float8 as transfers, count(*)::float8 as jobs from journal',
    );
    return rows;
  });
  const { main, workers } = threadSeconds(service.id);
  const own = processorSeconds(service.id);
  const postgres = familySeconds(bench.cluster.postmasterId);
  const { transfers, jobs } = counted ?? { transfers: 0, jobs: 0 };
  return { transfers, jobs, main, workers, service: own, postgres, system: own + postgres };
}

async function measure(bench: Bench, side: Side): Promise<Slice> {
  const before = await read(bench, side);
  const startedAt = performance.now();
  await putSlice(side, Number(values.seconds));
  const elapsedMs = performance.now() - startedAt;
  await awaitSettled(bench, side.database);
  const after = await read(bench, side);
  const transfers = after.transfers - before.transfers;
  const micros = (name: keyof typeof after): number => ((after[name] - before[name]) * 1e6) / transfers;
  return {
    'per second': (transfers * 1000) / elapsedMs,
    'main thread': micros('main'),
    workers: micros('workers'),
    service: micros('service'),
    PostgreSQL: micros('postgres'),
    system: micros('system'),
    job: transfers / (after.jobs - before.jobs),
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
      const compared = side === first ? '' : `   ÷ ${first.name}: ${spreadOf(ratios, 2)}`;
      write(`  ${name.padEnd(12)} ${spreadOf(of(side, name), 1)}${compared}`);
    }
  }
}

await requireWrk();
const folder = await mkdtemp(join(tmpdir(), 'gopherpay-slices-'));
const cluster = await openCluster(folder, 'stock');
try {
  const bench: Bench = { cluster, folder: join(folder, 'service'), samples: [], log: () => {} };
  const sides: Side[] = [];
  for (const [index, argument] of positionals.entries()) sides.push(await openSide(bench, argument, index));
  for (const side of sides) {
    await putSlice(side, WARM_UP_SECONDS);
    await awaitSettled(bench, side.database);
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
