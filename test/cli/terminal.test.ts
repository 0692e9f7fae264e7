// The terminal of a person: the commands on a terminal, which `script` (util-linux) provides, and Ctrl-C as the
// terminal sends it.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import { onEnd, type Scope } from '../support/cleanup.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { MAIN, makeFolder, request, startService } from '../support/service.ts';
import { until } from '../support/until.ts';

const CTRL_C = '\u0003';
const CYAN = '\u001b[36m';
const GREEN = '\u001b[32m';
const ROWS = 5000;

type Session = {
  /** Everything on the screen, with its colors. */
  screen: () => string;
  press: (key: string) => void;
  exited: Promise<unknown>;
  folder: string;
};

let database: TestDatabase;

before(async (t) => {
  database = await createDatabase(t);
  await database.query(
    `insert into pending_transfers (ledger_id, id, lease_id, from_account, to_account, amount)
     select 1, gen_random_uuid(), gen_random_uuid(), 'ANN', 'BOB', 1
     from generate_series(1, ${ROWS})`,
  );
});

test('terminal: a report shows its progress, and the file is not affected', async (t) => {
  const session = await openTerminal(t, 'report --account=ANN --output=ann.csv', database);
  assert.deepEqual(await session.exited, 0, session.screen());
  const shown = stripVTControlCharacters(session.screen());
  assert.match(shown, new RegExp(` 100 % \\| ${ROWS} of ${ROWS} transfers \\| `));
  assert.match(shown, new RegExp(`\n${ROWS} transfers written to ann\\.csv\r\n$`));
  assert.ok(session.screen().includes('\u001b[?25h'), 'The cursor is repeated.');
  const lines = (await readFile(join(session.folder, 'ann.csv'), 'utf8')).split('\n');
  assert.equal(lines.length, 1 + ROWS + 1);
  assert.ok(lines.slice(1, -1).every((line) => /^[0-9a-f-]{36},ANN,BOB,1,/.test(line)));
});

test('terminal: a report without transfers is complete', async (t) => {
  const session = await openTerminal(t, 'report --user=ANN --status=failed', database);
  assert.deepEqual(await session.exited, 0, session.screen());
  assert.match(stripVTControlCharacters(session.screen()), / 100 % \| 0 of 0 transfers \| /);
});

test('terminal: help is in colors', async (t) => {
  const session = await openTerminal(t, '--help', database);
  assert.deepEqual(await session.exited, 0, session.screen());
  assert.ok(session.screen().includes(CYAN), session.screen());
  assert.match(
    stripVTControlCharacters(session.screen()),
    /USAGE gopherpay serve\|migrate\|report\|statement\|audit\|[a-z|-]*complete\r\n/,
  );
});

