// Repeatable randomness: each test prints its seed, and STRESS_SEED repeats its draws. The orders are then the same;
// how callers and threads interleave is not.
import { randomInt } from 'node:crypto';
import type { TestContext } from 'node:test';
import { seeded } from '../../src/load/random.ts';

export type Random = {
  /** A whole number from `min` to `max`, both included. */
  whole: (min: number, max: number) => number;
  /** One of the items. */
  pick: <Item>(items: readonly Item[]) => Item;
  /** Two items that are not the same one. */
  pickTwo: <Item>(items: readonly Item[]) => [Item, Item];
};

/** Chance for one test, from STRESS_SEED if that is set. */
export function drawFor(t: TestContext): Random {
  const requested = process.env['STRESS_SEED'];
  const seed = requested === undefined || requested === '' ? randomInt(2 ** 32) : Number(requested);
  if (!Number.isInteger(seed) || seed < 0 || seed >= 2 ** 32) {
    throw new Error(`STRESS_SEED is "${requested}": set it to a whole number below ${2 ** 32}.`);
  }
  t.diagnostic(`to draw the same again: STRESS_SEED=${seed}`);
  return drawFrom(seed);
}

/** Chance from a seed, a whole number below 2^32. */
export function drawFrom(seed: number): Random {
  const next = seeded(seed);
  const whole = (min: number, max: number): number => min + Math.floor(next() * (max - min + 1));
  const pick = <Item>(items: readonly Item[]): Item => {
    const item = items[whole(0, items.length - 1)];
    if (item === undefined) throw new Error('There is nothing to pick from.');
    return item;
  };
  return {
    whole,
    pick,
    pickTwo: (items) => {
      const first = pick(items);
      return [first, pick(items.filter((item) => item !== first))];
    },
  };
}
