// Takes the transfers of a job and locks their accounts: one round trip, whatever the size of the job.
import type { Account, AccountStatus } from '../domain/account.ts';
import type { BooksContent } from '../domain/books.ts';
import type { Hold, HoldState, Original } from '../domain/hold.ts';
import type { Job } from '../domain/job.ts';
import type { OrderDetails } from '../domain/record.ts';
import type { Order, TransferKind } from '../domain/transfer.ts';
import { insertForDryRun } from './intake.ts';
import { renderColumn, renderOrders } from './orders.ts';
import { allSent, type Transaction } from './transaction.ts';

export type LockedOrder = { readonly order: Order; readonly details: OrderDetails };
export type LockedJob = {
  readonly orders: readonly LockedOrder[];
  /** The transfers as they will be written, one array for each column that no decision changes. */
  readonly columns: readonly (string | null)[];
  readonly books: BooksContent;
  /** Account numbers that no account had when the accounts were locked. */
  readonly missing: readonly string[];
  /** When the first of the captured holds that were not due when they were read will be, if soon: microseconds since the epoch. */
  readonly nextExpiry: bigint | null;
};
type OrderRow = [
  id: string,
  kind: TransferKind,
  fromAccount: string,
  toAccount: string,
  amount: bigint | null,
  currency: string | null,
  parentId: string | null,
  groupId: string | null,
  groupPosition: number | null,
  atomic: boolean | null,
  finalCapture: boolean | null,
  expiresIn: number | null,
  ifFromEntryNumber: bigint | null,
  ifMinAvailableAfter: bigint | null,
  requestId: string | null,
  description: string | null,
  metadataText: string | null,
  createdAtMicros: bigint,
];
type AccountRow = [string, string, AccountStatus, bigint, bigint, bigint, bigint];
type HoldRow = [string, HoldState, bigint, bigint, bigint, boolean, bigint | null];
type OriginalRow = [string, bigint, bigint];

/** Microseconds since the epoch of an instant, an SQL expression. */
export function micros(instant: string): string {
  return `(extract(epoch from ${instant}) * 1000000)::bigint`;
}

// Taking the transfers out of the queue locks them: another process that holds the same ones waits here, and then finds them
// settled. A transaction that does not commit puts them back.
const TAKE_ORDERS = `
  delete from pending_transfers
  -- The index is walked in order of id, so that two jobs that hold the same orders wait for each other instead of deadlocking.
  where id = any($1::uuid[])
  returning id, kind, from_account, to_account, amount, currency, parent_id, group_id, group_position, atomic,
    final_capture, expires_in, if_from_entry_number, if_min_available_after,
    request_id, description, metadata::text, (extract(epoch from created_at) * 1000000)::bigint`;

const LOCK_ACCOUNTS = `
  select account_number, currency, status, balance, held, overdraft_limit, entry_count
  from accounts
  where account_number = any($1::text[])
  -- In order of the key, so that jobs with accounts in common wait for each other instead of deadlocking.
  order by account_number, currency
  for update`;

// Holds and originals need no locks of their own: a job that changes them has locked their two accounts, as this job has.
const LOAD_HOLDS = `
  with now as materialized (
    -- The job's row of the journal is settled at this time or later, also after the clock went back.
    select greatest(clock_timestamp(), settled_at, closed_until) as instant
    from journal_head
  )
  select id, state, amount, captured, released, coalesce(expires_at <= now.instant, false),
    -- No job takes longer than a minute from here to its place in the journal.
    case when expires_at < now.instant + interval '1 minute' then ${micros('expires_at')} end
  from holds
  cross join now
  where id = any($1::uuid[])`;

const LOAD_ORIGINALS = `
  select transfers.id, transfers.amount, coalesce(reversed_amounts.reversed, 0)
  from transfers
  left join reversed_amounts on reversed_amounts.transfer_id = transfers.id
  where transfers.id = any($1::uuid[])
    and transfers.status = 'completed'
    and transfers.kind in ('transfer', 'capture')`;

/**
 * Takes the job's transfers that are still pending out of the queue, locks the accounts they name, and reads their holds and
 * originals. Transfers come in the order of `transferIds`; a missing one was settled before.
 */
