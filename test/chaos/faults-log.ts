// Faults of the reader of the service's log: it stalls, or it closes. The service must continue, and stop as usual.
import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '../support/until.ts';
import { isAccepted } from './attempt.ts';
import type { FaultContext, Fault } from './fault.ts';

const RECOVER_MS = 15_000;
/** How long SIGTERM may take with a stalled or closed reader. */
const STOP_MS = 10_000;
/** How long an answer may take meanwhile. */
const ANSWER_MS = 3000;
/** Each request is a line of the log, so that the buffers to the reader fill within a second. */
const LOG_ENV = { LOG_LEVEL: 'info', DRAIN_TIMEOUT_MS: '5000' };

export const LOG_FAULTS: readonly Fault[] = [
  {
    name: 'log-stall',
    shape: { services: 1, env: LOG_ENV },
    recoverMs: RECOVER_MS,
    inject: async (context) => {
      context.system.service(0).stallErrors();
      await workAndStop(context, 'stopped reading');
    },
  },
  {
    name: 'log-cut',
    shape: { services: 1, env: LOG_ENV },
    recoverMs: RECOVER_MS,
    inject: async (context) => {
      const { system, callers, draw } = context;
      if (draw.whole(0, 1) === 1) {
        system.service(0).cutErrors();
        await workAndStop(context, 'went away');
        return;
      }
      // An idle service has only the lines of its stop to write, so it detects the loss when it flushes them.
      await callers.stop();
      await sleep(draw.whole(200, 400));
      system.service(0).cutErrors();
      await stop(context, 'went away before the stop');
      system.begin(0);
    },
  },
];

/** Checks that the service works without its log, and that SIGTERM stops it cleanly. */
async function workAndStop(context: FaultContext, what: string): Promise<void> {
  const { system, callers, draw } = context;
  const countAccepted = (): number => callers.attempts.filter(isAccepted).length;
  // The lines of this time fill every buffer between the service and the reader.
  await sleep(draw.whole(1500, 2500));
  if (system.services.has(0)) {
    const before = countAccepted();
    const url = new URL('/healthz', system.service(0).url);
    const health = await fetch(url, { signal: AbortSignal.timeout(ANSWER_MS) }).catch(() => null);
    await health?.arrayBuffer();
    if (health?.status !== 200) complain(context, what, `/healthz is answered ${health?.status ?? 'not at all'}`);
    await until(() => countAccepted() > before, { timeoutMs: ANSWER_MS, what: 'an accepted request' }).catch(() =>
      complain(context, what, 'no request is accepted any more'),
    );
    await stop(context, what);
  }
  system.begin(0);
}

async function stop(context: FaultContext, what: string): Promise<void> {
  const { system } = context;
  const service = system.expectEnd(0);
  const stopped = await Promise.race([service.stop(), sleep(STOP_MS, null)]);
  if (stopped === null) {
    complain(context, what, `SIGTERM has not ended the service within ${STOP_MS} ms`);
    await service.kill();
    return;
  }
  if (stopped.code !== 0) complain(context, what, `SIGTERM ended the service with ${stopped.signal ?? stopped.code}`);
  const remaining = await system.countPending();
  if (remaining > 0) complain(context, what, `the service ended and left ${remaining} transfers pending`);
}

function complain({ system }: FaultContext, what: string, outcome: string): void {
  system.complaints.push(`After the reader of the log ${what}, ${outcome}.`);
}
