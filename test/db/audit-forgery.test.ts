// The audit finds careful forgeries: rows that agree with most others, and a database with disabled constraints.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { connect, type Connection, disconnect, READING_TIMEOUTS } from '../../src/db/connection/connect.ts';
import { onEnd } from '../support/cleanup.ts';
import { createDatabase } from '../support/database.ts';
import { idOf } from '../support/ledger-writer.ts';
import { IDS, JOURNAL_ROWS, writeLedger } from '../support/sample-ledgers.ts';
import { findAll, tamper } from '../support/audit.ts';
import { ADDRESS_VARIABLE, parseServerAddress } from '../support/server.ts';

const SERVER = parseServerAddress(process.env[ADDRESS_VARIABLE]);
const NEW = idOf(999);
const { user: RUNTIME } = SERVER.runtime;
const { user: OWNER } = SERVER.owner;

let connection: Connection;

before(async (t) => {
  const database = await createDatabase(t);
  connection = await connect(database.admin, READING_TIMEOUTS, { applicationName: 'tampering' });
  onEnd(t, async () => await disconnect(connection));
  await writeLedger(connection);
});

/** A copy of a row with some columns changed: `{"column": value}`. */
function copy(table: string, where: string, changes: Record<string, unknown>): string {
  const fields = JSON.stringify(changes).replaceAll("'", "''");
  return `
    insert into ${table}
    select copied.*
    from (select to_jsonb(${table}) || '${fields}' as fields from ${table} where ${where}) as original
    cross join lateral jsonb_populate_record(null::${table}, original.fields) as copied`;
}

/** Moves 5 from ANN to BOB again, with all its rows except the hashes of the journal. */
const FORGED_TRANSFER = [
  copy('transfers', `id = '${idOf(5)}'`, {
    id: NEW,
    from_account: 'ANN',
    to_account: 'BOB',
    amount: 5,
    journal_number: JOURNAL_ROWS,
    journal_position: 2,
  }),
  `update transfers
   set completed_at = (select settled_at from journal where number = ${JOURNAL_ROWS}),
     from_entry_number = (select entry_count + 1 from accounts where account_number = 'ANN'),
     to_entry_number = (select entry_count + 1 from accounts where account_number = 'BOB')
   where id = '${NEW}'`,
  `insert into entries (entry_number, amount, balance, journal_number, transfer_id, account_number, currency)
   select entry_count + 1, amount, balance + amount, ${JOURNAL_ROWS}, '${NEW}', account_number, currency
   from accounts
   join (values ('ANN', -5), ('BOB', 5)) as side (account_number, amount) using (account_number)`,
  `update accounts
   set balance = balance + amount, entry_count = entry_count + 1
   from (values ('ANN', -5), ('BOB', 5)) as side (account_number, amount)
   where accounts.account_number = side.account_number`,
];

/** Appends a row to the journal of main whose hash fits. */
function appendToJournal(transferCount: number, digest: string): string {
  const number = JOURNAL_ROWS + 1;
  return `
    with fields as (
      select settled_at, hash as previous_hash, ${digest} as digest from journal_ends where ledger_id = 1
    ), hashed as (
      select *,
        sha256(
          previous_hash
          || convert_to('main|${number}|' || (extract(epoch from settled_at) * 1000000)::bigint || '|${transferCount}|0', 'UTF8')
          || digest
        ) as hash
      from fields
    )
    insert into journal (
      ledger_id, number, settled_at, transfer_count, intake_count, change_count, digest, previous_hash, hash
    )
    select 1, ${number}, settled_at, ${transferCount}, 0, 0, digest, previous_hash, hash from hashed`;
}

const ANYTHING = `sha256('anything')`;

