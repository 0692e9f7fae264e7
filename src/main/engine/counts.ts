// Counts by key, without the keys whose count is 0.

export class Counts<Key> {
  readonly #counts = new Map<Key, number>();

  of(key: Key): number {
    return this.#counts.get(key) ?? 0;
  }

  add(key: Key, change: number): void {
    const count = this.of(key) + change;
    if (count === 0) this.#counts.delete(key);
    else this.#counts.set(key, count);
  }

  atLeast(least: number): Key[] {
    return [...this.#counts].flatMap(([key, count]) => (count >= least ? [key] : []));
  }
}
