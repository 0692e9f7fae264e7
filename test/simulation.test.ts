// Goal: the simulation of many nodes counts right, and breaks where arithmetic says that it must.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { type Costs, costsOf, fit } from '../bench/simulation/costs.ts';
import { EventQueue } from '../bench/simulation/event-queue.ts';
import { simulate } from '../bench/simulation/simulate.ts';
import { layOut, limitsOf, type World } from '../bench/simulation/world.ts';
import type { Sample } from '../bench/subject.ts';

const COSTS: Costs = {
  jobMicros: 500,
  transferMicros: 50,
  coordinatorJobMicros: 500,
  coordinatorTransferMicros: 20,
  serviceSingleMicros: 100,
  serviceBulkMicros: 20,
};

const WORLD: World = {
  nodes: 4,
  cores: 2,
  ledgers: 100,
  skew: 0,
  between: 0,
  coordinator: 'none',
  syncMs: 1,
  oneWayMs: 0.1,
  jobSizeMax: 1000,
  costs: COSTS,
};

function breakOf(world: World) {
  const [first] = limitsOf(world, layOut(world)).sort((a, b) => a.transfersPerSecond - b.transfersPerSecond);
  assert.ok(first);
  return first;
}

function near(found: number, expected: number, share: number): void {
  assert.ok(Math.abs(found - expected) <= share * expected, `${found} is not within ${share * 100} % of ${expected}`);
}

test('simulation: a fit returns the costs that its points were made of', () => {
  const points = [1, 16, 1024].map((jobSize) => ({ jobSize, micros: 30 + 400 / jobSize }));
  const { jobMicros, transferMicros, errorMax } = fit(points);
  near(jobMicros, 400, 1e-9);
  near(transferMicros, 30, 1e-9);
  assert.ok(errorMax < 1e-9);
  assert.throws(() => fit(points.slice(0, 1)), RangeError);
});

test('simulation: costs are medians of a run, and a run without a subject names it', () => {
  const sample = (subject: string, name: string, value: number): Sample => ({
    subject,
    round: 1,
    figure: 1,
    broken: null,
    measured: { [name]: value },
    command: '',
  });
  const samples = [
    ...[1, 16, 128].map((size) => sample(`sql-${size}`, 'postgresMs', 30 + 400 / size)),
    sample('sql', 'postgresMs', 30 + 400 / 1024),
    ...[90, 100, 200].map((value) => sample('single-256', 'serviceMs', value)),
  ];
  assert.throws(() => costsOf(samples), /--only=bulk/);
  const costs = costsOf([...samples, sample('bulk', 'serviceMs', 20)]);
  near(costs.jobMicros, 400, 1e-9);
  assert.equal(costs.serviceSingleMicros, 100);
  // 1.4 times as long in full jobs through Citus.
  const plain = costs.transferMicros + costs.jobMicros / 1024;
  const more = costs.coordinatorTransferMicros + costs.coordinatorJobMicros / 1024;
  near((plain + more) / plain, 1.4, 0.001);
});

test('simulation: events come in order of their time', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 50 })), (times) => {
      const queue = new EventQueue<{ at: number }>();
      for (const at of times) queue.push({ at });
      const popped = times.map(() => queue.pop()?.at);
      assert.deepEqual(
        popped,
        times.toSorted((a, b) => a - b),
      );
      assert.equal(queue.pop(), undefined);
    }),
  );
});

test('simulation: equal ledgers break at their nodes, and twice the nodes carry twice as much', () => {
  const one = breakOf({ ...WORLD, nodes: 1 });
  assert.equal(one.part, 'the fullest node');
  near(one.transfersPerSecond, (2 * 1e6) / (50 + 500 / 1000), 1e-6);
  near(breakOf({ ...WORLD, nodes: 2 }).transfersPerSecond, 2 * one.transfersPerSecond, 1e-6);
});

test('simulation: one ledger does not grow with the nodes', () => {
  const [few, many] = [1, 50].map((nodes) => breakOf({ ...WORLD, nodes, ledgers: 1 }));
  assert.equal(few?.part, 'the largest ledger');
  assert.deepEqual(many, few);
});

test('simulation: one coordinator is where many nodes break', () => {
  const limit = breakOf({ ...WORLD, nodes: 100, ledgers: 10_000, coordinator: 'one' });
  assert.equal(limit.part, 'the coordinator');
  near(limit.transfersPerSecond, (2 * 1e6) / (20 + 500 / 1000), 1e-6);
});

test('simulation: a transfer between ledgers costs three', () => {
  const plain = breakOf({ ...WORLD, between: 0 }).transfersPerSecond;
  near(breakOf({ ...WORLD, between: 1 }).transfersPerSecond, plain / 3, 1e-6);
});

test('simulation: below its limit the world keeps up, beyond it the queue grows', () => {
  const most = breakOf(WORLD).transfersPerSecond;
  const below = simulate(WORLD, { transfersPerSecond: 0.8 * most, seconds: 2, seed: 1 });
  assert.equal(below.arrived, below.final + below.waiting);
  near(below.arrived, 1.6 * most, 0.02);
  assert.ok(below.waiting < 0.05 * below.arrived, `${below.waiting} of ${below.arrived} wait`);
  assert.ok(below.p50Ms !== null && below.p99Ms !== null && below.p50Ms <= below.p99Ms);
  const beyond = simulate(WORLD, { transfersPerSecond: 2 * most, seconds: 2, seed: 1 });
  near(beyond.final, 2 * most, 0.1);
  assert.ok(beyond.nodeBusy > 0.98);
});

test('simulation: at little load a transfer takes a round trip, its job and a commit, and three of them between ledgers', () => {
  const idle = { transfersPerSecond: 20, seconds: 20, seed: 3 };
  const ms = 0.55 + 1 + 4 * 0.1;
  near(simulate(WORLD, idle).p50Ms ?? 0, ms, 0.03);
  near(simulate({ ...WORLD, between: 1 }, idle).p50Ms ?? 0, 3 * ms, 0.03);
});
