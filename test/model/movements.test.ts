// Goal: every movement does exactly what a plain model of the books predicts, alone and concurrently. Method: random
// programs of requests, over HTTP, to the service on a real PostgreSQL. In turn: each answer and the books after it are
// predicted. At once: the result of a few requests must be that of some sequential order. A failure prints its seed and
// path: run it again with MODEL_SEED and MODEL_PATH set to them. MODEL_RUNS says how many.
import { test, type TestContext } from 'node:test';
import * as fc from 'fast-check';
import { checkPromises } from '../support/promises/check.ts';
import { createDatabase } from '../support/database.ts';
import { startService } from '../support/service.ts';
import { Partition, PARTITIONS_MAX, type Stage } from './partition.ts';
import { checkReported } from './answers.ts';
import { type Step, steps } from './program.ts';

const PARTITIONS = 6;
const RUNS = Number(process.env['MODEL_RUNS'] ?? 8);
const STEPS_MAX = 40;

test('model: sequential movements have the predicted outcomes and books', async (t) => {
  const stage = await openStage(t, 1);
  let unsure = 0;
  const programs = fc.array(steps({ min: 15, max: STEPS_MAX }), { minLength: PARTITIONS, maxLength: PARTITIONS });
  await holds(programs, async (programs) => {
    const partitions = await Promise.all(programs.map(async (_, number) => await Partition.open(stage, number)));
    await Promise.all(partitions.map(async (partition, index) => await partition.runInTurn(programs[index] ?? [])));
    unsure += partitions.filter((partition) => partition.unsure).length;
    await checkAll(stage, partitions);
  });
  if (unsure > 0) t.diagnostic(`${unsure} partitions were cut short: the machine was too slow for holds of a second.`);
});

test('model: a few concurrent movements on two services end as in some sequential order', async (t) => {
  const stage = await openStage(t, 2);
  // The legs of a group that is not atomic may be settled in any order, between others.
  const without = ['mortalHold', 'group'] as const;
  const program = fc.record({
    first: steps({ min: 4, max: 10, without: ['mortalHold'] }),
    batches: fc.array(steps({ min: 2, max: 4, without }), { minLength: 3, maxLength: 12, size: 'max' }),
    groups: fc.array(steps({ min: 2, max: 4, without: ['mortalHold', 'close'] }), {
      minLength: 3,
      maxLength: 8,
      size: 'max',
    }),
  });
  const programs = fc.array(program, { minLength: PARTITIONS, maxLength: PARTITIONS });
  await holds(programs, async (programs) => {
    const partitions = await Promise.all(programs.map(async (_, number) => await Partition.open(stage, number)));
    await Promise.all(
      partitions.map(async (partition, index) => {
        const { first, batches, groups } = programs[index] ?? { first: [], batches: [], groups: [] };
        await partition.runInTurn(first);
        for (const batch of [...batches, ...groups.map(atomicOnly)]) await partition.runAtOnce(batch);
      }),
    );
    await checkAll(stage, partitions);
  });
});

test('model: many concurrent movements on two services keep every promise, and every answer is true', async (t) => {
  const stage = await openStage(t, 2);
  const program = fc.record({
    first: steps({ min: 8, max: 12, without: ['mortalHold', 'close'] }),
    storms: fc.array(steps({ min: 20, max: 40, without: ['mortalHold'] }), { minLength: 2, maxLength: 4 }),
  });
  const programs = fc.array(program, { minLength: PARTITIONS, maxLength: PARTITIONS });
  await holds(programs, async (programs) => {
    const partitions = await Promise.all(programs.map(async (_, number) => await Partition.open(stage, number)));
    await Promise.all(
      partitions.map(async (partition, index) => {
        const { first, storms } = programs[index] ?? { first: [], storms: [] };
        await partition.runInTurn(first);
        // What a storm leads to is not known, so each is made of what the books held before the first.
        for (const storm of storms) await partition.runStorm(storm);
      }),
    );
    await checkAll(stage, partitions);
  });
});

function atomicOnly(batch: readonly Step[]): Step[] {
  return batch.map((step) => (step.kind === 'group' ? { ...step, flag: true } : step));
}

async function openStage(t: TestContext, count: number): Promise<Stage> {
  if (PARTITIONS > PARTITIONS_MAX) throw new Error(`There are currencies for ${PARTITIONS_MAX} partitions.`);
  const database = await createDatabase(t);
  const env = { THREADS: '4', HEARTBEAT_MS: '50', LOG_LEVEL: 'warn' };
  const services = await Promise.all(
    Array.from({ length: count }, async () => await startService(t, { database, env })),
  );
  return { database, services };
}

async function checkAll({ database }: Stage, partitions: readonly Partition[]): Promise<void> {
  await checkReported(
    database,
    partitions.flatMap((partition) => partition.reported),
  );
  await checkPromises(database, { limitsChanged: true, nothingPending: true, nothingQuarantined: true });
}

async function holds<Input>(inputs: fc.Arbitrary<Input>, property: (input: Input) => Promise<void>): Promise<void> {
  const { MODEL_SEED: seed, MODEL_PATH: path } = process.env;
  await fc.assert(fc.asyncProperty(inputs, property), {
    numRuns: RUNS,
    interruptAfterTimeLimit: Number(process.env['MODEL_SECONDS'] ?? 60) * 1000,
    ...(seed !== undefined && { seed: Number(seed) }),
    ...(path !== undefined && { path }),
  });
}
