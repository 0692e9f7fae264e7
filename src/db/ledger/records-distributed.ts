// The records of account changes and of administration on Citus: the same as elsewhere, in one statement for each table.
import type { Ledger } from '../../domain/ledger.ts';
import type { Queryable } from '../connection/connect.ts';
import { journalEnd } from '../queries/journal-end.ts';
import { appendStatements, type JournalValues } from './journal-distributed.ts';
import { micros } from './locked-job.ts';

// `account_seal` takes a whole row, which has another type on each shard. So this is its expression.
const SEAL = `
  select seal, change_number, statement_timestamp() as at, sha256(convert_to(
      concat_ws(
        chr(31), account_number, currency, change_number, encode(seal, 'hex'), coalesce($4::text, ''),
        coalesce($5::text, '')
      ) || chr(30),
      'UTF8'
    )) as digest
  from (
    select account_number, currency, sha256(convert_to(
        concat_ws(
          chr(31), account_number, currency, status, coalesce(encode(personal_data, 'hex'), ''), overdraft_limit,
          metadata::text, ${micros('created_at')}
        ),
        'UTF8'
      )) as seal, 1 + (
        select coalesce(max(change_number), 0)
        from account_changes
        where ledger_id = $1::integer and account_number = $2::text and currency = $3::text
      ) as change_number
    from accounts
    where ledger_id = $1::integer and account_number = $2::text and currency = $3::text
  ) as sealed`;

const INSERT_CHANGE = `
  insert into account_changes (
    ledger_id, change_number, journal_number, account_number, currency, seal, ordered_by, approved_by
  )
  select ledger_id, $4::bigint, number, $2::text, $3::text, $5::bytea, $6::text, $7::text
  from ${journalEnd('$1::integer')} as head`;

/** Does what `seal account` does elsewhere. */
export async function sealDistributed(
  connection: Queryable,
  ledger: Ledger,
  { accountNumber, currency }: { accountNumber: string; currency: string },
  by: readonly [orderedBy: string | null, approvedBy: string | null],
): Promise<void> {
  const key = [ledger.id, accountNumber, currency];
  const sealed = await connection.query<{ seal: Buffer; change_number: bigint; digest: Buffer; at: string }>({
    name: 'load seal',
    text: SEAL,
    values: [...key, ...by],
  });
  const [row] = sealed.rows;
  if (row === undefined) return;
  const { at: instant, digest } = row;
  await append(connection, ledger, { instant, ...ONE_CHANGE, digest });
  const values = [...key, row.change_number, row.seal, ...by];
  await connection.query({ name: 'insert account change', text: INSERT_CHANGE, values });
}

/** One after the other: the connections of pools do not pipeline. */
async function append(connection: Queryable, ledger: Ledger, row: JournalValues): Promise<void> {
  const { lock, insert } = appendStatements(ledger, row);
  await connection.query({ ...lock });
  await connection.query({ ...insert });
}

const ONE_CHANGE = { transferCount: 0, intakeCount: 0, changeCount: 1 };

const DIGEST = `
  select statement_timestamp() as at, sha256(convert_to(
      concat_ws(
        chr(31), $1::uuid, $2::text, coalesce($3::text, ''), $4::text, $5::text, ${micros('statement_timestamp()')}
      ) || chr(30),
      'UTF8'
    )) as digest`;

const INSERT_ACT = `
  insert into audit_log (ledger_id, at, journal_number, id, action, actor, subject, details)
  select ledger_id, $2::timestamptz, number, $3::uuid, $4::text, $5::text, $6::text, $7::text
  from ${journalEnd('$1::integer')} as head`;

/** Does what `record administration` does elsewhere. `act`: id, action, actor, subject and details. */
export async function recordDistributed(
  connection: Queryable,
  ledger: Ledger,
  act: readonly [id: string, action: string, actor: string | null, subject: string, details: string],
): Promise<void> {
  const digested = await connection.query<{ digest: Buffer; at: string }>({
    name: 'load digest of act',
    text: DIGEST,
    values: [...act],
  });
  const [row] = digested.rows;
  if (row === undefined) throw new Error('The server digests nothing.');
  const { at: instant, digest } = row;
  await append(connection, ledger, { instant, ...ONE_CHANGE, digest });
  const values = [ledger.id, instant, ...act];
  await connection.query({ name: 'insert act', text: INSERT_ACT, values });
}
