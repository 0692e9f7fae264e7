// gopherpay report: the content of the file, its transfers, and failures to write it.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, readdir, readFile, readlink, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { z } from 'zod';
import { onEnd } from '../support/cleanup.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { checkPromises } from '../support/promises/check.ts';
import { makeFolder, type Program, request, type Service, startProgram, startService } from '../support/service.ts';
import { until } from '../support/until.ts';

const HEADER =
  'transfer_id,from_account,to_account,amount,currency,status,failure_code,request_id,description,' +
  'created_at,completed_at,entry_number,signed_amount,balance_after,kind,parent_id';
const UUID = '0192f0c4-0000-7000-8000-0000000000';

type Made = { id: string; created: string; completed: string };

let database: TestDatabase;
let service: Service;
/** What happened on the account ANN, in this order. */
let opening: Made;
let rent: Made;
let refund: Made;
let refused: Made;
let astray: Made;
let toMinusFive: Made;
let waitingOut: Made;
let waitingIn: Made;

before(async (t) => {
  database = await createDatabase(t);
  service = await startService(t, {
    database,
    env: { THREADS: '4', DB_LOCK_TIMEOUT_MS: '600000', DB_STATEMENT_TIMEOUT_MS: '600000' },
  });
  opening = await openAccount({ account_number: 'ANN', name: 'Ann', balance: 10_000 }, 'open-ann');
  await openAccount({ account_number: 'BOB', name: 'Bob' });
  await openAccount({ account_number: '-5', name: 'A number like a number' });
  await openAccount({ account_number: 'EVE', name: 'Eve', currency: 'EUR', balance: 7 });
  await openAccount({ account_number: 'IDLE', name: 'Nothing ever happens' });
  rent = await pay('ANN', 'BOB', 2500, 'Rent, "flat 7"; café ☕', 'rent-2026-01');
  refund = await pay('BOB', 'ANN', 100, '=1+1');
  refused = await pay('BOB', 'ANN', 9_999_999, '-5');
  astray = await pay('ANN', 'NOSUCH', 1, '+49 30 1234');
  toMinusFive = await pay('ANN', '-5', 600, null);

  // A lock on an account's row keeps its transfers pending.
  const holder = await database.connect();
  await holder.query(`begin; select from accounts where account_number = 'BOB' for update`);
  onEnd(t, async () => {
    await holder.query('rollback');
    await until(async () => (await database.query('select from pending_transfers')).length === 0, {
      what: 'the pending transfers to be settled',
    });
    await service.stop();
    await checkPromises(database, { nothingPending: true });
  });
  waitingOut = await order('ANN', 'BOB', 1, '@SUM(A1)', 'later-1');
  waitingIn = await order('BOB', 'ANN', 2, null, 'later-2');
});

/** A line of ANN's report; text that looks like a formula has an apostrophe. */
function line(made: Made, fields: readonly (string | number)[]): string {
  const [from, to, amount, status, failure, requestId, description, entry, signed, balance] = fields;
  const cells = [
    made.id,
    from,
    to,
    amount,
    'USD',
    status,
    failure,
    requestId,
    description,
    made.created,
    made.completed,
  ];
  return [...cells, entry, signed, balance, 'transfer', ''].join(',');
}

function linesOfAnn(): Record<'completed' | 'failed' | 'pending', string[]> {
  return {
    completed: [
      line(opening, ['@external', 'ANN', 10_000, 'completed', '', 'open-ann', 'Opening balance', 1, 10_000, 10_000]),
      line(rent, ['ANN', 'BOB', 2500, 'completed', '', 'rent-2026-01', '"Rent, ""flat 7""; café ☕"', 2, -2500, 7500]),
      line(refund, ['BOB', 'ANN', 100, 'completed', '', refund.id, "'=1+1", 3, 100, 7600]),
      line(toMinusFive, ['ANN', "'-5", 600, 'completed', '', toMinusFive.id, '', 4, -600, 7000]),
    ],
    failed: [
      line(refused, ['BOB', 'ANN', 9_999_999, 'failed', 'insufficient_funds', refused.id, "'-5", '', '', '']),
      line(astray, ['ANN', 'NOSUCH', 1, 'failed', 'destination_not_found', astray.id, "'+49 30 1234", '', '', '']),
    ],
    pending: [
      // An order that names no currency has none before it is settled.
      line(waitingOut, ['ANN', 'BOB', 1, 'pending', '', 'later-1', "'@SUM(A1)", '', '', '']).replace(',USD,', ',,'),
      line(waitingIn, ['BOB', 'ANN', 2, 'pending', '', 'later-2', '', '', '', '']).replace(',USD,', ',,'),
    ].toSorted(),
  };
}

