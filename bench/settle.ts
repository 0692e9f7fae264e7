// A process that settles orders of its own making on one connection, in jobs, without HTTP, threads or intake: the
// throughput of the database with the rows of the service. It locks the job's accounts, decides with the domain's own
// rules, makes the journal's digest, and writes accounts, journal, transfers and entries: two round trips a job,
// pipelined. No pending row is ever stored or deleted, no caller is answered.
import { createHash, randomUUIDv7 } from 'node:crypto';
import { parseArgs } from 'node:util';
import { createPicker, seeded } from '../src/load/random.ts';
import { connect, type Connection, READING_TIMEOUTS } from '../src/db/connection/connect.ts';
import { appendToJournal, journalLock } from '../src/db/ledger/journal.ts';
import { MAIN_LEDGER } from '../src/domain/ledger.ts';
import type { Account, AccountStatus } from '../src/domain/account.ts';
import { decide } from '../src/domain/decide.ts';
import { renderRecord } from '../src/domain/record.ts';
import { BY_SERVICE, type TransferTerms } from '../src/domain/transfer.ts';

type AccountRow = [string, string, AccountStatus, bigint, bigint, bigint, bigint];

// Accounts are found by all columns of their key, in sub-selects that a planner without statistics cannot turn around.
const LOCK_ACCOUNTS = `
  select locked.*
  from unnest($1::text[]) as named (account_number)
  cross join lateral (
    select account_number, currency, status, balance, held, overdraft_limit, entry_count
    from accounts
    where ledger_id = 1 and account_number = named.account_number
    order by currency
    for update
  ) as locked`;

const UPDATE_ACCOUNTS = `
  update accounts
  set balance = moved.balance, held = moved.held, entry_count = moved.entry_count
  from (
    select 1 as ledger_id, sent.*
    from unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[])
      as sent (account_number, currency, balance, held, entry_count)
    offset 0
  ) as moved
  where accounts.ledger_id = moved.ledger_id
    and accounts.account_number = moved.account_number and accounts.currency = moved.currency`;

const INSERT_JOURNAL = `
  with ${appendToJournal({
    ledgerId: '1',
    ledger: `'main'::text`,
    instant: `timestamptz 'epoch' + $3::bigint * interval '1 microsecond'`,
    transferCount: '$1::integer',
    intakeCount: '0',
    changeCount: '0',
    digest: '$2::bytea',
  })}
  select number from journaled`;

const INSERT_TRANSFERS = `
  insert into transfers (
    ledger_id, amount, created_at, completed_at, journal_number, from_entry_number, to_entry_number, journal_position, id, kind,
    from_account, to_account, currency, status
  )
  select 1, ended.amount, timestamptz 'epoch' + $7::bigint * interval '1 microsecond', head.settled_at, head.number,
    ended.from_entry_number, ended.to_entry_number, ended.position, ended.id, 'transfer', ended.from_account,
    ended.to_account, 'USD', 'completed'
  from unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[])
    with ordinality
    as ended (id, from_account, to_account, amount, from_entry_number, to_entry_number, position)
  join journal_ends as head on head.ledger_id = 1`;

const INSERT_ENTRIES = `
  insert into entries (ledger_id, entry_number, amount, balance, journal_number, transfer_id, account_number, currency)
  select 1, side.entry_number, side.amount, side.balance, head.number, ended.id, side.account_number, 'USD'
  from unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[])
    as ended (id, from_account, to_account, amount, from_entry_number, from_balance, to_entry_number, to_balance)
  join journal_ends as head on head.ledger_id = 1
  cross join lateral (
    values
      (ended.from_entry_number, -ended.amount, ended.from_balance, ended.from_account),
      (ended.to_entry_number, ended.amount, ended.to_balance, ended.to_account)
  ) as side (entry_number, amount, balance, account_number)`;

const { values } = parseArgs({
  strict: true,
  options: {
    host: { type: 'string', default: '' },
    port: { type: 'string', default: '5432' },
    user: { type: 'string', default: '' },
    database: { type: 'string', default: '' },
    prefix: { type: 'string', default: 'BENCH' },
    accounts: { type: 'string', default: '10000' },
    'job-size': { type: 'string', default: '1024' },
    'warm-up': { type: 'string', default: '2' },
    seconds: { type: 'string', default: '8' },
  },
});
const { host, user, database, prefix } = values;
const accounts = Number(values.accounts);
const random = seeded(Math.floor(Math.random() * 2 ** 31));
const pick = createPicker(accounts, 0, random);
const connection = await connect({ host, port: Number(values.port), user, database }, READING_TIMEOUTS, {
  applicationName: 'settle',
  pipeline: true,
  keyed: true,
});

