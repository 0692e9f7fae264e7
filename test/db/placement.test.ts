// Goal: on Citus, whatever runs often touches one ledger, and so one node. Method: the placement of each table is compared
// with the schema, and each recorded statement is read for how it names its ledger.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { PLACEMENTS } from '../../src/db/ledger/placement.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { fillLedger } from './filled-ledger.ts';
import { findUnbound } from './ledger-binding.ts';
import { recordAll } from './record-statements.ts';
import type { Sent } from './sent-statements.ts';

/** Statements that read or write several ledgers: none of a job, of intake or of a request about one ledger. */
const OF_ALL_LEDGERS: Readonly<Record<string, string>> = {
  'fence lease': 'only after an answer was lost',
  'observe leases': 'each process, once for each heartbeat; the queue is short',
  'adopt page': 'only after a process stopped',
  'load last pending id': 'only after an answer was lost',
  'load pending page': 'only after an answer was lost',
  'load due holds': 'each process, once for each heartbeat; by an index of due holds',
  'load open transfers': 'each process, once for each heartbeat; by an index of what is open between ledgers',
  'count open transfers': 'for the metrics, by the same index',
  'find due webhooks': 'each process, in the background',
  'claim webhooks': 'each process, in the background',
  'renew webhook claims': 'each process, in the background',
  'load webhook state': 'for the metrics',
  'load journal numbers': 'the feed, for all ledgers that are followed',
  'list ledgers': 'a list of ledgers',
  'load ledger record': 'it finds a ledger by its name',
  'create ledger': 'it finds a ledger by its name',
  'record refusals': 'each process, in the background',
};

let database: TestDatabase;
let ledgerTables: Set<string>;
const recorded: Sent[] = [];

before(async (scope) => {
  database = await createDatabase(scope);
  const found = await database.query<{ name: string }>(
    `select table_name as name
     from information_schema.columns
     where table_schema = 'public' and column_name = 'ledger_id' and is_nullable = 'NO'`,
  );
  ledgerTables = new Set(found.map(({ name }) => name));
  for (const distributed of [false, true]) {
    const filled = await createDatabase(scope);
    await fillLedger(filled);
    recorded.push(...[...(await recordAll(scope, filled, { distributed })).values()].flat());
  }
});

test('placement: every table is placed, and those of ledgers by their ledger', async () => {
  const tables = await database.query<{ name: string }>(
    `select tablename as name from pg_tables where schemaname = 'public' order by name`,
  );
  assert.deepEqual(
    Object.keys(PLACEMENTS).toSorted(),
    tables.map(({ name }) => name),
  );
  const placed = Object.entries(PLACEMENTS).flatMap(([name, placement]) => (placement === 'ledger' ? [name] : []));
  assert.deepEqual(new Set(placed), ledgerTables);
});

test('placement: every unique index of a distributed table contains its ledger', async () => {
  const flaws = await database.query<{ name: string }>(
    `select indexrelid::regclass::text as name
     from pg_index
     where indisunique and indrelid::regclass::text = any($1::text[]) and not exists (
       select
       from pg_attribute
       where attrelid = indrelid and attnum = any(indkey) and attname = 'ledger_id'
     )`,
    [[...ledgerTables]],
  );
  assert.deepEqual(flaws, []);
});

test('placement: every statement about a ledger is bound to it', () => {
  const flaws = new Map(
    recorded.flatMap(({ name, text }) => {
      const unbound = findUnbound(text, new Set([...ledgerTables, 'journal_ends']));
      return unbound.length > 0 && !(name in OF_ALL_LEDGERS) ? [[`${name}: ${text}`, unbound]] : [];
    }),
  );
  assert.deepEqual([...flaws], []);
  const names = new Set(recorded.map(({ name }) => name));
  for (const name of [
    'lock accounts',
    'write ended',
    'insert transfers',
    'insert entries',
    'insert pending',
    'insert intake',
  ])
    assert.ok(names.has(name), name);
});

test('placement: the statements about all ledgers are known, and each of them is one', () => {
  for (const name of Object.keys(OF_ALL_LEDGERS)) {
    const texts = recorded.filter((sent) => sent.name === name).map(({ text }) => text);
    assert.ok(
      texts.some((text) => findUnbound(text, new Set([...ledgerTables, 'journal_ends'])).length > 0),
      name,
    );
  }
});

const VIOLATIONS = [
  'select from accounts where account_number = $1::text',
  'select from accounts where ledger_id = 1 and account_number = $1::text',
  'select from accounts where ledger_id = ledger_id',
  'select from transfers join entries on entries.transfer_id = transfers.id where transfers.ledger_id = $1::integer',
  'select from entries where ledger_id = $1::integer union all select from transfers where id = $2::uuid',
  'select (select max(number) from journal) from journal_head where ledger_id = $1::integer',
  'update accounts set held = 0 from unnest($2::text[]) as moved (n) where account_number = moved.n',
  'delete from pending_transfers where id = any($1::uuid[])',
  `insert into entries (ledger_id, amount) select ended.amount, 1 from unnest($2::bigint[]) as ended (amount)`,
  'insert into entries (amount, ledger_id) values ($1::bigint, $2::integer)',
  'insert into entries (ledger_id, amount) select entries.ledger_id, 1 from entries',
  `with taken as (delete from holds where id = $1::uuid returning id)
   select from accounts where ledger_id = $2::integer`,
];
const BOUND = [
  'select from accounts where ledger_id = $1::integer',
  'select from accounts as a join entries as e on e.ledger_id = a.ledger_id where a.ledger_id = $1::integer',
  'insert into entries (ledger_id, amount) values ($1::integer, $2::bigint)',
  'insert into entries (ledger_id, amount) select head.ledger_id, 1 from journal_head as head where head.ledger_id = $1::integer',
  'select from leases where id = $1::uuid',
];

test('placement: a statement that is not bound to a ledger is found', () => {
  for (const text of VIOLATIONS)
    assert.notDeepEqual(findUnbound(text, new Set([...ledgerTables, 'journal_ends'])), [], text);
  for (const text of BOUND) assert.deepEqual(findUnbound(text, new Set([...ledgerTables, 'journal_ends'])), [], text);
});
