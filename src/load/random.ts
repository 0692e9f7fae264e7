// Reproducible random numbers: the same seed gives the same load.

/** Numbers from 0 to below 1, by mulberry32 (Tommy Ettinger's 32-bit generator; public domain). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * Picks from 0 to `count` − 1: uniformly if the skew is 0, otherwise by Zipf's law with that exponent (1: the second
 * account is picked half as often as the first one, the third a third as often).
 */
export function createPicker(count: number, skew: number, random: () => number): () => number {
  if (skew === 0) return () => Math.floor(random() * count);
  const cumulative = new Float64Array(count);
  let sum = 0;
  for (let index = 0; index < count; index += 1) {
    sum += (index + 1) ** -skew;
    cumulative[index] = sum;
  }
  return () => {
    const wanted = random() * sum;
    let [low, high] = [0, count - 1];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((cumulative[middle] ?? sum) < wanted) low = middle + 1;
      else high = middle;
    }
    return low;
  };
}

/** How often each item is picked, as a share of all picks. */
export function sharesOf(count: number, skew: number): (index: number) => number {
  let sum = 0;
  for (let index = 0; index < count; index += 1) sum += (index + 1) ** -skew;
  return (index) => (index + 1) ** -skew / sum;
}
