// Books as Parquet tables: they have exactly the lines of the file, and whatever is changed in whatever table is found.
import assert from 'node:assert/strict';
import { copyFile, cp, mkdir, readdir, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, test, type TestContext } from 'node:test';
import { zstdDecompressSync } from 'node:zlib';
import { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } from 'hyparquet';
import { readBooks } from '../../src/books/read-books.ts';
import { readParquet } from '../../src/books/parquet.ts';
import { type Cells, type TableName, tableFile, TABLES } from '../../src/books/table-form.ts';
import { ParquetTable } from '../../src/render/parquet.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { drawFor } from '../support/random.ts';
import { writeLedger } from '../support/sample-ledgers.ts';
import { PAIR_ROWS, writePair } from '../support/sample-pair.ts';
import { makeFolder, startProgram } from '../support/service.ts';
import { linesOf, recordLines, run, succeed, verifyFiles, writeRandomBooks } from './books.ts';

const NAMES = ['journal', 'changes', 'acts', 'transfers', 'entries', 'keys', 'accounts'] as const;

let database: TestDatabase;
/** The books of a sample as tables, and as the lines of a file. */
let tables: string;
let lines: string[];

before(async (scope) => {
  database = await createDatabase(scope);
  await writePair(await database.connect());
  tables = join(await makeFolder(scope), 'tables');
  for (const options of [['--format=parquet', `--output=${tables}`], [`--output=${tables}.ndjson`]]) {
    const program = await startProgram(scope, { database, args: ['export', ...options] });
    assert.equal((await program.exited).code, 0, program.output());
  }
  lines = linesOf(await readFile(`${tables}.ndjson`, 'utf8'));
});

async function linesOfFolder(folder: string): Promise<string[]> {
  const all: string[] = [];
  for await (const { lines: some } of readBooks(folder, new AbortController().signal)) all.push(...some);
  return all;
}

async function rowsOf(folder: string, name: TableName): Promise<Cells[]> {
  const rows: Cells[] = [];
  const path = join(folder, tableFile(name));
  for await (const group of readParquet(path, TABLES[name], new AbortController().signal)) {
    for (let row = 0; row < group.rows; row += 1) rows.push(group.columns.map((column) => column[row] ?? null));
  }
  return rows;
}

async function writeRows(folder: string, name: TableName, rows: readonly Cells[]): Promise<void> {
  const table = new ParquetTable(join(folder, tableFile(name)), TABLES[name], 'test');
  for (const cells of rows) await table.add(cells);
  await table.finish();
}

/** A copy of the tables, in which something may be changed. */
async function copyOf(t: TestContext): Promise<string> {
  const folder = join(await makeFolder(t), 'tables');
  await cp(tables, folder, { recursive: true });
  return folder;
}

/** The file.form discrepancy of a folder. */
async function refusalOf(folder: string): Promise<string> {
  const { discrepancies } = await verifyFiles([folder]);
  return discrepancies.find(({ check }) => check === 'file.form')?.found ?? `nothing but ${discrepancies.length}`;
}

