// Lists transfers, pending or settled: one page of those that match a filter, in either direction.
import type { FailureCode, TransferKind } from '../../domain/transfer.ts';
import type { Ledger } from '../../domain/ledger.ts';
import type { Queryable } from '../connection/connect.ts';
import { type JournalRange, loadJournalRange, UNTIMELY } from './acceptance-window.ts';
import { loadArchiveEnd } from './archive.ts';
import { roundUp } from './instants.ts';
import { BEGAN, beganAndIs, withEnds } from './ends-between-ledgers.ts';
import { type MetadataFilter, metadataCondition } from './metadata.ts';
import { PENDING_COLUMNS, SETTLED_COLUMNS, toTransfer, type Transfer, type TransferRow } from './transfers.ts';
import { journalEnd } from './journal-end.ts';

/** What to list. Times are RFC 3339; `since` is inclusive and `until` exclusive, both on the time of acceptance. */
export type TransferFilter = {
  readonly account?: string | undefined;
  /** The currency of the transfer, or of its accounts; @external has an account in each. */
  readonly currency?: string | undefined;
  readonly kind?: TransferKind | undefined;
  readonly status?: Transfer['status'] | undefined;
  /** Only failed transfers have one. */
  readonly failureCode?: FailureCode | undefined;
  /** Both inclusive, in minor units. A transfer whose amount is not known yet does not match. */
  readonly amountMin?: number | undefined;
  readonly amountMax?: number | undefined;
  /** The whole description. */
  readonly description?: string | undefined;
  readonly requestId?: string | undefined;
  readonly groupId?: string | undefined;
  readonly parentId?: string | undefined;
  readonly metadata?: MetadataFilter | undefined;
  readonly since?: string | undefined;
  readonly until?: string | undefined;
};

/**
 * Where a page ended. Newest first: transfers that were pending when the first page was read, by their ids; then settled
 * ones, last settled first. Oldest first: the reverse. `head` is the end of the journal when the first page with pending
 * transfers was read. One of them that is settled between two pages keeps its place, so that each is shown once.
 * `entry` is that of the account's last entry that was shown, null if there was none; it only bounds what is read.
 */
export type TransferCursor =
  | { readonly stage: 'pending'; readonly id: string; readonly head: string }
  | { readonly stage: 'settled'; readonly number: string; readonly position: number; readonly entry: string | null };

export type TransferPage = { readonly transfers: readonly Transfer[]; readonly next: TransferCursor | null };

/** A row of a list. `section`: 1 was pending when the first page was read, 2 was settled. */
type ListedRow = TransferRow & { section: number; entry_number: bigint | null; head: bigint };

/**
 * One page of the transfers that match the filter: one statement, so none is seen both before and after it is settled.
 */
