// Goal: the role of the service and the role of the reports can do what they need with the books, and nothing else.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { Client } from 'pg';
import { sqlStateOf } from '../../src/db/connection/errors.ts';
import { FUNCTION_RIGHTS, TABLE_RIGHTS } from '../../src/db/ledger/grants.ts';
import { migrate } from '../../src/db/ledger/migrate.ts';
import { onEnd, type Scope } from '../support/cleanup.ts';
import { type AdminSettings, createDatabase, renderDatabaseUrl, type TestDatabase } from '../support/database.ts';
import { writeLedger } from '../support/sample-ledgers.ts';
import { startProgram } from '../support/service.ts';

const FINAL = ['transfers', 'entries', 'account_changes', 'journal', 'idempotency_keys', 'ledgers', 'audit_log'];
const VIEWS = ['journal_ends'];
const TABLES = Object.keys(TABLE_RIGHTS).filter((name) => !VIEWS.includes(name));

let database: TestDatabase;

before(async (scope) => {
  database = await createDatabase(scope);
  await writeLedger(await database.connect());
  // A clone does not have the rights of its template in the database itself.
  await migrate(database.owner, { roles: rolesOf(database) });
});

/** What the role of the service must not do, besides the changes of single tables below. */
const FORBIDDEN = [
  // Changes of rows, except of the few columns that change.
  `update accounts set account_number = 'Z'`,
  `update accounts set currency = 'EUR'`,
  `update accounts set created_at = now()`,
  'update accounts set ledger_id = 2',
  'update holds set amount = 1',
  'update holds set expires_at = null',
  'update reversed_amounts set amount = 1',
  'update journal_head set ledger_id = 2',
  'update leases set id = gen_random_uuid()',
  // Keys, and the rules of approval.
  `insert into api_keys (id, name, scopes, secret_digest) values ('aaaaaaaaaaaa', 'x', '{funding:write}', sha256('x'))`,
  `update api_keys set scopes = '{funding:write}'`,
  'update api_keys set revoked_at = null',
  'delete from api_keys',
  'update access_state set version = 0',
  'delete from access_state',
  'update ledgers set approval_above = null',
  `update approvals set requested_by = 'x'`,
  `update approvals set request = '{}'`,
  `update approvals set expires_at = now() + interval '1 year'`,
  'delete from approvals',
  'delete from key_usage',
  `update key_usage set day = '2000-01-01'`,
  `update personal_keys set key = ''`,
  'update pending_transfers set amount = 1',
  `update pending_transfers set to_account = 'MALLORY'`,
  `update migrations set name = 'x'`,
  `insert into migrations (name, run_on) values ('9999_x', now())`,
  `select setval('migrations_id_seq', 1)`,
  'select from ledgers for update',
  'select from transfers for share',
  'do $$ begin lock table transfers in access exclusive mode; end $$',
  `insert into idempotency_keys select * from idempotency_keys on conflict (ledger_id, key) do update set fingerprint = excluded.fingerprint`,
  'merge into entries using (select 1) as one on true when matched then delete',
  'with gone as (delete from journal returning 1) select count(*) from gone',
  // The protection of the tables.
  'alter table transfers disable trigger all',
  'alter table transfers disable trigger user',
  'alter table journal disable trigger journal_append_only',
  'alter table accounts drop constraint accounts_no_overdraft',
  'alter domain account_number drop constraint accounts_number_form',
  'alter function refuse_change() rename to x',
  `create or replace function refuse_change() returns trigger language plpgsql as 'begin return null; end'`,
  'drop function refuse_change() cascade',
  'drop index transfers_journal',
  'alter index transfers_journal rename to x',
  'set session_replication_role = replica',
  `select set_config('session_replication_role', 'replica', false)`,
  'alter role current_user set session_replication_role = replica',
  // New objects.
  'create table x (y integer)',
  'create temporary table accounts (y integer)',
  'select 1 as y into x',
  'create view x as select 1',
  'create sequence x',
  'create type x as (y integer)',
  `create function x() returns integer language sql as 'select 1'`,
  `create function pg_temp.x() returns integer language sql as 'select 1'`,
  'create schema x',
  'create database x',
  'create extension pg_trgm',
  'create event trigger x on ddl_command_end execute function refuse_change()',
  'create publication x for table transfers',
  'drop schema public cascade',
  // More rights.
  'create role x superuser',
  'alter role current_user superuser',
  'alter role current_user createrole',
  'alter role current_user bypassrls',
  'grant OWNER to current_user',
  'grant pg_write_all_data to current_user',
  'alter role OWNER superuser',
  `alter role OWNER password 'x'`,
  'set role OWNER',
  'set role postgres',
  'set session authorization OWNER',
  'reassign owned by OWNER to current_user',
  'drop owned by OWNER',
  'alter default privileges for role OWNER grant all on tables to public',
  'alter schema public owner to current_user',
  'alter system set fsync = off',
  // The machine of the server.
  `copy journal to program 'cat > /dev/null'`,
  `copy heartbeats from program 'true'`,
  `copy journal to '/tmp/x'`,
  `copy heartbeats from '/etc/hostname'`,
  `select pg_read_file('/etc/hostname')`,
  `select lo_import('/etc/hostname')`,
  'select pg_switch_wal()',
];

