// Short snapshots: read-only transactions on a few connections, each ended before it delays the service.
import { limitReads } from './cursor.ts';
import {
  connect,
  type Connection,
  type DatabaseSettings,
  type DatabaseTimeouts,
  disconnect,
} from '../connection/connect.ts';

export type Snapshots = {
  /** How many may be open at once. */
  readonly jobs: number;
  /** At most so many items in each, such as accounts or transfers. */
  readonly itemsMax: number;
  /** Runs `work` in a snapshot of its own, after `settings`. Throws if it takes too long; isOverrun recognizes that. */
  take<Result>(settings: Settings, work: (connection: Connection) => Promise<Result>): Promise<Result>;
};

/** Settings of a session until the end of its snapshot. */
export type Settings = Readonly<Record<string, string>>;

export type SnapshotLimits = {
  /** At most so many snapshots at once, each on a connection of its own. */
  readonly jobs: number;
  /** No snapshot is longer. */
  readonly snapshotMaxMs: number;
  /** Absent: as many items in each as the time allows. */
  readonly itemsMax?: number;
};

/** Opens connections as they are needed, and closes them at the end of `work`, or when `signal` aborts. */
export async function withSnapshots<Result>(
  database: DatabaseSettings,
  { timeouts, signal }: { timeouts: DatabaseTimeouts; signal: AbortSignal },
  { jobs, snapshotMaxMs, itemsMax = Number.MAX_SAFE_INTEGER }: SnapshotLimits,
  work: (snapshots: Snapshots) => Promise<Result>,
): Promise<Result> {
  const idle: Connection[] = [];
  const all = new Set<Connection>();
  const close = () => {
    for (const connection of all) void disconnect(connection);
  };
  const obtain = async (): Promise<Connection> => {
    const free = idle.pop();
    if (free) return free;
    const connection = await connect(database, timeouts, { applicationName: 'gopherpay audit', readOnly: true });
    all.add(connection);
    return connection;
  };
  const take: Snapshots['take'] = async (settings, inside) => {
    signal.throwIfAborted();
    const connection = await obtain();
    signal.throwIfAborted();
    await connection.query('begin transaction isolation level repeatable read, read only');
    const release = limitReads(connection, performance.now() + snapshotMaxMs);
    try {
      await configure(connection, settings);
      return await inside(connection);
    } finally {
      release();
      // A broken connection is not used again: the error that broke it ends the audit.
      await connection.query('rollback').then(
        () => idle.push(connection),
        () => {},
      );
    }
  };
  signal.addEventListener('abort', close, { once: true });
  try {
    return await work({ jobs, itemsMax, take });
  } finally {
    signal.removeEventListener('abort', close);
    await Promise.all([...all].map(async (connection) => await disconnect(connection)));
  }
}

/** A single snapshot that is open already, such as that of a transaction with rows that are not committed. */
export function oneSnapshot(connection: Connection, itemsMax = Number.MAX_SAFE_INTEGER): Snapshots {
  return {
    jobs: 1,
    itemsMax,
    take: async (settings, work) => {
      await configure(connection, settings);
      return await work(connection);
    },
  };
}

/** Changes settings until the end of the transaction. */
export async function configure(connection: Connection, settings: Settings): Promise<void> {
  await connection.query(
    'select set_config(name, value, true) from unnest($1::text[], $2::text[]) as setting (name, value)',
    [Object.keys(settings), Object.values(settings)],
  );
}
