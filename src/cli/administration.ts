// Commands that change who may do what: their connection to the database, and how the audit log names their user.
import { userInfo } from 'node:os';
import type { Config } from '../config.ts';
import type { Queryable } from '../db/connection/connect.ts';
import { Transaction } from '../db/connection/transaction.ts';
import { INSUFFICIENT_PRIVILEGE, sqlStateOf } from '../db/connection/errors.ts';
import { CommandError, EXIT, withConnection, withDatabase } from './command.ts';

/** Who runs the command, as the audit log names it. */
export const ACTOR = `cli:${userInfo().username}`;

/** Runs `work` in a transaction, as the owner of the database. */
export async function administer<Result>(
  config: Config,
  signal: AbortSignal,
  work: (connection: Queryable) => Promise<Result>,
): Promise<Result> {
  return await connectAsOwner(config, signal, async (connection) => {
    const transaction = await Transaction.begin(connection);
    const result = await work(transaction.connection);
    await transaction.commit();
    return result;
  });
}

/** Runs `work` as the owner of the database. */
export async function connectAsOwner<Result>(
  config: Config,
  signal: AbortSignal,
  work: (connection: Queryable) => Promise<Result>,
): Promise<Result> {
  const settings = {
    timeouts: config.databaseTimeouts,
    signal,
    applicationName: 'gopherpay administration',
    readOnly: false,
  };
  return await withDatabase(
    config,
    'owner',
    async (database) =>
      await withConnection(database, settings, async (connection) => {
        try {
          return await work(connection);
        } catch (error) {
          if (sqlStateOf(error) !== INSUFFICIENT_PRIVILEGE) throw error;
          throw new CommandError(
            EXIT.failed,
            'Only the owner of the tables may do this: set DATABASE_OWNER_URL to the database as its owner.',
            { cause: error },
          );
        }
      }),
  );
}
