// Records the statements of the service while the functions of src/db run.
import { z } from 'zod';
import { connect, type Connection, createPool, disconnect, READING_TIMEOUTS } from '../../src/db/connection/connect.ts';
import { markDistributed } from '../../src/db/connection/distributed.ts';
import { onEnd, type Scope } from '../support/cleanup.ts';
import type { TestDatabase } from '../support/database.ts';
import { type Sender, SENDERS, type Sent } from './sent-statements.ts';

const TRANSACTION = /^(begin|commit|rollback)\b/;

export async function open(
  scope: Scope,
  database: TestDatabase,
  options: { keyed?: boolean; pipeline?: boolean },
): Promise<Connection> {
  const connection = await connect(database.settings, READING_TIMEOUTS, { applicationName: 'test', ...options });
  onEnd(scope, async () => await disconnect(connection));
  return connection;
}

type Note = (text: string, name: string | undefined, values: readonly unknown[]) => void;

const query = z.union([
  z.string().transform((text) => ({ text, name: undefined, values: undefined })),
  z.object({ text: z.string(), name: z.string().optional(), values: z.array(z.unknown()).optional() }),
]);

/** The same connection, which records the sent statements. */
export function record<Client extends Pick<Connection, 'query'>>(client: Client, note: Note): Client {
  return new Proxy(client, {
    get: (target, property) => {
      if (property !== 'query') return Reflect.get(target, property);
      return (...args: unknown[]): unknown => {
        const { text, name, values } = query.parse(args[0]);
        note(text, name, values ?? z.array(z.unknown()).parse(args[1] ?? []));
        return Reflect.apply(target.query, target, args);
      };
    },
  });
}

/** What each sender sends. `distributed`: as to a database whose tables are distributed by Citus. */
export async function recordAll(
  scope: Scope,
  database: TestDatabase,
  { distributed = false }: { distributed?: boolean } = {},
): Promise<Map<Sender, Sent[]>> {
  const connection = await open(scope, database, { pipeline: true });
  const pool = createPool(database.settings, READING_TIMEOUTS, 1);
  onEnd(scope, async () => await pool.end());
  const all = new Map<Sender, Sent[]>();
  const mark = <Client extends Pick<Connection, 'query'>>(client: Client): Client => {
    if (distributed) markDistributed(client);
    return client;
  };
  for (const sender of SENDERS) {
    const sent: Sent[] = [];
    const note: Note = (text, name, values) => {
      if (TRANSACTION.test(text) || sent.some((other) => other.text === text)) return;
      sent.push({ name: name ?? sender.what, text, values, named: name !== undefined });
    };
    const recordingPool = new Proxy(pool, {
      get: (target, property) =>
        property === 'connect' ? async () => mark(record(await target.connect(), note)) : Reflect.get(target, property),
    });
    await sender.send(mark(record(connection, note)), recordingPool);
    all.set(sender, sent);
  }
  return all;
}
