// Transactions. One exists only once the server has answered BEGIN, so no statement can be sent together with BEGIN: if the
// server canceled such a BEGIN alone, the statements behind it would take effect by themselves, outside any transaction.
import type { ConnectionPool, Queryable } from './connect.ts';
import { isAnswerLost, isCommitAnswerLost, toError } from './errors.ts';

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
/** What changes something as a part of a query. A lock is written `for update` or `for no key update`. */
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

  /** Resolves when the transaction is open on the server. Throws the server's error; nothing was begun then. */
  static async begin(connection: Queryable): Promise<Transaction> {
    await connection.query('begin');
    return new Transaction(connection);
  }

  /**
   * Begins, and sends what `send` loads in the same round trip. It changes nothing, so it does no harm if the server cancels BEGIN alone
   * and runs it by itself. Throws the first error, or a BeginFailedError; nothing was begun then.
   */
  static async beginWith<Sent extends readonly Promise<unknown>[] | []>(
    connection: Queryable,
    send: (load: Load) => Sent,
  ): Promise<{ transaction: Transaction; loaded: { -readonly [Index in keyof Sent]: Awaited<Sent[Index]> } }> {
    const begun = connection.query('begin');
    const load = async <Row extends unknown[]>({ name, text }: LockingStatement, values: unknown[]): Promise<Row[]> =>
      (await connection.query<Row>({ name, text, values, rowMode: 'array' })).rows;
    const sent = send(load);
    try {
      await allSent([begun, ...sent]);
      return { transaction: new Transaction(connection), loaded: await allSent(sent) };
    } catch (error) {
      // BEGIN itself may have been answered.
      if (!(await new Transaction(connection).rollback())) throw new BeginFailedError(toError(error));
      throw error;
    }
  }

  /** Commits, pipelined behind `sent`. Throws the first error; unless it is a CommitUnknownError, nothing took effect. */
  async commit(sent: readonly Promise<unknown>[] = []): Promise<void> {
    const commit = this.connection.query('commit').catch((error: unknown) => {
      if (!isCommitAnswerLost(error)) throw error;
      throw new CommitUnknownError(`The answer to a commit was lost: ${toError(error).message}`, { cause: error });
    });
    try {
      await allSent([...sent, commit]);
    } catch (error) {
      // Where the connection broke, the first statement without an answer says nothing of the commit behind it.
      if (isAnswerLost(error)) await commit;
      throw error;
    }
    const { command } = await commit;
    // A COMMIT in a failed transaction does not fail: it answers ROLLBACK.
    if (command !== 'COMMIT') throw new Error(`The transaction was not committed: its end answered ${command}.`);
  }

  /** Rolls back. False if the server did not confirm it: the connection must not be used again then. */
  async rollback(): Promise<boolean> {
    return await this.connection.query('rollback').then(
      () => true,
      () => false,
    );
  }
}

/**
 * Awaits statements that were sent together. Throws the error of the first that failed, which is the cause of the others;
 * where several errors come in one packet, that of the first need not be received first.
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
    usable = (await transaction?.rollback()) ?? false;
    throw error;
  } finally {
    // A connection whose transaction may still be open is closed, not returned.
    client.release(!usable);
  }
}
