// One run of a load test: opens accounts of its own, puts them under load, and returns the money.
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Swept, TestAccounts } from './accounts.ts';
import { readBalances } from './balances.ts';
import { Caller, type PlannedTransfer } from '../../load/caller.ts';
import type { LoadOptions } from './options.ts';
import { createPicker, seeded, sharesOf } from '../../load/random.ts';
import { renderSwept } from './render.ts';
import { headersOf, type Service } from '../remote/connection.ts';
import { showProgress } from './live.ts';
import { checkAccess } from './target.ts';
import { closedLoop, openLoop } from '../../load/schedule.ts';
import { type Row, Series } from '../../load/series.ts';
import { countOf, secondsOf } from '../../load/stages.ts';
import type { Summary } from '../../load/tally.ts';

const SETTLE_TIMEOUT_MS = 60_000;
const AMOUNT_MAX = 100;
/** More transfers per second than any service here has settled: bounds the amount that a closed loop may move. */
const CLOSED_LOOP_PER_SECOND = 50_000;
/** How much an account may send beyond its share, because the share is an average. */
const SPARE_TRANSFERS = 10;

export type Measured = {
  readonly beganAt: Date;
  readonly summary: Summary;
  readonly intervalSeconds: number;
  readonly rows: readonly Row[];
};

/** The results of a run. Without anything measured, it was stopped before the load began. */
export type RunResult = { readonly prefix: string; readonly measured: Measured | null; readonly swept: Swept };

/** Opens accounts of its own, puts them under load, and returns the money, also after a failure or when `signal` is aborted. */
export async function runTest(options: LoadOptions, service: Service, signal: AbortSignal): Promise<RunResult> {
  const prefix = `LOAD-${Date.now().toString(36)}-${randomBytes(3).toString('hex')}`;
  if (service.key !== null) await checkAccess(service, prefix);
  process.stderr.write(`seed ${options.seed}\nopening ${options.accounts} accounts, ${prefix}-0 and so on\n`);
  const accounts = new TestAccounts(service, prefix);
  let measured: Measured | null = null;
  let swept: Swept;
  try {
    await accounts.open(options.accounts, fundsFor(options), signal);
    if (!signal.aborted) measured = await runLoad(options, service, prefix, signal);
  } finally {
    process.stderr.write('moving the money back to @external\n');
    swept = await accounts.sweep();
    process.stderr.write(`${renderSwept(swept)}\n`);
  }
  return { prefix, measured, swept };
}

/** The most that each account can need: the largest amount in every transfer of its share, even if it receives nothing. */
function fundsFor({ accounts, bulk, plan, skew }: LoadOptions): (index: number) => number {
  const shareOf = sharesOf(accounts, skew);
  const isClosed = plan.unit === 'connections';
  const transfers = isClosed ? secondsOf(plan.stages) * CLOSED_LOOP_PER_SECOND : countOf(plan.stages) * bulk;
  return (index) => AMOUNT_MAX * (Math.ceil(transfers * shareOf(index)) + SPARE_TRANSFERS);
}

/** Puts the accounts under load until the stages are over or `signal` is aborted. */
async function runLoad(options: LoadOptions, service: Service, prefix: string, signal: AbortSignal): Promise<Measured> {
  const { bulk, connections, plan } = options;
  const random = seeded(options.seed);
  const pick = createPicker(options.accounts, options.skew, random);
  const nextTransfers = () => Array.from({ length: bulk }, () => nextTransfer(pick, random, options.accounts));
  const ended = new AbortController();
  const { journalNumber } = await readBalances(service);
  const beganAt = new Date();
  const series = new Series(plan);
  const caller = new Caller({ ...options, headers: headersOf(service), prefix, tally: series });
  // The run follows the feed from before the first transfer on, so that it misses no final transfer.
  const following = caller.follow(journalNumber, ended.signal);
  const hideProgress = showProgress(series, bulk, () => caller.unsettled);
  try {
    const start = async (intendedAt: number) => {
      series.sent(bulk, intendedAt);
      await caller.send(nextTransfers(), intendedAt, options.wait);
    };
    const load = { stages: plan.stages, startedAt: series.startedAt, signal };
    if (plan.unit === 'connections') await closedLoop(load, start);
    else await openLoop({ ...load, connections }, start, (intendedAt) => series.notSent(bulk, intendedAt));
    const summary = await summarizeWhenSettled(series, caller);
    return { beganAt, summary, intervalSeconds: series.intervalSeconds, rows: series.rows() };
  } finally {
    hideProgress();
    ended.abort();
    await following;
    await caller.close();
  }
}

async function summarizeWhenSettled(series: Series, caller: Caller): Promise<Summary> {
  const summary = series.summarize();
  const giveUpAt = performance.now() + SETTLE_TIMEOUT_MS;
  while (caller.unsettled > 0 && performance.now() < giveUpAt) await sleep(20);
  const { settled, settledAsFailed, settledPerSecond, finalMs } = series.summarize();
  // The offered and accepted rates are those of the load; settling continues after it.
  return { ...summary, settled, settledAsFailed, settledPerSecond, finalMs };
}

function nextTransfer(pick: () => number, random: () => number, accounts: number): PlannedTransfer {
  const from = pick();
  const to = pick();
  return { from, to: to === from ? (to + 1) % accounts : to, amount: 1 + Math.floor(random() * AMOUNT_MAX) };
}
