// The way of a transfer from its handler to the answer: admission, durable intake, settlement, and the wait for its end if
// the caller asks for it. Transfers of all kinds go through here, except opening balances, which come with their account.
import { createHash, randomUUIDv7 } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { KeyHolder } from '../db/intake.ts';
import type { Transfer } from '../db/transfers.ts';
import type { JobReport, QueuedTransfer } from '../domain/job.ts';
import type { Group, NewTransfer } from '../domain/transfer.ts';
import { Problem } from './problem.ts';
import type { QueueShares } from './queue-shares.ts';
import type { Queue } from './queue.ts';
import type { Answer, Exchange } from './route.ts';
import { unavailableProblem } from './failures.ts';
import type { Intake } from './intake.ts';
import type { KeyLookup } from './keys.ts';
import type { Lease } from './lease.ts';
import { type Final, finalOf } from './settlement.ts';
import { loadStored, type Named, type StandingParts, unknownProblem } from './standing.ts';
import { renderGroup, renderTransfer } from './wire.ts';

export type Parts = StandingParts & {
  lease: Lease;
  intake: Intake;
  keys: KeyLookup;
  queue: Queue;
  /** How the queue is shared between callers. */
  queueShares: QueueShares;
  /** How long an answer waits for the end of a transfer at the most. */
  waitTimeoutMs: number;
  /** Makes recovery resolve a doubt about the lease at once. */
  wakeRecovery: () => void;
};

/** The fields of a transfer that a handler sets; the rest has defaults. */
export type OrderFields = Pick<NewTransfer, 'fromAccount' | 'toAccount' | 'amount' | 'currency'> &
  Partial<Omit<NewTransfer, 'id' | 'requestId' | 'idempotency' | 'group'>>;

type Submission = Pick<
  Exchange<{ dry_run?: 'true' | 'false' | undefined }, unknown>,
  'requestId' | 'requestIdGiven' | 'headers' | 'query' | 'caller'
> & {
  /** What the request says, for the fingerprint of its idempotency key: where it went, and its body. */
  readonly said: readonly unknown[];
};

/** How many bytes a transfer takes besides its text. */
const FIXED_BYTES = 200;
export const REPLAYED = { 'Idempotency-Replayed': 'true' };
const KEY_FORM = /^[\u0021-\u007e]{1,255}$/;
/** Orders one transfer: 202 pending, or 200 final. Throws the problem if it cannot. */
export async function submitOne(parts: Parts, submission: Submission, fields: OrderFields): Promise<Answer> {
  const transfer = toNewTransfer(submission, toIdempotency(submission), fields);
  if (submission.query.dry_run === 'true') return await dryRun(parts, submission.caller, [transfer], null);
  const waitMs = parseWait(submission.headers, parts.waitTimeoutMs);
  const accepted = await accept(parts, submission.caller, [transfer], { namedId: transfer.id, isGroup: false });
  const headers: Record<string, string> = { ...preferenceApplied(waitMs), Location: `/transfers/${accepted.namedId}` };
  if (accepted.state !== 'stored') {
    const [found] = await loadStored(parts, accepted, waitMs);
    return answerOne(found, { ...headers, ...(accepted.state === 'replayed' && REPLAYED) });
  }
  const pending = toTransfer(transfer, accepted.createdAt, null);
  if (waitMs === null) return answerOne(pending, headers);
  const [final = null] = await parts.settlement.waitFor([transfer.id], waitMs);
  if (isKnown(final)) return answerOne(toTransfer(transfer, accepted.createdAt, final), headers);
  const [found] = await loadStored(parts, accepted, null);
  return answerOne(found, headers);
}

