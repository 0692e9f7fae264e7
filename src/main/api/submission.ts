// Turns a request into a submission to the engine, and its result into an answer.
import { createHash, randomUUIDv7 } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { KeyHolder } from '../../db/ledger/intake.ts';
import { loadTransfers, type Transfer } from '../../db/queries/transfers.ts';
import type { ConnectionPool } from '../../db/connection/connect.ts';
import type { Principal, Scope } from '../../domain/access.ts';
import { MAIN_LEDGER } from '../../domain/ledger.ts';
import type { Group, IdempotencyKey, NewTransfer } from '../../domain/transfer.ts';
import { isUuid } from '../../validation.ts';
import { type Engine, type Refusal, submit, type Submission, tryOut } from '../engine/engine.ts';
import { unavailableProblem } from './failures.ts';
import { releaseUsage, type ReservedUsage, reserveUsage } from '../../db/ledger/key-usage.ts';
import { Problem } from '../http/problem.ts';
import type { Answer, RequestContext } from './route.ts';
import { renderGroup, renderTransfer } from './views.ts';
import { dailyLimitReached, type Locate, maySeeTransfer, refuseTransfers } from './permissions.ts';
import { askApproval, needsApproval } from './approvals.ts';
import { keepTransfers } from './kept-transfers.ts';
import type { Services } from './reads.ts';

/** The fields of a transfer that a handler sets; the rest has defaults. */
export type TransferFields = Pick<NewTransfer, 'fromAccount' | 'toAccount' | 'amount' | 'currency'> &
  Partial<Omit<NewTransfer, 'id' | 'requestId' | 'by' | 'group'>>;

export type TransferRequest = Pick<
  RequestContext<{ dry_run?: 'true' | 'false' | undefined }, unknown>,
  'requestId' | 'requestIdGiven' | 'headers' | 'query' | 'caller' | 'principal' | 'ledger' | 'span'
> & {
  /** The content of the request, for the fingerprint of its idempotency key: its target and its body. */
  readonly fingerprinted: readonly unknown[];
  /** The most that a transfer without an amount can move: what remains of its parent. */
  readonly amountAtMost?: bigint | null;
  /** Where each member of a group says what its amount is; by default in `amount`. */
  readonly amountMembers?: readonly string[];
  /** The second key, if the request was approved. */
  readonly approvedBy?: string | null;
};

/** How many transfers of a request the audit log shows. */
const FACTS_MAX = 10;

export const REPLAYED = { 'Idempotency-Replayed': 'true' };
const KEY_FORM = /^[\u0021-\u007e]{1,255}$/;

/** Submits one transfer: 202 pending, or 200 final. Throws a problem if it cannot. */
export async function submitOne(
  services: Submitting,
  request: TransferRequest,
  fields: TransferFields,
): Promise<Answer> {
  const checked = await checkTransfers(services, request, [fields], null);
  if ('answer' in checked) return checked.answer;
  const submitted = await submitTransfers(services.engine, checked, [toNewTransfer(checked, fields)]);
  const [transfer] = submitted.transfers;
  if (!transfer) throw new TypeError('A request for a transfer has one.');
  if (submitted.isDryRun) return { status: 200, json: { ...renderTransfer(transfer), dry_run: true } };
  const isHold = fields.kind === 'hold' && (fields.remoteAccount ?? null) === null;
  const path = isHold ? '/holds/' : '/transfers/';
  return {
    status: transfer.status === 'pending' ? 202 : 200,
    headers: { ...submitted.headers, Location: `${path}${submitted.namedId}` },
    json: renderTransfer(transfer),
    log: { transfer_id: transfer.id },
  };
}

