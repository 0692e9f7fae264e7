// The handlers of transfers: accept one, show one, list them.
import { createHash, randomUUIDv7 } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { z } from 'zod';
import type { ConnectionPool } from '../../db/connect.ts';
import type { NewTransfer } from '../../db/intake.ts';
import { listTransfers, loadTransfers, type Transfer, type TransferCursor } from '../../db/transfers.ts';
import { EXTERNAL } from '../../domain/account.ts';
import type { Intake } from '../intake.ts';
import { Problem } from '../problem.ts';
import type { Queue } from '../queue.ts';
import { type Answer, defineRoute, type Exchange, type Route } from '../route.ts';
import { createTransferSchema, listTransfersSchema, NO_PARAMETERS } from '../schemas.ts';
import { unavailableProblem } from '../server.ts';
import type { Settlement } from '../settlement.ts';
import { renderPage, renderTransfer } from '../wire.ts';

export type TransferParts = { pool: ConnectionPool; intake: Intake; queue: Queue; settlement: Settlement };

const UUID_FORM = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const KEY_FORM = /^[\u0021-\u007e]{1,255}$/;
const WAIT_SECONDS_MAX = 30;

const bigintText = z
  .string()
  .regex(/^\d{1,19}$/)
  .refine((digits) => BigInt(digits) < 2n ** 63n);
const cursorSchema = z.discriminatedUnion('stage', [
  z.strictObject({ stage: z.literal('pending'), id: z.string().regex(UUID_FORM) }),
  z.strictObject({ stage: z.literal('settled'), number: bigintText, position: z.int32().min(0), entry: bigintText }),
]);

export function transferRoutes(parts: TransferParts): Route[] {
  return [
    defineRoute({
      method: 'POST',
      pattern: '/transfers',
      summary: 'Order a transfer',
      query: NO_PARAMETERS,
      body: createTransferSchema,
      answers: { 200: 'Transfer', 202: 'Transfer' },
      handle: async (exchange) => await createTransfer(parts, exchange),
    }),
    defineRoute({
      method: 'GET',
      pattern: '/transfers/:id',
      summary: 'One transfer',
      query: NO_PARAMETERS,
      body: null,
      answers: { 200: 'Transfer' },
      handle: async ({ parameters }) => ({
        status: 200,
        json: renderTransfer(await findTransfer(parts, parameters[0])),
      }),
    }),
    defineRoute({
      method: 'GET',
      pattern: '/transfers',
      summary: 'Transfers: pending ones first, then the last settled first',
      query: listTransfersSchema,
      body: null,
      answers: { 200: 'TransferPage' },
      handle: async ({ query }) => await showTransfers(parts, query),
    }),
  ];
}

async function createTransfer(
  parts: TransferParts,
  exchange: Exchange<unknown, z.output<typeof createTransferSchema>>,
): Promise<Answer> {
  const waitSeconds = parseWait(exchange.headers);
  const transfer = toNewTransfer(exchange);
  const accepted = await acceptTransfer(parts, transfer);
  const applied = waitSeconds === null ? {} : { 'Preference-Applied': `wait=${waitSeconds}` };
  if (accepted.replayed) {
    const headers = { ...applied, 'Idempotency-Replayed': 'true', Location: `/transfers/${accepted.id}` };
    if (waitSeconds !== null) await parts.settlement.waitFor(accepted.id, waitSeconds * 1000);
    const found = await findTransfer(parts, accepted.id);
    return answerWith(found, headers);
  }
  const pending: Transfer = { ...transfer, ...accepted.pending };
  const headers = { ...applied, Location: `/transfers/${transfer.id}` };
  if (waitSeconds === null) return answerWith(pending, headers);
  const final = await parts.settlement.waitFor(transfer.id, waitSeconds * 1000);
  if (final === null || final.ending === 'gone') {
    // It is accepted, also where it cannot be read just now: a 503 would tell the caller that nothing was stored.
    return answerWith(await findTransfer(parts, transfer.id).catch(() => pending), headers);
  }
  const { ending, currency, settledAt, journalNumber } = final;
  const status = ending === null ? 'completed' : 'failed';
  return answerWith(
    { ...pending, status, failureCode: ending, currency, completedAt: settledAt, journalNumber },
    headers,
  );
}

function answerWith(transfer: Transfer, headers: Record<string, string>): Answer {
  return {
    status: transfer.status === 'pending' ? 202 : 200,
    headers,
    json: renderTransfer(transfer),
    log: { transfer_id: transfer.id },
  };
}

type AcceptedTransfer =
  | { readonly replayed: true; readonly id: string }
  | {
      readonly replayed: false;
      readonly pending: Pick<
        Transfer,
        'status' | 'failureCode' | 'requestId' | 'createdAt' | 'completedAt' | 'journalNumber'
      >;
    };