test('report: has every transfer of an account, in the order of its entries, in the default file', async (t) => {
  const folder = await makeFolder(t);
  const program = await startProgram(t, { database, folder, args: ['report', '--account=ANN'] });
  assert.deepEqual(await program.exited, { code: 0, signal: null }, program.output());
  assert.equal(program.stdout(), '', 'Only data goes to standard output.');
  assert.equal(program.output(), '8 transfers written to reports/ANN.csv\n');

  const { completed, failed, pending } = linesOfAnn();
  const [first, second, third, fourth] = completed;
  const expected = [HEADER, first, second, third, ...failed, fourth, ...pending];
  const path = join(folder, 'reports', 'ANN.csv');
  assert.equal(await readFile(path, 'utf8'), `${expected.join('\n')}\n`);
  assert.equal((await stat(path)).mode & 0o077, 0, 'Only its user can read it.');
  assert.deepEqual(await readdir(join(folder, 'reports')), ['ANN.csv']);
});

test('report: shows the other side of a transfer with its own entry', async (t) => {
  const lines = await reportLines(t, ['--account=BOB', '--status=completed']);
  assert.deepEqual(lines, [
    line(rent, ['ANN', 'BOB', 2500, 'completed', '', 'rent-2026-01', '"Rent, ""flat 7""; café ☕"', 1, 2500, 2500]),
    line(refund, ['BOB', 'ANN', 100, 'completed', '', refund.id, "'=1+1", 2, -100, 2400]),
  ]);
});

test('report: --status, --since and --until choose transfers', async (t) => {
  const { completed, failed, pending } = linesOfAnn();
  const [first, second, third, fourth] = completed;
  const at = refund.created;
  const choices: { args: string[]; expected: (string | undefined)[] }[] = [
    { args: ['--status=completed', '--currency=USD'], expected: completed },
    { args: ['--status=failed'], expected: failed },
    { args: ['--status=pending'], expected: pending },
    { args: [`--since=${at}`], expected: [third, ...failed, fourth, ...pending] },
    { args: [`--since=${at}`, `--until=${refused.created}`], expected: [third] },
    // The same instant in another time zone.
    { args: [`--until=${inTimeZone(at, 5.5)}`], expected: [first, second] },
    { args: [`--until=${at.slice(0, 10)}`], expected: [] },
    { args: ['--currency=EUR', `--since=${at.slice(0, 10)}`, '--status=completed'], expected: [] },
  ];
  await Promise.all(
    choices.map(async ({ args, expected }) => {
      assert.deepEqual(await reportLines(t, ['--account=ANN', ...args]), expected, args.join(' '));
    }),
  );
});

test('report: --currency chooses among the accounts of @external', async (t) => {
  const columns = async (args: string[]) =>
    (await reportLines(t, ['--account=@external', ...args])).map((text) => text.split(',').slice(1, 5).join(','));
  assert.deepEqual(await columns(['--currency=EUR']), ['@external,EVE,7,EUR']);
  assert.deepEqual(await columns(['--currency=USD']), ['@external,ANN,10000,USD']);
  assert.deepEqual(await columns([]), ['@external,ANN,10000,USD', '@external,EVE,7,EUR']);
});

