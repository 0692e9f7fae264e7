// gopherpay export and import: books that move to another database are the same books, and a service goes on from there.
import assert from 'node:assert/strict';
import { createReadStream } from 'node:fs';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import { createGunzip } from 'node:zlib';
import { connect, disconnect, READING_TIMEOUTS } from '../../src/db/connection/connect.ts';
import { findAll } from '../support/audit.ts';
import { createLedger } from '../../src/db/ledger/ledgers.ts';
import { createDatabase, renderDatabaseUrl, type TestDatabase } from '../support/database.ts';
import { drawFor } from '../support/random.ts';
import { rewriteShop, SHOP, writeLedger } from '../support/sample-ledgers.ts';
import { makeFolder, request, startProgram, startService } from '../support/service.ts';
import { until } from '../support/until.ts';
import { linesOf, recordLines, resealed, run, succeed, verifyFiles, writeRandomBooks } from './books.ts';

async function audit({ reader }: TestDatabase): Promise<void> {
  const connection = await connect(reader, READING_TIMEOUTS, { applicationName: 'test', readOnly: true });
  try {
    await connection.query('begin transaction isolation level repeatable read, read only');
    assert.deepEqual((await findAll(connection)).discrepancies, []);
  } finally {
    await disconnect(connection);
  }
}

/** Exports the ledger main, with its keys in a second file, and verifies it. */
async function exportMain(t: TestContext, database: TestDatabase, ...options: string[]) {
  const folder = await makeFolder(t);
  const [file, keys] = [join(folder, 'main.ndjson'), join(folder, 'keys.ndjson')];
  await succeed(t, database, ['export', `--output=${file}`, `--personal-keys=${keys}`, ...options]);
  const { end, discrepancies } = await verifyFiles([file]);
  assert.deepEqual(discrepancies, []);
  return { file, keys, end, text: await readFile(file, 'utf8') };
}

test('import: random books are whole afterwards, and their next export has the same lines', async (t) => {
  const random = drawFor(t);
  for (let times = 0; times < 3; times += 1) {
    const database = await createDatabase(t);
    await writeRandomBooks(await database.connect(), random, random.whole(20, 80));
    const first = await exportMain(t, database);
    const other = await createDatabase(t);
    await succeed(t, other, ['import', first.file, `--personal-keys=${first.keys}`]);
    await audit(other);
    const second = await exportMain(t, other);
    assert.deepEqual(recordLines(second.text), recordLines(first.text));
    assert.equal(await readFile(second.keys, 'utf8'), await readFile(first.keys, 'utf8'));
    for (const table of ['accounts', 'holds', 'reversed_amounts', 'entries', 'transfers']) {
      const rows = `select to_jsonb(rows)::text as row from ${table} as rows order by 1`;
      assert.deepEqual(await other.query(rows), await database.query(rows), table);
    }
  }
});

test('import: books cut at random rows join again, and are imported in steps', async (t) => {
  const random = drawFor(t);
  const database = await createDatabase(t);
  await writeRandomBooks(await database.connect(), random, 60);
  const whole = await exportMain(t, database);
  const last = whole.end?.number ?? 0;
  const cut = random.whole(1, last - 1);
  const folder = await makeFolder(t);
  const files = [join(folder, '1.ndjson.gz'), join(folder, '2.ndjson')];
  await succeed(t, database, ['export', `--output=${files[0]}`, `--until=${cut}`]);
  await succeed(t, database, ['export', `--output=${files[1]}`, `--since=${cut}`]);
  const { end, discrepancies } = await verifyFiles(files);
  assert.deepEqual([end?.number, end?.unknownFields, discrepancies], [last, 0, []]);
  const other = await createDatabase(t);
  await succeed(t, other, ['import', ...files, `--personal-keys=${whole.keys}`]);
  await audit(other);
  assert.deepEqual(recordLines((await exportMain(t, other)).text), recordLines(whole.text));
  // The balances of the first file are those of its last row.
  const balances = await database.query<{ name: string; balance: bigint }>(
    `select distinct on (account_number, currency) account_number || currency as name, balance
     from entries where journal_number <= $1 order by account_number, currency, entry_number desc`,
    [cut],
  );
  const stated = linesOf(await text(createReadStream(files[0] ?? '').pipe(createGunzip())))
    .map((line) => JSON.parse(line))
    .filter(({ type }) => type === 'account');
  for (const { account_number: number, currency, balance } of stated) {
    const expected = balances.find(({ name }) => name === `${number}${currency}`)?.balance ?? 0n;
    assert.equal(BigInt(balance), expected);
  }
});

