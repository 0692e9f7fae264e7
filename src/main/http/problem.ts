// Problems, the bodies of error answers (RFC 9457). One table maps each stable code to its status and title.
// advice.ts says when each occurs, and what to do next.
import { z } from 'zod';

export const PROBLEMS = {
  malformed_json: { status: 400, title: 'The body is not JSON' },
  invalid_request: { status: 400, title: 'The request is not well formed' },
  malformed_http: { status: 400, title: 'The request is not HTTP' },
  filter_too_wide: { status: 400, title: 'The filter may read the whole history' },
  unauthorized: { status: 401, title: 'The request names no valid key' },
  foreign_origin: { status: 403, title: 'The request comes from a page of another origin' },
  insufficient_scope: { status: 403, title: 'The key lacks a scope' },
  not_allowed: { status: 403, title: 'The key is not allowed to do this' },
  daily_limit_reached: { status: 403, title: 'The key has ordered as much as it may in one day' },
  approval_required: { status: 403, title: 'This needs the approval of a second key' },
  not_found: { status: 404, title: 'There is nothing at this path' },
  account_not_found: { status: 404, title: 'There is no such account' },
  ledger_not_found: { status: 404, title: 'There is no such ledger' },
  transfer_not_found: { status: 404, title: 'There is no such transfer' },
  hold_not_found: { status: 404, title: 'There is no such hold' },
  approval_not_found: { status: 404, title: 'There is no such request for approval' },
  journal_row_not_found: { status: 404, title: 'There is no such row of the journal' },
  webhook_not_found: { status: 404, title: 'There is no such webhook' },
  delivery_not_found: { status: 404, title: 'There is no such delivery' },
  method_not_allowed: { status: 405, title: 'This path does not have this method' },
  request_timeout: { status: 408, title: 'The request took too long to arrive' },
  account_exists: { status: 409, title: 'The account number is taken' },
  ledger_exists: { status: 409, title: 'The name of the ledger is taken' },
  too_many_ledgers: { status: 409, title: 'There are too many ledgers' },
  clock_is_real: { status: 409, title: 'The ledger has the real clock' },
  clock_is_earlier: { status: 409, title: 'The clock of the ledger is not past this instant' },
  clock_is_later: { status: 409, title: 'The clock of the ledger is past this instant' },
  too_many_webhooks: { status: 409, title: 'There are too many webhooks' },
  webhook_disabled: { status: 409, title: 'The webhook is disabled' },
  account_closed: { status: 409, title: 'The account is closed' },
  personal_data_erased: { status: 409, title: 'The personal data of the account was erased' },
  account_not_empty: { status: 409, title: 'There is money or a hold on the account' },
  overdraft_in_use: { status: 409, title: 'The account has drawn more than this limit' },
  not_settled: { status: 409, title: 'It is still pending' },
  instant_not_closed: { status: 409, title: 'The instant is not over' },
  approval_decided: { status: 409, title: 'It was decided before' },
  approval_expired: { status: 409, title: 'It was not approved in time' },
  archived: { status: 410, title: 'This is in the archive' },
  precondition_failed: { status: 412, title: 'The account was changed in between' },
  body_too_large: { status: 413, title: 'The body is too large' },
  unsupported_media_type: { status: 415, title: 'The body must be application/json' },
  expectation_failed: { status: 417, title: 'This expectation cannot be met' },
  host_not_allowed: { status: 421, title: 'The service does not go by this host name' },
  amount_not_positive: { status: 422, title: 'The amount must be positive' },
  amount_unresolved: { status: 422, title: 'An amount does not follow from the request' },
  same_account: { status: 422, title: 'Source and destination are the same account' },
  between_ledgers: { status: 422, title: 'This is not possible between ledgers' },
  url_not_allowed: { status: 422, title: 'Webhooks cannot be sent to this URL' },
  immutable_field: { status: 422, title: 'This field cannot be changed' },
  idempotency_key_reused: { status: 422, title: 'The idempotency key was used for another request' },
  group_too_large: { status: 422, title: 'More transfers at once than may wait' },
  queue_full: { status: 429, title: 'Too many transfers are waiting' },
  rate_limited: { status: 429, title: 'The key sends too many requests' },
  headers_too_large: { status: 431, title: 'The head of the request is too large' },
  internal_error: { status: 500, title: 'Something went wrong here' },
  method_not_implemented: { status: 501, title: 'There is no such method' },
  database_unavailable: { status: 503, title: 'The database is out of reach' },
  outcome_unknown: { status: 503, title: 'It is not known whether this was done' },
  too_many_bodies: { status: 503, title: 'Too many large bodies arrive at once' },
  too_many_answers: { status: 503, title: 'Too many large answers are being sent' },
  issuer_unavailable: { status: 503, title: 'Tokens cannot be verified' },
  not_ready: { status: 503, title: 'The service is not ready' },
  too_busy: { status: 503, title: 'Too many requests of this kind are running' },
  too_many_connections: { status: 503, title: 'Too many connections are open' },
  too_many_streams: { status: 503, title: 'Too many answers are being streamed' },
  query_too_slow: { status: 503, title: 'The query takes too long' },
  shutting_down: { status: 503, title: 'The service is stopping' },
} as const satisfies Record<string, { status: number; title: string }>;

