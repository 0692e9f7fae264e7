// Turns an error of a handler into a problem, and creates the problems that several modules use.
import { retryPolicyOf, sqlStateOf, toError } from '../../db/connection/errors.ts';
import { CommitUnknownError } from '../../db/connection/transaction.ts';
import { ArchivedError } from '../../db/queries/archive.ts';
import type { Logger } from '../../logger.ts';
import { Problem } from '../http/problem.ts';

export function toProblem(error: unknown, logger: Logger, requestId: string): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof ArchivedError) return new Problem('archived', error.message);
  if (error instanceof CommitUnknownError) {
    logger.warn({ request_id: requestId, reason: error.message }, 'database error');
    return new Problem(
      'outcome_unknown',
      'The connection to the database was lost before it answered. Read the account or ledger to see whether it changed.',
      {
        headers: { 'Retry-After': '1' },
      },
    );
  }
  if (retryPolicyOf(error) !== 'never') {
    logger.warn(
      { request_id: requestId, reason: toError(error).message, sqlstate: sqlStateOf(error) },
      'database error',
    );
    return unavailableProblem();
  }
  logger.error({ request_id: requestId, err: error }, 'unhandled error');
  return new Problem('internal_error', 'The service failed; the log has the error under the request id.');
}

/** The database is unreachable: nothing was stored, and the caller should retry. */
export function unavailableProblem(): Problem {
  return new Problem('database_unavailable', 'The database is unreachable; nothing was stored. Try again.', {
    headers: { 'Retry-After': '1' },
  });
}