/** Refused for each of these tables. */
const forbiddenOn = (table: string): string[] => [
  `truncate ${table}`,
  `drop table ${table}`,
  `alter table ${table} owner to current_user`,
  `alter table ${table} add column x integer`,
  `alter table ${table} disable trigger all`,
  `create index x on ${table} ((1))`,
  `create trigger x before insert on ${table} for each row execute function refuse_change()`,
  `create rule x as on insert to ${table} do instead nothing`,
  `create policy x on ${table}`,
];

test('roles: every table and function has a line in the table of rights', async () => {
  const tables = await database.query<{ name: string }>(
    `select relname as name from pg_class
     where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v', 'm', 'f')`,
  );
  assert.deepEqual(tables.map(({ name }) => name).toSorted(), Object.keys(TABLE_RIGHTS).toSorted());
  const functions = await database.query<{ oid: string }>(
    `select oid::regprocedure::text as oid from pg_proc where pronamespace = 'public'::regnamespace`,
  );
  const listed = await database.query<{ oid: string }>(
    'select name::regprocedure::text as oid from unnest($1::text[]) as name',
    [Object.keys(FUNCTION_RIGHTS)],
  );
  assert.deepEqual(functions.map(({ oid }) => oid).toSorted(), listed.map(({ oid }) => oid).toSorted());
});

test('roles: the service is refused every change of the schema, of final rows and of rights', async (t) => {
  const unchanged = await fingerprint(database);
  const service = await connectAs(t, database.settings);
  const statements = [
    ...FORBIDDEN.map((statement) => statement.replaceAll('OWNER', database.owner.user)),
    ...TABLES.flatMap(forbiddenOn),
    ...FINAL.flatMap((table) => [
      `update ${table} set ${table === 'ledgers' ? 'id = id' : 'ledger_id = ledger_id'}`,
      `delete from ${table}`,
    ]),
    ...['accounts', 'holds', 'reversed_amounts', 'journal_head', 'leases', 'migrations'].map(
      (table) => `delete from ${table}`,
    ),
  ];
  await assertRefused(service, ...statements);
  assert.deepEqual(await fingerprint(database), unchanged);
});

test('roles: the service cannot grant itself a right', async (t) => {
  const unchanged = await fingerprint(database);
  const service = await connectAs(t, database.settings);
  for (const table of TABLES) {
    // Without the right to grant, the first is a warning, and the second is refused for some tables.
    await service.query(`grant all on ${table} to current_user`).catch(() => {});
    await service.query(`grant update, delete, truncate, trigger on ${table} to public`).catch(() => {});
  }
  await service.query('grant create on schema public to current_user').catch(() => {});
  await service.query(`grant all on database ${database.name} to current_user`).catch(() => {});
  await service.query('grant execute on function refuse_change() to current_user').catch(() => {});
  assert.deepEqual(await fingerprint(database), unchanged);
  await assertRefused(service, ...FINAL.map((table) => `delete from ${table}`));
});

test('roles: a reader is refused every write', async (t) => {
  const unchanged = await fingerprint(database);
  const reader = await connectAs(t, database.reader);
  const statements = [
    ...FORBIDDEN.map((statement) => statement.replaceAll('OWNER', database.owner.user)),
    ...TABLES.flatMap((table) => [
      ...forbiddenOn(table),
      `insert into ${table} select * from ${table}`,
      `delete from ${table}`,
      `select from ${table} for update`,
      `do $$ begin lock table ${table} in row exclusive mode; end $$`,
    ]),
    'update accounts set balance = 0',
    'update journal_head set closed_until = now()',
    `select chain_hash('', '', 1, now(), 1, 1, '')`,
  ];
  await assertRefused(reader, ...statements);
  assert.deepEqual(await fingerprint(database), unchanged);
});

