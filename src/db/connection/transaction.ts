// Transactions. A transaction exists only once the server has answered BEGIN, so no statement that changes anything is
// sent together with BEGIN. If the server canceled only the BEGIN, such a statement would take effect outside any
// transaction.
import { closeBatch } from './batch.ts';
import type { ConnectionPool, Queryable } from './connect.ts';
import { isAnswerLost, isCommitAnswerLost, isReadOnlyServer, toError } from './errors.ts';

/** The answer to a commit was lost: whether the transaction took effect is unknown. */
export class CommitUnknownError extends Error {}

/** The connection must not be used again: a transaction that was begun on it could not be rolled back. */
export class BeginFailedError extends Error {
  constructor(cause: Error) {
    super(cause.message, { cause });
  }
}

/** A statement that reads and locks, and changes nothing. */
export type LockingStatement = { readonly name: string; readonly text: string };

/** Sends a statement, and returns its rows as arrays. */
export type Load = <Row extends unknown[]>(statement: LockingStatement, values: unknown[]) => Promise<Row[]>;

/** A query. Other statements change something, or end the transaction. */
const QUERY = /^\s*(select|with)\b[^;]*$/i;
/** A change within a query. A lock is written `for update` or `for no key update`. */
const CHANGE =
  /(?<!for |no key )\b(insert|update|delete|merge|into|nextval|setval|set_config|pg_notify|pg_advisory_lock|pg_try_advisory_lock)\b/i;

/** Declares a statement that may be sent together with BEGIN. Throws a TypeError if it could change anything. */
export function lockingStatement(name: string, text: string): LockingStatement {
  if (!QUERY.test(text) || CHANGE.test(text))
    throw new TypeError(`The statement '${name}' may change something, so it must not be sent with BEGIN.`);
  return { name, text };
}

/** An open transaction on a connection, which may pipeline. */
export class Transaction {
  /** Statements on it belong to the transaction. If one fails, all after it fail with 25P02. */
  readonly connection: Queryable;

  private constructor(connection: Queryable) {
    this.connection = connection;
  }

  /** Resolves when the transaction is open on the server. Throws the server's error; then nothing was begun. */
  static async begin(connection: Queryable): Promise<Transaction> {
    await connection.query('begin');
    return new Transaction(connection);
  }

  /**
   * Begins, and sends the statements of `send` in the same round trip. They change nothing, so they are harmless if the
   * server cancels only the BEGIN. Throws the first error, or a BeginFailedError; then nothing was begun.
   */
  static async beginWith<Sent extends readonly Promise<unknown>[] | []>(
    connection: Queryable,
    send: (load: Load) => Sent,
  ): Promise<{ transaction: Transaction; loaded: { -readonly [Index in keyof Sent]: Awaited<Sent[Index]> } }> {
    const begun = connection.query('begin');
    const load = async <Row extends unknown[]>({ name, text }: LockingStatement, values: unknown[]): Promise<Row[]> =>
      (await connection.query<Row>({ name, text, values, rowMode: 'array' })).rows;
    const sent = send(load);
    // At once: the server works while the caller does more in this turn.
    closeBatch(connection);
    try {
      await allSent([begun, ...sent]);
      return { transaction: new Transaction(connection), loaded: await allSent(sent) };
    } catch (error) {
      // BEGIN itself may have been answered.
      if (!(await new Transaction(connection).rollback())) throw new BeginFailedError(toError(error));
      throw error;
    }
  }

  /**
   * Commits, pipelined behind `sent`. Throws the first error; unless it is a CommitUnknownError, nothing took effect.
   */
  async commit(sent: readonly Promise<unknown>[] = []): Promise<void> {
    const commit = this.connection.query('commit').catch((error: unknown) => {
      if (!isCommitAnswerLost(error)) throw error;
      throw new CommitUnknownError(`The answer to a commit was lost: ${toError(error).message}`, { cause: error });
    });
    try {
      await allSent([...sent, commit]);
    } catch (error) {
      // On a broken connection, the first unanswered statement does not tell whether the later commit took effect.
      if (isAnswerLost(error)) await commit.catch(throwIfUnknown);
      throw error;
    }
    const { command } = await commit;
    // A COMMIT in a failed transaction does not fail: it answers ROLLBACK.
    if (command !== 'COMMIT') throw new Error(`The transaction was not committed: its end answered ${command}.`);
  }

  /** Rolls back. Returns false if the server did not confirm it: then the connection must not be used again. */
  async rollback(): Promise<boolean> {
    return await this.connection.query('rollback').then(
      () => true,
      () => false,
    );
  }
}

/** A commit that the server skipped has the error of the statement before it. */
function throwIfUnknown(error: unknown): void {
  if (error instanceof CommitUnknownError) throw error;
}

/**
 * Awaits statements that were sent together. Throws the error of the first that failed, which caused the others. If
 * several errors come in one packet, the first one is not necessarily received first.
 */
export async function allSent<Sent extends readonly Promise<unknown>[] | []>(
  sent: Sent,
): Promise<{ -readonly [Index in keyof Sent]: Awaited<Sent[Index]> }> {
  try {
    return await Promise.all(sent);
  } catch (error) {
    const ends = await Promise.allSettled(sent);
    const [cause = error] = ends.flatMap((end): unknown[] => (end.status === 'rejected' ? [end.reason] : []));
    throw cause;
  }
}

/**
 * Runs `work` in a transaction on a connection of the pool: commits when it returns, rolls back when it throws. Throws
 * CommitUnknownError if the answer to the commit was lost.
 */
export async function withTransaction<Result>(
  pool: ConnectionPool,
  work: (connection: Queryable) => Promise<Result>,
): Promise<Result> {
  const client = await pool.connect();
  let usable = false;
  let transaction: Transaction | undefined;
  try {
    transaction = await Transaction.begin(client);
    const result = await work(transaction.connection);
    await transaction.commit();
    usable = true;
    return result;
  } catch (error) {
    // A server that has become read-only takes no other transaction either.
    usable = ((await transaction?.rollback()) ?? false) && !isReadOnlyServer(error);
    throw error;
  } finally {
    // A connection whose transaction may still be open is closed, not returned.
    client.release(!usable);
  }
}
