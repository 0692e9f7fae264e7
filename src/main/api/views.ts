// The JSON bodies of answers. Each has a view, from which the OpenAPI document is made. Its renderer returns the input
// of that view, so a misspelled or missing member does not compile. Money is a JSON integer; the database bounds it to
// ±(2^53 − 1).
import type { ApprovalRecord } from '../../db/ledger/approvals.ts';
import { renderKept } from './kept-transfers.ts';
import { z } from 'zod';
import type { PersonalAccount } from '../../db/ledger/accounts.ts';
import type { FeedEvent, SettledTransfer } from '../../db/queries/feed.ts';
import type { HoldRecord } from '../../db/queries/holds.ts';
import type { LedgerRecord } from '../../db/ledger/ledgers.ts';
import type { Transfer } from '../../db/queries/transfers.ts';
import { ACCOUNT_STATUSES, availableOf } from '../../domain/account.ts';
import { isOwnedByService } from '../../domain/between-ledgers.ts';
import { typeOfChange, typeOfTransfer } from '../../domain/event.ts';
import { HOLD_STATES, remainingOf } from '../../domain/hold.ts';
import { CLOCKS } from '../../domain/ledger.ts';
import { MONEY_MAX } from '../../domain/money.ts';
import { FAILURE_CODES } from '../../domain/transfer.ts';
import {
  conversionView,
  eventType,
  instant,
  minorUnits,
  partiesView,
  renderConversion,
  renderParties,
  transferKind,
} from '../../render/json.ts';
import { statementEntryView, statementView } from '../../render/statement.ts';
import { problemCode, problemView, validationErrorView } from '../http/problem.ts';
import { ACCESS_VIEWS } from './access-views.ts';
import { balanceView, entryView } from './entry-views.ts';
import { auditLogView } from './audit-log-view.ts';
import { hash, JOURNAL_VIEWS, journalRecordView } from './journal-views.ts';
import { totalsView, trialBalanceView } from './trial-balance-view.ts';
import { WEBHOOK_VIEWS } from './webhook-views.ts';

const metadata = z.record(z.string(), z.string());
const failureCode = z.enum(FAILURE_CODES);
const cursor = z.string().nullable().describe('Send it as `after` for the next page; null at the end.');

const ledgerView = z.object({
  object: z.literal('ledger'),
  name: z.string(),
  created_at: instant,
  clock: z.enum(CLOCKS).describe('manual: the ledger has a test clock, which a caller advances.'),
  now: instant.nullable().describe('The time of the test clock; null for the real clock.'),
});

export function renderLedger(ledger: LedgerRecord): z.input<typeof ledgerView> {
  const { name, createdAt, clock } = ledger;
  return { object: 'ledger', name, created_at: createdAt, clock: clock === null ? 'real' : 'manual', now: clock };
}

const accountView = z.object({
  object: z.literal('account'),
  account_number: z.string(),
  name: z.string().nullable().describe('Null: the personal data was erased.'),
  email: z.string().nullable(),
  phone: z.string().nullable(),
  date_of_birth: z.string().nullable(),
  personal_data_erased: z.literal(true).optional().describe('Only if it was erased.'),
  currency: z.string(),
  status: z.enum(ACCOUNT_STATUSES),
  balance: minorUnits,
  held: minorUnits,
  overdraft_limit: minorUnits,
  available: minorUnits
    .nullable()
    .describe('balance − held + overdraft_limit, at most 9007199254740991; null for @external and @ledger:NAME.'),
  entry_count: z.int(),
  metadata,
  created_at: instant,
  opening_transfer_id: z.uuid().nullable().optional().describe('Only in the answer to POST /accounts.'),
});

export function renderAccount(account: PersonalAccount): z.input<typeof accountView> {
  // One transfer sends at most MONEY_MAX, and a larger number would not be exact in JSON.
  const available = availableOf(account) > MONEY_MAX ? MONEY_MAX : availableOf(account);
  const { personalData } = account;
  return {
    object: 'account',
    account_number: account.accountNumber,
    name: personalData?.name ?? null,
    email: personalData?.email ?? null,
    phone: personalData?.phone ?? null,
    date_of_birth: personalData?.dateOfBirth ?? null,
    ...(personalData === null && { personal_data_erased: true }),
    currency: account.currency,
    status: account.status,
    balance: Number(account.balance),
    held: Number(account.held),
    overdraft_limit: Number(account.overdraftLimit),
    // @external and other ledgers may send without limit.
    available: isOwnedByService(account.accountNumber) ? null : Number(available),
    entry_count: Number(account.entryCount),
    metadata: account.metadata,
    created_at: account.createdAt,
  };
}

