// Intake makes transfers durable before their callers are answered. Those of a ledger that arrive while an INSERT runs, or in one
// burst, form one of the next: one statement, one commit, on one connection. Ledgers take turns.
//
// When the answer to an INSERT is lost, the lease is renewed before anything else is stored. After that, the first attempt either
// has stored its transfers, which are visible, or never will. So the second attempt reads first, and stores only missing
// transfers.
import {
  connect,
  type Connection,
  type DatabaseSettings,
  type DatabaseTimeouts,
  disconnect,
  placeOf,
} from '../../db/connection/connect.ts';
import { isCommitAnswerLost, isOfNode, retryPolicyOf, toError } from '../../db/connection/errors.ts';
import { insertPending, type KeyHolder, loadKeyHolders, type StoredRequest } from '../../db/ledger/intake.ts';
import { closeLease, type HeldLease } from '../../db/ledger/leases.ts';
import { loadTransfers } from '../../db/queries/transfers.ts';
import type { Ledger } from '../../domain/ledger.ts';
import type { Logger } from '../../logger.ts';
import type { Lease } from './lease.ts';
import type { Metrics } from './metrics.ts';

export type Accepted =
  /** `late`: the answer took so long that another process may have settled it already. */
  | {
      readonly result: 'stored';
      readonly createdAt: string;
      readonly createdAtMicros: bigint;
      readonly late: boolean;
      /** The statement that stored it together with other requests, on the clock of performance.now(). */
      readonly insert: { readonly startedAt: number; readonly endedAt: number; readonly requests: number };
    }
  /** An earlier attempt, whose answer was lost, has stored it. It may have been settled since. */
  | { readonly result: 'stored_before' }
  /** The idempotency key names an earlier request, the same one or another. */
  | { readonly result: 'replayed'; readonly holder: KeyHolder }
  /** The database refuses to store this request, alone, because a schema accepted an invalid one. */
  | { readonly result: 'poisoned' }
  /** Not stored. `unknown`: the answer was lost, so it may be stored after all. */
  | { readonly result: 'unavailable'; readonly unknown: boolean };

type Batch = { readonly ledger: Ledger; readonly requests: readonly StoredRequest[] };
/** The progress of an attempt: sent to the server, and confirmed as stored. */
type Sending = { sent: boolean; stored: boolean };
type Waiting = { readonly request: StoredRequest; readonly resolve: (accepted: Accepted) => void };
/** The waiting requests of one ledger. */
type Line = { readonly ledger: Ledger; waiting: Waiting[] };

const BATCH_MAX = 1000;
/** For how many iterations of the event loop the first INSERT waits while each of them brings more requests. */
const GATHERING_MAX = 16;
const ATTEMPTS_MAX = 3;
const RECONNECT_MS_MIN = 50;
const RECONNECT_MS_MAX = 1000;

export class Intake {
  readonly #database: DatabaseSettings;
  readonly #timeouts: DatabaseTimeouts;
  readonly #lease: Lease;
  readonly #metrics: Metrics;
  readonly #logger: Logger;
  readonly #lateMs: number;
  readonly #onSuspicion: () => void;
  #connection: Connection | null = null;
  /** By ledger; the first is the next. */
  readonly #lines = new Map<number, Line>();
  /** From the first request until none waits. */
  #draining = false;
  /** The ids whose INSERT is under way. */
  #storing: ReadonlySet<string> = new Set();
  /** Whether an attempt whose answer was lost stored a part of the batch. */
  #foundStored = false;
  #reconnecting = false;
  #closed = false;

  constructor(options: {
    database: DatabaseSettings;
    timeouts: DatabaseTimeouts;
    lease: Lease;
    metrics: Metrics;
    logger: Logger;
    /** The silence after which another process adopts the transfers of this one. */
    orphanedAfterMs: number;
    /** Called when transfers may be pending under the lease that this process does not know of. */
    onSuspicion: () => void;
  }) {
    this.#database = options.database;
    this.#timeouts = options.timeouts;
    this.#lease = options.lease;
    this.#metrics = options.metrics;
    this.#logger = options.logger;
    this.#lateMs = options.orphanedAfterMs / 2;
    this.#onSuspicion = options.onSuspicion;
  }

  /** Whether intake is connected, so that a transfer can probably be made durable. */
  get available(): boolean {
    return this.#connection !== null;
  }

  /** Whether a transfer is being stored, and its caller's request still waits for that. */
  isStoring(id: string): boolean {
    return this.#storing.has(id);
  }

  /** Connects for the first time, and registers the lease. Throws if that fails. */
  async open(): Promise<void> {
    const connection = await this.#openConnection();
    try {
      await this.#lease.open(connection);
    } catch (error) {
      await disconnect(connection);
      throw error;
    }
    this.#use(connection);
  }

