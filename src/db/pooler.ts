// Whether a pooler gives a connection another server after each transaction. Sessions have settings, prepared statements and locks of
// their own, so nothing works there for long, although a start would succeed.
import type { Client } from 'pg';
import { sharedServers } from './session.ts';

/** A pooler may be several processes, and the second connection does not always reach the first one's. */
const ROUNDS = 3;

/**
 * Throws if the server of `first` is handed to others while `first` is connected. PgBouncer gives away the server that was released
 * last, which is ours, or with server_round_robin the one that has waited longest, which is another than ours.
 * `open` makes a second connection.
 */
export async function refuseSharedServers(first: Client, open: () => Promise<Client>): Promise<void> {
  for (let round = 1; round <= ROUNDS; round += 1) {
    const before = await processIdOf(first);
    const ours = await processIdOf(first);
    if (before !== ours) throw sharedServers();
    const theirs = await processIdOfAnother(open);
    if (theirs === ours) throw sharedServers();
    // All servers of the pooler are taken, and none was given twice.
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
