// npm run bench: measures everything side by side on the machine it is on, in turn, and writes RESULTS.md and results.json.
// Ends with 3 if a promise was broken.
import { mkdtemp, chmod, mkdir, rm, writeFile } from 'node:fs/promises';
import { constants, cpus, release, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { judge, listBars } from './bars.ts';
import { type Bench } from './bench.ts';
import { openCluster } from './cluster.ts';
import type { Subject, Sample } from './subject.ts';
import { listSubjects } from './subjects.ts';
import { pgbenchVersion } from './naive.ts';
import { EXIT_WRONG_USAGE, readOptions, UsageError } from './options.ts';
import { endAll } from './processes.ts';
import { type Circumstances, renderResults } from './results.ts';
import { prepareAll, proveAll, runRounds } from './rounds.ts';
import { wrkVersion } from './wrk.ts';

const EXIT_BROKEN_PROMISE = 3;

const EXIT_FAILED = 1;
/** Added to the number of the signal that ended the benchmark, as shells do. */
const SIGNALED = 128;

const options = readOptions();
const log = (line: string) => void process.stderr.write(`${new Date().toISOString().slice(11, 19)}  ${line}\n`);

const { signal } = listenForSignals();
try {
  await withFolder(async (folder) => {
    const cluster = await openCluster(join(folder, 'data'), options.server);
    // Every wait for a process or the database fails as soon as they end, and cleans up.
    signal.addEventListener('abort', () => {
      endAll();
      void cluster.close();
    });
    try {
      signal.throwIfAborted();
      await measure(folder, cluster, signal);
    } finally {
      endAll();
      await cluster.close();
    }
  });
} catch (error) {
  if (signal.aborted) log('stopped');
  else if (error instanceof UsageError) {
    log(error.message);
    process.exitCode = EXIT_WRONG_USAGE;
  } else {
    log(error instanceof Error ? (error.stack ?? error.message) : String(error));
    process.exitCode = EXIT_FAILED;
  }
}

/** Aborts at the first SIGINT or SIGTERM. Later ones are ignored, because npm passes on those that the terminal has sent already. */
function listenForSignals(): AbortController {
  const controller = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.on(name, () => {
      process.exitCode ??= SIGNALED + constants.signals[name];
      controller.abort();
    });
  }
  return controller;
}

async function measure(folder: string, cluster: Bench['cluster'], signal: AbortSignal): Promise<void> {
  const samples: Sample[] = [];
  const work = join(folder, 'work');
  await mkdir(work);
  const bench: Bench = { cluster, folder: work, samples, log };
  const subjects = choose(listSubjects(bench, options.sizes, options.trees));
  const circumstances = {
    ...machine(),
    ...(await cluster.describe()),
    pgbench: await pgbenchVersion(),
    wrk: (await wrkVersion()) ?? 'none',
  };
  try {
    const prepared = await prepareAll(subjects, { samples, log, signal });
    await cluster.settle(null);
    await runRounds(prepared, { ...options, samples, log, signal });
    log('proving what all turns left behind');
    const proven = await proveAll(prepared, samples, log);
    signal.throwIfAborted();
    await write(subjects, proven, circumstances);
    if (proven.some(({ broken }) => broken !== null)) process.exitCode = EXIT_BROKEN_PROMISE;
  } finally {
    for (const subject of subjects) await subject.close();
  }
}

/** The subjects that were asked for, and those that they need. */
function choose(all: readonly Subject[]): Subject[] {
  if (options.only.length === 0) return [...all];
  const wanted = new Set<string>();
  const add = (name: string): void => {
    const subject = all.find((one) => one.name === name);
    if (!subject) {
      const known = all.map((one) => one.name).join(', ');
      throw new UsageError(`There is no subject "${name}"; there are ${known}.`);
    }
    wanted.add(name);
    subject.needs.forEach(add);
  };
  options.only.forEach(add);
  return all.filter(({ name }) => wanted.has(name));
}

async function write(
  subjects: readonly Subject[],
  samples: readonly Sample[],
  circumstances: Circumstances,
): Promise<void> {
  const bars = judge(listBars(subjects.map(({ name }) => name)), samples);
  const markdown = renderResults({ bars, subjects, samples, circumstances });
  await mkdir(options.out, { recursive: true });
  await writeFile(join(options.out, 'RESULTS.md'), markdown);
  const ratios = bars.map(({ bar, values, median, met }) => ({
    bar: bar.name,
    required: bar.required,
    values,
    median,
    met,
  }));
  const raw = { circumstances, bars: ratios, samples };
  await writeFile(join(options.out, 'results.json'), `${JSON.stringify(raw, null, 2)}\n`);
  process.stdout.write(markdown);
}

function machine(): Circumstances {
  const processors = cpus();
  return {
    date: new Date().toISOString(),
    command: ['npm run bench --', ...process.argv.slice(2)].join(' '),
    cores: String(processors.length),
    processor: processors[0]?.model ?? 'unknown',
    memory: `${Math.round(totalmem() / 2 ** 30)} GB`,
    kernel: release(),
    Node: process.version,
    rounds: `${options.rounds} of ${options.seconds} s for each subject`,
    'log of the service': 'default level (info), written to /dev/null',
  };
}

async function withFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'gopherpay-bench-'));
  // PostgreSQL runs as another user if we are root.
  await chmod(folder, 0o755);
  try {
    await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