const forgeries: { what: string; statements: string[]; checks: string[] }[] = [
  {
    what: 'an account without a place in the journal',
    statements: [copy('accounts', `account_number = 'OLD'`, { account_number: 'MAX', status: 'open' })],
    checks: ['accounts.seals'],
  },
  {
    what: 'an account with a change that no row of the journal covers',
    statements: [
      copy('accounts', `account_number = 'OLD'`, { account_number: 'MAX', status: 'open' }),
      `insert into account_changes (change_number, journal_number, ledger_id, account_number, currency, seal)
       select 1, 3, 1, account_number, currency, account_seal(accounts) from accounts where account_number = 'MAX'`,
    ],
    checks: ['journal.chain'],
  },
  {
    what: 'a change of an account that no row of the journal covers',
    statements: [copy('account_changes', `account_number = 'OLD' and change_number = 2`, { change_number: 3 })],
    checks: ['journal.chain'],
  },
  {
    what: 'a change in a row of the journal that has transfers',
    statements: [
      copy('account_changes', `account_number = 'OLD' and change_number = 2`, { change_number: 3, journal_number: 12 }),
    ],
    checks: ['journal.chain'],
  },
  {
    what: 'a change in a missing row of the journal',
    statements: [
      copy('account_changes', `account_number = 'OLD' and change_number = 2`, { change_number: 3, journal_number: 77 }),
    ],
    checks: ['accounts.changes'],
  },
  {
    what: 'the changes of a row of the journal in another order',
    statements: [
      `update account_changes set change_number = 5 - change_number where account_number = 'CID' and change_number > 1`,
    ],
    checks: ['journal.chain'],
  },
  { what: 'a transfer with its entries and balances', statements: FORGED_TRANSFER, checks: ['journal.chain'] },
  {
    what: 'a transfer with its entries and balances, in a row of the journal of its own',
    statements: [
      ...FORGED_TRANSFER,
      appendToJournal(1, ANYTHING),
      `update transfers set journal_number = journal_number + 1, journal_position = 1 where id = '${NEW}'`,
      `update entries set journal_number = journal_number + 1 where transfer_id = '${NEW}'`,
    ],
    checks: ['journal.chain'],
  },
  {
    what: 'a failed transfer',
    statements: [copy('transfers', `id = '${idOf(7)}'`, { id: NEW, journal_position: 6 })],
    checks: ['journal.chain'],
  },
  {
    what: 'a transfer in a missing row of the journal',
    statements: [copy('transfers', `id = '${idOf(7)}'`, { id: NEW, journal_number: 77 })],
    checks: ['journal.transfers'],
  },
  {
    what: 'two entries without a transfer',
    statements: FORGED_TRANSFER.slice(2),
    checks: ['conservation.transfers'],
  },
  {
    what: 'two entries of a failed transfer',
    statements: [
      ...FORGED_TRANSFER.slice(2),
      `update entries set transfer_id = '${idOf(7)}' where transfer_id = '${NEW}'`,
    ],
    checks: ['conservation.transfers'],
  },
  {
    what: 'money from nowhere, in balance and entry alike',
    statements: [
      `update accounts set balance = balance + 5 where account_number = 'CID'`,
      `update entries set amount = amount + 5, balance = balance + 5
       where (account_number, entry_number) = (select account_number, entry_count from accounts where account_number = 'CID')`,
    ],
    checks: ['conservation.balances', 'conservation.entries', 'conservation.transfers', 'journal.chain'],
  },
  {
    what: 'money moved between two accounts in their balances alone',
    statements: [
      `update accounts set balance = balance - 5 where account_number = 'ANN'`,
      `update accounts set balance = balance + 5 where account_number = 'BOB'`,
    ],
    checks: ['balances.accounts'],
  },
  {
    what: 'an overdraft beyond the limit',
    statements: [`update accounts set held = held + balance + overdraft_limit where account_number = 'ANN'`],
    checks: ['overdraft.available', 'overdraft.held'],
  },
  {
    what: 'a hold without an order, with the money held',
    statements: [
      copy('holds', `id = '${IDS.holdOpen}'`, { id: NEW }),
      `update accounts set held = held + 50 where account_number = 'BOB'`,
    ],
    checks: ['holds.orders'],
  },
  {
    what: 'a hold that is released without a movement',
    statements: [
      `update holds set state = 'voided', released = amount where id = '${IDS.holdOpen}'`,
      `update accounts set held = held - 50 where account_number = 'BOB'`,
    ],
    checks: ['holds.parts'],
  },
  {
    what: 'a reversal recorded that never was',
    statements: [
      copy('reversed_amounts', `transfer_id = '${IDS.rent}'`, { transfer_id: idOf(5), amount: 100, reversed: 1 }),
    ],
    checks: ['reversals.amounts'],
  },
  {
    what: 'a transfer that is settled and pending',
    statements: [copy('pending_transfers', `id = '${idOf(200)}'`, { id: IDS.rent })],
    checks: ['once.settled'],
  },
  {
    what: 'a missing pending transfer of an idempotency key',
    statements: [`delete from pending_transfers where id = '${idOf(200)}'`],
    checks: ['once.keys'],
  },
  {
    what: 'a missing pending transfer without a key',
    statements: [
      `delete from idempotency_keys where transfer_id = '${idOf(200)}'`,
      `delete from pending_transfers where id = '${idOf(200)}'`,
    ],
    checks: ['accepted.kept'],
  },
  {
    what: 'a missing pending member of a group',
    statements: [`delete from pending_transfers where id = '${idOf(201)}'`],
    checks: ['once.groups'],
  },
  {
    what: 'a member of a group that settled pending',
    statements: [
      copy('pending_transfers', `id = '${idOf(200)}'`, {
        id: NEW,
        group_id: IDS.group,
        group_position: 3,
        atomic: true,
      }),
    ],
    checks: ['once.groups'],
  },
  {
    what: 'a missing pending expiry of a hold',
    statements: [`delete from pending_transfers where id = '${IDS.expiryPending}'`],
    checks: ['accepted.kept'],
  },
  {
    what: 'a pending expiry of a missing hold',
    statements: [`update pending_transfers set parent_id = '${NEW}' where id = '${IDS.expiryPending}'`],
    checks: ['holds.expiries'],
  },
  {
    what: 'an open hold that names an expiry',
    statements: [`update holds set expiry_id = '${IDS.expiry}' where id = '${IDS.holdOpen}'`],
    checks: ['holds.expiries'],
  },
  {
    what: 'an expired hold that names a transfer of another kind',
    statements: [`update holds set expiry_id = '${IDS.rent}' where id = '${IDS.holdExpired}'`],
    checks: ['holds.expiries'],
  },
  {
    what: 'a row of the journal that covers nothing',
    statements: [appendToJournal(0, ANYTHING)],
    checks: ['journal.chain'],
  },
  {
    what: 'a row of the journal that claims a transfer',
    statements: [appendToJournal(1, ANYTHING)],
    checks: ['journal.chain'],
  },
  {
    what: 'a journal cut off at its end',
    statements: [`delete from journal where number = ${JOURNAL_ROWS}`],
    // The last row covers an administrative act.
    checks: ['administration.acts'],
  },
  {
    what: 'an account that belongs to no ledger',
    statements: [copy('accounts', `account_number = 'OLD'`, { ledger_id: 9 })],
    checks: ['ledgers.rows', 'accounts.seals'],
  },
  {
    what: 'a ledger without a head',
    statements: [`insert into ledgers (id, name) values (2, 'shop')`],
    checks: ['journal.head'],
  },
  {
    what: 'a head without a ledger',
    statements: [`insert into journal_head (ledger_id) values (2)`],
    checks: ['journal.head', 'ledgers.rows'],
  },
  {
    what: 'another ledger in the place of main',
    statements: [`update ledgers set name = 'shop'`],
    checks: ['ledgers.fields', 'journal.chain'],
  },
  {
    what: 'a count of pending transfers beyond those that a row has',
    statements: [`update journal set intake_count = transfer_count + 1 where number = ${JOURNAL_ROWS}`],
    checks: ['accepted.counted', 'accepted.kept'],
  },
  {
    what: 'two heads of the journal',
    statements: [copy('journal_head', 'true', {})],
    checks: ['journal.head'],
  },
];

