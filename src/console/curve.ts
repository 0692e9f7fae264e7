// The balance of an account over time, from its entries. Pure, so that tests need no browser.
import { microsOf } from './format.ts';
import type { Entry } from './wire.ts';

export type Curve = {
  /** Seconds since 1970, ascending. */
  readonly times: readonly number[];
  /** The balance from that time on. */
  readonly balances: readonly number[];
};

/** Entries of a period, and whether they are all of them. */
export type History = {
  /** The newest first, as the service lists them. */
  readonly entries: readonly Entry[];
  readonly isWhole: boolean;
};

/**
 * The steps of a balance up to `until`. If all entries of the period are there, the curve begins at `since` with the
 * balance before the first of them; otherwise it begins with the oldest entry.
 */
export function curveOf(
  { entries, isWhole }: History,
  { balance, since, until }: { balance: number; since: string; until: string },
): Curve {
  const times: number[] = [];
  const balances: number[] = [];
  const add = (at: string, balance: number): void => {
    const seconds = microsOf(at) / 1_000_000;
    // Entries of one instant are one step, to the balance after the last of them.
    if (times.at(-1) === seconds) balances[balances.length - 1] = balance;
    else {
      times.push(seconds);
      balances.push(balance);
    }
  };
  const oldest = entries.at(-1);
  if (isWhole) add(since, oldest ? oldest.balance - oldest.amount : balance);
  for (const entry of entries.toReversed()) add(entry.settled_at, entry.balance);
  const last = times.at(-1);
  // The latest entry may be newer than the reading of the clock.
  if (last !== undefined && last < microsOf(until) / 1_000_000) add(until, balances.at(-1) ?? balance);
  return { times, balances };
}