await settleFor(Number(values['warm-up']));
process.stdout.write('measuring\n');
await settleFor(Number(values.seconds));
process.stdout.write('measured\n');
await connection.end();

async function settleFor(seconds: number): Promise<void> {
  const endsAt = performance.now() + seconds * 1000;
  while (performance.now() < endsAt) await settleJob(connection, Number(values['job-size']));
}

async function settleJob(connection: Connection, size: number): Promise<void> {
  const orders = Array.from({ length: size }, makeOrder);
  const createdAtMicros = BigInt(Date.now()) * 1000n;
  const run = async (name: string, text: string, values: unknown[]) => await connection.query({ name, text, values });
  const numbers = [...new Set(orders.flatMap(({ fromAccount, toAccount }) => [fromAccount, toAccount]))].sort();
  const [, { rows }] = await Promise.all([
    connection.query('begin'),
    connection.query<AccountRow>({ name: 'lock', text: LOCK_ACCOUNTS, values: [numbers], rowMode: 'array' }),
  ]);
  const { outcomes, changed } = decide(orders, { accounts: rows.map(toAccount), holds: [], originals: [] });
  const details = {
    requestId: null,
    by: BY_SERVICE,
    rate: null,
    description: null,
    metadataText: null,
    createdAtMicros,
  };
  const hash = createHash('sha256');
  const entries = outcomes.map((outcome, index) => {
    const order = orders[index];
    if (order === undefined || !outcome.ok || outcome.entries === null) throw new Error('Every order must succeed.');
    hash.update(renderRecord({ ...order, ...details }, outcome));
    return outcome.entries;
  });
  const ids = orders.map(({ id }) => id);
  const fromAccounts = orders.map(({ fromAccount }) => fromAccount);
  const toAccounts = orders.map(({ toAccount }) => toAccount);
  const amounts = orders.map(({ amount }) => amount);
  const fromNumbers = entries.map(({ fromEntryNumber }) => fromEntryNumber);
  const toNumbers = entries.map(({ toEntryNumber }) => toEntryNumber);
  const moved = changed.accounts;
  const written = await Promise.all([
    run('update accounts', UPDATE_ACCOUNTS, [
      moved.map(({ accountNumber }) => accountNumber),
      moved.map(({ currency }) => currency),
      moved.map(({ balance }) => balance),
      moved.map(({ held }) => held),
      moved.map(({ entryCount }) => entryCount),
    ]),
    connection.query(journalLock(MAIN_LEDGER)),
    run('insert journal', INSERT_JOURNAL, [size, hash.digest(), createdAtMicros]),
    run('insert transfers', INSERT_TRANSFERS, [
      ids,
      fromAccounts,
      toAccounts,
      amounts,
      fromNumbers,
      toNumbers,
      createdAtMicros,
    ]),
    run('insert entries', INSERT_ENTRIES, [
      ids,
      fromAccounts,
      toAccounts,
      amounts,
      fromNumbers,
      entries.map(({ fromBalance }) => fromBalance),
      toNumbers,
      entries.map(({ toBalance }) => toBalance),
    ]),
    connection.query('commit'),
  ]);
  if (written.at(-1)?.command !== 'COMMIT') throw new Error('The job was not committed.');
}

function makeOrder(): TransferTerms {
  const [from, to] = [pick(), pick()];
  return {
    id: randomUUIDv7(),
    kind: 'transfer',
    fromAccount: `${prefix}-${from}`,
    toAccount: `${prefix}-${to === from ? (to + 1) % accounts : to}`,
    amount: BigInt(1 + Math.floor(random() * 100)),
    currency: null,
    parentId: null,
    group: null,
    conditions: null,
    finalCapture: false,
    expiresIn: null,
    remoteAccount: null,
  };
}

function toAccount(row: AccountRow): Account {
  const [accountNumber, currency, status, balance, held, overdraftLimit, entryCount] = row;
  return { accountNumber, currency, status, balance, held, overdraftLimit, entryCount };
}
