// Injects failures that occur in production: a lock that is held too long, connections that break, threads that die.
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { onEnd } from './cleanup.ts';
import type { TestDatabase } from './database.ts';
import type { Program } from './service.ts';
import { until } from './until.ts';

/** Holds the row of an account locked until the returned function is called, or the test ends. */
export async function lockAccount(database: TestDatabase, accountNumber: string): Promise<() => Promise<void>> {
  const holder = await database.connect();
  await holder.query('begin');
  const locked = await holder.query('select from accounts where account_number = $1::text for update', [accountNumber]);
  assert.equal(locked.rowCount, 1);
  return async () => {
    await holder.query('rollback');
  };
}

/**
 * Freezes a service until the returned function is called, or the test ends. Neither the service nor its peers are
 * notified.
 */
export function freeze(t: TestContext, service: Program): () => void {
  process.kill(service.pid, 'SIGSTOP');
  const thaw = (): void => {
    if (!service.ended()) process.kill(service.pid, 'SIGCONT');
  };
  onEnd(t, thaw);
  return thaw;
}

/** The names under which the service's connections are known to the database. */
export type ConnectionName = 'gopherpay' | 'gopherpay intake' | 'gopherpay thread';

/** Breaks every connection of that name, once there is one, and returns how many there were. */
export async function breakConnections(database: TestDatabase, name: ConnectionName): Promise<number> {
  return until(
    async () => {
      const broken = await database.query(
        `select pg_terminate_backend(pid)
         from pg_stat_activity
         where datname = current_database() and application_name = $1::text`,
        [name],
      );
      return broken.length;
    },
    { what: `a connection named ${name}` },
  );
}

/** What the service's environment needs so that its threads can be killed; see thread-killer.ts. */
export const KILLABLE_THREADS_ENV = {
  NODE_OPTIONS: `--import=${new URL('thread-killer.ts', import.meta.url).href}`,
};

/** Kills one of the service's threads, and waits until it is dead. */
export async function killThread(service: Program): Promise<void> {
  const before = countKilled(service);
  process.kill(service.pid, 'SIGALRM');
  await until(() => countKilled(service) > before, { what: 'a thread to die' });
}

function countKilled(service: Program): number {
  return service.stdout().split('a thread was killed\n').length - 1;
}
