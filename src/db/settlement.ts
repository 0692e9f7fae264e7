// The statements of one job: lock, and write. Two round trips, whatever the size of the job. What is decided between
// them is the domain's business.
import type { Account, AccountStatus } from '../domain/account.ts';
import type { OrderDetails } from '../domain/record.ts';
import type { Order, Outcome } from '../domain/transfer.ts';
import type { Connection } from './connect.ts';

export type LockedOrder = { readonly order: Order; readonly details: OrderDetails };
export type LockedJob = { readonly orders: readonly LockedOrder[]; readonly accounts: readonly Account[] };
export type JournalRow = { readonly number: bigint; readonly settledAt: string };

type OrderRow = [string, string, string, bigint, string | null, string | null, string | null, string | null, bigint];
type AccountRow = [string, string, AccountStatus, bigint, bigint, bigint, bigint];

const LOCK_ORDERS = `
  select id, from_account, to_account, amount, currency, request_id, description, metadata::text,
    (extract(epoch from created_at) * 1000000)::bigint
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

const UPDATE_ACCOUNTS = `
  update accounts
  set balance = moved.balance, entry_count = moved.entry_count
  from unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[]) as moved (account_number, currency, balance, entry_count)
  where accounts.account_number = moved.account_number and accounts.currency = moved.currency`;

// The head's row lock is taken here, after all others, and kept to the commit: numbers are in commit order, without gaps.
const INSERT_JOURNAL = `
  with head as materialized (
    select number + 1 as number, greatest(clock_timestamp(), settled_at) as settled_at, hash as previous_hash
    from journal_head
    for update
  ), advanced as (
    update journal_head
    set number = head.number,
      settled_at = head.settled_at,
      hash = sha256(
        head.previous_hash
        || convert_to(
          head.number || '|' || (extract(epoch from head.settled_at) * 1000000)::bigint || '|' || $1::integer,
          'UTF8'
        )
        || $2::bytea
      )
    from head
    returning journal_head.number, journal_head.settled_at, head.previous_hash, journal_head.hash
  )
  insert into journal (number, settled_at, transfer_count, digest, previous_hash, hash)
  select number, settled_at, $1::integer, $2::bytea, previous_hash, hash
  from advanced
  returning number, settled_at`;

const INSERT_TRANSFERS = `
  insert into transfers (
    amount, created_at, completed_at, journal_number, from_entry_number, to_entry_number, journal_position,
    id, from_account, to_account, currency, status, failure_code, request_id, description, metadata
  )
  select
    pending.amount, pending.created_at, head.settled_at, head.number, ended.from_entry_number, ended.to_entry_number,
    ended.position, pending.id, pending.from_account, pending.to_account, ended.currency,
    case when ended.failure_code is null then 'completed' else 'failed' end, ended.failure_code,
    pending.request_id, pending.description, pending.metadata
  from unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::bigint[])
    with ordinality as ended (id, currency, failure_code, from_entry_number, to_entry_number, position)
  join pending_transfers as pending on pending.id = ended.id
  cross join journal_head as head`;

const INSERT_ENTRIES = `
  insert into entries (entry_number, amount, balance, journal_number, transfer_id, account_number, currency)
  select side.entry_number, side.amount, side.balance, head.number, pending.id, side.account_number, ended.currency
  from unnest($1::uuid[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
    as ended (id, currency, from_entry_number, from_balance, to_entry_number, to_balance)
  join pending_transfers as pending on pending.id = ended.id
  cross join journal_head as head
  cross join lateral (
    values
      (ended.from_entry_number, -pending.amount, ended.from_balance, pending.from_account),
      (ended.to_entry_number, pending.amount, ended.to_balance, pending.to_account)
  ) as side (entry_number, amount, balance, account_number)
  where ended.from_entry_number is not null`;

const DELETE_PENDING = `
  delete from pending_transfers
  where id = any($1::uuid[])`;

/**
 * Begins a transaction and locks the orders that are still pending, then the accounts they name. Orders come in the
 * order of `transferIds`; one that is missing was settled before. On an error the transaction is rolled back.
 */
export async function lockJob(connection: Connection, transferIds: readonly string[]): Promise<LockedJob> {
  const [, orders, accounts] = await pipelined(connection, [
    connection.query('begin'),
    connection.query<OrderRow>({ name: 'lock orders', text: LOCK_ORDERS, values: [transferIds], rowMode: 'array' }),
    connection.query<AccountRow>({
      name: 'lock accounts',
      text: LOCK_ACCOUNTS,
      values: [transferIds],
      rowMode: 'array',
    }),
  ]);
  const byId = new Map(orders.rows.map((row) => [row[0], toLockedOrder(row)]));
  return {
    orders: transferIds.flatMap((id) => byId.get(id) ?? []),
    accounts: accounts.rows.map(toAccount),
  };
}

/**
 * Writes what was decided about locked orders, and commits. `digest` is the SHA-256 of the orders' records, in order.
 * Throws if anything failed; then nothing was written, unless the answer to the commit was lost on its way.
 */
export async function writeJob(
  connection: Connection,
  written: {
    orders: readonly LockedOrder[];
    outcomes: readonly Outcome[];
    moved: readonly Account[];
    digest: Buffer;
  },
): Promise<JournalRow> {
  const { orders, outcomes, moved } = written;
  const ids = orders.map(({ order }) => order.id);
  const currencies = outcomes.map((outcome) => outcome.currency);
  const fromEntryNumbers = outcomes.map((outcome) => (outcome.ok ? outcome.fromEntryNumber : null));
  const toEntryNumbers = outcomes.map((outcome) => (outcome.ok ? outcome.toEntryNumber : null));
  const run = (name: string, text: string, values: unknown[]) => connection.query({ name, text, values });
  const [, journal, transfers, , , commit] = await pipelined(connection, [
    run('update accounts', UPDATE_ACCOUNTS, [
      moved.map((account) => account.accountNumber),
      moved.map((account) => account.currency),
      moved.map((account) => account.balance),
      moved.map((account) => account.entryCount),
    ]),
    connection.query<{ number: bigint; settled_at: string }>({
      name: 'insert journal',
      text: INSERT_JOURNAL,
      values: [orders.length, written.digest],
    }),
    run('insert transfers', INSERT_TRANSFERS, [
      ids,
      currencies,
      outcomes.map((outcome) => (outcome.ok ? null : outcome.code)),
      fromEntryNumbers,
      toEntryNumbers,
    ]),
    run('insert entries', INSERT_ENTRIES, [
      ids,
      currencies,
      fromEntryNumbers,
      outcomes.map((outcome) => (outcome.ok ? outcome.fromBalance : null)),
      toEntryNumbers,
      outcomes.map((outcome) => (outcome.ok ? outcome.toBalance : null)),
    ]),
    run('delete pending', DELETE_PENDING, [ids]),
    connection.query('commit'),
  ]);
  const row = journal.rows[0];
  // A COMMIT in a failed transaction does not fail: it answers ROLLBACK.
  if (commit.command !== 'COMMIT' || row === undefined || transfers.rowCount !== ids.length) {
    throw new Error(
      `The job was not written: commit answered ${commit.command}, ${transfers.rowCount} of ${ids.length} rows.`,
    );
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
async function pipelined<Results extends readonly unknown[]>(
  connection: Connection,
  sent: { readonly [Index in keyof Results]: Promise<Results[Index]> },
): Promise<Results> {
  try {
    return (await Promise.all(sent)) as unknown as Results;
  } catch (error) {
    await Promise.allSettled(sent);
    await connection.query('rollback').catch(() => {});
    throw error;
  }
}

function toLockedOrder(row: OrderRow): LockedOrder {
  const [id, fromAccount, toAccount, amount, currency, requestId, description, metadataText, createdAtMicros] = row;
  return {
    order: { id, fromAccount, toAccount, amount, currency },
    details: { requestId, description, metadataText, createdAtMicros },
  };
}

function toAccount(row: AccountRow): Account {
  const [accountNumber, currency, status, balance, held, overdraftLimit, entryCount] = row;
  return { accountNumber, currency, status, balance, held, overdraftLimit, entryCount };
}
