// Money is a bigint of minor units (cents, yen), never a float.

/** The largest amount or balance, in minor units: 2^53 − 1, so that every figure is exact in any JSON reader. */
export const MONEY_MAX = 9_007_199_254_740_991n;

/** Whether a balance (minor units, may be negative) is within ±MONEY_MAX. */
export function isExact(balance: bigint): boolean {
  return balance <= MONEY_MAX && balance >= -MONEY_MAX;
}