/** Submits several transfers at once, all or none if `atomic`: 202 while one is pending, or 200 when all are final. */
export async function submitGroup(
  services: Submitting,
  requested: TransferRequest,
  members: readonly TransferFields[],
  atomic: boolean,
): Promise<Answer> {
  const request = await checkTransfers(services, requested, members, atomic);
  if ('answer' in request) return request.answer;
  const id = request.requestIdGiven ? randomUUIDv7() : request.requestId;
  const group = (position: number) => ({ id, position, atomic });
  const submitted = await submitTransfers(
    services.engine,
    request,
    members.map((fields, position) => toNewTransfer(request, fields, group(position))),
  );
  const { transfers } = submitted;
  if (submitted.isDryRun) return { status: 200, json: { ...renderGroup(id, atomic, transfers), dry_run: true } };
  const { headers, namedId } = submitted;
  return {
    status: transfers.some(({ status }) => status === 'pending') ? 202 : 200,
    headers: { ...headers, Location: `/transfers?group_id=${namedId}` },
    json: renderGroup(namedId, atomic, transfers),
    log: { group_id: namedId, transfers: transfers.length },
  };
}

/** Submits the transfers of a request that was approved. The caller has checked that its approver may order them. */
export async function submitKept(
  engine: Engine,
  request: TransferRequest,
  { members, atomic }: { members: readonly TransferFields[]; atomic: boolean | null },
): Promise<readonly Transfer[]> {
  const id = randomUUIDv7();
  const group = (position: number) => (atomic === null ? null : { id, position, atomic });
  const transfers = members.map((fields, position) => toNewTransfer(request, fields, group(position)));
  return (await submitTransfers(engine, request, transfers)).transfers;
}

/** What submitting needs. */
type Submitting = Pick<Services, 'engine' | 'changes' | 'approvalAbove'>;

/** Refuses transfers that the caller may not order. Those that need an approval are kept, and answered. */
async function checkTransfers(
  services: Submitting,
  request: TransferRequest,
  members: readonly TransferFields[],
  atomic: boolean | null,
): Promise<TransferRequest | { readonly answer: Answer }> {
  const { principal, fingerprinted, amountAtMost = null, amountMembers } = request;
  const locate: Locate = (index, member) => {
    // A capture, a void and a reversal have the accounts of their parent.
    if (member !== 'amount' && (members[index]?.parentId ?? null) !== null) return null;
    if (atomic === null) return [member];
    return ['transfers', index, member === 'amount' ? (amountMembers?.[index] ?? member) : member];
  };
  refuseTransfers(principal, members, { amountAtMost, locate });
  if (request.query.dry_run === 'true' || !needsApproval(services, request, members, amountAtMost)) return request;
  const asking = { ...request, idempotency: toIdempotency(request) };
  const facts = {
    transfers: members.slice(0, FACTS_MAX).map(({ kind = 'transfer', fromAccount, toAccount, amount, currency }) => ({
      kind,
      fromAccount,
      toAccount,
      amount: String(amount ?? amountAtMost),
      currency,
    })),
  };
  const kept = {
    kind: 'transfers',
    request: keepTransfers({ fingerprinted, members, atomic, amountAtMost }),
    facts,
    amount: sumOfDay(members, amountAtMost),
  } as const;
  const asked = await askApproval(services, asking, kept);
  if ('answer' in asked) return asked;
  // Another key may send it again; the key that asked has ordered it.
  return { ...request, principal: asOrderer(principal, asked.requestedBy), approvedBy: asked.approvedBy };
}

/** The sender of a request that was approved. What it orders was counted for the day when it was asked for. */
export function asOrderer({ limits, ...principal }: Principal, requestedBy: string): Principal {
  return { ...principal, id: requestedBy, limits: { ...limits, dailyAmountMax: null } };
}

type Submitted = { readonly transfers: readonly Transfer[] } & (
  | { readonly isDryRun: true }
  | {
      readonly isDryRun: false;
      readonly headers: Readonly<Record<string, string>>;
      /** The id of the transfer or the group; after a replay, of the earlier one. */
      readonly namedId: string;
    }
);

