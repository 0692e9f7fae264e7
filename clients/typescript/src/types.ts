// Names for parts of the generated schema.
import type { components, paths } from './schema.ts';

type Schemas = components['schemas'];
type Query<Path extends keyof paths> = paths[Path] extends { get: { parameters: { query?: infer Parameters } } }
  ? NonNullable<Parameters>
  : never;

export type Account = Schemas['Account'];
export type Approval = Schemas['Approval'];
export type AuditLogEntry = Schemas['AuditLogEntry'];
export type Balance = Schemas['Balance'];
export type Delivery = Schemas['Delivery'];
export type Entry = Schemas['Entry'];
/** One row of the journal: what one job settled, and which accounts it changed. */
export type JournalEvent = Schemas['Event'];
export type Group = Schemas['Group'];
export type Hold = Schemas['Hold'];
/** One row of the journal, with the records over which its digest is made. */
export type JournalDetail = Schemas['JournalDetail'];
export type JournalRow = Schemas['JournalRow'];
export type Ledger = Schemas['Ledger'];
export type Statement = Schemas['Statement'];
export type Transfer = Schemas['Transfer'];
export type TrialBalance = Schemas['TrialBalance'];
export type Webhook = Schemas['Webhook'];

export type AccountUpdate = Schemas['AccountUpdate'];
export type NewAccount = Schemas['NewAccount'];
export type NewCapture = Schemas['NewCapture'];
export type NewGroupMember = Schemas['NewGroupMember'];
export type NewHold = Schemas['NewHold'];
export type NewLedger = Schemas['NewLedger'];
export type NewReversal = Schemas['NewReversal'];
export type NewTransfer = Schemas['NewTransfer'];
export type NewVoid = Schemas['NewVoid'];
export type NewWebhook = Schemas['NewWebhook'];
export type SecretRotation = Schemas['SecretRotation'];
export type WebhookUpdate = Schemas['WebhookUpdate'];

export type AccountsQuery = Query<'/accounts'>;
export type ApprovalsQuery = Query<'/approvals'>;
export type AuditLogQuery = Query<'/audit-log'>;
export type BalanceQuery = Query<'/accounts/{account_number}/balance'>;
export type DeliveriesQuery = Query<'/webhooks/{id}/deliveries'>;
export type EntriesQuery = Query<'/accounts/{account_number}/entries'>;
export type EventsQuery = Query<'/events'>;
export type HoldsQuery = Query<'/holds'>;
export type JournalQuery = Query<'/journal'>;
export type JournalRowQuery = Query<'/journal/{number}'>;
export type LedgersQuery = Query<'/ledgers'>;
export type StatementQuery = Query<'/accounts/{account_number}/statements/{month}'>;
export type TransfersQuery = Query<'/transfers'>;
export type TrialBalanceQuery = Query<'/balances'>;
export type WebhooksQuery = Query<'/webhooks'>;
