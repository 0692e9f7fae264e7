// When each problem and failure occurs, and what a caller does next. The OpenAPI document and docs/REFERENCE.md have these
// texts, so that neither is written by hand.
import type { FailureCode } from '../../domain/transfer.ts';
import type { ProblemCode } from '../http/problem.ts';

type Advice = { readonly when: string; readonly next: string };

export const PROBLEM_ADVICE: { readonly [Code in ProblemCode]: Advice } = {
  malformed_json: { when: 'the body is not JSON, or not UTF-8', next: 'correct the request' },
  invalid_request: {
    when: 'a field, parameter, header or the path is missing, unknown, repeated or malformed',
    next: 'correct what `errors` or `detail` names',
  },
  malformed_http: {
    when: 'the request is not HTTP/1.1; the connection is closed',
    next: 'look at the client or the proxy between',
  },
  filter_too_wide: {
    when: 'the filters of a list have no index, so it may read the whole history',
    next: 'add a filter that `detail` names',
  },
  unauthorized: {
    when: 'the request names no valid key or token',
    next: 'send `Authorization: Bearer gp_…` with a key that the operator made for you',
  },
  insufficient_scope: {
    when: 'the key lacks the scope that `WWW-Authenticate` names',
    next: 'have the operator make a key with this scope',
  },
  not_allowed: {
    when: 'the key is for another ledger, for other accounts, or for smaller amounts; or it decides its own request',
    next: 'use another key, or another account',
  },
  daily_limit_reached: {
    when: 'the key has ordered as much as it may in one day (UTC)',
    next: 'try again tomorrow, or use another key',
  },
  approval_required: {
    when: 'the amount needs the approval of a second key, and cannot wait as a part of this request',
    next: 'send the amount in a request of its own, as `detail` says',
  },
  foreign_origin: {
    when: 'a web page of another origin sent the request',
    next: 'use the service from its own origin; behind a proxy, name its host in `ALLOWED_HOSTS`; for another site, `CORS_ORIGINS`',
  },
  not_found: { when: 'there is no such path', next: 'look at `/openapi.json`' },
  account_not_found: {
    when: 'there is no account with this number, or not in this currency; or it is `@external`, which no caller may change',
    next: 'check the number',
  },
  ledger_not_found: {
    when: 'there is no ledger with the name in the path',
    next: 'check the name, or create the ledger',
  },
  transfer_not_found: { when: 'there is no transfer with this id', next: 'check the id' },
  hold_not_found: { when: 'there is no hold with this id, or it was refused', next: 'check the id' },
  approval_not_found: { when: 'no request for approval has this id', next: 'read `GET /approvals`' },
  journal_row_not_found: { when: 'the journal has no row with this number', next: 'read `GET /journal`' },
  webhook_not_found: { when: 'the ledger has no webhook with this id', next: 'read `GET /webhooks`' },
  delivery_not_found: { when: 'the webhook has no such delivery, or no longer', next: 'read its deliveries' },
  method_not_allowed: { when: 'the path has other methods; `Allow` names them', next: 'use one of them' },
  request_timeout: { when: 'the request did not arrive whole in time; nothing was stored', next: 'send it again' },
  account_exists: {
    when: 'the account number is taken, perhaps by a closed account',
    next: 'choose another, or use that account',
  },
  ledger_exists: { when: 'there is a ledger with this name', next: 'use it, or choose another name' },
  too_many_ledgers: { when: 'there are 100,000 ledgers, and none is ever deleted', next: 'use one that exists' },
  too_many_webhooks: { when: 'the ledger has 100 webhooks', next: 'delete one' },
  webhook_disabled: { when: 'a disabled webhook sends nothing', next: 'enable it first' },
  account_closed: { when: 'the account to be changed is closed', next: 'nothing: a closed account cannot be changed' },
  personal_data_erased: {
    when: 'the change names personal data, which was erased',
    next: 'leave it out: name, email, phone and date of birth cannot be set again',
  },
  precondition_failed: {
    when: 'the account was changed after the answer whose `ETag` is in `If-Match`',
    next: 'read the account, and decide again',
  },
  clock_is_real: {
    when: 'the ledger has the real clock, which no caller advances',
    next: 'create a ledger with `clock: "manual"`',
  },
  clock_is_earlier: {
    when: 'the test clock of the ledger is not past the instant',
    next: 'advance it, or leave out `at`',
  },
  clock_is_later: {
    when: 'the test clock of the ledger is past the instant, and only goes forward',
    next: 'send a later time, or create another ledger',
  },
  amount_unresolved: {
    when: 'an amount of a group does not follow from the others',
    next: 'read `errors`, correct the [shares](MOVEMENTS.md#shares)',
  },
  account_not_empty: { when: 'the account to be closed has money, a debt or a hold on it', next: 'settle these first' },
  overdraft_in_use: {
    when: 'the account has drawn or holds more than the new limit',
    next: 'choose a higher limit, or put money on it',
  },
  not_settled: {
    when: 'the hold or the transfer is still pending',
    next: 'request it with `Prefer: wait`, or try again in a moment',
  },
  instant_not_closed: {
    when: 'transfers may still be settled at or before the instant: it is in the future, or has just passed',
    next: 'try again after `Retry-After` seconds, or leave out `at`',
  },
  approval_decided: {
    when: 'the request was approved or rejected before',
    next: 'read it; send a new one if it was rejected',
  },
  approval_expired: { when: 'the request was not approved in seven days', next: 'send it again with a new key' },
  archived: {
    when: 'the answer needs entries of archived months, which are in files',
    next: 'ask about a later time, or about the end of a month, or read the files',
  },
  body_too_large: { when: 'the body has more bytes than are allowed', next: 'send less' },
  unsupported_media_type: {
    when: 'the body is not declared as `application/json`, even if it is empty, or it is encoded',
    next: 'set `Content-Type`',
  },
  expectation_failed: { when: '`Expect` requests something other than `100-continue`', next: 'leave it out' },
  host_not_allowed: {
    when: 'the request names an unknown host',
    next: 'name it in `ALLOWED_HOSTS`, or use an address',
  },
  amount_not_positive: { when: 'the amount is 0 or less', next: 'send at least 1' },
  same_account: { when: 'source and destination are one account', next: 'name two' },
  between_ledgers: {
    when: 'a transfer to another ledger names the own ledger, one that does not exist, one of which only one of the two has a test clock, or `@external`, is a dry run or in an atomic group; or a part of such a transfer is captured, voided or reversed',
    next: 'read `errors`; [send money back](MOVEMENTS.md#between-ledgers) with a transfer of its own',
  },
  url_not_allowed: {
    when: 'webhooks cannot be sent to this URL: it is no `https` URL, has a password or a fragment, or leads to a private network',
    next: 'use the URL of a public host',
  },
  immutable_field: {
    when: 'the change names a field that cannot be changed',
    next: 'leave it out; money moves by transfers',
  },
  idempotency_key_reused: {
    when: 'the key was used for another request',
    next: 'use a new key, or look at `transfer_id` (of a group: `GET /transfers?group_id=`)',
  },
  group_too_large: {
    when: 'the group has more transfers than the queue can ever hold (`MAX_QUEUE`)',
    next: 'send it in parts',
  },
  rate_limited: {
    when: 'the key sends more requests per second than it may',
    next: 'send it again after `Retry-After` seconds; `RateLimit-Policy` has the limit',
  },
  queue_full: {
    when: 'too many transfers are on their way; nothing was stored',
    next: 'send it again after `Retry-After` seconds',
  },
  headers_too_large: { when: 'the head of the request has more than 16 KiB', next: 'send less' },
  internal_error: { when: 'an unexpected error in the service', next: 'report the `request_id` to the operator' },
  method_not_implemented: {
    when: 'there is no such method; the connection is closed',
    next: 'use one that `Allow` names',
  },
  database_unavailable: {
    when: 'the database is out of reach; nothing was stored',
    next: 'send it again after `Retry-After` seconds',
  },
  outcome_unknown: {
    when: 'the database went away before it answered: it may or may not have been stored',
    next: 'after `Retry-After` seconds send it again with the same `Idempotency-Key`, or look for `transfer_id` (of a group: `GET /transfers?group_id=`); read an account that was to change',
  },
  too_many_bodies: {
    when: 'arriving bodies use all of their memory (`BODY_BYTES_IN_FLIGHT_MAX`); nothing was stored; a body of up to 4 KiB is never refused',
    next: 'send it again after `Retry-After` seconds',
  },
  too_many_answers: {
    when: 'large answers use all of their memory (`ANSWER_BYTES_IN_FLIGHT_MAX`); only reads are refused',
    next: 'try again after `Retry-After` seconds, perhaps with a smaller `limit`',
  },
  issuer_unavailable: {
    when: 'the keys of the token issuer cannot be read',
    next: 'try again after `Retry-After` seconds',
  },
  not_ready: {
    when: 'parts of the service, named in `failing`, do not work',
    next: 'try again after `Retry-After` seconds, and look at the log',
  },
  too_busy: {
    when: 'all database connections for this kind of request are in use; nothing was stored',
    next: 'send it again after `Retry-After` seconds',
  },
  too_many_connections: {
    when: 'too many connections are open, in total or from your address; nothing was stored',
    next: 'use fewer, or try again after `Retry-After` seconds',
  },
  too_many_streams: {
    when: 'too many answers are being streamed, in total or to your address',
    next: 'end one, or try again after `Retry-After` seconds',
  },
  shutting_down: {
    when: 'the service is stopping; nothing was stored',
    next: 'send it again after `Retry-After` seconds',
  },
  query_too_slow: {
    when: 'the answer needs too many rows',
    next: 'for a list, add `account`, a later `since` or `metadata=key:value`; otherwise try again after `Retry-After` seconds',
  },
};

