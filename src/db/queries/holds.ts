// Reads holds, also while the transfer that makes one is pending, or after it was refused.
import { HOLD_STATES, type HoldState } from '../../domain/hold.ts';
import type { Ledger } from '../../domain/ledger.ts';
import type { FailureCode } from '../../domain/transfer.ts';
import type { Queryable } from '../connection/connect.ts';

export type HoldRecord = {
  readonly id: string;
  /** The state of the hold, or of its transfer if there is no hold. */
  readonly state: HoldState | 'pending' | 'failed';
  readonly failureCode: FailureCode | null;
  readonly fromAccount: string;
  readonly toAccount: string;
  /** Null until the transfer has completed, if the transfer named none. */
  readonly currency: string | null;
  readonly amount: bigint;
  readonly captured: bigint;
  readonly released: bigint;
  readonly createdAt: string;
  readonly expiresAt: string | null;
};

/** `failed` is listed only if it is chosen: such a hold has reserved nothing. */
export type HoldFilter = {
  /** The account whose money is reserved. */
  readonly account?: string | undefined;
  readonly state?: HoldRecord['state'] | undefined;
};

type HoldRow = {
  id: string;
  state: HoldRecord['state'];
  failure_code: FailureCode | null;
  from_account: string;
  to_account: string;
  currency: string | null;
  amount: bigint;
  captured: bigint;
  released: bigint;
  created_at: string;
  expires_at: string | null;
};

const ENDED = HOLD_STATES.filter((state) => state !== 'open');

const HELD =
  'id, state, null as failure_code, from_account, to_account, currency, amount, captured, released, created_at, expires_at';
const PENDING = `id, 'pending', null, from_account, to_account, currency, amount, 0, 0, created_at, null`;
const FAILED = `id, 'failed', failure_code, from_account, to_account, currency, amount, 0, 0, created_at, null`;

// One statement, so one snapshot: a hold that is being settled is found exactly once, before or after.
const LOAD_HOLD = `
  select ${HELD}
  from holds
  where ledger_id = $2::integer and id = $1::uuid
  union all
  select ${PENDING}
  from pending_transfers
  where ledger_id = $2::integer and id = $1::uuid and kind = 'hold'
  union all
  select ${FAILED}
  from transfers
  where ledger_id = $2::integer and id = $1::uuid and kind = 'hold' and status = 'failed'`;

/** The hold of this id, which is the id of the transfer that makes it. */
export async function loadHold(connection: Queryable, ledger: Ledger, id: string): Promise<HoldRecord | undefined> {
  const result = await connection.query<HoldRow>({ name: 'load hold', text: LOAD_HOLD, values: [id, ledger.id] });
  return result.rows.map(toHold)[0];
}

/** At most `limit` holds in the order of their ids, after the hold `after`: one statement, so one snapshot. */
export async function listHolds(
  connection: Queryable,
  ledger: Ledger,
  { account, state }: HoldFilter,
  page: { limit: number; after: string | null; newestFirst: boolean },
): Promise<HoldRecord[]> {
  const values: unknown[] = [ledger.id, page.limit];
  const bind = (value: unknown) => `$${values.push(value)}`;
  const [comparison, direction] = page.newestFirst ? ['<', 'desc'] : ['>', 'asc'];
  const order = `order by id ${direction} limit $2::integer`;
  const follows = `ledger_id = $1::integer ${page.after === null ? '' : `and id ${comparison} ${bind(page.after)}::uuid`}`;
  const own = account === undefined ? 'true' : `from_account = ${bind(account)}::text`;
  const held = (condition: string) => `select ${HELD} from holds where ${follows} and ${condition} ${order}`;
  // Open holds have an index by account. The others are found by the transfers that made them, which have one.
  const made = `id in (
    select id from transfers
    where ${follows} and ${own} and from_entry_number is null and kind = 'hold' and status = 'completed'
  )`;
  const isWanted = (one: HoldRecord['state']) => state === undefined || state === one;
  const ended = ENDED.filter(isWanted).map((each) => `'${each}'`);
  const sections: string[] = [];
  if (isWanted('pending')) {
    sections.push(`select ${PENDING} from pending_transfers where ${follows} and ${own} and kind = 'hold' ${order}`);
  }
  if (state === 'failed') {
    sections.push(`select ${FAILED} from transfers where ${follows} and ${own} and from_entry_number is null
      and kind = 'hold' and status = 'failed' ${order}`);
  }
  if (account === undefined && state === undefined) sections.push(held('true'));
  else {
    if (isWanted('open')) sections.push(held(`${own} and state = 'open'`));
    if (ended.length > 0) sections.push(held(`state in (${ended.join(', ')}) and ${made}`));
  }
  const result = await connection.query<HoldRow>(
    `select ${HOLD_COLUMNS}
     from (${sections.map((section) => `(${section})`).join(' union all ')}) as listed (${HOLD_COLUMNS})
     ${order}`,
    values,
  );
  return result.rows.map(toHold);
}

const HOLD_COLUMNS =
  'id, state, failure_code, from_account, to_account, currency, amount, captured, released, created_at, expires_at';

function toHold(row: HoldRow): HoldRecord {
  return {
    id: row.id,
    state: row.state,
    failureCode: row.failure_code,
    fromAccount: row.from_account,
    toAccount: row.to_account,
    currency: row.currency,
    amount: row.amount,
    captured: row.captured,
    released: row.released,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
  };
}
