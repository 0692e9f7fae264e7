// gopherpay doctor: what it finds on servers, roles and books that really are as it says.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, test, type TestContext } from 'node:test';
import { z } from 'zod';
import { judgeHolders } from '../../src/cli/doctor/judge-server.ts';
import { judgeAges, judgeTables } from '../../src/cli/doctor/judge-books.ts';
import { judgeDisk, judgeMemory, judgeTls } from '../../src/cli/doctor/judge-machine.ts';
import { readHolders } from '../../src/db/doctor/server.ts';
import { databaseConnectionsOf } from '../../src/main/database-connections.ts';
import { onEnd } from '../support/cleanup.ts';
import { createDatabase, renderDatabaseUrl, type TestDatabase } from '../support/database.ts';
import { makeKey } from '../support/keys.ts';
import { OWNER, type Postgres, RUNTIME, startPostgres } from '../support/postgres.ts';
import { findInstalled } from '../support/installed.ts';
import { hasPooler, startPooler } from '../support/pooler.ts';
import { startServer, withAdmin } from '../support/server.ts';
import { makeFolder, startProgram, startService } from '../support/service.ts';
import { until } from '../support/until.ts';

const CERTIFICATE = join(import.meta.dirname, '../support/certificates/server.pem');
const YEAR_MS = 366 * 86_400_000;

const check = z.strictObject({
  type: z.literal('check'),
  check: z.string(),
  status: z.enum(['ok', 'warning', 'problem']),
  found: z.string(),
  advice: z.string().nullable(),
});
const summary = z.strictObject({
  type: z.literal('summary'),
  ok: z.boolean(),
  checks: z.int(),
  warnings: z.int(),
  problems: z.int(),
});

type Report = { code: number | null; stderr: string; findings: ReadonlyMap<string, z.infer<typeof check>> };

/** A server of its own, whose settings and roles the tests change. */
let server: Postgres;
let url: string;

before(async (scope) => {
  server = await startPostgres(scope, join(await makeFolder(scope), 'data'));
  url = urlOf(RUNTIME);
  const migrated = await startProgram(scope, {
    args: ['migrate', `--runtime-role=${RUNTIME}`],
    env: { DATABASE_OWNER_URL: urlOf(OWNER) },
  });
  assert.equal((await migrated.exited).code, 0, migrated.output());
});

function urlOf(user: string): string {
  return renderDatabaseUrl({ ...server.admin, user, database: 'gopherpay' });
}

async function examine(t: TestContext, env: Record<string, string>): Promise<Report> {
  const program = await startProgram(t, { args: ['doctor', '--json'], env });
  const { code } = await program.exited;
  const lines = program
    .stdout()
    .split('\n')
    .filter((line) => line !== '')
    .map((line): unknown => JSON.parse(line));
  const findings = lines.slice(0, -1).map((line) => check.parse(line));
  if (lines.length > 0) {
    const last = summary.parse(lines.at(-1));
    assert.equal(last.checks, findings.length);
    assert.equal(last.problems, findings.filter(({ status }) => status === 'problem').length);
  }
  const stderr = program.output().replace(program.stdout(), '');
  return { code, stderr, findings: new Map(findings.map((finding) => [finding.check, finding])) };
}

/** Runs statements as the superuser, and others when the test ends. */
async function change(t: TestContext, statements: readonly string[], undo: readonly string[]): Promise<void> {
  const run = async (list: readonly string[]): Promise<void> => {
    await withAdmin({ ...server.admin }, async (client) => {
      for (const statement of list) await client.query(statement);
    });
  };
  await run(statements);
  t.after(async () => await run(undo));
}

test('doctor: finds no problem in a new database, and says so with exit code 0', async (t) => {
  const { code, findings } = await examine(t, { DATABASE_URL: url });
  assert.equal(code, 0);
  assert.deepEqual(
    // A busy machine answers late, which is no fault of the database.
    [...findings.values()]
      .filter(({ status }) => status !== 'ok')
      .flatMap(({ check: name }) => (name === 'server.latency' ? [] : [name])),
    ['keys.access'],
  );
});

