// Trials: a transfer with which processes died is settled alone in a job. The trial is recorded first, because a
// process cannot record its own death: the process that adopts the transfer counts it.
import type { Ledger } from '../../domain/ledger.ts';
import type { NewTransfer } from '../../domain/transfer.ts';
import type { ConnectionPool } from '../connection/connect.ts';
import { withTransaction } from '../connection/transaction.ts';

/**
 * A trial begins only if its accounts are free. Otherwise, if an operator ended a process while its trial waits for a
 * lock, that would count against the transfer.
 */
const LOCK_TIMEOUT = '500ms';

type Tried = Pick<NewTransfer, 'id' | 'fromAccount' | 'toAccount'>;

/**
 * Records that these transfers are on trial, alone or as one atomic group. Throws if another session holds a lock on
 * one of their accounts.
 */
export async function beginTrial(pool: ConnectionPool, ledger: Ledger, tried: readonly Tried[]): Promise<void> {
  await withTransaction(pool, async (connection) => {
    await connection.query(`set local lock_timeout = '${LOCK_TIMEOUT}'`);
    await connection.query(
      `select from accounts
       where ledger_id = $1::integer and account_number = any($2::text[])
       order by account_number, currency
       for update`,
      [ledger.id, tried.flatMap(({ fromAccount, toAccount }) => [fromAccount, toAccount])],
    );
    await connection.query(
      'update pending_transfers set on_trial = true where ledger_id = $1::integer and id = any($2::uuid[])',
      [ledger.id, tried.map(({ id }) => id)],
    );
  });
}

/** Records that the trial has ended, and the transfers are still pending. */
export async function endTrial(pool: ConnectionPool, ledger: Ledger, tried: readonly Tried[]): Promise<void> {
  await pool.query(
    'update pending_transfers set on_trial = false where ledger_id = $1::integer and id = any($2::uuid[])',
    [ledger.id, tried.map(({ id }) => id)],
  );
}
