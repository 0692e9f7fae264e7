// Looks up idempotency keys of requests that were not admitted. While one statement runs, all further keys gather for the
// next, so that a storm of refused requests costs one connection and few statements.
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

  /** What a key of a ledger names; null if nothing, if it cannot be read, or if too many callers ask at once. */
  async find(ledger: Ledger, key: string): Promise<KeyHolder | null> {
    const name = `${ledger.id} ${key}`;
    const known = this.#waiting.get(name);
    if (known) return await known.promise;
    if (this.#waiting.size >= KEYS_MAX) return null;
    const asked = { ...Promise.withResolvers<KeyHolder | null>(), ledger, key };
    this.#waiting.set(name, asked);
    if (!this.#running) void this.#run();
    return await asked.promise;
  }

  async #run(): Promise<void> {
    this.#running = true;
    while (this.#waiting.size > 0) {
      const waiting = [...this.#waiting.values()];
      this.#waiting = new Map();
      for (const asked of Map.groupBy(waiting, ({ ledger }) => ledger.id).values()) await this.#find(asked);
    }
    this.#running = false;
  }

  async #find(asked: readonly Asked[]): Promise<void> {
    const [first] = asked;
    if (!first) return;
    const keys = asked.map(({ key }) => key);
    const holders = await loadKeyHolders(this.#pool, first.ledger, keys).catch(() => []);
    const byKey = new Map(holders.map((holder) => [holder.key, holder]));
    for (const { key, resolve } of asked) resolve(byKey.get(key) ?? null);
  }
}
