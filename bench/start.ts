// How long a warm start takes: npm start with the embedded database, its folder existing, until the line that reports
// it as ready; against a bare PostgreSQL and an empty Node, one after the other.
import { dirname, join } from 'node:path';
import type { Bench } from './bench.ts';
import { ROOT } from './bench.ts';
import { type Subject, medianOf, type Run } from './subject.ts';
import { findOsUser } from '../src/db/embedded/os-user.ts';
import { findIdentity, findPrograms, runToEnd as runAs } from '../src/db/embedded/programs.ts';
import { openEmbeddedServer } from '../src/db/embedded/server.ts';
import { ended, lineLike, runToEnd, start } from './processes.ts';

const STARTS = 3;
const TIMEOUT_MS = 60_000;

export function npmStart(bench: Bench): Subject {
  const dataDir = join(bench.folder, 'start');
  return {
    name: 'start',
    unit: 'ms',
    what: `npm start with the embedded database, whose folder exists, until the line that says it is ready. The median of ${STARTS} in each round.`,
    needs: ['bare start'],
    prepare: async () => void (await startOnce(dataDir)),
    run: async () => await medianOfStarts('npm start', async () => await startOnce(dataDir)),
    prove: async () => null,
    // An unfinished one may have left its server running.
    close: async () => await (await openEmbeddedServer(dataDir)).release(),
  };
}

async function startOnce(dataDir: string): Promise<number> {
  const startedAt = performance.now();
  const started = start('npm', ['start'], {
    cwd: ROOT,
    env: { HOME: process.env['HOME'], DATA_DIR: dataDir, PORT: '0' },
    stderr: 'ignore',
    detached: true,
  });
  await lineLike(started, /listening on (\S+)/, 'npm start');
  const milliseconds = performance.now() - startedAt;
  const closed = ended(started);
  // npm does not forward every signal, so the whole group is signaled.
  process.kill(-started.id, 'SIGTERM');
  await closed;
  return milliseconds;
}

export function bareStart(bench: Bench): Subject {
  const dataDir = join(bench.folder, 'bare');
  const clusterDir = join(dataDir, 'postgres');
  const log = join(clusterDir, 'bare.log');
  const settings = `-c listen_addresses= -c unix_socket_directories='${dataDir}/socket'`;
  const findControl = async () => {
    const { postgres } = await findPrograms();
    const identity = await findIdentity(await findOsUser(clusterDir), postgres, [dataDir]);
    const program = join(dirname(postgres), 'pg_ctl');
    return async (...options: string[]) =>
      await runAs(identity, program, ['-D', clusterDir, '-w', ...options], { timeoutMs: TIMEOUT_MS });
  };
  return {
    name: 'bare start',
    unit: 'ms',
    what: `pg_ctl -w start of a database made in the same way, then node -e 0. The median of ${STARTS} in each round.`,
    needs: [],
    prepare: async () => await (await openEmbeddedServer(dataDir)).release(),
    run: async () =>
      await medianOfStarts('pg_ctl -w start; node -e 0', async () => {
        // Finding the OS user is not part of a start.
        const control = await findControl();
        const startedAt = performance.now();
        await control('-l', log, '-o', settings, 'start');
        await runToEnd(process.execPath, ['-e', '0'], { cwd: '/' });
        const milliseconds = performance.now() - startedAt;
        await control('-m', 'fast', 'stop');
        return milliseconds;
      }),
    prove: async () => null,
    close: async () => {
      const control = await findControl();
      // It fails if there is nothing to stop, which is how it should be.
      await control('-m', 'fast', 'stop').catch(() => {});
    },
  };
}

async function medianOfStarts(command: string, startOnce: () => Promise<number>): Promise<Run> {
  const milliseconds: number[] = [];
  while (milliseconds.length < STARTS) milliseconds.push(await startOnce());
  return { figure: medianOf(milliseconds) ?? 0, measured: {}, command };
}
