// The naive way, by pgbench: one transaction per transfer, its two accounts locked with FOR UPDATE. Without pgbench,
// node-postgres sends the same statements, and the results state it.
import { execFile } from 'node:child_process';
import { existsSync, globSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { ACCOUNTS, type Bench, WARM_UP_SECONDS, withConnection } from './bench.ts';
import { BrokenPromise, type Subject, type Measured } from './subject.ts';
import { familySeconds, runToEnd } from './processes.ts';
import { processorTime } from './window.ts';

const DATABASE = 'naive';
const CLIENTS = 10;

const SCHEMA = `
  create table accounts (id bigint primary key, balance bigint not null);
  create table transfers (
    id bigserial primary key,
    from_id bigint not null,
    to_id bigint not null,
    amount bigint not null,
    created_at timestamptz not null default now()
  );
  insert into accounts (id, balance) select id, 1000000000 from generate_series(1, ${ACCOUNTS}) as id;
  alter table accounts owner to gopherpay;
  alter table transfers owner to gopherpay`;

const SCRIPT = `
\\set from random(1, ${ACCOUNTS})
\\set to 1 + (:from + random(0, ${ACCOUNTS - 2})) % ${ACCOUNTS}
\\set amount random(1, 100)
begin;
select id, balance from accounts where id in (:from, :to) order by id for update;
update accounts set balance = balance - :amount where id = :from;
update accounts set balance = balance + :amount where id = :to;
insert into transfers (from_id, to_id, amount) values (:from, :to, :amount);
commit;
`;

/** Where pgbench is, or null. */
export function findPgbench(): string | null {
  const onPath = (process.env['PATH'] ?? '').split(delimiter).map((folder) => join(folder, 'pgbench'));
  return [...onPath, ...globSync('/usr/lib/postgresql/*/bin/pgbench')].find((file) => existsSync(file)) ?? null;
}

export async function pgbenchVersion(): Promise<string> {
  const program = findPgbench();
  return program === null ? 'none' : (await promisify(execFile)(program, ['--version'])).stdout.trim();
}

export function naive(bench: Bench): Subject {
  const program = findPgbench();
  if (program === null) {
    bench.log(
      'There is no pgbench: install the Debian packages postgresql or postgresql-contrib. node-postgres stands in for it.',
    );
  }
  const script = join(bench.folder, 'naive.sql');
  return {
    name: 'naive',
    unit: 'transfers/s',
    what:
      `One transaction per transfer from ${CLIENTS} clients${program === null ? ' of node-postgres IN PLACE OF pgbench, which is not installed' : ' of pgbench'}: ` +
      'both accounts locked with FOR UPDATE in order, two updates, one insert. No HTTP, no entries, no journal, no idempotency.',
    needs: [],
    prepare: async () => {
      await bench.cluster.create(DATABASE);
      await withConnection(bench, DATABASE, async (connection) => await connection.query(SCHEMA));
      await writeFile(script, SCRIPT, { mode: 0o644 });
    },
    run: async (seconds) => {
      const run =
        program === null ? await runStandIn(bench, seconds) : await runPgbench(bench, program, script, seconds);
      await checkMoney(bench);
      await bench.cluster.settle(DATABASE);
      return run;
    },
    prove: async () => null,
    close: async () => {},
  };
}

async function runPgbench(bench: Bench, program: string, script: string, seconds: number) {
  const { host, port, user } = bench.cluster.settingsOf(DATABASE);
  const options = ['-n', '-M', 'prepared', '-c', String(CLIENTS), '-j', '2', '-f', script];
  const reach = ['-h', host, '-p', String(port), '-U', user, DATABASE];
  const run = async (seconds: number) =>
    await runToEnd(program, [...options, '-T', String(seconds), ...reach], { cwd: bench.folder, stderr: 'ignore' });
  await run(WARM_UP_SECONDS);
  const before = familySeconds(bench.cluster.postmasterId);
  const reported = await run(seconds);
  const postgresCores = (familySeconds(bench.cluster.postmasterId) - before) / seconds;
  const number = (pattern: RegExp) => Number(pattern.exec(reported)?.[1] ?? Number.NaN);
  const figure = number(/^tps = ([\d.]+)/m);
  const latencyMeanMs = number(/^latency average = ([\d.]+) ms/m);
  if (!Number.isFinite(figure) || !Number.isFinite(latencyMeanMs)) throw new Error(`pgbench printed: ${reported}`);
  const command = `pgbench ${options.slice(0, -1).join(' ')} naive.sql -T ${seconds}`;
  const measured = { latencyMeanMs, postgresCores, ...processorTime({ postgresCores }, figure) };
  return { figure, measured, command };
}

async function runStandIn(bench: Bench, seconds: number) {
  const { host, port, user } = bench.cluster.settingsOf(DATABASE);
  const options = [
    `--clients=${CLIENTS}`,
    `--accounts=${ACCOUNTS}`,
    `--warm-up=${WARM_UP_SECONDS}`,
    `--seconds=${seconds}`,
  ];
  const reach = [`--host=${host}`, `--port=${port}`, `--user=${user}`, `--database=${DATABASE}`];
  const script = join(import.meta.dirname, 'naive-client.ts');
  const reported = await runToEnd(process.execPath, [script, ...options, ...reach], { cwd: bench.folder });
  const [transfers = Number.NaN, latencyMeanMs = Number.NaN] = reported.split(' ').map(Number);
  const measured: Measured = { latencyMeanMs };
  return { figure: transfers / seconds, measured, command: `node bench/naive-client.ts ${options.join(' ')}` };
}

async function checkMoney(bench: Bench): Promise<void> {
  await withConnection(bench, DATABASE, async (connection) => {
    const { rows } = await connection.query<{ whole: boolean }>(
      `select sum(balance) = ${ACCOUNTS} * 1000000000::bigint as whole from accounts`,
    );
    if (rows[0]?.whole !== true) throw new BrokenPromise('Money was made or lost.');
  });
}
