// Reads transfers, pending or settled.
import { EXTERNAL } from '../../domain/account.ts';
import type { FailureCode, Orderer, TransferKind } from '../../domain/transfer.ts';
import type { Ledger } from '../../domain/ledger.ts';
import type { Queryable } from '../connection/connect.ts';
import { type JournalRange, loadJournalRange, UNTIMELY } from './acceptance-window.ts';
import { roundUp } from './instants.ts';
import { type MetadataFilter, metadataCondition } from './metadata.ts';
import { REQUEST_ID } from './transfer-columns.ts';

export type Transfer = {
  readonly id: string;
  readonly kind: TransferKind;
  readonly fromAccount: string;
  readonly toAccount: string;
  /** Null while it is unknown: the remaining amount of the parent. */
  readonly amount: bigint | null;
  readonly currency: string | null;
  /** The hold that it captures or ends, or the transfer that it reverses. */
  readonly parentId: string | null;
  readonly groupId: string | null;
  readonly groupPosition: number | null;
  readonly status: 'pending' | 'completed' | 'failed';
  readonly failureCode: FailureCode | null;
  readonly requestId: string;
  readonly by: Orderer;
  readonly description: string | null;
  readonly metadata: Readonly<Record<string, string>> | null;
  readonly createdAt: string;
  readonly completedAt: string | null;
  readonly journalNumber: bigint | null;
};

/** What to list. Times are RFC 3339; `since` is inclusive and `until` exclusive, both on the time of acceptance. */
export type TransferFilter = {
  readonly account?: string | undefined;
  /** The currency of the transfer, or of its accounts; @external has an account in each. */
  readonly currency?: string | undefined;
  readonly status?: Transfer['status'] | undefined;
  readonly requestId?: string | undefined;
  readonly groupId?: string | undefined;
  readonly parentId?: string | undefined;
  readonly metadata?: MetadataFilter | undefined;
  readonly since?: string | undefined;
  readonly until?: string | undefined;
};

/**
 * Where a page ended. Transfers that were pending when the first page was read come first, newest first. Settled ones
 * follow, last settled first. `head` is the end of the journal at that time. A transfer that is settled between two
 * pages keeps its place, so that each is shown once.
 */
export type TransferCursor =
  | { readonly stage: 'pending'; readonly id: string; readonly head: string }
  | { readonly stage: 'settled'; readonly number: string; readonly position: number; readonly entry: string };

type PendingCursor = Extract<TransferCursor, { stage: 'pending' }>;

export type TransferPage = { readonly transfers: readonly Transfer[]; readonly next: TransferCursor | null };

const PENDING_COLUMNS = `
  id, kind, from_account, to_account, amount, currency, parent_id, group_id, group_position, 'pending' as status, null::text as failure_code,
  ${REQUEST_ID} as request_id, ordered_by, approved_by, description, metadata, created_at, null::timestamptz as completed_at,
  null::bigint as journal_number, null::integer as journal_position`;

