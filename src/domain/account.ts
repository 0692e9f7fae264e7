// An account, and the part of it that settlement needs.

/** The account, one per currency, through which money enters and leaves. It alone may go below its limit. */
export const EXTERNAL = '@external';

/** The number of an account, as requests name it. */
export const ACCOUNT_FORM = /^(?:[A-Za-z0-9._-]{1,34}|@external)$/;

/**
 * The number of a new account. Clients remove `.` and `..` from a path (RFC 3986, section 5.2.4), so no URL could name
 * those.
 */
export const NEW_ACCOUNT_FORM = /^(?:[A-Za-z0-9._-]{3,34}|[A-Za-z0-9_-][A-Za-z0-9._-]?|\.[A-Za-z0-9_-])$/;

/**
 * open: sends and receives. receive_only: receives. frozen: neither, but its holds can end. closed: neither,
 * permanently.
 */
export const ACCOUNT_STATUSES = ['open', 'receive_only', 'frozen', 'closed'] as const;

export type AccountStatus = (typeof ACCOUNT_STATUSES)[number];

/** An account as settlement sees it, under lock. Money in minor units. */
export type Account = {
  readonly accountNumber: string;
  readonly currency: string;
  readonly status: AccountStatus;
  readonly balance: bigint;
  readonly held: bigint;
  readonly overdraftLimit: bigint;
  /** The number of its entries; the next one gets this number plus one. */
  readonly entryCount: bigint;
};

/** What the account may still send, in minor units. Not meaningful for @external, which may send without limit. */
export function availableOf(account: Pick<Account, 'balance' | 'held' | 'overdraftLimit'>): bigint {
  return account.balance - account.held + account.overdraftLimit;
}

/** What an account says about a person. It can be erased. */
export type PersonalData = {
  readonly name: string;
  readonly email: string | null;
  readonly phone: string | null;
  /** YYYY-MM-DD. */
  readonly dateOfBirth: string | null;
};

/** An account to be opened. Its overdraft limit is in minor units. */
export type NewAccount = {
  readonly accountNumber: string;
  readonly currency: string;
  /** Null for @external, which has none. */
  readonly personalData: PersonalData | null;
  /** The key with which its personal data is stored, in hexadecimal digits; null if there is none. */
  readonly key: string | null;
  readonly overdraftLimit: bigint;
  readonly metadata: Readonly<Record<string, string>>;
};

/** The name of every @external account. */
export const EXTERNAL_NAME = 'The world outside';

/** @external in a currency, as the first opening of an account in that currency creates it. */
export function newExternal(currency: string): NewAccount {
  return { accountNumber: EXTERNAL, currency, personalData: null, key: null, overdraftLimit: 0n, metadata: {} };
}