for (const { what, statements, checks } of forgeries) {
  test(`audit: finds ${what}`, async () => {
    const findings = await tamper(connection, statements);
    const found = [...(findings?.checks ?? [])];
    for (const check of checks) assert.ok(found.includes(check), `${check} is silent; ${found.join(', ')} are not`);
  });
}

const recent = new Set([
  'a transfer with its entries and balances',
  'a transfer with its entries and balances, in a row of the journal of its own',
  'two entries without a transfer',
  'money moved between two accounts in their balances alone',
  'a hold without an order, with the money held',
  'a row of the journal that covers nothing',
  'a journal cut off at its end, the head with it',
]);

for (const { what, statements } of forgeries.filter((forgery) => recent.has(forgery.what))) {
  test(`audit: finds ${what}, with --since as well`, async () => {
    const findings = await tamper(connection, statements, { ledger: 1, since: BigInt(JOURNAL_ROWS - 1) });
    assert.ok((findings?.discrepancies.length ?? 0) > 0);
  });
}

const defenses: { what: string; statement: string; check: string; found: string }[] = [
  {
    what: 'a missing trigger',
    statement: 'drop trigger entries_append_only on entries',
    check: 'final.triggers',
    found: 'entries_append_only is missing',
  },
  {
    what: 'a trigger that is disabled',
    statement: 'alter table journal disable trigger journal_append_only',
    check: 'final.triggers',
    found: 'journal_append_only is disabled',
  },
  {
    what: 'a trigger that no longer fires on deleting',
    statement: `
      create or replace trigger transfers_append_only before update on transfers
      for each row execute function refuse_change()`,
    check: 'final.triggers',
    found: 'transfers_append_only does something else',
  },
  {
    what: 'triggers that refuse nothing',
    statement: `
      create or replace function refuse_change() returns trigger language plpgsql as $$ begin return null; end; $$`,
    check: 'final.triggers',
    found: 'account_changes_append_only does something else',
  },
  {
    what: 'a trigger that no longer fires for each row',
    statement: `
      create or replace trigger journal_append_only before update or delete on journal
      for each statement execute function refuse_change()`,
    check: 'final.triggers',
    found: 'journal_append_only does something else',
  },
  {
    what: 'a missing trigger against truncation',
    statement: 'drop trigger entries_not_truncated on entries',
    check: 'final.triggers',
    found: 'entries_not_truncated is missing',
  },
  {
    what: 'a privilege to change final rows',
    statement: 'grant update on transfers to pg_monitor',
    check: 'final.rights',
    found: 'pg_monitor may update transfers',
  },
  {
    what: 'a right of every role to empty a table',
    statement: 'grant truncate on journal to public',
    check: 'final.rights',
    found: 'every role may truncate journal',
  },
  {
    what: 'a privilege to change a column of final rows',
    statement: 'grant update (amount) on entries to pg_monitor',
    check: 'final.rights',
    found: 'pg_monitor may update entries',
  },
  {
    what: 'a role of the service that may delete accounts',
    statement: `grant delete on accounts to ${RUNTIME}`,
    check: 'final.roles',
    found: `${RUNTIME} may delete accounts`,
  },
  {
    what: 'a role of the service that may rename accounts and move holds',
    statement: `grant update (account_number, currency) on accounts to ${RUNTIME}`,
    check: 'final.roles',
    found: `${RUNTIME} may update accounts (account_number, currency)`,
  },
  {
    what: 'a role of the service that may change final rows through a group',
    statement: `grant pg_write_all_data to ${RUNTIME}`,
    check: 'final.roles',
    found: `${RUNTIME} has the power of pg_write_all_data`,
  },
  {
    what: 'a role of the service that may become the owner',
    statement: `grant ${OWNER} to ${RUNTIME}`,
    check: 'final.roles',
    found: `${RUNTIME} has the power of ${OWNER}`,
  },
  {
    what: 'a role of the service that is a superuser',
    statement: `alter role ${RUNTIME} superuser`,
    check: 'final.roles',
    found: `${RUNTIME} is a superuser`,
  },
  {
    what: 'a role of the service that may create tables',
    statement: `grant create on schema public to ${RUNTIME}`,
    check: 'final.roles',
    found: `${RUNTIME} may create tables`,
  },
  {
    what: 'a role of the service that may disable triggers',
    statement: `grant set on parameter session_replication_role to ${RUNTIME}`,
    check: 'final.roles',
    found: `${RUNTIME} may disable triggers`,
  },
  {
    what: 'a group of the service that may truncate a table',
    statement: `
      create role group_of_tests in role ${RUNTIME};
      grant truncate on leases to group_of_tests`,
    check: 'final.roles',
    found: 'group_of_tests may truncate leases',
  },
  {
    what: 'a missing constraint',
    statement: 'alter table accounts drop constraint accounts_no_overdraft',
    check: 'final.constraints',
    found: 'accounts_no_overdraft is missing',
  },
  {
    what: 'a constraint that was put back without a look at the rows',
    statement: `
      alter table holds drop constraint holds_within_amount;
      alter table holds add constraint holds_within_amount check (captured + released <= amount) not valid`,
    check: 'final.constraints',
    found: 'holds_within_amount is not validated',
  },
  {
    what: 'a missing unique index',
    statement: 'drop index transfers_journal',
    check: 'final.constraints',
    found: 'transfers_journal is missing',
  },
  {
    what: 'a column that may be null',
    statement: 'alter table holds alter column state drop not null',
    check: 'final.constraints',
    found: 'holds.state may be null',
  },
  {
    what: 'a column that may hold anything',
    statement: 'alter table accounts alter column currency type text',
    check: 'final.constraints',
    found: 'accounts.currency is not of the type currency_code',
  },
  {
    what: 'a table that is a view',
    statement: `
      alter table reversed_amounts rename to reversed_amounts_before;
      create view reversed_amounts as select * from reversed_amounts_before`,
    check: 'final.constraints',
    found: 'reversed_amounts of kind v',
  },
];

