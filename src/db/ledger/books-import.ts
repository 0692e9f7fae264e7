// The statements that rebuild a ledger from portable books, in one transaction. What the books do not have is derived from
// their records: entries, holds, and what was reversed.
import { randomUUIDv7 } from 'node:crypto';
import type { Ledger } from '../../domain/ledger.ts';
import type { Queryable } from '../connection/connect.ts';
import { LEDGERS_MAX, lockLedgerName, reserveLedgerId } from './ledgers.ts';
import { instantOf } from './micros.ts';

/** The books to import. Times are microseconds since 1970, hashes are hexadecimal. */
export type ImportedLedger = {
  readonly name: string;
  readonly id: number;
  readonly createdAt: number;
  readonly clockStart: number | null;
  readonly approvalAbove: number | null;
  /** The row of the journal after which they begin, and its hash. */
  readonly since: number;
  readonly previousHash: string;
};

/** The end of the imported journal. */
export type ImportedEnd = { readonly number: number; readonly closedUntil: number | null };

/** Why books cannot be imported into this database. */
export class ImportRefusedError extends Error {}

const bytes = (hex: string) => `decode(${hex}, 'hex')`;
const lines = (columns: string) => `json_to_recordset($2::json) as line (${columns})`;

const LOCK = `
  select id
  from ledgers
  join journal_head as head on head.ledger_id = id
  where name = $1::text
  for update of head`;

// Read after the lock, by a statement of its own, which sees the last row.
const STATE = `
  select number, encode(hash, 'hex') as hash, (extract(epoch from clock_start) * 1000000)::bigint as clock_start
  from ledgers
  join journal_ends on ledger_id = id
  where id = $1::integer`;

/** Locks the ledger, which is created if it does not exist. Throws an ImportRefusedError if the books do not fit. */
export async function openImport(connection: Queryable, books: ImportedLedger): Promise<Ledger> {
  await lockLedgerName(connection, books.name);
  const locked = await connection.query<{ id: number }>(LOCK, [books.name]);
  const id = locked.rows[0]?.id ?? null;
  if (id === null) return await createImported(connection, books);
  type State = { number: bigint; hash: string; clock_start: bigint | null };
  const [ledger] = (await connection.query<State>(STATE, [id])).rows;
  if (!ledger) throw new Error('A ledger that is locked was not found.');
  if (ledger.number !== BigInt(books.since) || ledger.hash !== books.previousHash) {
    throw new ImportRefusedError(
      `the ledger ${books.name} is there already, at journal row ${ledger.number} sha256:${ledger.hash}, and the books begin after row ${books.since} sha256:${books.previousHash}`,
    );
  }
  const clock = ledger.clock_start === null ? null : Number(ledger.clock_start);
  if (clock !== books.clockStart)
    throw new ImportRefusedError('the ledger and the books do not have the same test clock');
  await connection.query(
    `update ledgers set created_at = ${instantOf('$2::bigint')}, approval_above = $3::bigint where id = $1::integer`,
    [id, books.createdAt, books.approvalAbove],
  );
  return toLedger(id, books);
}

/** The ledger keeps its id, with which its personal data was encrypted; if another has it, it gets one beyond all others. */
async function createImported(connection: Queryable, books: ImportedLedger): Promise<Ledger> {
  if (books.since > 0) throw new ImportRefusedError(`there is no ledger ${books.name} that these books could continue`);
  const id = await reserveLedgerId(connection, books.id);
  // No ledger could be created after it.
  if (id > LEDGERS_MAX)
    throw new ImportRefusedError(`its id would be ${id}, and there are at most ${LEDGERS_MAX} ledgers`);
  await connection.query(
    `insert into ledgers (id, name, created_at, clock_start, approval_above)
     values ($1::integer, $2::text, ${instantOf('$3::bigint')}, ${instantOf('$4::bigint')}, $5::bigint)`,
    [id, books.name, books.createdAt, books.clockStart, books.approvalAbove],
  );
  await connection.query(
    `insert into journal_head (ledger_id, opened_at, clock)
     select id, coalesce(clock_start, created_at), clock_start from ledgers where id = $1::integer`,
    [id],
  );
  return toLedger(id, books);
}

