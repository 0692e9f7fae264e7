// The way of an order from its handler to the answer: a place in the queue, durable intake, settlement, and for whoever
// asks so, the wait for the end. All kinds of movements go through here.
import { createHash, randomUUIDv7 } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ConnectionPool } from '../db/connect.ts';
import { loadGroup, loadTransfers, type Transfer } from '../db/transfers.ts';
import type { JobReport } from '../domain/job.ts';
import type { Group, NewTransfer } from '../domain/transfer.ts';
import type { Intake } from './intake.ts';
import { Problem } from './problem.ts';
import type { Queue } from './queue.ts';
import type { Answer, Exchange } from './route.ts';
import { unavailableProblem } from './server.ts';
import { type Final, finalOf, type Settlement } from './settlement.ts';
import { renderGroup, renderTransfer } from './wire.ts';

export type Parts = {
  pool: ConnectionPool;
  intake: Intake;
  queue: Queue;
  settlement: Settlement;
  /** How long an answer waits for the end of a transfer at the most. */
  waitTimeoutMs: number;
};

/** What a handler says of an order; the rest has defaults. */
export type OrderFields = Pick<NewTransfer, 'fromAccount' | 'toAccount' | 'amount' | 'currency'> &
  Partial<Omit<NewTransfer, 'id' | 'requestId' | 'idempotency' | 'group'>>;

type Submission = Pick<
  Exchange<{ dry_run?: 'true' | 'false' | undefined }, unknown>,
  'requestId' | 'requestIdGiven' | 'headers' | 'query'
> & {
  /** What the request says, for the fingerprint of its idempotency key: where it went, and its body. */
  readonly said: readonly unknown[];
};

const UUID_FORM = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const KEY_FORM = /^[\u0021-\u007e]{1,255}$/;
/** How often a replay that waits looks whether another process has settled what it waits for. */
const LOOK_AGAIN_MS = 50;

/** Orders one transfer: 202 pending, or 200 final. Throws the problem if it cannot. */
export async function submitOne(parts: Parts, submission: Submission, fields: OrderFields): Promise<Answer> {
  const transfer = toNewTransfer(submission, toIdempotency(submission), fields, null);
  if (submission.query.dry_run === 'true') return await dryRun(parts, [transfer], null);
  const waitMs = parseWait(submission.headers, parts.waitTimeoutMs);
  const accepted = await accept(parts, [transfer]);
  const headers: Record<string, string> = {
    ...preferenceApplied(waitMs),
    Location: `/transfers/${accepted.replayed ? accepted.namedId : transfer.id}`,
  };
  if (accepted.replayed) {
    const load = async () => [await findTransfer(parts.pool, accepted.namedId)] as const;
    const [found] = await loadWhenFinal(parts, load, waitMs ?? 0);
    return answerOne(found, { ...headers, 'Idempotency-Replayed': 'true' });
  }
  const pending = toTransfer(transfer, accepted.createdAt, null);
  if (waitMs === null) return answerOne(pending, headers);
  const [final = null] = await parts.settlement.waitFor([transfer.id], waitMs);
  if (isKnown(final)) return answerOne(toTransfer(transfer, accepted.createdAt, final), headers);
  // It is accepted, also where it cannot be read just now: a 503 would tell the caller that nothing was stored.
  return answerOne(await findTransfer(parts.pool, transfer.id).catch(() => pending), headers);
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
  if (submission.query.dry_run === 'true') return await dryRun(parts, transfers, { id, atomic });
  const waitMs = parseWait(submission.headers, parts.waitTimeoutMs);
  const accepted = await accept(parts, transfers);
  const groupId = accepted.replayed ? accepted.namedId : id;
  const headers: Record<string, string> = { ...preferenceApplied(waitMs), Location: `/transfers?group_id=${groupId}` };
  const { pool, settlement } = parts;
  if (accepted.replayed) {
    const found = await loadWhenFinal(parts, async () => await loadGroup(pool, groupId), waitMs ?? 0);
    return answerGroup(groupId, atomic, found, { ...headers, 'Idempotency-Replayed': 'true' });
  }
  // Made when it is needed: what lives as long as the caller waits is a thousand objects fewer.
  const pending = () => transfers.map((transfer) => toTransfer(transfer, accepted.createdAt, null));
  if (waitMs === null) return answerGroup(id, atomic, pending(), headers);
  const ids = transfers.map((transfer) => transfer.id);
  const finals = await settlement.waitFor(ids, waitMs);
  const ended = finals.every(isKnown)
    ? transfers.map((transfer, index) => toTransfer(transfer, accepted.createdAt, finals[index] ?? null))
    : await loadGroup(pool, id).catch(pending);
  return answerGroup(id, atomic, ended, headers);
}

