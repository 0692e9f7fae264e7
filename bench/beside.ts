// Whether the flood of one ledger delays another. One caller of a ledger of its own waits for the end of its transfers, first alone, and
// then while wrk floods the main ledger.
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent, request } from 'undici';
import { ACCOUNTS, audit, type Bench, makeLedger, startService, WARM_UP_SECONDS } from './bench.ts';
import { putLoad } from './load.ts';
import { schedulingSeconds } from './processes.ts';
import { databaseOf } from './ours.ts';
import { BrokenPromise, type Subject } from './subject.ts';
import { requireWrk } from './wrk.ts';

const LEDGER = '/ledgers/beside';
const ACCOUNT_NUMBERS = ['ANN', 'BOB'];
const WARM_UP_REQUESTS = 50;
/** Between two requests of the caller, in the mean: so it meets the flood at any moment. */
const PAUSE_MS = 5;

type Caller = { readonly agent: Agent; readonly url: string };
type Latencies = { readonly p50Ms: number; readonly p99Ms: number };

/** The service of a checkout under a flood of so many connections. The figure is the other ledger's p99. */
export function beside(
  bench: Bench,
  { name, tree, connections, maxQueue }: { name: string; tree: string; connections: number; maxQueue?: number },
): Subject {
  const database = databaseOf(name);
  const settings = maxQueue === undefined ? {} : { MAX_QUEUE: String(maxQueue) };
  return {
    name,
    what: `Ours: one caller of a ledger of its own that waits (Prefer: wait), alone and while ${connections} connections flood the main ledger${maxQueue === undefined ? '' : ` beyond MAX_QUEUE=${maxQueue}`}, closed loop by wrk.`,
    needs: [],
    unit: 'ms',
    prepare: async () => {
      await requireWrk();
      await makeLedger(bench, tree, database, { accounts: ACCOUNTS, transfers: 0 });
    },
    run: async (seconds) => {
      const service = await startService(bench, tree, database, settings);
      const caller = { agent: new Agent({ connections: 1 }), url: service.url };
      try {
        await openLedger(caller);
        for (let index = 0; index < WARM_UP_REQUESTS; index += 1) await move(caller);
        const idle = await measure(caller, seconds);
        const loading = putLoad(bench, service, service.url, { generator: 'wrk', connections }, seconds);
        await sleep(WARM_UP_SECONDS * 1000);
        const before = schedulingSeconds(service.id);
        const flooded = await measure(caller, seconds);
        const after = schedulingSeconds(service.id);
        const { command, reported } = await loading;
        const measured = {
          ...reported,
          idleP50Ms: idle.p50Ms,
          idleP99Ms: idle.p99Ms,
          besideP50Ms: flooded.p50Ms,
          besideP99Ms: flooded.p99Ms,
          besideWaitedRatio: (after.waited - before.waited) / (after.ran - before.ran),
        };
        return { figure: flooded.p99Ms, measured, command };
      } finally {
        await caller.agent.close();
        await service.stop();
      }
    },
    prove: async () => await audit(bench, tree, database),
    close: async () => {},
  };
}

/** Opens the caller's ledger and accounts, if no earlier turn did. */
async function openLedger(caller: Caller): Promise<void> {
  await post(caller, '/ledgers', { name: LEDGER.split('/').at(-1) }, [201, 409]);
  for (const number of ACCOUNT_NUMBERS) {
    const account = { account_number: number, name: number, balance: 1_000_000_000 };
    await post(caller, `${LEDGER}/accounts`, account, [201, 409]);
  }
}

async function move(caller: Caller): Promise<void> {
  const [from, to] = ACCOUNT_NUMBERS;
  await post(caller, `${LEDGER}/transfers`, { from_account: from, to_account: to, amount: 1 }, [200]);
}

async function post({ agent, url }: Caller, path: string, body: object, expected: readonly number[]): Promise<void> {
  const { statusCode, body: answer } = await request(url + path, {
    dispatcher: agent,
    method: 'POST',
    headers: { 'Content-Type': 'application/json', Prefer: 'wait=30' },
    body: JSON.stringify(body),
  });
  const text = await answer.text();
  if (!expected.includes(statusCode)) throw new BrokenPromise(`POST ${path} was answered ${statusCode}: ${text}`);
}

async function measure(caller: Caller, seconds: number): Promise<Latencies> {
  const latencies: number[] = [];
  const end = performance.now() + seconds * 1000;
  while (performance.now() < end) {
    await sleep(Math.random() * 2 * PAUSE_MS);
    const startedAt = performance.now();
    await move(caller);
    latencies.push(performance.now() - startedAt);
  }
  const sorted = latencies.toSorted((a, b) => a - b);
  const at = (share: number): number => sorted[Math.floor(share * sorted.length)] ?? 0;
  return { p50Ms: at(0.5), p99Ms: at(0.99) };
}
