// Looks up idempotency keys of requests that were not admitted. While one statement runs, further keys gather for the
// next one. So a storm of refused requests costs one connection and few statements.
import type { ConnectionPool } from '../../db/connection/connect.ts';
import { type KeyHolder, loadKeyHolders } from '../../db/ledger/intake.ts';
import type { Ledger } from '../../domain/ledger.ts';

const KEYS_MAX = 1000;

type Asked = PromiseWithResolvers<KeyHolder | null> & { readonly ledger: Ledger; readonly key: string };

export class KeyLookup {
  readonly #pool: ConnectionPool;
  /** By ledger and key. */
  #waiting = new Map<string, Asked>();
  #running = false;

  constructor(pool: ConnectionPool) {
    this.#pool = pool;
  }

  /** The holder of a ledger's key. Null if there is none, if it cannot be read, or if too many callers ask at once. */
  async find(ledger: Ledger, key: string): Promise<KeyHolder | null> {
    const name = `${ledger.id} ${key}`;
    const known = this.#waiting.get(name);
    if (known) return await known.promise;
    if (this.#waiting.size >= KEYS_MAX) return null;
    const requested = { ...Promise.withResolvers<KeyHolder | null>(), ledger, key };
    this.#waiting.set(name, requested);
    if (!this.#running) void this.#run();
    return await requested.promise;
  }

  async #run(): Promise<void> {
    this.#running = true;
    while (this.#waiting.size > 0) {
      const waiting = [...this.#waiting.values()];
      this.#waiting = new Map();
      for (const requested of Map.groupBy(waiting, ({ ledger }) => ledger.id).values()) await this.#find(requested);
    }
    this.#running = false;
  }

  async #find(requested: readonly Asked[]): Promise<void> {
    const [first] = requested;
    if (!first) return;
    const keys = requested.map(({ key }) => key);
    const holders = await loadKeyHolders(this.#pool, first.ledger, keys).catch(() => []);
    const byKey = new Map(holders.map((holder) => [holder.key, holder]));
    for (const { key, resolve } of requested) resolve(byKey.get(key) ?? null);
  }
}
