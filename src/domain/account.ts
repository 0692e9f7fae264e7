// What an account is, and what of it settlement needs.

/** The account, one per currency, through which money enters and leaves. It alone may go below its limit. */
export const EXTERNAL = '@external';

/** The form of an account number that a caller may choose: 1 to 34 characters. */
export const ACCOUNT_NUMBER_FORM = /^[A-Za-z0-9._-]{1,34}$/;

export type AccountStatus = 'open' | 'closed';

/** An account as settlement sees it, under lock. Money in minor units. */
export type Account = {
  readonly accountNumber: string;
  readonly currency: string;
  readonly status: AccountStatus;
  readonly balance: bigint;
  readonly held: bigint;
  readonly overdraftLimit: bigint;
  /** How many entries it has; the next one gets this number plus one. */
  readonly entryCount: bigint;
};

/** What the account may still send, in minor units. Without meaning for @external, which may send anything. */
export function availableOf(account: Account): bigint {
  return account.balance - account.held + account.overdraftLimit;
}
