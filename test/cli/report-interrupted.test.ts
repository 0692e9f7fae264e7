// gopherpay report on a long history: in little memory, and never a partial file under the final name.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { open, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { promisify } from 'node:util';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { MAIN, makeFolder, type Program, startProgram } from '../support/service.ts';
import { until } from '../support/until.ts';

const ROWS = 200_000;
const FORMER = 'the report of last month\n';
/** Far less than the rows would take at once (some 200 MB more), and more than the program itself (some 110 MB). */
const MEMORY_KIB_MAX = 200 * 1024;

let database: TestDatabase;

// Only what a report reads: the other sides' entries, the journal and the balances are left out.
before(async (t) => {
  database = await createDatabase(t);
  await database.query(
    `insert into transfers (
       ledger_id, id, from_account, to_account, amount, currency, status, request_id, description, created_at, completed_at,
       journal_number, journal_position, from_entry_number, to_entry_number, kind
     )
     select
       1, ('0192f0c4-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, '@external', 'BIG', 1, 'USD', 'completed', 'request-' || n,
       'A deposit of some words', '2026-01-31T12:00:00Z', '2026-01-31T12:00:01Z', 1 + n / 500, n % 500, n, n, 'transfer'
     from generate_series(1, ${ROWS}::bigint) as n`,
  );
  await database.query(
    `insert into entries (ledger_id, account_number, currency, entry_number, amount, balance, journal_number, transfer_id)
     select 1, 'BIG', 'USD', to_entry_number, 1, to_entry_number, journal_number, id
     from transfers`,
  );
  await database.query(
    `insert into accounts (ledger_id, account_number, currency, balance, entry_count) values (1, 'BIG', 'USD', $1, $1)`,
    [ROWS],
  );
  await database.query('analyze');
});

test('report: a long history takes little memory, and its file appears when it is complete', async (t) => {
  const folder = await makeFolder(t);
  await writeFile(join(folder, 'big.csv'), FORMER);
  const program = await startReport(t, folder);
  let peakKib = 0;
  let looks = 0;
  await until(
    async () => {
      // The peak only rises, so that the last look before the end is as good as one at the end.
      peakKib = Math.max(peakKib, readPeakKib(program.pid));
      const { size } = await stat(join(folder, 'big.csv'));
      assert.ok(size === FORMER.length || size > ROWS * 100, `There are ${size} bytes under its name.`);
      looks += 1;
      return program.ended();
    },
    { timeoutMs: 60_000, what: 'the report' },
  );
  assert.deepEqual(await program.exited, { code: 0, signal: null }, program.output());
  assert.ok(looks > 10, 'It took long enough to be observed.');
  t.diagnostic(`${Math.round(peakKib / 1024)} MB`);
  assert.ok(peakKib > 20 * 1024, 'The peak was read.');
  assert.ok(peakKib < MEMORY_KIB_MAX, `It took ${peakKib} KiB.`);
  assert.equal(
    program.output(),
    `${ROWS} transfers written to big.csv\n`,
    'There is no bar where there is no terminal.',
  );
  const { count, last } = await countLines(join(folder, 'big.csv'));
  assert.equal(count, 1 + ROWS);
  assert.match(last, new RegExp(`,completed,,request-${ROWS},.*,${ROWS},1,${ROWS},transfer,$`));
  assert.deepEqual(await readdir(folder), ['big.csv']);
});

test('report: a killed report leaves the former file unchanged', async (t) => {
  const folder = await makeFolder(t);
  await writeFile(join(folder, 'big.csv'), FORMER);
  const program = await startReport(t, folder);
  await untilHalfWritten(folder);
  assert.deepEqual(await program.kill(), { code: null, signal: 'SIGKILL' });
  assert.equal(await readFile(join(folder, 'big.csv'), 'utf8'), FORMER);
});