/** The rule that refused a transfer. */
export const FAILURE_MEANINGS: { readonly [Code in FailureCode]: string } = {
  hold_not_open: 'the hold to be captured or voided has ended',
  hold_expired: 'the hold to be captured has reached its expiry',
  exceeds_hold: 'the capture is more than remains of the hold',
  not_reversible: 'the transfer to be reversed has not completed, or is neither a transfer nor a capture',
  exceeds_original: 'the reversal is more than remains to be reversed',
  source_not_found: 'there is no account `from_account`',
  destination_not_found: 'there is no account `to_account`',
  source_closed: 'the account `from_account` is closed',
  destination_closed: 'the account `to_account` is closed',
  source_frozen: 'the account `from_account` may not send',
  destination_frozen: 'the account `to_account` may not receive',
  currency_mismatch: 'the accounts have different currencies, or not the one that was sent',
  entry_number_mismatch: 'the last entry of `from_account` does not have the number that `if` names',
  insufficient_funds: 'less than the amount is available on `from_account`',
  min_available_not_met: 'less than `if` requires would be available on `from_account` afterwards',
  balance_out_of_bounds: 'a balance would exceed ±9007199254740991',
  group_failed: 'another member of the same atomic group was refused',
  cannot_be_settled: 'the transfer broke settlement itself; the log names it, and an operator should look at it',
};