test('report: standard output gets the data and nothing else', async (t) => {
  const folder = await makeFolder(t);
  const program = await startProgram(t, { database, folder, args: ['report', '--account=ANN', '--output=-'] });
  assert.deepEqual(await program.exited, { code: 0, signal: null }, program.output());
  assert.match(program.stdout(), new RegExp(`^${HEADER}\n`));
  assert.equal(program.stdout().split('\n').length, 1 + 8 + 1);
  assert.equal(program.output().replace(program.stdout(), ''), '8 transfers written\n');
  assert.deepEqual(await readdir(folder), [], 'No file is written.');
});

test('report: --output names the file, and replaces it', async (t) => {
  const folder = await makeFolder(t);
  await mkdir(join(folder, 'a'));
  await writeFile(join(folder, 'a', 'b.csv'), 'what was here before\n');
  await Promise.all(
    ['a/b.csv', 'new/folders/c.csv', join(folder, 'absolute.csv')].map(async (output) => {
      const program = await startProgram(t, {
        database,
        folder,
        args: ['report', '--account=EVE', `--output=${output}`],
      });
      assert.deepEqual(await program.exited, { code: 0, signal: null }, program.output());
      assert.equal(program.output(), `1 transfers written to ${output}\n`);
    }),
  );
  const contents = await Promise.all(
    ['a/b.csv', 'new/folders/c.csv', 'absolute.csv'].map((name) => readFile(join(folder, name), 'utf8')),
  );
  assert.match(contents[0] ?? '', new RegExp(`^${HEADER}\n.*,@external,EVE,7,EUR,completed,.*,1,7,7,transfer,\n$`));
  assert.deepEqual(new Set(contents).size, 1);
  assert.deepEqual((await readdir(folder, { recursive: true })).toSorted(), [
    'a',
    'a/b.csv',
    'absolute.csv',
    'new',
    'new/folders',
    'new/folders/c.csv',
  ]);
});

test('report: an account without transfers has a report with only a header', async (t) => {
  const folder = await makeFolder(t);
  const program = await startProgram(t, { database, folder, args: ['report', '--account=IDLE'] });
  assert.deepEqual(await program.exited, { code: 0, signal: null }, program.output());
  assert.equal(program.output(), '0 transfers written to reports/IDLE.csv\n');
  assert.equal(await readFile(join(folder, 'reports', 'IDLE.csv'), 'utf8'), `${HEADER}\n`);
});

test('report: a number that only transfers name has a report', async (t) => {
  const lines = await reportLines(t, ['--account=NOSUCH']);
  assert.deepEqual(lines, [
    line(astray, ['ANN', 'NOSUCH', 1, 'failed', 'destination_not_found', astray.id, "'+49 30 1234", '', '', '']),
  ]);
});

test('report: an unknown account is refused, and no file is created or changed', async (t) => {
  const folder = await makeFolder(t);
  await writeFile(join(folder, 'former.csv'), 'what was here before\n');
  const programs = await Promise.all(
    [[], ['--output=former.csv'], ['--output=-']].map((args) =>
      startProgram(t, { database, folder, args: ['report', '--account=UNKNOWN', ...args] }),
    ),
  );
  for (const program of programs) {
    assert.deepEqual(await program.exited, { code: 1, signal: null });
    assert.equal(program.stdout(), '');
    assert.equal(program.output(), 'There is no account UNKNOWN, and no transfer names it.\n');
  }
  assert.deepEqual(await readdir(folder), ['former.csv']);
  assert.equal(await readFile(join(folder, 'former.csv'), 'utf8'), 'what was here before\n');
});

test('report: a pipe or a folder is never replaced by a file', async (t) => {
  const folder = await makeFolder(t);
  await promisify(execFile)('mkfifo', [join(folder, 'pipe')]);
  await mkdir(join(folder, 'folder'));
  for (const output of ['pipe', 'folder']) {
    const program = await startProgram(t, {
      database,
      folder,
      args: ['report', '--account=ANN', `--output=${output}`],
    });
    assert.deepEqual(await program.exited, { code: 1, signal: null });
    assert.equal(
      program.output(),
      `${join(folder, output)} exists and is not a file: choose another path, or use --output=- and redirect.\n`,
    );
  }
  assert.ok((await stat(join(folder, 'pipe'))).isFIFO());
  assert.ok((await stat(join(folder, 'folder'))).isDirectory());
  assert.deepEqual((await readdir(folder, { recursive: true })).toSorted(), ['folder', 'pipe']);
});