const transferView = z.object({
  object: z.literal('transfer'),
  id: z.uuid(),
  kind: transferKind,
  status: z.enum(['pending', 'completed', 'failed']),
  failure_code: failureCode.nullable(),
  ...partiesView,
  amount: minorUnits.nullable().describe('Null while the remaining amount of the parent is not known.'),
  currency: z.string().nullable(),
  parent_id: z.uuid().nullable().describe('The hold that it captures or ends, or the transfer that it reverses.'),
  group_id: z.uuid().nullable(),
  conversion: conversionView.nullable().describe('Both transfers of a conversion have its rate; others have null.'),
  description: z.string().nullable(),
  metadata: metadata.nullable(),
  request_id: z.string(),
  ordered_by: z.string().nullable().describe('The id of the key that ordered it; null if the service has no keys.'),
  approved_by: z.string().nullable().describe('The id of the key that approved it; null if it needed no approval.'),
  created_at: instant,
  completed_at: instant.nullable(),
  journal_number: z.int().nullable(),
  dry_run: z.literal(true).optional(),
});

export function renderTransfer(transfer: Transfer): z.input<typeof transferView> {
  return {
    object: 'transfer',
    id: transfer.id,
    kind: transfer.kind,
    status: transfer.status,
    failure_code: transfer.failureCode,
    ...renderParties(transfer),
    amount: transfer.amount === null ? null : Number(transfer.amount),
    currency: transfer.currency,
    parent_id: transfer.parentId,
    group_id: transfer.groupId,
    conversion: transfer.rate === null ? null : renderConversion(transfer.rate),
    description: transfer.description,
    metadata: transfer.metadata,
    request_id: transfer.requestId,
    ordered_by: transfer.by.orderedBy,
    approved_by: transfer.by.approvedBy,
    created_at: transfer.createdAt,
    completed_at: transfer.completedAt,
    journal_number: transfer.journalNumber === null ? null : Number(transfer.journalNumber),
  };
}

const groupView = z.object({
  object: z.literal('group'),
  group_id: z.uuid(),
  atomic: z.boolean(),
  transfers: z.array(transferView),
  dry_run: z.literal(true).optional(),
});

/** The transfers of one request, in their order. */
export function renderGroup(id: string, atomic: boolean, transfers: readonly Transfer[]): z.input<typeof groupView> {
  return { object: 'group', group_id: id, atomic, transfers: transfers.map(renderTransfer) };
}

const approvalView = z.object({
  object: z.literal('approval'),
  approval_id: z.uuid(),
  kind: z.enum(['transfers', 'account']),
  state: z.enum(['pending', 'approved', 'rejected', 'expired']),
  requested_by: z.string().describe('The id of the key that sent the request.'),
  decided_by: z.string().nullable().describe('The id of the key that approved or rejected it.'),
  created_at: instant,
  expires_at: instant,
  decided_at: instant.nullable(),
  request: z.looseObject({}).describe('What was requested.'),
  transfers: z.array(transferView).nullable().describe('The transfers, once they were approved and submitted.'),
});

/** A request that needs an approval. `transfers`: those that were submitted after it. */
export function renderApproval(
  record: ApprovalRecord,
  transfers: readonly Transfer[] | null,
): z.input<typeof approvalView> {
  return {
    object: 'approval',
    approval_id: record.id,
    kind: record.kind,
    state: record.state,
    requested_by: record.requestedBy,
    decided_by: record.decidedBy,
    created_at: record.createdAt,
    expires_at: record.expiresAt,
    decided_at: record.decidedAt,
    request: renderKept(record),
    transfers: transfers && transfers.map(renderTransfer),
  };
}

const holdView = z.object({
  object: z.literal('hold'),
  id: z.uuid().describe('The id of the transfer of kind hold that made it.'),
  state: z.enum(['pending', 'failed', ...HOLD_STATES]),
  failure_code: failureCode.nullable(),
  from_account: z.string(),
  to_account: z.string(),
  currency: z.string().nullable(),
  amount: minorUnits,
  captured: minorUnits,
  released: minorUnits,
  remaining: minorUnits,
  created_at: instant,
  expires_at: instant.nullable(),
});

export function renderHold(hold: HoldRecord): z.input<typeof holdView> {
  return {
    object: 'hold',
    id: hold.id,
    state: hold.state,
    failure_code: hold.failureCode,
    from_account: hold.fromAccount,
    to_account: hold.toAccount,
    currency: hold.currency,
    amount: Number(hold.amount),
    captured: Number(hold.captured),
    released: Number(hold.released),
    // A hold that is not open yet, or was refused, reserves nothing.
    remaining: hold.state === 'pending' || hold.state === 'failed' ? 0 : Number(remainingOf(hold)),
    created_at: hold.createdAt,
    expires_at: hold.expiresAt,
  };
}

const settledTransferView = transferView.extend({
  type: eventType,
  from_entry_number: z.int().nullable().describe("The source's entry; null where no money moved."),
  to_entry_number: z.int().nullable().describe("The destination's entry."),
});

const accountChangeView = z.object({
  type: eventType,
  account_number: z.string(),
  currency: z.string(),
  change_number: z.int(),
});

