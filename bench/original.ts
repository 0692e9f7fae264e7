// The Go original that this service rebuilds, as its own process. Its migrations are applied by the benchmark.
import { readdirSync, readFileSync } from 'node:fs';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Bench, withConnection } from './bench.ts';
import { start, type Started, stop } from './processes.ts';

const START_ATTEMPTS = 100;
const START_INTERVAL_MS = 100;

/** Starts the program `server` of a folder on a new database, and returns when it answers. */
export async function startOriginal(
  bench: Bench,
  folder: string,
  database: string,
): Promise<Started & { url: string; stop(): Promise<void> }> {
  const { cluster } = bench;
  await cluster.create(database);
  const { host, port, user } = cluster.settingsOf(database);
  const migrations = readdirSync(join(folder, 'migrations')).toSorted();
  await withConnection(bench, database, async (connection) => {
    for (const file of migrations) await connection.query(readFileSync(join(folder, 'migrations', file), 'utf8'));
    await connection.query(`grant all on all tables in schema public to ${user}`);
    await connection.query(`grant all on all sequences in schema public to ${user}`);
  });
  const serverPort = await findFreePort();
  // It writes a log into the folder where it runs.
  await mkdir(bench.folder, { recursive: true });
  const started = start(join(folder, 'server'), [], {
    cwd: bench.folder,
    env: {
      DB_USER: user,
      DB_PASSWORD: 'none',
      DB_NAME: database,
      DB_HOST: 'localhost',
      // It has no setting for a socket, and puts this text into the query of a URL.
      DB_SSL_MODE: `disable&host=${host}&port=${port}`,
      SERVER_HOST: '127.0.0.1',
      SERVER_PORT: String(serverPort),
    },
    stderr: 'ignore',
  });
  const url = `http://127.0.0.1:${serverPort}`;
  for (let attempt = 1; attempt <= START_ATTEMPTS; attempt += 1) {
    const answered = await fetch(url).then(
      () => true,
      () => false,
    );
    if (answered) return { ...started, url, stop: async () => await stop(started) };
    await sleep(START_INTERVAL_MS);
  }
  throw new Error(`The Go original in ${folder} did not start.`);
}

async function findFreePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('A port has an address.');
  return address.port;
}