function toLedger(id: number, { name, clockStart }: ImportedLedger): Ledger {
  return clockStart === null ? { id, name } : { id, name, hasTestClock: true };
}

/** What the lines of one kind become. The parameters are the ledger's id, and a JSON array of the lines. */
const INSERTS = {
  change: `
    insert into account_changes (
      ledger_id, change_number, journal_number, account_number, currency, seal, ordered_by, approved_by
    )
    select $1::integer, change_number, journal_number, account_number, currency, ${bytes('seal')}, ordered_by, approved_by
    from ${lines(`change_number bigint, journal_number bigint, account_number text, currency text, seal text,
      ordered_by text, approved_by text`)}`,
  act: `
    insert into audit_log (ledger_id, at, journal_number, id, action, actor, subject, details)
    select $1::integer, ${instantOf('at')}, journal_number, id, action, actor, subject, details
    from ${lines('at bigint, journal_number bigint, id uuid, action text, actor text, subject text, details text')}`,
  transfer: `
    with line as materialized (
      select *
      from ${lines(`journal_number bigint, journal_position integer, settled_at bigint, id uuid, from_account text,
        to_account text, amount bigint, currency text, status text, failure_code text, request_id text, description text,
        metadata text, created_at bigint, from_entry_number bigint, from_balance bigint, to_entry_number bigint,
        to_balance bigint, kind text, parent_id uuid, group_id uuid, group_position integer, atomic boolean,
        final_capture boolean, expires_in integer, if_from_entry_number bigint, if_min_available_after bigint,
        ordered_by text, approved_by text, rate text, remote_account text`)}
    ), inserted as (
      insert into transfers (
        ledger_id, created_at, completed_at, metadata, id, from_account, to_account, amount, currency, status, failure_code,
        request_id, description, journal_number, journal_position, from_entry_number, to_entry_number, kind, parent_id,
        group_id, group_position, atomic, final_capture, expires_in, if_from_entry_number, if_min_available_after,
        ordered_by, approved_by, rate, remote_account
      )
      select $1::integer, ${instantOf('created_at')}, ${instantOf('settled_at')}, metadata::jsonb, id, from_account, to_account, amount,
        currency, status, failure_code, request_id, description, journal_number, journal_position, from_entry_number,
        to_entry_number, kind, parent_id, group_id, group_position, atomic, final_capture, expires_in,
        if_from_entry_number, if_min_available_after, ordered_by, approved_by, rate, remote_account
      from line
    )
    insert into entries (ledger_id, entry_number, amount, balance, journal_number, transfer_id, account_number, currency)
    select $1::integer, side.entry_number, side.amount, side.balance, journal_number, id, side.account_number, currency
    from line
    cross join lateral (
      values
        (from_entry_number, -line.amount, from_balance, from_account),
        (to_entry_number, line.amount, to_balance, to_account)
    ) as side (entry_number, amount, balance, account_number)
    where from_entry_number is not null`,
  journal: `
    insert into journal (
      ledger_id, number, settled_at, transfer_count, intake_count, change_count, digest, previous_hash, hash
    )
    select $1::integer, number, ${instantOf('settled_at')}, transfer_count, intake_count, change_count, ${bytes('digest')},
      ${bytes('previous_hash')}, ${bytes('hash')}
    from ${lines(`number bigint, settled_at bigint, transfer_count integer, intake_count integer, change_count integer,
      digest text, previous_hash text, hash text`)}`,
  key: `
    insert into idempotency_keys (
      ledger_id, key, transfer_id, account_number, clock, fingerprint, personal_fingerprint, created_at
    )
    select $1::integer, key, transfer_id, account_number, ${instantOf('clock')}, ${bytes('fingerprint')},
      ${bytes('personal_fingerprint')}, ${instantOf('created_at')}
    from ${lines(`key text, transfer_id uuid, account_number text, clock bigint, fingerprint text, personal_fingerprint text,
      created_at bigint`)}`,
  account: `
    insert into accounts (
      ledger_id, account_number, currency, status, personal_data, overdraft_limit, metadata, created_at, balance, held,
      entry_count
    )
    select $1::integer, account_number, currency, status, ${bytes('personal_data')}, overdraft_limit, metadata::jsonb,
      ${instantOf('created_at')}, balance, held, entry_count
    from ${lines(`account_number text, currency text, status text, personal_data text, overdraft_limit bigint,
      metadata text, created_at bigint, balance bigint, held bigint, entry_count bigint`)}
    on conflict (ledger_id, account_number, currency) do update
    set status = excluded.status, personal_data = excluded.personal_data, overdraft_limit = excluded.overdraft_limit,
      metadata = excluded.metadata, balance = excluded.balance, held = excluded.held, entry_count = excluded.entry_count`,
} as const;