export const SETTLED_COLUMNS = `
  id, kind, from_account, to_account, amount, currency, parent_id, group_id, group_position, status, failure_code,
  ${REQUEST_ID} as request_id, ordered_by, approved_by, description, metadata, created_at, completed_at,
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
  ordered_by: string | null;
  approved_by: string | null;
  description: string | null;
  metadata: Record<string, string> | null;
  created_at: string;
  completed_at: string | null;
  journal_number: bigint | null;
  journal_position: number | null;
};

/** A row of a list. `section`: 1 was pending when the first page was read, 2 was settled. */
type ListedRow = TransferRow & { section: number; entry_number: bigint | null; head: bigint };

/** The transfers with these ids, in no order; unknown ids are omitted. */
export async function loadTransfers(
  connection: Queryable,
  ledger: Ledger,
  ids: readonly string[],
): Promise<Transfer[]> {
  const result = await connection.query<TransferRow>({
    name: 'load transfers',
    text: `
      select ${PENDING_COLUMNS}
      from pending_transfers
      where ledger_id = $2::integer and id = any($1::uuid[])
      union all
      select ${SETTLED_COLUMNS}
      from transfers
      where ledger_id = $2::integer and id = any($1::uuid[])`,
    values: [ids, ledger.id],
  });
  return result.rows.map(toTransfer);
}

/** The members of a group, in their order; none if there is no such group. */
export async function loadGroup(connection: Queryable, ledger: Ledger, groupId: string): Promise<Transfer[]> {
  const result = await connection.query<TransferRow>({
    name: 'load group',
    text: `
      select ${PENDING_COLUMNS}
      from pending_transfers
      where ledger_id = $2::integer and group_id = $1::uuid
      union all
      select ${SETTLED_COLUMNS}
      from transfers
      where ledger_id = $2::integer and group_id = $1::uuid
      order by group_position`,
    values: [groupId, ledger.id],
  });
  return result.rows.map(toTransfer);
}

/**
 * One page of the transfers that match the filter: one statement, so none is seen both before and after it is settled.
 */
export async function listTransfers(
  connection: Queryable,
  ledger: Ledger,
  filter: TransferFilter,
  page: { limit: number; after: TransferCursor | null },
): Promise<TransferPage> {
  const { limit, after } = page;
  const range = filter.status === 'pending' ? null : await loadJournalRange(connection, ledger, filter);
  const values: unknown[] = [ledger.id];
  const bind = (value: unknown) => `$${values.push(value)}`;
  const count = `${bind(limit + 1)}::integer`;
  const sections = [
    ...(after?.stage === 'settled' ? [] : unsettledSection(filter, after, bind)),
    ...(filter.status === 'pending' ? [] : settledSection({ filter, range, after }, bind)),
  ];
  if (sections.length === 0) return { transfers: [], next: null };
  const result = await connection.query<ListedRow>(
    `select *, (select number from journal_head where ledger_id = ${LEDGER}) as head
     from (${sections.map((section) => `(${section} limit ${count})`).join(' union all ')}) as listed
     order by section, case section when 1 then id end desc, journal_number desc, journal_position desc
     limit ${count}`,
    values,
  );
  const shown = result.rows.slice(0, limit);
  const last = shown.at(-1);
  return {
    transfers: shown.map(toTransfer),
    next: result.rows.length > limit && last ? cursorAt(last, shown, after) : null,
  };
}

/** Whether a filter selects a few transfers by an indexed key, so that their list is a look-up. */
function isByKey({ requestId, groupId, parentId }: TransferFilter): boolean {
  return (requestId ?? groupId ?? parentId) !== undefined;
}

/** The parameter of a list's statement that is the ledger. */
const LEDGER = '$1::integer';

type Bind = (value: unknown) => string;

/** Section 1: transfers that were not settled when the first page was read. They may be settled by now. */
function unsettledSection(filter: TransferFilter, after: PendingCursor | null, bind: Bind): string[] {
  const statementOf = (table: string, columns: string, currency: string, conditions: readonly string[]) => {
    const where = new Conditions(filter, bind);
    for (const condition of conditions) where.addText(condition);
    if (after) where.add((value) => `id < ${value}::uuid`, after.id);
    if (filter.account !== undefined) {
      where.add((value) => `(from_account = ${value}::text or to_account = ${value}::text)`, filter.account);
    }
    if (filter.currency !== undefined) where.add((value) => `${currency} = ${value}::text`, filter.currency);
    return `select 1 as section, null::bigint as entry_number, ${columns} from ${table} where ${where.text()} order by id desc`;
  };
  // A pending transfer that names no currency has the currency of its accounts.
  const ofAccounts = `
    select currency
    from accounts
    where ledger_id = ${LEDGER} and account_number = case from_account when '${EXTERNAL}' then to_account else from_account end
    limit 1`;
  const statements: string[] = [];
  if ((filter.status ?? 'pending') === 'pending') {
    statements.push(statementOf('pending_transfers', PENDING_COLUMNS, `coalesce(currency, (${ofAccounts}))`, []));
  }
  if (after && filter.status !== 'pending') {
    const conditions = [`journal_number > ${bind(after.head)}::bigint`];
    if (filter.status !== undefined) conditions.push(`status = ${bind(filter.status)}::text`);
    statements.push(statementOf('transfers', SETTLED_COLUMNS, 'currency', conditions));
  }
  return statements;
}

/** Which settled transfers to list, and from which position. */
type SettledList = { filter: TransferFilter; range: JournalRange | null; after: TransferCursor | null };
/** Conditions of a window of acceptance on settled transfers; they exclude each other. */
type Window = { timely: string; untimely: string | null; conditions: readonly string[] };

/** Section 2: transfers that were settled when the first page was read. */
function settledSection({ filter, range, after }: SettledList, bind: Bind): string[] {
  const where = new Conditions(filter, bind);
  if (filter.status !== undefined) where.add((value) => `status = ${value}::text`, filter.status);
  if (filter.currency !== undefined) where.add((value) => `currency = ${value}::text`, filter.currency);
  if (after?.stage === 'settled') where.addBefore(after);
  if (after?.stage === 'pending') where.add((value) => `journal_number <= ${value}::bigint`, after.head);
  const window = where.window(range);
  if (filter.account !== undefined && !isByKey(filter))
    return settledOfAccount({ filter, range, after }, window, where);
  if (filter.account !== undefined) {
    where.add((value) => `(from_account = ${value}::text or to_account = ${value}::text)`, filter.account);
  }
  return window.conditions.map((condition) => inJournalOrder(condition, where));
}

/** A statement that lists settled transfers by the journal alone. */
function inJournalOrder(condition: string, where: Conditions): string {
  return `
    select 2 as section, null::bigint as entry_number, ${SETTLED_COLUMNS}
    from transfers
    where ${condition} and ${where.text()}
    order by journal_number desc, journal_position desc`;
}

// Transfers that moved money are found through the account's entries, whose numbers run in journal order; failed ones,
// and holds and their ends, through two partial indexes. Each branch is limited on its own, in the order of the whole.
function settledOfAccount({ filter, range, after }: SettledList, window: Window, where: Conditions): string[] {
  const { bind } = where;
  const account = `${bind(filter.account)}::text`;
  const { timely } = window;
  const entryless = (column: string) =>
    inJournalOrder(`from_entry_number is null and ${column} = ${account} and ${timely}`, where);
  const moving = () => {
    const currency = `${bind(filter.currency ?? null)}::text`;
    const [afterEntry, beforeEntry] = [range?.afterEntry ?? null, range?.beforeEntry ?? null];
    const bounds = [
      ...(after?.stage === 'settled' ? [`and entry_number < ${bind(after.entry)}::bigint`] : []),
      ...(afterEntry === null ? [] : [`and entry_number > ${bind(afterEntry)}::bigint`]),
      ...(beforeEntry === null ? [] : [`and entry_number < ${bind(beforeEntry)}::bigint`]),
    ];
    return `
    select 2 as section, entry_number, ${SETTLED_COLUMNS}
    from (
      select entry_number, transfer_id
      from entries
      where ledger_id = ${LEDGER}
        and account_number = ${account}
        and currency = coalesce(${currency}, (
          select currency from accounts where ledger_id = ${LEDGER} and account_number = ${account} limit 1
        ))
        ${bounds.join(' ')}
    ) as own
    join transfers on transfers.ledger_id = ${LEDGER} and transfers.id = own.transfer_id
    where ${timely} and ${where.text()}
    order by entry_number desc`;
  };
  // PostgreSQL cannot infer the type of a parameter that no branch refers to.
  return [
    ...(filter.status === 'failed' ? [] : [moving()]),
    entryless('from_account'),
    entryless('to_account'),
    ...(window.untimely === null
      ? []
      : [inJournalOrder(`${window.untimely} and (from_account = ${account} or to_account = ${account})`, where)]),
  ];
}

const UUID_FORM = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** The conditions of a list, with their values as parameters. */
class Conditions {
  readonly bind: Bind;
  readonly #conditions: string[] = [`ledger_id = ${LEDGER}`];

  /** `bind` takes a value and returns its parameter. */
  constructor(filter: TransferFilter, bind: Bind) {
    this.bind = bind;
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
    if (since !== undefined) this.add((value) => `created_at >= ${value}::timestamptz`, roundUp(since));
    if (until !== undefined) this.add((value) => `created_at < ${value}::timestamptz`, roundUp(until));
  }

  /** Conditions on the timely transfers of a window, and on the few others; see acceptance-window.ts. */
  window(range: JournalRange | null): Window {
    if (range === null) return { timely: 'true', untimely: null, conditions: ['true'] };
    const { afterNumber: after, beforeNumber: before } = range;
    const timely = [
      `not (${UNTIMELY})`,
      ...(after === null ? [] : [`journal_number > ${this.bind(after)}::bigint`]),
      ...(before === null ? [] : [`journal_number < ${this.bind(before)}::bigint`]),
    ].join(' and ');
    return { timely, untimely: UNTIMELY, conditions: [timely, UNTIMELY] };
  }

  add(condition: (value: string) => string, value: unknown): void {
    this.#conditions.push(condition(this.bind(value)));
  }

  addText(condition: string): void {
    this.#conditions.push(condition);
  }

  addBefore(cursor: { number: string; position: number }): void {
    const [number, position] = [this.bind(cursor.number), this.bind(cursor.position)];
    this.#conditions.push(`(journal_number, journal_position) < (${number}::bigint, ${position}::integer)`);
  }

  text(): string {
    return this.#conditions.join(' and ');
  }
}

function cursorAt(last: ListedRow, shown: readonly ListedRow[], before: TransferCursor | null): TransferCursor {
  if (last.section === 1) {
    return { stage: 'pending', id: last.id, head: before?.stage === 'pending' ? before.head : String(last.head) };
  }
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
    by: { orderedBy: row.ordered_by, approvedBy: row.approved_by },
    description: row.description,
    metadata: row.metadata,
    createdAt: row.created_at,
    completedAt: row.completed_at,
    journalNumber: row.journal_number,
  };
}
