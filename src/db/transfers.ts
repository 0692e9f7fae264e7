// Reads transfers, wherever they are: still pending, or settled.
import { EXTERNAL } from '../domain/account.ts';
import type { FailureCode, TransferKind } from '../domain/transfer.ts';
import type { Queryable } from './connect.ts';
import { type MetadataFilter, metadataCondition } from './metadata.ts';
import { REQUEST_ID } from './orders.ts';

export type Transfer = {
  readonly id: string;
  readonly kind: TransferKind;
  readonly fromAccount: string;
  readonly toAccount: string;
  /** Null while it is not known: all that is left of the parent. */
  readonly amount: bigint | null;
  readonly currency: string | null;
  /** The hold or the transfer that it is about. */
  readonly parentId: string | null;
  readonly groupId: string | null;
  readonly groupPosition: number | null;
  readonly status: 'pending' | 'completed' | 'failed';
  readonly failureCode: FailureCode | null;
  readonly requestId: string;
  readonly description: string | null;
  readonly metadata: Readonly<Record<string, string>> | null;
  readonly createdAt: string;
  readonly completedAt: string | null;
  readonly journalNumber: bigint | null;
};

/** What to list. Times are RFC 3339; `since` is inclusive and `until` exclusive, both on the time of acceptance. */
export type TransferFilter = {
  readonly account?: string | undefined;
  /** That of the transfer, or of its accounts; @external has an account in each. */
  readonly currency?: string | undefined;
  readonly status?: Transfer['status'] | undefined;
  readonly requestId?: string | undefined;
  readonly groupId?: string | undefined;
  readonly parentId?: string | undefined;
  readonly metadata?: MetadataFilter | undefined;
  readonly since?: string | undefined;
  readonly until?: string | undefined;
};

/** Where a page ended. Pending transfers come first, newest first; then the settled ones, last settled first. */
export type TransferCursor =
  | { readonly stage: 'pending'; readonly id: string }
  | { readonly stage: 'settled'; readonly number: string; readonly position: number; readonly entry: string };

type SettledCursor = Extract<TransferCursor, { stage: 'settled' }>;

export type TransferPage = { readonly transfers: readonly Transfer[]; readonly next: TransferCursor | null };

const PENDING_COLUMNS = `
  id, kind, from_account, to_account, amount, currency, parent_id, group_id, group_position, 'pending' as status, null::text as failure_code,
  ${REQUEST_ID} as request_id, description, metadata, created_at, null::timestamptz as completed_at,
  null::bigint as journal_number, null::integer as journal_position`;

export const SETTLED_COLUMNS = `
  id, kind, from_account, to_account, amount, currency, parent_id, group_id, group_position, status, failure_code,
  ${REQUEST_ID} as request_id, description, metadata, created_at, completed_at,
  journal_number, journal_position`;

export type TransferRow = {
  id: string;
  kind: TransferKind;
  from_account: string;
  to_account: string;
  amount: bigint | null;
  currency: string | null;
  parent_id: string | null;
  group_id: string | null;
  group_position: number | null;
  status: Transfer['status'];
  failure_code: FailureCode | null;
  request_id: string;
  description: string | null;
  metadata: Record<string, string> | null;
  created_at: string;
  completed_at: string | null;
  journal_number: bigint | null;
  journal_position: number | null;
  entry_number?: bigint | null;
};

/** The transfers with these ids, in no order; unknown ids are left out. */
export async function loadTransfers(connection: Queryable, ids: readonly string[]): Promise<Transfer[]> {
  const result = await connection.query<TransferRow>({
    name: 'load transfers',
    text: `
      select ${PENDING_COLUMNS}
      from pending_transfers
      where id = any($1::uuid[])
      union all
      select ${SETTLED_COLUMNS}
      from transfers
      where id = any($1::uuid[])`,
    values: [ids],
  });
  return result.rows.map(toTransfer);
}

