// Fills a ledger with accounts and a history, set by set, as the service would have: two entries per transfer, running
// balances, a journal whose chain is whole. An audit of it finds nothing.
//
// The history is a ring: account k sends 1 to account k + 1, over and over, so that every row follows from its number.
import type { Connection } from '../src/db/connection/connect.ts';

export const PREFIX = 'BENCH';
const OPENING_BALANCE = 1_000_000_000;
const JOB_SIZE = 500;
/** As many bytes as a short name has when it is encrypted. Nothing reads it. */
const PERSONAL_DATA = `substr(sha256('personal') || sha256('data'), 1, 49)`;

/** Seeds an empty ledger. `transfers` is rounded up to whole turns of the ring, and returned. */
export async function seedLedger(connection: Connection, accounts: number, transfers: number): Promise<number> {
  const turns = Math.ceil(transfers / accounts);
  const history = turns * accounts;
  await connection.query('begin');
  await connection.query(`
    set local work_mem = '256MB';
    create temp table beginning on commit drop as select now() - interval '1 hour' as began`);
  await connection.query(insertAccounts(accounts, turns));
  await connection.query(`
    insert into personal_keys (ledger_id, account_number, currency, key)
    select ledger_id, account_number, currency, sha256('key') from accounts where personal_data is not null`);
  await connection.query(
    'create temp table job (number bigint, transfer_count integer, change_count integer, digest bytea) on commit drop',
  );
  await connection.query(insertChanges(accounts));
  for (const rows of [openings(accounts), ring(accounts, history)]) {
    await connection.query(insertTransfers(rows));
    await connection.query(insertEntries(rows));
    await connection.query(insertJobs(rows));
  }
  await connection.query('create unique index on job (number); analyze job');
  await connection.query(CHAIN);
  await connection.query('commit');
  await connection.query('vacuum analyze');
  return history;
}

/** The instant of a row of the journal: a tenth of a millisecond after the one before. */
const instantOf = (number: string) => `((select began from beginning) + ${number} * interval '100 microseconds')`;
const microsOf = (instant: string) => `(extract(epoch from ${instant}) * 1000000)::bigint`;

function insertAccounts(accounts: number, turns: number): string {
  return `
    insert into accounts (ledger_id, account_number, currency, personal_data, balance, entry_count, created_at)
    select 1, '@external', 'USD', null, ${-accounts * OPENING_BALANCE}, ${accounts}, began from beginning
    union all
    select 1, '${PREFIX}-' || k, 'USD', ${PERSONAL_DATA}, ${OPENING_BALANCE}, ${1 + 2 * turns}, began
    from beginning, generate_series(0, ${accounts - 1}) as k`;
}

// Row 1 of the journal is the opening of @external, row k + 2 that of account k.
function insertChanges(accounts: number): string {
  return `
    with opened as (
      select k + 2 as number, accounts.*, account_seal(accounts) as seal
      from generate_series(-1, ${accounts - 1}) as k
      join accounts on account_number = case when k < 0 then '@external' else '${PREFIX}-' || k end
    ), changed as (
      insert into account_changes (ledger_id, change_number, journal_number, account_number, currency, seal)
      select 1, 1, number, account_number, currency, seal from opened order by number
    )
    insert into job (number, transfer_count, change_count, digest)
    select number, 0, 1,
      sha256(convert_to(concat_ws(chr(31), account_number, currency, 1, encode(seal, 'hex'), '', '') || chr(30), 'UTF8'))
    from opened`;
}

/** One row per transfer, without its id and times. */
function openings(accounts: number): string {
  return `
    select k::bigint as place, ${accounts + 2} + k / ${JOB_SIZE} as number, 1 + k % ${JOB_SIZE} as position,
      '@external' as from_account, '${PREFIX}-' || k as to_account, ${OPENING_BALANCE}::bigint as amount,
      k + 1 as from_entry, (k + 1) * ${-OPENING_BALANCE}::bigint as from_balance,
      1 as to_entry, ${OPENING_BALANCE}::bigint as to_balance
    from generate_series(0, ${accounts - 1}) as k`;
}