test('terminal: the log is readable and colored to its last line, and Ctrl-C stops the service cleanly', async (t) => {
  const books = await createDatabase(t);
  const session = await openTerminal(t, 'serve', books);
  const url = await until(() => /gopherpay listening on (http:\S+)/.exec(session.screen())?.[1], {
    timeoutMs: 30_000,
    what: 'the service',
  });
  assert.equal((await request({ url }, 'GET', '/healthz')).status, 200);
  await until(() => session.screen().includes('/healthz'), { what: 'the request in the log' });
  session.press(CTRL_C);
  assert.deepEqual(await session.exited, 0, session.screen());
  assert.ok(session.screen().includes(GREEN), session.screen());
  const shown = stripVTControlCharacters(session.screen());
  assert.match(
    shown,
    /^GopherPay \d+\.\d+\.\d+\r\n(?: {2}\w+ +.*\r\n)* {2}database {2}\S+ on \S+, PostgreSQL \d+\.\d+\r\n {2}books {5}1 ledger, /m,
  );
  assert.match(shown, /^ {2}settings {2}PORT=0 DATABASE_URL=\(secret\) THREADS=2\r\n/m);
  assert.match(shown, /^\[\d\d:\d\d:\d\d\.\d{3}\] INFO: request \{.*"route":"\/healthz".*\}\r\n/m);
  assert.match(shown, /^(?:\^C)?\[.*\] INFO: stopping \{"signal":"SIGINT"\}\r\n\[.*\] INFO: stopped\r\n$/m);
  const others = shown
    .split('\r\n')
    .filter((line) => !/^(\^C)?\[\d\d:|^GopherPay |^ {2}\w+ {2}|^gopherpay listening/.test(line));
  assert.deepEqual(others, [''], 'Each log record is one line.');
  assert.doesNotMatch(shown, /^\{/m, 'There is no JSON.');
});

test('terminal: a load test asks before it moves money, and takes only yes for an answer', async (t) => {
  const books = await createDatabase(t);
  const { url } = await startService(t, { database: books, env: { THREADS: '2' } });
  const words = `load --url=${url} --duration=1 --accounts=2 --connections=1`;
  for (const { key, code, shown } of [
    { key: 'n\r', code: 1, shown: /Nothing was written\.\r\n$/ },
    { key: CTRL_C, code: 130, shown: /Stopped by SIGINT\.\r\n$/ },
    { key: 'y\r', code: 0, shown: /2 accounts closed\r\noffered +[1-9]/ },
  ]) {
    assert.equal((await books.query('select from accounts')).length, 0);
    const session = await openTerminal(t, words, books);
    await until(() => session.screen().includes('[y/N]'), { what: 'the question' });
    session.press(key);
    assert.equal(await session.exited, code, session.screen());
    assert.match(session.screen(), shown);
  }
  assert.equal((await books.query(`select from accounts where status = 'closed'`)).length, 2);
});

test('terminal: a load test draws one block again and again, and Ctrl-C ends it with its result', async (t) => {
  const books = await createDatabase(t);
  const { url } = await startService(t, { database: books, env: { THREADS: '2' } });
  const words = `load --url=${url} --yes --stages=10m:1..50/s --accounts=2`;
  for (const { settings, isColored } of [
    { settings: {}, isColored: true },
    { settings: { NO_COLOR: '1' }, isColored: false },
  ]) {
    const session = await openTerminal(t, words, books, settings);
    await until(() => session.screen().split('settled/s').length > 4, { what: 'some blocks' });
    session.press(CTRL_C);
    assert.equal(await session.exited, 130, session.screen());
    const screen = session.screen();
    assert.ok(screen.includes('\u001b[6A'), 'The cursor moves up by the lines of the block.');
    assert.equal(screen.includes(CYAN), isColored);
    const shown = stripVTControlCharacters(screen);
    assert.match(shown, /stage {6}1 of 1: 1\.\.50\/s {2}\d+ of 600 s/);
    assert.match(shown, /2 accounts closed\r\noffered +[1-9]/);
    assert.match(shown, /Stopped by SIGINT\.\r\n$/);
  }
});

test('terminal: a table leaves out columns that its width does not hold', async (t) => {
  const books = await createDatabase(t);
  const service = await startService(t, { database: books, env: { THREADS: '1' } });
  await request(service, 'POST', '/accounts', { account_number: 'ANN', name: 'Ann', balance: 500 });
  const list = await openTerminal(t, `transfers list --url=${service.url}`, books);
  assert.equal(await list.exited, 0, list.screen());
  assert.ok(list.screen().includes('\u001b[1mid\u001b[22m'), 'The head is bold.');
  const lines = stripVTControlCharacters(list.screen()).trimEnd().split('\r\n');
  assert.equal(lines.length, 2);
  assert.match(String(lines[1]), /^[0-9a-f-]{36} {2}completed {2}@external {5}ANN {9}5\.00 USD$/);
});

/** Runs the command line on a terminal of its own, in an empty folder. */
async function openTerminal(
  scope: Scope,
  words: string,
  books: TestDatabase,
  settings: Readonly<Record<string, string>> = {},
): Promise<Session> {
  const folder = await makeFolder(scope);
  const program = `exec '${process.execPath}' '${MAIN}' ${words}`;
  const child = spawn('script', ['--quiet', '--return', '--flush', '--command', program, '/dev/null'], {
    cwd: folder,
    env: { PATH: process.env['PATH'], TERM: 'xterm', DATABASE_URL: books.url, PORT: '0', THREADS: '2', ...settings },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  // With its terminal gone, the program gets SIGHUP, and ends.
  onEnd(scope, () => void child.kill('SIGKILL'));
  let screen = '';
  for (const output of [child.stdout, child.stderr]) {
    output.setEncoding('utf8').on('data', (text: string) => {
      screen += text;
    });
  }
  return {
    screen: () => screen,
    press: (key) => void child.stdin.write(key),
    exited: once(child, 'close').then(([code]: unknown[]) => code),
    folder,
  };
}
