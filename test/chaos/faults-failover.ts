// The end of the primary, and the promotion of its synchronous standby.
import { hasStandby } from '../support/standby.ts';
import type { Fault } from './fault.ts';

const RECOVER_MS = 15_000;

export const FAILOVER_FAULTS: readonly Fault[] = [
  {
    name: 'promotion',
    shape: { services: 2, replicated: true },
    // A promoted standby has no standby of its own.
    fresh: true,
    recoverMs: RECOVER_MS,
    impediment: async () =>
      (await hasStandby()) ? null : "PostgreSQL is not installed (Debian's package postgresql).",
    inject: async ({ system, draw, short }) => await system.failOver(draw.whole(0, short ? 500 : 10_000)),
  },
];