const eventView = z.object({
  object: z.literal('event'),
  ledger: z.string().describe('The name of the ledger.'),
  journal_number: z.int().describe('1, 2, 3 … without gaps, in commit order.'),
  settled_at: instant,
  hash: hash.describe(
    'SHA-256, in lower-case hexadecimal, over the bytes of `previous_hash`, the text ' +
      '`ledger|journal_number|settled_at|transfer_count|change_count`, with `settled_at` in microseconds since 1970, ' +
      'and the bytes of `digest`.',
  ),
  previous_hash: hash.describe('The `hash` of the event before; 64 zeros for the first.'),
  digest: hash.describe('SHA-256 over the records that the row covers. They have fields that events do not have.'),
  transfer_count: z.int().describe('How many transfers the row covers, with those that a filter leaves out.'),
  change_count: z
    .int()
    .describe(
      'How many account changes the row covers, with those that a filter leaves out. The row of an administrative act ' +
        'has 1 here, and neither transfers nor account changes.',
    ),
  transfers: z.array(settledTransferView).describe('The transfers that one job settled, completed and failed.'),
  account_changes: z
    .array(accountChangeView)
    .describe('The accounts that were opened or changed; read them for their current state.'),
});

/** One row of the journal, with the rows that it covers. */
export function renderEvent(event: FeedEvent): z.input<typeof eventView> {
  return {
    object: 'event',
    ledger: event.ledger,
    journal_number: Number(event.journalNumber),
    settled_at: event.settledAt,
    hash: event.hash,
    previous_hash: event.previousHash,
    digest: event.digest,
    transfer_count: event.transferCount,
    change_count: event.changeCount,
    transfers: event.transfers.map(renderSettledTransfer),
    account_changes: event.accountChanges.map((change) => ({
      type: typeOfChange(change),
      account_number: change.accountNumber,
      currency: change.currency,
      change_number: Number(change.changeNumber),
    })),
  };
}

function renderSettledTransfer(transfer: SettledTransfer): z.input<typeof settledTransferView> {
  const { fromEntryNumber, toEntryNumber } = transfer;
  return {
    ...renderTransfer(transfer),
    type: typeOfTransfer(transfer),
    from_entry_number: fromEntryNumber === null ? null : Number(fromEntryNumber),
    to_entry_number: toEntryNumber === null ? null : Number(toEntryNumber),
  };
}

/** A page of a list. */
function pageOf<Item extends z.ZodType>(items: Item) {
  return z.object({ object: z.literal('list'), items: z.array(items), next: cursor });
}

const accountsView = z.object({ object: z.literal('accounts'), accounts: z.array(accountView) });

/** The view of each answer, by the name that routes and the OpenAPI document give it. */
export const ANSWER_VIEWS = {
  Ledger: ledgerView,
  LedgerPage: pageOf(ledgerView),
  Account: accountView,
  Accounts: accountsView,
  AccountPage: pageOf(accountView),
  AccountOrAccounts: z.discriminatedUnion('object', [accountView, accountsView]),
  Transfer: transferView,
  Group: groupView,
  TransferOrGroup: z.discriminatedUnion('object', [transferView, groupView]),
  TransferPage: pageOf(transferView),
  Approval: approvalView,
  ApprovalPage: pageOf(approvalView),
  TransferOrApproval: z.discriminatedUnion('object', [transferView, approvalView]),
  TransferOrGroupOrApproval: z.discriminatedUnion('object', [transferView, groupView, approvalView]),
  AuditLogEntry: auditLogView,
  AuditLogPage: pageOf(auditLogView),
  Hold: holdView,
  HoldPage: pageOf(holdView),
  Entry: entryView,
  EntryPage: pageOf(entryView),
  Balance: balanceView,
  TrialBalance: trialBalanceView,
  Statement: statementView,
  Event: eventView,
  EventPage: pageOf(eventView).extend({ next: z.int().describe('Send it as `after` for the next page.') }),
  ...JOURNAL_VIEWS,
  ...WEBHOOK_VIEWS,
  ...ACCESS_VIEWS,
  Health: z.object({ status: z.string() }),
  Metrics: z.string(),
  OpenApi: z.looseObject({}),
  Problem: problemView,
};

/** The views of members of answers that have names in the OpenAPI document. */
export const MEMBER_VIEWS = {
  AccountChange: accountChangeView,
  Conversion: conversionView,
  CurrencyTotals: totalsView,
  EventType: eventType,
  FailureCode: failureCode,
  JournalRecord: journalRecordView,
  Metadata: metadata,
  ProblemCode: problemCode,
  SettledTransfer: settledTransferView,
  StatementEntry: statementEntryView,
  TransferKind: transferKind,
  ValidationError: validationErrorView,
};

export type AnswerName = keyof typeof ANSWER_VIEWS;

/** The body of an answer that is JSON, as its renderer returns it. */
export type AnswerJson = z.input<(typeof ANSWER_VIEWS)[Exclude<AnswerName, 'Metrics' | 'OpenApi' | 'Problem'>]>;
