// What can happen to the database: connections that break, a server that crashes, is away, or has no room left, and commits whose
// answer is lost.
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fillDisk, tryDisk } from '../support/disk.ts';
import type { Fault } from './fault.ts';

const RECOVER_MS = 15_000;

export const DATABASE_FAULTS: readonly Fault[] = [
  {
    name: 'connections',
    shape: { services: 1 },
    recoverMs: RECOVER_MS,
    strike: async ({ system, draw }) => {
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
    name: 'database-crash',
    shape: { services: 1 },
    recoverMs: RECOVER_MS,
    strike: async ({ system }) => {
      await system.database.crash();
      await system.database.start();
    },
  },
  {
    name: 'database-away',
    shape: { services: 1 },
    recoverMs: RECOVER_MS,
    strike: async ({ system, short }) => {
      await system.database.crash();
      await sleep(short ? 3000 : 30_000);
      await system.database.start();
    },
  },
  {
    name: 'lost-commit',
    shape: { services: 1, proxied: true },
    recoverMs: RECOVER_MS,
    strike: async ({ system, draw, short }) => {
      const crashes = draw.whole(0, 1) === 1;
      const times = crashes ? 1 : draw.whole(1, 4);
      for (let time = 0; time < times; time += 1) {
        const lost = await Promise.race([
          system.network.loseCommit().then(() => true),
          sleep(short ? 3000 : 5000, false),
        ]);
        if (!lost) {
          system.network.disarm();
          system.complaints.push('No commit came by whose answer could have been lost.');
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
    strike: async ({ system, draw }) => {
      const filler = join(system.diskFolder, 'filler');
      await fillDisk(filler);
      await sleep(draw.whole(300, 2000));
      await rm(filler);
      // Out of room for its log, PostgreSQL gives up; whoever has made room starts it again.
      await system.database.start();
    },
  },
];