async function submitTransfers(
  engine: Engine,
  request: TransferRequest,
  transfers: readonly NewTransfer[],
): Promise<Submitted> {
  const { ledger, caller, span } = request;
  const idempotency = toIdempotency(request);
  const waitMs = parseWait(request.headers, engine.waitTimeoutMs);
  const submission: Submission = { ledger, caller, span, idempotency, transfers, waitMs };
  if (request.query.dry_run === 'true') {
    const tried = await tryOut(engine, submission);
    if ('refused' in tried) throw toProblem(tried, { ...submission, principal: request.principal });
    return { transfers: tried.transfers, isDryRun: true };
  }
  const reserved = await reserveDaily(engine, request, submission);
  const submitted = await submit(engine, submission);
  const isOrdered = 'refused' in submitted ? submitted.refused === 'outcome_unknown' : !submitted.replayed;
  if (reserved !== null && !isOrdered) await releaseUsage(engine.pool, reserved);
  if ('refused' in submitted) throw toProblem(submitted, { ...submission, principal: request.principal });
  const { namedId, replayed } = submitted;
  return {
    transfers: submitted.transfers,
    headers: { ...preferenceApplied(waitMs), ...(replayed && REPLAYED) },
    isDryRun: false,
    namedId,
  };
}

/**
 * Counts the amounts of a request for a key with a daily bound; null for any other. They count when they are ordered,
 * whether they settle or fail. Throws daily_limit_reached.
 */
export async function reserveDaily(
  engine: Pick<Engine, 'pool' | 'keys'>,
  { principal, amountAtMost = null }: Pick<TransferRequest, 'principal' | 'amountAtMost'>,
  { ledger, transfers, idempotency }: Pick<Submission, 'ledger' | 'transfers' | 'idempotency'>,
): Promise<ReservedUsage | null> {
  const { id: keyId, limits } = principal;
  const max = limits.dailyAmountMax;
  if (keyId === null || max === null) return null;
  const amount = sumOfDay(transfers, amountAtMost);
  if (amount === 0n) return null;
  const reserved = await reserveUsage(engine.pool, keyId, { amount, max });
  if (reserved) return reserved;
  // An earlier request is answered again, however much was ordered since.
  if (idempotency && (await engine.keys.find(ledger, idempotency.key))) return null;
  throw dailyLimitReached(max);
}

/** What transfers count for the day. A capture moves what its hold has reserved, and a void releases it. */
function sumOfDay(transfers: readonly Pick<TransferFields, 'kind' | 'amount'>[], amountAtMost: bigint | null): bigint {
  const counted = transfers.filter(({ kind }) => kind !== 'capture' && kind !== 'void');
  return counted.reduce((sum, { amount }) => sum + (amount ?? amountAtMost ?? 0n), 0n);
}

/** The problem for a refusal of the engine. */
export function toProblem(
  refusal: Refusal,
  submitted: Pick<Submission, 'ledger' | 'transfers'> & { readonly principal: Principal },
): Problem {
  switch (refusal.refused) {
    case 'queue_full':
      return queueFullProblem(refusal.retryAfterSeconds);
    case 'too_large':
      return new Problem(
        'group_too_large',
        `At most ${refusal.max} transfers and openings may be pending; send them in several requests.`,
      );
    case 'key_reused':
      return keyReusedProblem(refusal.holder, submitted.principal);
    case 'account_exists':
      return new Problem('account_exists', 'An account with this number already exists.');
    case 'unavailable':
      return unavailableProblem();
    case 'outcome_unknown':
      return unknownProblem(refusal.namedId, submitted);
    case 'poisoned':
      return new Problem(
        'internal_error',
        'The request could not be stored. Nothing was stored; the log has the error.',
      );
  }
}

/** 429: nothing was stored. Retry-After comes from the measured rate at which the queue drains. */
export function queueFullProblem(retryAfterSeconds: number): Problem {
  return new Problem('queue_full', 'transfer queue is full, please retry later', {
    headers: { 'Retry-After': String(retryAfterSeconds) },
  });
}

/** 422: the key names a different earlier request. */
export function keyReusedProblem({ transferId, accountNumber }: KeyHolder, principal: Principal): Problem {
  const { scopes, limits } = principal;
  // A caller that guesses the keys of others learns no more than it may read.
  const mayRead = (scope: Scope): boolean => scopes.has(scope) && limits.accountPrefix === null;
  return new Problem('idempotency_key_reused', 'The key was used for another request; choose a new one.', {
    members: {
      ...(transferId !== null && mayRead('transfers:read') && { transfer_id: transferId }),
      ...(accountNumber !== null && mayRead('accounts:read') && { account_number: accountNumber }),
    },
  });
}