export type ImportedType = keyof typeof INSERTS;

/** Inserts lines of one kind: JSON objects with the members of the line and, if a row covers it, its `journal_number`. */
export async function insertLines(
  connection: Queryable,
  ledger: Ledger,
  type: ImportedType,
  objects: readonly string[],
): Promise<void> {
  if (objects.length > 0) await connection.query(INSERTS[type], [ledger.id, `[${objects.join(',')}]`]);
}

const HOLDS = `
  insert into holds (
    ledger_id, amount, captured, released, created_at, expires_at, id, expiry_id, from_account, to_account, currency, state
  )
  select $1::integer, hold.amount, parts.captured, case when parts.is_ended then hold.amount - parts.captured else 0 end,
    hold.created_at, hold.created_at + hold.expires_in * interval '1 second', hold.id, parts.expiry_id, hold.from_account,
    hold.to_account, hold.currency,
    case
      when parts.is_voided then 'voided'
      when parts.expiry_id is not null then 'expired'
      when parts.is_ended or parts.captured = hold.amount then 'captured'
      else 'open'
    end
  from (
    select id
    from transfers
    where ledger_id = $1::integer and journal_number > $2::bigint and kind = 'hold' and status = 'completed'
    union
    select parent_id
    from transfers
    where ledger_id = $1::integer and journal_number > $2::bigint and kind in ('capture', 'void', 'expiry')
      and status = 'completed'
  ) as touched
  join transfers as hold on hold.ledger_id = $1::integer and hold.id = touched.id
  cross join lateral (
    select coalesce(sum(amount) filter (where kind = 'capture'), 0) as captured,
      coalesce(bool_or(kind <> 'capture' or final_capture), false) as is_ended,
      coalesce(bool_or(kind = 'void'), false) as is_voided,
      -- There is no max of uuid.
      (array_agg(id) filter (where kind = 'expiry'))[1] as expiry_id
    from transfers as part
    where part.ledger_id = $1::integer and part.parent_id = hold.id and part.status = 'completed'
  ) as parts
  on conflict (ledger_id, id) do update
  set captured = excluded.captured, released = excluded.released, expiry_id = excluded.expiry_id, state = excluded.state`;

const REVERSED = `
  insert into reversed_amounts (ledger_id, transfer_id, amount, reversed)
  select $1::integer, original.id, original.amount, sum(reversal.amount)
  from (
    select distinct parent_id
    from transfers
    where ledger_id = $1::integer and journal_number > $2::bigint and kind = 'reversal' and status = 'completed'
  ) as touched
  join transfers as original on original.ledger_id = $1::integer and original.id = touched.parent_id
  join transfers as reversal on reversal.ledger_id = $1::integer and reversal.parent_id = touched.parent_id
  where reversal.status = 'completed' and reversal.kind = 'reversal'
  group by original.id, original.amount
  on conflict (ledger_id, transfer_id) do update set reversed = excluded.reversed`;

