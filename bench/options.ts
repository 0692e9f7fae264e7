// The options of the benchmark.
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { Tree } from './subjects.ts';

export const EXIT_WRONG_USAGE = 2;

const USAGE = `npm run bench -- [options]

  --rounds=N       rounds, in each of which every subject has one turn (5)
  --seconds=N      seconds of each turn that count (8)
  --server=KIND    embedded: PostgreSQL as gopherpay serve starts it; stock: the machine's own PostgreSQL with its
                   default settings, except for shared_buffers and max_wal_size (embedded)
  --only=NAME      this subject, and those that it needs; may be repeated
  --tree=NAME=PATH another checkout as well, whose subjects are called "single-64 (NAME)" and so on; may be repeated
  --long=N         transfers that are there already for "long" (5000000)
  --wide=N         accounts for "wide" (1000000)
  --report=N       rows of the report (1000000)
  --out=FOLDER     where RESULTS.md and results.json are written (bench)

Subjects of each checkout:
  single-64, single-256   one transfer per request, answered 202, at 64 and at 256 connections (wrk)
  keyed                   two services at once, with and without a key (wrk): what a key costs
  wait-64, wait-256       the same with Prefer: wait (wrk)
  single                  the same answered 202 at 128 connections, load generator in Node
  bulk                    1,000 transfers per request, 8 connections that wait
  openings                accounts opened at 64 connections (wrk); compared with single-64
  overload                twice the load that single-256 settled (wrk)
  half                    half the load that single settled: time to final; compared with naive
  hot1, hot4, long, wide  as single: few accounts, a long history, many accounts
  ledgers-1, ledgers-8    jobs per second of one and of eight ledgers, 10 ms more per sync (wrk, cc, stock PostgreSQL)
  slow-2, slow-10         two threads and ten, 10 ms more per sync (wrk, cc, stock PostgreSQL)
  sql                     the rows of the service by one database client: the limit of bulk
  sql-1, sql-16, sql-128  the same in small jobs; the simulation fits its costs to them

Subjects measured once:
  bare-http, http         a bare node:http server, at 256 connections (wrk) and at 128 (load generator in Node)
  naive                   one transaction per transfer by pgbench
  copy, report            an account's history by psql, and by gopherpay report
  bare start, start       an empty PostgreSQL and Node, and npm start

Examples:
  npm run bench -- --server=stock --only=single-64 --only=single-256 --only=bare-http
  npm run bench -- --server=stock --tree=before=../before --only=single-64 --only='single-64 (before)'

wrk, pgbench, psql and the stock PostgreSQL come with the Debian packages wrk and postgresql; cc with gcc and libc6-dev.
A subject that cannot be prepared is reported with the reason, and the others run.`;

/** What was requested cannot be done; the message says what to request instead. */
export class UsageError extends Error {}

/** The options of the command line. With --help, or where they are wrong, the process ends with the usage. */
export function readOptions() {
  if (process.argv.includes('--help')) {
    process.stdout.write(`${USAGE}\n`);
    process.exit(0);
  }
  try {
    return parseOptions();
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}\n`);
    process.exit(EXIT_WRONG_USAGE);
  }
}

function parseOptions() {
  const { values } = parseArgs({
    strict: true,
    options: {
      rounds: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '8' },
      server: { type: 'string', default: 'embedded' },
      only: { type: 'string', multiple: true, default: [] },
      out: { type: 'string', default: import.meta.dirname },
      tree: { type: 'string', multiple: true, default: [] },
      long: { type: 'string', default: '5000000' },
      wide: { type: 'string', default: '1000000' },
      report: { type: 'string', default: '1000000' },
    },
  });
  const trees = values.tree.map((text): Tree => {
    const [name = '', ...path] = text.split('=');
    if (/^[\w-]+$/.test(name) && path.length > 0) return { name, path: resolve(path.join('=')) };
    throw new UsageError(`The option --tree is "${text}": give a name and a path, as before=../before.`);
  });
  const server = (['embedded', 'stock'] as const).find((kind) => kind === values.server);
  if (server === undefined) {
    throw new UsageError(`The option --server is "${values.server}": choose embedded or stock.`);
  }
  const count = (name: 'rounds' | 'seconds' | 'long' | 'wide' | 'report', max: number) =>
    wholeNumber(name, values[name], max);
  return {
    rounds: count('rounds', 1000),
    seconds: count('seconds', 3600),
    server,
    only: values.only,
    out: resolve(values.out),
    trees,
    sizes: { long: count('long', 1e9), wide: count('wide', 1e8), report: 2 * Math.ceil(count('report', 1e8) / 2) },
  };
}

/** A whole number from 1 to `max`. */
function wholeNumber(name: string, text: string, max: number): number {
  const number = Number(text);
  if (/^\d+$/.test(text) && number >= 1 && number <= max) return number;
  throw new UsageError(`The option --${name} is "${text}": give a whole number from 1 to ${max}.`);
}