// In each turn, every account but the first receives before it sends.
function ring(accounts: number, history: number): string {
  const first = accounts + 2 + Math.ceil(accounts / JOB_SIZE);
  return `
    select ${accounts}::bigint + i as place, ${first} + i / ${JOB_SIZE} as number, 1 + i % ${JOB_SIZE} as position,
      '${PREFIX}-' || i % ${accounts} as from_account, '${PREFIX}-' || (i + 1) % ${accounts} as to_account, 1::bigint as amount,
      2 + 2 * (i / ${accounts}) + case when i % ${accounts} = 0 then 0 else 1 end as from_entry,
      ${OPENING_BALANCE} - case when i % ${accounts} = 0 then 1 else 0 end as from_balance,
      2 + 2 * (i / ${accounts}) + case when (i + 1) % ${accounts} = 0 then 1 else 0 end as to_entry,
      ${OPENING_BALANCE} + case when (i + 1) % ${accounts} = 0 then 0 else 1 end as to_balance
    from generate_series(0, ${history - 1}) as i`;
}

/** The same with ids in the form and order of UUIDv7, and times. */
const complete = (rows: string) => `(
  select planned.*,
    (lpad(to_hex(${microsOf('instant')} / 1000), 12, '0') || '7' || lpad(to_hex(place % 4096), 3, '0')
      || '8' || lpad(to_hex(place), 15, '0'))::uuid as id
  from (select planned.*, ${instantOf('number')} as instant from (${rows}) as planned) as planned
) as planned`;

function insertTransfers(rows: string): string {
  return `
    insert into transfers (
      ledger_id, amount, created_at, completed_at, journal_number, from_entry_number, to_entry_number, journal_position, id, kind,
      from_account, to_account, currency, status
    )
    select 1, amount, instant, instant, number, from_entry, to_entry, position, id, 'transfer', from_account, to_account,
      'USD', 'completed'
    from ${complete(rows)}`;
}

function insertEntries(rows: string): string {
  return `
    insert into entries (ledger_id, entry_number, amount, balance, journal_number, transfer_id, account_number, currency)
    select 1, side.entry_number, side.amount, side.balance, number, id, side.account_number, 'USD'
    from ${complete(rows)}
    cross join lateral (
      values (from_entry, -planned.amount, from_balance, from_account), (to_entry, planned.amount, to_balance, to_account)
    ) as side (entry_number, amount, balance, account_number)`;
}

// The form of a record is that of docs/decisions/0013-journal.md: 26 fields, most of them empty here.
function insertJobs(rows: string): string {
  const record = `
    concat_ws(
      chr(31), id, from_account, to_account, amount, 'USD', 'completed', '', '', '', '', ${microsOf('instant')},
      from_entry, from_balance, to_entry, to_balance, 'transfer', '', '', '', '', '', '', '', '', '', ''
    ) || chr(30)`;
  return `
    insert into job (number, transfer_count, change_count, digest)
    select number, count(*), 0, sha256(convert_to(string_agg(${record}, '' order by position), 'UTF8'))
    from ${complete(rows)}
    group by number`;
}

// No transfer came from the intake log, so no lease counts them.
const CHAIN = `
  with recursive chain as (
    select 0::bigint as number, null::timestamptz as settled_at, 0 as transfer_count, 0 as change_count, null::bytea as digest,
      null::bytea as previous_hash, decode(repeat('00', 32), 'hex') as hash
    union all
    select job.number, ${instantOf('job.number')}, job.transfer_count, job.change_count, job.digest, chain.hash,
      chain_hash(
        chain.hash, 'main', job.number, ${instantOf('job.number')}, job.transfer_count, job.change_count, job.digest
      )
    from chain
    join job on job.number = chain.number + 1
  )
  insert into journal (
      ledger_id, number, settled_at, transfer_count, intake_count, change_count, digest, previous_hash, hash
    )
    select 1, number, settled_at, transfer_count, 0, change_count, digest, previous_hash, hash
    from chain
    where number > 0`;