export type ProblemCode = keyof typeof PROBLEMS;

export const validationErrorView = z.object({ pointer: z.string(), detail: z.string() });

/** One thing that is wrong with a request. `pointer` is a JSON Pointer into the body or into the query parameters. */
export type ValidationError = z.input<typeof validationErrorView>;

/** How many errors of a request are reported. */
export const ERRORS_MAX = 20;

/** Members that only some codes have. */
const members = {
  errors: z.array(validationErrorView).optional().describe('The members of the request that are wrong, if some are.'),
  transfer_id: z
    .uuid()
    .optional()
    .describe('With idempotency_key_reused and outcome_unknown: of which transfer, or group of transfers.'),
  account_number: z.string().optional().describe('With outcome_unknown of a new account: of which.'),
  ledger: z.string().optional().describe('With idempotency_key_reused: the ledger that the key created.'),
  failing: z.array(z.string()).optional().describe('With not_ready: the parts of the service that do not work.'),
};

type Members = z.input<z.ZodObject<typeof members>>;

export const problemCode = z.enum(Object.keys(PROBLEMS));

export const problemView = z.object({
  type: z.string(),
  title: z.string(),
  status: z.int(),
  code: problemCode,
  detail: z.string(),
  request_id: z.string(),
  ...members,
});

/** Names and details are cut off at these lengths, so that a problem stays short however long the request was. */
const NAME_MAX = 100;
const DETAIL_MAX = 300;

/** A JSON Pointer (RFC 6901). */
export function renderPointer(path: readonly PropertyKey[]): string {
  return path.map((name) => `/${cut(name).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}

/** The validation error of a member. `message` begins with a verb: see validation.ts. */
export function toValidationError(path: readonly PropertyKey[], message: string): ValidationError {
  return { pointer: renderPointer(path), detail: `${nameOf(path)} ${message}`.slice(0, DETAIL_MAX) };
}

/** The validation error of members that the object at `path` does not have; `what` is what its members are. */
export function unknownMembers(
  path: readonly PropertyKey[],
  names: readonly string[],
  what: 'member' | 'parameter',
): ValidationError {
  const shown = names.map((name) => `\`${cut(name)}\``).join(', ');
  const detail = `unknown ${what}${names.length > 1 ? 's' : ''}: ${shown}`;
  return { pointer: renderPointer(path), detail: detail.slice(0, DETAIL_MAX) };
}

/** The last name on a path; for an element of an array, that of the array with the index. */
function nameOf(path: readonly PropertyKey[]): string {
  const at = path.findLastIndex((name) => typeof name === 'string');
  if (at === -1) return 'The body';
  const indexes = path.slice(at + 1).map((index) => `[${String(index)}]`);
  return `\`${cut(path[at])}${indexes.join('')}\``;
}

function cut(name: PropertyKey | undefined): string {
  return String(name).slice(0, NAME_MAX);
}

/** An error answer. Any code that handles a request may throw it; it is rendered in one place. */
export class Problem extends Error {
  readonly code: ProblemCode;
  readonly headers: Readonly<Record<string, string>>;
  readonly members: Members;

  /** `detail` is a sentence for the caller; `members` are added to the body, `headers` to the answer. */
  constructor(code: ProblemCode, detail: string, more: { headers?: Record<string, string>; members?: Members } = {}) {
    const { stackTraceLimit } = Error;
    // An operator does not need the stack of a refusal, and recording it costs more than the rest: 429 must be cheap.
    Error.stackTraceLimit = 0;
    super(detail);
    Error.stackTraceLimit = stackTraceLimit;
    this.code = code;
    this.headers = more.headers ?? {};
    this.members = more.members ?? {};
  }

  get status(): number {
    return PROBLEMS[this.code].status;
  }

  /** The body, as JSON text. */
  render(requestId: string): string {
    const { status, title } = PROBLEMS[this.code];
    const body: z.input<typeof problemView> = {
      type: `urn:gopherpay:problem:${this.code}`,
      title,
      status,
      code: this.code,
      detail: this.message,
      request_id: requestId,
      ...this.members,
    };
    return JSON.stringify(body);
  }
}

/** 400: `errors` names each member that is wrong. */
export function invalidRequest(errors: readonly ValidationError[]): Problem {
  const problem = new Problem('invalid_request', 'The request is not valid; `errors` names each member that is wrong.');
  return withErrors(problem, errors);
}

/** The same problem, with the members of the request that it is about. */
export function withErrors({ code, message, headers, members }: Problem, errors: readonly ValidationError[]): Problem {
  return new Problem(code, message, { headers, members: { ...members, errors: errors.slice(0, ERRORS_MAX) } });
}

/** A problem, and the member of the request that it is about; null if the request does not contain it. */
export type Flaw = { readonly problem: Problem; readonly error: ValidationError | null };

/** Throws the problem of the first flaw, if there is one. Its `errors` names the members of all flaws. */
export function refuseFlaws(flaws: readonly Flaw[]): void {
  const [first] = flaws;
  if (!first) return;
  const errors = flaws.flatMap(({ error }) => error ?? []);
  throw errors.length === 0 ? first.problem : withErrors(first.problem, errors);
}