export async function listTransfers(
  connection: Queryable,
  ledger: Ledger,
  filter: TransferFilter,
  page: { limit: number; after: TransferCursor | null; newestFirst: boolean },
): Promise<TransferPage> {
  const { limit, after } = page;
  const direction = page.newestFirst ? NEWEST : OLDEST;
  const range = filter.status === 'pending' ? null : await loadJournalRange(connection, ledger, filter);
  // Transfers of archived months are not found through their entries.
  const isOfAccount = filter.account !== undefined && filter.status !== 'pending' && !isByKey(filter);
  const archive = isOfAccount ? await loadArchiveEnd(connection, ledger) : null;
  const values: unknown[] = [ledger.id];
  const bind = (value: unknown) => `$${values.push(value)}`;
  const count = `${bind(limit + 1)}::integer`;
  // In each direction, one of the two cursors is behind the other section.
  const isBehind = (stage: TransferCursor['stage']) =>
    after !== null && after.stage !== stage && (stage === 'pending') === page.newestFirst;
  const list = { filter, range, after, direction, archivedTo: archive?.journalNumber ?? null };
  const sections = [
    ...(isBehind('pending') ? [] : unsettledSection(list, bind)),
    ...(isBehind('settled') || filter.status === 'pending' ? [] : settledSection(list, bind)),
  ];
  if (sections.length === 0) return { transfers: [], next: null };
  const { sql } = direction;
  const result = await connection.query<ListedRow>(
    `select *, (select number from ${journalEnd(LEDGER)} as head) as head
     from (${sections.map((section) => `(${section} limit ${count})`).join(' union all ')}) as listed
     order by section ${direction.sections}, case section when 1 then id end ${sql}, journal_number ${sql}, journal_position ${sql}
     limit ${count}`,
    values,
  );
  const shown = result.rows.slice(0, limit);
  const last = shown.at(-1);
  return {
    transfers: await withEnds(connection, ledger, shown.map(toTransfer)),
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

/** `beyond`: compares with the last item of a page, to find those that follow it. */
type Direction = { readonly sql: 'asc' | 'desc'; readonly beyond: '<' | '>'; readonly sections: 'asc' | 'desc' };
const NEWEST: Direction = { sql: 'desc', beyond: '<', sections: 'asc' };
const OLDEST: Direction = { sql: 'asc', beyond: '>', sections: 'desc' };

/** What to list, from which position, and in which direction. */
type List = {
  readonly filter: TransferFilter;
  readonly range: JournalRange | null;
  readonly after: TransferCursor | null;
  readonly direction: Direction;
  /** The last row of the archived months, if a list of an account needs to know; null: none. */
  readonly archivedTo: bigint | null;
};

/** Section 1: transfers that were not settled when the first page was read. They may be settled by now. */
function unsettledSection({ filter, after: cursor, direction }: List, bind: Bind): string[] {
  // Beyond a settled transfer, oldest first, all pending ones follow.
  const after = cursor?.stage === 'pending' ? cursor : null;
  const statementOf = (table: string, columns: string, currency: string, conditions: readonly string[]) => {
    const where = new Conditions(filter, bind);
    for (const condition of conditions) where.addText(condition);
    if (after) where.add((value) => `id ${direction.beyond} ${value}::uuid`, after.id);
    if (filter.account !== undefined) {
      where.add((value) => `(from_account = ${value}::text or to_account = ${value}::text)`, filter.account);
    }
    if (filter.currency !== undefined) where.add((value) => `${currency} = ${value}::text`, filter.currency);
    return `select 1 as section, null::bigint as entry_number, ${columns} from ${table} where ${where.text()} order by id ${direction.sql}`;
  };
  // A pending transfer that names no currency has the currency of its accounts.
  const ofAccounts = `
    select currency
    from accounts
    where ledger_id = ${LEDGER} and account_number = case when from_account like '@%' then to_account else from_account end
    limit 1`;
  const statements: string[] = [];
  // A pending transfer has not failed.
  if ((filter.status ?? 'pending') === 'pending' && filter.failureCode === undefined) {
    statements.push(statementOf('pending_transfers', PENDING_COLUMNS, `coalesce(currency, (${ofAccounts}))`, []));
    // Without this filter, a transfer to another ledger is listed where its hold was settled.
    if (filter.status === 'pending') {
      statements.push(statementOf('transfers', SETTLED_COLUMNS, 'currency', [isOneOf('open')]));
    }
  }
  if (after && filter.status !== 'pending') {
    const conditions = [`journal_number > ${bind(after.head)}::bigint`];
    conditions.push(...settledConditions(filter, bind));
    statements.push(statementOf('transfers', SETTLED_COLUMNS, 'currency', conditions));
  }
  return statements;
}

/** SQL: whether a row began a transfer to another ledger that is in this state. Few are, and an index has them. */
function isOneOf(state: 'open' | 'voided'): string {
  return `${BEGAN} and id in (
      select holds.id
      from holds
      where holds.ledger_id = ${LEDGER} and state = '${state}' and to_account like '@ledger:%'
    )`;
}

/** Conditions on columns that pending transfers do not have. */
function settledConditions({ status, failureCode }: TransferFilter, bind: Bind): string[] {
  const ofStatus = {
    // No settled row is: section 1 has those that have begun.
    pending: 'false',
    completed: `status = 'completed' and (not ${BEGAN} or ${beganAndIs('captured')})`,
    failed: `(status = 'failed' or ${beganAndIs('voided')})`,
  };
  return [
    ...(status === undefined ? [] : [ofStatus[status]]),
    ...(failureCode === undefined ? [] : [`failure_code = ${bind(failureCode)}::text`]),
  ];
}

/** Conditions of a window of acceptance on settled transfers; they exclude each other. */
type Window = { timely: string; untimely: string | null; conditions: readonly string[] };

/** Section 2: transfers that were settled when the first page was read. */
function settledSection(list: List, bind: Bind): string[] {
  const { filter, range, after, direction } = list;
  const where = new Conditions(filter, bind);
  for (const condition of settledConditions(filter, bind)) where.addText(condition);
  if (filter.currency !== undefined) where.add((value) => `currency = ${value}::text`, filter.currency);
  if (after?.stage === 'settled') where.addBeyond(after, direction);
  if (after?.stage === 'pending') where.add((value) => `journal_number <= ${value}::bigint`, after.head);
  const window = where.window(range);
  if (filter.account !== undefined && !isByKey(filter)) return settledOfAccount(list, window, where);
  if (filter.account !== undefined) {
    where.add((value) => `(from_account = ${value}::text or to_account = ${value}::text)`, filter.account);
  }
  // Each branch has an index of its own: that of failed rows, and that of voided holds.
  const kinds = filter.status === 'failed' ? [` and status = 'failed'`, ` and ${isOneOf('voided')}`] : [''];
  return window.conditions.flatMap((condition) =>
    kinds.map((kind) => inJournalOrder(condition + kind, where, direction)),
  );
}

/** A statement that lists settled transfers by the journal alone. */
function inJournalOrder(condition: string, where: Conditions, { sql }: Direction): string {
  return `
    select 2 as section, null::bigint as entry_number, ${SETTLED_COLUMNS}
    from transfers
    where ${condition} and ${where.text()}
    order by journal_number ${sql}, journal_position ${sql}`;
}

// Transfers that moved money are found through the account's entries, whose numbers run in journal order; failed ones,
// and holds and their ends, through two partial indexes. Each branch is limited on its own, in the order of the whole.
function settledOfAccount(
  { filter, range, after, direction, archivedTo }: List,
  window: Window,
  where: Conditions,
): string[] {
  const { bind } = where;
  const account = `${bind(filter.account)}::text`;
  const { timely } = window;
  const entryless = (column: string) =>
    inJournalOrder(`from_entry_number is null and ${column} = ${account} and ${timely}`, where, direction);
  const moving = () => {
    const currency = `${bind(filter.currency ?? null)}::text`;
    const [afterEntry, beforeEntry] = [range?.afterEntry ?? null, range?.beforeEntry ?? null];
    const bounds = [
      ...(after?.stage === 'settled' && after.entry !== null
        ? [`and entry_number ${direction.beyond}= ${bind(after.entry)}::bigint`]
        : []),
      ...(afterEntry === null ? [] : [`and entry_number > ${bind(afterEntry)}::bigint`]),
      ...(beforeEntry === null ? [] : [`and entry_number < ${bind(beforeEntry)}::bigint`]),
      ...(archivedTo === null ? [] : [`and journal_number > ${bind(archivedTo)}::bigint`]),
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
    order by entry_number ${direction.sql}`;
  };
  // In archived months the journal is read instead of the entries. A window bounds how much of it.
  const archived = (end: bigint) =>
    inJournalOrder(
      `from_entry_number is not null and journal_number <= ${bind(end)}::bigint
        and (from_account = ${account} or to_account = ${account}) and ${timely}`,
      where,
      direction,
    );
  // PostgreSQL cannot infer the type of a parameter that no branch refers to.
  return [
    ...(filter.status === 'failed' || filter.failureCode !== undefined
      ? []
      : [moving(), ...(archivedTo === null ? [] : [archived(archivedTo)])]),
    entryless('from_account'),
    entryless('to_account'),
    ...(window.untimely === null
      ? []
      : [
          inJournalOrder(
            `${window.untimely} and (from_account = ${account} or to_account = ${account})`,
            where,
            direction,
          ),
        ]),
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
    const { requestId, groupId, parentId, metadata, since, until, kind, amountMin, amountMax, description } = filter;
    if (requestId !== undefined) {
      // A request that named no id of its own has the id of its group, or of its transfer.
      const own = UUID_FORM.test(requestId) ? this.bind(requestId) : null;
      const made =
        own && `or (request_id is null and (group_id = ${own}::uuid or (group_id is null and id = ${own}::uuid)))`;
      this.add((value) => `(request_id = ${value}::text ${made ?? ''})`, requestId);
    }
    // One of a few known words, not a parameter: the planner must see that the index of kinds has it.
    if (kind !== undefined) this.addText(`kind = '${kind}'`);
    if (amountMin !== undefined) this.add((value) => `amount >= ${value}::bigint`, amountMin);
    if (amountMax !== undefined) this.add((value) => `amount <= ${value}::bigint`, amountMax);
    if (description !== undefined) this.add((value) => `description = ${value}::text`, description);
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
      // The planner has no statistics of this condition, and takes `not` of it for one in 200 rows. It would read and sort the
      // whole window, instead of a page in order. It takes a case for every second row.
      `case when ${UNTIMELY} then false else true end`,
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

  addBeyond(cursor: { number: string; position: number }, { beyond }: Direction): void {
    const [number, position] = [this.bind(cursor.number), this.bind(cursor.position)];
    this.#conditions.push(`(journal_number, journal_position) ${beyond} (${number}::bigint, ${position}::integer)`);
  }

  text(): string {
    return this.#conditions.join(' and ');
  }
}

function cursorAt(last: ListedRow, shown: readonly ListedRow[], before: TransferCursor | null): TransferCursor {
  if (last.section === 1) {
    return { stage: 'pending', id: last.id, head: before?.stage === 'pending' ? before.head : String(last.head) };
  }
  const entry = shown.findLast((row) => row.entry_number !== null)?.entry_number ?? null;
  return {
    stage: 'settled',
    number: String(last.journal_number),
    position: last.journal_position ?? 0,
    entry: entry === null ? (before?.stage === 'settled' ? before.entry : null) : String(entry),
  };
}
