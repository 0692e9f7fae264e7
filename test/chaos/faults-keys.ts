// A key that is revoked while it is used, and another that takes over.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Fault } from './fault.ts';
import { REFUSED_WITHIN_MS } from './keys.ts';

const RECOVER_MS = 15_000;

export const KEY_FAULTS: readonly Fault[] = [
  {
    name: 'key-revoked',
    shape: { services: 2 },
    recoverMs: RECOVER_MS,
    inject: async ({ system, callers, draw }) => {
      await system.addKey();
      await sleep(draw.whole(0, 300));
      const { key, by } = await system.revokeKey();
      // Some callers go on with the revoked key, so that its refusal is observed.
      await sleep(REFUSED_WITHIN_MS + draw.whole(500, 1500));
      const late = callers.attempts.filter(
        (attempt) => attempt.key === key.id && attempt.sentAt > by + REFUSED_WITHIN_MS,
      );
      if (late.length === 0) system.complaints.push('No caller used the revoked key after it had to be refused.');
    },
    restore: async ({ system }) => system.forgetRevokedKeys(),
  },
];