export async function lockJob(
  { connection }: Transaction,
  job: Pick<Job, 'transferIds' | 'accountNumbers' | 'parentIds' | 'dryRun'>,
): Promise<LockedJob> {
  const load = async <Row extends unknown[]>(name: string, text: string, keys: readonly string[]): Promise<Row[]> =>
    (await connection.query<Row>({ name, text, values: [renderColumn(keys, (key) => key)], rowMode: 'array' })).rows;
  const { transferIds, accountNumbers, parentIds } = job;
  const named = new Set(accountNumbers);
  const takeOrders = async () => {
    const rows = await load<OrderRow>('take orders', TAKE_ORDERS, transferIds);
    const byId = new Map(rows.map((row) => [row[0], toLockedOrder(row)]));
    const orders = transferIds.flatMap((id) => byId.get(id) ?? []);
    for (const { order } of orders) {
      // An account that is not locked would count as missing, and the transfer would fail for it.
      if (!named.has(order.fromAccount) || !named.has(order.toAccount))
        throw new TypeError('A job names its accounts.');
    }
    // The work that does not need the accounts is done while the server locks them.
    return { orders, columns: renderTaken(orders) };
  };
  const [, taken, accounts, holds, originals] = await allSent([
    job.dryRun ? insertForDryRun(connection, job.dryRun) : Promise.resolve(),
    takeOrders(),
    load<AccountRow>('lock accounts', LOCK_ACCOUNTS, accountNumbers),
    parentIds.length > 0 ? load<HoldRow>('load holds', LOAD_HOLDS, parentIds) : Promise.resolve([]),
    parentIds.length > 0 ? load<OriginalRow>('load originals', LOAD_ORIGINALS, parentIds) : Promise.resolve([]),
  ]);
  const found = new Set(accounts.map(([accountNumber]) => accountNumber));
  const captured = new Set(taken.orders.flatMap(({ order }) => (order.kind === 'capture' ? order.parentId : [])));
  const expiries = holds.flatMap(([id, , , , , due, expiresAt]) =>
    due || expiresAt === null || !captured.has(id) ? [] : [expiresAt],
  );
  return {
    ...taken,
    books: { accounts: accounts.map(toAccount), holds: holds.map(toHold), originals: originals.map(toOriginal) },
    missing: accountNumbers.filter((accountNumber) => !found.has(accountNumber)),
    nextExpiry: expiries.reduce<bigint | null>((next, at) => (next !== null && next < at ? next : at), null),
  };
}

/** The contents of `columns` of a locked job, in the order in which WRITE_ENDED takes them. */
function renderTaken(orders: readonly LockedOrder[]): (string | null)[] {
  return [
    renderColumn(orders, ({ details }) => details.createdAtMicros),
    renderColumn(orders, ({ details }) => details.requestId),
    renderColumn(orders, ({ details }) => details.description),
    renderColumn(orders, ({ details }) => details.metadataText),
    ...renderOrders(orders.map(({ order }) => order)),
  ];
}

function toLockedOrder(row: OrderRow): LockedOrder {
  // Destructured at once: each rest element would be one more array for every transfer.
  const [
    id,
    kind,
    fromAccount,
    toAccount,
    amount,
    currency,
    parentId,
    groupId,
    groupPosition,
    atomic,
    finalCapture,
    expiresIn,
    fromEntryNumber,
    minAvailableAfter,
    requestId,
    description,
    metadataText,
    createdAtMicros,
  ] = row;
  return {
    order: {
      id,
      kind,
      fromAccount,
      toAccount,
      amount,
      currency,
      parentId,
      group: groupId === null ? null : { id: groupId, position: groupPosition ?? 0, atomic: atomic ?? false },
      conditions:
        fromEntryNumber === null && minAvailableAfter === null ? null : { fromEntryNumber, minAvailableAfter },
      finalCapture: finalCapture ?? false,
      expiresIn,
    },
    details: { requestId, description, metadataText, createdAtMicros },
  };
}

function toAccount(row: AccountRow): Account {
  const [accountNumber, currency, status, balance, held, overdraftLimit, entryCount] = row;
  return { accountNumber, currency, status, balance, held, overdraftLimit, entryCount };
}

function toHold([id, state, amount, captured, released, due]: HoldRow): Hold {
  return { id, state, amount, captured, released, due };
}

function toOriginal([id, amount, reversed]: OriginalRow): Original {
  return { id, amount, reversed };
}
