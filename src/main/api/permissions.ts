// What a caller may do beyond the scope of the route: rules that depend on the content of a request.
import { NO_LIMITS, type Principal, type Scope, SCOPES } from '../../domain/access.ts';
import { EXTERNAL } from '../../domain/account.ts';
import { isContra } from '../../domain/between-ledgers.ts';
import type { NewTransfer } from '../../domain/transfer.ts';
import { Problem, refuseFlaws, toValidationError } from '../http/problem.ts';

/** The caller of a service that has no keys. It listens on loopback only. */
export const ANYBODY: Principal = { id: null, ledger: null, scopes: new Set(SCOPES), limits: NO_LIMITS };

/** What the rules look at in a transfer. Without a kind, it is a plain one. */
export type Ordered = Pick<NewTransfer, 'fromAccount' | 'toAccount' | 'amount'> &
  Partial<Pick<NewTransfer, 'kind' | 'remoteAccount'>>;

export function unauthorized(detail: string, isTokenWrong: boolean): Problem {
  const error = isTokenWrong ? ', error="invalid_token"' : '';
  return new Problem('unauthorized', detail, { headers: { 'WWW-Authenticate': `Bearer realm="gopherpay"${error}` } });
}

export function insufficientScope(scope: Scope): Problem {
  return new Problem('insufficient_scope', `The key lacks the scope ${scope}. The operator creates keys.`, {
    headers: { 'WWW-Authenticate': `Bearer realm="gopherpay", error="insufficient_scope", scope="${scope}"` },
  });
}

export function notAllowed(detail: string): Problem {
  return new Problem('not_allowed', detail);
}

export function dailyLimitReached(max: bigint): Problem {
  return new Problem('daily_limit_reached', `The key may order at most ${max} minor units in one day (UTC).`);
}

export function requireScope({ scopes }: Principal, scope: Scope): void {
  if (!scopes.has(scope)) throw insufficientScope(scope);
}

/** Whether the caller may see and use an account. */
export function mayUseAccount({ limits: { accountPrefix } }: Principal, accountNumber: string): boolean {
  return accountPrefix === null || accountNumber.startsWith(accountPrefix);
}

/** Whether the caller may see a transfer or a hold: one of its accounts is its own. */
export function maySeeTransfer(
  principal: Principal,
  { fromAccount, toAccount }: Pick<NewTransfer, 'fromAccount' | 'toAccount'>,
): boolean {
  return mayUseAccount(principal, fromAccount) || mayUseAccount(principal, toAccount);
}

/** Refuses an account that the caller may not use. */
export function refuseForeignAccount(principal: Principal, accountNumber: string): void {
  if (!mayUseAccount(principal, accountNumber)) throw foreignAccount(principal);
}

export function foreignAccount({ limits: { accountPrefix } }: Principal): Problem {
  return notAllowed(`The key is limited to accounts that begin with ${accountPrefix}.`);
}

/** Refuses a list or a stream of the whole ledger to a caller that may see some accounts only. */
export function refuseWholeLedger({ limits: { accountPrefix } }: Principal): void {
  if (accountPrefix === null) return;
  throw notAllowed(`The key is limited to accounts that begin with ${accountPrefix}; this shows those of others.`);
}

/** Where a request has a member of its transfer with this index; null: nowhere, because it comes from elsewhere. */
export type Locate = (index: number, member: 'from_account' | 'to_account' | 'amount') => readonly PropertyKey[] | null;

/**
 * Refuses transfers that the caller may not order. `amountAtMost` bounds the amount of one that names none: what remains
 * of its hold or of the transfer that it reverses.
 */
export function refuseTransfers(
  principal: Principal,
  transfers: readonly Ordered[],
  { amountAtMost, locate }: { amountAtMost: bigint | null; locate: Locate },
): void {
  const { accountPrefix, amountMax } = principal.limits;
  if (accountPrefix === null && amountMax === null && principal.scopes.has('funding:write')) return;
  refuseFlaws(
    transfers.flatMap((transfer, index) =>
      flawsOfTransfer(principal, transfer, amountAtMost).map(({ problem, member }) => {
        const path = locate(index, member);
        return { problem, error: path && toValidationError(path, 'is not allowed for this key') };
      }),
    ),
  );
}

function flawsOfTransfer(
  principal: Principal,
  transfer: Ordered,
  amountAtMost: bigint | null,
): { problem: Problem; member: Parameters<Locate>[1] }[] {
  const { amountMax } = principal.limits;
  const flaws: ReturnType<typeof flawsOfTransfer> = [];
  if (isFunding(transfer) && !principal.scopes.has('funding:write')) {
    const member = transfer.fromAccount === EXTERNAL ? 'from_account' : 'to_account';
    flaws.push({ problem: insufficientScope('funding:write'), member });
  }
  const parties = [
    { account: transfer.fromAccount, member: 'from_account' },
    // Of a transfer to another ledger, the account there.
    { account: transfer.remoteAccount ?? transfer.toAccount, member: 'to_account' },
  ] as const;
  for (const { account, member } of parties) {
    if (account === EXTERNAL || mayUseAccount(principal, account)) continue;
    flaws.push({ problem: foreignAccount(principal), member });
  }
  const amount = transfer.amount ?? amountAtMost;
  if (amountMax !== null && transfer.kind !== 'void' && (amount === null || amount > amountMax)) {
    const problem = notAllowed(`The key may order at most ${amountMax} minor units in one transfer.`);
    flaws.push({ problem, member: 'amount' });
  }
  return flaws;
}

/** Whether a transfer moves money to another ledger. */
export function leavesLedger({ toAccount }: Pick<Ordered, 'toAccount'>): boolean {
  return isContra(toAccount);
}

/** Whether a transfer moves money from or to @external. A void only releases it. */
export function isFunding({ kind, fromAccount, toAccount }: Omit<Ordered, 'amount'>): boolean {
  return kind !== 'void' && (fromAccount === EXTERNAL || toAccount === EXTERNAL);
}
