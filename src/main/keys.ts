// Looks up idempotency keys of requests that were not admitted. While one statement runs, all further keys gather for the
// next, so that a storm of refused requests costs one connection and few statements.
import type { ConnectionPool } from '../db/connect.ts';
import { type KeyHolder, loadKeyHolders } from '../db/intake.ts';

const KEYS_MAX = 1000;

export class KeyLookup {
  readonly #pool: ConnectionPool;
  #waiting = new Map<string, PromiseWithResolvers<KeyHolder | null>>();
  #running = false;

  constructor(pool: ConnectionPool) {
    this.#pool = pool;
  }

  /** What a key names; null if nothing, if it cannot be read, or if too many callers ask at once. */
  async find(key: string): Promise<KeyHolder | null> {
    const known = this.#waiting.get(key);
    if (known) return await known.promise;
    if (this.#waiting.size >= KEYS_MAX) return null;
    const asked = Promise.withResolvers<KeyHolder | null>();
    this.#waiting.set(key, asked);
    if (!this.#running) void this.#run();
    return await asked.promise;
  }

  async #run(): Promise<void> {
    this.#running = true;
    while (this.#waiting.size > 0) {
      const asked = this.#waiting;
      this.#waiting = new Map();
      const holders = await loadKeyHolders(this.#pool, [...asked.keys()]).catch(() => []);
      const byKey = new Map(holders.map((holder) => [holder.key, holder]));
      for (const [key, { resolve }] of asked) resolve(byKey.get(key) ?? null);
    }
    this.#running = false;
  }
}