test('import: a copy follows its original, until it goes its own way', async (t) => {
  const database = await createDatabase(t);
  const service = await startService(t, { database });
  const pay = async (amount: number) => {
    const order = { from_account: '@external', to_account: 'ANN', amount };
    assert.equal(
      (await request(service, 'POST', '/transfers', order, { prefer: 'wait=10' })).body['status'],
      'completed',
    );
  };
  await request(service, 'POST', '/accounts', { account_number: 'ANN', name: 'Ann', currency: 'USD' });
  await pay(1);
  const first = await exportMain(t, database);
  const other = await createDatabase(t);
  await succeed(t, other, ['import', first.file, `--personal-keys=${first.keys}`]);
  await pay(2);
  await request(service, 'POST', '/accounts', { account_number: 'BOB', name: 'Bob', currency: 'USD' });
  const second = await exportMain(t, database, `--since=${first.end?.number}`);
  // What a statement of a service on the copy does.
  const follower = await other.connect();
  await follower.query(`update journal_head set closed_until = clock_timestamp()`);
  const reopening = await run(t, other, ['import', second.file, `--personal-keys=${second.keys}`]);
  assert.equal(reopening.code, 1, reopening.stderr);
  assert.match(
    reopening.stderr,
    /^Nothing is imported: a service on this copy answered that its books are closed until/m,
  );
  await follower.query(`update journal_head set closed_until = '-infinity'`);
  await succeed(t, other, ['import', second.file, `--personal-keys=${second.keys}`]);
  await audit(other);
  const found = await other.query(`select account_number, word from account_words order by word`);
  assert.deepEqual(found, [
    { account_number: 'ANN', word: 'ANN' },
    { account_number: 'BOB', word: 'BOB' },
  ]);
  const again = await run(t, other, ['import', second.file, `--personal-keys=${second.keys}`]);
  assert.equal(again.code, 1);
  assert.match(again.stderr, /^Nothing is imported: the ledger main is there already, at journal row \d+ sha256:/);
});

test('import: a new service goes on from there, and nothing happens twice', async (t) => {
  const database = await createDatabase(t);
  const service = await startService(t, { database });
  const account = { account_number: 'ANN', name: 'Ann', currency: 'USD', email: 'ann@example.org', balance: 500 };
  const opened = await request(service, 'POST', '/accounts', account, { 'idempotency-key': 'opening' });
  assert.equal(opened.status, 201, opened.text);
  const order = { from_account: '@external', to_account: 'ANN', amount: 250 };
  const headers = { 'idempotency-key': 'payment', prefer: 'wait=10' };
  const paid = await request(service, 'POST', '/transfers', order, headers);
  assert.equal(paid.body['status'], 'completed', paid.text);
  const hold = { from_account: 'ANN', to_account: '@external', amount: 30, expires_in: 2 };
  await request(service, 'POST', '/holds', hold, { prefer: 'wait=10' });
  await service.stop();
  const first = await exportMain(t, database);
  const other = await createDatabase(t);
  await succeed(t, other, ['import', first.file, `--personal-keys=${first.keys}`]);
  const successor = await startService(t, { database: other });
  const again = await request(successor, 'POST', '/transfers', order, headers);
  assert.equal(again.body['id'], paid.body['id']);
  assert.equal((await request(successor, 'POST', '/accounts', account, { 'idempotency-key': 'opening' })).status, 201);
  const changed = { ...account, email: 'bob@example.org' };
  assert.equal((await request(successor, 'POST', '/accounts', changed, { 'idempotency-key': 'opening' })).status, 422);
  const read = await request(successor, 'GET', '/accounts/ANN');
  assert.deepEqual([read.body['name'], read.body['email'], read.body['balance']], ['Ann', 'ann@example.org', 750]);
  // The hold expires at the new place.
  await until(async () => (await request(successor, 'GET', '/accounts/ANN')).body['held'] === 0, {
    what: 'the expiry',
  });
  assert.equal(
    (await request(successor, 'POST', '/transfers', order, { prefer: 'wait=10' })).body['status'],
    'completed',
  );
  await successor.stop();
  await audit(other);
  const second = await exportMain(t, other, `--since=${first.end?.number}`);
  const { end, discrepancies } = await verifyFiles([first.file, second.file]);
  assert.deepEqual(discrepancies, []);
  assert.ok((end?.number ?? 0) > (first.end?.number ?? 0));
});

