// Writes the outcome of a job, and commits: one round trip, whatever the size of the job.
import type { Ledger } from '../../domain/ledger.ts';
import type { Queryable } from '../connection/connect.ts';
import { isDistributed } from '../connection/distributed.ts';
import { type DecidedJob, renderEnded, type Statement, storedIdsOf } from './decided-job.ts';
import { appendToJournal, journalLock } from './journal.ts';
import { type AppendedRow, type SentEnd, theHead } from './journal-distributed.ts';
import { micros } from './locked-job.ts';
import { allSent, type Transaction } from '../connection/transaction.ts';
import { COLUMN_NAMES, COLUMN_VALUES, columnArrays, renderColumn } from '../queries/transfer-columns.ts';
import {
  ALONE,
  type ArraySource,
  BESIDE_HEAD,
  UPDATE_ACCOUNTS_DISTRIBUTED,
  UPDATE_HOLDS_DISTRIBUTED,
  writeEndedDistributed,
} from './settlement-distributed.ts';
import { instantOf } from './micros.ts';
import { appendOpenings, insertOpened, openingTexts } from './openings.ts';

/** The facts of a decision have changed by the job's place in the journal: the job must be decided again. */
export class StaleDecisionError extends Error {}

export type JournalRow = { readonly number: bigint; readonly settledAt: string };

const claimKeysFrom = ({ ledgerId, beside, where }: ArraySource) => `
  insert into idempotency_keys (ledger_id, transfer_id, account_number, key, fingerprint, personal_fingerprint)
  select ${ledgerId}, claim.*
  from ${beside}unnest($2::uuid[], $3::text[], $4::text[], $5::bytea[], $6::bytea[])
    as claim (transfer_id, account_number, key, fingerprint, personal_fingerprint)${where}
  -- In order of the key, so that jobs and intakes with keys in common wait for each other instead of deadlocking.
  order by key`;

// The ledger's id comes from the sub-select: locked-job.ts explains the effect of `ledger_id = $1` on a join.
const UPDATE_ACCOUNTS = `
  update accounts
  set balance = moved.balance, held = moved.held, entry_count = moved.entry_count
  from (
    select $1::integer as ledger_id, sent.*
    from unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[])
      as sent (account_number, currency, balance, held, entry_count)
    offset 0
  ) as moved
  where accounts.ledger_id = moved.ledger_id
    and accounts.account_number = moved.account_number and accounts.currency = moved.currency`;

// A transfer that is missing from the intake log was settled before, and the primary key of transfers refuses it. So as
// many rows are taken as are named, or nothing is committed.
const TAKE_STORED = `
  delete from pending_transfers
  where ledger_id = $1::integer and id = any($2::uuid[])`;