test('roles: audit, report and statement run as a reader, without any other setting', async (t) => {
  const env = { DATABASE_READER_URL: renderDatabaseUrl(database.reader) };
  const month = new Date().toISOString().slice(0, 7);
  for (const args of [
    ['audit'],
    ['report', '--user=ANN', '--output=-'],
    ['statement', '--account=ANN', `--month=${month}`, '--output=-'],
  ]) {
    const program = await startProgram(t, { args, env });
    assert.deepEqual(await program.exited, { code: 0, signal: null }, program.output());
  }
});

test('roles: migrate is idempotent, and takes rights away that the roles must not have', async (t) => {
  const books = await createDatabase(t);
  const roles = rolesOf(books);
  const rights = await rightsOf(books);
  const excess = [
    `grant all on all tables in schema public to ${roles.runtime}`,
    `grant update (amount), references on entries to ${roles.reader} with grant option`,
    'grant select, delete on transfers to public',
    'grant execute on all functions in schema public to public',
    `grant create on schema public to public, ${roles.runtime}`,
    `grant all on database ${books.name} to ${roles.reader}`,
  ];
  for (const statement of excess) await books.query(statement);
  const reader = await connectAs(t, books.reader);
  await reader.query(`grant update (amount) on entries to ${roles.runtime}`);
  assert.deepEqual(await migrate(books.owner, { roles }), { applied: 0, placed: 0, ownsTables: true });
  assert.deepEqual(await rightsOf(books), rights);
  for (const role of [books.settings, books.reader]) {
    const client = await connectAs(t, role);
    await assertRefused(client, 'create table x (y int)', 'create temporary table x (y int)', 'create schema x');
  }
});

test('roles: one role may be that of the service and of the reports', async (t) => {
  const books = await createDatabase(t);
  const { runtime } = rolesOf(books);
  await migrate(books.owner, { roles: { runtime, reader: runtime } });
  const client = await connectAs(t, books.settings);
  await client.query(`insert into leases (id) values (gen_random_uuid())`);
  await assertRefused(client, 'delete from leases');
});

function rolesOf(books: TestDatabase): { runtime: string; reader: string } {
  return { runtime: books.settings.user, reader: books.reader.user };
}

async function connectAs(scope: Scope, settings: AdminSettings): Promise<Client> {
  const client = new Client(settings);
  await client.connect();
  onEnd(scope, () => client.end());
  return client;
}

/** Asserts that the server refuses each statement for lack of rights. */
async function assertRefused(client: Client, ...statements: string[]): Promise<void> {
  const others: string[] = [];
  for (const statement of statements) {
    const answer = await client.query(statement).then(
      () => 'is not refused',
      (error: unknown) => (sqlStateOf(error) === '42501' ? null : String(error)),
    );
    if (answer !== null) others.push(`${statement}: ${answer}`);
  }
  assert.deepEqual(others, []);
}

/** The rights in the schema of the books. */
async function rightsOf({ query }: TestDatabase): Promise<unknown[]> {
  return await query(`
    select relname::text as name, array(select unnest(relacl)::text order by 1) as rights,
      (select array_agg(attname || ' ' || attacl::text order by attname) from pg_attribute where attrelid = pg_class.oid) as columns
    from pg_class where relnamespace = 'public'::regnamespace
    union all
    select oid::regprocedure::text, array(select unnest(proacl)::text order by 1), null
    from pg_proc where pronamespace = 'public'::regnamespace
    union all
    select nspname, array(select unnest(nspacl)::text order by 1), null from pg_namespace where nspname = 'public'
    order by name`);
}

/** Everything that an attack could change: rows, rights, triggers, owners. */
async function fingerprint(books: TestDatabase): Promise<unknown> {
  const rows = await Promise.all(
    TABLES.map(
      async (table) => await books.query(`select md5(string_agg(t::text, ';' order by t::text)) from ${table} as t`),
    ),
  );
  const names = [books.owner, books.settings, books.reader].map(({ user }) => user);
  // Other tests have roles of their own on this server.
  const schema = await books.query(
    `
    select (select count(*) from pg_class) as classes, (select count(*) from pg_proc) as functions,
      (select string_agg(tgname || tgenabled::text, ';' order by tgname, tgrelid) from pg_trigger) as triggers,
      (select string_agg(relowner::text, ';' order by oid) from pg_class) as owners,
      (select string_agg(t::text, ';' order by t::text) from pg_roles as t where rolname in ('x', 'postgres', $1, $2, $3)) as roles,
      (select datacl::text from pg_database where datname = current_database()) as rights`,
    names,
  );
  return { rows, schema, rights: await rightsOf(books) };
}
