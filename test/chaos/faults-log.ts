// What can happen to the reader of the service's log: it stops reading, or it goes away. The service must go on and stop as ever.
import { setTimeout as sleep } from 'node:timers/promises';
import { isAccepted } from './attempt.ts';
import type { Blow, Fault } from './fault.ts';

const RECOVER_MS = 15_000;
/** How long SIGTERM may take with a reader that is of no use. */
const STOP_MS = 10_000;
/** Each request is a line of the log, so that the way to the reader fills up within a second. */
const LOG_ENV = { LOG_LEVEL: 'info', DRAIN_TIMEOUT_MS: '5000' };

export const LOG_FAULTS: readonly Fault[] = [
  {
    name: 'log-stall',
    shape: { services: 1, env: LOG_ENV },
    recoverMs: RECOVER_MS,
    strike: async (blow) => {
      blow.system.service(0).stallErrors();
      await workAndStop(blow, 'stopped reading');
    },
  },
  {
    name: 'log-cut',
    shape: { services: 1, env: LOG_ENV },
    recoverMs: RECOVER_MS,
    strike: async (blow) => {
      blow.system.service(0).cutErrors();
      await workAndStop(blow, 'went away');
    },
  },
];

/** Sees that the service works without its log, and then that SIGTERM ends it in good order. */
async function workAndStop({ system, callers, draw }: Blow, what: string): Promise<void> {
  const complain = (outcome: string): void =>
    void system.complaints.push(`After the reader of the log ${what}, ${outcome}.`);
  await sleep(draw.whole(1500, 2500));
  const before = callers.attempts.filter(isAccepted).length;
  if (!system.services.has(0)) return system.begin(0);
  const health = await fetch(new URL('/healthz', system.service(0).url), { signal: AbortSignal.timeout(3000) }).catch(
    () => null,
  );
  await health?.arrayBuffer();
  if (health?.status !== 200) complain(`/healthz is answered ${health?.status ?? 'not at all'}`);
  await sleep(500);
  if (callers.attempts.filter(isAccepted).length === before) complain('no request is accepted any more');
  const service = system.doom(0);
  const stopped = await Promise.race([service.stop(), sleep(STOP_MS, null)]);
  if (stopped === null) {
    complain(`SIGTERM has not ended the service within ${STOP_MS} ms`);
    await service.kill();
  } else {
    if (stopped.code !== 0) complain(`SIGTERM ended the service with ${stopped.signal ?? `code ${stopped.code}`}`);
    const left = await system.countPending();
    if (left > 0) complain(`the service ended and left ${left} transfers pending`);
  }
  system.begin(0);
}
