// Answers about the past are final: they are sent once no later settlement can change them.
import { setTimeout as sleep } from 'node:timers/promises';
import type { ConnectionPool } from '../../../db/connection/connect.ts';
import { closeInstant } from '../../../db/queries/instants.ts';
import type { Ledger } from '../../../domain/ledger.ts';
import { Problem } from '../../http/problem.ts';

/** How long an answer waits for an instant to close, or to pass by the database's clock as well as by the caller's. */
const WAIT_MS = 1000;
const ASK_AGAIN_MS = 25;

/**
 * Resolves when the ledger can settle no more transfers at or before this instant. Throws instant_not_closed if that
 * takes too long, and clock_is_earlier if it needs an advance of a test clock.
 */
export async function awaitClosed(pool: ConnectionPool, ledger: Ledger, instant: string): Promise<void> {
  const deadline = performance.now() + WAIT_MS;
  for (;;) {
    const { closed, secondsLeft } = await closeInstant(pool, ledger, instant);
    if (closed) return;
    if (secondsLeft === null) {
      throw new Problem(
        'clock_is_earlier',
        'The test clock of the ledger is not past the instant: advance it, or leave out `at`.',
      );
    }
    if (performance.now() + Math.max(0, secondsLeft) * 1000 > deadline) {
      throw new Problem(
        'instant_not_closed',
        'Transfers may still be settled at or before this instant. Try again later.',
        {
          headers: { 'Retry-After': String(Math.max(1, Math.ceil(secondsLeft))) },
        },
      );
    }
    await sleep(ASK_AGAIN_MS);
  }
}
