// gopherpay statement: the same content as the service's answer, in a file that is complete or absent.
import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, test, type TestContext } from 'node:test';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { makeBooks } from '../support/statement-books.ts';
import { makeFolder, type Program, request, type Service, startProgram, startService } from '../support/service.ts';

let database: TestDatabase;
let service: Service;

before(async (t) => {
  database = await createDatabase(t);
  service = await startService(t, { database, env: { THREADS: '2' } });
  await makeBooks(service, database);
});

async function run(t: TestContext, args: string[], folder?: string): Promise<Program & { code: number | null }> {
  const program = await startProgram(t, {
    database,
    args: ['statement', ...args],
    ...(folder === undefined ? {} : { folder }),
  });
  const { code } = await program.exited;
  return { ...program, code };
}

test('statement: every format has the content that the service returns', async (t) => {
  for (const format of ['csv', 'json', 'html']) {
    for (const month of ['2025-01', '2025-03']) {
      const answer = await request(service, 'GET', `/accounts/ANN/statements/${month}?format=${format}`);
      const args = ['--account=ANN', `--month=${month}`, `--format=${format}`, '--output=-'];
      const { code, stdout, output } = await run(t, args);
      assert.equal(code, 0, output());
      assert.equal(stdout(), answer.text);
    }
  }
});

test('statement: by default it is CSV in its own file, which only its user can read', async (t) => {
  const folder = await makeFolder(t);
  const { code, stdout, output } = await run(t, ['--account=ANN', '--month=2025-01'], folder);
  assert.equal(code, 0, output());
  assert.equal(stdout(), '', 'Only data goes to standard output.');
  assert.equal(output(), '3 entries written to reports/ANN-2025-01.csv\n');
  const path = join(folder, 'reports', 'ANN-2025-01.csv');
  const answer = await request(service, 'GET', '/accounts/ANN/statements/2025-01?format=csv');
  assert.equal(await readFile(path, 'utf8'), answer.text);
  assert.equal((await stat(path)).mode & 0o077, 0);
  assert.deepEqual(await readdir(join(folder, 'reports')), ['ANN-2025-01.csv']);
});

test('statement: warns if the month is not closed yet, and needs a currency for @external', async (t) => {
  const [row] = await database.query<{ month: string }>(
    `select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM') as month`,
  );
  const current = await run(t, ['--account=ANN', `--month=${row?.month}`, '--output=page.html', '--format=html']);
  assert.equal(current.code, 0, current.output());
  assert.equal(current.output(), '1 entries written to page.html; the month is not closed yet\n');

  const yen = await run(t, ['--account=@external', '--currency=JPY', '--month=2024-11', '--output=-']);
  assert.equal(yen.code, 0, yen.output());
  assert.match(yen.stdout(), /closing_balance,,,JPY,,-1234567\n$/);
});

test('statement: a wrong option exits with a sentence, and no file is written', async (t) => {
  const cases: [args: string[], code: number, sentence: RegExp][] = [
    [['--account=ANN'], 2, /month/],
    [['--month=2025-01'], 2, /account/],
    [['--account=ANN', '--month=2025-13'], 2, /--month is wrong: it must be a month such as 2026-11/],
    [['--account=A/../B', '--month=2025-01'], 2, /--account is wrong/],
    [['--account=ANN', '--month=2999-01'], 2, /The month 2999-01 has not begun/],
    [['--account=ANN', '--month=2025-01', '--format=pdf'], 2, /--format is wrong/],
    [['--account=ANN', '--month=2025-01', '--format=json', '--bom'], 2, /--bom and --decimals are for --format=csv/],
    [['--account=ANN', '--month=2025-01', '--format=html', '--decimals'], 2, /are for --format=csv, not for html/],
    [['--account=ANN', '--month=2025-01', '--fromat=csv'], 2, /There is no option --fromat/],
    [['--account=ANN', '--month=2025-01', 'BOB'], 2, /"BOB" is not an argument/],
    [['--account=@external', '--month=2025-01'], 2, /choose one with --currency/],
    [['--account=NOSUCH', '--month=2025-01'], 1, /There is no account NOSUCH\./],
    [['--account=ANN', '--month=2025-01', '--currency=EUR'], 1, /There is no account ANN in EUR\./],
  ];
  for (const [args, code, sentence] of cases) {
    const folder = await makeFolder(t);
    const program = await run(t, args, folder);
    assert.equal(program.code, code, `${args.join(' ')}: ${program.output()}`);
    assert.match(program.output(), sentence);
    assert.deepEqual(await readdir(folder), []);
  }
});

test('statement: --decimals and --bom are for CSV, and a file in another unit has its own name', async (t) => {
  const folder = await makeFolder(t);
  const { code, output } = await run(t, ['--account=ANN', '--month=2025-01', '--decimals', '--bom'], folder);
  assert.equal(code, 0, output());
  assert.equal(output(), '3 entries written to reports/ANN~decimals-2025-01.csv\n');
  const text = await readFile(join(folder, 'reports', 'ANN~decimals-2025-01.csv'), 'utf8');
  assert.ok(text.startsWith('\uFEFFentry_number,'), text);
  const rows = text.trimEnd().split('\n').slice(1);
  assert.deepEqual(
    rows.map((row) => /,USD,(.*)$/.exec(row)?.[1]),
    [',5.00', '123.45,128.45', '-20.00,108.45', '-0.45,108.00', ',108.00'],
  );
  const yen = ['--account=@external', '--currency=JPY', '--month=2024-11'];
  const external = await run(t, [...yen, '--decimals', '--output=-'], folder);
  assert.match(external.stdout(), /closing_balance,,,JPY,,-1234567\n$/);
  assert.equal((await run(t, yen, folder)).output(), '1 entries written to reports/@external~JPY-2024-11.csv\n');
});

test('statement: an existing file is unchanged until the new one is complete', async (t) => {
  const folder = await makeFolder(t);
  const path = join(folder, 'statement.csv');
  await writeFile(path, 'older');
  const failed = await run(t, ['--account=NOSUCH', '--month=2025-01', '--output=statement.csv'], folder);
  assert.equal(failed.code, 1);
  assert.equal(await readFile(path, 'utf8'), 'older');
  const written = await run(t, ['--account=ANN', '--month=2025-01', '--output=statement.csv'], folder);
  assert.equal(written.code, 0, written.output());
  assert.match(await readFile(path, 'utf8'), /closing_balance/);
  assert.deepEqual(await readdir(folder), ['statement.csv']);

  await mkdir(join(folder, 'taken'));
  const taken = await run(t, ['--account=ANN', '--month=2025-01', '--output=taken'], folder);
  assert.equal(taken.code, 1);
  assert.match(taken.output(), /exists and is not a file/);
});

test('statement: an unreachable database has its own exit code', async (t) => {
  const program = await startProgram(t, {
    args: ['statement', '--account=ANN', '--month=2025-01'],
    env: { DATABASE_URL: 'postgres://test@127.0.0.1:1/none' },
  });
  assert.equal((await program.exited).code, 4, program.output());
});