test('report: a symbolic link in place of the file is refused, and its target is unchanged', async (t) => {
  const folder = await makeFolder(t);
  await writeFile(join(folder, 'secret'), 'what was here before\n');
  await mkdir(join(folder, 'reports'));
  await symlink('../secret', join(folder, 'reports', 'ANN.csv'));
  await symlink('nowhere', join(folder, 'dangling.csv'));
  for (const [args, path] of [
    [[], 'reports/ANN.csv'],
    [['--output=dangling.csv'], 'dangling.csv'],
  ] as const) {
    const program = await startProgram(t, { database, folder, args: ['report', '--account=ANN', ...args] });
    assert.deepEqual(await program.exited, { code: 1, signal: null });
    assert.equal(
      program.output(),
      `${join(folder, path)} is a symbolic link, which is not followed: name its target, or use --output=- and redirect.\n`,
    );
  }
  assert.equal(await readFile(join(folder, 'secret'), 'utf8'), 'what was here before\n');
  assert.equal(await readlink(join(folder, 'reports', 'ANN.csv')), '../secret');
  const remaining = ['dangling.csv', 'reports', 'reports/ANN.csv', 'secret'];
  assert.deepEqual((await readdir(folder, { recursive: true })).toSorted(), remaining);
});

test('report: a filtered report, or one in another unit, does not replace the complete one', async (t) => {
  const folder = await makeFolder(t);
  const choices: { args: string[]; name: string }[] = [
    { args: [], name: 'ANN.csv' },
    { args: ['--status=failed'], name: 'ANN~failed.csv' },
    {
      args: ['--since=2026-01-31', '--until=2999-01-31T12:00:00+05:30'],
      name: 'ANN~since-2026-01-31~until-2999-01-31T120000+0530.csv',
    },
    { args: ['--currency=USD', '--decimals', '--bom'], name: 'ANN~USD~decimals.csv' },
  ];
  for (const { args, name } of choices) {
    const program = await startProgram(t, { database, folder, args: ['report', '--account=ANN', ...args] });
    assert.deepEqual(await program.exited, { code: 0, signal: null }, program.output());
    assert.match(program.output(), new RegExp(` transfers written to reports/${RegExp.escape(name)}\n$`));
  }
  assert.deepEqual((await readdir(join(folder, 'reports'))).toSorted(), choices.map(({ name }) => name).toSorted());
  assert.equal((await readFile(join(folder, 'reports', 'ANN.csv'), 'utf8')).split('\n').length, 1 + 8 + 1);
});

test('report: --bom begins the file with a byte order mark', async (t) => {
  const program = await startProgram(t, { database, args: ['report', '--account=EVE', '--bom', '--output=-'] });
  assert.deepEqual(await program.exited, { code: 0, signal: null }, program.output());
  assert.ok(program.stdout().startsWith(`\uFEFF${HEADER}\n`), program.stdout());
});

test('report: --decimals shows amounts in major units of their currency', async (t) => {
  const money = async (args: string[]) =>
    (await reportLines(t, [...args, '--decimals'])).map((text) => {
      const cells = text.split(',');
      return [...cells.slice(3, 5), ...cells.slice(-5, -2)].join(',');
    });
  assert.deepEqual(await money(['--account=ANN', '--status=completed', `--until=${refused.created}`]), [
    '100.00,USD,1,100.00,100.00',
    '25.00,USD,2,-25.00,75.00',
    '1.00,USD,3,1.00,76.00',
  ]);
  // A pending transfer that names no currency is in that of the account.
  assert.deepEqual((await money(['--account=ANN', '--status=pending'])).toSorted(), ['0.01,,,,', '0.02,,,,']);

  const books = await createDatabase(t);
  await books.query(
    `insert into pending_transfers (ledger_id, id, lease_id, from_account, to_account, amount, currency)
     select 1, gen_random_uuid(), gen_random_uuid(), 'ANN', 'BOB', 12345, currency
     from unnest('{JPY,KWD,HUF,null}'::text[]) as currencies (currency)`,
  );
  const program = await startProgram(t, {
    database: books,
    args: ['report', '--account=ANN', '--output=-', '--decimals'],
  });
  assert.deepEqual(await program.exited, { code: 0, signal: null }, program.output());
  const amounts = program.stdout().trimEnd().split('\n').slice(1);
  // Without any currency the amount would be a guess.
  assert.deepEqual(
    amounts.map((text) => text.split(',').slice(3, 5).join(' ')).toSorted(),
    [' ', '12.345 KWD', '12345 JPY', '123.45 HUF'].toSorted(),
  );
});

