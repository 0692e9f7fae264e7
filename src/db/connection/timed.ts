// A connection that notes when each statement was sent and answered.
import { closeBatch } from './batch.ts';
import type { Queryable } from './connect.ts';
import { isDistributed, markDistributed } from './distributed.ts';
import { sqlStateOf, toError } from './errors.ts';

/** A statement by its name, or a command such as `commit`; never its values. Times are of performance.now(). */
export type StatementTiming = {
  readonly name: string;
  readonly startedAt: number;
  readonly endedAt: number;
  /** The SQLSTATE with which it failed, or the name of the error; null: it did not fail. */
  readonly failure: string | null;
};

/** `note` is called with each statement on the returned connection when it has been answered, or has failed. */
export function timed(connection: Queryable, note: (timing: StatementTiming) => void): Queryable {
  const query = new Proxy(connection.query.bind(connection), {
    apply(target, self, sent: unknown[]) {
      const startedAt = performance.now();
      const answer: unknown = Reflect.apply(target, self, sent);
      // In a batch, all would be answered at once.
      closeBatch(connection);
      const end = (failure: string | null): void =>
        note({ name: nameOf(sent[0]), startedAt, endedAt: performance.now(), failure });
      if (answer instanceof Promise) {
        answer.then(
          () => end(null),
          (error: unknown) => end(sqlStateOf(error) ?? toError(error).name),
        );
      }
      return answer;
    },
  });
  const noting = { query };
  if (isDistributed(connection)) markDistributed(noting);
  return noting;
}

function nameOf(statement: unknown): string {
  if (typeof statement === 'string') return statement.split(' ', 1).join();
  const isNamed = typeof statement === 'object' && statement !== null && 'name' in statement;
  return isNamed ? String(statement.name) : 'statement';
}