  /** Stores the transfers of one request, and resolves when they are durable or cannot be stored. Never rejects. */
  async accept(ledger: Ledger, request: StoredRequest): Promise<Accepted> {
    if (!this.#connection && !this.#draining) return { result: 'unavailable', unknown: false };
    return await new Promise((resolve) => {
      const line = this.#lines.get(ledger.id) ?? { ledger, waiting: [] };
      this.#lines.set(ledger.id, line);
      line.waiting.push({ request, resolve });
      if (!this.#draining) void this.#drain();
    });
  }

  /** Closes intake; no request may be waiting. */
  async close(): Promise<void> {
    this.#closed = true;
    if (!this.#connection) return;
    await closeLease(this.#connection, this.#lease.held.id).catch(() => {});
    await disconnect(this.#connection);
    this.#connection = null;
  }

  async #drain(): Promise<void> {
    this.#draining = true;
    await this.#gather();
    for (let next = this.#nextBatch(); next !== null; next = this.#nextBatch()) {
      const { ledger, batch } = next;
      const requests = batch.map(({ request }) => request);
      this.#storing = new Set(requests.flatMap(({ transfers }) => transfers.map(({ id }) => id)));
      const accepted = await this.#store(ledger, requests);
      this.#storing = new Set();
      for (const [index, { resolve }] of batch.entries()) {
        resolve(accepted[index] ?? { result: 'unavailable', unknown: true });
      }
      if (this.#foundStored) {
        // It is not in progress here: recovery finds its pending transfers.
        this.#foundStored = false;
        this.#lease.suspect();
        this.#onSuspicion();
      }
    }
    this.#draining = false;
    if (!this.#connection && !this.#closed) void this.#reconnect();
  }

  /**
   * Waits for the end of a ledger's burst. Each iteration of the event loop begins only some of its requests, and an INSERT of
   * one takes nearly as long as one of 60, for which the others would wait. Another ledger does not wait for the burst.
   */
  async #gather(): Promise<void> {
    let seen = 0;
    for (let iteration = 0; iteration < GATHERING_MAX; iteration += 1) {
      const [first, other] = this.#lines.values();
      if (!first || other || first.waiting.length === seen) return;
      seen = first.waiting.length;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  #nextBatch(): { ledger: Ledger; batch: Waiting[] } | null {
    const [first] = this.#lines;
    if (!first) return null;
    const [id, line] = first;
    let count = 0;
    const end = line.waiting.findIndex(({ request }, index) => {
      count += request.transfers.length;
      return index > 0 && count > BATCH_MAX;
    });
    const batch = line.waiting.splice(0, end === -1 ? line.waiting.length : end);
    // To the end of the line of ledgers.
    this.#lines.delete(id);
    if (line.waiting.length > 0) this.#lines.set(id, line);
    return { ledger: line.ledger, batch };
  }

  /** `unknown`: whether an earlier, unanswered attempt may have stored them. */
  async #store(ledger: Ledger, requests: readonly StoredRequest[], unknown = false): Promise<Accepted[]> {
    for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt += 1) {
      const sending = { sent: false, stored: false };
      try {
        const connection = this.#connection ?? (attempt > 1 ? await this.#connect() : null);
        if (!connection) break;
        sending.sent = true;
        const batch = { ledger, requests };
        if (unknown) return await this.#storeMissing(connection, batch, sending);
        return await this.#insert(connection, batch, sending);
      } catch (error) {
        const retry = retryPolicyOf(error);
        this.#logger.warn({ requests: requests.length, attempt, reason: toError(error).message }, 'intake failed');
        if (retry === 'never' && !sending.stored) return await this.#storeInParts(ledger, requests, unknown);
        unknown ||= sending.stored || (sending.sent && isCommitAnswerLost(error));
        this.#foundStored ||= sending.stored;
        if (retry === 'new connection') await this.#leave(error);
      }
    }
    // If the request was stored after all, recovery finds it under the lease. So it no longer counts as being stored.
    this.#foundStored ||= unknown;
    return requests.map(() => ({ result: 'unavailable', unknown }));
  }

  /** Stores the transfers that an earlier attempt did not store, after the lease has been renewed. */
  async #storeMissing(connection: Connection, { ledger, requests }: Batch, sending: Sending): Promise<Accepted[]> {
    await this.#enter(connection, ledger);
    const found = await loadTransfers(
      connection,
      ledger,
      requests.flatMap(({ transfers }) => transfers.map(({ id }) => id)),
    );
    const ids = new Set(found.map(({ id }) => id));
    const isStored = ({ transfers: [first] }: StoredRequest): boolean => first !== undefined && ids.has(first.id);
    const missing = requests.filter((request) => !isStored(request));
    if (missing.length < requests.length) this.#foundStored = true;
    const inserted = missing.length > 0 ? await this.#insert(connection, { ledger, requests: missing }, sending) : [];
    const accepted = inserted.values();
    return requests.map((request) =>
      isStored(request)
        ? { result: 'stored_before' }
        : (accepted.next().value ?? { result: 'unavailable', unknown: true }),
    );
  }

  /** A request that cannot be stored must not fail those that arrived at the same time. */
  async #storeInParts(ledger: Ledger, requests: readonly StoredRequest[], unknown: boolean): Promise<Accepted[]> {
    this.#foundStored ||= unknown;
    if (requests.length === 1) return [unknown ? { result: 'unavailable', unknown } : { result: 'poisoned' }];
    const half = Math.ceil(requests.length / 2);
    return [
      ...(await this.#store(ledger, requests.slice(0, half), unknown)),
      ...(await this.#store(ledger, requests.slice(half), unknown)),
    ];
  }

  /** The lease with which transfers of a ledger may be stored. */
  async #enter(connection: Connection, ledger: Ledger): Promise<HeldLease> {
    const { held } = this.#lease;
    if (await this.#lease.enter(connection, ledger, held)) return held;
    await this.#lease.renew(connection, held);
    return await this.#enter(connection, ledger);
  }

  async #insert(connection: Connection, batch: Batch, sending: Sending): Promise<Accepted[]> {
    const startedAt = performance.now();
    const { ledger, requests } = batch;
    const held = await this.#enter(connection, ledger);
    const inserted = await insertPending(connection, { ledger, lease: held }, requests);
    if (!inserted.leaseHeld) {
      // Nothing was stored: another process has taken over the lease, or the lease was renewed meanwhile.
      await this.#lease.renew(connection, held);
      return await this.#insert(connection, batch, sending);
    }
    sending.stored = true;
    const insert = { startedAt, endedAt: performance.now(), requests: requests.length };
    const keys = requests.flatMap(({ idempotency }) => idempotency?.key ?? []);
    const holders = keys.length === 0 ? [] : await loadKeyHolders(connection, ledger, keys);
    const count = requests.reduce((sum, { transfers }) => sum + transfers.length, 0);
    this.#metrics.stored(count, performance.now() - startedAt);
    const byKey = new Map(holders.map((holder) => [holder.key, holder]));
    const late = performance.now() - startedAt > this.#lateMs;
    const { createdAt, createdAtMicros } = inserted;
    const stored = { result: 'stored', createdAt, createdAtMicros, late, insert } as const;
    return requests.map((request) => acceptedOf(request, byKey, stored));
  }

  /** Reconnects. An answer on the previous connection may be lost, so the lease is renewed. */
  async #connect(): Promise<Connection> {
    const connection = await this.#openConnection();
    try {
      this.#lease.suspect();
      await this.#lease.renew(connection, this.#lease.held);
    } catch (error) {
      await disconnect(connection);
      throw error;
    }
    if (this.#closed) {
      await closeLease(connection, this.#lease.held.id).catch(() => {});
      await disconnect(connection);
      throw new Error('Intake was closed while it connected.');
    }
    this.#use(connection);
    this.#onSuspicion();
    return connection;
  }

  async #openConnection(): Promise<Connection> {
    return await connect(this.#database, this.#timeouts, { applicationName: 'gopherpay intake', keyed: true });
  }

  #use(connection: Connection): void {
    connection.on('end', () => {
      if (this.#connection !== connection || this.#draining || this.#closed) return;
      this.#connection = null;
      void this.#reconnect();
    });
    this.#connection = connection;
  }

  /**
   * Begins a new session of the lease, on a new connection. After trouble of one node the connection is kept, so that
   * ledgers on other nodes do not wait.
   */
  async #leave(error: unknown): Promise<void> {
    if (!this.#connection || !isOfNode(error)) return await this.#drop();
    this.#lease.suspect();
    try {
      await this.#lease.renew(this.#connection, this.#lease.held);
    } catch {
      await this.#drop();
    }
  }

  async #drop(): Promise<void> {
    const broken = this.#connection;
    this.#connection = null;
    if (broken) await disconnect(broken);
  }

  async #reconnect(): Promise<void> {
    if (this.#reconnecting) return;
    this.#reconnecting = true;
    this.#logger.warn({ host: placeOf(this.#database).host }, 'intake disconnected');
    let delayMs = RECONNECT_MS_MIN;
    let reported = '';
    while (!this.#connection && !this.#closed) {
      try {
        await this.#connect();
        this.#logger.info({ host: placeOf(this.#database).host }, 'intake reconnected');
      } catch (error) {
        const reason = toError(error).message;
        // A persistent error is logged once, not repeatedly while the database is unreachable.
        if (reason !== reported) this.#logger.warn({ reason }, 'intake reconnect failed');
        reported = reason;
        await new Promise((resolve) => setTimeout(resolve, delayMs * (0.5 + Math.random())));
        delayMs = Math.min(RECONNECT_MS_MAX, delayMs * 2);
      }
    }
    this.#reconnecting = false;
  }
}

function acceptedOf(
  { idempotency, namedId }: StoredRequest,
  byKey: ReadonlyMap<string, KeyHolder>,
  stored: Extract<Accepted, { result: 'stored' }>,
): Accepted {
  if (!idempotency) return stored;
  const holder = byKey.get(idempotency.key);
  if (!holder) return { result: 'unavailable', unknown: true };
  return holder.transferId === namedId ? stored : { result: 'replayed', holder };
}