const misunderstood: { args: string[]; sentence: RegExp }[] = [
  { args: [], sentence: /^The option --account is missing; see --help\.$/ },
  { args: ['--account=ANN', '--user=BOB'], sentence: /^The options --account and --user have the same meaning/ },
  {
    args: ['--account=../../etc/passwd'],
    sentence: /^The option --account is wrong: it must be an account number: 1 to 34 of /,
  },
  { args: ['--account', 'ANN', 'extra'], sentence: /^"extra" is not an argument of this command; see --help\.$/ },
  { args: ['--account=ANN', '--outptu=x.csv'], sentence: /^There is no option --outptu; see --help\.$/ },
  { args: ['--account=ANN', '--dry-rnu'], sentence: /^There is no option --dry-rnu; see --help\.$/ },
  { args: ['--account=ANN', '--no-output'], sentence: /^The option --output is wrong: it must be text\.$/ },
  {
    args: ['--account=ANN', '--status=done'],
    sentence: /--status is wrong: it must be pending, completed or failed\.$/,
  },
  {
    args: ['--account=ANN', '--since=0000-01-31'],
    sentence: /^The option --since is wrong: it must be a date such as /,
  },
  {
    args: ['--account=ANN', '--until=2026-01-31T12:00:00+16:00'],
    sentence: /^The option --until is wrong: it must be a date such as /,
  },
  {
    args: ['--account=ANN', '--since=yesterday'],
    sentence: /^The option --since is wrong: it must be a date such as 2026-01-31, or /,
  },
  {
    args: ['--account=ANN', '--since=2026-01-31T12:00:00.1234567Z'],
    sentence: /^The option --since is wrong: it must have at most six decimals\.$/,
  },
  {
    args: ['--account=ANN', '--since=2026-02-01', '--until=2026-01-31'],
    sentence: /^The option --since is after --until, so no transfer can match: swap them\.$/,
  },
  {
    args: ['--account=ANN', '--since=2026-01-31T12:00:00.000002Z', '--until=2026-01-31T13:00:00.000001+01:00'],
    sentence: /^The option --since is after --until/,
  },
  { args: ['--account=ANN', '--status=done'], sentence: /^The option --status is wrong: .*pending.*completed.*failed/ },
];

test('report: unknown options and arguments exit with 2 before anything is written', async (t) => {
  const folder = await makeFolder(t);
  await Promise.all(
    misunderstood.map(async ({ args, sentence }) => {
      const program = await startProgram(t, { database, folder, args: ['report', ...args] });
      assert.deepEqual(await program.exited, { code: 2, signal: null }, args.join(' '));
      assert.equal(program.stdout(), '');
      assert.match(program.output().trimEnd(), sentence, args.join(' '));
    }),
  );
  assert.deepEqual(await readdir(folder), []);
});

const cells: { text: string; cell: string }[] = [
  { text: '=1+1', cell: "'=1+1" },
  { text: '+1', cell: "'+1" },
  { text: '-5', cell: "'-5" },
  { text: '@SUM(A1:A9)', cell: "'@SUM(A1:A9)" },
  { text: '\t=1', cell: "\t'=1" },
  { text: '\r=1', cell: `"\r'=1"` },
  { text: '\n=1', cell: `"\n'=1"` },
  { text: 'rent;=1+1', cell: "rent;'=1+1" },
  { text: '＝1+1', cell: "'＝1+1" },
  { text: '=HYPERLINK("http://x","y")', cell: `"'=HYPERLINK(""http://x"",""y"")"` },
  { text: '2=1+1', cell: '2=1+1' },
  { text: 'one, two', cell: '"one, two"' },
  { text: 'say "yes"', cell: '"say ""yes"""' },
  { text: '"', cell: '""""' },
  { text: "it's; é 中文 👩‍👩‍👧 \u202e", cell: "it's; é 中文 👩‍👩‍👧 \u202e" },
  { text: 'two\nlines', cell: '"two\nlines"' },
];