/** 503: the database may have stored the transfers, but the answer, or their state, cannot be read. */
function unknownProblem(namedId: string, { ledger, transfers }: Pick<Submission, 'ledger' | 'transfers'>): Problem {
  const prefix = ledger.name === MAIN_LEDGER.name ? '' : `/ledgers/${ledger.name}`;
  const path = `${prefix}/transfers${transfers[0]?.group ? '?group_id=' : '/'}${namedId}`;
  return new Problem(
    'outcome_unknown',
    `The connection to the database was lost before it answered. Read ${path}, or retry with the same \`Idempotency-Key\`.`,
    { headers: { 'Retry-After': '1' }, members: { transfer_id: namedId } },
  );
}

/** Finds a transfer, or throws transfer_not_found. */
export async function findTransfer(
  pool: ConnectionPool,
  { ledger, principal }: Pick<TransferRequest, 'ledger' | 'principal'>,
  id: string | undefined,
): Promise<Transfer> {
  const [transfer] = id !== undefined && isUuid(id) ? await loadTransfers(pool, ledger, [id]) : [];
  if (!transfer || !maySeeTransfer(principal, transfer))
    throw new Problem('transfer_not_found', 'There is no transfer with this id.');
  return transfer;
}

/** The milliseconds of `Prefer: wait=n` (RFC 7240), or `msMax` if that is less; null without this preference. */
function parseWait(headers: IncomingHttpHeaders, msMax: number): number | null {
  const prefer = headers['prefer'];
  if (typeof prefer !== 'string') return null;
  const wait = /(?:^|[,;\s])wait\s*=\s*"?(\d{1,6})"?\s*(?:$|[,;])/i.exec(prefer)?.[1];
  return wait === undefined ? null : Math.min(msMax, Number(wait) * 1000);
}

function preferenceApplied(waitMs: number | null): Record<string, string> {
  return waitMs === null ? {} : { 'Preference-Applied': `wait=${Math.floor(waitMs / 1000)}` };
}

/** A transfer as it will be stored or settled. */
export function toNewTransfer(
  {
    requestId,
    requestIdGiven,
    principal,
    approvedBy = null,
  }: Pick<TransferRequest, 'requestId' | 'requestIdGiven' | 'principal' | 'approvedBy'>,
  fields: TransferFields,
  group: Group | null = null,
): NewTransfer {
  return {
    kind: 'transfer',
    parentId: null,
    conditions: null,
    finalCapture: false,
    expiresIn: null,
    rate: null,
    remoteAccount: null,
    description: null,
    metadata: null,
    ...fields,
    group,
    // A request id that was created here is also the id of the group or the single transfer, so that it need not be
    // stored twice.
    id: requestIdGiven || group ? randomUUIDv7() : requestId,
    requestId: requestIdGiven ? requestId : null,
    by: { orderedBy: principal.id, approvedBy },
  };
}

/** The idempotency key of a request, with the fingerprint of its content; null if it has none. */
export function toIdempotency({
  headers,
  fingerprinted,
}: Pick<TransferRequest, 'headers' | 'fingerprinted'>): IdempotencyKey | null {
  const key = parseIdempotencyKey(headers);
  return key === null ? null : { key, fingerprint: fingerprintOf(fingerprinted) };
}

/** The idempotency key of a request; null if it has none. */
export function parseIdempotencyKey(headers: IncomingHttpHeaders): string | null {
  const key = headers['idempotency-key'];
  if (key === undefined) return null;
  if (typeof key === 'string' && KEY_FORM.test(key)) return key;
  throw new Problem('invalid_request', '`Idempotency-Key` must be 1 to 255 visible ASCII characters.');
}

/** SHA-256 of the content of a request. The order of fields does not matter, and null counts as absent. */
export function fingerprintOf(fingerprinted: readonly unknown[]): Uint8Array {
  return createHash('sha256').update(JSON.stringify(fingerprinted, canonical)).digest();
}

function canonical(_key: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  const fields = Object.entries(value).filter(([, field]) => field !== null && field !== undefined);
  return Object.fromEntries(fields.sort(([a], [b]) => (a < b ? -1 : 1)));
}
