// The statements of one job: lock, and write. Two round trips, whatever the size of the job. What is decided between
// them is the domain's business.
import type { Account, AccountStatus } from '../domain/account.ts';
import type { BooksContent } from '../domain/books.ts';
import type { Hold, HoldState, Original } from '../domain/hold.ts';
import type { OrderDetails } from '../domain/record.ts';
import type { Order, Outcome, TransferKind } from '../domain/transfer.ts';
import type { Connection } from './connect.ts';
import { appendToJournal } from './journal.ts';

export type LockedOrder = { readonly order: Order; readonly details: OrderDetails };
export type LockedJob = { readonly orders: readonly LockedOrder[]; readonly books: BooksContent };
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
type HoldRow = [string, HoldState, bigint, bigint, bigint, boolean];
type OriginalRow = [string, bigint, bigint];

const LOCK_ORDERS = `
  select id, kind, from_account, to_account, amount, currency, parent_id, group_id, group_position, atomic,
    final_capture, expires_in, if_from_entry_number, if_min_available_after,
    request_id, description, metadata::text, (extract(epoch from created_at) * 1000000)::bigint
  from pending_transfers
  where id = any($1::uuid[])
  -- In order of id, so that two jobs that hold the same orders wait for each other instead of deadlocking.
  order by id
  for update`;

const LOCK_ACCOUNTS = `
  select account_number, currency, status, balance, held, overdraft_limit, entry_count
  from accounts
  where account_number in (
    select unnest(array[from_account, to_account])
    from pending_transfers
    where id = any($1::uuid[])
  )
  -- In order of the key, so that jobs with accounts in common wait for each other instead of deadlocking.
  order by account_number, currency
  for update`;

// Holds and originals need no locks of their own: whatever changes them has locked their two accounts, as this job has.
const LOAD_HOLDS = `
  select id, state, amount, captured, released, coalesce(expires_at <= clock_timestamp(), false)
  from holds
  where id in (select parent_id from pending_transfers where id = any($1::uuid[]) and parent_id is not null)`;

const LOAD_ORIGINALS = `
  select transfers.id, transfers.amount, coalesce(reversed_amounts.reversed, 0)
  from transfers
  left join reversed_amounts on reversed_amounts.transfer_id = transfers.id
  where transfers.id in (
      select parent_id from pending_transfers where id = any($1::uuid[]) and kind = 'reversal'
    )
    and transfers.status = 'completed'
    and transfers.kind in ('transfer', 'capture')`;

const UPDATE_ACCOUNTS = `
  update accounts
  set balance = moved.balance, held = moved.held, entry_count = moved.entry_count
  from unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[])
    as moved (account_number, currency, balance, held, entry_count)
  where accounts.account_number = moved.account_number and accounts.currency = moved.currency`;

const INSERT_JOURNAL = `
  with ${appendToJournal('$1::integer', '$2::bytea')}
  select number, settled_at
  from journaled`;

const INSERT_TRANSFERS = `
  insert into transfers (
    amount, created_at, completed_at, journal_number, from_entry_number, to_entry_number, if_from_entry_number,
    if_min_available_after, journal_position, expires_in, group_position, id, parent_id, group_id, atomic, final_capture,
    kind, from_account, to_account, currency, status, failure_code, request_id, description, metadata
  )
  select
    coalesce(pending.amount, ended.amount), pending.created_at, head.settled_at, head.number, ended.from_entry_number,
    ended.to_entry_number, pending.if_from_entry_number, pending.if_min_available_after, ended.position,
    pending.expires_in, pending.group_position, pending.id, pending.parent_id, pending.group_id, pending.atomic,
    pending.final_capture, pending.kind, pending.from_account, pending.to_account, ended.currency,
    case when ended.failure_code is null then 'completed' else 'failed' end, ended.failure_code,
    pending.request_id, pending.description, pending.metadata
  from unnest($1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[])
    with ordinality
    as ended (id, currency, amount, failure_code, from_entry_number, to_entry_number, position)
  join pending_transfers as pending on pending.id = ended.id
  cross join journal_head as head`;

