// The statements of one job: lock, and write. Two round trips after BEGIN, whatever the size of the job. What is decided
// between them is the domain's business.
import type { Account, AccountStatus } from '../domain/account.ts';
import type { BooksContent } from '../domain/books.ts';
import type { Hold, HoldState, Original } from '../domain/hold.ts';
import type { Job } from '../domain/job.ts';
import type { OrderDetails } from '../domain/record.ts';
import type { EntryPair, Order, Outcome, TransferKind } from '../domain/transfer.ts';
import type { Queryable } from './connect.ts';
import { insertForDryRun } from './intake.ts';
import { appendToJournal } from './journal.ts';
import { ORDER_COLUMNS, ORDER_NAMES, ORDER_VALUES, orderArrays, renderColumn, renderOrders } from './orders.ts';
import { allSent, type Transaction } from './transaction.ts';

export type LockedOrder = { readonly order: Order; readonly details: OrderDetails };
export type LockedJob = {
  readonly orders: readonly LockedOrder[];
  /** The orders as they will be written, one array for each column that no decision changes. */
  readonly columns: readonly (string | null)[];
  readonly books: BooksContent;
  /** Account numbers that no account had when the accounts were locked. */
  readonly missing: readonly string[];
  /** When the first of the holds that were not due when they were read will be, if soon: microseconds since the epoch. */
  readonly nextExpiry: bigint | null;
};
/** What a job was decided on is no longer so at its place in the journal: it has to be decided again. */
export class StaleDecisionError extends Error {}

export type JournalRow = { readonly number: bigint; readonly settledAt: string };

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

function micros(instant: string): string {
  return `(extract(epoch from ${instant}) * 1000000)::bigint`;
}

// Taking the orders out of the queue is what locks them: whoever else holds the same ones waits here, and then finds them
// gone. A transaction that ends in any other way than its commit puts them back.
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

// Holds and originals need no locks of their own: whatever changes them has locked their two accounts, as this job has.
const LOAD_HOLDS = `
  select id, state, amount, captured, released, coalesce(expires_at <= clock_timestamp(), false),
    -- No job takes longer than a minute from here to its place in the journal.
    case when expires_at < clock_timestamp() + interval '1 minute' then ${micros('expires_at')} end
  from holds
  where id = any($1::uuid[])`;

const LOAD_ORIGINALS = `
  select transfers.id, transfers.amount, coalesce(reversed_amounts.reversed, 0)
  from transfers
  left join reversed_amounts on reversed_amounts.transfer_id = transfers.id
  where transfers.id = any($1::uuid[])
    and transfers.status = 'completed'
    and transfers.kind in ('transfer', 'capture')`;

const UPDATE_ACCOUNTS = `
  update accounts
  set balance = moved.balance, held = moved.held, entry_count = moved.entry_count
  from unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[])
    as moved (account_number, currency, balance, held, entry_count)
  where accounts.account_number = moved.account_number and accounts.currency = moved.currency`;

// The journal, and what it covers, in one statement: the arrays are sent once, and the journal's head is locked as late as
// can be. Everything but the entries' sides comes from the arrays, so there is no join, and no plan that could turn.
const WRITE_ENDED = `
  with ${appendToJournal('$1::integer', '$2::bytea')}, ended as materialized (
    select *
    from unnest(
      $3::bigint[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[],
      $11::text[], $12::text[], $13::jsonb[], ${orderArrays(14)}
    ) with ordinality as ended (
      amount, currency, failure_code, from_entry_number, from_balance, to_entry_number, to_balance, created_at_micros,
      request_id, description, metadata, ${ORDER_NAMES}, position
    )
  ), inserted as (
    insert into transfers (
      amount, currency, status, failure_code, from_entry_number, to_entry_number, created_at, request_id, description,
      metadata, completed_at, journal_number, journal_position, ${ORDER_COLUMNS}
    )
    select
      amount, currency, case when failure_code is null then 'completed' else 'failed' end, failure_code,
      from_entry_number, to_entry_number, timestamptz 'epoch' + created_at_micros * interval '1 microsecond', request_id,
      description, metadata, (select settled_at from journaled), (select number from journaled), position, ${ORDER_VALUES}
    from ended
  ), entered as (
    insert into entries (entry_number, amount, balance, journal_number, transfer_id, account_number, currency)
    select side.entry_number, side.amount, side.balance, (select number from journaled), ended.id, side.account_number,
      ended.currency
    from ended
    cross join lateral (
      values
        (from_entry_number, -ended.amount, from_balance, from_account),
        (to_entry_number, ended.amount, to_balance, to_account)
    ) as side (entry_number, amount, balance, account_number)
    where from_entry_number is not null
  )
  select number, settled_at, ${micros('settled_at')} as settled_micros
  from journaled`;

