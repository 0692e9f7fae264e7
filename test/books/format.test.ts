// The format of portable books, as docs/BOOKS.md and docs/books.schema.json describe it: for readers that are not GopherPay.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { zstdDecompressSync } from 'node:zlib';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } from 'hyparquet';
import { readBooksSchema, renderBooksSchema } from '../support/books-schema.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { writeLedger } from '../support/sample-ledgers.ts';
import { makeFolder } from '../support/service.ts';
import { linesOf, resealed, run, succeed, verifyText } from './books.ts';

let database: TestDatabase;
let page: string;

before(async (scope) => {
  database = await createDatabase(scope);
  await writeLedger(await database.connect());
  page = await readFile(new URL('../../docs/BOOKS.md', import.meta.url), 'utf8');
});

function blockOf(language: string): string {
  return new RegExp(`^\`\`\`${language}\n([^]*?)^\`\`\`$`, 'm').exec(page)?.[1] ?? '';
}

test('books: the JSON Schema is that of the form, and describes every line of an export', async (t) => {
  assert.equal(readBooksSchema(), renderBooksSchema(), 'Run npm run books:schema.');
  const validate = new Ajv2020({ strictSchema: true }).compile(JSON.parse(readBooksSchema()));
  const exported = linesOf(await succeed(t, database, ['export']));
  for (const line of [...exported, ...linesOf(blockOf('jsonl'))]) {
    assert.ok(validate(JSON.parse(line)), `${line}: ${JSON.stringify(validate.errors)}`);
  }
  const transfer = JSON.parse(exported.find((line) => line.startsWith('{"type":"transfer"')) ?? '');
  for (const wrong of [
    { ...transfer, fee: 1 },
    { ...transfer, amount: 1.5 },
    { ...transfer, type: 'journal' },
  ]) {
    assert.ok(!validate(wrong));
  }
});

test('books: the hashes of the example in docs/BOOKS.md are right', async (t) => {
  const { end, discrepancies } = await verifyText(t, blockOf('jsonl'));
  assert.deepEqual([end?.number, discrepancies], [2, []]);
});

test('books: the program in docs/BOOKS.md verifies an export, and finds what was changed', async (t) => {
  const folder = await makeFolder(t);
  const program = join(folder, 'verify.py');
  const file = join(folder, 'main.ndjson');
  const packed = `${file}.gz`;
  const wrong = join(folder, 'wrong.ndjson');
  await writeFile(program, blockOf('python'));
  await succeed(t, database, ['export', `--output=${file}`]);
  await succeed(t, database, ['export', `--output=${packed}`]);
  for (const path of [file, packed]) {
    const { status, stdout, stderr } = spawnSync('python3', [program, path], { encoding: 'utf8' });
    assert.equal(status, 0, stderr);
    assert.match(stdout, /^ledger main, journal 21 sha256:[0-9a-f]{64} verified\n$/);
  }
  const lines = linesOf(await readFile(file, 'utf8'));
  await writeFile(wrong, resealed(lines.map((line) => line.replace('"description":"Rent', '"description":"Lent'))));
  const { status, stderr } = spawnSync('python3', [program, wrong], { encoding: 'utf8' });
  assert.equal(status, 1);
  assert.match(stderr, /^line \d+: digest: expected/);
});

/** The reader of these tests has no Zstandard of its own. */
const compressors = { ZSTD: (bytes: Uint8Array) => new Uint8Array(zstdDecompressSync(bytes)) };

test('books: Parquet tables have the rows of the database, with exact numbers and times', async (t) => {
  const folder = join(await makeFolder(t), 'tables');
  await succeed(t, database, ['export', '--format=parquet', `--output=${folder}`]);
  const read = async (name: string) => {
    const file = await asyncBufferFromFile(join(folder, `${name}.parquet`));
    const types = (await parquetMetadataAsync(file)).schema
      .slice(1)
      .map((each) => [each.name, each.converted_type ?? each.type]);
    return { rows: await parquetReadObjects({ file, compressors }), types: Object.fromEntries(types) };
  };
  const transfers = await read('transfers');
  assert.equal(transfers.types['amount'], 'INT64');
  assert.equal(transfers.types['created_at'], 'TIMESTAMP_MICROS');
  const stored = await database.query<Record<string, unknown>>(
    `select id, amount, description, atomic, journal_number, created_at from transfers order by journal_number, journal_position`,
  );
  assert.deepEqual(
    transfers.rows.map(({ id, amount, description, atomic, journal_number, created_at }) => ({
      id,
      amount: amount ?? null,
      description: description ?? null,
      atomic: atomic ?? null,
      journal_number,
      created_at,
    })),
    stored,
  );
  const entries = await read('entries');
  const columns = ['account_number', 'currency', 'amount', 'balance', 'entry_number', 'transfer_id'];
  const found = entries.rows.map((row) => columns.map((column) => String(row[column])).join(' '));
  const expected = await database.query<Record<string, unknown>>(`select ${columns.join(', ')} from entries`);
  const texts = expected.map((row) => Object.values(row).map(String).join(' '));
  assert.deepEqual(found.toSorted(), texts.toSorted());
  const accounts = await read('accounts');
  assert.deepEqual(
    accounts.rows.map(({ account_number, currency, balance }) => ({ account_number, currency, balance })),
    await database.query('select account_number, currency, balance from accounts order by account_number, currency'),
  );
  const [ann] = await database.query<{ data: string }>(
    `select encode(personal_data, 'hex') as data from accounts where account_number = 'ANN' and ledger_id = 1`,
  );
  assert.ok(ann);
  assert.equal(accounts.rows.find((row) => row['account_number'] === 'ANN')?.['personal_data'], ann.data);
  assert.equal((await read('journal')).rows.length, 21);
});

test('books: Parquet tables are for their owner alone, and no link leads them elsewhere', async (t) => {
  const folder = await makeFolder(t);
  const victim = join(await makeFolder(t), 'victim');
  await writeFile(victim, 'kept');
  await symlink(victim, join(folder, '.accounts.parquet.partial'));
  const args = ['export', '--format=parquet', `--output=${folder}`];
  await succeed(t, database, args);
  const tables = ['accounts', 'acts', 'changes', 'entries', 'journal', 'keys', 'transfers'];
  const names = ['books.json', ...tables.map((name) => `${name}.parquet`)].toSorted();
  assert.deepEqual((await readdir(folder)).toSorted(), ['.accounts.parquet.partial', ...names]);
  for (const name of names) assert.equal((await stat(join(folder, name))).mode & 0o777, 0o600, name);
  await rm(join(folder, 'journal.parquet'));
  await symlink(victim, join(folder, 'journal.parquet'));
  const refused = await run(t, database, args);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /journal\.parquet is a symbolic link, which is not followed/);
  assert.equal(await readFile(victim, 'utf8'), 'kept');
});
