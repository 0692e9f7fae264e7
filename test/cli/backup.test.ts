// gopherpay backup and restore: books that change meanwhile come back whole, and a backup that is not whole, or has no
// empty place to go, is refused and changes nothing.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, test, type TestContext } from 'node:test';
import { PG_MIGRATE_LOCK_ID } from 'node-pg-migrate';
import { z } from 'zod';
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { withDump } from '../../src/db/backup/dump.ts';
import { Tally } from '../../src/db/backup/format.ts';
import { readingTimeouts } from '../../src/db/connection/connect.ts';
import { migrate } from '../../src/db/ledger/migrate.ts';
import { onEnd, type Scope } from '../support/cleanup.ts';
import { createDatabase, renderDatabaseUrl, type TestDatabase } from '../support/database.ts';
import { makeKey } from '../support/keys.ts';
import { startReceiver } from '../support/receiver.ts';
import { SHOP, writeLedger } from '../support/sample-ledgers.ts';
import { withAdmin } from '../support/server.ts';
import {
  type Answer,
  awaitFinal,
  makeFolder,
  request,
  type Service,
  startProgram,
  startService,
} from '../support/service.ts';
import { until } from '../support/until.ts';

type Ran = { code: number | null; stdout: string; stderr: string };
/** How the three roles reach a database. */
type Target = Pick<TestDatabase, 'name' | 'settings' | 'url' | 'ownerUrl' | 'admin'> & { env: Record<string, string> };

/** The ledgers main and shop. */
let database: TestDatabase;
/** A backup of them. */
let file: string;
let folder: string;

before(async (scope) => {
  database = await createDatabase(scope);
  const client = await database.connect();
  await writeLedger(client);
  await writeLedger(client, SHOP);
  folder = await makeFolder(scope);
  file = join(folder, 'books.backup');
  const { code, stderr } = await run(scope, ['backup', file], { DATABASE_URL: database.ownerUrl });
  assert.equal(code, 0, stderr);
});

async function run(scope: Scope, args: string[], env: Record<string, string>, cwd?: string): Promise<Ran> {
  const program = await startProgram(scope, { args, env, ...(cwd === undefined ? {} : { folder: cwd }) });
  const { code } = await program.exited;
  const stdout = program.stdout();
  return { code, stdout, stderr: program.output().replace(stdout, '') };
}

/** A database without any table. */
async function makeTarget(t: TestContext): Promise<Target> {
  const name = `test_${randomBytes(8).toString('hex')}`;
  const { admin, owner, settings, reader } = database;
  await withAdmin(admin, (client) => client.query(`create database ${name} template template0 owner ${owner.user}`));
  onEnd(t, async () => {
    await withAdmin(admin, (client) => client.query(`drop database if exists ${name} with (force)`));
  });
  const [url = '', ownerUrl = '', readerUrl = ''] = [settings, owner, reader].map((role) =>
    renderDatabaseUrl({ ...role, database: name }),
  );
  const env = { DATABASE_URL: url, DATABASE_OWNER_URL: ownerUrl, DATABASE_READER_URL: readerUrl };
  return { name, settings: { ...settings, database: name }, admin: { ...admin, database: name }, url, ownerUrl, env };
}

/** What a database contains, as text: the rows of each table, and each object with its definition and its rights. */
async function contentOf(admin: Target['admin'], tables: readonly string[]): Promise<Record<string, unknown>> {
  const { Client } = await import('pg');
  const client = new Client(admin);
  await client.connect();
  try {
    const content: Record<string, unknown> = {};
    for (const table of tables) {
      const { rows } = await client.query(
        `select count(*) as rows, md5(string_agg(rows::text, ',' order by rows::text)) as hash from ${table} as rows`,
      );
      content[table] = rows[0];
    }
    const objects = await client.query({
      text: `
        select relname, relkind, reloptions, relacl::text, pg_get_userbyid(relowner) from pg_class
        where relnamespace = 'public'::regnamespace
        union all
        select conname, contype, null, pg_get_constraintdef(oid), null from pg_constraint
        where connamespace = 'public'::regnamespace
        union all
        select relname, 'i', null, pg_get_indexdef(oid), null from pg_class
        where relnamespace = 'public'::regnamespace and relkind = 'i'
        union all
        select tgname, tgenabled, null, pg_get_triggerdef(oid), null from pg_trigger where not tgisinternal
        union all
        select attrelid::regclass::text || '.' || attname, 'c', null, attacl::text, null from pg_attribute
        where attacl is not null
        order by 1, 2, 4`,
      rowMode: 'array',
    });
    return { ...content, objects: objects.rows };
  } finally {
    await client.end();
  }
}

