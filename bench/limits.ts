// The limits: the throughput of the machine with less work than the service, or with the same work and less overhead.
import { join } from 'node:path';
import { ACCOUNTS, audit, type Bench, makeLedger, WARM_UP_SECONDS, withConnection } from './bench.ts';
import type { Subject } from './subject.ts';
import { countCompleted } from './counts.ts';
import { type Load, putLoad } from './load.ts';
import { databaseOf, toRun } from './ours.ts';
import { ended, killIfRunning, lineLike, start, stop } from './processes.ts';
import { PREFIX } from './seed.ts';
import { marksOf, passWindow, type Window } from './window.ts';
import { requireWrk } from './wrk.ts';

/** node:http and a load generator, without anything behind. */
export function http(bench: Bench, { name, what, load }: Pick<Subject, 'name' | 'what'> & { load: Load }): Subject {
  return {
    name,
    unit: 'requests/s',
    what: `A bare node:http process that reads and parses the same POST and answers a 202 of the same shape and size, ${what}. Stores nothing.`,
    needs: [],
    prepare: async () => {
      if (load.generator === 'wrk') await requireWrk();
    },
    run: async (seconds) => {
      const server = start(process.execPath, [join(import.meta.dirname, 'bare.ts')], { cwd: bench.folder });
      try {
        const url = await lineLike(server, /listening on (\S+)/, 'The bare server');
        const { window, reported, command } = await putLoad(bench, server, url, load, seconds);
        return toRun(reported['acceptedPerSecond'] ?? 0, window, `node bench/bare.ts; ${command}`, reported);
      } finally {
        await stop(server);
      }
    },
    prove: async () => null,
    close: async () => {},
  };
}

/** The database with our rows, without HTTP, threads or intake, in jobs of `jobSize` transfers. */
export function sql(
  bench: Bench,
  { name, tree, jobSize = 1024 }: { name: string; tree: string; jobSize?: number },
): Subject {
  const database = databaseOf(name);
  return {
    name,
    unit: 'transfers/s',
    what:
      `Jobs of ${jobSize.toLocaleString('en-US')} settled straight through one pg client, pipelined, two round trips a job: the accounts locked in order, decided by src/domain, ` +
      'then accounts, journal, transfers and entries written from arrays. The same tables and rows as ours. No HTTP, no threads, no pending rows, no callers.',
    needs: [],
    prepare: async () => await makeLedger(bench, tree, database, { accounts: ACCOUNTS, transfers: 0 }),
    run: async (seconds) => {
      const { host, port, user } = bench.cluster.settingsOf(database);
      const options = {
        prefix: PREFIX,
        accounts: ACCOUNTS,
        'job-size': jobSize,
        'warm-up': WARM_UP_SECONDS,
        seconds,
      };
      const shown = Object.entries(options).map(([name, value]) => `--${name}=${value}`);
      const reach = [`--host=${host}`, `--port=${port}`, `--user=${user}`, `--database=${database}`];
      const script = join(tree, 'bench/settle.ts');
      const load = start(process.execPath, [script, ...reach, ...shown], { cwd: bench.folder });
      let window: Window;
      try {
        window = await passWindow(bench, marksOf(load), load, null);
        if ((await ended(load)) !== 0) throw new Error('The jobs did not end well.');
      } finally {
        killIfRunning(load);
      }
      const completed = await withConnection(
        bench,
        database,
        async (connection) => await countCompleted(connection, window.from, window.to),
      );
      await bench.cluster.settle(database);
      return toRun(completed / ((window.to - window.from) / 1000), window, `node bench/settle.ts ${shown.join(' ')}`);
    },
    prove: async () => await audit(bench, tree, database),
    close: async () => {},
  };
}
