// Checks a property on random values that can be repeated.
import { assert, type IProperty } from 'fast-check';

/**
 * The seed is new each time, and printed: run again with FAST_CHECK_SEED and FAST_CHECK_PATH set to the values of a
 * failure.
 */
export function checkProperty<Values>(
  t: { diagnostic: (message: string) => void },
  property: IProperty<Values>,
  numRuns: number,
): void {
  const seed = Number(process.env['FAST_CHECK_SEED'] ?? Date.now() % 2 ** 31);
  const path = process.env['FAST_CHECK_PATH'];
  t.diagnostic(`FAST_CHECK_SEED=${seed}`);
  assert(property, { seed, numRuns, ...(path === undefined ? {} : { path }) });
}