test('report: text is quoted if CSV requires it, and is never a spreadsheet formula', async (t) => {
  const books = await createDatabase(t);
  const ids = cells.map((_, index) => `${UUID}${String(index).padStart(2, '0')}`);
  await books.query(
    `insert into pending_transfers (ledger_id, id, lease_id, from_account, to_account, amount, currency, created_at, request_id, description)
     select 1, id, '${UUID}99', 'ANN', 'BOB', 5, 'EUR', '2026-01-31T12:00:00.123456Z', text, text
     from unnest($1::uuid[], $2::text[]) as texts (id, text)`,
    [ids, cells.map(({ text }) => text)],
  );
  const program = await startProgram(t, { database: books, args: ['report', '--account=ANN', '--output=-'] });
  assert.deepEqual(await program.exited, { code: 0, signal: null }, program.output());
  const expected = cells.map(
    ({ cell }, index) =>
      `${ids[index]},ANN,BOB,5,EUR,pending,,${cell},${cell},2026-01-31T12:00:00.123456Z,,,,,transfer,\n`,
  );
  assert.equal(program.stdout(), `${HEADER}\n${expected.join('')}`);
});

test('report: a database without tables is distinguished from an empty one', async (t) => {
  const folder = await makeFolder(t);
  const books = await createDatabase(t);
  await books.query('drop table accounts, transfers, entries, pending_transfers cascade');
  const program = await startProgram(t, { database: books, folder, args: ['report', '--account=ANN'] });
  assert.deepEqual(await program.exited, { code: 1, signal: null });
  assert.equal(program.output(), 'The database has no GopherPay tables yet: start the service on it once.\n');
  assert.deepEqual(await readdir(folder), []);
});

test('report: an unreachable database exits with 4 and a sentence', async (t) => {
  const folder = await makeFolder(t);
  const { settings } = database;
  assert.ok('host' in settings);
  const missing = new URL(database.url);
  missing.pathname = '/no_such_database';
  const places: { env: Record<string, string>; reason: RegExp }[] = [
    {
      env: { DATABASE_URL: 'postgres://ada:Geheim-4711@127.0.0.1:1/books' },
      reason: /connect ECONNREFUSED 127\.0\.0\.1:1/,
    },
    { env: { DATABASE_URL: 'postgres://ada@localhost/books?host=/no/such/folder' }, reason: /connect ENOENT/ },
    { env: { DATABASE_URL: missing.href }, reason: /database "no_such_database" does not exist/ },
    {
      env: { DB_HOST: '127.0.0.1', DB_PORT: '1', DB_PASSWORD: 'Geheim-4711' },
      reason: /connect ECONNREFUSED 127\.0\.0\.1:1/,
    },
  ];
  await Promise.all(
    places.map(async ({ env, reason }) => {
      const program = await startProgram(t, { folder, env, args: ['report', '--account=ANN'] });
      assert.deepEqual(await program.exited, { code: 4, signal: null }, program.output());
      assert.match(program.output(), /^The database is out of reach \(.*\): .*DATABASE_URL.*\.\n$/);
      assert.match(program.output(), reason);
      assert.doesNotMatch(program.output(), /Geheim/);
    }),
  );
  assert.deepEqual(await readdir(folder), []);
});