/** Orders several transfers at once, all or none if `atomic`: 202 while one is pending, or 200 when all are final. */
export async function submitGroup(
  parts: Parts,
  submission: Submission,
  members: readonly OrderFields[],
  atomic: boolean,
): Promise<Answer> {
  const id = submission.requestIdGiven ? randomUUIDv7() : submission.requestId;
  const idempotency = toIdempotency(submission);
  const transfers = members.map((fields, position) =>
    toNewTransfer(submission, idempotency, fields, { id, position, atomic }),
  );
  if (submission.query.dry_run === 'true') return await dryRun(parts, submission.caller, transfers, { id, atomic });
  const waitMs = parseWait(submission.headers, parts.waitTimeoutMs);
  const accepted = await accept(parts, submission.caller, transfers, { namedId: id, isGroup: true });
  const { namedId } = accepted;
  const headers: Record<string, string> = { ...preferenceApplied(waitMs), Location: `/transfers?group_id=${namedId}` };
  if (accepted.state !== 'stored') {
    const found = await loadStored(parts, accepted, waitMs);
    return answerGroup(namedId, atomic, found, { ...headers, ...(accepted.state === 'replayed' && REPLAYED) });
  }
  if (waitMs === null) {
    const pending = transfers.map((transfer) => toTransfer(transfer, accepted.createdAt, null));
    return answerGroup(id, atomic, pending, headers);
  }
  const ids = transfers.map((transfer) => transfer.id);
  const finals = await parts.settlement.waitFor(ids, waitMs);
  if (finals.every(isKnown)) {
    const ended = transfers.map((transfer, index) => toTransfer(transfer, accepted.createdAt, finals[index] ?? null));
    return answerGroup(id, atomic, ended, headers);
  }
  return answerGroup(id, atomic, await loadStored(parts, accepted, null), headers);
}

/** 429: nothing was stored. Retry-After comes from the rate at which the queue was seen to drain. */
export function queueFullProblem(queue: Queue): Problem {
  return new Problem('queue_full', 'transfer queue is full, please retry later', {
    headers: { 'Retry-After': String(queue.retryAfterSeconds()) },
  });
}

/** The milliseconds of `Prefer: wait=n` (RFC 7240), or `msMax` if that is less; null if the caller does not ask. */
function parseWait(headers: IncomingHttpHeaders, msMax: number): number | null {
  const prefer = headers['prefer'];
  if (typeof prefer !== 'string') return null;
  const wait = /(?:^|[,;\s])wait\s*=\s*"?(\d{1,6})"?\s*(?:$|[,;])/i.exec(prefer)?.[1];
  return wait === undefined ? null : Math.min(msMax, Number(wait) * 1000);
}

function preferenceApplied(waitMs: number | null): Record<string, string> {
  return waitMs === null ? {} : { 'Preference-Applied': `wait=${Math.floor(waitMs / 1000)}` };
}

/** What became of a request at intake; `stored_before`: so long ago that its state has to be read. */
type AcceptedRequest = Named &
  ({ readonly state: 'stored'; readonly createdAt: string } | { readonly state: 'stored_before' | 'replayed' });

/** Admits the transfers, makes them durable, and hands them to settlement. Throws a problem if it cannot. */
async function accept(
  parts: Parts,
  caller: string,
  transfers: readonly NewTransfer[],
  named: Named,
): Promise<AcceptedRequest> {
  const { intake, queue, settlement } = parts;
  const bytes = transfers.reduce((sum, transfer) => sum + bytesOf(transfer), 0);
  const [first] = transfers;
  try {
    admit(parts, caller, transfers.length, bytes);
  } catch (problem) {
    // A full queue must not hide the answer to a request that was accepted before.
    const holder = first?.idempotency && (await parts.keys.find(first.idempotency.key));
    if (!holder) throw problem;
    return replayOf(holder, first.idempotency, named);
  }
  const accepted = await intake.accept(transfers);
  if (accepted.result !== 'stored') queue.release(transfers.length, bytes, false);
  switch (accepted.result) {
    case 'stored':
      settlement.push(transfers.map(toQueued));
      return accepted.late
        ? { ...named, state: 'stored_before' }
        : { ...named, state: 'stored', createdAt: accepted.createdAt };
    case 'stored_before':
      return { ...named, state: 'stored_before' };
    case 'replayed':
      return replayOf(accepted.holder, first?.idempotency ?? null, named);
    case 'broken':
      throw new Problem('internal_error', 'The transfer could not be stored; nothing was. The log says why.');
    case 'unavailable':
      if (!accepted.unknown) throw unavailableProblem();
      throw unknownProblem(named);
  }
}

