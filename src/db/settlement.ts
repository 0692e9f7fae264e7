// Writes the outcome of a job, and commits: one round trip, whatever the size of the job.
import type { BooksContent } from '../domain/books.ts';
import type { EntryPair, Outcome } from '../domain/transfer.ts';
import type { Queryable } from './connect.ts';
import { appendToJournal } from './journal.ts';
import { type LockedJob, micros } from './locked-job.ts';
import { ORDER_COLUMNS, ORDER_NAMES, ORDER_VALUES, orderArrays, renderColumn } from './orders.ts';
import { allSent, type Transaction } from './transaction.ts';

/** The facts of a decision have changed at the job's place in the journal: the job must be decided again. */
export class StaleDecisionError extends Error {}

export type JournalRow = { readonly number: bigint; readonly settledAt: string };

const UPDATE_ACCOUNTS = `
  update accounts
  set balance = moved.balance, held = moved.held, entry_count = moved.entry_count
  from unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[])
    as moved (account_number, currency, balance, held, entry_count)
  where accounts.account_number = moved.account_number and accounts.currency = moved.currency`;

// The journal, and what it covers, in one statement: the arrays are sent once, and the journal's head is locked as late as
// can be. Everything but the entries' sides comes from the arrays, so there is no join, and no plan that could turn.
const WRITE_ENDED = `
  with ${appendToJournal({
    ledgerId: '1',
    ledger: `'main'::text`,
    instant: 'statement_timestamp()',
    transferCount: '$1::integer',
    intakeCount: '$1::integer',
    changeCount: '0',
    digest: '$2::bytea',
  })}, ended as materialized (
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
  on conflict (ledger_id, transfer_id) do update set reversed = excluded.reversed`;

const FIND_OPENED = `
  select account_number
  from accounts
  where account_number = any($1::text[])
  limit 1`;

/**
 * Writes the outcomes of locked transfers, and commits, or for a dry run rolls back. `digest` makes the SHA-256 of the
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
 * The head of the journal is locked now, so no other row can come before this job's row. A missing account may have been
 * opened in an earlier row, and a hold that was not due may be due at the row's time.
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
 * Removes pending transfers whose ids are already settled, and returns whether there were any. It should never be needed: it
 * handles the case that the primary key of transfers refuses a second settlement.
 */
export async function removeSettledTwins(connection: Queryable, transferIds: readonly string[]): Promise<boolean> {
  const removed = await connection.query(
    `with removed as (
       delete from pending_transfers
       where id = any($1::uuid[]) and exists (select from transfers where transfers.id = pending_transfers.id)
       returning lease_id
     ), counted as (
       update leases
       set accepted_count = accepted_count - twins.count
       from (select lease_id, count(*) as count from removed group by lease_id) as twins
       where leases.id = twins.lease_id
     )
     select from removed`,
    [transferIds],
  );
  return removed.rows.length > 0;
}
