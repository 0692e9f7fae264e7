// Every statement of the service with values as it sends them, recorded while the functions of src/db run.
import { type AccountFilter, listAccounts, loadAccounts, loadPersonalAccounts } from '../../src/db/ledger/accounts.ts';
import {
  closeAccount,
  erasePersonalData,
  lockChangeNumber,
  sealAccount,
  updateAccount,
} from '../../src/db/ledger/accounts.ts';
import { recordAdministration, recordRefusals } from '../../src/db/ledger/administration.ts';
import { decideApproval, insertApproval, listApprovals, loadApproval } from '../../src/db/ledger/approvals.ts';
import { releaseUsage, reserveUsage } from '../../src/db/ledger/key-usage.ts';
import { loadAccess } from '../../src/db/queries/access.ts';
import { listAuditLog } from '../../src/db/queries/audit-log.ts';
import { loadTrialBalance } from '../../src/db/queries/balances.ts';
import type { ConnectionPool, Queryable } from '../../src/db/connection/connect.ts';
import { advanceClock } from '../../src/db/ledger/clock.ts';
import { countOpenTransfers, loadCredits, loadNamedTransfers, loadOpenTransfers } from '../../src/db/ledger/courier.ts';
import { hasDueHolds, loadDueHolds } from '../../src/db/ledger/expiries.ts';
import { withEnds } from '../../src/db/queries/ends-between-ledgers.ts';
import { listEntries, loadBalanceAt } from '../../src/db/queries/entries.ts';
import { loadEvents, loadJournalNumber } from '../../src/db/queries/feed.ts';
import { type HoldFilter, listHolds, loadHold } from '../../src/db/queries/holds.ts';
import { listJournal, loadJournalRow, loadRecords } from '../../src/db/queries/journal.ts';
import { closeInstant } from '../../src/db/queries/instants.ts';
import { insertPending, loadKeyHolders } from '../../src/db/ledger/intake.ts';
import * as leases from '../../src/db/ledger/leases.ts';
import * as ledgers from '../../src/db/ledger/ledgers.ts';
import { lockJob } from '../../src/db/ledger/locked-job.ts';
import type { DecidedJob } from '../../src/db/ledger/decided-job.ts';
import { writeJob } from '../../src/db/ledger/settlement.ts';
import { loadStatement, readStatement } from '../../src/db/queries/statements.ts';
import { Transaction } from '../../src/db/connection/transaction.ts';
import * as claims from '../../src/db/ledger/webhook-claims.ts';
import { recordProgress } from '../../src/db/ledger/webhook-progress.ts';
import * as webhooks from '../../src/db/ledger/webhooks.ts';
import {
  listDeliveries,
  listWebhooks,
  loadDelivery,
  loadWebhook,
  loadWebhookState,
} from '../../src/db/queries/webhooks.ts';
import { renderColumns } from '../../src/db/queries/transfer-columns.ts';
import { listTransfers, type TransferFilter } from '../../src/db/queries/transfer-list.ts';
import { loadGroup, loadTransfers, toTransfer, type TransferRow } from '../../src/db/queries/transfers.ts';
import { ALL_EVENTS } from '../../src/domain/event.ts';
import { toColumns } from '../../src/domain/job.ts';
import { MAIN_LEDGER as MAIN } from '../../src/domain/ledger.ts';
import { BY_SERVICE } from '../../src/domain/transfer.ts';
import { newAccount, newJob, newTransfer } from '../support/jobs.ts';
import { accountOf, HOLD, idOf, leaseOf, NAMED, REVERSED, TEST, TRANSFERS } from './filled-ledger.ts';

export type Sent = {
  readonly name: string;
  readonly text: string;
  readonly values: readonly unknown[];
  /** Whether the server keeps its plan. */
  readonly named: boolean;
};

/** Who sends statements, and what of the ledger they may read. */
export type Sender = {
  /** The name of the statements that have none of their own. */
  readonly what: string;
  /** Threads and intake have sessions that look up by key. */
  readonly keyed?: true;
  /** Tables that it reads whole, and why. */
  readonly readsWhole?: Readonly<Record<string, string>>;
  /** The index that one of its statements must use. */
  readonly uses?: string;
  readonly send: (connection: Queryable, pool: ConnectionPool) => Promise<unknown>;
};