/** Takes a place in the queue, makes the transfer durable, and hands it to settlement. Throws the problem if it cannot. */
async function acceptTransfer(parts: TransferParts, transfer: NewTransfer): Promise<AcceptedTransfer> {
  if (!parts.intake.available) throw unavailableProblem();
  if (!parts.queue.admit(1)) throw queueFullProblem(parts.queue);
  const accepted = await parts.intake.accept(transfer);
  if (accepted.result !== 'stored') parts.queue.release(1, false);
  switch (accepted.result) {
    case 'stored': {
      const requestId = transfer.requestId ?? transfer.id;
      parts.settlement.push([{ id: transfer.id, requestId }]);
      const { createdAt } = accepted;
      return {
        replayed: false,
        pending: { status: 'pending', failureCode: null, requestId, createdAt, completedAt: null, journalNumber: null },
      };
    }
    case 'replayed':
      if (accepted.same) return { replayed: true, id: accepted.transferId };
      throw new Problem('idempotency_key_reused', 'The key came before with another request; choose a new one.', {
        members: { transfer_id: accepted.transferId },
      });
    case 'broken':
      throw new Problem('internal_error', 'The transfer could not be stored; nothing was. The log says why.');
    case 'unavailable':
      if (!accepted.unknown) throw unavailableProblem();
      throw unknownProblem(transfer.id);
  }
}

/** 429: nothing was stored. Retry-After comes from the rate at which the queue was seen to drain. */
export function queueFullProblem(queue: Queue): Problem {
  return new Problem('queue_full', 'transfer queue is full, please retry later', {
    headers: { 'Retry-After': String(queue.retryAfterSeconds()) },
  });
}

/** 503: the database may have stored the transfer, but its answer was lost. */
export function unknownProblem(transferId: string): Problem {
  return new Problem(
    'outcome_unknown',
    `The database went away before it answered. Look for /transfers/${transferId}, or send the same Idempotency-Key again.`,
    { headers: { 'Retry-After': '1' }, members: { transfer_id: transferId } },
  );
}

function toNewTransfer(exchange: Exchange<unknown, z.output<typeof createTransferSchema>>): NewTransfer {
  const { body, requestId, requestIdGiven } = exchange;
  if (body.amount < 1) throw new Problem('amount_not_positive', 'The amount must be at least 1, in minor units.');
  if (body.from_account === body.to_account) {
    throw new Problem('same_account', 'A transfer needs two different accounts.');
  }
  const order = {
    fromAccount: body.from_account,
    toAccount: body.to_account,
    amount: BigInt(body.amount),
    currency: body.currency ?? null,
    description: body.description ?? null,
    metadata: body.metadata ?? null,
  };
  const key = parseIdempotencyKey(exchange.headers);
  return {
    ...order,
    // A request id that was made here serves as the transfer's id, so that it need not be stored twice.
    id: requestIdGiven ? randomUUIDv7() : requestId,
    requestId: requestIdGiven ? requestId : null,
    idempotency: key === null ? null : { key, fingerprint: fingerprintOf(order) },
  };
}

type Fingerprinted = Pick<
  NewTransfer,
  'fromAccount' | 'toAccount' | 'amount' | 'currency' | 'description' | 'metadata'
>;

/** SHA-256 of what the request says, however it was written. */
function fingerprintOf(order: Fingerprinted): Buffer {
  const { fromAccount, toAccount, amount, currency, description } = order;
  const metadata = Object.entries(order.metadata ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
  const said = JSON.stringify([fromAccount, toAccount, String(amount), currency, description, metadata]);
  return createHash('sha256').update(said).digest();
}

function parseIdempotencyKey(headers: IncomingHttpHeaders): string | null {
  const key = headers['idempotency-key'];
  if (key === undefined) return null;
  if (typeof key === 'string' && KEY_FORM.test(key)) return key;
  throw new Problem('invalid_request', 'Idempotency-Key must be 1 to 255 visible ASCII characters.');
}

/** The seconds of `Prefer: wait=n` (RFC 7240), at most 30; null if the caller does not ask. */
export function parseWait(headers: IncomingHttpHeaders): number | null {
  const prefer = headers['prefer'];
  if (typeof prefer !== 'string') return null;
  const wait = /(?:^|[,;\s])wait\s*=\s*"?(\d{1,6})"?\s*(?:$|[,;])/i.exec(prefer)?.[1];
  return wait === undefined ? null : Math.min(WAIT_SECONDS_MAX, Number(wait));
}

async function findTransfer(parts: TransferParts, id: string | undefined): Promise<Transfer> {
  const [transfer] = id !== undefined && UUID_FORM.test(id) ? await loadTransfers(parts.pool, [id]) : [];
  if (!transfer) throw new Problem('transfer_not_found', 'There is no transfer with this id.');
  return transfer;
}

async function showTransfers(parts: TransferParts, query: z.output<typeof listTransfersSchema>): Promise<Answer> {
  const { account, currency, status, request_id: requestId, since, until, limit } = query;
  if (account === EXTERNAL && currency === undefined) {
    throw new Problem('invalid_request', `${EXTERNAL} has one account per currency: say which with \`currency\`.`);
  }
  const filter = { account, currency, status, requestId, since, until };
  const after = query.after === undefined ? null : parseCursor(query.after);
  const page = await listTransfers(parts.pool, filter, { limit, after });
  const next = page.next && Buffer.from(JSON.stringify(page.next)).toString('base64url');
  return { status: 200, json: renderPage(page.transfers.map(renderTransfer), next) };
}

function parseCursor(text: string): TransferCursor {
  try {
    return cursorSchema.parse(JSON.parse(Buffer.from(text, 'base64url').toString()));
  } catch {
    // Not a cursor of ours; said below.
  }
  throw new Problem('invalid_request', '`after` must be the `next` of the page before.');
}
