// Intake makes transfers durable before their callers are answered. All that arrive while one INSERT runs form the next:
// one statement, one commit, on one connection.
//
// Whoever waits for the end of a transfer is told of it after the commit of its job, which flushes all that was committed before
// it. So an INSERT of nothing but such orders does not wait for the disk: its commit is asynchronous. If the wait ends before
// the transfer does, flush() makes up for it.
//
// Each connection has an intake id of its own, registered in the database and kept alive by a heartbeat. When the
// connection breaks, the next one gets a new id; whatever the old one may have stored without our hearing of it is then
// an orphan, which recovery finds and settles.
import { randomUUIDv7 } from 'node:crypto';
import { connect, type Connection, type DatabaseSettings, type DatabaseTimeouts, disconnect } from '../db/connect.ts';
import { retryAfter, toError } from '../db/errors.ts';
import { beat, forgetIntake, insertPending, type KeyHolder, loadKeyHolders, namedBy } from '../db/intake.ts';
import type { NewTransfer } from '../domain/transfer.ts';
import type { Logger } from '../logger.ts';
import type { Metrics } from './metrics.ts';

/** Under which intake id it was committed asynchronously; null if it is on the database's disk. */
type Unflushed = string | null;

export type Accepted =
  | { readonly result: 'stored'; readonly createdAt: string; readonly unflushed: Unflushed }
  /** The idempotency key named a transfer or group before: this one, if `same`; otherwise the request was another. */
  | { readonly result: 'replayed'; readonly namedId: string; readonly same: boolean; readonly unflushed: Unflushed }
  /** The database refuses to store this transfer, alone. A schema let through what it should not have. */
  | { readonly result: 'broken' }
  /** Not stored. `unknown`: the answer was lost on its way, so it may be stored after all. */
  | { readonly result: 'unavailable'; readonly unknown: boolean };

/** What one request orders: a transfer, or a group of them under at most one idempotency key. */
type Waiting = {
  readonly transfers: readonly NewTransfer[];
  readonly asynchronous: boolean;
  readonly resolve: (accepted: Accepted) => void;
};

const BATCH_MAX = 1000;
const ATTEMPTS_MAX = 3;
const RECONNECT_MS_MIN = 50;
const RECONNECT_MS_MAX = 1000;

export class Intake {
  readonly #database: DatabaseSettings;
  readonly #timeouts: DatabaseTimeouts;
  readonly #metrics: Metrics;
  readonly #logger: Logger;
  #connection: Connection | null = null;
  #intakeId: string = randomUUIDv7();
  #waiting: Waiting[] = [];
  #inserting = false;
  #reconnecting = false;
  #closed = false;

  constructor(options: { database: DatabaseSettings; timeouts: DatabaseTimeouts; metrics: Metrics; logger: Logger }) {
    this.#database = options.database;
    this.#timeouts = options.timeouts;
    this.#metrics = options.metrics;
    this.#logger = options.logger;
  }

  /** Under which transfers are stored now. It changes when the connection does. */
  get intakeId(): string {
    return this.#intakeId;
  }

  /** Whether a transfer could be made durable now, for all that is known. */
  get available(): boolean {
    return this.#connection !== null;
  }

  /** Connects for the first time. Throws if that fails. */
  async open(): Promise<void> {
    await this.#connect();
  }