test('doctor: on a terminal or in a pipe it prints a line for each check, and the advice below', async (t) => {
  const program = await startProgram(t, { args: ['doctor'], env: { DATABASE_URL: url } });
  assert.equal((await program.exited).code, 0);
  assert.match(program.stdout(), /^ok {7}settings\.fsync +on$/m);
  assert.match(program.stdout(), /^warning {2}keys\.access +no keys\n {9}Every program of this machine/m);
});

test('doctor: finds settings that can lose money, or stop the server, and a start warns of them', async (t) => {
  const settings = ['fsync', 'full_page_writes', 'autovacuum'];
  await change(
    t,
    [...settings.map((name) => `alter system set ${name} = off`), 'select pg_reload_conf()'],
    [...settings.map((name) => `alter system reset ${name}`), 'select pg_reload_conf()'],
  );
  // A reload reaches new sessions after the postmaster has read its files.
  const found = await until(
    async () => {
      const report = await examine(t, { DATABASE_URL: url });
      return report.findings.get('settings.fsync')?.found === 'off' ? report : null;
    },
    { timeoutMs: 30_000, what: 'the settings to be read' },
  );
  assert.equal(found.code, 3);
  assert.match(found.stderr, /3 problems found\./);
  for (const name of settings) assert.equal(found.findings.get(`settings.${name}`)?.status, 'problem', name);

  const service = await startService(t, { env: { DATABASE_URL: url } });
  const warned = () => service.logs().filter(({ msg }) => msg === 'start check failed');
  await until(() => warned().length === settings.length, { what: 'the start to warn of each' });
  assert.match(String(warned()[0]?.['advice']), /set fsync = on/);
});

test('doctor: a database with jit on is no problem, because no session of the service has it', async (t) => {
  await change(t, [`alter role ${RUNTIME} set jit = on`], [`alter role ${RUNTIME} reset jit`]);
  const { findings } = await examine(t, { DATABASE_URL: url });
  const { status, found } = findings.get('settings.jit') ?? {};
  assert.deepEqual({ status, found }, { status: 'ok', found: 'on, and off in every session of the service' });
});

test('doctor: finds too few connections for one process, and for two', async (t) => {
  const needed = databaseConnectionsOf(4);
  await change(
    t,
    [`alter role ${RUNTIME} connection limit ${needed - 1}`],
    [`alter role ${RUNTIME} connection limit -1`],
  );
  const one = await examine(t, { DATABASE_URL: url, THREADS: '4' });
  assert.equal(one.findings.get('server.connections')?.status, 'problem');
  assert.match(one.findings.get('server.connections')?.advice ?? '', /raise the limit of the role/);
  await change(t, [`alter role ${RUNTIME} connection limit ${2 * needed - 1}`], []);
  const two = await examine(t, { DATABASE_URL: url, THREADS: '4' });
  assert.equal(two.findings.get('server.connections')?.status, 'warning');
});

test('doctor: finds a role that may not write, and one that lacks a right', async (t) => {
  await change(
    t,
    [`alter role ${RUNTIME} set default_transaction_read_only = on`],
    [`alter role ${RUNTIME} reset default_transaction_read_only`],
  );
  const database = await createDatabase(t);
  await database.query(`revoke insert on transfers from ${database.settings.user}`);
  await database.query(`revoke select on api_keys from ${database.settings.user}`);
  const readOnly = await examine(t, { DATABASE_URL: url });
  assert.equal(readOnly.findings.get('server.primary')?.status, 'problem');
  const { code, findings } = await examine(t, { DATABASE_URL: database.url });
  assert.equal(code, 3);
  assert.match(findings.get('books.rights')?.found ?? '', /lacks insert on transfers, select on api_keys/);
  assert.match(findings.get('keys.access')?.found ?? '', /permission denied/);
});

test('doctor: finds the role that owns the tables, and an owner that does not', async (t) => {
  const database = await createDatabase(t);
  const owned = await examine(t, { DATABASE_URL: database.ownerUrl });
  assert.equal(owned.findings.get('books.rights')?.status, 'warning');
  const wrong = renderDatabaseUrl(database.reader);
  const { findings } = await examine(t, { DATABASE_URL: database.url, DATABASE_OWNER_URL: wrong });
  assert.equal(findings.get('roles.owner')?.status, 'problem');
});

