// Valid load that is hard to sustain: thousands of the largest transfers at once, thousands of holds that are due in
// the same second.
import { setTimeout as sleep } from 'node:timers/promises';
import { KILLABLE_THREADS_ENV, killThread } from '../support/trouble.ts';
import { until } from '../support/until.ts';
import { type Intent, isAccepted, type Order } from './attempt.ts';
import { RICH } from './callers.ts';
import type { FaultContext, Fault } from './fault.ts';

const RECOVER_MS = 15_000;
/** The most metadata that a transfer may have, in bytes of JSON, and how long one of its values may be. */
const METADATA_BYTES_MAX = 8000;
const VALUE_LENGTH_MAX = 500;
const GROUP_SIZE = 100;
const SENDERS = 16;
const ATTEMPTS_MAX = 20;
/** How long after the last of many holds is due all must be released. */
const RELEASE_MS = 10_000;

export const LOAD_FAULTS: readonly Fault[] = [
  {
    name: 'out-of-memory',
    shape: { services: 1, env: { ...KILLABLE_THREADS_ENV, MAX_QUEUE: '5000', THREADS: '2' } },
    recoverMs: 30_000,
    inject: async (context) => {
      const { system, callers, draw, short } = context;
      const metadata = largestMetadata();
      const orders = Array.from({ length: GROUP_SIZE }, (_, index) => ({
        from_account: 'RICH0',
        to_account: `RICH${1 + (index % (RICH.count - 1))}`,
        amount: 1,
        metadata,
      }));
      // What is accepted while the account is locked is settled in jobs as large as the service makes them.
      const unlock = await system.lock('RICH0');
      const count = short ? 10 : draw.whole(15, 25);
      const sent = sendAll(
        context,
        Array.from({ length: count }, () => callers.draftGroup(orders)),
      );
      await Promise.race([sent, sleep(4000)]);
      await unlock();
      await sleep(draw.whole(0, 200));
      if (system.services.has(0)) await killThread(system.service(0));
      await sent;
    },
    // The harness has not restarted it, and a process that died is a complaint already.
    restore: async ({ system }) => {
      if (!system.services.has(0)) await system.start(0);
    },
  },
  {
    name: 'holds-due',
    shape: { services: 1, env: { MAX_QUEUE: '5000', HEARTBEAT_MS: '1000', ORPHANED_AFTER_MS: '5000' } },
    recoverMs: RECOVER_MS,
    inject: async (context) => {
      const { system, callers, draw, short } = context;
      const count = short ? 2000 : 3000;
      const account_number = `DUE-${callers.requestId()}`;
      await callers.open({ account_number, balance: count });
      // All due in the same second, or at the rate at which they are made.
      const isSteady = draw.whole(0, 1) === 1;
      const startedAt = Date.now();
      const expiresIn = (): number => (isSteady ? 1 : Math.max(1, Math.ceil((startedAt + 5000 - Date.now()) / 1000)));
      const intents = function* (): Generator<Intent> {
        for (let index = 0; index < count; index += 1) {
          yield callers.draftHold({
            from_account: account_number,
            to_account: 'RICH0',
            amount: 1,
            expires_in: expiresIn(),
          });
        }
      };
      await sendAll(context, intents());
      const [due] = await system.query(
        `select greatest(0, extract(epoch from max(expires_at) - clock_timestamp()) * 1000)::integer as ms
         from holds where from_account = $1::text`,
        [account_number],
      );
      await sleep(Number(due?.['ms']));
      const countHeld = async (): Promise<number> => {
        const [row] = await system.query('select held::integer as held from accounts where account_number = $1::text', [
          account_number,
        ]);
        return Number(row?.['held']);
      };
      await until(async () => (await countHeld()) === 0, {
        timeoutMs: RELEASE_MS,
        what: 'the holds to be released',
      }).catch(async () => {
        const held = await countHeld();
        system.complaints.push(`${held} of ${count} due holds keep their money for more than ${RELEASE_MS} ms.`);
      });
      const all = callers.draftTransfer({ from_account: account_number, to_account: 'RICH0', amount: count });
      const spent = await callers.send(all, { waits: true });
      if (spent.reported[0]?.status !== 'completed')
        system.complaints.push(
          `The released money cannot be spent: ${spent.status} ${spent.reported[0]?.failure_code}.`,
        );
    },
  },
];

/**
 * Sends many orders, some at a time, each until it is accepted. Callers later retry orders that no service has accepted
 * by then.
 */
async function sendAll({ callers }: FaultContext, intents: Iterable<Intent>): Promise<void> {
  const queue = intents[Symbol.iterator]();
  const send = async (): Promise<void> => {
    for (let next = queue.next(); !next.done; next = queue.next()) {
      const intent = next.value;
      let attempt = await callers.send(intent);
      for (let retries = 1; !isAccepted(attempt) && retries < ATTEMPTS_MAX; retries += 1) {
        await sleep(100);
        attempt = await callers.send(intent);
      }
    }
  };
  await Promise.all(Array.from({ length: SENDERS }, send));
}

/** As much metadata as a transfer may have. One character beyond Latin-1 makes every text that contains it twice as large in memory. */
function largestMetadata(): NonNullable<Order['metadata']> {
  const metadata: Record<string, string> = { wide: '€' };
  for (let index = 0; ; index += 1) {
    const grown = { ...metadata, [`key${index}`]: 'x'.repeat(VALUE_LENGTH_MAX) };
    if (Buffer.byteLength(JSON.stringify(grown)) > METADATA_BYTES_MAX) return metadata;
    Object.assign(metadata, grown);
  }
}
