// Finds the transfers between ledgers that have not ended: open holds for other ledgers, and their credits there.
import { contraOf, LEDGER_PREFIX } from '../../domain/between-ledgers.ts';
import type { Ledger } from '../../domain/ledger.ts';
import type { Orderer } from '../../domain/transfer.ts';
import type { Queryable } from '../connection/connect.ts';

/** A transfer to another ledger whose hold is open. */
export type OpenTransfer = {
  readonly id: string;
  readonly source: Ledger;
  readonly target: Ledger;
  readonly fromAccount: string;
  /** The account in the other ledger. */
  readonly toAccount: string;
  /** Minor units. */
  readonly amount: bigint;
  readonly currency: string;
  /** Null: its own id. */
  readonly requestId: string | null;
  readonly by: Orderer;
  readonly description: string | null;
  readonly metadata: Readonly<Record<string, string>> | null;
};

/** How a credit ended: null is completed. A process of a newer version may know further failure codes. */
export type CreditOutcome = string | null;

/** A hold by its ledger and its id. */
export type HoldName = { readonly ledgerId: number; readonly id: string };

/** Exclusions: holds by their keys, ledgers that send, accounts of ledgers that receive, and pairs of both. */
export type Skipped = {
  readonly holdKeys: readonly string[];
  readonly sourceIds: readonly number[];
  readonly contras: readonly string[];
  readonly pairs: readonly string[];
};

/**
 * What the other ledger has under the id of a transfer: how its credit ended, or a transfer that is not its credit. Imported
 * books may have such a one.
 */
export type FoundCredit = { readonly outcome: CreditOutcome } | 'foreign';

/** The key of a hold, unique over all ledgers. */
export function holdKeyOf({ ledgerId, id }: HoldName): string {
  return `${ledgerId} ${id}`;
}

/** The key of a ledger that sends and the account of the one that receives. */
export function pairKeyOf(ledgerId: number, contra: string): string {
  return `${ledgerId} ${contra}`;
}

const IS_OPEN = `state = 'open' and to_account like '${LEDGER_PREFIX}%'`;

const COLUMNS = `
      select hold.ledger_id, source.name as ledger, target.id as target_id, target.name as target, hold.id,
        hold.from_account, transfers.remote_account, hold.amount, hold.currency,
        coalesce(request_id, group_id::text, transfers.id::text) as request_id, ordered_by,
        approved_by, description, metadata`;

const NAMED = `
      join ledgers as source on source.id = hold.ledger_id
      join ledgers as target on target.name = substr(hold.to_account, ${LEDGER_PREFIX.length + 1})`;

const JOINED = `
      join transfers on transfers.ledger_id = hold.ledger_id and transfers.id = hold.id${NAMED}`;

type Row = {
  ledger_id: number;
  ledger: string;
  target_id: number;
  target: string;
  id: string;
  from_account: string;
  remote_account: string;
  amount: bigint;
  currency: string;
  request_id: string;
  ordered_by: string | null;
  approved_by: string | null;
  description: string | null;
  metadata: Record<string, string> | null;
};

/** Open transfers, the oldest first. */
export async function loadOpenTransfers(
  connection: Queryable,
  limit: number,
  { holdKeys, sourceIds, contras, pairs }: Skipped,
): Promise<OpenTransfer[]> {
  const { rows } = await connection.query<Row>({
    name: 'load open transfers',
    text: `${COLUMNS}
      from (
        select ledger_id, holds.id, from_account, to_account, amount, currency, created_at
        from holds
        where ${IS_OPEN} and ledger_id || ' ' || holds.id <> all($2::text[]) and ledger_id <> all($3::integer[])
          and to_account <> all($4::text[]) and ledger_id || ' ' || to_account <> all($5::text[])
          -- Imported books may owe a ledger that is not here. Their holds must not fill the page.
          and exists (select from ledgers where name = substr(to_account, ${LEDGER_PREFIX.length + 1}))
        order by created_at
        limit $1::integer
      ) as hold${JOINED}
      order by hold.created_at`,
    values: [limit, holdKeys, sourceIds, contras, pairs],
  });
  return rows.map(toOpenTransfer);
}

