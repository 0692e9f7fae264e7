// Refuses requests before any work is done for them: while the database is out of reach, or while the queue is full.
import { isPoolBusy } from '../../db/connection/errors.ts';
import type { Engine } from '../engine/engine.ts';
import type { RunningEngine } from '../engine/start.ts';
import { toRefusal } from './doors.ts';
import { unavailableProblem } from './failures.ts';
import type { RefusalLog } from './refusal-log.ts';
import { refuseForeignAccount, refuseWholeLedger } from './permissions.ts';
import type { Metrics } from '../engine/metrics.ts';
import { Problem } from '../http/problem.ts';
import { tooBusyProblem } from './reads.ts';
import type { RawContext, Route } from './route.ts';
import { queueFullProblem } from './submission.ts';

/**
 * A route that refuses requests before it reads the body, so that a storm of requests costs as little as possible. It
 * answers 503 while it is known that the database cannot be reached, and 429 while the queue is full.
 */
export function guardRoute(
  route: Route,
  { running, metrics, refusals }: { running: RunningEngine; metrics: Metrics; refusals: RefusalLog },
): Route {
  return {
    ...route,
    handle: async (context) => {
      try {
        refuseWhileAway(running);
        refuseForeignPath(route, context);
        if (route.needsAdmission) refuseWithoutRoom(running.engine, metrics, context);
        return await route.handle(context);
      } catch (error) {
        if (error instanceof Problem && error.status === 403) refusals.note(toRefusal(error, route, context));
        throw explainTimeout(running, error);
      }
    },
  };
}

/** Refuses a path that names an account which the caller may not use, or that shows all accounts. */
function refuseForeignPath({ pattern, wholeLedger }: Route, { principal, parameters }: RawContext): void {
  if (wholeLedger) refuseWholeLedger(principal);
  if (pattern.startsWith('/accounts/:account_number')) refuseForeignAccount(principal, parameters[0] ?? '');
}

/** Runs what needs the database. Throws a 503 at once while it is known that the database cannot be reached. */
export async function refuseUnreachable<Result>(running: RunningEngine, work: () => Promise<Result>): Promise<Result> {
  refuseWhileAway(running);
  try {
    return await work();
  } catch (error) {
    throw explainTimeout(running, error);
  }
}

function refuseWhileAway({ recovery }: RunningEngine): void {
  if (!recovery.reachable) throw unavailableProblem();
}

/** Connections that wait for a silent database look busy as well. */
function explainTimeout({ databaseAnswers }: RunningEngine, error: unknown): unknown {
  const timedOut = isPoolBusy(error) || (error instanceof Problem && error.code === 'too_busy');
  if (!timedOut) return error;
  return databaseAnswers() ? tooBusyProblem() : unavailableProblem();
}

function refuseWithoutRoom(
  { admission, callerShares, ledgerShares }: Engine,
  metrics: Metrics,
  { caller, ledger, headers }: RawContext,
): void {
  // Both are called also while the queue is full: from then on, the caller or ledger that fills it is limited to its
  // share.
  const mayTake = [callerShares.mayTake(caller), ledgerShares.mayTake(ledger.name)].every(Boolean);
  // A request with a key may have been accepted before; then it is answered although the queue is full.
  if (headers['idempotency-key'] !== undefined) return;
  if (!mayTake && admission.room > 0) metrics.refused('queue');
  if (!mayTake || admission.room === 0) throw queueFullProblem(admission.retryAfterSeconds());
}