/** Loads transfers that were ordered before, again and again until all are final or `waitMs` are over. */
async function loadWhenFinal<Found extends readonly Transfer[]>(
  { settlement }: Parts,
  load: () => Promise<Found>,
  waitMs: number,
): Promise<Found> {
  const deadline = performance.now() + waitMs;
  for (;;) {
    const found = await load();
    const pending = found.find((transfer) => transfer.status === 'pending');
    const leftMs = deadline - performance.now();
    if (!pending || leftMs <= 0) return found;
    // The end of what is on its way here is announced; what is on its way in another process has to be looked for.
    if (settlement.has(pending.id)) await settlement.waitFor([pending.id], leftMs);
    else await sleep(Math.min(LOOK_AGAIN_MS, leftMs));
  }
}

/** Finds a transfer, or throws transfer_not_found. */
export async function findTransfer(pool: ConnectionPool, id: string | undefined): Promise<Transfer> {
  const [transfer] = id !== undefined && UUID_FORM.test(id) ? await loadTransfers(pool, [id]) : [];
  if (!transfer) throw new Problem('transfer_not_found', 'There is no transfer with this id.');
  return transfer;
}

/** Whether a text is a UUID, in any case. */
export function isUuid(text: string): boolean {
  return UUID_FORM.test(text);
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

type AcceptedOrders =
  | { readonly replayed: true; readonly namedId: string }
  | { readonly replayed: false; readonly createdAt: string };

/** Takes places in the queue, makes the orders durable, and hands them to settlement. Throws the problem if it cannot. */
async function accept(parts: Parts, transfers: readonly NewTransfer[]): Promise<AcceptedOrders> {
  const { intake, queue, settlement } = parts;
  admit(parts, transfers.length);
  const accepted = await intake.accept(transfers);
  if (accepted.result !== 'stored') queue.release(transfers.length, false);
  switch (accepted.result) {
    case 'stored':
      settlement.push(
        transfers.map(({ id, requestId, fromAccount, toAccount, parentId, group }) => ({
          id,
          requestId: requestId ?? group?.id ?? id,
          fromAccount,
          toAccount,
          parentId,
          atomicGroupId: group?.atomic ? group.id : null,
        })),
      );
      return { replayed: false, createdAt: accepted.createdAt };
    case 'replayed':
      if (accepted.same) return { replayed: true, namedId: accepted.namedId };
      throw new Problem('idempotency_key_reused', 'The key came before with another request; choose a new one.', {
        members: { transfer_id: accepted.namedId },
      });
    case 'broken':
      throw new Problem('internal_error', 'The transfer could not be stored; nothing was. The log says why.');
    case 'unavailable':
      if (!accepted.unknown) throw unavailableProblem();
      throw unknownProblem(transfers);
  }
}

/** Takes places in the queue, or throws the problem that says why not. */
export function admit(parts: Pick<Parts, 'intake' | 'queue'>, count: number): void {
  if (!parts.intake.available) throw unavailableProblem();
  if (parts.queue.admit(count)) return;
  if (count <= parts.queue.maxQueue) throw queueFullProblem(parts.queue);
  throw new Problem('group_too_large', `At most ${parts.queue.maxQueue} transfers may wait; send them in parts.`);
}

/** 503: the database may have stored the orders, but its answer was lost. */
function unknownProblem([first]: readonly NewTransfer[]): Problem {
  const path = first?.group ? `/transfers?group_id=${first.group.id}` : `/transfers/${first?.id}`;
  return new Problem(
    'outcome_unknown',
    `The database went away before it answered. Look at ${path}, or send the same Idempotency-Key again.`,
    { headers: { 'Retry-After': '1' }, members: { transfer_id: first?.group?.id ?? first?.id } },
  );
}

async function dryRun(
  parts: Parts,
  transfers: readonly NewTransfer[],
  group: { id: string; atomic: boolean } | null,
): Promise<Answer> {
  admit(parts, transfers.length);
  let report: JobReport;
  try {
    const unkeyed = transfers.map((transfer) => ({ ...transfer, idempotency: null }));
    report = await parts.settlement.dryRun(parts.intake.intakeId, unkeyed);
  } finally {
    parts.queue.release(transfers.length, false);
  }
  if (report.result === 'unavailable') throw unavailableProblem();
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

function toNewTransfer(
  { requestId, requestIdGiven }: Submission,
  idempotency: NewTransfer['idempotency'],
  fields: OrderFields,
  group: Group | null,
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

/** Whether it is known how a transfer ended. Otherwise that has to be read: it has not, or somebody else settled it. */
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

function toIdempotency({ headers, said }: Submission): NewTransfer['idempotency'] {
  const key = headers['idempotency-key'];
  if (key === undefined) return null;
  if (typeof key === 'string' && KEY_FORM.test(key)) return { key, fingerprint: fingerprintOf(said) };
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