const FRESH = '0192f0c4-2222-7000-8000-000000000001';
const OWN = { id: leaseOf(0), session: 1 };
const ACCOUNT = { accountNumber: accountOf(NAMED), currency: 'USD' };
const PAGE = { limit: 100, after: null, newestFirst: true };
const BOUNDS = { countMax: 100, bytesMax: 1_000_000, skippedLedgers: [] };
const QUEUE = { pending_transfers: 'the queue is short, and an index would cost every transfer' };

const newHold = newTransfer({
  id: FRESH,
  kind: 'hold',
  fromAccount: accountOf(1),
  toAccount: accountOf(2),
  expiresIn: 60,
});
const stored = newTransfer({ id: idOf(TRANSFERS + 3), fromAccount: accountOf(1), toAccount: accountOf(2) });
const job = newJob({
  units: [1, 1],
  transfers: toColumns([
    { transfer: { ...newHold, parentId: null }, storedAtMicros: null },
    { transfer: { ...stored, kind: 'capture', parentId: idOf(HOLD) }, storedAtMicros: 1n },
  ]),
  claims: [{ unit: 0, key: 'key-5', fingerprint: Buffer.alloc(32), transferId: FRESH, accountNumber: null }],
  mayBeSettled: true,
});
const account = {
  accountNumber: accountOf(1),
  currency: 'USD',
  status: 'open',
  balance: 1n,
  held: 0n,
  overdraftLimit: 0n,
  entryCount: 9n,
} as const;
const transfers = [newHold, stored];
const decided: DecidedJob = {
  ledger: MAIN,
  jobMicros: 1_800_000_000_000_000n,
  transfers: transfers.map((transfer) => ({ ...transfer, metadataText: null, createdAtMicros: 1n })),
  columns: renderColumns(toColumns(transfers.map((transfer) => ({ transfer, storedAtMicros: null })))),
  storedAtMicros: [null, 1n],
  outcomes: [
    { ok: true, currency: 'USD', amount: 1n, entries: null },
    {
      ok: true,
      currency: 'USD',
      amount: 1n,
      entries: { fromEntryNumber: 9n, fromBalance: 1n, toEntryNumber: 9n, toBalance: 1n },
    },
  ],
  changed: {
    accounts: [account],
    holds: [{ id: idOf(HOLD), state: 'captured', amount: 1n, captured: 1n, released: 0n, due: false }],
    originals: [{ id: idOf(REVERSED), amount: 2n, reversed: 2n }],
  },
  opened: [
    {
      account: newAccount('NEW'),
      by: BY_SERVICE,
      state: { ...account, accountNumber: 'NEW' },
      encrypted: '00',
      seal: '00'.repeat(32),
    },
  ],
  claims: [{ unit: 0, key: 'fresh', fingerprint: Buffer.alloc(32), transferId: FRESH, accountNumber: null }],
  digest: () => Buffer.alloc(32),
  missing: ['NOSUCH'],
  nextExpiry: null,
  dryRun: true,
};

/** A row of a transfer. */
const BEGAN: TransferRow = {
  id: idOf(HOLD),
  kind: 'hold',
  from_account: accountOf(1),
  to_account: '@ledger:shop',
  amount: 1n,
  currency: 'USD',
  parent_id: null,
  group_id: null,
  group_position: null,
  status: 'completed',
  failure_code: null,
  request_id: 'request',
  ordered_by: null,
  approved_by: null,
  rate: null,
  remote_account: 'ANN',
  description: null,
  metadata: null,
  created_at: '',
  completed_at: '',
  journal_number: 1n,
  journal_position: 1,
};

const lists = (what: string, filter: TransferFilter, more: Partial<Sender> = {}): Sender => ({
  what: `list transfers ${what}`,
  send: async (connection) => await listTransfers(connection, MAIN, filter, PAGE),
  ...more,
});

const accounts = (what: string, filter: Partial<AccountFilter>, uses: string, ascending = true): Sender => ({
  what: `list accounts${what}`,
  uses,
  send: async (connection) => {
    const all = { prefix: null, status: null, currency: null, metadata: null, words: [] };
    const after = { accountNumber: accountOf(2000), currency: 'USD' };
    await listAccounts(connection, MAIN, { ...all, ...filter }, { limit: 100, after, ascending });
  },
});

