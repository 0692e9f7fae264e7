// Faults between the steps of a transfer to another ledger: services that are killed, a database that crashes, and commits
// whose answer is lost.
import { until } from '../support/until.ts';
import { setTimeout as sleep } from 'node:timers/promises';
import { isAccepted } from './attempt.ts';
import type { Fault, FaultContext } from './fault.ts';
import type { System } from './system.ts';

const RECOVER_MS = 15_000;
/** How long a step may take that nothing but the load delays. */
const STEP_MS = 20_000;

/** The last step that a transfer has made when the fault is injected. */
const STEPS = ['held', 'credited', 'ended'] as const;

export const BETWEEN_FAULTS: readonly Fault[] = [
  {
    name: 'between-kill-one-of-two',
    shape: { services: 2 },
    pair: true,
    recoverMs: RECOVER_MS,
    inject: async (context) => {
      await atStep(context, async ({ system, draw }) => await system.kill(draw.whole(0, 1)));
    },
    restore: async ({ system }) => {
      for (const place of [0, 1]) if (!system.services.has(place)) await system.start(place);
    },
  },
  {
    name: 'between-kill-both',
    shape: { services: 2 },
    pair: true,
    recoverMs: RECOVER_MS,
    inject: async (context) => {
      await atStep(context, async ({ system }) => {
        await Promise.all([system.kill(0), system.kill(1)]);
      });
      for (const place of [0, 1]) context.system.begin(place);
    },
  },
  {
    name: 'between-database-crash',
    shape: { services: 1 },
    pair: true,
    recoverMs: RECOVER_MS,
    inject: async (context) => {
      await atStep(context, async ({ system }) => {
        await system.database.crash();
        await system.database.start();
      });
    },
  },
  {
    name: 'between-lost-commit',
    shape: { services: 1, proxied: true },
    pair: true,
    recoverMs: RECOVER_MS,
    inject: async ({ system, callers, draw, short }) => {
      // The commits of a transfer's steps follow each other, and the load makes others between them.
      const times = draw.whole(3, 6);
      for (let time = 0; time < times; time += 1) {
        const sent = callers.send(callers.draftBetween(draw.whole(0, 1) === 1));
        const lost = await Promise.race([
          system.network.loseCommit().then(() => true),
          sleep(short ? 10_000 : 15_000, false),
        ]);
        if (!lost) {
          system.network.disarm();
          system.complaints.push('There was no commit whose answer could be lost.');
        }
        await sleep(draw.whole(0, 100));
        system.network.bury();
        await sent;
      }
    },
  },
];

/** Orders a transfer, and runs `work` when it has made one of its steps and cannot make the next. */
async function atStep(context: FaultContext, work: (context: FaultContext) => Promise<void>): Promise<void> {
  const { system, callers, draw } = context;
  const step = draw.pick(STEPS);
  const isBack = draw.whole(0, 1) === 1;
  const intent = callers.draftBetween(isBack);
  const [order] = intent.orders;
  if (!order) throw new Error('The transfer has no order.');
  const unlockTarget = await system.lock(order.to_account);
  let unlockSource = async (): Promise<void> => {};
  try {
    const id = await send(context, intent);
    await untilRow(
      system,
      id,
      `select from holds where id = $1::uuid and state = 'open' and to_account like '@ledger:%'`,
    );
    if (step !== 'held') {
      if (step === 'credited') unlockSource = await system.lock(order.from_account);
      await unlockTarget();
      await untilRow(
        system,
        id,
        step === 'credited'
          ? `select from transfers where id = $1::uuid and kind = 'transfer'`
          : `select from transfers where parent_id = $1::uuid and status = 'completed'`,
      );
    }
    await work(context);
  } finally {
    // The server ends them, if it was crashed.
    await Promise.all([unlockTarget(), unlockSource()].map(async (unlocked) => await unlocked.catch(() => {})));
  }
}

async function send(
  { callers }: FaultContext,
  intent: Parameters<FaultContext['callers']['send']>[0],
): Promise<string> {
  const sent = await until(
    async () => {
      const attempt = await callers.send(intent);
      return isAccepted(attempt) ? attempt : undefined;
    },
    { timeoutMs: STEP_MS, what: 'a transfer to another ledger to be accepted' },
  );
  return sent.named ?? '';
}

async function untilRow(system: System, id: string, sql: string): Promise<void> {
  await until(async () => (await system.query(sql, [id])).length > 0, { timeoutMs: STEP_MS, what: `a row of ${sql}` });
}