/** The members of a group, in their order; none if there is no such group. */
export async function loadGroup(connection: Queryable, groupId: string): Promise<Transfer[]> {
  const result = await connection.query<TransferRow>({
    name: 'load group',
    text: `
      select ${PENDING_COLUMNS}
      from pending_transfers
      where group_id = $1::uuid
      union all
      select ${SETTLED_COLUMNS}
      from transfers
      where group_id = $1::uuid
      order by group_position`,
    values: [groupId],
  });
  return result.rows.map(toTransfer);
}

/** One page of the transfers that match the filter. */
export async function listTransfers(
  connection: Queryable,
  filter: TransferFilter,
  page: { limit: number; after: TransferCursor | null },
): Promise<TransferPage> {
  const rows: TransferRow[] = [];
  const wanted = page.limit + 1;
  if (page.after?.stage !== 'settled' && (filter.status ?? 'pending') === 'pending') {
    rows.push(...(await listPending(connection, filter, page.after?.id ?? null, wanted)));
  }
  if (rows.length < wanted && filter.status !== 'pending') {
    const after = page.after?.stage === 'settled' ? page.after : null;
    const list = filter.account === undefined ? listSettled : listSettledOfAccount;
    rows.push(...(await list(connection, filter, after, wanted - rows.length)));
  }
  const shown = rows.slice(0, page.limit);
  const last = shown.at(-1);
  return {
    transfers: shown.map(toTransfer),
    next: rows.length > page.limit && last ? cursorAt(last, shown, page.after) : null,
  };
}

async function listPending(
  connection: Queryable,
  filter: TransferFilter,
  afterId: string | null,
  limit: number,
): Promise<TransferRow[]> {
  const where = new Conditions(filter);
  if (afterId !== null) where.add((value) => `id < ${value}::uuid`, afterId);
  if (filter.account !== undefined) {
    where.add((value) => `(from_account = ${value}::text or to_account = ${value}::text)`, filter.account);
  }
  if (filter.currency !== undefined) {
    // An order that names no currency has that of its accounts.
    const own = `
      select currency
      from accounts
      where account_number = case from_account when '${EXTERNAL}' then to_account else from_account end
      limit 1`;
    where.add((value) => `coalesce(currency, (${own})) = ${value}::text`, filter.currency);
  }
  const result = await connection.query<TransferRow>(
    `select ${PENDING_COLUMNS}
     from pending_transfers
     where ${where.text()}
     order by id desc
     limit ${where.bind(limit)}::integer`,
    where.values,
  );
  return result.rows;
}

/** What a settled transfer must be to stand in a list, and where the list goes on. */
function settledConditions(filter: TransferFilter, after: SettledCursor | null): Conditions {
  const where = new Conditions(filter);
  if (filter.status !== undefined) where.add((value) => `status = ${value}::text`, filter.status);
  if (filter.currency !== undefined) where.add((value) => `currency = ${value}::text`, filter.currency);
  if (after) where.addBefore(after);
  return where;
}

async function listSettled(
  connection: Queryable,
  filter: TransferFilter,
  after: SettledCursor | null,
  limit: number,
): Promise<TransferRow[]> {
  const where = settledConditions(filter, after);
  const result = await connection.query<TransferRow>(
    `select ${SETTLED_COLUMNS}
     from transfers
     where ${where.text()}
     order by journal_number desc, journal_position desc
     limit ${where.bind(limit)}::integer`,
    where.values,
  );
  return result.rows;
}