const holds = (what: string, filter: HoldFilter, uses: string, newestFirst = true): Sender => ({
  what: `list holds ${what}`,
  uses,
  readsWhole: QUEUE,
  send: async (connection) =>
    await listHolds(connection, MAIN, filter, { limit: 100, after: idOf(TRANSFERS / 2), newestFirst }),
});

export const SENDERS: readonly Sender[] = [
  {
    what: 'job',
    keyed: true,
    send: async (connection) => {
      const { transaction } = await lockJob(connection, job);
      await transaction.rollback();
    },
  },
  {
    what: 'job',
    keyed: true,
    send: async (connection) => {
      const transaction = await Transaction.begin(connection);
      await writeJob(transaction, decided);
      await transaction.rollback();
    },
  },
  {
    what: 'job that only opens accounts',
    keyed: true,
    send: async (connection) => {
      const transaction = await Transaction.begin(connection);
      const nothing = { accounts: [], holds: [], originals: [] };
      await writeJob(transaction, { ...decided, transfers: [], storedAtMicros: null, outcomes: [], changed: nothing });
      await transaction.rollback();
    },
  },
  {
    what: 'intake',
    keyed: true,
    send: async (connection) => {
      const idempotency = { key: 'fresh', fingerprint: Buffer.alloc(32) };
      const request = { transfers: [newHold], namedId: newHold.id, idempotency };
      await insertPending(connection, { ledger: MAIN, lease: OWN }, [request]);
      await insertPending(connection, { ledger: { ...TEST, hasTestClock: true }, lease: OWN }, [
        { ...request, idempotency: null },
      ]);
      await loadKeyHolders(connection, MAIN, ['key-1', 'key-2']);
    },
  },
  {
    what: 'lease',
    keyed: true,
    send: async (connection) => {
      await leases.openLease(connection, FRESH);
      await leases.enterLedger(connection, MAIN, { id: FRESH, session: 1 });
      await leases.renewLease(connection, FRESH);
      await leases.fenceLease(connection, { id: FRESH, session: 2 });
    },
  },
  { what: 'close lease', keyed: true, send: async (connection) => await leases.closeLease(connection, FRESH) },
  { what: 'heartbeat', send: async (connection) => await leases.writeHeartbeat(connection, OWN.id) },
  {
    what: 'observe leases',
    readsWhole: { ...QUEUE, heartbeats: 'one row for each process', leases: 'joined to those with a heartbeat' },
    send: async (connection) => await leases.observeLeases(connection, OWN.id, 5000),
  },
  {
    what: 'adopt page',
    readsWhole: { ...QUEUE, ledger_leases: 'those of the lease' },
    send: async (_, pool) => {
      const orphan = { id: leaseOf(1), beat: 1n, ended: false, late: true };
      await leases.adoptPage(pool, OWN, orphan, BOUNDS);
      await leases.adoptPage(pool, OWN, { ...orphan, id: FRESH }, BOUNDS);
    },
  },
  {
    what: 'load last pending id',
    readsWhole: QUEUE,
    send: async (connection) => await leases.loadLastPendingId(connection, leaseOf(0)),
  },
  {
    what: 'load pending page',
    readsWhole: QUEUE,
    send: async (connection) =>
      await leases.loadPendingPage(connection, leaseOf(0), { after: idOf(0), last: idOf(2 * TRANSFERS) }, BOUNDS),
  },
  {
    what: 'expiries',
    // Read by the index of due holds. The skipped holds cannot bound it, so the plan expects to read all due holds.
    readsWhole: { holds: 'those that are due' },
    send: async (connection) =>
      await loadDueHolds(connection, 100, { holdIds: [idOf(HOLD)], ledgerIds: [], accountKeys: [] }),
  },
  {
    what: 'expiries of a ledger',
    uses: 'holds_open',
    readsWhole: { holds: 'those of the ledger that are open' },
    send: async (connection) => await hasDueHolds(connection, MAIN),
  },
  {
    what: 'courier',
    send: async (connection) => {
      const named = await loadNamedTransfers(connection, [{ ledgerId: MAIN.id, id: idOf(HOLD) }]);
      await loadCredits(connection, MAIN, named);
      await withEnds(connection, MAIN, [toTransfer(BEGAN)]);
    },
  },
  {
    what: 'courier rounds',
    readsWhole: {
      holds: 'those that are open, in their index',
      journal_head: 'those with a test clock, in their index',
    },
    send: async (connection) => {
      await countOpenTransfers(connection, 100);
      await loadOpenTransfers(connection, 100, {
        holdKeys: [`1 ${idOf(HOLD)}`],
        sourceIds: [],
        contras: [],
        pairs: [],
      });
    },
  },
  {
    what: 'advance clock',
    send: async (connection) => {
      const idempotency = { key: 'clock', fingerprint: Buffer.alloc(32) };
      await advanceClock(connection, TEST, { to: '2026-02-01T00:00:00Z', actor: null, idempotency });
    },
  },
  {
    what: 'look-ups by key',
    send: async (connection) => {
      await loadAccounts(connection, MAIN, ACCOUNT.accountNumber);
      await loadPersonalAccounts(connection, MAIN, [accountOf(1), accountOf(2)]);
      await loadTransfers(connection, MAIN, [idOf(HOLD), idOf(TRANSFERS + 1)]);
      await loadHold(connection, MAIN, idOf(HOLD));
      await loadBalanceAt(connection, MAIN, ACCOUNT, '2026-11-01T00:10:00Z');
      await loadJournalNumber(connection, MAIN);
      await closeInstant(connection, MAIN, '2026-11-02T00:00:00Z');
      await ledgers.loadLedgers(connection, ['main', 'ledger-2']);
      await ledgers.loadLedgerRecord(connection, 'ledger-2');
      await sealAccount(connection, MAIN, ACCOUNT, BY_SERVICE);
    },
  },
  {
    what: 'list ledgers',
    send: async (connection) =>
      await ledgers.listLedgers(connection, { limit: 100, after: 'ledger-2', ascending: true }),
  },
  {
    what: 'feed',
    send: async (connection) => await loadEvents(connection, MAIN, 500n, { rowsMax: 10, recordsMax: 100 }),
  },
  {
    what: 'list journal',
    send: async (connection) => await listJournal(connection, MAIN, { ...PAGE, after: 500n }),
  },
  {
    what: 'journal row',
    readsWhole: { audit_log: 'it has one row here' },
    send: async (connection) => {
      await loadJournalRow(connection, MAIN, 500n);
      await loadRecords(connection, MAIN, { number: 500n, after: 0, limit: 100, bytesMax: 1_048_576 });
    },
  },
  // Only its id shows that a pending transfer belongs to a group.
  { what: 'group', readsWhole: QUEUE, send: async (connection) => await loadGroup(connection, MAIN, idOf(HOLD)) },
  {
    what: 'create ledger',
    send: async (connection) =>
      await ledgers.createLedger(connection, { name: 'new', testClock: null, idempotencyKey: 'key' }),
  },
  {
    what: 'lock change number',
    send: async (connection) => await lockChangeNumber(connection, MAIN, ACCOUNT.accountNumber),
  },
  {
    what: 'update account',
    send: async (connection) =>
      await updateAccount(connection, MAIN, ACCOUNT.accountNumber, {
        personalData: { name: 'Anna' },
        overdraftLimit: 1n,
        status: 'open',
        metadata: { a: 'b' },
      }),
  },
  {
    what: 'erase personal data',
    send: async (connection) => await erasePersonalData(connection, MAIN, ACCOUNT.accountNumber),
  },
  { what: 'close account', send: async (connection) => await closeAccount(connection, MAIN, ACCOUNT.accountNumber) },
  accounts('', {}, 'accounts_pkey'),
  accounts(' descending', {}, 'accounts_pkey', false),
  accounts(' by metadata', { metadata: { key: 'number', value: '5' } }, 'accounts_metadata'),
  accounts(' by status', { status: 'frozen' }, 'accounts_status'),
  accounts(' that are open', { status: 'open' }, 'accounts_pkey'),
  accounts(' by name', { words: ['NAME20', 'OWNER'] }, 'account_words_word'),
  accounts(' by name descending', { words: ['NAME20'] }, 'account_words_word', false),
  accounts(' by name and status', { words: ['NAME20'], status: 'frozen', prefix: 'A-' }, 'account_words_word'),
  accounts(' by currency', { currency: 'EUR' }, 'accounts_of_currency'),
  {
    what: 'list entries',
    send: async (connection) => await listEntries(connection, MAIN, ACCOUNT, PAGE),
  },
  {
    what: 'list entries of a time',
    uses: 'journal_settled_at',
    send: async (connection) => {
      const time = { since: '2026-11-01T00:00:10Z', until: '2026-11-01T00:20:00Z' };
      await listEntries(connection, MAIN, ACCOUNT, { ...PAGE, ...time });
    },
  },
  holds('of a ledger', {}, 'holds_pkey'),
  holds('of a ledger oldest first', {}, 'holds_pkey', false),
  holds('of an account', { account: accountOf(HOLD) }, 'transfers_entryless_from'),
  holds('of an account and a state', { account: accountOf(HOLD), state: 'voided' }, 'transfers_entryless_from'),
  holds('of an account that are open', { account: accountOf(HOLD), state: 'open' }, 'holds_open'),
  holds('of an account that failed', { account: accountOf(HOLD), state: 'failed' }, 'transfers_entryless_from'),
  lists('of a ledger', {}),
  lists(
    'of a ledger oldest first',
    {},
    {
      readsWhole: QUEUE,
      uses: 'transfers_journal',
      send: async (connection) => {
        const after = { stage: 'settled', number: '1000', position: 5, entry: null } as const;
        await listTransfers(connection, MAIN, {}, { limit: 100, after, newestFirst: false });
      },
    },
  ),
  lists('by kind', { kind: 'reversal' }, { readsWhole: QUEUE, uses: 'transfers_rare_kind' }),
  lists('that are plain', { kind: 'transfer' }, { readsWhole: QUEUE, uses: 'transfers_journal' }),
  lists('by failure code', { failureCode: 'insufficient_funds' }, { uses: 'transfers_failure_code' }),
  lists(
    'of an account by amount and description',
    { account: ACCOUNT.accountNumber, amountMin: 1, amountMax: 5, description: 'Rent' },
    { readsWhole: QUEUE, uses: 'entries_pkey' },
  ),
  lists('of an account', { account: ACCOUNT.accountNumber }, { readsWhole: QUEUE }),
  lists('that are pending', { status: 'pending' }),
  lists('that failed', { status: 'failed' }),
  lists('by request id', { requestId: 'request-5' }, { readsWhole: QUEUE }),
  lists('by group', { groupId: idOf(HOLD) }, { readsWhole: QUEUE }),
  lists('by parent', { parentId: idOf(HOLD) }, { readsWhole: QUEUE }),
  lists('by metadata', { metadata: { key: 'number', value: '5' } }, { readsWhole: QUEUE }),
  lists('of a time', { since: '2026-11-01T00:10:00Z', until: '2026-11-01T00:10:10Z' }, { readsWhole: QUEUE }),
  lists(
    'of an account and a time',
    { account: ACCOUNT.accountNumber, since: '2026-11-01T00:10:00Z', until: '2026-11-01T00:10:10Z' },
    { readsWhole: QUEUE },
  ),
  {
    what: 'statement',
    send: async (connection) => {
      const summary = await loadStatement(connection, MAIN, ACCOUNT, '2026-11');
      if (summary === null) throw new Error('The month has not begun.');
      await Array.fromAsync(readStatement(connection, summary));
    },
  },
  {
    what: 'access',
    readsWhole: {
      api_keys: 'each process holds all valid keys',
      access_state: 'it has one row',
      ledgers: 'those with a rule of approval; only after a change',
    },
    send: async (connection) => void (await loadAccess(connection)),
  },
  {
    what: 'audit log',
    readsWhole: { audit_log: 'it has one row here' },
    send: async (connection) => {
      await listAuditLog(connection, MAIN, { ...PAGE, refused: null });
      await recordAdministration(connection, MAIN, {
        action: 'key.created',
        actor: 'cli:me',
        subject: 'key',
        details: {},
      });
      const refusal = { ledgerId: MAIN.id, code: 'unauthorized', actor: null, subject: 'GET /accounts' };
      await recordRefusals(connection, [{ ...refusal, address: '127.0.0.1', count: 2 }]);
    },
  },
  {
    what: 'approvals',
    readsWhole: { approvals: 'it has one row here' },
    send: async (connection) => {
      const approval = { id: FRESH, kind: 'transfers', requestedBy: 'key', idempotencyKey: 'key' } as const;
      await insertApproval(connection, MAIN, { ...approval, fingerprint: null, request: {}, expiresInSeconds: 60 });
      await loadApproval(connection, MAIN, FRESH);
      await listApprovals(connection, MAIN, { ...PAGE, state: 'pending' });
      await decideApproval(connection, MAIN, { id: FRESH, state: 'approved', decidedBy: 'other' });
    },
  },
  {
    what: 'key usage',
    readsWhole: { key_usage: 'it has one row here' },
    send: async (connection) => {
      await reserveUsage(connection, 'key', { amount: 5n, max: 10n });
      await releaseUsage(connection, { keyId: 'key', amount: 5n, day: '2026-11-01' });
    },
  },
  {
    what: 'webhooks',
    readsWhole: {
      webhook_endpoints: 'a ledger has at most a hundred',
      webhook_cursors: 'one for each endpoint',
      journal_head: 'one for each ledger',
      ledgers: 'by the metrics, beside the heads',
      webhook_deliveries: 'it has one row here',
      webhook_keys: 'it has one row here',
    },
    send: sendWebhooks,
  },
  {
    what: 'trial balance',
    readsWhole: { accounts: 'it sums them all' },
    send: async (connection) => await loadTrialBalance(connection, MAIN, null),
  },
];