  /**
   * Stores what one request orders, and resolves when it is stored or cannot be. Never rejects. It is durable then, unless it may
   * be committed asynchronously and was: `unflushed` tells.
   */
  async accept(transfers: readonly NewTransfer[], { asynchronous }: { asynchronous: boolean }): Promise<Accepted> {
    if (!this.#connection && !this.#inserting) return { result: 'unavailable', unknown: false };
    return await new Promise((resolve) => {
      this.#waiting.push({ transfers, asynchronous, resolve });
      if (!this.#inserting) void this.#drain();
    });
  }

  /**
   * Resolves when all that the database had committed before is on its disk, with the intake id of the connection that was used.
   * Whatever was stored under this id is durable then. What was stored under another one is if it is found there afterwards: the
   * database may have crashed in between. Rejects if the database does not answer.
   */
  readonly flush = shareRuns(async (): Promise<string> => {
    if (!this.#connection) throw new Error('Intake has no connection.');
    const intakeId = this.#intakeId;
    await beat(this.#connection, intakeId);
    return intakeId;
  });

  /** Begins anew under another id: after another connection lost the answer to a commit under the present one. */
  async renew(): Promise<void> {
    this.#intakeId = randomUUIDv7();
    if (this.#connection) await beat(this.#connection, this.#intakeId).catch(() => {});
  }

  /** Ends in good order; nothing may be waiting any more. */
  async close(): Promise<void> {
    this.#closed = true;
    if (!this.#connection) return;
    await forgetIntake(this.#connection, this.#intakeId).catch(() => {});
    await disconnect(this.#connection);
    this.#connection = null;
  }

  async #drain(): Promise<void> {
    this.#inserting = true;
    while (this.#waiting.length > 0) {
      const batch = this.#nextBatch();
      const accepted = await this.#store(
        batch.map(({ transfers }) => transfers),
        batch.every(({ asynchronous }) => asynchronous),
      );
      for (const [index, { resolve }] of batch.entries()) {
        resolve(accepted[index] ?? { result: 'unavailable', unknown: true });
      }
    }
    this.#inserting = false;
    if (!this.#connection && !this.#closed) void this.#reconnect();
  }

  #nextBatch(): Waiting[] {
    let count = 0;
    const end = this.#waiting.findIndex(({ transfers }, index) => {
      count += transfers.length;
      return index > 0 && count > BATCH_MAX;
    });
    return this.#waiting.splice(0, end === -1 ? this.#waiting.length : end);
  }

  async #store(requests: readonly (readonly NewTransfer[])[], asynchronous: boolean): Promise<Accepted[]> {
    let sent = false;
    for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt += 1) {
      try {
        const connection = this.#connection ?? (attempt > 1 ? await this.#connect() : null);
        if (!connection) break;
        sent = true;
        return await this.#insert(connection, requests, asynchronous);
      } catch (error) {
        const retry = retryAfter(error);
        this.#logger.warn({ requests: requests.length, attempt, reason: toError(error).message }, 'intake failed');
        if (retry === 'never') return await this.#storeInParts(requests, asynchronous);
        if (retry === 'new connection') await this.#drop();
      }
    }
    return requests.map(() => ({ result: 'unavailable', unknown: sent }));
  }

  /** One request that cannot be stored must not take with it those that arrived at the same time. */
  async #storeInParts(requests: readonly (readonly NewTransfer[])[], asynchronous: boolean): Promise<Accepted[]> {
    if (requests.length === 1) return [{ result: 'broken' }];
    const half = Math.ceil(requests.length / 2);
    return [
      ...(await this.#store(requests.slice(0, half), asynchronous)),
      ...(await this.#store(requests.slice(half), asynchronous)),
    ];
  }

  async #insert(
    connection: Connection,
    requests: readonly (readonly NewTransfer[])[],
    asynchronous: boolean,
  ): Promise<Accepted[]> {
    const startedAt = performance.now();
    const transfers = requests.flat();
    const intakeId = this.#intakeId;
    const { intakeAlive, createdAt } = await insertPending(connection, intakeId, transfers, { asynchronous });
    if (!intakeAlive) {
      // This process was silent for so long that another took it for dead. Nothing was stored; it begins anew.
      await this.renew();
      return await this.#insert(connection, requests, asynchronous);
    }
    const keys = requests.flatMap(([first]) => first?.idempotency?.key ?? []);
    const holders = keys.length === 0 ? [] : await loadKeyHolders(connection, keys);
    this.#metrics.stored(transfers.length, performance.now() - startedAt);
    const byKey = new Map(holders.map((holder) => [holder.key, holder]));
    return requests.map((request) =>
      acceptedOf(request, byKey, { createdAt, unflushed: asynchronous ? intakeId : null }),
    );
  }

  async #connect(): Promise<Connection> {
    const connection = await connect(this.#database, this.#timeouts, {
      applicationName: 'gopherpay intake',
      keyed: true,
    });
    try {
      this.#intakeId = randomUUIDv7();
      await beat(connection, this.#intakeId);
    } catch (error) {
      await disconnect(connection);
      throw error;
    }
    connection.on('end', () => {
      if (this.#connection !== connection || this.#inserting || this.#closed) return;
      this.#connection = null;
      void this.#reconnect();
    });
    this.#connection = connection;
    return connection;
  }

  async #drop(): Promise<void> {
    const broken = this.#connection;
    this.#connection = null;
    if (broken) await disconnect(broken);
  }

  async #reconnect(): Promise<void> {
    if (this.#reconnecting) return;
    this.#reconnecting = true;
    this.#logger.warn('intake has no connection; transfers are refused until it has');
    let delayMs = RECONNECT_MS_MIN;
    while (!this.#connection && !this.#closed) {
      try {
        await this.#connect();
        this.#logger.info('intake is connected again');
      } catch {
        await new Promise((resolve) => setTimeout(resolve, delayMs * (0.5 + Math.random())));
        delayMs = Math.min(RECONNECT_MS_MAX, delayMs * 2);
      }
    }
    this.#reconnecting = false;
  }
}

function acceptedOf(
  [first]: readonly NewTransfer[],
  byKey: ReadonlyMap<string, KeyHolder>,
  { createdAt, unflushed }: { createdAt: string; unflushed: Unflushed },
): Accepted {
  if (first?.idempotency) {
    const holder = byKey.get(first.idempotency.key);
    if (!holder) return { result: 'unavailable', unknown: true };
    if (holder.transferId !== namedBy(first)) {
      const same = holder.fingerprint.equals(first.idempotency.fingerprint);
      return { result: 'replayed', namedId: holder.transferId, same, unflushed };
    }
  }
  return { result: 'stored', createdAt, unflushed };
}

/** Runs `work` once for all who ask before it begins; whoever asks later gets the next run, which begins when this one has ended. */
export function shareRuns<Result>(work: () => Promise<Result>): () => Promise<Result> {
  let running: Promise<unknown> = Promise.resolve();
  let next: Promise<Result> | null = null;
  const runAfter = async (earlier: Promise<unknown>): Promise<Result> => {
    await earlier.catch(() => {});
    next = null;
    const run = work();
    running = run;
    return await run;
  };
  return async () => await (next ??= runAfter(running));
}