const INSERT_ENTRIES = `
  insert into entries (entry_number, amount, balance, journal_number, transfer_id, account_number, currency)
  select side.entry_number, side.amount, side.balance, head.number, pending.id, side.account_number, ended.currency
  from unnest($1::uuid[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
    as ended (id, currency, amount, from_entry_number, from_balance, to_entry_number, to_balance)
  join pending_transfers as pending on pending.id = ended.id
  cross join journal_head as head
  cross join lateral (
    values
      (ended.from_entry_number, -coalesce(pending.amount, ended.amount), ended.from_balance, pending.from_account),
      (ended.to_entry_number, coalesce(pending.amount, ended.amount), ended.to_balance, pending.to_account)
  ) as side (entry_number, amount, balance, account_number)
  where ended.from_entry_number is not null`;

const INSERT_HOLDS = `
  insert into holds (amount, created_at, expires_at, id, from_account, to_account, currency)
  select pending.amount, pending.created_at, pending.created_at + pending.expires_in * interval '1 second', pending.id,
    pending.from_account, pending.to_account, made.currency
  from unnest($1::uuid[], $2::text[]) as made (id, currency)
  join pending_transfers as pending on pending.id = made.id`;

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

const DELETE_PENDING = `
  delete from pending_transfers
  where id = any($1::uuid[])`;

/** Begins the transaction of a job. */
export async function beginJob(connection: Connection): Promise<void> {
  await connection.query('begin');
}

/**
 * Begins a transaction (unless it is `begun`) and locks the orders that are still pending, then the accounts they name,
 * and reads what else they are about. Orders come in the order of `transferIds`; one that is missing was settled before.
 * On an error the transaction is rolled back.
 */
export async function lockJob(
  connection: Connection,
  transferIds: readonly string[],
  options: { hasParents: boolean; begun: boolean },
): Promise<LockedJob> {
  const load = async <Row extends unknown[]>(name: string, text: string): Promise<Row[]> =>
    (await connection.query<Row>({ name, text, values: [transferIds], rowMode: 'array' })).rows;
  const [, orders, accounts, holds, originals] = await pipelined(connection, [
    options.begun ? Promise.resolve() : beginJob(connection),
    load<OrderRow>('lock orders', LOCK_ORDERS),
    load<AccountRow>('lock accounts', LOCK_ACCOUNTS),
    options.hasParents ? load<HoldRow>('load holds', LOAD_HOLDS) : Promise.resolve([]),
    options.hasParents ? load<OriginalRow>('load originals', LOAD_ORIGINALS) : Promise.resolve([]),
  ]);
  const byId = new Map(orders.map((row) => [row[0], toLockedOrder(row)]));
  return {
    orders: transferIds.flatMap((id) => byId.get(id) ?? []),
    books: { accounts: accounts.map(toAccount), holds: holds.map(toHold), originals: originals.map(toOriginal) },
  };
}

/**
 * Writes what was decided about locked orders, and commits, or for a dry run rolls back. `digest` is the SHA-256 of the
 * orders' records, in order. Throws if anything failed; then nothing was written, unless the answer to the commit was
 * lost on its way.
 */