// No hash covers two of these times. The ledger's time is never before them, so that one far ahead would date all that follows.
const LATEST = `
  select greatest(created_at, settled_at, ${instantOf('$3::bigint')})::text as latest
  from ledgers
  left join journal on ledger_id = id and number = $2::bigint
  where id = $1::integer and clock_start is null
    and greatest(created_at, settled_at, ${instantOf('$3::bigint')}) > clock_timestamp()`;

// A service on the copy may have told a reader that no row settled before this instant can follow.
const REOPENED = `
  select closed_until::text
  from journal_head
  join journal using (ledger_id)
  where ledger_id = $1::integer and journal.number = $2::bigint + 1 and $2::bigint > 0 and clock is null
    and journal.settled_at <= closed_until`;

// A test clock stands where its journal ends. A trigger refuses any change of the real one.
const HEAD = (hasTestClock: boolean) => `
  update journal_head
  set closed_until = greatest(${instantOf('$3::bigint')}, closed_until)${hasTestClock ? ', clock = last.settled_at' : ''}
  from (
    select settled_at
    from journal
    where ledger_id = $1::integer and number = $2::bigint
  ) as last
  where journal_head.ledger_id = $1::integer`;

// A service would order the credit of such a transfer, although the ledger that the books come from may have done so. It could
// reach another ledger of the same name.
const UNENDED = `
  select count(*) as transfers
  from holds
  where ledger_id = $1::integer and state = 'open' and to_account like '@ledger:%'`;

// Leases count what was accepted, and the journal what of it was settled: the two sums are equal.
const LEASE = `
  insert into ledger_leases (ledger_id, lease_id, accepted_count, session, closed)
  select $1::integer, $3::uuid, sum(intake_count), 1, true
  from journal
  where ledger_id = $1::integer and number > $2::bigint
  having sum(intake_count) > 0`;

/** Derives what the lines do not have, and moves the head: the last step of an import. */
export async function finishImport(
  connection: Queryable,
  ledger: Ledger,
  since: number,
  { number, closedUntil }: ImportedEnd,
): Promise<void> {
  const future = await connection.query<{ latest: string }>(LATEST, [ledger.id, number, closedUntil]);
  if (future.rows[0])
    throw new ImportRefusedError(`they have the time ${future.rows[0].latest}, which is in the future`);
  const closed = await connection.query<{ closed_until: string }>(REOPENED, [ledger.id, since]);
  if (closed.rows[0]) {
    throw new ImportRefusedError(
      `a service on this copy answered that its books are closed until ${closed.rows[0].closed_until}, and the books have rows from before; import all files into an empty ledger`,
    );
  }
  await connection.query(HOLDS, [ledger.id, since]);
  const unended = await connection.query<{ transfers: bigint }>(UNENDED, [ledger.id]);
  const { transfers = 0n } = unended.rows[0] ?? {};
  if (transfers > 0n) {
    throw new ImportRefusedError(
      `${transfers} transfers to other ledgers have not ended at their last row; export again when none is pending, or --until a row where none was`,
    );
  }
  await connection.query(REVERSED, [ledger.id, since]);
  if (number > since) await connection.query(HEAD(ledger.hasTestClock === true), [ledger.id, number, closedUntil]);
  await connection.query(LEASE, [ledger.id, since, randomUUIDv7()]);
  await connection.query(
    `delete from personal_keys
     using accounts
     where personal_keys.ledger_id = $1::integer and accounts.ledger_id = $1::integer
       and accounts.account_number = personal_keys.account_number and accounts.currency = personal_keys.currency
       and personal_data is null`,
    [ledger.id],
  );
  await connection.query(
    `delete from account_words
     where ledger_id = $1::integer and not exists (
       select
       from personal_keys
       where ledger_id = $1::integer and personal_keys.account_number = account_words.account_number
     )`,
    [ledger.id],
  );
}
