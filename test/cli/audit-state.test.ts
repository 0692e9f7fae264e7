// gopherpay audit in many snapshots: the state file, from which an audit goes on, and the same output as in one snapshot.
import assert from 'node:assert/strict';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, test, type TestContext } from 'node:test';
import { onEnd, type Scope } from '../support/cleanup.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { JOURNAL_ROWS, SHOP, writeLedger } from '../support/sample-ledgers.ts';
import { makeFolder, type Program, startProgram } from '../support/service.ts';
import { until } from '../support/until.ts';

type Ran = { code: number | null; stdout: string; output: string };

let whole: TestDatabase;

before(async (t) => {
  whole = await makeLedger(t);
});

async function makeLedger(scope: Scope): Promise<TestDatabase> {
  const database = await createDatabase(scope);
  const client = await database.connect();
  await writeLedger(client);
  await writeLedger(client, SHOP);
  return database;
}

async function start(t: TestContext, database: { url: string }, ...options: string[]): Promise<Program> {
  return await startProgram(t, { database, args: ['audit', ...options] });
}

async function audit(t: TestContext, database: { url: string }, ...options: string[]): Promise<Ran> {
  const program = await start(t, database, ...options);
  const { code } = await program.exited;
  return { code, stdout: program.stdout(), output: program.output() };
}

test('audit: many snapshots print what one snapshot prints', async (t) => {
  const wrong = await makeLedger(t);
  const client = await wrong.connect();
  await client.query(`set session_replication_role = replica`);
  await client.query(`update accounts set overdraft_limit = overdraft_limit + 1 where account_number = 'BOB'`);
  const withoutTime = (text: string) => text.replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'now');
  for (const database of [whole, wrong]) {
    for (const options of [[], ['--json'], ['--ledger=shop'], ['--since=15'], ['--since=15', '--json']]) {
      const one = await audit(t, database, '--one-snapshot', ...options);
      const many = await audit(t, database, '--jobs=2', ...options);
      assert.equal(many.code, one.code);
      assert.equal(many.code, database === whole ? 0 : 3);
      if (options.includes('--since=15')) continue;
      assert.equal(withoutTime(many.output), withoutTime(one.output), options.join(' '));
    }
  }
});

test('audit: --state audits what came after the last audit, of every ledger', async (t) => {
  const database = await makeLedger(t);
  const file = join(await makeFolder(t), 'state.json');
  const first = await audit(t, database, `--state=${file}`);
  assert.equal(first.code, 0, first.output);
  assert.match(
    first.stdout,
    new RegExp(`^ledger shop, journal ${JOURNAL_ROWS} sha256:[0-9a-f]+ verified at \\S+$`, 'm'),
  );
  assert.equal((await stat(file)).mode & 0o777, 0o600);
  const second = await audit(t, database, `--state=${file}`);
  assert.equal(second.code, 0, second.output);
  assert.match(second.stdout, new RegExp(`^ledger shop, .*, from journal ${JOURNAL_ROWS} on$`, 'm'));
  assert.match(second.stdout, /^transfers\.parents +0 +0$/m);
  // The row with which the last audit ended is another one.
  const client = await database.connect();
  await client.query(`set session_replication_role = replica`);
  await client.query(`update journal set hash = sha256('other') where ledger_id = 1 and number = ${JOURNAL_ROWS}`);
  // It is found again, until the books are mended.
  for (const _ of [1, 2]) {
    const rewritten = await audit(t, database, `--state=${file}`);
    assert.equal(rewritten.code, 3, rewritten.output);
    assert.match(rewritten.stdout, /^journal\.chain: .* hash, as it was read before: /m);
  }
});

for (const { what, tamper, found } of [
  {
    what: 'is gone with all its rows',
    tamper: `
      delete from transfers where ledger_id = 2;
      delete from entries where ledger_id = 2;
      delete from journal where ledger_id = 2;
      delete from accounts where ledger_id = 2;
      delete from account_changes where ledger_id = 2;
      delete from personal_keys where ledger_id = 2;
      delete from holds where ledger_id = 2;
      delete from reversed_amounts where ledger_id = 2;
      delete from idempotency_keys where ledger_id = 2;
      delete from pending_transfers where ledger_id = 2;
      delete from ledger_leases where ledger_id = 2;
      delete from audit_log where ledger_id = 2;
      delete from journal_head where ledger_id = 2;
      delete from ledgers where id = 2`,
    found: 'none',
  },
  { what: 'has another name', tamper: `update ledgers set name = 'store' where id = 2`, found: 'store' },
]) {
  test(`audit: --state finds that a ledger of the last audit ${what}`, async (t) => {
    const database = await makeLedger(t);
    const file = join(await makeFolder(t), 'state.json');
    assert.equal((await audit(t, database, `--state=${file}`)).code, 0);
    const client = await database.connect();
    await client.query(`set session_replication_role = replica; ${tamper}`);
    // It is found again, until the books are mended.
    for (const _ of [1, 2]) {
      const { code, stdout, output } = await audit(t, database, `--state=${file}`);
      assert.equal(code, 3, output);
      assert.match(stdout, new RegExp(`^ledgers\\.fields: .*ledger that was audited before: .*shop.*${found}`, 'm'));
    }
  });
}