/** The earlier request that a key names. Throws idempotency_key_reused if it was another one. */
function replayOf(holder: KeyHolder, idempotency: NewTransfer['idempotency'], named: Named): AcceptedRequest {
  const { transferId, accountNumber } = holder;
  if (
    transferId !== null &&
    accountNumber === null &&
    idempotency &&
    holder.fingerprint.equals(idempotency.fingerprint)
  )
    return { ...named, namedId: transferId, state: 'replayed' };
  throw keyReusedProblem(holder);
}

/** 422: the key names a different earlier request. */
export function keyReusedProblem({ transferId, accountNumber }: KeyHolder): Problem {
  return new Problem('idempotency_key_reused', 'The key came before with another request; choose a new one.', {
    members: {
      ...(transferId !== null && { transfer_id: transferId }),
      ...(accountNumber !== null && { account_number: accountNumber }),
    },
  });
}

/** A stored transfer, as settlement takes it. */
export function toQueued(transfer: NewTransfer): QueuedTransfer {
  const { id, requestId, fromAccount, toAccount, parentId, group } = transfer;
  return {
    id,
    requestId: requestId ?? group?.id ?? id,
    fromAccount,
    toAccount,
    parentId,
    atomicGroupId: group?.atomic ? group.id : null,
    adoptions: 0,
    bytes: bytesOf(transfer),
  };
}

/** About how many bytes a transfer takes in the queue: its text, and a constant for the rest. */
export function bytesOf({ description, metadata }: Pick<NewTransfer, 'description' | 'metadata'>): number {
  const own = FIXED_BYTES + (description === null ? 0 : Buffer.byteLength(description));
  return metadata === null ? own : own + Buffer.byteLength(JSON.stringify(metadata));
}

/** Admits a caller's transfers of so many bytes together, or throws the problem with the reason. */
export function admit(
  parts: Pick<Parts, 'intake' | 'queue' | 'queueShares'>,
  caller: string,
  count: number,
  bytes: number,
): void {
  const { intake, queue, queueShares } = parts;
  if (!intake.available) throw unavailableProblem();
  if (queueShares.mayTake(caller) && queue.admit(count, bytes)) {
    queueShares.taken(caller, count);
    return;
  }
  if (count <= queue.maxQueue) throw queueFullProblem(queue);
  throw new Problem('group_too_large', `At most ${queue.maxQueue} transfers may wait; send them in parts.`);
}

async function dryRun(
  parts: Parts,
  caller: string,
  transfers: readonly NewTransfer[],
  group: { id: string; atomic: boolean } | null,
): Promise<Answer> {
  const bytes = transfers.reduce((sum, transfer) => sum + bytesOf(transfer), 0);
  admit(parts, caller, transfers.length, bytes);
  let report: JobReport;
  try {
    const unkeyed = transfers.map((transfer) => ({ ...transfer, idempotency: null }));
    report = await parts.settlement.dryRun(unkeyed);
  } finally {
    parts.queue.release(transfers.length, bytes, false);
  }
  if (report.result === 'unavailable' || report.result === 'died') throw unavailableProblem();
  if (report.result === 'broken')
    throw new Problem('internal_error', 'These orders cannot be settled; the log says why.');
  const { settledAt } = report;
  const ended = transfers.map((transfer, index) => {
    const final = finalOf(report, index);
    // A number in the journal, and a time in it, belong to what has happened.
    const told = isKnown(final) ? { ...final, journalNumber: null } : null;
    return toTransfer(transfer, told === null ? '' : (settledAt ?? ''), told);
  });
  const [only] = ended;
  const json = group || !only ? renderGroup(group?.id ?? '', group?.atomic ?? false, ended) : renderTransfer(only);
  return { status: 200, json: { ...json, dry_run: true } };
}

