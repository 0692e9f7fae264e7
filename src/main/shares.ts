// Divides a bounded resource between callers, so that one of them cannot take all of it. A caller is a network address.

/**
 * For what is held for long. A caller may take one more while it holds less than its share of what is left: with 50 percent, less than
 * what is free. One caller gets half then, two get a third each, three a quarter each, and there is always something for the next.
 */
export class Shares {
  readonly #ratio: number;
  readonly #held = new Map<string, number>();
  #free: number;

  /** `total`: how much there is. `percent`: how much of it one caller may hold; 100 sets no limit. */
  constructor({ total, percent }: { total: number; percent: number }) {
    this.#free = total;
    this.#ratio = ratioOf(percent);
  }

  get free(): number {
    return this.#free;
  }

  /** Takes one for a caller, or nothing and returns false. */
  tryTake(caller: string): boolean {
    const held = this.#held.get(caller) ?? 0;
    if (this.#free <= 0 || held >= this.#free * this.#ratio) return false;
    this.#free -= 1;
    this.#held.set(caller, held + 1);
    return true;
  }

  /** Gives one back that a caller took. */
  release(caller: string): void {
    this.#free += 1;
    const held = (this.#held.get(caller) ?? 0) - 1;
    if (held > 0) this.#held.set(caller, held);
    else this.#held.delete(caller);
  }
}

/** How much a caller may hold for each that is free. */
export function ratioOf(percent: number): number {
  return percent / (100 - percent);
}

/**
 * The caller at an address. Of IPv6, the first 64 bits: one caller has all addresses that share them. Behind a proxy that does not
 * pass addresses on, all callers are one.
 */
export function callerOf(address: string | undefined): string {
  if (address === undefined) return '';
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  if (!address.includes(':')) return address;
  const [before = '', after] = address.split('::');
  const groups = before === '' ? [] : before.split(':');
  if (after !== undefined) {
    const tail = after === '' ? [] : after.split(':');
    while (groups.length + tail.length < 8) groups.push('0');
    groups.push(...tail);
  }
  return `${groups.slice(0, 4).join(':')}::/64`;
}
