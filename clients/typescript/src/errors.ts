// Everything that the client throws, except the reason of an aborted signal. `retry` states whether the same request
// may be sent again; docs/REFERENCE.md explains each code.
import type { components } from './schema.ts';

export type ProblemCode = components['schemas']['ProblemCode'];
/** The body of a refusal, with a code that this release of the client knows. */
export type Problem<Code extends ProblemCode = ProblemCode> = components['schemas']['Problem'] & {
  readonly code: Code;
};

/**
 * Whether a request may be sent again. `always`: the service did nothing. `if_repeatable`: it is not known whether the
 * service did it, so only if a second request has no second effect. `never`: it would fail again.
 */
export type Retry = 'always' | 'if_repeatable' | 'never';

/** Every problem code of the service. A code that is missing here does not compile. */
export const PROBLEMS: { readonly [Code in ProblemCode]: Retry } = {
  malformed_json: 'never',
  invalid_request: 'never',
  malformed_http: 'never',
  filter_too_wide: 'never',
  url_not_allowed: 'never',
  unauthorized: 'never',
  foreign_origin: 'never',
  insufficient_scope: 'never',
  not_allowed: 'never',
  daily_limit_reached: 'never',
  approval_required: 'never',
  not_found: 'never',
  account_not_found: 'never',
  ledger_not_found: 'never',
  transfer_not_found: 'never',
  hold_not_found: 'never',
  approval_not_found: 'never',
  journal_row_not_found: 'never',
  webhook_not_found: 'never',
  delivery_not_found: 'never',
  method_not_allowed: 'never',
  request_timeout: 'always',
  account_exists: 'never',
  clock_is_earlier: 'never',
  clock_is_later: 'never',
  clock_is_real: 'never',
  ledger_exists: 'never',
  too_many_ledgers: 'never',
  too_many_webhooks: 'never',
  webhook_disabled: 'never',
  account_closed: 'never',
  personal_data_erased: 'never',
  account_not_empty: 'never',
  overdraft_in_use: 'never',
  not_settled: 'always',
  instant_not_closed: 'always',
  approval_decided: 'never',
  approval_expired: 'never',
  precondition_failed: 'never',
  body_too_large: 'never',
  unsupported_media_type: 'never',
  expectation_failed: 'never',
  host_not_allowed: 'never',
  amount_not_positive: 'never',
  amount_unresolved: 'never',
  same_account: 'never',
  between_ledgers: 'never',
  archived: 'never',
  immutable_field: 'never',
  idempotency_key_reused: 'never',
  group_too_large: 'never',
  queue_full: 'always',
  rate_limited: 'always',
  headers_too_large: 'never',
  // The cause is a defect of the service, which another request would meet again.
  internal_error: 'never',
  method_not_implemented: 'never',
  database_unavailable: 'always',
  outcome_unknown: 'if_repeatable',
  too_many_bodies: 'always',
  too_many_answers: 'always',
  issuer_unavailable: 'always',
  not_ready: 'always',
  too_busy: 'always',
  too_many_connections: 'always',
  too_many_streams: 'always',
  // The same query takes as long again, and delays other callers.
  query_too_slow: 'never',
  shutting_down: 'always',
};

/** Without a known code, the status alone decides, and does not say what the service did. */
const TEMPORARY_STATUSES: readonly number[] = [408, 429, 502, 503, 504];

export abstract class GopherPayError extends Error {
  abstract readonly retry: Retry;
  /** How long the service asks to wait before the next attempt, in milliseconds; null if it does not say. */
  readonly retryAfterMs: number | null = null;
  /** The key that the failed request was sent with. Send the same request with it again, and it happens once. */
  idempotencyKey: string | null = null;
}

/** The service refused the request (RFC 9457). `code` is stable, and says why. */
export class ProblemError<Code extends ProblemCode = ProblemCode> extends GopherPayError {
  override readonly name = 'ProblemError';
  readonly code: Code;
  readonly status: number;
  readonly requestId: string;
  readonly retry: Retry;
  override readonly retryAfterMs: number | null;
  /** The whole body: `errors` names the members that are wrong, `transfer_id` the transfer that has the key. */
  readonly problem: Problem<Code>;

  constructor(problem: Problem<Code>, retryAfterMs: number | null) {
    super(`${problem.code}: ${problem.detail}`);
    this.problem = problem;
    this.code = problem.code;
    this.status = problem.status;
    this.requestId = problem.request_id;
    this.retry = PROBLEMS[problem.code];
    this.retryAfterMs = retryAfterMs;
  }
}

/** Whether an error is the problem of this code. */
export function isProblem<Code extends ProblemCode>(error: unknown, code: Code): error is ProblemError<Code> {
  return error instanceof ProblemError && error.code === code;
}

/** There was no answer, or not all of it: the connection failed, or the time was over. */
export class ConnectionError extends GopherPayError {
  override readonly name = 'ConnectionError';
  readonly retry = 'if_repeatable';

  constructor(cause: unknown) {
    super(`The service did not answer: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}

/** An answer that this release of the client does not know: that of a gateway, or a problem code of a later release. */
export class UnexpectedAnswerError extends GopherPayError {
  override readonly name = 'UnexpectedAnswerError';
  readonly status: number;
  readonly body: string;
  readonly retry: Retry;
  override readonly retryAfterMs: number | null;

  constructor(status: number, body: string, retryAfterMs: number | null = null) {
    super(`The answer was not expected, with status ${status}: ${body.slice(0, 200)}`);
    this.status = status;
    this.body = body;
    this.retry = TEMPORARY_STATUSES.includes(status) ? 'if_repeatable' : 'never';
    this.retryAfterMs = retryAfterMs;
  }
}

/** The request waits for the approval of a second key. Nothing has happened yet. */
export class ApprovalPendingError extends GopherPayError {
  override readonly name = 'ApprovalPendingError';
  readonly retry = 'never';
  readonly approval: components['schemas']['Approval'];

  constructor(approval: components['schemas']['Approval']) {
    super(`The request waits for approval ${approval.approval_id}.`);
    this.approval = approval;
  }
}

/**
 * The journal is not the one that was read before: it was rewritten, or is that of an older backup. Or an event does
 * not agree with its hash. The message says which part is wrong.
 */
export class ChainError extends GopherPayError {
  override readonly name = 'ChainError';
  readonly retry = 'never';
  readonly journalNumber: number;

  constructor(journalNumber: number, what: string, { expected, found }: Record<'expected' | 'found', unknown>) {
    super(`Row ${journalNumber} of the journal: ${what} is ${String(found)}, expected ${String(expected)}.`);
    this.journalNumber = journalNumber;
  }
}

/** A number that JavaScript cannot hold exactly, in a request or in an answer. */
export class UnsafeIntegerError extends GopherPayError {
  override readonly name = 'UnsafeIntegerError';
  readonly retry = 'never';

  constructor(member: string, value: number) {
    super(`\`${member}\` is ${value}, which is not an integer within ±${Number.MAX_SAFE_INTEGER}.`);
  }
}
