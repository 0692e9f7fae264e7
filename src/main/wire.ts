// How things look to a caller: the JSON bodies of answers. Money is a JSON integer; the database bounds it to ±(2^53 − 1).
import { availableOf, EXTERNAL } from '../domain/account.ts';
import { MONEY_MAX } from '../domain/money.ts';
import type { AccountRecord, Entry } from '../db/accounts.ts';
import type { Transfer } from '../db/transfers.ts';

export function renderAccount(account: AccountRecord): Record<string, unknown> {
  // What one transfer may send at most: more than the largest amount is never of use, nor exact in JSON.
  const available = availableOf(account) > MONEY_MAX ? MONEY_MAX : availableOf(account);
  return {
    account_number: account.accountNumber,
    name: account.name,
    email: account.email,
    phone: account.phone,
    date_of_birth: account.dateOfBirth,
    currency: account.currency,
    status: account.status,
    balance: Number(account.balance),
    held: Number(account.held),
    overdraft_limit: Number(account.overdraftLimit),
    // What comes from outside has no end.
    available: account.accountNumber === EXTERNAL ? null : Number(available),
    entry_count: Number(account.entryCount),
    metadata: account.metadata,
    created_at: account.createdAt,
  };
}

export function renderEntry(entry: Entry): Record<string, unknown> {
  return {
    entry_number: Number(entry.entryNumber),
    transfer_id: entry.transferId,
    amount: Number(entry.amount),
    balance: Number(entry.balance),
    journal_number: Number(entry.journalNumber),
    settled_at: entry.settledAt,
  };
}

export function renderTransfer(transfer: Transfer): Record<string, unknown> {
  return {
    id: transfer.id,
    status: transfer.status,
    failure_code: transfer.failureCode,
    from_account: transfer.fromAccount,
    to_account: transfer.toAccount,
    amount: Number(transfer.amount),
    currency: transfer.currency,
    description: transfer.description,
    metadata: transfer.metadata,
    request_id: transfer.requestId,
    created_at: transfer.createdAt,
    completed_at: transfer.completedAt,
    journal_number: transfer.journalNumber === null ? null : Number(transfer.journalNumber),
  };
}

/** A page of a list: the items, and the cursor of the next page, or null at the end. */
export function renderPage(items: readonly Record<string, unknown>[], next: string | null): Record<string, unknown> {
  return { items, next };
}