test('import: a ledger with a test clock keeps its time', async (t) => {
  const database = await createDatabase(t);
  const service = await startService(t, { database });
  const created = await request(service, 'POST', '/ledgers', { name: 'trial', clock: 'manual' });
  assert.equal(created.status, 201, created.text);
  await request(service, 'POST', '/ledgers/trial/accounts', {
    account_number: 'ANN',
    name: 'Ann',
    currency: 'USD',
    balance: 5,
  });
  const advance = { now: '2099-01-01T00:00:00Z' };
  const advanced = await request(service, 'POST', '/ledgers/trial/clock', advance, { 'idempotency-key': 'a' });
  assert.equal(advanced.status, 200, advanced.text);
  const { file, keys } = await exportMain(t, database, '--ledger=trial');
  const other = await createDatabase(t);
  await succeed(t, other, ['import', file, `--personal-keys=${keys}`]);
  await audit(other);
  const successor = await startService(t, { database: other });
  assert.equal((await request(successor, 'GET', '/ledgers/trial')).body['now'], '2099-01-01T00:00:00Z');
});

test('import: refuses times in the future and an id beyond the last, which no hash covers', async (t) => {
  const database = await createDatabase(t);
  const client = await database.connect();
  await writeLedger(client);
  await writeLedger(client, SHOP);
  await client.query(`update ledgers set approval_above = 500 where name = 'shop'`);
  const { file, text: whole } = await exportMain(t, database, '--ledger=shop');
  const other = await createDatabase(t);
  const future = 9_000_000_000_000_000;
  const forgeries: [RegExp, string, RegExp][] = [
    [
      /,"currencies"/,
      `,"closed_until":${future},"currencies"`,
      /they have the time 2255-\S+ \S+, which is in the future\.$/m,
    ],
    [/(?<="ledger_created_at":)\d+/, String(future), /they have the time 2255-\S+ \S+, which is in the future\.$/m],
    [
      /(?<="ledger_id":)\d+/,
      String(2 ** 31 - 1),
      /its id would be 2147483647, and there are at most 100000 ledgers\.$/m,
    ],
  ];
  for (const [member, forged, sentence] of forgeries) {
    const changed = whole.replace(/,"closed_until":\d+/, '').replace(member, forged);
    await writeFile(file, resealed(linesOf(changed)));
    const { code, stderr } = await run(t, other, ['import', file, '--erase-personal-data']);
    assert.equal(code, 1, stderr);
    assert.match(stderr, sentence);
  }
  await writeFile(file, whole);
  const { code, stderr } = await run(t, other, ['import', file, '--erase-personal-data']);
  assert.equal(code, 0, stderr);
  assert.match(
    stderr,
    /^No hash covers these, so compare them with the original: approval above 500, the real clock$/m,
  );
});

