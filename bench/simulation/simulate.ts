// Simulates the world event by event. Transfers arrive at random, wait in the queue of their ledger, and are settled in
// jobs. A ledger has one job at a time; a node serves jobs in the order of their arrival, on its cores.
//
//   arrival ──▶ queue of its ledger ──job──▶ coordinator ──▶ node ──▶ commit ──▶ final
//                     ▲                                          │
//                     └── hold ──▶ credit ──▶ capture, each a job ┘   (between ledgers)
import { seeded } from '../../src/load/random.ts';
import { EventQueue } from './event-queue.ts';
import { layOut, ROUND_TRIPS, type World } from './world.ts';

export type Outcome = {
  readonly arrived: number;
  /** How many of them were final at the end. */
  readonly final: number;
  /** How many waited or were on their way at the end. */
  readonly waiting: number;
  /** From arrival to final, in milliseconds; null if none was final after the warm-up. */
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
  /** The mean of the sizes of jobs. */
  readonly jobSize: number;
  /** How busy the busiest node was, from 0 to 1, and the coordinator; null: there is none. */
  readonly nodeBusy: number;
  readonly coordinatorBusy: number | null;
};

/** Transfers of one ledger that arrived in the same instant, and are at the same step. */
type Batch = { arrivedAt: number; count: number; step: 'plain' | 'hold' | 'credit' | 'capture'; partner: number };

type Job = { readonly ledger: number; readonly size: number; readonly batches: readonly Batch[] };

type Event = { readonly at: number; readonly run: (at: number) => void };

/** Arrivals are drawn for one such interval at a time, in milliseconds. */
const TICK_MS = 1;

/** Runs the world for some simulated seconds at a rate. The first quarter warms it up, and has no latencies. */
export function simulate(
  world: World,
  { transfersPerSecond, seconds, seed }: { transfersPerSecond: number; seconds: number; seed: number },
): Outcome {
  const random = seeded(seed);
  const endsAt = seconds * 1000;
  const events = new EventQueue<Event>();
  const layout = layOut(world);
  const pick = pickerOf(layout.shares, random);
  const queues = Array.from({ length: world.ledgers }, (): Batch[] => []);
  const busy = new Uint8Array(world.ledgers);
  const nodes = Array.from({ length: world.nodes }, () => new Station(world.cores));
  const coordinator = world.coordinator === 'one' ? new Station(world.cores) : null;
  const latencies = new Latencies();
  const counts = { arrived: 0, final: 0, jobs: 0, settled: 0 };
  const { costs } = world;

  function enqueue(ledger: number, batch: Batch, at: number): void {
    queues[ledger]?.push(batch);
    if (busy[ledger] === 0) begin(ledger, at);
  }

  function begin(ledger: number, at: number): void {
    const batches = takeUpTo(queues[ledger] ?? [], world.jobSizeMax);
    const size = batches.reduce((sum, { count }) => sum + count, 0);
    busy[ledger] = size === 0 ? 0 : 1;
    if (size === 0) return;
    counts.jobs += 1;
    counts.settled += size;
    const job = { ledger, size, batches };
    const coordinatedMs = (costs.coordinatorJobMicros + size * costs.coordinatorTransferMicros) / 1000;
    const station = coordinator ?? (world.coordinator === 'none' ? null : nodes[Math.floor(random() * world.nodes)]);
    const sentAt = at + ROUND_TRIPS * world.oneWayMs;
    if (station) events.push({ at: sentAt, run: (now) => later(station.serve(now, coordinatedMs), execute(job)) });
    else events.push({ at: sentAt, run: execute(job) });
  }

  const later = (at: number, run: (at: number) => void): void => events.push({ at, run });

  const execute = (job: Job) => (at: number) => {
    const node = nodes[layout.nodeOf[job.ledger] ?? 0];
    const done = node?.serve(at, (costs.jobMicros + job.size * costs.transferMicros) / 1000) ?? at;
    later(done + world.syncMs + ROUND_TRIPS * world.oneWayMs, (now) => {
      for (const batch of job.batches) finish(job.ledger, batch, now);
      begin(job.ledger, now);
    });
  };

  function finish(ledger: number, batch: Batch, at: number): void {
    if (batch.step === 'hold') enqueue(batch.partner, { ...batch, step: 'credit', partner: ledger }, at);
    else if (batch.step === 'credit') enqueue(batch.partner, { ...batch, step: 'capture', partner: ledger }, at);
    else {
      counts.final += batch.count;
      if (batch.arrivedAt >= endsAt / 4) latencies.add(at - batch.arrivedAt, batch.count);
    }
  }

  function arrive(at: number): void {
    const arriving = poisson((transfersPerSecond * TICK_MS) / 1000, random);
    counts.arrived += arriving;
    const plain = new Map<number, number>();
    for (let index = 0; index < arriving; index += 1) {
      const ledger = pick();
      if (world.ledgers > 1 && random() < world.between) {
        let partner = pick();
        while (partner === ledger) partner = pick();
        enqueue(ledger, { arrivedAt: at, count: 1, step: 'hold', partner }, at);
      } else plain.set(ledger, (plain.get(ledger) ?? 0) + 1);
    }
    for (const [ledger, count] of plain) enqueue(ledger, { arrivedAt: at, count, step: 'plain', partner: -1 }, at);
    if (at + TICK_MS < endsAt) later(at + TICK_MS, arrive);
  }

  later(0, arrive);
  for (let event = events.pop(); event && event.at < endsAt; event = events.pop()) event.run(event.at);
  return {
    arrived: counts.arrived,
    final: counts.final,
    waiting: counts.arrived - counts.final,
    p50Ms: latencies.quantile(0.5),
    p99Ms: latencies.quantile(0.99),
    jobSize: counts.jobs === 0 ? 0 : counts.settled / counts.jobs,
    nodeBusy: Math.max(...nodes.map((node) => node.busyShare(endsAt))),
    coordinatorBusy: coordinator?.busyShare(endsAt) ?? null,
  };
}

