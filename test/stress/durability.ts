// Steps that the tests of durability share: a database server that loses what is not flushed, and two processes that use it.
import type { TestContext } from 'node:test';
import { onEnd } from '../support/cleanup.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
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

/** A database server of the test's own, which loses an asynchronous commit if it crashes. */
export async function startLossyServer(t: TestContext): Promise<TestServer> {
  const image = process.env['TEST_POSTGRES_IMAGE'] ?? 'postgres:18';
  const server = await startServer(parseServerKind(process.env['TEST_DATABASE']), image);
  onEnd(t, () => server.stop());
  await withAdmin(server.admin, async (client) => {
    await client.query("alter system set wal_writer_delay = '10s'");
    await client.query('alter system set autovacuum = off');
    await client.query('select pg_reload_conf()');
  });
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
