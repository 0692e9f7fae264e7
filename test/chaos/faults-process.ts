// Faults of the service's process: killed, terminated, a dead thread, a clock that jumps, a blocked event loop.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { KILLABLE_THREADS_ENV, killThread } from '../support/trouble.ts';
import type { Fault } from './fault.ts';
import { CONTROL_FILE, type Injection } from './fault-control.ts';
import type { System } from './system.ts';

const RECOVER_MS = 15_000;
const FAULT_INJECTION_ENV = { NODE_OPTIONS: `--import=${new URL('fault-injection.ts', import.meta.url).href}` };

export const PROCESS_FAULTS: readonly Fault[] = [
  {
    name: 'kill',
    shape: { services: 1 },
    recoverMs: RECOVER_MS,
    inject: async ({ system }) => {
      await system.kill(0);
      system.begin(0);
    },
  },
  {
    name: 'kill-one-of-two',
    shape: { services: 2 },
    recoverMs: RECOVER_MS,
    inject: async ({ system, draw }) => await system.kill(draw.whole(0, 1)),
    restore: async ({ system }) => {
      for (const place of [0, 1]) if (!system.services.has(place)) await system.start(place);
    },
  },
  {
    name: 'terminate',
    shape: { services: 1 },
    recoverMs: RECOVER_MS,
    inject: async ({ system, callers, draw }) => {
      // While an account is locked, callers that wait for the end of their transfers are in the middle of a request.
      const unlock = await system.lock('RICH0');
      await sleep(draw.whole(100, 400));
      const signaledAt = Date.now();
      const service = system.expectEnd(0);
      const stopping = service.stop();
      await sleep(draw.whole(50, 300));
      await unlock();
      const { code, signal } = await stopping;
      const endedAt = Date.now();
      if (code !== 0) system.complaints.push(`SIGTERM ended the service with ${signal ?? `code ${code}`}.`);
      const remaining = await system.countPending();
      if (remaining > 0) system.complaints.push(`It stopped cleanly and left ${remaining} transfers pending.`);
      system.begin(0);
      // Requests sent well before the signal had arrived, and must be answered.
      const cut = callers.attempts.filter(
        ({ sentAt, readAt, broken, url }) =>
          broken !== null &&
          url === service.url &&
          sentAt < signaledAt - 100 &&
          readAt >= signaledAt &&
          readAt <= endedAt + 1000,
      );
      for (const { requestId, broken } of cut)
        system.complaints.push(`${requestId} was in flight and not answered: ${broken}.`);
    },
  },
  {
    name: 'thread',
    shape: { services: 1, env: KILLABLE_THREADS_ENV },
    recoverMs: RECOVER_MS,
    inject: async ({ system, draw }) => {
      const count = draw.whole(1, 5);
      for (let killed = 0; killed < count; killed += 1) {
        await killThread(system.service(0));
        await sleep(draw.whole(0, 100));
      }
    },
  },
  {
    name: 'clock',
    shape: { services: 1, env: FAULT_INJECTION_ENV },
    recoverMs: RECOVER_MS,
    inject: async ({ system, draw }) => {
      const hours = draw.whole(1, 48) * draw.pick([-1, 1]);
      await injectFault(system, { offsetMs: hours * 3_600_000, blockMs: 0 });
      await sleep(draw.whole(300, 1000));
      // Back, or to another wrong time, with which the next round begins.
      if (draw.whole(0, 1) === 1) await injectFault(system, { offsetMs: 0, blockMs: 0 });
    },
  },
  {
    name: 'blocked-loop',
    shape: { services: 2, env: FAULT_INJECTION_ENV },
    recoverMs: RECOVER_MS,
    inject: async ({ system, short }) => {
      const blockMs = short ? 2000 : 5000;
      await injectFault(system, { offsetMs: 0, blockMs });
      await sleep(blockMs);
    },
  },
];

/** Sends an injection to every service of a system, and waits until it must have read it. */
async function injectFault(system: System, injection: Omit<Injection, 'number'>): Promise<void> {
  writeFileSync(join(system.folder, CONTROL_FILE), JSON.stringify({ ...injection, number: Date.now() }));
  await sleep(100);
}
