// The accounts that a job opens: those of its requests, and those that the service owns and that are new.
import { encryptPersonalData } from '../db/queries/personal-data.ts';
import { type Account, type NewAccount, newExternal } from '../domain/account.ts';
import { isContra, newContra } from '../domain/between-ledgers.ts';
import type { LockedJob } from '../db/ledger/locked-job.ts';
import type { Ledger } from '../domain/ledger.ts';
import type { Job, LockedTransfer } from '../domain/job.ts';
import { fromOpeningColumns, type UnitOpening } from '../domain/opening.ts';
import { BY_SERVICE } from '../domain/transfer.ts';

/** An opening of a request. */
export type EncryptedOpening = UnitOpening & {
  /** Its personal data, encrypted with its key, in hexadecimal digits; empty if it has none. */
  readonly encrypted: string;
};
export type Opening = Omit<EncryptedOpening, 'unit'>;

export function encryptOpenings({ ledger, openings }: Job): EncryptedOpening[] {
  return fromOpeningColumns(openings).map(({ unit, account, by }) => ({
    unit,
    account,
    by,
    encrypted: encrypt(ledger, account),
  }));
}

function encrypt({ id: ledgerId }: Ledger, { accountNumber, currency, personalData, key }: NewAccount): string {
  if (personalData === null || key === null) return '';
  const owner = { ledgerId, accountNumber, currency };
  return encryptPersonalData(owner, personalData, Buffer.from(key, 'hex')).toString('hex');
}

/**
 * The accounts that the kept units open, with @external in each currency that is new, and those of other ledgers in the
 * currencies of the accounts that send to them or receive from them.
 */
export function openingsOf(
  job: Job,
  parts: {
    readonly locked: LockedJob;
    readonly transfers: readonly LockedTransfer[];
    readonly isKept: (unit: number) => boolean;
    readonly encrypted: readonly EncryptedOpening[];
  },
): Opening[] {
  const { locked, transfers, isKept, encrypted } = parts;
  if (encrypted.length === 0 && job.transfers.remoteAccount === null) return [];
  const { accounts } = locked.books;
  const openings = encrypted.filter(({ unit }) => isKept(unit));
  const opened = openings.map(({ account }) => account);
  const existing = new Set(accounts.map(keyOf));
  const wanted = new Map<string, NewAccount>();
  const want = (account: NewAccount): void => {
    if (!existing.has(keyOf(account))) wanted.set(keyOf(account), account);
  };
  for (const { currency } of opened) want(newExternal(currency));
  if (job.transfers.remoteAccount !== null && job.mode !== 'quarantine') {
    const currencies = new Map([...accounts, ...opened].map((each) => [each.accountNumber, each.currency]));
    for (const { fromAccount, toAccount, remoteAccount } of transfers) {
      if (remoteAccount === null) continue;
      const [contra, other] = isContra(toAccount) ? [toAccount, fromAccount] : [fromAccount, toAccount];
      const currency = currencies.get(other);
      if (currency !== undefined) want(newContra(contra, currency));
    }
  }
  const owned = [...wanted.values()].map((account) => ({ account, by: BY_SERVICE, encrypted: '' }));
  // In order of the key: of the locks, and of the records of the digest.
  return [...openings, ...owned].sort((a, b) => (keyOf(a.account) < keyOf(b.account) ? -1 : 1));
}

/** Unique in a ledger, and in the order of the primary key. */
export function keyOf({ accountNumber, currency }: Pick<Account, 'accountNumber' | 'currency'>): string {
  return `${accountNumber}\u001f${currency}`;
}