test('report: a lost server ends the report with 4 and leaves no file', async (t) => {
  const folder = await makeFolder(t);
  const program = await startReport(t, folder);
  await untilHalfWritten(folder);
  await database.query(
    `select pg_terminate_backend(pid) from pg_stat_activity
     where datname = current_database() and application_name = 'gopherpay report'`,
  );
  assert.deepEqual(await program.exited, { code: 4, signal: null }, program.output());
  // The last answer is lost if the server closed before the next request.
  assert.match(
    program.output(),
    /^The database is out of reach \((terminating connection|Connection terminated|write EPIPE|read ECONNRESET).*\): .*\n$/,
  );
  assert.deepEqual(await readdir(folder), []);
});

test('report: a closed reader ends the report silently', async (t) => {
  for (const args of [['report', '--user=BIG', '--output=-'], ['report', '--help'], ['--version']]) {
    const { code, reported } = await endReading(t, args);
    assert.deepEqual({ code, reported }, { code: 141, reported: '' }, args.join(' '));
  }
});

test('report: a failed write to standard output is reported', async () => {
  const full = await open('/dev/full', 'w');
  const child = spawn(process.execPath, [MAIN, '--version'], { stdio: ['ignore', full.fd, 'pipe'] });
  await full.close();
  let reported = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    reported += text;
  });
  const [code] = await once(child, 'close');
  assert.equal(code, 1);
  assert.match(reported, /^Standard output: ENOSPC/);
});

for (const { signal, code } of [
  { signal: 'SIGINT', code: 130 },
  { signal: 'SIGTERM', code: 143 },
] as const) {
  test(`report: ${signal} ends the report and leaves no file`, async (t) => {
    const folder = await makeFolder(t);
    const program = await startReport(t, folder);
    await untilHalfWritten(folder);
    process.kill(program.pid, signal);
    assert.deepEqual(await program.exited, { code, signal: null });
    assert.equal(program.output(), `Stopped by ${signal}.\n`);
    assert.deepEqual(await readdir(folder), []);
    await until(async () => (await openReports()) === 0, { what: 'the server to detect the closed reader' });
  });
}

async function startReport(t: Parameters<typeof startProgram>[0], folder: string): Promise<Program> {
  return await startProgram(t, { database, folder, args: ['report', '--user=BIG', '--output=big.csv'] });
}

/** Runs a command whose standard output has no reader from the start. */
async function endReading(t: Parameters<typeof startProgram>[0], args: readonly string[]) {
  const folder = await makeFolder(t);
  const pipe = join(folder, 'pipe');
  await promisify(execFile)('mkfifo', [pipe]);
  // Opened for both first, because opening a pipe for one direction alone waits for the other.
  const both = await open(pipe, 'r+');
  const writing = await open(pipe, 'w');
  await both.close();
  const child = spawn(process.execPath, [MAIN, ...args], {
    env: { ...process.env, DATABASE_URL: database.url },
    stdio: ['ignore', writing.fd, 'pipe'],
  });
  await writing.close();
  let reported = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    reported += text;
  });
  const [code] = await once(child, 'close');
  return { code, reported };
}

/** Waits until a part of the report is written, under any name. */
async function untilHalfWritten(folder: string): Promise<void> {
  await until(
    async () => {
      const names = (await readdir(folder)).filter((name) => name !== 'big.csv');
      const sizes = await Promise.all(names.map(async (name) => (await stat(join(folder, name))).size));
      return sizes.some((size) => size > 1_000_000);
    },
    { timeoutMs: 30_000, what: 'the first part of the report' },
  );
}

/** The most memory that a process has had in use so far, or 0 when it has ended. */
function readPeakKib(processId: number): number {
  try {
    return Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${processId}/status`, 'utf8'))?.[1] ?? 0);
  } catch {
    return 0;
  }
}

async function countLines(path: string): Promise<{ count: number; last: string }> {
  const file = await open(path);
  let count = 0;
  let last = '';
  for await (const line of file.readLines()) {
    count += 1;
    last = line;
  }
  return { count, last };
}

async function openReports(): Promise<number> {
  const rows = await database.query(
    `select from pg_stat_activity where datname = current_database() and application_name = 'gopherpay report'`,
  );
  return rows.length;
}