test('import: without keys, personal data is refused or erased', async (t) => {
  const database = await createDatabase(t);
  await writeLedger(await database.connect());
  const { file, keys, end } = await exportMain(t, database);
  const other = await createDatabase(t);
  const refused = await run(t, other, ['import', file]);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /^Nothing is imported: 4 accounts have personal data, and the books have no keys/);
  assert.deepEqual(await other.query('select from accounts'), []);
  const erased = await run(t, other, ['import', file, '--erase-personal-data']);
  assert.match(erased.stderr, /The personal data of 4 accounts was erased/);
  await audit(other);
  assert.deepEqual(await other.query('select from accounts where personal_data is not null'), []);
  const [row] = await other.query(`select encode(hash, 'hex') as hash from journal where number = ${end?.number}`);
  assert.equal(row?.['hash'], end?.hash);
  // The file of the books has no key, and the file of keys is for its owner alone.
  const key = JSON.parse(linesOf(await readFile(keys, 'utf8'))[0] ?? '').key;
  assert.ok(!(await readFile(file, 'utf8')).includes(key));
  assert.equal((await stat(keys)).mode & 0o777, 0o600);
});

test('import: books that do not prove themselves, and a wrong checkpoint, leave nothing', async (t) => {
  const database = await createDatabase(t);
  const client = await database.connect();
  await writeLedger(client);
  await writeLedger(client, SHOP);
  const folder = await makeFolder(t);
  const [file, wrong] = [join(folder, 'shop.ndjson'), join(folder, 'wrong.ndjson')];
  await succeed(t, database, ['export', '--ledger=shop', `--output=${file}`]);
  await writeFile(wrong, (await readFile(file, 'utf8')).replace('"amount":750,', '"amount":751,'));
  const other = await createDatabase(t);
  const unproven = await run(t, other, ['import', wrong, '--erase-personal-data']);
  assert.equal(unproven.code, 3);
  assert.match(unproven.stderr, /digest: expected [^]*Nothing is imported, because the books are not whole/);
  const unexpected = await run(t, other, [
    'import',
    file,
    '--erase-personal-data',
    `--expect=shop:9:${'ab'.repeat(32)}`,
  ]);
  assert.equal(unexpected.code, 3);
  assert.match(unexpected.stderr, /journal\.expected: [^]*hash written down/);
  assert.deepEqual(await other.query(`select name from ledgers`), [{ name: 'main' }]);
  // A rewritten history is consistent in itself: only a hash that was kept elsewhere shows it.
  const saved = join(folder, 'saved.json');
  await writeFile(saved, await succeed(t, database, ['audit', '--ledger=shop', '--json']));
  await rewriteShop(client);
  await succeed(t, database, ['export', '--ledger=shop', `--output=${wrong}`]);
  assert.deepEqual((await verifyFiles([wrong])).discrepancies, []);
  assert.equal((await run(t, database, ['verify', wrong, `--expect=@${saved}`])).code, 3);
});

test('import: one that is killed before its commit leaves nothing, and can be run again', async (t) => {
  const database = await createDatabase(t);
  await writeLedger(await database.connect());
  const { file, keys } = await exportMain(t, database);
  const other = await createDatabase(t);
  const blocker = await other.connect();
  await blocker.query('begin; lock table leases in access exclusive mode');
  const args = ['import', file, `--personal-keys=${keys}`];
  const program = await startProgram(t, { database: other, args });
  const waiting = `select from pg_stat_activity where datname = current_database() and application_name = 'gopherpay import' and wait_event_type = 'Lock'`;
  await until(async () => (await other.query(waiting)).length === 1, { what: 'the lease of the import' });
  await program.kill();
  await blocker.query('rollback');
  const gone = `select from pg_stat_activity where datname = current_database() and application_name = 'gopherpay import'`;
  await until(async () => (await other.query(gone)).length === 0, { what: 'the end of its session' });
  for (const table of ['accounts', 'transfers', 'journal'])
    assert.deepEqual(await other.query(`select from ${table}`), []);
  await succeed(t, other, args);
  await audit(other);
});

