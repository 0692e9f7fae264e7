// The simulated world: nodes with ledgers on them, and the load that each part gets in the mean. Pure.
import { sharesOf } from '../../src/load/random.ts';
import type { Costs } from './costs.ts';

export type Coordinator =
  /** Each node is a PostgreSQL of its own. */
  | 'none'
  /** All statements go through one more node. */
  | 'one'
  /** Each node coordinates its share of the statements. */
  | 'every node';

export type World = {
  readonly nodes: number;
  /** Cores of each node, and of the coordinator. */
  readonly cores: number;
  readonly ledgers: number;
  /** The exponent of Zipf's law for the sizes of ledgers; 0: all are equal. */
  readonly skew: number;
  /** The share of transfers that go from one ledger to another, from 0 to 1. */
  readonly between: number;
  readonly coordinator: Coordinator;
  /** How long a commit waits for the disk or for a standby, and one way between service and node; milliseconds. */
  readonly syncMs: number;
  readonly oneWayMs: number;
  readonly jobSizeMax: number;
  readonly costs: Costs;
};

/** How many round trips a job takes: one locks the accounts, one writes and commits. */
export const ROUND_TRIPS = 2;

/** A part of the world, what it can carry, and whether it is the first that breaks. */
export type Limit = { readonly part: string; readonly transfersPerSecond: number };

export type Layout = {
  /** The share of transfers that begin in each ledger. */
  readonly shares: Float64Array;
  /** The steps in each ledger per transfer of the whole: one of a plain transfer, three of one between ledgers. */
  readonly steps: Float64Array;
  /** The node of each ledger. */
  readonly nodeOf: Int32Array;
};

/**
 * Places the ledgers: the largest first, each on the node with the least load. A transfer between ledgers is held and
 * captured in its source, and credited in its target, so it is three steps.
 */
export function layOut({ nodes, ledgers, skew, between }: World): Layout {
  const shareOf = sharesOf(ledgers, skew);
  const shares = Float64Array.from({ length: ledgers }, (_, ledger) => shareOf(ledger));
  // A target is drawn like a source, and again while it is the source itself.
  const odds = shares.reduce((sum, share) => sum + (share < 1 ? share / (1 - share) : 0), 0);
  const steps = shares.map((share) => {
    const credits = share < 1 ? share * (odds - share / (1 - share)) : 0;
    return share * (1 - between) + between * (2 * share + credits);
  });
  const loads = new Float64Array(nodes);
  const nodeOf = new Int32Array(ledgers);
  for (const ledger of steps.keys()) {
    const node = loads.indexOf(loads.reduce((least, load) => Math.min(least, load), Infinity));
    nodeOf[ledger] = node;
    loads[node] = (loads[node] ?? 0) + (steps[ledger] ?? 0);
  }
  return { shares, steps, nodeOf };
}

/** What each part carries at most, with full jobs: the least one is where the world breaks. */
export function limitsOf(world: World, { steps, nodeOf }: Layout): Limit[] {
  const { costs, nodes, cores, jobSizeMax, coordinator } = world;
  const stepMicros = costs.transferMicros + costs.jobMicros / jobSizeMax;
  const coordinatedMicros = costs.coordinatorTransferMicros + costs.coordinatorJobMicros / jobSizeMax;
  const isShared = coordinator === 'every node';
  const total = steps.reduce((sum, each) => sum + each, 0);
  const loads = new Float64Array(nodes);
  for (const [ledger, each] of steps.entries()) loads[nodeOf[ledger] ?? 0] = (loads[nodeOf[ledger] ?? 0] ?? 0) + each;
  const coreMicros = cores * 1e6;
  const fullest = loads.reduce((most, load) => Math.max(most, load), 0);
  const nodeMicros = fullest * stepMicros + (isShared ? (total / nodes) * coordinatedMicros : 0);
  const hottest = steps.reduce((most, each) => Math.max(most, each), 0);
  return [
    { part: 'the fullest node', transfersPerSecond: coreMicros / nodeMicros },
    { part: 'the largest ledger', transfersPerSecond: (jobSizeMax / jobMsOf(world)) * (1000 / hottest) },
    ...(coordinator === 'one'
      ? [{ part: 'the coordinator', transfersPerSecond: coreMicros / (total * coordinatedMicros) }]
      : []),
  ];
}

/** How long a full job takes on an idle node, in milliseconds. One ledger's jobs follow each other. */
export function jobMsOf({ costs, jobSizeMax, coordinator, syncMs, oneWayMs }: World): number {
  const coordinated =
    coordinator === 'none' ? 0 : costs.coordinatorJobMicros + jobSizeMax * costs.coordinatorTransferMicros;
  const micros = costs.jobMicros + jobSizeMax * costs.transferMicros + coordinated;
  return micros / 1000 + syncMs + 2 * ROUND_TRIPS * oneWayMs;
}