export async function writeJob(
  connection: Connection,
  written: {
    orders: readonly LockedOrder[];
    outcomes: readonly Outcome[];
    changed: BooksContent;
    digest: Buffer;
    dryRun: boolean;
  },
): Promise<JournalRow> {
  const { orders, outcomes, changed, dryRun } = written;
  const { accounts, holds, originals } = changed;
  const ids = orders.map(({ order }) => order.id);
  const currencies = outcomes.map((outcome) => outcome.currency);
  // Only where the order named none: it is what was left of the parent.
  const amounts = orders.map(({ order }, index) => (order.amount === null ? (outcomes[index]?.amount ?? null) : null));
  const entries = outcomes.map((outcome) => (outcome.ok ? outcome.entries : null));
  const fromEntryNumbers = entries.map((pair) => pair?.fromEntryNumber ?? null);
  const toEntryNumbers = entries.map((pair) => pair?.toEntryNumber ?? null);
  const held = orders.flatMap(({ order }, index) => {
    const outcome = outcomes[index];
    return order.kind === 'hold' && outcome?.ok ? [{ id: order.id, currency: outcome.currency }] : [];
  });
  const run = async (name: string, text: string, values: unknown[]) => await connection.query({ name, text, values });
  const sent = [
    run('update accounts', UPDATE_ACCOUNTS, [
      accounts.map((account) => account.accountNumber),
      accounts.map((account) => account.currency),
      accounts.map((account) => account.balance),
      accounts.map((account) => account.held),
      accounts.map((account) => account.entryCount),
    ]),
  ];
  if (held.length > 0) {
    sent.push(run('insert holds', INSERT_HOLDS, [held.map(({ id }) => id), held.map(({ currency }) => currency)]));
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
  const journaled = connection.query<{ number: bigint; settled_at: string }>({
    name: 'insert journal',
    text: INSERT_JOURNAL,
    values: [orders.length, written.digest],
  });
  const inserted = run('insert transfers', INSERT_TRANSFERS, [
    ids,
    currencies,
    amounts,
    outcomes.map((outcome) => (outcome.ok ? null : outcome.code)),
    fromEntryNumbers,
    toEntryNumbers,
  ]);
  const ended = [
    run('insert entries', INSERT_ENTRIES, [
      ids,
      currencies,
      amounts,
      fromEntryNumbers,
      entries.map((pair) => pair?.fromBalance ?? null),
      toEntryNumbers,
      entries.map((pair) => pair?.toBalance ?? null),
    ]),
    run('delete pending', DELETE_PENDING, [ids]),
  ];
  const commit = connection.query(dryRun ? 'rollback' : 'commit');
  await pipelined(connection, [...sent, journaled, inserted, ...ended, commit]);

  const row = (await journaled).rows[0];
  const { rowCount } = await inserted;
  const { command } = await commit;
  // A COMMIT in a failed transaction does not fail: it answers ROLLBACK.
  if (command !== (dryRun ? 'ROLLBACK' : 'COMMIT') || row === undefined || rowCount !== ids.length) {
    throw new Error(`The job was not written: the end answered ${command}, ${rowCount} of ${ids.length} rows.`);
  }
  return { number: row.number, settledAt: row.settled_at };
}

/** Ends the transaction that lockJob began, and leaves everything as it was. */
export async function abandonJob(connection: Connection): Promise<void> {
  await connection.query('rollback');
}

/**
 * Removes a pending order whose id is settled already, and says whether it was. It should never be needed: it is the
 * answer to the primary key of transfers having refused to settle an order a second time.
 */
export async function removeSettledTwin(connection: Connection, transferId: string): Promise<boolean> {
  const removed = await connection.query(
    `delete from pending_transfers
     where id = $1::uuid and exists (select from transfers where transfers.id = $1::uuid)`,
    [transferId],
  );
  return removed.rowCount === 1;
}

/**
 * Awaits statements that were sent together. If one fails, all after it fail too (25P02): it rolls back and throws the
 * first error, which is the cause.
 */
async function pipelined<Sent extends readonly Promise<unknown>[] | []>(
  connection: Connection,
  sent: Sent,
): Promise<{ -readonly [Index in keyof Sent]: Awaited<Sent[Index]> }> {
  try {
    return await Promise.all(sent);
  } catch (error) {
    await Promise.allSettled(sent);
    await connection.query('rollback').catch(() => {});
    throw error;
  }
}

function toLockedOrder(row: OrderRow): LockedOrder {
  const [id, kind, fromAccount, toAccount, amount, currency, parentId, groupId, groupPosition, atomic, ...rest] = row;
  const [finalCapture, expiresIn, fromEntryNumber, minAvailableAfter, ...details] = rest;
  const [requestId, description, metadataText, createdAtMicros] = details;
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