async function tablesOf({ query }: TestDatabase): Promise<string[]> {
  const rows = await query<{ name: string }>(
    `select relname::text as name from pg_class
     where relnamespace = 'public'::regnamespace and relkind = 'r' and relname <> 'migrations' order by 1`,
  );
  return rows.map(({ name }) => name);
}

test('backup: books come back with every row, object and right, and the audit agrees', async (t) => {
  const target = await makeTarget(t);
  const { code, stdout, stderr } = await run(t, ['restore', file], target.env);
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^ledger main, journal \d+ sha256:[0-9a-f]{64} verified at/m);
  assert.match(stdout, /^ledger shop, journal \d+ sha256:[0-9a-f]{64} verified at/m);
  const counts = 'pending transfers 8, api keys 0, webhook endpoints 0, approvals 2, idempotency keys \\d+';
  assert.match(stderr, new RegExp(`^The audit and checkpoints do not cover these rows: ${counts}$`, 'm'));
  const tables = await tablesOf(database);
  assert.deepEqual(await contentOf(target.admin, tables), await contentOf(database.admin, tables));
});

test('backup: the file is for its owner alone, and the command says what it wrote', async (t) => {
  assert.equal((await stat(file)).mode & 0o777, 0o600);
  const { code, stderr } = await run(t, ['restore', file, '--check'], {});
  assert.equal(code, 0);
  assert.match(stderr, /is whole: [\d,]+ rows of 2 ledgers, written at \S+ by GopherPay \S+ from PostgreSQL \d+/);
});

test('backup: is one snapshot under load, and what was accepted before it settles after the restore', async (t) => {
  const source = await createDatabase(t);
  const receiver = await startReceiver(t);
  const { headers } = await makeKey(source);
  const service = await startService(t, { database: source, env: { WEBHOOK_TARGETS: 'any', THREADS: '2' } });
  const call = async (
    method: 'GET' | 'POST' | 'DELETE',
    path: string,
    body?: unknown,
    more = {},
  ): Promise<Answer<Record<string, unknown>>> => {
    const answer = await request(service, method, path, body, { ...headers, ...more });
    assert.ok(answer.status < 300, answer.text);
    return answer;
  };
  const wait = { prefer: 'wait=10' };
  for (const account_number of ['ANN', 'BOB', 'HELD', 'GONE']) {
    await call('POST', '/accounts', { account_number, name: 'Ada Lovelace', balance: 1_000_000 });
  }
  await call('POST', '/ledgers', { name: 'shop' });
  await call('POST', '/ledgers/shop/accounts', { account_number: 'ZOE', name: 'Zoe', balance: 5 });
  await call('DELETE', '/accounts/GONE/personal-data');
  const hold = await call('POST', '/holds', { from_account: 'ANN', to_account: 'BOB', amount: 70 }, wait);
  await call('POST', '/webhooks', { url: receiver.url, types: ['transfer.completed'], account: 'HELD' });
  const kept = { from_account: 'HELD', to_account: 'BOB', amount: 3 };
  const first = await call('POST', '/transfers', kept, { ...wait, 'idempotency-key': 'kept' });
  await until(() => receiver.received.length === 1, { what: 'the webhook' });
  const delivered = `select from webhook_cursors where journal_number >= ${Number(first.body['journal_number'])}`;
  await until(async () => (await source.query(delivered)).length === 1, { what: 'the cursor of the webhook' });

  // Transfers of HELD stay pending while another session locks the account.
  const blocker = await source.connect();
  await blocker.query(`begin; select from accounts where account_number = 'HELD' for update`);
  const pending = await call('POST', '/transfers', { from_account: 'HELD', to_account: 'BOB', amount: 11 });
  const stopping = new AbortController();
  const load = (async () => {
    while (!stopping.signal.aborted)
      await call('POST', '/transfers', { from_account: 'ANN', to_account: 'BOB', amount: 1 }, wait);
  })();
  const backup = join(await makeFolder(t), 'books.backup');
  const written = await run(t, ['backup', backup], { DATABASE_URL: source.url });
  stopping.abort();
  await load;
  assert.equal(written.code, 0, written.stderr);
  await service.kill();
  await blocker.query('rollback');

  const target = await makeTarget(t);
  const restored = await run(t, ['restore', backup], target.env);
  assert.equal(restored.code, 0, restored.stderr);
  const revived = await startService(t, { env: { ...target.env, WEBHOOK_TARGETS: 'any' } });
  const settled = await awaitFinal({ url: revived.url, headers }, String(pending.body['id']));
  assert.equal(settled['status'], 'completed');
  const replay = await request(revived, 'POST', '/transfers', kept, { ...headers, ...wait, 'idempotency-key': 'kept' });
  assert.equal(replay.body['id'], first.body['id']);
  const captured = await request(
    revived,
    'POST',
    `/holds/${String(hold.body['id'])}/capture`,
    {},
    { ...headers, ...wait },
  );
  assert.equal(captured.body['status'], 'completed', captured.text);
  const erased = await request(revived, 'GET', '/accounts/GONE', undefined, headers);
  assert.equal(erased.body['name'], null);
  await until(() => receiver.received.length === 2, { what: 'the webhook of the pending transfer' });
  assert.equal(receiver.received[1]?.message.data['id'], pending.body['id']);
  await stopAndAudit(t, revived, target);
});