async function sendWebhooks(connection: Queryable): Promise<void> {
  const webhook = {
    id: FRESH,
    url: 'https://example.com',
    description: null,
    filter: ALL_EVENTS,
    secret: 'whsec_AA==',
  };
  await webhooks.lockWebhooks(connection, MAIN);
  await webhooks.insertWebhook(connection, MAIN, webhook, 100);
  const keyed = { key: 'key', fingerprint: Buffer.alloc(32), endpointId: FRESH, secretNumber: 1 };
  await webhooks.insertKeyedRequest(connection, MAIN, keyed);
  await webhooks.findKeyedRequest(connection, MAIN, 'key');
  await loadWebhook(connection, MAIN, FRESH);
  await loadWebhookState(connection);
  const line = { ledger: MAIN, endpointId: FRESH, url: 'https://example.com' };
  const holder = leaseOf(0);
  await claims.findDueLines(connection, { limit: 256, now: new Date() });
  await claims.claimLines(connection, [{ ledgerId: MAIN.id, endpointId: FRESH }], { holder, claimMs: 1000 });
  await claims.renewClaims(connection, [line], { holder, claimMs: 1000 });
  const attempt = { number: 1n, journalNumber: 1n, position: 0, eventId: 'evt_1', type: 'account.opened' };
  const result = { attemptedAt: new Date(), status: 204, error: null };
  const state = { journalNumber: 1n, position: 0, deliveryNumber: 1n, attempts: 0, failingSince: null };
  await recordProgress(connection, line, {
    holder,
    state: { ...state, nextAttemptAt: null },
    attempts: [{ ...attempt, ...result }],
  });
  await webhooks.requestDelivery(connection, MAIN, FRESH, 1n);
  await claims.loadRequested(connection, line, 10);
  await claims.recordRequested(connection, line, { number: 1n, ...result });
  for (const newestFirst of [true, false]) {
    await listWebhooks(connection, MAIN, { limit: 100, after: FRESH, newestFirst });
    await listDeliveries(connection, MAIN, FRESH, { limit: 100, after: 1n, newestFirst });
  }
  await loadDelivery(connection, MAIN, FRESH, 1n);
  await claims.releaseClaim(connection, line, { holder, kept: 1 });
  await claims.disableWebhook(connection, line, 'gone');
  await webhooks.rotateSecret(connection, MAIN, FRESH, { secret: 'whsec_BB==', overlapSeconds: 60 });
  const same = { description: undefined, types: undefined, account: undefined, kind: undefined };
  await webhooks.updateWebhook(connection, MAIN, FRESH, { ...same, url: undefined, enabled: true });
  await webhooks.deleteWebhook(connection, MAIN, FRESH);
}