// The journal and the rows that it covers, in one statement, so that the arrays are sent once. Everything but the
// entries' sides comes from the arrays, so there is no join whose plan could change.
const WRITE_ENDED = `
  with ${appendToJournal({
    ledgerId: '$1::integer',
    ledger: '$2::text',
    instant: instantOf('$3::bigint'),
    transferCount: '$4::integer',
    intakeCount: '$7::integer',
    changeCount: '$5::integer',
    digest: '$6::bytea',
  })}, ended as materialized (
    select *
    from unnest(
      $8::bigint[], $9::text[], $10::text[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[],
      ${columnArrays(16)}
    ) with ordinality as ended (
      amount, currency, failure_code, from_entry_number, from_balance, to_entry_number, to_balance, stored_at_micros,
      ${COLUMN_NAMES}, position
    )
  ), inserted as (
    insert into transfers (
      ledger_id, amount, currency, status, failure_code, from_entry_number, to_entry_number, created_at, completed_at,
      journal_number, journal_position, ${COLUMN_NAMES}
    )
    select
      $1::integer, amount, currency, case when failure_code is null then 'completed' else 'failed' end, failure_code,
      from_entry_number, to_entry_number,
      ${instantOf('coalesce(stored_at_micros, $3::bigint)')},
      (select settled_at from journaled), (select number from journaled), position, ${COLUMN_VALUES}
    from ended
  ), entered as (
    insert into entries (
      ledger_id, entry_number, amount, balance, journal_number, transfer_id, account_number, currency
    )
    select $1::integer, side.entry_number, side.amount, side.balance, (select number from journaled), ended.id,
      side.account_number, ended.currency
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

/** The row of a job without transfers, as many openings are. */
const APPEND = `
  with ${appendToJournal({
    ledgerId: '$1::integer',
    ledger: '$2::text',
    instant: instantOf('$3::bigint'),
    transferCount: '0',
    intakeCount: '0',
    changeCount: '$4::integer',
    digest: '$5::bytea',
  })}
  select number, settled_at, ${micros('settled_at')} as settled_micros
  from journaled`;

const insertHoldsFrom = ({ ledgerId, beside, where }: ArraySource) => `
  insert into holds (ledger_id, amount, created_at, expires_at, id, from_account, to_account, currency)
  select ${ledgerId}, amount, created_at, created_at + expires_in * interval '1 second', id, from_account, to_account,
    currency
  from ${beside}unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::integer[], $8::bigint[])
    as made (id, from_account, to_account, currency, amount, expires_in, created_at_micros)
  cross join lateral (
    select ${instantOf('created_at_micros')} as created_at
  ) as time${where}`;

const UPDATE_HOLDS = `
  update holds
  set captured = changed.captured, released = changed.released, state = changed.state, expiry_id = changed.expiry_id
  from (
    select $1::integer as ledger_id, sent.*
    from unnest($2::uuid[], $3::bigint[], $4::bigint[], $5::text[], $6::uuid[])
      as sent (id, captured, released, state, expiry_id)
    offset 0
  ) as changed
  where holds.ledger_id = changed.ledger_id and holds.id = changed.id`;

const updateReversedFrom = ({ ledgerId, beside, where }: ArraySource) => `
  insert into reversed_amounts (ledger_id, transfer_id, amount, reversed)
  select ${ledgerId}, transfer_id, amount, reversed
  from ${beside}unnest($2::uuid[], $3::bigint[], $4::bigint[]) as changed (transfer_id, amount, reversed)${where}
  on conflict (ledger_id, transfer_id) do update set reversed = excluded.reversed`;

const textsOf = (source: ArraySource, updateAccounts: string, updateHolds: string) => ({
  claimKeys: claimKeysFrom(source),
  ...openingTexts(source),
  updateAccounts,
  insertHolds: insertHoldsFrom(source),
  updateHolds,
  updateReversed: updateReversedFrom(source),
});
type Texts = ReturnType<typeof textsOf>;
const TEXTS = textsOf(ALONE, UPDATE_ACCOUNTS, UPDATE_HOLDS);
const DISTRIBUTED_TEXTS = textsOf(BESIDE_HEAD, UPDATE_ACCOUNTS_DISTRIBUTED, UPDATE_HOLDS_DISTRIBUTED);

const FIND_OPENED = `
  select account_number
  from accounts
  where ledger_id = $1::integer and account_number = any($2::text[])
  limit 1`;

/**
 * Writes a decided job, and commits; for a dry run, leaves the transaction open. Throws StaleDecisionError if the job
 * must be decided again, and any other error if a statement failed. The caller rolls back.
 */
export async function writeJob(transaction: Transaction, job: DecidedJob): Promise<JournalRow> {
  const { connection } = transaction;
  const { ledger, missing, nextExpiry, dryRun } = job;
  const run = async (statement: Statement) => await connection.query(statement);
  const texts = isDistributed(connection) ? DISTRIBUTED_TEXTS : TEXTS;
  // In the order of the locks: accounts are locked already, then keys, then the intake log, then the journal. A job that
  // waits for a row of the intake log does not block the ledger meanwhile.
  const stored = storedIdsOf(job);
  const sent: Promise<unknown>[] = [
    ...claimKeys(job, texts).map(run),
    ...writeAccounts(job, texts).map(run),
    ...writeHolds(job, texts).map(run),
    ...takeStored(ledger, stored).map(run),
  ];
  const writeRows = isDistributed(connection) ? writeEndedDistributed : writeEnded;
  const ended = writeRows(connection, job, stored.length);
  sent.push(...ended.sent, ...appendOpenings(job).map(run));
  if (missing.length > 0 || nextExpiry !== null || dryRun) {
    await allSent(sent);
    const { settled_micros: settledMicros } = await ended.appended();
    await refuseStale(connection, { ledgerId: ledger.id, missing, nextExpiry, settledMicros });
    if (!dryRun) await transaction.commit();
  } else await transaction.commit(sent);
  const row = await ended.appended();
  return { number: row.number, settledAt: row.settled_at };
}

function claimKeys({ ledger, claims }: DecidedJob, texts: Texts): Statement[] {
  if (claims.length === 0) return [];
  const values = [
    ledger.id,
    claims.map(({ transferId }) => transferId),
    claims.map(({ accountNumber }) => accountNumber),
    claims.map(({ key }) => key),
    claims.map(({ fingerprint }) => Buffer.from(fingerprint)),
    claims.map(({ personalFingerprint }) => (personalFingerprint ? Buffer.from(personalFingerprint) : null)),
  ];
  return [{ name: 'claim keys', text: texts.claimKeys, values }];
}

function writeAccounts({ ledger, jobMicros, opened, changed }: DecidedJob, texts: Texts): Statement[] {
  const isNew = new Set(opened.map(({ state }) => `${state.currency} ${state.accountNumber}`));
  const moved = changed.accounts.filter(
    ({ currency, accountNumber }) => isNew.size === 0 || !isNew.has(`${currency} ${accountNumber}`),
  );
  const statements = insertOpened(ledger, { jobMicros, opened }, texts);
  if (moved.length > 0) {
    const values = [
      ledger.id,
      renderColumn(moved.map(({ accountNumber }) => accountNumber)),
      renderColumn(moved.map(({ currency }) => currency)),
      renderColumn(moved.map(({ balance }) => balance)),
      renderColumn(moved.map(({ held }) => held)),
      renderColumn(moved.map(({ entryCount }) => entryCount)),
    ];
    statements.push({ name: 'update accounts', text: texts.updateAccounts, values });
  }
  return statements;
}

function writeHolds({ ledger, transfers, outcomes, changed }: DecidedJob, texts: Texts): Statement[] {
  const { holds, originals } = changed;
  const statements: Statement[] = [];
  const made = transfers.flatMap((transfer, index) => {
    const outcome = outcomes[index];
    return transfer.kind === 'hold' && outcome?.ok ? [{ transfer, outcome }] : [];
  });
  if (made.length > 0) {
    const values = [
      ledger.id,
      made.map(({ transfer }) => transfer.id),
      made.map(({ transfer }) => transfer.fromAccount),
      made.map(({ transfer }) => transfer.toAccount),
      made.map(({ outcome }) => outcome.currency),
      made.map(({ outcome }) => outcome.amount),
      made.map(({ transfer }) => transfer.expiresIn),
      made.map(({ transfer }) => transfer.createdAtMicros),
    ];
    statements.push({ name: 'insert holds', text: texts.insertHolds, values });
  }
  if (holds.length > 0) {
    const expiryOf = new Map(
      transfers.flatMap(({ kind, parentId, id }) => (kind === 'expiry' ? [[parentId, id]] : [])),
    );
    const values = [
      ledger.id,
      holds.map(({ id }) => id),
      holds.map(({ captured }) => captured),
      holds.map(({ released }) => released),
      holds.map(({ state }) => state),
      holds.map(({ id, state }) => (state === 'expired' ? (expiryOf.get(id) ?? null) : null)),
    ];
    statements.push({ name: 'update holds', text: texts.updateHolds, values });
  }
  if (originals.length > 0) {
    const values = [
      ledger.id,
      originals.map(({ id }) => id),
      originals.map(({ amount }) => amount),
      originals.map(({ reversed }) => reversed),
    ];
    statements.push({ name: 'update reversed', text: texts.updateReversed, values });
  }
  return statements;
}

function takeStored(ledger: Ledger, stored: readonly string[]): Statement[] {
  if (stored.length === 0) return [];
  return [{ name: 'take stored', text: TAKE_STORED, values: [ledger.id, renderColumn(stored)] }];
}

function writeEnded(connection: Queryable, job: DecidedJob, intakeCount: number): SentEnd {
  const locked = connection.query(journalLock(job.ledger));
  const journaled = connection.query<AppendedRow>(endOf(job, intakeCount));
  return { sent: [locked, journaled], appended: async () => theHead((await journaled).rows[0]) };
}

function endOf(job: DecidedJob, intakeCount: number): Statement {
  const { ledger, jobMicros, transfers, opened } = job;
  const common = [ledger.id, ledger.name, jobMicros];
  if (transfers.length === 0)
    return { name: 'append to journal', text: APPEND, values: [...common, opened.length, job.digest()] };
  const ended = renderEnded(job);
  return {
    name: 'write ended',
    text: WRITE_ENDED,
    values: [
      ...common,
      transfers.length,
      opened.length,
      job.digest(),
      intakeCount,
      ended.amount,
      ended.currency,
      ended.failureCode,
      ended.fromEntryNumber,
      ended.fromBalance,
      ended.toEntryNumber,
      ended.toBalance,
      ended.storedAtMicros,
      ...job.columns,
    ],
  };
}

/**
 * The head of the journal is locked now, so no other row can come before this job's row. A missing account may have
 * been opened in an earlier row, and a hold that was not due may be due at the row's time.
 */
async function refuseStale(
  connection: Queryable,
  facts: { ledgerId: number; missing: readonly string[]; nextExpiry: bigint | null; settledMicros: bigint },
): Promise<void> {
  const { ledgerId, missing, nextExpiry, settledMicros } = facts;
  if (nextExpiry !== null && nextExpiry <= settledMicros) throw new StaleDecisionError('A hold became due.');
  if (missing.length === 0) return;
  const values = [ledgerId, renderColumn(missing)];
  const opened = await connection.query({ name: 'find opened', text: FIND_OPENED, values });
  if (opened.rows.length > 0) throw new StaleDecisionError('An account was opened.');
}