test('doctor: finds missing migrations, those of a newer version, and no books at all', async (t) => {
  const database = await createDatabase(t);
  const found = async () => (await examine(t, { DATABASE_URL: database.url })).findings.get('books.migrations');
  await database.query(`delete from migrations where name = '0009_between_ledgers'`);
  assert.equal((await found())?.status, 'warning');
  await database.query(
    `insert into migrations (name, run_on) values ('0009_between_ledgers', now()), ('9999_later', now())`,
  );
  assert.equal((await found())?.status, 'problem');
  const empty = await examine(t, { DATABASE_URL: url.replace('/gopherpay?', '/postgres?') });
  assert.equal(empty.findings.get('books.migrations')?.found, 'no books');
});

test('doctor: finds an old snapshot and an idle replication slot, which hold back pruning', async (t) => {
  const database = await createDatabase(t);
  const session = await database.connect();
  await session.query('begin isolation level repeatable read; select from ledgers');
  const [own] = await database.query<{ pid: number }>(
    `select pid from pg_stat_activity where datname = current_database() and state = 'idle in transaction'`,
  );
  const observer = await database.connect();
  const holders = await readHolders(observer);
  const holder = holders.find(({ name }) => name === String(own?.pid));
  assert.ok(holder && holder.seconds !== null && holder.transactions !== null && holder.idle);
  assert.equal(judgeHolders(holders.filter(({ name }) => name === holder.name))[0]?.status, 'ok');
  const [old] = judgeHolders([{ ...holder, seconds: 301 }]);
  assert.equal(old?.status, 'warning');
  assert.match(old.advice ?? '', new RegExp(`pg_terminate_backend\\(${holder.name}\\)`));
  // A role that may not see when others began sees how many transactions ago that was.
  assert.equal(judgeHolders([{ ...holder, seconds: null, transactions: 100_001 }])[0]?.status, 'warning');
  await session.query('rollback');

  const slot = 'select pg_create_physical_replication_slot($$left_behind$$, true)';
  await change(t, [slot], ['select pg_drop_replication_slot($$left_behind$$)']);
  const { findings } = await examine(t, { DATABASE_URL: url });
  assert.match(findings.get('server.snapshots')?.found ?? '', /^replication slot left_behind .*idle/);
});

test('doctor: finds a clock that is wrong', async (t) => {
  const late = 'data:text/javascript,const now = Date.now; Date.now = () => now() + 120_000;';
  const env = { DATABASE_URL: url, NODE_OPTIONS: `--import=${late.replaceAll(' ', '%20')}` };
  const { code, findings } = await examine(t, env);
  assert.equal(findings.get('machine.clock')?.status, 'problem');
  assert.match(findings.get('machine.clock')?.found ?? '', /^1(19|20)\d{3} ms apart$/);
  assert.equal(code, 3);
});

test('doctor: finds keys that end soon, and no keys where other machines may call', async (t) => {
  const database: TestDatabase = await createDatabase(t);
  const open = await examine(t, { DATABASE_URL: database.url, HOST: '0.0.0.0' });
  assert.equal(open.findings.get('keys.access')?.status, 'problem');
  assert.equal(open.findings.get('tls.callers')?.status, 'warning');
  const { id } = await makeKey(database, { expiresIn: '3 days' });
  const { findings } = await examine(t, { DATABASE_URL: database.url, HOST: '0.0.0.0' });
  assert.equal(findings.get('keys.access')?.status, 'ok');
  assert.equal(findings.get('keys.expiry')?.found, `${id} (test) ends in 3 d`);
});

test('doctor: finds transfers that wait for a service, and webhooks that were stopped', async (t) => {
  const database = await createDatabase(t);
  await database.query(`
    insert into leases (id, accepted_count) values ('0192f0c4-1111-7000-8000-000000000001', 1);
    insert into pending_transfers (ledger_id, id, lease_id, from_account, to_account, amount)
    values (1, '0192f0c4-0000-7000-8000-000000000001', '0192f0c4-1111-7000-8000-000000000001', 'A', 'B', 1);
    insert into webhook_endpoints (ledger_id, id, url, secret, disabled_reason, disabled_at)
    values (1, '0192f0c4-0000-7000-8000-000000000002', 'https://example.com', 'x', 'failing', now());
    insert into webhook_cursors (ledger_id, endpoint_id, journal_number, disabled)
    values (1, '0192f0c4-0000-7000-8000-000000000002', 0, true)`);
  const { findings } = await examine(t, { DATABASE_URL: database.url });
  assert.equal(findings.get('books.queue')?.found, '1 pending, 0 processes serve the books');
  assert.equal(findings.get('books.queue')?.status, 'warning');
  assert.equal(findings.get('webhooks.stopped')?.status, 'warning');
});

