// Faults of the database: connections that break, a server that crashes, is away, or has no room left, and commits
// whose answer is lost.
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fillDisk, tryDisk } from '../support/disk.ts';
import { tryClock } from './clock.ts';
import type { FaultContext, Fault } from './fault.ts';

const RECOVER_MS = 15_000;
const HOUR_MS = 3_600_000;
/** Short, so that a backend can be stopped for longer than each of them in a round of a few seconds. */
const STALL_ENV = {
  HEARTBEAT_MS: '250',
  ORPHANED_AFTER_MS: '1500',
  DB_STATEMENT_TIMEOUT_MS: '1000',
  DB_LOCK_TIMEOUT_MS: '800',
  DB_IDLE_IN_TRANSACTION_TIMEOUT_MS: '1200',
  DB_ANSWER_TIMEOUT_MS: '1500',
};

export const DATABASE_FAULTS: readonly Fault[] = [
  {
    name: 'connections',
    shape: { services: 1 },
    recoverMs: RECOVER_MS,
    inject: async ({ system, draw }) => {
      const times = draw.whole(1, 6);
      for (let time = 0; time < times; time += 1) {
        await system.query(
          `select pg_terminate_backend(pid) from pg_stat_activity
           where datname = $1::text and application_name like 'gopherpay%' and (pid * 7 + $2::integer) % 10 < $3::integer`,
          [system.admin.database, draw.whole(0, 9), draw.whole(1, 10)],
        );
        await sleep(draw.whole(0, 150));
      }
    },
  },
  {
    name: 'cancel',
    shape: { services: 1, cancelable: true },
    recoverMs: RECOVER_MS,
    inject: async (context) => {
      await cancelAtRandom(context);
      await cancelInTurn(context);
    },
  },
  {
    name: 'stall',
    shape: { services: 1, env: STALL_ENV },
    recoverMs: RECOVER_MS,
    inject: async ({ system, draw }) => {
      // While accounts are locked, backends are in the middle of a statement.
      const unlock = draw.whole(0, 1) === 1 ? await system.lock('RICH0') : async (): Promise<void> => {};
      const stopped: number[] = [];
      try {
        const backends = await system.query(
          `select pid from pg_stat_activity
           where datname = $1::text and application_name like 'gopherpay%' and state <> 'idle'
           order by random()
           limit $2::integer`,
          [system.admin.database, draw.whole(1, 4)],
        );
        for (const { pid } of backends) {
          process.kill(Number(pid), 'SIGSTOP');
          stopped.push(Number(pid));
        }
        await sleep(draw.whole(1200, 2500));
      } finally {
        await unlock();
        for (const pid of stopped) resume(pid);
      }
    },
  },
  {
    name: 'clock-back',
    shape: { services: 2, ownClock: true, env: { HEARTBEAT_MS: '250', ORPHANED_AFTER_MS: '1500' } },
    recoverMs: RECOVER_MS,
    impediment: tryClock,
    inject: async ({ system, draw }) => {
      // The transfers of the locked account are stored and not settled when their process is killed.
      const unlock = await system.lock('RICH0');
      await sleep(draw.whole(100, 400));
      await system.kill(draw.whole(0, 1));
      await system.clock.shift(-HOUR_MS);
      await unlock();
    },
    restore: async ({ system }) => {
      await system.clock.shift(0);
      for (const place of [0, 1]) if (!system.services.has(place)) await system.start(place);
    },
  },
  {
    name: 'database-crash',
    shape: { services: 1 },
    recoverMs: RECOVER_MS,
    inject: async ({ system }) => {
      await system.database.crash();
      await system.database.start();
    },
  },
  {
    name: 'database-away',
    shape: { services: 1 },
    recoverMs: RECOVER_MS,
    inject: async ({ system, short }) => {
      await system.database.crash();
      await sleep(short ? 3000 : 30_000);
      await system.database.start();
    },
  },
  {
    name: 'lost-commit',
    shape: { services: 1, proxied: true },
    recoverMs: RECOVER_MS,
    inject: async ({ system, draw, short }) => {
      const crashes = draw.whole(0, 1) === 1;
      const times = crashes ? 1 : draw.whole(1, 4);
      for (let time = 0; time < times; time += 1) {
        const lost = await Promise.race([
          system.network.loseCommit().then(() => true),
          sleep(short ? 10_000 : 15_000, false),
        ]);
        if (!lost) {
          system.network.disarm();
          system.complaints.push('There was no commit whose answer could be lost.');
        }
        if (crashes) {
          await system.database.crash();
          await system.database.start();
        }
        system.network.bury();
      }
    },
  },
  {
    name: 'disk-full',
    shape: { services: 1, ownDisk: true },
    recoverMs: RECOVER_MS,
    impediment: tryDisk,
    inject: async ({ system, draw }) => {
      const filler = join(system.diskFolder, 'filler');
      await fillDisk(filler);
      await sleep(draw.whole(300, 2000));
      await rm(filler);
      // PostgreSQL exits when its log has no space. The operator frees space and starts it again.
      await system.database.start();
    },
  },
];

/** Cancels the current statements of the service's backends, many times a second. */
async function cancelAtRandom({ system, draw }: FaultContext): Promise<void> {
  await system.query(
    `do $$
     begin
       for turn in 1..${draw.whole(100, 500)} loop
         perform pg_cancel_backend(pid)
         from pg_stat_get_activity(null)
         where application_name like 'gopherpay%' and random() < 0.3 and datid = (
           select oid from pg_database where datname = current_database()
         );
         perform pg_sleep(0.001);
       end loop;
     end
     $$`,
  );
}

/** Cancels single statements, each position of each sequence once before any is canceled again. */
async function cancelInTurn({ system, draw }: FaultContext): Promise<void> {
  for (let count = draw.whole(5, 15); count > 0; count -= 1) {
    const struck = await Promise.race([system.canceler.strike().then(() => true), sleep(300, false)]);
    if (struck) continue;
    system.canceler.disarm();
    system.canceler.forget();
  }
}

/** A backend that was ended while it was stopped is gone by now. */
function resume(pid: number): void {
  try {
    process.kill(pid, 'SIGCONT');
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}
