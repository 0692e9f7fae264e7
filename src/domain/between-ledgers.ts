// Transfers between ledgers. Each step is a job of one ledger, and has an id that follows from that of the transfer.
//
//   ledger A: hold from X to @ledger:B   id T     what the caller orders; open until the transfer has ended
//   ledger B: credit from @ledger:A to Y id T     refused by the rules of B, or completed
//   ledger A: capture or void            stepText moves the money to @ledger:B, or releases it
//
// So a step takes effect at most once, because an id is settled at most once in a ledger.
import { EXTERNAL, type NewAccount } from './account.ts';
import { MONEY_MAX } from './money.ts';

/** The account that stands for another ledger has the name of that ledger after this text. */
export const LEDGER_PREFIX = '@ledger:';

/**
 * How far a hold may bring the balance of such an account from zero: half of what a balance may be. The other half is for
 * the captures of holds that are open, which must not be refused once the credit exists.
 */
const CONTRA_MAX = (MONEY_MAX + 1n) / 2n;

/** The end of a transfer between ledgers, in its own ledger. */
export type EndingStep = 'capture' | 'void';

/** The account that stands for a ledger in the others. */
export function contraOf(ledgerName: string): string {
  return LEDGER_PREFIX + ledgerName;
}

export function isContra(accountNumber: string): boolean {
  return accountNumber.startsWith(LEDGER_PREFIX);
}

/** The name of the ledger for which an account stands; null if it is an ordinary one, or @external. */
export function ledgerOf(accountNumber: string): string | null {
  return isContra(accountNumber) ? accountNumber.slice(LEDGER_PREFIX.length) : null;
}

/** The number of an account that stands for a ledger. Requests may read it, and nothing else. */
export const CONTRA_FORM = /^@ledger:[a-z0-9][a-z0-9_-]{0,62}$/;

/** Whether an account exists once per currency, and without an overdraft limit: @external, or another ledger. */
export function isOwnedByService(accountNumber: string): boolean {
  return accountNumber === EXTERNAL || isContra(accountNumber);
}

/** The account of another ledger in a currency, as the first job that needs it opens it. */
export function newContra(accountNumber: string, currency: string): NewAccount {
  return { accountNumber, currency, personalData: null, key: null, overdraftLimit: 0n, metadata: {} };
}

/** Whether a hold leaves room for the captures of others. */
export function hasHeadroom(balance: bigint, amount: bigint): boolean {
  const after = balance + amount;
  return after <= CONTRA_MAX && after >= -CONTRA_MAX;
}

/** The text whose SHA-256 is the id of a step. */
export function stepText(transferId: string, step: EndingStep): string {
  return `${transferId}:${step}`;
}

/** The id of a step: a UUID of version 8 (RFC 9562) of the first 16 bytes of a SHA-256. */
export function toStepId(digest: Uint8Array): string {
  const bytes = [...digest.subarray(0, 16)];
  const hex = bytes.map((byte, index) => {
    const marked = index === 6 ? (byte & 0x0f) | 0x80 : index === 8 ? (byte & 0x3f) | 0x80 : byte;
    return marked.toString(16).padStart(2, '0');
  });
  return hex.join('').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

type Sides = {
  readonly fromAccount: string;
  readonly toAccount: string;
  readonly remoteAccount: string | null;
};

/** The two sides of a transfer as its caller knows them: the account in the other ledger, and that ledger's name. */
export function sidesOf({ fromAccount, toAccount, remoteAccount }: Sides): {
  readonly from: string;
  readonly to: string;
  readonly fromLedger: string | null;
  readonly toLedger: string | null;
} {
  const [fromLedger, toLedger] = [ledgerOf(fromAccount), ledgerOf(toAccount)];
  return {
    from: fromLedger === null ? fromAccount : (remoteAccount ?? fromAccount),
    to: toLedger === null ? toAccount : (remoteAccount ?? toAccount),
    fromLedger,
    toLedger,
  };
}