test('doctor: counts the processes that serve the books', async (t) => {
  const database = await createDatabase(t);
  await startService(t, { database });
  const { findings } = await examine(t, { DATABASE_URL: database.url });
  assert.equal(findings.get('books.queue')?.found, '0 pending, 1 process serves the books');
});

test('doctor: a session that would be refused is one problem, with the sentence of the refusal', async (t) => {
  const { code, findings } = await examine(t, { DATABASE_URL: `${url}&options=-c%20work_mem%3Dnonsense` });
  assert.equal(code, 3);
  assert.equal(findings.get('server.session')?.status, 'problem');
  assert.match(findings.get('server.session')?.advice ?? '', /The server refuses a setting of the session/);
});

test('doctor: finds what stock settings leave to be done, and a pooler that assigns servers by transaction', async (t) => {
  if ((await findInstalled()) === null) return t.skip('PostgreSQL is not installed on this machine.');
  const stock = await startServer('installed', '');
  onEnd(t, () => stock.stop());
  const database = await createDatabase(t, stock);
  const { code, findings } = await examine(t, { DATABASE_URL: database.url });
  assert.equal(code, 0);
  for (const name of ['shared_buffers', 'max_wal_size']) {
    assert.equal(findings.get(`settings.${name}`)?.status, 'warning', name);
  }
  if (!hasPooler()) return t.diagnostic('PgBouncer is not installed on this machine.');
  const pooled = await examine(t, { DATABASE_URL: await startPooler(t, database, ['pool_mode = transaction']) });
  assert.equal(pooled.code, 3);
  assert.match(pooled.findings.get('server.session')?.advice ?? '', /set pool_mode=session for this database/);
});

test('doctor: a database out of reach ends it with code 4, and a wrong option with 2', async (t) => {
  assert.equal((await examine(t, { DATABASE_URL: 'postgresql://test@127.0.0.1:1/nothing' })).code, 4);
  const program = await startProgram(t, { args: ['doctor', '--jsno'], env: { DATABASE_URL: url } });
  assert.equal((await program.exited).code, 2);
});

test('doctor: judges disk, memory, bloat and certificates', async (t) => {
  const folder = await makeFolder(t);
  const disk = await judgeDisk(folder, 700);
  assert.match(disk.found, /^[\d.]+ \w+ of [\d.]+ \w+ free, room for [\d,]+ transfers$/);
  assert.equal(judgeMemory(0, 100 * 1024 ** 2).status, 'warning');
  const hot = { name: 'journal_head', rows: 1, deadRows: 300_000, bytes: 25_000_000, freezeAge: 0.9 };
  assert.equal(judgeTables([hot])[0]?.status, 'warning');
  assert.equal(judgeTables([{ ...hot, deadRows: 3, bytes: 8192 }])[0]?.status, 'ok');
  assert.equal(judgeAges([hot])[0]?.status, 'ok');
  assert.equal(judgeAges([{ ...hot, freezeAge: 1.6 }])[0]?.status, 'warning');
  const open = { open: true, proxied: false };
  assert.equal((await judgeTls(CERTIFICATE, open)).status, 'ok');
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() + 200 * YEAR_MS });
  assert.equal((await judgeTls(CERTIFICATE, open)).status, 'problem');
  assert.equal((await judgeTls('/nowhere.pem', open)).status, 'problem');
});

test('doctor: docs/OPERATIONS.md has the number of connections that the code opens', async () => {
  const text = await readFile(join(import.meta.dirname, '../../docs/OPERATIONS.md'), 'utf8');
  assert.match(text, new RegExp(`\\b${databaseConnectionsOf(0)} \\+ \`THREADS\``));
  assert.match(text, new RegExp(`\\b${databaseConnectionsOf(10)} connections\\b`));
});
