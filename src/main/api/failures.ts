// Turns what a handler threw into a problem, and makes the problems that several rooms refuse with.
import { retryAfter, sqlStateOf, toError } from '../../db/connection/errors.ts';
import { CommitUnknownError } from '../../db/connection/transaction.ts';
import type { Logger } from '../../logger.ts';
import { Problem } from '../http/problem.ts';

export function toProblem(error: unknown, logger: Logger, requestId: string): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof CommitUnknownError) {
    logger.warn({ request_id: requestId, reason: error.message }, 'database error');
    return new Problem(
      'outcome_unknown',
      'The database went away before it answered: read what was to change, to see.',
      {
        headers: { 'Retry-After': '1' },
      },
    );
  }
  if (retryAfter(error) !== 'never') {
    logger.warn(
      { request_id: requestId, reason: toError(error).message, sqlstate: sqlStateOf(error) },
      'database error',
    );
    return unavailableProblem();
  }
  logger.error({ request_id: requestId, err: error }, 'a request failed for a reason of our own');
  return new Problem('internal_error', 'This is our fault; the log has it under the request id.');
}

/** The database cannot be reached: nothing was stored, and trying again is the thing to do. */
export function unavailableProblem(): Problem {
  return new Problem('database_unavailable', 'The database is out of reach; nothing was stored. Try again.', {
    headers: { 'Retry-After': '1' },
  });
}