/** A transfer as it will be stored. */
export function toNewTransfer(
  { requestId, requestIdGiven }: Pick<Submission, 'requestId' | 'requestIdGiven'>,
  idempotency: NewTransfer['idempotency'],
  fields: OrderFields,
  group: Group | null = null,
): NewTransfer {
  return {
    kind: 'transfer',
    parentId: null,
    conditions: null,
    finalCapture: false,
    expiresIn: null,
    description: null,
    metadata: null,
    ...fields,
    group,
    // A request id that was made here serves as the id of its group or its one transfer, so that it need not be stored twice.
    id: requestIdGiven || group ? randomUUIDv7() : requestId,
    requestId: requestIdGiven ? requestId : null,
    idempotency,
  };
}

/** Whether the outcome of a transfer is known. Otherwise it must be read: it is pending, or another process has settled it. */
function isKnown(final: Final | null): final is Final {
  return final !== null && final.ending !== 'gone';
}

/** A transfer as it ended, or pending if `final` is null. */
function toTransfer(transfer: NewTransfer, createdAt: string, final: Final | null): Transfer {
  const { id, kind, fromAccount, toAccount, parentId, group, description, metadata } = transfer;
  return {
    id,
    kind,
    status: final === null ? 'pending' : final.ending === null ? 'completed' : 'failed',
    failureCode: final === null || final.ending === 'gone' ? null : final.ending,
    fromAccount,
    toAccount,
    amount: final === null ? transfer.amount : final.amount,
    currency: final === null ? transfer.currency : final.currency,
    parentId,
    groupId: group?.id ?? null,
    groupPosition: group?.position ?? null,
    description,
    metadata,
    requestId: transfer.requestId ?? group?.id ?? id,
    createdAt,
    completedAt: final === null ? null : final.settledAt,
    journalNumber: final === null ? null : final.journalNumber,
  };
}

function answerOne(transfer: Transfer, headers: Record<string, string>): Answer {
  return {
    status: transfer.status === 'pending' ? 202 : 200,
    headers,
    json: renderTransfer(transfer),
    log: { transfer_id: transfer.id },
  };
}

function answerGroup(
  id: string,
  atomic: boolean,
  transfers: readonly Transfer[],
  headers: Record<string, string>,
): Answer {
  const pending = transfers.some((transfer) => transfer.status === 'pending');
  return {
    status: pending ? 202 : 200,
    headers,
    json: renderGroup(id, atomic, transfers),
    log: { group_id: id, transfers: transfers.length },
  };
}

/** The idempotency key of a request, with the fingerprint of its content; null if it has none. */
export function toIdempotency({ headers, said }: Pick<Submission, 'headers' | 'said'>): NewTransfer['idempotency'] {
  const key = parseIdempotencyKey(headers);
  return key === null ? null : { key, fingerprint: fingerprintOf(said) };
}

/** The idempotency key of a request; null if it has none. */
export function parseIdempotencyKey(headers: IncomingHttpHeaders): string | null {
  const key = headers['idempotency-key'];
  if (key === undefined) return null;
  if (typeof key === 'string' && KEY_FORM.test(key)) return key;
  throw new Problem('invalid_request', 'Idempotency-Key must be 1 to 255 visible ASCII characters.');
}

/** SHA-256 of what the request says, however it was written: the order of fields and absent ones do not matter. */
function fingerprintOf(said: readonly unknown[]): Uint8Array {
  return createHash('sha256').update(JSON.stringify(said, canonical)).digest();
}

function canonical(_key: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  const fields = Object.entries(value).filter(([, field]) => field !== null && field !== undefined);
  return Object.fromEntries(fields.sort(([a], [b]) => (a < b ? -1 : 1)));
}
