// Faults at a start: a database left behind by a killed process, a second service in the same folder, two that migrate
// at once, and a database that is newer than the code.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Fault } from './fault.ts';

const RECOVER_MS = 15_000;
const NEWER = '9999_from_the_future';

export const START_FAULTS: readonly Fault[] = [
  {
    name: 'left-behind',
    shape: { services: 1, embedded: true },
    recoverMs: RECOVER_MS,
    inject: async ({ system }) => {
      const before = await system.findEmbedded();
      await system.kill(0);
      await system.start(0);
      const after = await system.findEmbedded();
      if (before === null || before !== after) {
        system.complaints.push(`The database was process ${before} and is now ${after}: it was not adopted.`);
      }
    },
  },
  {
    name: 'second-service',
    shape: { services: 1, embedded: true },
    recoverMs: RECOVER_MS,
    inject: async ({ system, draw }) => {
      const [first = 0] = system.services.keys();
      const second = 1 - first;
      const before = await system.findEmbedded();
      await system.start(second);
      await sleep(draw.whole(100, 600));
      // Whichever process ends, for any reason, the database keeps running for the other one.
      const leaving = draw.pick([first, second]);
      if (draw.whole(0, 1) === 1) await system.kill(leaving);
      else {
        const { code, signal } = await system.expectEnd(leaving).stop();
        if (code !== 0) system.complaints.push(`SIGTERM ended a service with ${signal ?? `code ${code}`}.`);
      }
      const after = await system.findEmbedded();
      if (before === null || before !== after) {
        system.complaints.push(`The database was process ${before} and is now ${after}: it did not stay.`);
      }
    },
  },
  {
    name: 'two-migrations',
    shape: { services: 2 },
    fresh: true,
    recoverMs: RECOVER_MS,
    // The start of the system was the fault; its effects show under load.
    inject: async ({ system }) => {
      const applied = await system.query('select name, count(*)::integer as count from migrations group by name');
      for (const { name, count } of applied) {
        if (count !== 1) system.complaints.push(`The migration ${String(name)} was applied ${String(count)} times.`);
      }
      if (applied.length === 0) system.complaints.push('No migration was applied.');
    },
  },
  {
    name: 'newer-schema',
    shape: { services: 1 },
    recoverMs: RECOVER_MS,
    inject: async ({ system }) => {
      await system.query('insert into migrations (name, run_on) values ($1::text, now())', [NEWER]);
      const program = await system.run(['serve']);
      const patience = setTimeout(() => void program.kill(), 20_000);
      const { code, signal } = await program.exited;
      clearTimeout(patience);
      await system.query('delete from migrations where name = $1::text', [NEWER]);
      const reported = program.output();
      const sentence = new RegExp(`^[A-Z][^\\n]*"${NEWER}"[^\\n]*: start the newer version\\.\\n$`);
      if (code !== 1 || !sentence.test(reported)) {
        system.complaints.push(
          `On a newer database a start ended with ${signal ?? `code ${code}`} and printed: ${reported}`,
        );
      }
    },
  },
];