test('import: keys can be changed while it audits', async (t) => {
  const database = await createDatabase(t);
  await writeLedger(await database.connect());
  const { file, keys } = await exportMain(t, database);
  const other = await createDatabase(t);
  const blocker = await other.connect();
  // The audit reads them, and no step before it.
  await blocker.query('begin; lock table pending_transfers in access exclusive mode');
  const program = await startProgram(t, { database: other, args: ['import', file, `--personal-keys=${keys}`] });
  const waiting = `select query from pg_stat_activity where datname = current_database() and application_name = 'gopherpay import' and wait_event_type = 'Lock'`;
  await until(async () => (await other.query(waiting)).length === 1, { what: 'the audit of the import' });
  await blocker.query('select from access_state for update nowait');
  await blocker.query('rollback');
  assert.equal((await program.exited).code, 0, program.output());
});

test('import: ledgers can be created meanwhile, under other names and ids', async (t) => {
  const database = await createDatabase(t);
  await writeLedger(await database.connect(), SHOP);
  const file = join(await makeFolder(t), 'shop.ndjson');
  await succeed(t, database, ['export', '--ledger=shop', `--output=${file}`]);
  const other = await createDatabase(t);
  const blocker = await other.connect();
  await blocker.query('begin; lock table pending_transfers in access exclusive mode');
  const program = await startProgram(t, { database: other, args: ['import', file, '--erase-personal-data'] });
  const waiting = (name: string) =>
    `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and ${name}`;
  const importing = waiting(`application_name = 'gopherpay import'`);
  await until(async () => (await other.query(importing)).length === 1, { what: 'the audit of the import' });
  const [one, same] = [await other.connect(), await other.connect()];
  const request = { testClock: null, idempotencyKey: null };
  await one.query(`begin; set local lock_timeout = '5s'`);
  const created = await createLedger(one, { ...request, name: 'one' });
  assert.equal(created.result, 'created');
  await one.query('commit');
  await same.query('begin');
  const exists = createLedger(same, { ...request, name: 'shop' });
  await until(async () => (await other.query(waiting(`wait_event = 'advisory'`))).length === 1, {
    what: 'the same name',
  });
  // It waits for the import alone.
  await one.query(`begin; set local lock_timeout = '5s'`);
  assert.equal((await createLedger(one, { ...request, name: 'two' })).result, 'created');
  await one.query('commit');
  await blocker.query('rollback');
  assert.equal((await program.exited).code, 0, program.output());
  assert.deepEqual(await exists, { result: 'exists' });
  await same.query('rollback');
  const ledgers = await other.query('select id, name from ledgers order by id');
  assert.equal(new Set(ledgers.map(({ id }) => id)).size, 4);
  await audit(other);
});

test('import: a personal key that does not fit is named, with what to do', async (t) => {
  const database = await createDatabase(t);
  const client = await database.connect();
  await writeLedger(client);
  await writeLedger(client, SHOP);
  const { file, keys } = await exportMain(t, database);
  const other = await createDatabase(t);
  await writeFile(keys, (await readFile(keys, 'utf8')).replace(/[0-9a-f]{64}/, 'ab'.repeat(32)));
  const wrong = await run(t, other, ['import', file, `--personal-keys=${keys}`]);
  assert.equal(wrong.code, 1);
  assert.match(
    wrong.stderr,
    /^Nothing is imported: the key of account \S+ [A-Z]{3} does not open its personal data; give the file that the same gopherpay export wrote, or none and --erase-personal-data\.$/m,
  );
  // A ciphertext belongs to the id of its ledger.
  await other.query(`insert into ledgers (id, name) values (2, 'taken')`);
  await other.query('insert into journal_head (ledger_id, opened_at) values (2, now())');
  const shop = join(await makeFolder(t), 'shop.ndjson');
  await succeed(t, database, ['export', '--ledger=shop', `--output=${shop}`, `--personal-keys=${shop}.keys`]);
  const moved = await run(t, other, ['import', shop, `--personal-keys=${shop}.keys`]);
  assert.equal(moved.code, 1);
  assert.match(
    moved.stderr,
    /^Nothing is imported: .*; the id of the ledger is taken here, so no key opens it: import/m,
  );
  await succeed(t, other, ['import', shop, '--erase-personal-data']);
});