async function stopAndAudit(t: TestContext, service: Service, { env }: Target): Promise<void> {
  assert.equal((await service.stop()).code, 0);
  const { code, stdout } = await run(t, ['audit'], env);
  assert.equal(code, 0, stdout);
}

test('restore: --pause-webhooks keeps a copy of the books silent', async (t) => {
  const source = await createDatabase(t);
  const receiver = await startReceiver(t);
  const service = await startService(t, { database: source, env: { WEBHOOK_TARGETS: 'any' } });
  await request(service, 'POST', '/webhooks', { url: receiver.url });
  await service.stop();
  const backup = join(await makeFolder(t), 'books.backup');
  assert.equal((await run(t, ['backup', backup], { DATABASE_URL: source.url })).code, 0);
  const target = await makeTarget(t);
  assert.equal((await run(t, ['restore', backup, '--pause-webhooks'], target.env)).code, 0);
  const copy = await startService(t, { env: { ...target.env, WEBHOOK_TARGETS: 'any' } });
  const { body } = await request<{ items: Record<string, unknown>[] }>(copy, 'GET', '/webhooks');
  assert.deepEqual(
    body.items.map((webhook) => webhook['disabled_reason']),
    ['paused'],
  );
});

test('restore: compares the restored books with hashes that were kept elsewhere', async (t) => {
  const audit = await run(t, ['audit', '--json'], { DATABASE_URL: database.ownerUrl });
  const kept = join(await makeFolder(t), 'verified.json');
  await writeFile(kept, audit.stdout);
  const target = await makeTarget(t);
  const agreeing = await run(t, ['restore', file, `--expect=@${kept}`], target.env);
  assert.equal(agreeing.code, 0, agreeing.stderr);
  await writeFile(kept, audit.stdout.replaceAll(/"journal_hash":"[0-9a-f]{8}/g, '"journal_hash":"00000000'));
  const other = await makeTarget(t);
  const differing = await run(t, ['restore', file, `--expect=@${kept}`], other.env);
  assert.equal(differing.code, 3, differing.stderr);
  assert.match(differing.stdout, /journal\.expected/);
});

test('restore: refuses a database that has books, and changes nothing in it', async (t) => {
  const tables = await tablesOf(database);
  const content = await contentOf(database.admin, tables);
  const { code, stderr } = await run(t, ['restore', file], { DATABASE_URL: database.ownerUrl });
  assert.equal(code, 1);
  assert.match(
    stderr,
    /The database has books already \(in the table \w+\), and a restore never replaces any: name an empty/,
  );
  assert.deepEqual(await contentOf(database.admin, tables), content);
});

test('restore: refuses a role that is missing, and loads nothing', async (t) => {
  const target = await makeTarget(t);
  const absent = (target.env['DATABASE_READER_URL'] ?? '').replace(/\/\/[^:@]+/, '//absent');
  const { code, stderr } = await run(t, ['restore', file], { ...target.env, DATABASE_READER_URL: absent });
  assert.equal(code, 1, stderr);
  assert.match(stderr, /The database server has no role "absent": run "create role/);
  await assert.rejects(contentOf(target.admin, ['ledgers']), { code: '42P01' });
});

test('restore: an error after the load ends with 3, and says that the books are not proved', async (t) => {
  const target = await makeTarget(t);
  const reader = new URL(target.env['DATABASE_READER_URL'] ?? '');
  reader.pathname = 'absent';
  const { code, stderr } = await run(t, ['restore', file], { ...target.env, DATABASE_READER_URL: reader.href });
  assert.equal(code, 3, stderr);
  assert.match(stderr, /"absent" does not exist[^]*\nThe books are loaded, and not proved: run gopherpay migrate and/);
});

/** Ways to spoil the text of a backup, and what the refusal says. */
const DAMAGES: readonly { what: string; spoil: (text: string) => string; sentence: RegExp }[] = [
  { what: 'without its end', spoil: (text) => text.slice(0, -400), sentence: /is damaged, its end is missing/ },
  { what: 'that ends within a table', spoil: (text) => text.slice(0, text.length / 2), sentence: /its end is missing/ },
  {
    what: 'without a table',
    spoil: (text) => text.replace(/\{"table":"entries".*?\n\\\.\n/s, ''),
    sentence: /is damaged, the table entries is missing/,
  },
  {
    what: 'with a changed amount',
    spoil: (text) => text.replace(/(\{"table":"entries".*?\n\d+\t)(-?\d)/s, '$19'),
    sentence: /is damaged, the table entries was changed/,
  },
  {
    what: 'with a changed header',
    spoil: (text) => text.replace('"created_at":"2', '"created_at":"1'),
    sentence: /is damaged, its description was changed/,
  },
  {
    what: 'with a row of 40 MiB',
    spoil: (text) => text.replace(/(?<=\{"table":"entries".*?\n)/s, '9'.repeat(40 * 1024 * 1024)),
    sentence: /is damaged, it has a line that is too long/,
  },
  {
    what: 'of a newer form',
    spoil: (text) => text.replace('"format":1', '"format":2'),
    sentence: /has the form 2, and this version of GopherPay reads up to 1: restore it with the newer version/,
  },
];

for (const { what, spoil, sentence } of DAMAGES) {
  test(`restore: refuses a backup ${what}`, async (t) => {
    const spoiled = join(await makeFolder(t), 'spoiled.backup');
    const text = zstdDecompressSync(await readFile(file)).toString();
    const changed = spoil(text);
    assert.notEqual(changed, text);
    await writeFile(spoiled, zstdCompressSync(changed));
    const dataDir = join(await makeFolder(t), 'data');
    const { code, stderr } = await run(t, ['restore', spoiled], { DATA_DIR: dataDir });
    assert.equal(code, 1);
    assert.match(stderr, sentence);
    await assert.rejects(stat(dataDir), { code: 'ENOENT' });
  });
}

/** The text with a trailer that agrees with it, as another program could write it. */
function resealed(text: string): string {
  const tally = new Tally();
  const [header = '', ...sections] = text.split(/^(?=\{"table":)/m);
  tally.line(header);
  for (const section of sections) {
    const end = section.indexOf('\n') + 1;
    const [line, rows] = [section.slice(0, end), section.slice(end)];
    tally.line(line);
    tally.rows(Buffer.from(rows.slice(0, rows.lastIndexOf('\\.\n'))));
    tally.endTable(z.object({ table: z.string() }).parse(JSON.parse(line)).table);
  }
  return `${text.slice(0, text.lastIndexOf('{"tables":'))}${JSON.stringify(tally.end())}\n`;
}

const FORGERIES: readonly { what: string; forge: (text: string) => string; code: number; sentence: RegExp }[] = [
  {
    what: 'of a newer schema',
    forge: (text) => text.replace('"0001_ledger"', '"9999_later"'),
    code: 1,
    sentence: /made by another version \(\S+\), whose schema this version does not know: restore it with that version/,
  },
  {
    what: 'that lacks a table',
    forge: (text) => text.replace(/\{"table":"entries".*?\n\\\.\n/s, ''),
    code: 1,
    sentence: /lacks the table entries: use another backup/,
  },
  {
    what: 'whose journal ends elsewhere',
    forge: (text) => text.replace(/"journal_hash":"[0-9a-f]{8}/, '"journal_hash":"00000000'),
    code: 3,
    sentence: /The journal of the ledger main does not end as in the backup: expected row \d+ with 0{8}/,
  },
  {
    what: 'with control characters in a number',
    forge: (text) => text.replace(/(\{"table":"entries".*?\n\d+\t)(-?\d)/s, '$1\u001b[31m'),
    code: 1,
    sentence: /invalid input syntax for type bigint: "\\u\{1b\}\[31m/,
  },
  {
    what: 'with another balance',
    forge: (text) => text.replace(/(\{"table":"entries".*?\n\d+\t)(-?\d)/s, '$19'),
    code: 3,
    sentence: /The books are not whole: \d+ discrepanc/,
  },
];

for (const { what, forge, code, sentence } of FORGERIES) {
  test(`restore: finds a backup ${what}, though its hashes agree`, async (t) => {
    const forged = join(await makeFolder(t), 'forged.backup');
    await writeFile(forged, zstdCompressSync(resealed(forge(zstdDecompressSync(await readFile(file)).toString()))));
    const target = await makeTarget(t);
    const found = await run(t, ['restore', forged], target.env);
    assert.equal(found.code, code, found.stderr);
    assert.match(found.stderr, sentence);
  });
}

test('restore: refuses a file with a flipped bit, a shortened file and another file', async (t) => {
  const whole = await readFile(file);
  const flipped = Buffer.from(whole);
  flipped[flipped.length >> 1] = (flipped[flipped.length >> 1] ?? 0) ^ 4;
  const others = {
    flipped,
    short: whole.subarray(0, -100),
    text: Buffer.from('{"type":"transfer"}\n'),
    empty: Buffer.alloc(0),
    'longer-by-a-byte': Buffer.concat([whole, Buffer.alloc(1)]),
    'longer-by-many': Buffer.concat([whole, Buffer.alloc(1_000_000)]),
    'followed-by-another': Buffer.concat([whole, zstdCompressSync('more')]),
  };
  for (const [name, content] of Object.entries(others)) {
    const path = join(await makeFolder(t), name);
    await writeFile(path, content);
    const { code, stderr } = await run(t, ['restore', path, '--check'], {});
    assert.equal(code, 1, name);
    assert.match(stderr, /The backup \S+ is (damaged|not a backup)/, name);
  }
});

test('backup: refuses a schema that this version does not know', async (t) => {
  const source = await createDatabase(t);
  await source.query(`insert into migrations (name, run_on) values ('9999_later', now())`);
  const cwd = await makeFolder(t);
  const { code, stderr } = await run(t, ['backup', 'books.backup'], { DATABASE_URL: source.ownerUrl }, cwd);
  assert.equal(code, 1);
  assert.match(
    stderr,
    /has the migration "9999_later", which this version of GopherPay does not know: make the backup/,
  );
  assert.deepEqual(await readdir(cwd), []);
});

test('backup: its snapshot is from after the locks that keep migrations away', async (t) => {
  const source = await createDatabase(t);
  const blocker = await source.connect();
  await blocker.query('begin; lock table transfers in access exclusive mode');
  const cwd = await makeFolder(t);
  const args = ['backup', 'books.backup'];
  const program = await startProgram(t, { args, env: { DATABASE_URL: source.ownerUrl }, folder: cwd });
  const waiting = `select from pg_stat_activity where datname = current_database()
    and application_name = 'gopherpay backup' and wait_event_type = 'Lock'`;
  await until(async () => (await source.query(waiting)).length === 1, { what: 'the backup to wait for the lock' });
  await blocker.query(`update ledgers set approval_above = 4711; commit`);
  assert.equal((await program.exited).code, 0, program.output());
  assert.match(
    zstdDecompressSync(await readFile(join(cwd, 'books.backup'))).toString(),
    /\{"table":"ledgers".*\n.*\b4711\b/,
  );
});

test('backup: waits for a migration, and a migration waits until its tables are locked', async (t) => {
  const source = await createDatabase(t);
  const migrating = await source.connect();
  await migrating.query('select pg_advisory_lock($1::bigint)', [PG_MIGRATE_LOCK_ID]);
  const blocker = await source.connect();
  await blocker.query('begin; lock table transfers in access exclusive mode');
  const cwd = await makeFolder(t);
  const args = ['backup', 'books.backup'];
  const program = await startProgram(t, { args, env: { DATABASE_URL: source.ownerUrl }, folder: cwd });
  const waitsFor = (lock: string) =>
    `select from pg_stat_activity where datname = current_database() and application_name = 'gopherpay backup'
     and wait_event = '${lock}'`;
  await until(async () => (await source.query(waitsFor('advisory'))).length === 1, {
    what: 'the wait for the migration',
  });
  await migrating.query(
    `alter table approvals add column later text; select pg_advisory_unlock(${PG_MIGRATE_LOCK_ID})`,
  );
  await until(async () => (await source.query(waitsFor('relation'))).length === 1, { what: 'the wait for a table' });
  const roles = { runtime: source.settings.user ?? null, reader: null };
  await assert.rejects(migrate(source.owner, { roles, lockTimeoutMs: 200 }), /Another process has been migrating/);
  await blocker.query('commit');
  assert.equal((await program.exited).code, 0, program.output());
  assert.match(
    zstdDecompressSync(await readFile(join(cwd, 'books.backup'))).toString(),
    /\{"table":"approvals","columns":\[.*"later"/,
  );
});

test('backup: lets migrations begin while it writes', async (t) => {
  const source = await createDatabase(t);
  await writeLedger(await source.connect());
  const roles = { runtime: source.settings.user ?? null, reader: null };
  const timeouts = readingTimeouts(10_000);
  const options = { version: 'test', onEvent: () => {} };
  await withDump(source.owner, options, { timeouts, signal: t.signal }, async (texts) => {
    await texts.next();
    await migrate(source.owner, { roles, lockTimeoutMs: 200 });
    for await (const _ of texts);
  });
});

test('backup: one that is interrupted leaves no file', async (t) => {
  const blocker = await database.connect();
  await blocker.query('begin; lock table transfers in access exclusive mode');
  const cwd = await makeFolder(t);
  const args = ['backup', 'books.backup'];
  const program = await startProgram(t, { args, env: { DATABASE_URL: database.ownerUrl }, folder: cwd });
  const waiting = `select from pg_stat_activity where application_name = 'gopherpay backup' and wait_event_type = 'Lock'`;
  await until(async () => (await database.query(waiting)).length === 1, { what: 'the backup to wait for the lock' });
  process.kill(program.pid, 'SIGINT');
  assert.equal((await program.exited).code, 130);
  await blocker.query('rollback');
  assert.deepEqual(await readdir(cwd), []);
});

test('restore: a backup of the embedded database goes into a new folder, and the service starts on it', async (t) => {
  const cwd = await makeFolder(t);
  const { code, stderr } = await run(t, ['restore', file], { DATA_DIR: 'data' }, cwd);
  assert.equal(code, 0, stderr);
  const service = await startService(t, { folder: cwd, env: { DATA_DIR: 'data' } });
  assert.equal((await request(service, 'GET', '/ledgers/shop/events')).status, 200);
  const backup = await run(t, ['backup', 'again.backup'], { DATA_DIR: 'data' }, cwd);
  assert.equal(backup.code, 0, backup.stderr);
});

const HASH = `1:${'ab'.repeat(32)}`;
const WRONG = [
  ['restore', 'a', '--check', `--expect=${HASH}`],
  ['restore', 'a', `--expect=${HASH}`, '--public-key=b'],
];

test('backup: wrong arguments end with code 2', async (t) => {
  for (const args of [['backup'], ['backup', 'a', 'b'], ['restore'], ['restore', 'a', '--chek'], ...WRONG]) {
    const { code } = await run(t, args, { DATABASE_URL: database.url });
    assert.equal(code, 2, args.join(' '));
  }
});