const INSERT_HOLDS = `
  insert into holds (amount, created_at, expires_at, id, from_account, to_account, currency)
  select amount, created_at, created_at + expires_in * interval '1 second', id, from_account, to_account, currency
  from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::integer[], $7::bigint[])
    as made (id, from_account, to_account, currency, amount, expires_in, created_at_micros)
  cross join lateral (
    select timestamptz 'epoch' + created_at_micros * interval '1 microsecond' as created_at
  ) as time`;

const UPDATE_HOLDS = `
  update holds
  set captured = changed.captured, released = changed.released, state = changed.state
  from unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::text[]) as changed (id, captured, released, state)
  where holds.id = changed.id`;

const UPDATE_REVERSED = `
  insert into reversed_amounts (transfer_id, amount, reversed)
  select transfer_id, amount, reversed
  from unnest($1::uuid[], $2::bigint[], $3::bigint[]) as changed (transfer_id, amount, reversed)
  on conflict (transfer_id) do update set reversed = excluded.reversed`;

const FIND_OPENED = `
  select account_number
  from accounts
  where account_number = any($1::text[])
  limit 1`;

/**
 * Takes the job's transfers that are still pending out of the queue, locks the accounts they name, and reads what else they
 * are about. They come in the order of `transferIds`; one that is missing was settled before.
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
      // An account that is not locked would be taken for one that does not exist, and the transfer would fail for it.
      if (!named.has(order.fromAccount) || !named.has(order.toAccount))
        throw new TypeError('A job names its accounts.');
    }
    // All that can be done before the accounts are known is done while the server locks them.
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
  const expiries = holds.flatMap(([, , , , , due, expiresAt]) => (due || expiresAt === null ? [] : [expiresAt]));
  return {
    ...taken,
    books: { accounts: accounts.map(toAccount), holds: holds.map(toHold), originals: originals.map(toOriginal) },
    missing: accountNumbers.filter((accountNumber) => !found.has(accountNumber)),
    nextExpiry: expiries.reduce<bigint | null>((next, at) => (next !== null && next < at ? next : at), null),
  };
}

/**
 * Writes what was decided about locked transfers, and commits, or for a dry run rolls back. `digest` makes the SHA-256 of the
 * transfers' records, in order; it is called while the server updates the accounts, and must not throw. Throws
 * StaleDecisionError if the decision must be made again, and any other error if a statement failed. The caller rolls back.
 */