test('audit: --state of other books, or with other options, exits with 2', async (t) => {
  const file = join(await makeFolder(t), 'state.json');
  const other = await makeLedger(t);
  await other.query(`update ledgers set created_at = created_at + interval '1 second' where id = 1`);
  await audit(t, other, `--state=${file}`);
  const former = await readFile(file, 'utf8');
  const refused = [
    await audit(t, whole, `--state=${file}`),
    await audit(t, other, `--state=${file}`, '--ledger=shop'),
    await audit(t, whole, '--state=/etc/hostname'),
    await audit(t, whole, '--one-snapshot', '--jobs=2'),
    await audit(t, whole, '--state-key=signing.pem'),
    await audit(t, whole, '--jobs=0'),
    await audit(t, whole, '--snapshot-max=0'),
  ];
  assert.deepEqual(
    refused.map(({ code }) => code),
    refused.map(() => 2),
    refused.map(({ output }) => output).join(''),
  );
  assert.match(refused[0]?.output ?? '', /is of another database, or of other ledgers\.\n$/);
  assert.equal(await readFile(file, 'utf8'), former);
  // One that was interrupted while the tables were elsewhere: its name would be a part of statements.
  const moved = former.replaceAll(String.raw`\"schema\":\"public\"`, String.raw`\"schema\":\"elsewhere\"`);
  await writeFile(file, moved.replace(/,\\"done\\":true\}"/, String.raw`,\"done\":false}"`));
  const elsewhere = await audit(t, other, `--state=${file}`);
  assert.equal(elsewhere.code, 2, elsewhere.output);
  assert.match(elsewhere.output, /is of another schema\.\n$/);
});

test('audit: --state-key refuses a state that the key did not sign', async (t) => {
  const folder = await makeFolder(t);
  const [file, key] = [join(folder, 'state.json'), join(folder, 'signing.pem')];
  const made = await startProgram(t, { args: ['checkpoint', `--new-key=${key}`] });
  assert.equal((await made.exited).code, 0);
  const options = [`--state=${file}`, `--state-key=${key}`];
  assert.equal((await audit(t, whole, ...options)).code, 0);
  assert.equal((await audit(t, whole, ...options)).code, 0);
  const signed = await readFile(file, 'utf8');
  await writeFile(file, signed.replace(String.raw`\"done\":true`, String.raw`\"done\":false`));
  assert.notEqual(await readFile(file, 'utf8'), signed);
  const forged = await audit(t, whole, ...options);
  assert.equal(forged.code, 3);
  assert.match(forged.output, /is not signed with the key of --state-key\.\n$/);
  await writeFile(file, signed.replace(/"signature":"[^"]*"/, '"signature":null'));
  assert.equal((await audit(t, whole, ...options)).code, 3);
});

for (const { how, stop, code, said } of [
  { how: 'a signal', stop: async (program: Program) => await program.stop(), code: 143, said: /^/ },
  {
    how: 'the end of its connections',
    stop: async (program: Program, database: TestDatabase) => {
      await database.query(
        `select pg_terminate_backend(pid) from pg_stat_activity
         where datname = current_database() and application_name = 'gopherpay audit'`,
      );
      return await program.exited;
    },
    code: 4,
    said: /^The database is out of reach \(.*DB_HOST\. Then run the same command again: it goes on from \S+state\.json\.$/m,
  },
]) {
  test(`audit: goes on after ${how} where it was`, async (t) => {
    const database = await makeLedger(t);
    const file = join(await makeFolder(t), 'state.json');
    const blocker = await database.connect();
    onEnd(t, async () => await blocker.end());
    // The holds come before the reversals.
    await blocker.query('begin');
    await blocker.query('lock table reversed_amounts in access exclusive mode');
    const program = await start(t, database, '--jobs=1', `--state=${file}`);
    await until(
      async () => {
        const waiting = await database.query(
          `select from pg_stat_activity
           where datname = current_database() and application_name = 'gopherpay audit' and wait_event_type = 'Lock'`,
        );
        return waiting.length > 0;
      },
      { what: 'the audit to wait for a lock' },
    );
    assert.equal((await stop(program, database)).code, code, program.output());
    assert.match(program.output(), said);
    const state = await readFile(file, 'utf8');
    assert.match(state, /holds 1/);
    assert.doesNotMatch(state, /reversed_amounts 1/);
    await blocker.query('rollback');
    const resumed = await audit(t, database, `--state=${file}`);
    assert.equal(resumed.code, 0, resumed.output);
    const fresh = await audit(t, database, '--jobs=1');
    const rows = (text: string) => text.split('\n').slice(0, -3);
    assert.deepEqual(rows(resumed.stdout), rows(fresh.stdout));
  });
}
