// How things look to a caller: the JSON bodies of answers. Money is a JSON integer; the database bounds it to ±(2^53 − 1).
import { availableOf, EXTERNAL } from '../domain/account.ts';
import { MONEY_MAX } from '../domain/money.ts';
import type { AccountRecord, Entry } from '../db/accounts.ts';
import type { HoldRecord } from '../db/holds.ts';
import { remainingOf } from '../domain/hold.ts';
import type { CurrencyTotals, TrialBalance } from '../db/balances.ts';
import type { FeedEvent, SettledTransfer } from '../db/feed.ts';
import type { LedgerRecord } from '../db/ledgers.ts';
import type { Transfer } from '../db/transfers.ts';
import { exactInteger } from '../json.ts';
import type { Answer } from './route.ts';

export function renderLedger(ledger: LedgerRecord): Record<string, unknown> {
  return { name: ledger.name, created_at: ledger.createdAt };
}

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
    kind: transfer.kind,
    status: transfer.status,
    failure_code: transfer.failureCode,
    from_account: transfer.fromAccount,
    to_account: transfer.toAccount,
    amount: transfer.amount === null ? null : Number(transfer.amount),
    currency: transfer.currency,
    parent_id: transfer.parentId,
    group_id: transfer.groupId,
    description: transfer.description,
    metadata: transfer.metadata,
    request_id: transfer.requestId,
    created_at: transfer.createdAt,
    completed_at: transfer.completedAt,
    journal_number: transfer.journalNumber === null ? null : Number(transfer.journalNumber),
  };
}

/** Several transfers that were ordered at once, in their order. */
export function renderGroup(id: string, atomic: boolean, transfers: readonly Transfer[]): Record<string, unknown> {
  return { group_id: id, atomic, transfers: transfers.map(renderTransfer) };
}

export function renderHold(hold: HoldRecord): Record<string, unknown> {
  return {
    id: hold.id,
    state: hold.state,
    failure_code: hold.failureCode,
    from_account: hold.fromAccount,
    to_account: hold.toAccount,
    currency: hold.currency,
    amount: Number(hold.amount),
    captured: Number(hold.captured),
    released: Number(hold.released),
    // A hold that is not open yet, or was refused, holds nothing.
    remaining: hold.state === 'pending' || hold.state === 'failed' ? 0 : Number(remainingOf(hold)),
    created_at: hold.createdAt,
    expires_at: hold.expiresAt,
  };
}

/** One row of the journal, with what it covers. */
export function renderEvent(event: FeedEvent): Record<string, unknown> {
  return {
    journal_number: Number(event.journalNumber),
    settled_at: event.settledAt,
    hash: event.hash,
    previous_hash: event.previousHash,
    transfers: event.transfers.map(renderSettledTransfer),
    account_changes: event.accountChanges.map((change) => ({
      account_number: change.accountNumber,
      currency: change.currency,
      change_number: Number(change.changeNumber),
    })),
  };
}

function renderSettledTransfer(transfer: SettledTransfer): Record<string, unknown> {
  const { fromEntryNumber, toEntryNumber } = transfer;
  return {
    ...renderTransfer(transfer),
    from_entry_number: fromEntryNumber === null ? null : Number(fromEntryNumber),
    to_entry_number: toEntryNumber === null ? null : Number(toEntryNumber),
  };
}

/** The balances of all accounts together; `at` is the instant that was asked for, null for now. */
export function renderTrialBalance(at: string | null, balance: TrialBalance): Record<string, unknown> {
  return {
    at,
    journal_number: Number(balance.journalNumber),
    settled_at: balance.settledAt,
    currencies: balance.currencies.map(renderTotals),
  };
}

function renderTotals(totals: CurrencyTotals): Record<string, unknown> {
  return {
    currency: totals.currency,
    account_count: totals.accountCount,
    positive: exactInteger(totals.positive),
    negative: exactInteger(totals.negative),
    sum: exactInteger(totals.positive + totals.negative),
  };
}

/** Metadata may make one item 8 KB large, and a page has up to 1000 of them. */
const PAGE_BYTES_MAX = 1024 * 1024;

/** Renders the first items as JSON: at most `limit` and PAGE_BYTES_MAX, but at least one item. */
export function renderItems<Item>(
  items: readonly Item[],
  limit: number,
  render: (item: Item) => Record<string, unknown>,
): string[] {
  const texts: string[] = [];
  let bytes = 0;
  for (const item of items.slice(0, limit)) {
    const text = JSON.stringify(render(item));
    bytes += Buffer.byteLength(text) + 1;
    if (bytes > PAGE_BYTES_MAX && texts.length > 0) break;
    texts.push(text);
  }
  return texts;
}

/** A page of a list: the rendered items, and the cursor of the next page, or null at the end. */
export function renderPage(items: readonly string[], next: string | number | null): Pick<Answer, 'text'> {
  const text = `{"items":[${items.join(',')}],"next":${JSON.stringify(next)}}`;
  return { text: { contentType: 'application/json', text } };
}
