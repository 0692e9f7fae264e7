// The handler of test clocks: advance, and wait until what is due has happened.
import { setTimeout as sleep } from 'node:timers/promises';
import type { z } from 'zod';
import { withTransaction } from '../../../db/connection/transaction.ts';
import { advanceClock } from '../../../db/ledger/clock.ts';
import { hasDueHolds } from '../../../db/ledger/expiries.ts';
import { loadLedgerRecord } from '../../../db/ledger/ledgers.ts';
import { roundDown } from '../../../db/queries/instants.ts';
import { Problem } from '../../http/problem.ts';
import { ledgerNotFound } from '../ledgers.ts';
import type { Reads } from '../reads.ts';
import { type Answer, defineRoute, type RequestContext, type Route } from '../route.ts';
import { advanceClockSchema } from '../ledger-schemas.ts';
import { NO_PARAMETERS } from '../schemas.ts';
import { keyReusedProblem, REPLAYED, toIdempotency } from '../submission.ts';
import { renderLedger } from '../views.ts';

/** How long an answer waits for the holds that became due to expire. Clients wait longer. */
const WAIT_MS = 10_000;
const ASK_AGAIN_MS = 25;

type ClockParts = {
  readonly lookUps: Reads;
  readonly changes: Reads;
  /** Makes this process look for due holds at once. */
  readonly expireHolds: () => void;
};
type Context = RequestContext<unknown, z.output<typeof advanceClockSchema>>;

export function clockRoutes(parts: ClockParts): Route[] {
  return [
    defineRoute({
      operationId: 'advanceClock',
      tag: 'Ledgers',
      method: 'POST',
      pattern: '/clock',
      wholeLedger: true,
      scope: 'ledgers:admin',
      summary: 'Advance the test clock of a ledger',
      query: NO_PARAMETERS,
      body: advanceClockSchema,
      answers: { 200: 'Ledger', 202: 'Ledger' },
      problems: ['clock_is_real', 'clock_is_later'],
      handle: async (context) => await advance(parts, context),
    }),
  ];
}

async function advance(parts: ClockParts, context: Context): Promise<Answer> {
  const { ledger, headers, body, caller, principal } = context;
  const idempotency = toIdempotency({ headers, fingerprinted: ['/clock', body] });
  const request = { to: roundDown(body.now), actor: principal.id, idempotency };
  const result = await parts.changes.run(
    caller,
    async (pool) =>
      await withTransaction(pool, async (connection) => {
        const advanced = await advanceClock(connection, ledger, request);
        switch (advanced.result) {
          case 'real':
            throw new Problem(
              'clock_is_real',
              'The ledger has the real clock. Create a ledger with `clock: "manual"`.',
            );
          case 'later':
            throw new Problem('clock_is_later', `The clock is at ${advanced.clock} already, and only goes forward.`);
          case 'key_reused':
            throw keyReusedProblem(advanced.holder, principal);
          default:
            return advanced.result;
        }
      }),
  );
  const hasExpired = await awaitExpiries(parts, context);
  const record = await parts.lookUps.run(caller, async (pool) => await loadLedgerRecord(pool, ledger.name));
  if (!record) throw ledgerNotFound();
  return {
    status: hasExpired ? 200 : 202,
    ...(result === 'replayed' && { headers: REPLAYED }),
    json: renderLedger(record),
  };
}

/** Waits until no hold of the ledger is due. False: some still are. */
async function awaitExpiries({ lookUps, expireHolds }: ClockParts, { ledger, caller }: Context): Promise<boolean> {
  const deadline = performance.now() + WAIT_MS;
  while (await lookUps.run(caller, async (pool) => await hasDueHolds(pool, ledger))) {
    if (performance.now() > deadline) return false;
    expireHolds();
    await sleep(ASK_AGAIN_MS);
  }
  return true;
}