test('import: only the owner of the tables may', async (t) => {
  const database = await createDatabase(t);
  const { file } = await exportMain(t, database);
  const { code, stderr } = await run(t, { url: database.url }, ['import', file]);
  assert.deepEqual([code, stderr.split(':')[0]], [1, 'Only the owner of the tables may import']);
});

test('export: books that are damaged are not written', async (t) => {
  const database = await createDatabase(t);
  const client = await database.connect();
  await writeLedger(client);
  await client.query('set session_replication_role = replica');
  await client.query(`update transfers set description = 'Forged' where request_id = 'rent-1'`);
  const folder = await makeFolder(t);
  const { code, stderr } = await run(t, database, ['export', `--output=${join(folder, 'main.ndjson')}`]);
  assert.equal(code, 3);
  assert.match(stderr, /^The ledger main is not exported, because its books are not whole: the digest of row 9 is not/);
  assert.deepEqual(await readdir(folder), []);
});

test('export: under load and erasures, each file is one state of the books, and they join', async (t) => {
  const database = await createDatabase(t);
  const service = await startService(t, { database });
  for (const number of ['ANN', 'BOB']) {
    const account = { account_number: number, name: 'A name', currency: 'USD', balance: 1_000_000 };
    assert.equal((await request(service, 'POST', '/accounts', account)).status, 201);
  }
  const stopped = new AbortController();
  const callers = Array.from({ length: 8 }, async (_, index) => {
    for (let round = 0; !stopped.signal.aborted; round += 1) {
      const number = `P-${index}-${round}`;
      await request(service, 'POST', '/accounts', { account_number: number, name: 'Ann', currency: 'USD' });
      await request(
        service,
        'POST',
        '/transfers',
        { from_account: 'ANN', to_account: number, amount: 1 },
        { prefer: 'wait=10' },
      );
      await request(service, 'DELETE', `/accounts/${number}/personal-data`);
    }
  });
  const files: string[] = [];
  let since = 0;
  for (let part = 0; part < 4; part += 1) {
    const file = join(await makeFolder(t), 'part.ndjson');
    await succeed(t, database, ['export', `--since=${since}`, `--output=${file}`]);
    files.push(file);
    since = (await verifyFiles(files)).end?.number ?? 0;
  }
  stopped.abort();
  await Promise.all(callers);
  const { end, discrepancies } = await verifyFiles(files);
  assert.deepEqual(discrepancies, []);
  assert.ok((end?.transfers ?? 0) > 4);
});

test('export: standard output is the default, and wrong ranges exit with 2', async (t) => {
  const database = await createDatabase(t);
  await writeLedger(await database.connect());
  const reader = { url: renderDatabaseUrl(database.reader) };
  const { code, stdout, stderr } = await run(t, reader, ['export']);
  assert.equal(code, 0);
  assert.equal(JSON.parse(linesOf(stdout)[0] ?? '').format, 'gopherpay-books');
  assert.match(
    stderr,
    /ledger main, journal 21 sha256:[0-9a-f]{64} exported: 21 rows, 38 transfers, 7 accounts\n4 accepted transfers are pending/,
  );
  for (const options of [
    ['--until=22'],
    ['--since=22'],
    ['--since=9', '--until=8'],
    ['--since=x'],
    ['--ledger=none'],
  ]) {
    assert.equal((await run(t, database, ['export', ...options])).code, 2, options.join(' '));
  }
  const empty = await createDatabase(t);
  const nothing = join(await makeFolder(t), 'empty.ndjson');
  await succeed(t, empty, ['export', `--output=${nothing}`]);
  assert.deepEqual((await verifyFiles([nothing])).discrepancies, []);
  await succeed(t, empty, ['import', nothing]);
});
