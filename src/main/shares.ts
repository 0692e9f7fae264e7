// Divides a bounded resource between callers, so that no caller can take all of it. A caller is a network address, or
// a ledger.

/**
 * For resources that callers hold for long. With 50 percent, a caller may take one more while it holds fewer than are
 * free. Then one caller gets half, two get a third each, three a quarter each, and one is always free for the next
 * caller.
 */
export class Shares {
  readonly #total: number;
  readonly #ratio: number;
  readonly #held = new Map<string, number>();
  #free: number;

  /** `total`: the size of the resource. `percent`: how much of it one caller may hold; 100 sets no limit. */
  constructor({ total, percent }: { total: number; percent: number }) {
    this.#total = total;
    this.#free = total;
    this.#ratio = ratioOf(percent);
  }

  get used(): number {
    return this.#total - this.#free;
  }

  get free(): number {
    return this.#free;
  }

  /** Takes one unit for a caller, or returns false. `unlimited`: it may take the last one. */
  tryTake(caller: string, { unlimited = false } = {}): boolean {
    const held = this.#held.get(caller) ?? 0;
    if (this.#free <= 0 || (!unlimited && held >= this.#free * this.#ratio)) return false;
    this.#free -= 1;
    this.#held.set(caller, held + 1);
    return true;
  }

  /** Releases one unit of a caller. */
  release(caller: string): void {
    this.#free += 1;
    const held = (this.#held.get(caller) ?? 0) - 1;
    if (held > 0) this.#held.set(caller, held);
    else this.#held.delete(caller);
  }
}

/** How many units a caller may hold per free unit. */
export function ratioOf(percent: number): number {
  return percent / (100 - percent);
}

/**
 * The caller at an address; for IPv6 its first 64 bits, because a network has all addresses that share them. Callers
 * behind one proxy count as one.
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