/** Those of these holds that are open, in no order. */
export async function loadNamedTransfers(connection: Queryable, holds: readonly HoldName[]): Promise<OpenTransfer[]> {
  const open: OpenTransfer[] = [];
  for (const [ledgerId, named] of Map.groupBy(holds, (hold) => hold.ledgerId)) {
    const { rows } = await connection.query<Row>({
      name: 'load named transfers',
      text: `${COLUMNS}
      from unnest($2::uuid[]) as named (id)
      cross join lateral (
        -- By the key alone: the planner would read the whole outbox for each of them.
        select ledger_id, holds.id, from_account, to_account, amount, currency, state
        from holds
        where ledger_id = $1::integer and holds.id = named.id
        offset 0
      ) as hold
      join transfers on transfers.ledger_id = $1::integer and transfers.id = hold.id${NAMED}
      where state = 'open'`,
      values: [ledgerId, named.map(({ id }) => id)],
    });
    open.push(...rows.map(toOpenTransfer));
  }
  return open;
}

type CreditRow = Pick<Row, 'id' | 'from_account' | 'remote_account' | 'amount' | 'currency'> & {
  kind: string;
  to_account: string;
  failure_code: string | null;
};

/** What one ledger has of the credits of these transfers, by the keys of their holds; those that it does not have are absent. */
export async function loadCredits(
  connection: Queryable,
  target: Ledger,
  transfers: readonly OpenTransfer[],
): Promise<Map<string, FoundCredit>> {
  const { rows } = await connection.query<CreditRow>({
    name: 'load credits',
    text: `
      select credit.*
      from unnest($2::uuid[]) as named (id)
      cross join lateral (
        select id, kind, from_account, to_account, remote_account, amount, currency, failure_code
        from transfers
        where ledger_id = $1::integer and id = named.id
        offset 0
      ) as credit`,
    values: [target.id, transfers.map(({ id }) => id)],
  });
  const byId = new Map(rows.map((row) => [row.id, row]));
  return new Map(
    transfers.flatMap((transfer): [string, FoundCredit][] => {
      const row = byId.get(transfer.id);
      if (!row) return [];
      const key = holdKeyOf({ ledgerId: transfer.source.id, id: transfer.id });
      if (!isCreditOf(transfer, row)) return [[key, 'foreign']];
      return [[key, { outcome: row.failure_code }]];
    }),
  );
}

function isCreditOf({ source, fromAccount, toAccount, amount, currency }: OpenTransfer, row: CreditRow): boolean {
  return (
    row.kind === 'transfer' &&
    row.from_account === contraOf(source.name) &&
    row.to_account === toAccount &&
    row.remote_account === fromAccount &&
    row.amount === amount &&
    row.currency === currency
  );
}

/** How many transfers between ledgers are open, at most `countMax`, and the seconds since the oldest was ordered. */
export async function countOpenTransfers(
  connection: Queryable,
  countMax: number,
): Promise<{ readonly open: number; readonly oldestSeconds: number }> {
  const { rows } = await connection.query<{ open: bigint; oldest: number | null }>({
    name: 'count open transfers',
    text: `
      select count(*) as open,
        -- A test clock says nothing about how long a transfer has been open.
        greatest(0, extract(epoch from clock_timestamp() - min(created_at) filter (where not is_test)))::float8 as oldest
      from (
        select created_at, clock is not null as is_test
        from holds
        left join journal_head on journal_head.ledger_id = holds.ledger_id
        where ${IS_OPEN}
        order by created_at
        limit $1::integer
      ) as counted`,
    values: [countMax],
  });
  const [row] = rows;
  return { open: Number(row?.open ?? 0), oldestSeconds: row?.oldest ?? 0 };
}

function toOpenTransfer(row: Row): OpenTransfer {
  return {
    id: row.id,
    source: { id: row.ledger_id, name: row.ledger },
    target: { id: row.target_id, name: row.target },
    fromAccount: row.from_account,
    toAccount: row.remote_account,
    amount: row.amount,
    currency: row.currency,
    requestId: row.request_id === row.id ? null : row.request_id,
    by: { orderedBy: row.ordered_by, approvedBy: row.approved_by },
    description: row.description,
    metadata: row.metadata,
  };
}
