// Detects a pooler that assigns a connection another server after each transaction. Settings, prepared statements and
// locks belong to a session, so the service would start on such a pooler and soon fail.
import type { Client } from 'pg';
import { sharedServers } from './session.ts';

/** A pooler may have several processes, and the second connection does not always reach the process of the first. */
const ROUNDS = 3;

/** Whether the other end of a connection is a pooler: it reports another process id than the server's. */
export function isPooled(client: Client, processId: number): boolean {
  return !('processID' in client) || client.processID !== processId;
}

/**
 * Throws if another connection can get the server of `first` while `first` is connected. By default, PgBouncer assigns
 * the server that was released last, which is ours. With server_round_robin it assigns the one that has waited longest,
 * which is not ours. `open` makes a second connection.
 */
export async function refuseSharedServers(first: Client, open: () => Promise<Client>): Promise<void> {
  for (let round = 1; round <= ROUNDS; round += 1) {
    const before = await processIdOf(first);
    const ours = await processIdOf(first);
    if (before !== ours) throw sharedServers();
    const theirs = await processIdOfAnother(open);
    if (theirs === ours) throw sharedServers();
    // All servers of the pooler are in use, and none was assigned twice.
    if (theirs === null) return;
  }
}

async function processIdOfAnother(open: () => Promise<Client>): Promise<number | null> {
  let second: Client | undefined;
  try {
    second = await open();
    return await processIdOf(second);
  } catch {
    return null;
  } finally {
    second?.connection.stream.destroy();
  }
}

async function processIdOf(client: Client): Promise<number | null> {
  const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
  return rows[0]?.pid ?? null;
}
