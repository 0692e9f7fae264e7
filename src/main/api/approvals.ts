// Four eyes: above the amount that a ledger's rule names, funding, transfers to other ledgers and overdraft limits wait for
// a second key.
import { randomUUID, randomUUIDv7 } from 'node:crypto';
import { withTransaction } from '../../db/connection/transaction.ts';
import { recordAdministration } from '../../db/ledger/administration.ts';
import { type ApprovalKind, type ApprovalRecord, insertApproval } from '../../db/ledger/approvals.ts';
import { reserveUsage } from '../../db/ledger/key-usage.ts';
import type { Ledger } from '../../domain/ledger.ts';
import type { IdempotencyKey } from '../../domain/transfer.ts';
import { Problem, toValidationError, withErrors } from '../http/problem.ts';
import { dailyLimitReached, isFunding, leavesLedger, notAllowed, type Ordered } from './permissions.ts';
import type { Services } from './reads.ts';
import type { Answer, RequestContext } from './route.ts';
import { renderApproval } from './views.ts';

/** How long a request waits for its approval. */
const EXPIRES_IN_SECONDS = 7 * 86_400;

type Asking = Pick<RequestContext<unknown, unknown>, 'ledger' | 'principal' | 'caller'> & {
  readonly idempotency: IdempotencyKey | null;
};

/** What is kept of a request. `facts` are those that the audit log shows: no personal data. */
type Kept = {
  readonly kind: ApprovalKind;
  readonly request: Readonly<Record<string, unknown>>;
  readonly facts: Readonly<Record<string, unknown>>;
  /** What counts for the day of the key that asks, whether it is approved or not. */
  readonly amount: bigint;
};

/**
 * Whether transfers of a caller need an approval. Their amounts are added up, or a request could be split into parts. A
 * capture needs none: its hold needed one.
 */
export function needsApproval(
  services: Pick<Services, 'approvalAbove'>,
  asking: Pick<Asking, 'ledger' | 'principal'>,
  transfers: readonly Ordered[],
  amountAtMost: bigint | null,
): boolean {
  const amounts = transfers
    .filter((transfer) => (isFunding(transfer) && transfer.kind !== 'capture') || leavesLedger(transfer))
    .map(({ amount }) => amount ?? amountAtMost);
  return amounts.length > 0 && exceedsRule(services, asking, totalOf(amounts));
}

/** Null: an amount is not known, and may be any. */
function totalOf(amounts: readonly (bigint | null)[]): bigint | null {
  return amounts.reduce((sum, amount) => (sum === null || amount === null ? null : sum + amount), 0n);
}

/**
 * Keeps a request until a second key approves it, and answers 202. If it was approved before, returns the keys that
 * asked and approved, so that the request is executed; its idempotency key makes that happen once.
 */
export async function askApproval(
  { changes }: Pick<Services, 'changes'>,
  { ledger, principal, caller, idempotency }: Asking,
  { kind, request, facts, amount }: Kept,
): Promise<{ readonly answer: Answer } | { readonly requestedBy: string; readonly approvedBy: string }> {
  const requestedBy = principal.id ?? '';
  const id = randomUUIDv7();
  const approval = {
    id,
    kind,
    requestedBy,
    // Not the id, which others can read: one that uses the key first would block the transfers.
    idempotencyKey: idempotency?.key ?? `approval:${randomUUID()}`,
    fingerprint: idempotency?.fingerprint ?? null,
    request,
    expiresInSeconds: EXPIRES_IN_SECONDS,
  };
  const { record, isNew } = await changes.run(
    caller,
    async (pool) =>
      await withTransaction(pool, async (connection) => {
        const inserted = await insertApproval(connection, ledger, approval);
        if (inserted.isNew) {
          const max = principal.limits.dailyAmountMax;
          if (max !== null && amount > 0n && !(await reserveUsage(connection, requestedBy, { amount, max }))) {
            throw dailyLimitReached(max);
          }
          const act = {
            action: 'approval.requested',
            actor: requestedBy,
            subject: id,
            details: { kind, ...facts },
          } as const;
          await recordAdministration(connection, ledger, act);
        }
        return inserted;
      }),
  );
  if (!isNew) refuseOther(record, idempotency);
  if (record.state === 'approved' && record.decidedBy !== null) {
    return { requestedBy: record.requestedBy, approvedBy: record.decidedBy };
  }
  return { answer: answerAsked(record, isNew) };
}

function answerAsked(record: ApprovalRecord, isNew: boolean): Answer {
  return {
    status: 202,
    headers: { Location: `/approvals/${record.id}`, ...(!isNew && { 'Idempotency-Replayed': 'true' }) },
    json: renderApproval(record, null),
    log: { approval_id: record.id },
  };
}

/** Refuses a key that names another request, or one that was not approved. */
function refuseOther({ fingerprint, state }: ApprovalRecord, idempotency: IdempotencyKey | null): void {
  if (!idempotency || fingerprint === null || !fingerprint.equals(idempotency.fingerprint)) {
    throw new Problem('idempotency_key_reused', 'The key was used for another request; choose a new one.');
  }
  if (state === 'rejected') throw notAllowed('The request was rejected.');
  if (state === 'expired') throw approvalExpired();
}

export function approvalExpired(): Problem {
  return new Problem('approval_expired', 'The request was not approved in time. Send it again with a new key.');
}

/** Refuses amounts that cannot wait for an approval, because they are parts of another request. They are added up. */
export function refuseUnapproved(
  { approvalAbove }: Pick<Services, 'approvalAbove'>,
  { ledger, principal }: { ledger: Ledger; principal: Asking['principal'] },
  listAmounts: () => readonly { amount: bigint; path: readonly PropertyKey[] }[],
  advice: string,
): void {
  if (limitOf({ approvalAbove }, { ledger, principal }) === null) return;
  const amounts = listAmounts();
  const total = totalOf(amounts.map(({ amount }) => amount));
  if (!exceedsRule({ approvalAbove }, { ledger, principal }, total)) return;
  const problem = new Problem('approval_required', `So large an amount needs the approval of a second key. ${advice}`);
  const flaws = amounts.filter(({ amount }) => amount > 0n);
  throw withErrors(
    problem,
    flaws.map(({ path }) => toValidationError(path, 'needs the approval of a second key')),
  );
}

/** Whether an amount is above the rule of a ledger. */
export function exceedsRule(
  { approvalAbove }: Pick<Services, 'approvalAbove'>,
  { ledger, principal }: Pick<Asking, 'ledger' | 'principal'>,
  amount: bigint | null,
): boolean {
  const above = limitOf({ approvalAbove }, { ledger, principal });
  return above !== null && (amount === null || amount > above);
}

/** The largest amount that needs no approval; null: none does. Without keys there is no second one. */
function limitOf(
  { approvalAbove }: Pick<Services, 'approvalAbove'>,
  { ledger, principal }: Pick<Asking, 'ledger' | 'principal'>,
): bigint | null {
  return principal.id === null ? null : approvalAbove(ledger.id);
}