/** Takes batches from the front of a queue, until they have `max` transfers; the last one is cut. */
function takeUpTo(queue: Batch[], max: number): Batch[] {
  const taken: Batch[] = [];
  let room = max;
  let whole = 0;
  for (const batch of queue) {
    if (batch.count > room) break;
    room -= batch.count;
    taken.push(batch);
    whole += 1;
  }
  queue.splice(0, whole);
  const [next] = queue;
  if (next && room > 0) {
    taken.push({ ...next, count: room });
    next.count -= room;
  }
  return taken;
}

/** A node: jobs are served in the order of their arrival, each by one core. */
class Station {
  readonly #freeAt: Float64Array;
  #busyMs = 0;

  constructor(cores: number) {
    this.#freeAt = new Float64Array(cores);
  }

  /** Returns when the work is done. */
  serve(at: number, workMs: number): number {
    let first = 0;
    for (let core = 1; core < this.#freeAt.length; core += 1) {
      if ((this.#freeAt[core] ?? 0) < (this.#freeAt[first] ?? 0)) first = core;
    }
    const done = Math.max(at, this.#freeAt[first] ?? 0) + workMs;
    this.#freeAt[first] = done;
    this.#busyMs += workMs;
    return done;
  }

  /** The share of its time until `at` in which its cores worked; work that was taken on and not done counts as well. */
  busyShare(at: number): number {
    return this.#busyMs / (at * this.#freeAt.length);
  }
}

/** Latencies in bins that are 2 % wide. */
class Latencies {
  readonly #bins = new Map<number, number>();
  #count = 0;

  add(ms: number, count: number): void {
    const bin = Math.round(Math.log(Math.max(ms, 0.001)) / Math.log(1.02));
    this.#bins.set(bin, (this.#bins.get(bin) ?? 0) + count);
    this.#count += count;
  }

  quantile(share: number): number | null {
    let left = share * this.#count;
    for (const [bin, count] of [...this.#bins].sort(([a], [b]) => a - b)) {
      left -= count;
      if (left <= 0) return 1.02 ** bin;
    }
    return null;
  }
}

/** Draws from shares that sum to one. */
function pickerOf(shares: Float64Array, random: () => number): () => number {
  let sum = 0;
  const cumulative = shares.map((share) => (sum += share));
  return () => {
    const wanted = random() * sum;
    let [low, high] = [0, shares.length - 1];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((cumulative[middle] ?? sum) <= wanted) low = middle + 1;
      else high = middle;
    }
    return low;
  };
}

/** A Poisson number: by Knuth's method, or for a large mean by the normal distribution that it approaches. */
function poisson(mean: number, random: () => number): number {
  if (mean > 50) {
    const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
    return Math.max(0, Math.round(mean + Math.sqrt(mean) * normal));
  }
  const least = Math.exp(-mean);
  let count = 0;
  for (let product = random(); product > least; product *= random()) count += 1;
  return count;
}