export async function writeJob(
  transaction: Transaction,
  { orders, columns, missing, nextExpiry }: Omit<LockedJob, 'books'>,
  written: {
    outcomes: readonly Outcome[];
    changed: BooksContent;
    digest: () => Buffer;
    dryRun: boolean;
  },
): Promise<JournalRow> {
  const { outcomes, changed, digest, dryRun } = written;
  const { connection } = transaction;
  const run = async (name: string, text: string, values: unknown[]) => await connection.query({ name, text, values });
  const { accounts, holds, originals } = changed;
  const sent: Promise<unknown>[] = [];
  if (accounts.length > 0) {
    sent.push(
      run('update accounts', UPDATE_ACCOUNTS, [
        renderColumn(accounts, (account) => account.accountNumber),
        renderColumn(accounts, (account) => account.currency),
        renderColumn(accounts, (account) => account.balance),
        renderColumn(accounts, (account) => account.held),
        renderColumn(accounts, (account) => account.entryCount),
      ]),
    );
  }
  const made = orders.flatMap((order, index) => {
    const outcome = outcomes[index];
    return order.order.kind === 'hold' && outcome?.ok ? [{ ...order, outcome }] : [];
  });
  if (made.length > 0) {
    sent.push(
      run('insert holds', INSERT_HOLDS, [
        made.map(({ order }) => order.id),
        made.map(({ order }) => order.fromAccount),
        made.map(({ order }) => order.toAccount),
        made.map(({ outcome }) => outcome.currency),
        made.map(({ outcome }) => outcome.amount),
        made.map(({ order }) => order.expiresIn),
        made.map(({ details }) => details.createdAtMicros),
      ]),
    );
  }
  if (holds.length > 0) {
    sent.push(
      run('update holds', UPDATE_HOLDS, [
        holds.map((hold) => hold.id),
        holds.map((hold) => hold.captured),
        holds.map((hold) => hold.released),
        holds.map((hold) => hold.state),
      ]),
    );
  }
  if (originals.length > 0) {
    sent.push(
      run('update reversed', UPDATE_REVERSED, [
        originals.map((original) => original.id),
        originals.map((original) => original.amount),
        originals.map((original) => original.reversed),
      ]),
    );
  }
  const column = (valueOf: (outcome: Outcome) => string | bigint | null) => renderColumn(outcomes, valueOf);
  const entry = (name: keyof EntryPair) => column((outcome) => (outcome.ok ? (outcome.entries?.[name] ?? null) : null));
  const journaled = connection.query<{ number: bigint; settled_at: string; settled_micros: bigint }>({
    name: 'write ended',
    text: WRITE_ENDED,
    values: [
      orders.length,
      digest(),
      column((outcome) => outcome.amount),
      column((outcome) => outcome.currency),
      column((outcome) => (outcome.ok ? null : outcome.code)),
      entry('fromEntryNumber'),
      entry('fromBalance'),
      entry('toEntryNumber'),
      entry('toBalance'),
      ...columns,
    ],
  });
  if (missing.length > 0 || nextExpiry !== null || dryRun) {
    await allSent([...sent, journaled]);
    await refuseStale(connection, {
      missing,
      nextExpiry,
      settledMicros: (await journaled).rows[0]?.settled_micros ?? 0n,
    });
    if (!dryRun) await transaction.commit();
  } else await transaction.commit([...sent, journaled]);
  const row = (await journaled).rows[0];
  if (row === undefined) throw new Error('The journal has no head.');
  return { number: row.number, settledAt: row.settled_at };
}

/**
 * The head of the journal is locked now, so nothing can come before this job's row any more. An account that was missing
 * may have been opened in an earlier row, and a hold that was not due may be due by the row's time.
 */
async function refuseStale(
  connection: Queryable,
  {
    missing,
    nextExpiry,
    settledMicros,
  }: { missing: readonly string[]; nextExpiry: bigint | null; settledMicros: bigint },
): Promise<void> {
  if (nextExpiry !== null && nextExpiry <= settledMicros) throw new StaleDecisionError('A hold became due.');
  if (missing.length === 0) return;
  const opened = await connection.query({
    name: 'find opened',
    text: FIND_OPENED,
    values: [renderColumn(missing, (accountNumber) => accountNumber)],
  });
  if (opened.rows.length > 0) throw new StaleDecisionError('An account was opened.');
}

/**
 * Removes pending transfers whose ids are settled already, and says whether there were any. It should never be needed: it is
 * the answer to the primary key of transfers having refused to settle one a second time.
 */
export async function removeSettledTwins(connection: Queryable, transferIds: readonly string[]): Promise<boolean> {
  const removed = await connection.query(
    `delete from pending_transfers
     where id = any($1::uuid[]) and exists (select from transfers where transfers.id = pending_transfers.id)`,
    [transferIds],
  );
  return (removed.rowCount ?? 0) > 0;
}

/** What `columns` of a locked job has, in the order in which WRITE_ENDED takes it. */
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
  // Taken apart at once: each rest of a destructuring would be an array more for every order.
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
