// A process that puts load on a service, with the caller and the tally of `gopherpay load`, on accounts that are there
// already. It prints `measuring` and `measured` at the start and end of the measured window. Its result covers the
// requests due in that window.
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { Caller, type PlannedTransfer } from '../src/load/caller.ts';
import { createPicker, seeded } from '../src/load/random.ts';
import { closedLoop, openLoop } from '../src/load/schedule.ts';
import type { Stage } from '../src/load/stages.ts';
import { Tally } from '../src/load/tally.ts';

const balances = z.object({ currencies: z.array(z.object({ currency: z.string(), sum: z.int() })) });

/** Few enough not to affect the percentiles of the other answers. */
const SAMPLED = 256;
/** In an open loop, so long before the window the rate is the full one. */
const FULL_BEFORE_MS = 1000;
/** The load continues for this long after the window, so that its end is like its middle. */
const AFTER_MS = 300;

class WindowTally extends Tally {
  from = Infinity;
  to = Infinity;

  counts(intendedAt: number): boolean {
    return intendedAt >= this.from && intendedAt < this.to;
  }

  override answered(outcome: 'accepted' | 'refused' | 'failed', transfers: number, latencyMs: number, answer: string) {
    if (this.counts(performance.now() - latencyMs)) super.answered(outcome, transfers, latencyMs, answer);
  }

  override final(latencyMs: number, status?: string) {
    if (this.counts(performance.now() - latencyMs)) super.final(latencyMs, status);
  }
}

const { values } = parseArgs({
  strict: true,
  options: {
    url: { type: 'string', default: 'http://127.0.0.1:8080' },
    prefix: { type: 'string', default: 'BENCH' },
    connections: { type: 'string', default: '128' },
    accounts: { type: 'string', default: '10000' },
    rate: { type: 'string', default: '0' },
    bulk: { type: 'string', default: '1' },
    hot: { type: 'string', default: '0' },
    seed: { type: 'string', default: '1' },
    wait: { type: 'boolean', default: false },
    'warm-up': { type: 'string', default: '2' },
    seconds: { type: 'string', default: '8' },
  },
});
const { url, prefix, wait } = values;
const [connections, accounts, rate] = [Number(values.connections), Number(values.accounts), Number(values.rate)];
const [bulk, hot, seconds] = [Number(values.bulk), Number(values.hot), Number(values.seconds)];

const tally = new WindowTally();
let count = 0;
const caller = new Caller({ url, connections, prefix, tally });
const random = seeded(Number(values.seed));
const pick = createPicker(accounts, 0, random);

const from = performance.now() + Number(values['warm-up']) * 1000;
tally.from = from;
tally.to = from + seconds * 1000;
const stopAt = tally.to + AFTER_MS;
setTimeout(() => process.stdout.write('measuring\n'), from - performance.now());
setTimeout(() => process.stdout.write('measured\n'), tally.to - performance.now());
if (rate > 0) {
  // Start at half the rate. A backlog from the cold start would not drain at a rate near capacity, and would dominate
  // the measurement.
  await openLoop({ connections, ...steady(rate / 2, from - FULL_BEFORE_MS) }, startOne, leaveOut);
  await openLoop({ connections, ...steady(rate, stopAt) }, startOne, leaveOut);
} else await closedLoop(steady(connections, stopAt), startOne);
const { currencies } = balances.parse(await (await fetch(`${url}/balances`)).json());
const unbalanced = currencies.filter(({ sum }) => sum !== 0).map(({ currency }) => currency);
await caller.close();
process.stdout.write(`${JSON.stringify({ ...tally.summarize(), unbalanced })}\n`);

/** One stage, from now until then. */
function steady(load: number, until: number): { stages: readonly Stage[]; startedAt: number } {
  const startedAt = performance.now();
  return { stages: [{ seconds: (until - startedAt) / 1000, from: load, to: load }], startedAt };
}

/**
 * One request in this many waits for its outcome. This measures the time to final at less cost than following all
 * requests.
 */
async function startOne(intendedAt: number): Promise<void> {
  if (tally.counts(intendedAt)) tally.offered += bulk;
  count += 1;
  await caller.send(Array.from({ length: bulk }, nextTransfer), intendedAt, wait || count % SAMPLED === 0);
}

function leaveOut(intendedAt: number): void {
  if (tally.counts(intendedAt)) tally.offered += bulk;
  tally.answered('failed', bulk, performance.now() - intendedAt, 'not_sent');
}

/** With hot accounts, each transfer is between one of them and one of the others, in either direction. */
function nextTransfer(): PlannedTransfer {
  const amount = 1 + Math.floor(random() * 100);
  if (hot > 0) {
    const [one, other] = [Math.floor(random() * hot), hot + Math.floor(random() * (accounts - hot))];
    return random() < 0.5 ? { from: one, to: other, amount } : { from: other, to: one, amount };
  }
  const [from, to] = [pick(), pick()];
  return { from, to: to === from ? (to + 1) % accounts : to, amount };
}
