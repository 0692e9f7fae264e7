// Faults between the service and its database.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Fault } from './fault.ts';

const RECOVER_MS = 15_000;
const DELAY_MS = 1000;
/** Timeouts that let a service notice within the round that it was cut off. */
const QUICK_ENV = {
  HEARTBEAT_MS: '250',
  ORPHANED_AFTER_MS: '1000',
  DB_STATEMENT_TIMEOUT_MS: '2000',
  DB_LOCK_TIMEOUT_MS: '1000',
  DB_IDLE_IN_TRANSACTION_TIMEOUT_MS: '2000',
  DB_ANSWER_TIMEOUT_MS: '2500',
};

export const NETWORK_FAULTS: readonly Fault[] = [
  {
    name: 'network-cut',
    shape: { services: 1, proxied: true },
    recoverMs: RECOVER_MS,
    inject: async ({ system, draw }) => {
      const times = draw.whole(1, 4);
      for (let time = 0; time < times; time += 1) {
        system.network.cut();
        await sleep(draw.whole(0, 200));
      }
    },
  },
  {
    name: 'network-black-hole',
    shape: { services: 1, proxied: true },
    recoverMs: RECOVER_MS,
    inject: async ({ system, draw, short }) => {
      system.network.swallow();
      await sleep(short ? 1500 : draw.whole(1000, 15_000));
      await system.network.heal();
    },
    restore: async ({ system }) => system.network.bury(),
  },
  {
    name: 'network-slow',
    shape: { services: 1, proxied: true },
    recoverMs: RECOVER_MS,
    inject: async ({ system, draw, short }) => {
      system.network.slow(DELAY_MS);
      await sleep(short ? 2500 : draw.whole(2000, 10_000));
      system.network.slow(0);
    },
  },
  {
    name: 'network-reset',
    shape: { services: 1, proxied: true },
    recoverMs: RECOVER_MS,
    inject: async ({ system, draw }) => {
      const bytesMax = draw.pick([50, 1000, 20_000, 200_000]);
      system.network.resetAfter(() => draw.whole(1, bytesMax));
      await sleep(draw.whole(300, 1000));
      system.network.resetAfter(null);
    },
  },
  {
    name: 'partition-one-of-two',
    shape: { services: 2, proxied: true, partitioned: true, env: QUICK_ENV },
    recoverMs: RECOVER_MS,
    inject: async ({ system, draw }) => {
      if (draw.whole(0, 1) === 1) system.network.loseAnswers();
      else system.network.swallow();
      // Longer than it takes the other service to adopt, so that it settles what the first one may still want to store.
      await sleep(draw.whole(2000, 3500));
      await system.network.heal();
    },
    restore: async ({ system }) => system.network.bury(),
  },
];