test('tables: they have exactly the lines of the file, and verify like it', async () => {
  const found = await linesOfFolder(tables);
  assert.deepEqual(found.slice(1, -1), lines.slice(1, -1));
  const kinds = new Set(found.map((line) => /^\{"type":"(\w+)"/.exec(line)?.[1]));
  assert.equal(kinds.size, 8);
  assert.ok(found.some((line) => line.includes('"remote_account":')));
  const { end, discrepancies, checks } = await verifyFiles([tables]);
  assert.deepEqual([end?.number, discrepancies], [PAIR_ROWS, []]);
  const entries = checks.find(({ check }) => check === 'tables.entries');
  assert.equal(entries?.rows, (await rowsOf(tables, 'entries')).length);
  assert.ok(entries.rows > 0);
});

test('tables: random books and books with rates are the same lines, whole and in parts', async (t) => {
  const random = drawFor(t);
  const other = await createDatabase(t);
  const client = await other.connect();
  await writeRandomBooks(client, random, 60);
  const sample = await createDatabase(t);
  await writeLedger(await sample.connect());
  const folder = await makeFolder(t);
  for (const [index, from] of [other, sample].entries()) {
    const [{ last } = { last: 0 }] = await from.query<{ last: number }>(
      'select max(number)::integer as last from journal where ledger_id = 1',
    );
    const cut = random.whole(1, last - 1);
    const ranges = [[], [`--until=${cut}`], [`--since=${cut}`], [`--since=${last}`]];
    for (const [part, range] of ranges.entries()) {
      const path = join(folder, `${index}-${part}`);
      await succeed(t, from, ['export', '--format=parquet', `--output=${path}`, ...range]);
      const text = await succeed(t, from, ['export', ...range]);
      assert.deepEqual(recordLines((await linesOfFolder(path)).join('\n')), recordLines(text), range.join());
    }
    const joined = await verifyFiles([join(folder, `${index}-1`), join(folder, `${index}-2`)]);
    assert.deepEqual([joined.end?.number, joined.discrepancies], [last, []]);
  }
  assert.ok((await linesOfFolder(join(folder, '1-0'))).some((line) => line.includes('"rate":"EUR/USD 1.1"')));
});

const TEXTS = [
  'a',
  '"',
  '\\',
  '{"tier": "gold"}',
  'café ☕',
  '\u2028',
  'a\nb',
  '\u0000',
  '0',
  '𝄞'.repeat(3000),
  'ab'.repeat(32),
];
const INTEGERS = [
  0n,
  1n,
  -1n,
  2n ** 53n - 1n,
  1n - 2n ** 53n,
  2n ** 53n + 1n,
  2n ** 63n - 1n,
  -(2n ** 63n),
  1_793_610_000_253_100n,
];

test('tables: random cells are read as they were written, also by another reader, in groups of bounded size', async (t) => {
  const random = drawFor(t);
  const folder = await makeFolder(t);
  for (const count of [1, 7, 16, 17, 900, 45_000]) {
    const kinds = TABLES.transfers.map(() => ({ nulls: random.pick([0, 1, 3, 100]), values: random.whole(1, 30) }));
    const rows = Array.from({ length: count }, (): Cells =>
      TABLES.transfers.map(({ type }, index) => {
        const { nulls = 0, values = 1 } = kinds[index] ?? {};
        if (random.whole(1, 100) <= nulls) return null;
        if (type === 'boolean') return String(random.whole(0, 1) === 0);
        if (type === 'text') return random.pick(TEXTS.slice(0, count > 1000 ? 9 : values));
        return values === 30 ? String(random.whole(0, 1e9)) : String(random.pick(INTEGERS));
      }),
    );
    await writeRows(folder, 'transfers', rows);
    assert.deepEqual(await rowsOf(folder, 'transfers'), rows);
    const file = await asyncBufferFromFile(join(folder, 'transfers.parquet'));
    const compressors = { ZSTD: (bytes: Uint8Array) => new Uint8Array(zstdDecompressSync(bytes)) };
    const { row_groups: groups } = await parquetMetadataAsync(file);
    assert.ok(groups.every((group) => group.num_rows <= 20_000n));
    const [column = ''] = TABLES.transfers.filter(({ type }) => type === 'text').map(({ name }) => name);
    const index = TABLES.transfers.findIndex(({ name }) => name === column);
    const others = await parquetReadObjects({ file, compressors, columns: [column] });
    assert.deepEqual(
      others.map((row) => row[column] ?? null),
      rows.map((cells) => cells[index]),
    );
  }
  const long = Array.from({ length: 300 }, (): Cells => [
    '1',
    '1',
    '1',
    ...Array.from({ length: 3 }, () => 'x'.repeat(100_000)),
  ]);
  await writeRows(folder, 'transfers', long);
  const { row_groups: groups } = await parquetMetadataAsync(
    await asyncBufferFromFile(join(folder, 'transfers.parquet')),
  );
  assert.ok(groups.length > 4, `${groups.length} groups of 90 MB`);
});

/** Another value that the type of the column allows. */
function otherValue(value: string | null, type: string): string {
  switch (type) {
    case 'integer':
    case 'instant':
      return String(BigInt(value ?? 6) + 1n);
    case 'boolean':
      return value === 'true' ? 'false' : 'true';
    default:
      return value === null ? 'x' : value.replace(/.$/su, (last) => (last === '0' ? '1' : '0'));
  }
}

test('tables: each column of each table is changed, and that is found in the file that was changed', async (t) => {
  for (const name of NAMES) {
    const rows = await rowsOf(tables, name);
    const folder = await copyOf(t);
    for (const [index, { name: column, type }] of TABLES[name].entries()) {
      const place = Math.max(
        rows.findIndex((cells) => cells[index] !== null),
        0,
      );
      const cells = rows[place] ?? [];
      await writeRows(folder, name, rows.with(place, cells.with(index, otherValue(cells[index] ?? null, type))));
      const { discrepancies } = await verifyFiles([folder]);
      const about = name === 'entries' ? join(folder, 'entries.parquet') : folder;
      const first = discrepancies.find(({ file }) => file === about);
      assert.ok(first, `${name}.${column}`);
      if (name !== 'entries') continue;
      assert.deepEqual([first.check, first.what, first.line, discrepancies.length], ['tables.entries', column, 1, 1]);
    }
  }
});

test('tables: a row that is missing, doubled or moved is found in each table', async (t) => {
  for (const name of NAMES) {
    const rows = await rowsOf(tables, name);
    assert.ok(rows.length > 0, name);
    const folder = await copyOf(t);
    for (const place of new Set([0, Math.floor(rows.length / 2), rows.length - 1])) {
      const row = rows[place] ?? [];
      const next = rows[place + 1];
      const variants = [rows.toSpliced(place, 1), rows.toSpliced(place, 0, row)];
      if (next) variants.push(rows.with(place, next).with(place + 1, row));
      for (const variant of variants) {
        await writeRows(folder, name, variant);
        const { discrepancies } = await verifyFiles([folder]);
        assert.notDeepEqual(discrepancies, [], `${name} row ${place}`);
        // Not one for each of the entries that follow.
        if (name === 'entries')
          assert.deepEqual(
            discrepancies.map(({ check }) => check),
            ['tables.entries'],
          );
      }
    }
  }
});

test('tables: a record of a row that is not in the journal is found, although no line has it', async (t) => {
  const folder = await copyOf(t);
  for (const name of ['changes', 'acts', 'transfers'] as const) {
    const rows = await rowsOf(tables, name);
    const foreign = (rows[0] ?? []).with(0, String(PAIR_ROWS + 1));
    await writeRows(folder, name, [...rows, foreign]);
    assert.match(
      await refusalOf(folder),
      new RegExp(`because of ${name}\\.parquet row ${rows.length + 1}: journal_number: .* found ${PAIR_ROWS + 1}$`),
    );
    await writeRows(folder, name, [foreign, ...rows]);
    assert.notDeepEqual((await verifyFiles([folder])).discrepancies, []);
    await writeRows(folder, name, rows);
  }
});

test('tables: a file of another table or another program is refused by its name', async (t) => {
  const folder = await copyOf(t);
  for (const name of NAMES) {
    const path = join(folder, tableFile(name));
    const foreign = NAMES.filter((each) => each !== name).map((each) => join(tables, tableFile(each)));
    for (const other of foreign) {
      await copyFile(other, path);
      assert.match(await refusalOf(folder), new RegExp(`^is not known, because ${name}\\.parquet has `));
    }
    await writeFile(path, 'account_number;balance\nANN;1\n');
    assert.match(await refusalOf(folder), new RegExp(`because ${name}\\.parquet is no Parquet file, or is cut off`));
    await rm(path);
    await mkdir(path);
    assert.match(await refusalOf(folder), new RegExp(`because ${name}\\.parquet is not a file`));
    await rm(path, { recursive: true });
    await copyFile(join(tables, tableFile(name)), path);
  }
  assert.deepEqual((await verifyFiles([folder])).discrepancies, []);
});

test('tables: a file that is cut off is refused by its name', async (t) => {
  const folder = await copyOf(t);
  for (const name of NAMES) {
    const path = join(folder, tableFile(name));
    const bytes = await readFile(path);
    for (let length = 0; length < bytes.length; length += 499) {
      await writeFile(path, bytes.subarray(0, length));
      assert.match(await refusalOf(folder), new RegExp(`because ${name}\\.parquet `), `${name} ${length}`);
    }
    await writeFile(path, bytes);
  }
});

test('tables: random bytes of a file are changed, and it is refused, or has the same lines', async (t) => {
  const random = drawFor(t);
  const folder = await copyOf(t);
  let refused = 0;
  for (const name of NAMES) {
    const path = join(folder, tableFile(name));
    const bytes = await readFile(path);
    for (let times = 0; times < 60; times += 1) {
      const changed = Buffer.from(bytes);
      for (let each = random.whole(1, 3); each > 0; each -= 1) {
        changed[random.whole(0, bytes.length - 1)] = random.whole(0, 255);
      }
      await writeFile(path, changed);
      const { discrepancies } = await verifyFiles([folder]);
      refused += Number(discrepancies.length > 0);
      if (discrepancies.length === 0) assert.deepEqual((await linesOfFolder(folder)).slice(1, -1), lines.slice(1, -1));
    }
    await writeFile(path, bytes);
  }
  assert.ok(refused > 100, String(refused));
});

test('tables: books.json is exactly the first and the last line, and its SHA-256 that of the lines', async (t) => {
  const folder = await copyOf(t);
  const path = join(folder, 'books.json');
  const text = await readFile(path, 'utf8');
  const [header = '', trailer = ''] = text.split('\n');
  const wrong = [
    '',
    header,
    `${header}\n`,
    `${header}\n${trailer}`,
    `${text}\n`,
    `${header}\n${text}`,
    Buffer.from([255, 10, 255, 10]),
  ];
  for (const each of wrong) {
    await writeFile(path, each);
    assert.match(await refusalOf(folder), /because books\.json (?:has not exactly two lines|is not UTF-8)/);
  }
  await writeFile(path, text.replace(/"sha256":"./, '"sha256":"x'));
  assert.match(await refusalOf(folder), /has a wrong "sha256"/);
  const last = text.at(text.lastIndexOf('"}') - 1) ?? '';
  await writeFile(path, text.replace(`${last}"}\n`, `${last === '0' ? '1' : '0'}"}\n`));
  const { discrepancies } = await verifyFiles([folder]);
  assert.deepEqual(
    discrepancies.map(({ check, what, line }) => ({ check, what, line })),
    [{ check: 'file.trailer', what: 'sha256 of all bytes before', line: lines.length }],
  );
});

test('tables: the command verifies folders and files in their order, and names the file that is missing', async (t) => {
  const nowhere = { url: 'postgresql://test@127.0.0.1:1/nothing' };
  const folder = await makeFolder(t);
  const parts = [join(folder, '2026-09'), join(folder, '2026-10'), join(folder, 'rest.ndjson.gz')];
  const [first = '', second = '', third = ''] = parts;
  await succeed(t, database, ['export', '--format=parquet', `--output=${first}`, '--until=3']);
  await succeed(t, database, ['export', '--format=parquet', `--output=${second}`, '--since=3', '--until=5']);
  await succeed(t, database, ['export', `--output=${third}`, '--since=5']);
  const sound = await run(t, nowhere, ['verify', `${first}/`, second, third]);
  assert.equal(sound.code, 0, sound.stdout + sound.stderr);
  assert.match(sound.stdout, new RegExp(`^ledger main, journal ${PAIR_ROWS} sha256:[0-9a-f]{64} verified$`, 'm'));
  assert.equal((await run(t, nowhere, ['verify', second, first])).code, 3);
  await rename(join(second, 'acts.parquet'), join(second, 'acts'));
  const missing = await run(t, nowhere, ['verify', first, second]);
  assert.equal(missing.code, 2);
  assert.match(missing.stderr, /2026-10 cannot be read \(ENOENT: .*2026-10\/acts\.parquet'\)\.$/m);
  await truncate(join(first, 'keys.parquet'), 100);
  const damaged = await run(t, nowhere, ['verify', first]);
  assert.equal(damaged.code, 3);
  assert.match(
    damaged.stdout,
    /^file\.form: .*2026-09 line \d+.*: line: .* keys\.parquet is no Parquet file, or is cut off$/m,
  );
  assert.doesNotMatch(damaged.stderr, /^\s+at /m);
});

test('import: a folder of tables has the same hashes in another database, with its personal data', async (t) => {
  const original = await createDatabase(t);
  await writeRandomBooks(await original.connect(), drawFor(t), 40);
  const folder = await makeFolder(t);
  const [books, keys] = [join(folder, 'tables'), join(folder, 'keys')];
  await succeed(t, original, ['export', '--format=parquet', `--output=${books}`, `--personal-keys=${keys}`]);
  const other = await createDatabase(t);
  await succeed(t, other, ['import', books, `--personal-keys=${keys}`]);
  assert.deepEqual(
    recordLines(await succeed(t, other, ['export'])),
    recordLines(await succeed(t, original, ['export'])),
  );
  for (const table of ['accounts', 'holds', 'entries', 'transfers']) {
    const rows = `select to_jsonb(rows)::text as row from ${table} as rows order by 1`;
    assert.deepEqual(await other.query(rows), await original.query(rows), table);
  }
  const third = await createDatabase(t);
  const entries = await rowsOf(books, 'entries');
  await writeRows(books, 'entries', entries.slice(1));
  const refused = await run(t, third, ['import', books, `--personal-keys=${keys}`]);
  assert.equal(refused.code, 3);
  assert.match(refused.stderr, /tables\.entries: .*entries\.parquet/);
});

test('export: books that are not whole leave no tables', async (t) => {
  const damaged = await createDatabase(t);
  const client = await damaged.connect();
  await writeLedger(client);
  await client.query('set session_replication_role = replica');
  await client.query(`update transfers set description = 'Forged' where request_id = 'rent-1'`);
  const folder = join(await makeFolder(t), 'tables');
  const { code, stderr } = await run(t, damaged, ['export', '--format=parquet', `--output=${folder}`]);
  assert.equal(code, 3);
  assert.match(stderr, /^The ledger main is not exported, because its books are not whole: the digest of row \d+/m);
  assert.deepEqual(await readdir(folder), []);
});
