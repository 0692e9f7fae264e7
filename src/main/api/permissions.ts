// What a caller may do beyond the scope of the route: rules that depend on the content of a request.
import { NO_LIMITS, type Principal, type Scope, SCOPES } from '../../domain/access.ts';
import { EXTERNAL } from '../../domain/account.ts';
import type { NewTransfer } from '../../domain/transfer.ts';
import { Problem } from '../http/problem.ts';

/** The caller of a service that has no keys. It listens on loopback only. */
export const ANYBODY: Principal = { id: null, ledger: null, scopes: new Set(SCOPES), limits: NO_LIMITS };

/** What the rules look at in a transfer. Without a kind, it is a plain one. */
export type Ordered = Pick<NewTransfer, 'fromAccount' | 'toAccount' | 'amount'> & Partial<Pick<NewTransfer, 'kind'>>;

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
  if (mayUseAccount(principal, accountNumber)) return;
  throw notAllowed(`The key is limited to accounts that begin with ${principal.limits.accountPrefix}.`);
}

/** Refuses a list or a stream of the whole ledger to a caller that may see some accounts only. */
export function refuseWholeLedger({ limits: { accountPrefix } }: Principal): void {
  if (accountPrefix === null) return;
  throw notAllowed(`The key is limited to accounts that begin with ${accountPrefix}; this shows those of others.`);
}

/**
 * Refuses transfers that the caller may not order. `amountAtMost` bounds the amount of one that names none: what remains
 * of its hold or of the transfer that it reverses.
 */
export function refuseTransfers(
  principal: Principal,
  transfers: readonly Ordered[],
  amountAtMost: bigint | null,
): void {
  const { amountMax, accountPrefix } = principal.limits;
  for (const transfer of transfers) {
    if (isFunding(transfer)) requireScope(principal, 'funding:write');
    if (accountPrefix !== null) {
      for (const account of [transfer.fromAccount, transfer.toAccount]) {
        if (account !== EXTERNAL) refuseForeignAccount(principal, account);
      }
    }
    if (amountMax === null || transfer.kind === 'void') continue;
    const amount = transfer.amount ?? amountAtMost;
    if (amount === null || amount > amountMax) {
      throw notAllowed(`The key may order at most ${amountMax} minor units in one transfer.`);
    }
  }
}

/** Whether a transfer moves money into or out of the ledger. A void only releases it. */
export function isFunding({ kind, fromAccount, toAccount }: Omit<Ordered, 'amount'>): boolean {
  return kind !== 'void' && (fromAccount === EXTERNAL || toAccount === EXTERNAL);
}
