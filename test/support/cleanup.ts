// Undoes what a test acquired. node:test runs its own `after` hooks in the order in which they were registered, which would
// drop a database before the service that uses it is stopped; these run last in, first out.
import type { SuiteContext } from 'node:test';

type Cleanup = () => void | Promise<void>;

/**
 * What a cleanup belongs to: a test's `t`, the context of a `before` hook, which lasts for the whole file, or anything
 * else that runs one function when it ends.
 */
export type Scope = { after: (cleanup: () => Promise<void>) => void } | SuiteContext;

const cleanups = new WeakMap<Scope, Cleanup[]>();

/** Registers `cleanup` to run when the scope ends, before everything registered earlier. Each runs, also if another fails. */
export function onEnd(scope: Scope, cleanup: Cleanup): void {
  const known = cleanups.get(scope);
  if (known) {
    known.push(cleanup);
    return;
  }
  if (!('after' in scope)) {
    throw new Error(
      'A suite has no end to clean up at: acquire this in a test, or in a before hook outside any suite.',
    );
  }
  const stack = [cleanup];
  cleanups.set(scope, stack);
  scope.after(async () => {
    const failures: unknown[] = [];
    for (let next = stack.pop(); next; next = stack.pop()) {
      try {
        await next();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw new AggregateError(failures, `Cleaning up failed: ${failures.join('; ')}`);
  });
}
