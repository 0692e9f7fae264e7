// Whether a connection leads to a database whose tables are distributed by Citus. Some statements have another form there.
import type { Queryable } from './connect.ts';

const distributed = new WeakSet<Queryable>();

export function isDistributed(connection: Queryable): boolean {
  return distributed.has(connection);
}

/** Marks a connection, or whatever runs statements on it. */
export function markDistributed(connection: Queryable): void {
  distributed.add(connection);
}
