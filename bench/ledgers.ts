// A disk on which every sync takes longer. One ledger against several: jobs of one ledger commit one after the other, and those of
// different ledgers share a sync. Two threads against ten: jobs that wait for each other's locks must not make ten slower.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Connections } from '../src/load/connections.ts';
import { type Bench, startService } from './bench.ts';
import { type Cluster, openCluster } from './cluster.ts';
import type { Subject } from './subject.ts';
import { countCompleted, countJobs } from './counts.ts';
import { databaseOf, ours } from './ours.ts';
import { PREFIX } from './seed.ts';
import { requireWrk } from './wrk.ts';

const SYNC_DELAY_MS = 10;
const CONNECTIONS = 64;
const CONNECTIONS_OF_THREADS = 256;
/** Of all ledgers together. */
const ACCOUNTS = 2000;
const OPENING_BALANCE = 1_000_000_000;

/** The service of a checkout with so many ledgers, on a PostgreSQL of its own. */
export function ledgers(
  bench: Bench,
  { name, tree, count, threads }: { name: string; tree: string; count: number; threads?: number },
): Subject {
  const connections = threads === undefined ? CONNECTIONS : CONNECTIONS_OF_THREADS;
  let slow: Cluster | null = null;
  const slowBench: Bench = {
    ...bench,
    get cluster() {
      if (slow === null) throw new Error('The PostgreSQL with slow syncs does not run.');
      return slow;
    },
  };
  const accounts = ACCOUNTS / count;
  const subject = ours(slowBench, {
    name,
    what: `Ours: one transfer per request over ${count === 1 ? 'one ledger' : `${count} ledgers`} with ${ACCOUNTS.toLocaleString('en')} accounts in total, ${connections} connections that wait (Prefer: wait),${threads === undefined ? '' : ` THREADS=${threads},`} on a stock PostgreSQL with ${SYNC_DELAY_MS} ms more per sync.`,
    tree,
    load: { generator: 'wrk', connections, accounts, ledgers: count, wait: true },
    ...(threads === undefined
      ? { figure: { unit: 'jobs/s', count: countJobs } }
      : { settings: { THREADS: String(threads) }, figure: { unit: 'transfers/s', count: countCompleted } }),
  });
  return {
    ...subject,
    prepare: async () => {
      await requireWrk();
      const library = await compileSlowSync(bench.folder);
      slow = await openCluster('', 'stock', { LD_PRELOAD: library, SYNC_DELAY_MS: String(SYNC_DELAY_MS) });
      const database = databaseOf(name);
      await slow.create(database);
      await openLedgers(slowBench, tree, database, { count, accounts });
    },
    close: async () => await slow?.close(),
  };
}

/** Compiles a library into a folder that makes every sync of a process longer, and returns its path. */
export async function compileSlowSync(folder: string): Promise<string> {
  const library = join(folder, 'slow-sync.so');
  const source = join(import.meta.dirname, 'slow-sync.c');
  try {
    await promisify(execFile)('cc', ['-shared', '-fPIC', '-O2', '-o', library, source, '-ldl']);
    return library;
  } catch (error) {
    throw new Error('Slow syncs need a C compiler: install the Debian packages gcc and libc6-dev.', { cause: error });
  }
}

async function openLedgers(
  bench: Bench,
  tree: string,
  database: string,
  { count, accounts }: { count: number; accounts: number },
): Promise<void> {
  const service = await startService(bench, tree, database);
  const connections = new Connections({ url: service.url }, CONNECTIONS);
  const create = async (path: string, body: unknown): Promise<void> => {
    const [status, text] = await connections.post(path, {}, JSON.stringify(body));
    if (status === 404 && path === '/ledgers') throw new Error('The service of this checkout has no ledgers.');
    if (status !== 201) throw new Error(`POST ${path} was answered ${status}: ${text}`);
  };
  try {
    for (let ledger = 1; ledger <= count; ledger += 1) {
      await create('/ledgers', { name: `l${ledger}` });
      const numbers = Array.from({ length: accounts }, (_, index) => `${PREFIX}-${index}`);
      await Promise.all(
        numbers.map(
          async (number) =>
            await create(`/ledgers/l${ledger}/accounts`, {
              account_number: number,
              name: 'Benchmark',
              balance: OPENING_BALANCE,
            }),
        ),
      );
    }
  } finally {
    await connections.close();
    await service.stop();
  }
}
