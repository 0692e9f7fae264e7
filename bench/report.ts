// gopherpay report against psql's \copy: a history of so many transfers of one account, written to a CSV file.
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { audit, type Bench, databaseEnvironment, makeLedger, ROOT } from './bench.ts';
import { BrokenPromise, type Subject, type Measured, type Run } from './subject.ts';
import { ended, runToEnd, start, watchMemory } from './processes.ts';
import { PREFIX } from './seed.ts';

const DATABASE = 'report';
const ACCOUNT = `${PREFIX}-0`;

// The rows and columns of gopherpay report, in its order, on one line as psql wants it.
const HISTORY = `
  select transfers.id, from_account, to_account, transfers.amount, transfers.currency, status, failure_code,
    coalesce(request_id, id::text) as request_id, description, created_at, completed_at, own.entry_number,
    own.amount as signed_amount, own.balance as balance_after, kind, parent_id
  from entries as own
  join transfers on transfers.id = own.transfer_id
  where own.account_number = '${ACCOUNT}'
  order by transfers.journal_number, transfers.journal_position, id`.replaceAll(/\s+/g, ' ');

/** The command, on a history of `rows` transfers. */
export function report(bench: Bench, rows: number): Subject {
  return {
    name: 'report',
    unit: 'rows/s',
    what: `gopherpay report of an account with ${rows.toLocaleString('en')} transfers, to a CSV file. Its memory is the command's.`,
    needs: ['copy'],
    prepare: async () => {},
    run: async () => {
      const file = join(bench.folder, 'report.csv');
      const options = ['report', `--user=${ACCOUNT}`, `--output=${file}`];
      return await timed(file, rows, `gopherpay ${options.slice(0, 2).join(' ')}`, async () => {
        const started = start(process.execPath, [join(ROOT, 'src/cli/main.js'), ...options], {
          cwd: bench.folder,
          env: databaseEnvironment(bench.cluster.settingsOf(DATABASE)),
          stderr: 'ignore',
        });
        const memory = watchMemory(started.id);
        const code = await ended(started);
        const measured = memory.end();
        if (code !== 0) throw new Error(`The report ended with ${code}.`);
        return measured;
      });
    },
    prove: async () => await audit(bench, ROOT, DATABASE),
    close: async () => {},
  };
}

/** psql, which must be installed, with the same history. It makes the books of both. */
export function copy(bench: Bench, rows: number): Subject {
  return {
    name: 'copy',
    unit: 'rows/s',
    what: 'The same rows by psql \\copy, to a CSV file.',
    needs: [],
    prepare: async () => {
      await makeLedger(bench, ROOT, DATABASE, { accounts: 2, transfers: rows });
    },
    run: async () => {
      const file = join(bench.folder, 'copy.csv');
      const { host, port, user } = bench.cluster.settingsOf(DATABASE);
      const reach = ['-h', host, '-p', String(port), '-U', user, '-d', DATABASE];
      const command = `\\copy (${HISTORY}) to '${file}' csv header`;
      return await timed(file, rows, `psql -c "\\copy (…) to 'copy.csv' csv header"`, async () => {
        await runToEnd('psql', ['-X', '-q', ...reach, '-c', "set work_mem = '64MB'", '-c', command], {
          cwd: bench.folder,
        });
        return {};
      });
    },
    prove: async () => null,
    close: async () => {},
  };
}

/** Rows per second of what `work` writes to the file, which is removed. */
async function timed(file: string, rows: number, command: string, work: () => Promise<Measured>): Promise<Run> {
  const startedAt = performance.now();
  const measured = await work();
  const seconds = (performance.now() - startedAt) / 1000;
  const lines = Number((await runToEnd('wc', ['-l', file], { cwd: '/' })).split(' ')[0]);
  await rm(file);
  // The history, the opening balance and the names of the columns.
  if (lines !== rows + 2) throw new BrokenPromise(`The file has ${lines} lines instead of ${rows + 2}.`);
  return { figure: (lines - 1) / seconds, measured: { ...measured, seconds }, command };
}
