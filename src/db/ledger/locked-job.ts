// Begins the transaction of a job, locks its accounts and reads the records that its decision needs. It takes one round
// trip, whatever the size of the job.
import { type Account, type AccountStatus, EXTERNAL } from '../../domain/account.ts';
import type { BooksContent } from '../../domain/books.ts';
import type { Hold, HoldState, ReversibleTransfer } from '../../domain/hold.ts';
import type { Job } from '../../domain/job.ts';
import type { Queryable } from '../connection/connect.ts';
import { lockingStatement, type LockingStatement, Transaction } from '../connection/transaction.ts';
import { ledgerTime } from '../queries/instants.ts';
import { journalEnd } from '../queries/journal-end.ts';
import { renderColumn } from '../queries/transfer-columns.ts';

export type LockedJob = {
  readonly books: BooksContent;
  /** Account numbers that had no account when the accounts were locked. */
  readonly missing: readonly string[];
  /**
   * When holds that were not due when read will be due, if that may be soon: microseconds since the epoch, by the hold's
   * id.
   */
  readonly expiries: ReadonlyMap<string, bigint>;
  /** The time after the locks were taken, in microseconds since the epoch. */
  readonly jobMicros: bigint;
  /** The holders of the job's idempotency keys: a transfer, a group or an account. Free keys are absent. */
  readonly keyHolders: ReadonlyMap<string, { transferId: string | null; accountNumber: string | null }>;
  /** The transfers of the job that were settled before; read only if there may be any. */
  readonly settledIds: ReadonlySet<string>;
  /** Its stored transfers that are not in the intake log; read only if some may be settled. */
  readonly absentIds: ReadonlySet<string>;
};
type AccountRow = [string, string, AccountStatus, bigint, bigint, bigint, bigint];
type HoldRow = [string, HoldState, bigint, bigint, bigint, boolean, bigint | null];
type OriginalRow = [string, bigint, bigint];
type KeyRow = [string, string | null, string | null];

/** Microseconds since the epoch of an instant, an SQL expression. */
export function micros(instant: string): string {
  return `(extract(epoch from ${instant}) * 1000000)::bigint`;
}

// Each row is found by equality, in a sub-select that the planner cannot reorder. Without statistics, the planner
// expects `ledger_id = $1` alone to match a two-hundredth of the table. It would then read the whole ledger for each
// job.

const LOCK_ACCOUNTS = lockingStatement(
  'lock accounts',
  `select locked.*
   -- The caller sorts the numbers, so that jobs with accounts in common wait for each other instead of deadlocking.
   from unnest($2::text[]) as named (account_number)
   cross join lateral (
     select account_number, currency, status, balance, held, overdraft_limit, entry_count
     from accounts
     -- In order of the primary key, so by currency for @external. A sort for each account would cost a third of the statement.
     where ledger_id = $1::integer and account_number = named.account_number
     for update
   ) as locked`,
);

// Holds and originals need no locks of their own: a job that changes them has locked their two accounts, as this job
// has.
const LOAD_HOLDS = lockingStatement(
  'load holds',
  `with now as materialized (
     -- The job's row of the journal is settled at this time or later, also after the clock went back.
     select ${ledgerTime('clock_timestamp()')} as instant, clock is not null as is_test
     from ${journalEnd('$1::integer')} as head
   )
   select id, state, amount, captured, released, coalesce(expires_at <= now.instant, false),
     -- No job takes longer than a minute from here to its place in the journal. A test clock may leap meanwhile.
     case when now.is_test or expires_at < now.instant + interval '1 minute' then ${micros('expires_at')} end
   from unnest($2::uuid[]) as named (hold_id)
   cross join lateral (
     select id, state, amount, captured, released, expires_at
     from holds
     where ledger_id = $1::integer and id = named.hold_id
     offset 0
   ) as hold
   cross join now`,
);

const LOAD_ORIGINALS = lockingStatement(
  'load originals',
  `select id, amount, coalesce(
     (select reversed from reversed_amounts where ledger_id = $1::integer and transfer_id = original.id), 0
   )
   from unnest($2::uuid[]) as named (transfer_id)
   cross join lateral (
     select id, amount
     from transfers
     where ledger_id = $1::integer and id = named.transfer_id
       and status = 'completed' and kind in ('transfer', 'capture')
     offset 0
   ) as original`,
);

