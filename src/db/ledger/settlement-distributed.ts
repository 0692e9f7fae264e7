// The statements of a job on Citus. Each names the ledger, writes one table and reads arrays beside a row of the ledger, so
// that it runs whole on the ledger's node: tables that are read together with arrays alone are copied there instead.
import { renderInstant } from '../../domain/instant.ts';
import type { Queryable } from '../connection/connect.ts';
import { COLUMN_NAMES, COLUMN_VALUES, columnArrays } from '../queries/transfer-columns.ts';
import { type DecidedJob, renderEnded } from './decided-job.ts';
import { journalEnd } from '../queries/journal-end.ts';
import { type AppendedRow, appendStatements, type SentEnd, theHead } from './journal-distributed.ts';
import { instantOf } from './micros.ts';

/** The parts of an insert from arrays that are not the same everywhere. */
export type ArraySource = { readonly ledgerId: string; readonly beside: string; readonly where: string };

export const ALONE: ArraySource = { ledgerId: '$1::integer', beside: '', where: '' };

const OF_LEDGER = 'journal_head.ledger_id = $1::integer';
export const BESIDE_HEAD: ArraySource = {
  ledgerId: 'journal_head.ledger_id',
  beside: 'journal_head cross join ',
  where: `
  where ${OF_LEDGER}`,
};

export const UPDATE_ACCOUNTS_DISTRIBUTED = `
  update accounts
  set balance = moved.balance, held = moved.held, entry_count = moved.entry_count
  from unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[])
    as moved (account_number, currency, balance, held, entry_count)
  where accounts.ledger_id = $1::integer
    and accounts.account_number = moved.account_number and accounts.currency = moved.currency`;

export const UPDATE_HOLDS_DISTRIBUTED = `
  update holds
  set captured = changed.captured, released = changed.released, state = changed.state, expiry_id = changed.expiry_id
  from unnest($2::uuid[], $3::bigint[], $4::bigint[], $5::text[], $6::uuid[])
    as changed (id, captured, released, state, expiry_id)
  where holds.ledger_id = $1::integer and holds.id = changed.id`;

const INSERT_TRANSFERS = `
  insert into transfers (
    ledger_id, amount, currency, status, failure_code, from_entry_number, to_entry_number, created_at, completed_at,
    journal_number, journal_position, ${COLUMN_NAMES}
  )
  select
    head.ledger_id, amount, currency, case when failure_code is null then 'completed' else 'failed' end,
    failure_code, from_entry_number, to_entry_number,
    ${instantOf('coalesce(stored_at_micros, $2::bigint)')}, head.settled_at,
    head.number, position, ${COLUMN_VALUES}
  from ${journalEnd('$1::integer')} as head
  cross join unnest(
    $3::bigint[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[], ${columnArrays(9)}
  ) with ordinality as ended (
    amount, currency, failure_code, from_entry_number, to_entry_number, stored_at_micros, ${COLUMN_NAMES}, position
  )`;

const INSERT_ENTRIES = `
  insert into entries (
    ledger_id, entry_number, amount, balance, journal_number, transfer_id, account_number, currency
  )
  select head.ledger_id, side.entry_number, side.amount, side.balance, head.number, ended.id,
    side.account_number, ended.currency
  from ${journalEnd('$1::integer')} as head
  cross join unnest(
    $2::uuid[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[]
  ) as ended (
    id, from_account, to_account, currency, amount, from_entry_number, from_balance, to_entry_number, to_balance
  )
  cross join lateral (
    values
      (from_entry_number, -ended.amount, from_balance, from_account),
      (to_entry_number, ended.amount, to_balance, to_account)
  ) as side (entry_number, amount, balance, account_number)
  where from_entry_number is not null`;

/** Sends what `write ended` does elsewhere. `intakeCount`: how many of the transfers are in the intake log. */
export function writeEndedDistributed(connection: Queryable, job: DecidedJob, intakeCount: number): SentEnd {
  const { ledger, jobMicros, transfers, opened } = job;
  const run = async (name: string, text: string, values: unknown[]) => await connection.query({ name, text, values });
  const ended = renderEnded(job);
  const { amount, currency, failureCode, fromEntryNumber, fromBalance, toEntryNumber, toBalance } = ended;
  const sent: Promise<unknown>[] = [];
  const { lock, insert, read } = appendStatements(ledger, {
    instant: renderInstant(jobMicros),
    transferCount: transfers.length,
    intakeCount,
    changeCount: opened.length,
    digest: job.digest(),
  });
  sent.push(connection.query({ ...lock }), connection.query({ ...insert }));
  const reading = connection.query<AppendedRow>({ ...read });
  sent.push(reading);
  if (transfers.length > 0) {
    const columns = [amount, currency, failureCode, fromEntryNumber, toEntryNumber, ended.storedAtMicros];
    sent.push(run('insert transfers', INSERT_TRANSFERS, [ledger.id, jobMicros, ...columns, ...job.columns]));
  }
  if (fromEntryNumber !== null) {
    const [id, from, to] = job.columns;
    const sides = [amount, fromEntryNumber, fromBalance, toEntryNumber, toBalance];
    sent.push(run('insert entries', INSERT_ENTRIES, [ledger.id, id, from, to, currency, ...sides]));
  }
  return { sent, appended: async () => theHead((await reading).rows[0]) };
}