test('report: a wrong setting exits with a sentence that names the setting', async (t) => {
  const folder = await makeFolder(t);
  const wrong: Record<string, string>[] = [
    { THREADS: 'many' },
    { DATABASE_URL: 'postgres://ada:Geheim-4711@:99999/books' },
  ];
  await Promise.all(
    wrong.map(async (env) => {
      const program = await startProgram(t, { folder, env, args: ['report', '--account=ANN'] });
      assert.deepEqual(await program.exited, { code: 1, signal: null });
      assert.match(program.output(), new RegExp(`^The setting ${Object.keys(env)[0]} .*is wrong: .*\\.\n$`));
      assert.doesNotMatch(program.output(), /Geheim/);
    }),
  );
  assert.deepEqual(await readdir(folder), []);
});

test('report: Ctrl-C ends a report that waits for the database at once', async (t) => {
  const folder = await makeFolder(t);
  const books = await createDatabase(t);
  const holder = await books.connect();
  await holder.query('begin; lock table transfers in access exclusive mode');
  const program = await startProgram(t, { database: books, folder, args: ['report', '--account=ANN'] });
  await until(async () => (await waitingReports(books)) === 1, { what: 'the report to wait for the lock' });
  const before = performance.now();
  process.kill(program.pid, 'SIGINT');
  assert.deepEqual(await program.exited, { code: 130, signal: null });
  assert.ok(performance.now() - before < 3000, 'It does not wait for the lock.');
  assert.equal(program.output(), 'Stopped by SIGINT.\n');
  assert.deepEqual(await readdir(folder), []);
});

async function reportLines(t: TestContext, args: string[]): Promise<string[]> {
  const program: Program = await startProgram(t, { database, args: ['report', ...args, '--output=-'] });
  assert.deepEqual(await program.exited, { code: 0, signal: null }, program.output());
  const [header, ...lines] = program.stdout().split('\n');
  assert.equal(header, HEADER);
  assert.equal(lines.pop(), '', 'The last line ends with a line break.');
  return lines;
}

async function waitingReports(books: TestDatabase): Promise<number> {
  const rows = await books.query(
    `select from pg_stat_activity
     where datname = current_database() and application_name = 'gopherpay report' and wait_event_type = 'Lock'`,
  );
  return rows.length;
}

async function openAccount(account: Record<string, unknown>, requestId?: string): Promise<Made> {
  const answer = await request(service, 'POST', '/accounts', account, headersOf(requestId));
  assert.equal(answer.status, 201, answer.text);
  return answer.body['opening_transfer_id'] === null
    ? { id: '', created: '', completed: '' }
    : await load(answer.body['opening_transfer_id']);
}

/** Has a transfer settled, one way or the other. */
async function pay(
  from: string,
  to: string,
  amount: number,
  description: string | null,
  requestId?: string,
): Promise<Made> {
  const made = await order(from, to, amount, description, requestId, { Prefer: 'wait=10' });
  assert.notEqual(made.completed, '');
  return made;
}

async function order(
  from: string,
  to: string,
  amount: number,
  description: string | null,
  requestId?: string,
  headers: Record<string, string> = {},
): Promise<Made> {
  const body = { from_account: from, to_account: to, amount, description };
  const answer = await request(service, 'POST', '/transfers', body, { ...headers, ...headersOf(requestId) });
  assert.ok(answer.status === 200 || answer.status === 202, answer.text);
  return await load(answer.body['id']);
}

async function load(id: unknown): Promise<Made> {
  const { body } = await request(service, 'GET', `/transfers/${String(id)}`);
  const times = z.object({ created_at: z.string(), completed_at: z.string().nullable() }).parse(body);
  return { id: String(id), created: times.created_at, completed: times.completed_at ?? '' };
}

function headersOf(requestId: string | undefined): Record<string, string> {
  return requestId === undefined ? {} : { 'X-Request-ID': requestId };
}

/** The instant in a zone this many hours east of Greenwich, with its microseconds. */
function inTimeZone(instant: string, hours: number): string {
  const shifted = new Date(Date.parse(instant) + hours * 3_600_000).toISOString();
  const offset = `+${String(Math.trunc(hours)).padStart(2, '0')}:${String((hours % 1) * 60).padStart(2, '0')}`;
  return `${shifted.slice(0, 19)}${instant.slice(19, -1)}${offset}`;
}
