// Steps that the tests of durability share: a database server that loses what is not flushed, and two processes that use it.
import { once } from 'node:events';
import { createConnection, createServer } from 'node:net';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { splitFrames } from '../support/canceler.ts';
import { onEnd } from '../support/cleanup.ts';
import { createDatabase, renderDatabaseUrl, type TestDatabase } from '../support/database.ts';
import { COMMIT_OF_JOB } from '../support/proxy.ts';
import { parseServerKind, startServer, type TestServer, withAdmin } from '../support/server.ts';
import { request, type Service, startService } from '../support/service.ts';
import { lockAccount } from '../support/trouble.ts';
import { until } from '../support/until.ts';
import { countPending, openAccounts } from './callers.ts';

/** Every synchronous commit flushes the earlier ones, a heartbeat too. */
const NO_HEARTBEAT = { HEARTBEAT_MS: '60000', ORPHANED_AFTER_MS: '180000', WEBHOOK_TARGETS: 'any' };

export type Scene = {
  readonly server: TestServer;
  readonly database: TestDatabase;
  /** The process that accepts requests, and another one, which reads what the first has answered. */
  readonly service: Service;
  readonly other: Service;
  readonly unlock: () => Promise<void>;
};

/** A server that flushes nothing unless it must, and processes whose transfers are stored and delayed by a lock on ACC0. */
export async function setTheScene(t: TestContext): Promise<Scene> {
  const server = await startLossyServer(t);
  const database = await createDatabase(t, server);
  const service = await startService(t, { database, env: NO_HEARTBEAT });
  const other = await startService(t, { database, env: NO_HEARTBEAT });
  await openAccounts(service, 'ACC', 2, { balance: 100 });
  return { server, database, service, other, unlock: await lockAccount(database, 'ACC0') };
}

/** In its sleep, of `wal_writer_delay`. */
const WRITER_SLEEPS = `
  select from pg_stat_activity
  where backend_type = 'walwriter' and wait_event = 'WalWriterMain'`;

/**
 * A database server of the test's own, which loses an asynchronous commit if it crashes. Its settings need new processes:
 * a running one would flush the log once more, whenever it learns of them.
 */
export async function startLossyServer(t: TestContext): Promise<TestServer> {
  const image = process.env['TEST_POSTGRES_IMAGE'] ?? 'postgres:18';
  const server = await startServer(parseServerKind(process.env['TEST_DATABASE']), image);
  onEnd(t, () => server.stop());
  await withAdmin(server.admin, async (client) => {
    await client.query("alter system set wal_writer_delay = '10s'");
    await client.query('alter system set autovacuum = off');
    await client.query('alter system set bgwriter_lru_maxpages = 0');
    await client.query('select pg_reload_conf()');
  });
  await server.crash();
  const found = async () => await withAdmin(server.admin, async (client) => await client.query(WRITER_SLEEPS));
  await until(async () => ((await found().catch(() => null))?.rowCount ?? 0) > 0, { what: 'the WAL writer to sleep' });
  return server;
}

/** Waits until both processes work again after a crash, and nothing is in flight. */
export async function awaitCalm({ database, service, other }: Scene): Promise<void> {
  for (const each of [service, other]) {
    await until(async () => (await request(each, 'GET', '/accounts/ACC0')).status === 200, {
      what: 'the service to answer',
    });
  }
  // The test's own connections have died with the server.
  await until(async () => (await countPending(database).catch(() => -1)) === 0, { what: 'every transfer to be final' });
}

/** Ends the transaction of a job without effect. */
const ABORT = Buffer.from(COMMIT_OF_JOB.toString('latin1').replace('commit', 'abort '), 'latin1');
const ROLLED_BACK = Buffer.from('C\0\0\0\x0dROLLBACK\0', 'latin1');
const COMMITTED = Buffer.from('C\0\0\0\x0bCOMMIT\0', 'latin1');

/** A network to a database that, once it lies, rolls back each job and reports it as committed. */
export async function startLyingNetwork(t: TestContext, { admin, settings }: TestDatabase) {
  const target = admin.host.startsWith('/')
    ? { path: join(admin.host, `.s.PGSQL.${admin.port}`) }
    : { host: admin.host, port: admin.port };
  let lies = 0;
  let isLying = false;
  const passed = (message: Buffer, from: Buffer, to: Buffer): Buffer => {
    if (!isLying || !message.equals(from)) return message;
    lies += 1;
    return to;
  };
  const server = createServer({ noDelay: true }, (client) => {
    const database = createConnection({ ...target, noDelay: true });
    client.on(
      'data',
      splitFrames({ startup: true }, (message) => database.write(passed(message, COMMIT_OF_JOB, ABORT))),
    );
    database.on(
      'data',
      splitFrames({ startup: false }, (message) => client.write(passed(message, ROLLED_BACK, COMMITTED))),
    );
    for (const [end, other] of [
      [client, database],
      [database, client],
    ] as const) {
      end.on('error', () => {});
      end.on('close', () => other.destroy());
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onEnd(t, () => void server.close());
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('The network has no port.');
  const url = renderDatabaseUrl({ ...admin, ...settings, host: '127.0.0.1', port: address.port });
  return {
    url,
    lie: (): void => {
      isLying = true;
    },
    /** How many messages it has replaced. */
    lies: () => lies,
  };
}