for (const { what, statement, check, found } of defenses) {
  test(`audit: finds ${what}`, async () => {
    const findings = await tamper(connection, [`with changed as (select) select from changed`, statement]);
    const discrepancies = findings?.discrepancies.filter((discrepancy) => discrepancy.found === found);
    assert.deepEqual(
      discrepancies?.map((discrepancy) => discrepancy.check),
      [check],
    );
  });
}

test('audit: a rewritten journal is consistent, and only a recorded hash reveals it', async () => {
  const [head] = (await connection.query<{ hash: string }>(`select encode(hash, 'hex') as hash from journal_ends`))
    .rows;
  const rewritten = [
    `update journal set settled_at = settled_at + interval '1 second' where number = ${JOURNAL_ROWS}`,
    `update journal
     set hash = sha256(
       previous_hash
       || convert_to(
         concat_ws(
           '|', 'main', number, (extract(epoch from settled_at) * 1000000)::bigint, transfer_count, change_count
         ),
         'UTF8'
       )
       || digest
     )
     where number = ${JOURNAL_ROWS}`,
    `update transfers set completed_at = completed_at + interval '1 second' where journal_number = ${JOURNAL_ROWS}`,
  ];
  assert.deepEqual((await tamper(connection, rewritten))?.discrepancies, []);
  const expect = [{ ledger: 'main', number: BigInt(JOURNAL_ROWS), hash: head?.hash ?? '' }];
  const findings = await tamper(connection, rewritten, { expect });
  assert.deepEqual(
    findings?.discrepancies.map(({ check, journal, expected }) => ({ check, journal, expected })),
    [{ check: 'journal.expected', journal: String(JOURNAL_ROWS), expected: head?.hash }],
  );
});