const LOAD_KEYS = lockingStatement(
  'load keys',
  `select held.*
   from unnest($2::text[]) as named (key)
   cross join lateral (
     select key, transfer_id, account_number
     from idempotency_keys
     where ledger_id = $1::integer and key = named.key
     offset 0
   ) as held`,
);

const LOAD_PENDING = lockingStatement(
  'load pending',
  `select stored.id
   from unnest($2::uuid[]) as named (id)
   cross join lateral (
     select id
     from pending_transfers
     where ledger_id = $1::integer and id = named.id
     offset 0
   ) as stored`,
);

const LOAD_SETTLED = lockingStatement(
  'load settled',
  `select settled.id
   from unnest($2::uuid[]) as named (id)
   cross join lateral (
     select id
     from transfers
     where ledger_id = $1::integer and id = named.id
     offset 0
   ) as settled`,
);

// The last statement, so that no hold was read later. If the clock went back, it is before the end of the journal; the
// job's row is settled later.
const LOAD_TIME = lockingStatement(
  'load time',
  `select ${micros('coalesce(clock, greatest(clock_timestamp(), closed_until))')}
   from journal_head
   where ledger_id = $1::integer`,
);

/** Begins the job's transaction and locks the accounts that it names. The caller ends the transaction. */
export async function lockJob(
  connection: Queryable,
  job: Job,
): Promise<{ transaction: Transaction; locked: LockedJob }> {
  const accountNumbers = accountNumbersOf(job);
  const parentIds = [...new Set((job.transfers.parentId ?? []).filter((id) => id !== null))];
  const keys = job.claims.map(({ key }) => key);
  const ids = job.mayBeSettled ? job.transfers.id : [];
  const storedIds = ids.filter((_, index) => (job.transfers.storedAtMicros?.[index] ?? null) !== null);
  const ledgerId = job.ledger.id;
  const { transaction, loaded } = await Transaction.beginWith(connection, (load) => {
    const loadNamed = async <Row extends unknown[]>(statement: LockingStatement, named: readonly string[]) =>
      named.length === 0 ? [] : await load<Row>(statement, [ledgerId, renderColumn(named)]);
    return [
      loadNamed<AccountRow>(LOCK_ACCOUNTS, accountNumbers),
      loadNamed<HoldRow>(LOAD_HOLDS, parentIds),
      loadNamed<OriginalRow>(LOAD_ORIGINALS, parentIds),
      loadNamed<KeyRow>(LOAD_KEYS, keys),
      // First, so that one that is settled meanwhile is found.
      loadNamed<[string]>(LOAD_PENDING, storedIds),
      loadNamed<[string]>(LOAD_SETTLED, ids),
      load<[bigint]>(LOAD_TIME, [ledgerId]),
    ];
  });
  const [accounts, holds, originals, keyHolders, pendingIds, settledIds, time] = loaded;
  const pending = new Set(pendingIds.map(([id]) => id));
  const found = new Set(accounts.map(([accountNumber]) => accountNumber));
  return {
    transaction,
    locked: {
      books: {
        accounts: accounts.map(toAccount),
        holds: holds.map(toHold),
        originals: originals.map(toOriginal),
      },
      missing: accountNumbers.filter((accountNumber) => !found.has(accountNumber)),
      expiries: new Map(holds.flatMap(([id, , , , , due, at]) => (due || at === null ? [] : [[id, at]]))),
      jobMicros: time[0]?.[0] ?? 0n,
      keyHolders: new Map(keyHolders.map(([key, transferId, accountNumber]) => [key, { transferId, accountNumber }])),
      settledIds: new Set(settledIds.map(([id]) => id)),
      absentIds: new Set(storedIds.filter((id) => !pending.has(id))),
    },
  };
}

function accountNumbersOf({ transfers, openings }: Job): string[] {
  const numbers = new Set(transfers.fromAccount);
  for (const accountNumber of transfers.toAccount) numbers.add(accountNumber);
  // @external may have to be opened as well.
  if (openings.unit.length > 0) numbers.add(EXTERNAL);
  for (const accountNumber of openings.accountNumber) numbers.add(accountNumber);
  return [...numbers].sort();
}

function toAccount(row: AccountRow): Account {
  const [accountNumber, currency, status, balance, held, overdraftLimit, entryCount] = row;
  return { accountNumber, currency, status, balance, held, overdraftLimit, entryCount };
}

function toHold([id, state, amount, captured, released, due]: HoldRow): Hold {
  return { id, state, amount, captured, released, due };
}

function toOriginal([id, amount, reversed]: OriginalRow): ReversibleTransfer {
  return { id, amount, reversed };
}