// Transfers that moved money are found through the account's entries, whose numbers run in journal order; failed ones,
// and holds and their ends, through two partial indexes. Each branch is limited on its own, in the order of the whole.
async function listSettledOfAccount(
  connection: Queryable,
  filter: TransferFilter,
  after: SettledCursor | null,
  limit: number,
): Promise<TransferRow[]> {
  const where = settledConditions(filter, after);
  const account = `${where.bind(filter.account)}::text`;
  const count = `${where.bind(limit)}::integer`;
  const entryless = (column: string) => `
    (select null::bigint as entry_number, ${SETTLED_COLUMNS}
     from transfers
     where from_entry_number is null and ${column} = ${account} and ${where.text()}
     order by journal_number desc, journal_position desc
     limit ${count})`;
  const moving = () => {
    const currency = `${where.bind(filter.currency ?? null)}::text`;
    const bound = after ? `and entry_number < ${where.bind(after.entry)}::bigint` : '';
    return `
    (select entry_number, ${SETTLED_COLUMNS}
     from (
       select entry_number, transfer_id
       from entries
       where account_number = ${account}
         and currency = coalesce(${currency}, (select currency from accounts where account_number = ${account} limit 1))
         ${bound}
     ) as own
     join transfers on transfers.id = own.transfer_id
     where ${where.text()}
     order by entry_number desc
     limit ${count})`;
  };
  // A value that no branch refers to would be one whose type PostgreSQL cannot tell.
  const branches = [
    ...(filter.status === 'failed' ? [] : [moving()]),
    entryless('from_account'),
    entryless('to_account'),
  ];
  const result = await connection.query<TransferRow>(
    `select *
     from (${branches.join(' union all ')}) as settled
     order by journal_number desc, journal_position desc
     limit ${count}`,
    where.values,
  );
  return result.rows;
}

const UUID_FORM = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** The conditions of a list, with their values as parameters. */
class Conditions {
  readonly values: unknown[] = [];
  readonly #conditions: string[] = ['true'];

  constructor(filter: TransferFilter) {
    const { requestId, groupId, parentId, metadata, since, until } = filter;
    if (requestId !== undefined) {
      // A request that named no id of its own has the id of its group, or of its transfer.
      const own = UUID_FORM.test(requestId) ? this.bind(requestId) : null;
      const made =
        own && `or (request_id is null and (group_id = ${own}::uuid or (group_id is null and id = ${own}::uuid)))`;
      this.add((value) => `(request_id = ${value}::text ${made ?? ''})`, requestId);
    }
    if (groupId !== undefined) this.add((value) => `group_id = ${value}::uuid`, groupId);
    if (parentId !== undefined) this.add((value) => `parent_id = ${value}::uuid`, parentId);
    if (metadata !== undefined) {
      this.#conditions.push(metadataCondition(metadata, (value) => this.bind(value)));
    }
    if (since !== undefined) this.add((value) => `created_at >= ${value}::timestamptz`, since);
    if (until !== undefined) this.add((value) => `created_at < ${value}::timestamptz`, until);
  }

  bind(value: unknown): string {
    return `$${this.values.push(value)}`;
  }

  add(condition: (value: string) => string, value: unknown): void {
    this.#conditions.push(condition(this.bind(value)));
  }

  addBefore(cursor: { number: string; position: number }): void {
    const [number, position] = [this.bind(cursor.number), this.bind(cursor.position)];
    this.#conditions.push(`(journal_number, journal_position) < (${number}::bigint, ${position}::integer)`);
  }

  text(): string {
    return this.#conditions.join(' and ');
  }
}

function cursorAt(last: TransferRow, shown: readonly TransferRow[], before: TransferCursor | null): TransferCursor {
  if (last.journal_number === null) return { stage: 'pending', id: last.id };
  const entries = shown.flatMap((row) => row.entry_number ?? []);
  return {
    stage: 'settled',
    number: String(last.journal_number),
    position: last.journal_position ?? 0,
    entry: String(entries.at(-1) ?? (before?.stage === 'settled' ? before.entry : 2n ** 63n - 1n)),
  };
}

export function toTransfer(row: TransferRow): Transfer {
  return {
    id: row.id,
    kind: row.kind,
    fromAccount: row.from_account,
    toAccount: row.to_account,
    amount: row.amount,
    currency: row.currency,
    parentId: row.parent_id,
    groupId: row.group_id,
    groupPosition: row.group_position,
    status: row.status,
    failureCode: row.failure_code,
    requestId: row.request_id,
    description: row.description,
    metadata: row.metadata,
    createdAt: row.created_at,
    completedAt: row.completed_at,
    journalNumber: row.journal_number,
  };
}