test('audit: a checkpoint reveals a ledger that was removed as a whole', async () => {
  const hash = 'ab'.repeat(32);
  const findings = await findAll(connection, { expect: [{ ledger: 'gone', number: 3n, hash }] });
  assert.deepEqual(
    findings.discrepancies.map(({ check, ledger, journal, what, found }) => ({ check, ledger, journal, what, found })),
    [
      {
        check: 'journal.expected',
        ledger: null,
        journal: '3',
        what: 'ledger gone, of which a hash was written down',
        found: 'none',
      },
    ],
  );
});

test('audit: a discrepancy has its subject, the expected and the found value', async () => {
  const findings = await tamper(connection, [
    `update entries set balance = balance + 1 where transfer_id = '${idOf(5)}' and amount < 0`,
  ]);
  assert.deepEqual(findings?.discrepancies.filter(({ check }) => check === 'balances.entries')[0], {
    type: 'discrepancy',
    check: 'balances.entries',
    ledger: 'main',
    account: 'BOB',
    currency: 'USD',
    transfer: idOf(5),
    journal: '9',
    what: 'running balance',
    expected: '5150',
    found: '5151',
  });
});

test('audit: reports as many discrepancies of a check as requested, and counts the others', async () => {
  const findings = await tamper(connection, ['update accounts set entry_count = entry_count + 1'], {
    discrepanciesMax: 2,
  });
  assert.equal(findings?.discrepancies.filter(({ check }) => check === 'balances.accounts').length, 2);
  assert.ok((findings?.verdict.discrepancies ?? 0) > (findings?.discrepancies.length ?? 0));
});

test('audit: reports a database without a ledger', async () => {
  await connection.query('begin');
  await connection.query('drop table journal_head cascade');
  await assert.rejects(findAll(connection), /^Error: The database has no ledger: start the service once/);
  await connection.query('rollback');
});
