// The parts of audit checks: comparisons of stored values with the values that other rows imply, and the rows in scope.
// It deliberately shares nothing with settlement.

/**
 * The scope of an audit: all ledgers (null), or one by its id. Of one ledger: everything (null), or only the rows after
 * this journal number, which was verified earlier, and up to `until`. Or only the rows of a page.
 */
export type Scope =
  | {
      readonly ledger: null;
      readonly since: null;
      readonly until?: never;
      readonly page?: Page;
      readonly others?: never;
      readonly archived?: boolean;
    }
  | {
      readonly ledger: number;
      readonly since: bigint | null;
      readonly until?: bigint;
      readonly page?: Page;
      /** Other snapshots of the same audit show the other ledgers, so rows of two ledgers are compared. */
      readonly others?: boolean;
      /** The scope has archived months, whose entries follow from the transfers. */
      readonly archived?: boolean;
    };

/** Rows by their keys: those above `after` and up to `upTo`; null: from the first, or to the last. */
export type KeyRange = { readonly after: string | null; readonly upTo: string | null };

/** Rows by their place: in these blocks of the table, without the last. No index is read. */
export type BlockRange = { readonly from: number; readonly to: number };

/** What one snapshot of an audit in many snapshots shows, apart from the journal. `sums`: what is summed up over few rows. */
export type Page =
  | ({ readonly of: 'accounts' | 'reversed_amounts' } & KeyRange)
  | ({ readonly of: 'holds'; readonly openOnly: boolean } & KeyRange)
  | ({ readonly of: 'idempotency_keys' } & (KeyRange | BlockRange))
  | { readonly of: 'pending_transfers' }
  | { readonly of: 'sums' };

/** The parts of an audit in many snapshots: the books as a whole, a slice of a journal, or a page. */
export type Part = 'books' | 'slice' | Page['of'];

/** A condition on a row. `holds`, `expected` and `found` are SQL expressions. */
export type Fact = {
  readonly what: string;
  readonly holds: string;
  readonly expected: string;
  readonly found: string;
};

export type Comparison = {
  readonly from: string;
  readonly where?: string;
  /** SQL expressions for the subject of a discrepancy; absent: none. `ledger` is an id. */
  readonly ledger?: string;
  readonly account?: string;
  readonly currency?: string;
  readonly transfer?: string;
  readonly journal?: string;
  /** Whether the row exists. If not, only this is reported, and the facts are not checked. */
  readonly presence?: Fact;
  readonly facts: readonly Fact[];
};

/** The tables whose rows an audit counts. */
export type Counted =
  | 'ledgers'
  | 'journal_head'
  | 'accounts'
  | 'personal_keys'
  | 'account_changes'
  | 'transfers'
  | 'entries'
  | 'holds'
  | 'reversed_amounts'
  | 'journal'
  | 'leases'
  | 'ledger_leases'
  | 'pending_transfers'
  | 'idempotency_keys'
  | 'audit_log';

export type Check = {
  /** Stable: scripts and auditors refer to it. */
  readonly name: string;
  readonly looksAt: readonly Counted[];
  /** In which parts of an audit in many snapshots it is done. */
  readonly parts: readonly Part[];
  /** The number of checked items that are not rows of the ledger. */
  readonly others?: number;
  /**
   * The statements that select its discrepancies. Null: the check is impossible in this scope, and is skipped. `part`: of
   * an audit in many snapshots; null: one snapshot shows all.
   */
  readonly statements: (scope: Scope, part: Part | null) => readonly string[] | null;
};

export const MONEY_BOUND = '9007199254740991';
export const MOVES_MONEY = `('transfer', 'capture', 'reversal')`;

/** Both expressions are equal; null equals null. */
export function equal(what: string, expected: string, found: string): Fact {
  return { what, holds: `(${expected}) is not distinct from (${found})`, expected, found };
}

/** A condition is true; `expected` is the expectation in words. */
export function must(what: string, holds: string, expected: string, found: string): Fact {
  return { what, holds, expected: `'${expected.replaceAll("'", "''")}'`, found };
}

/** An amount of money that is present and within the bounds, in minor units. */
export function mustBeBetween(what: string, min: string): Fact {
  return must(what, `${what} between ${min} and ${MONEY_BOUND}`, `${min} to ${MONEY_BOUND}`, what);
}

/** A statement that returns one row for every fact that does not hold. */
export function compare({
  from,
  where,
  ledger,
  account,
  currency,
  transfer,
  journal,
  presence,
  facts,
}: Comparison): string {
  const guarded = facts.map((fact) => ({
    ...fact,
    holds: presence ? `((${presence.holds}) is not true or (${fact.holds}))` : `(${fact.holds})`,
  }));
  const all = presence ? [{ ...presence, holds: `(${presence.holds})` }, ...guarded] : guarded;
  const rows = all.map(
    ({ what, holds, expected, found }) =>
      `('${what.replaceAll("'", "''")}', ${holds} is true, (${expected})::text, (${found})::text)`,
  );
  return `
    select ${ledger ?? 'null'}::bigint as ledger, ${account ?? 'null'}::text as account, ${currency ?? 'null'}::text as currency,
      ${transfer ?? 'null'}::text as transfer, ${journal ?? 'null'}::bigint as journal, fact.what, fact.expected, fact.found
    from ${from}
    cross join lateral (
      values ${rows.join(',\n        ')}
    ) as fact (what, holds, expected, found)
    -- All facts at once first: nearly every row passes, and is not examined further.
    where (${all.map(({ holds }) => `${holds} is true`).join('\n      and ')}) is not true
      and not fact.holds
      ${where === undefined ? '' : `and (${where})`}`;
}

export function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/** The column by which a page of accounts selects the rows of a table. */
const ACCOUNT_COLUMNS: Readonly<Record<string, string>> = {
  accounts: 'account_number',
  personal_keys: 'account_number',
  account_changes: 'account_number',
  holds: 'from_account',
  sealed_balances: 'account_number',
};

/** The condition that selects the rows of a page; null: all rows of the table. */
function conditionOf(page: Page, table: string): string | null {
  switch (page.of) {
    case 'accounts': {
      const column = ACCOUNT_COLUMNS[table];
      return column === undefined ? null : within(column, page);
    }
    case 'reversed_amounts':
      return table === page.of ? within('transfer_id', page) : null;
    case 'idempotency_keys':
      if (table !== page.of) return null;
      return 'from' in page ? withinBlocks(page) : within('key', page);
    default:
      return null;
  }
}

/** The condition that a key is in a range; null: every key is. */
export function within(column: string, { after, upTo }: KeyRange): string | null {
  const bounds = [
    ...(after === null ? [] : [`${column} > ${literal(after)}`]),
    ...(upTo === null ? [] : [`${column} <= ${literal(upTo)}`]),
  ];
  return bounds.length === 0 ? null : bounds.join(' and ');
}

export function withinBlocks({ from, to }: BlockRange): string {
  return `ctid >= '(${from},0)'::tid and ctid < '(${to},0)'::tid`;
}

/** Whether the audit covers all ledgers, if not in this snapshot, then in others. */
export function coversAll({ ledger, others }: Scope): boolean {
  return ledger === null || others === true;
}

/** Whether the rows in scope are few, so that related rows are looked up by key. */
export function isShort({ since, page }: Scope): boolean {
  return since !== null || page !== undefined;
}

/** The rows of a table that belong to a ledger in scope. */
export function rowsIn(scope: Scope, table: string): string {
  if (table === 'entries' && scope.archived === true && !isShort(scope)) return everyEntry(scope);
  return storedIn(scope, table);
}

function storedIn({ ledger, page }: Scope, table: string): string {
  const conditions = [
    ledger === null ? null : `ledger_id = ${ledger}`,
    page === undefined ? null : conditionOf(page, table),
  ].filter((condition) => condition !== null);
  return conditions.length === 0 ? table : `(select * from ${table} where ${conditions.join(' and ')})`;
}

/** The last row of the archived months of each ledger that has any. */
export const ARCHIVED_ENDS = `(
  select ledger_id, max(journal_number) as number from archived_months group by ledger_id
)`;

/** SQL: the last row of a ledger's archived months; 0: it has none. */
export function archivedEnd(ledger: string): string {
  return `coalesce((
    select max(archived_months.journal_number) from archived_months where archived_months.ledger_id = ${ledger}
  ), 0)`;
}

/**
 * The entries of archived months, as their transfers imply them: an account's amounts in the order of their numbers add up to
 * its balances.
 */
export function impliedEntries(scope: Scope): string {
  const side = (account: string, number: string, amount: string) => `
      select transfers.ledger_id, ${account} as account_number, currency, ${number} as entry_number, ${amount} as amount,
        journal_number, id as transfer_id
      from ${storedIn(scope, 'transfers')} as transfers
      join ${ARCHIVED_ENDS} as ended
        on ended.ledger_id = transfers.ledger_id and transfers.journal_number <= ended.number
      where status = 'completed' and kind in ${MOVES_MONEY}`;
  // A sum beyond the range of a balance is none, and is found as a wrong one. It must not end the audit.
  return `(
    select ledger_id, account_number, currency, entry_number, amount,
      case when abs(total) <= ${MONEY_BOUND} then total::bigint end as balance, journal_number, transfer_id
    from (
      select *,
        sum(amount) over (partition by ledger_id, account_number, currency order by entry_number) as total
      from (${side('from_account', 'from_entry_number', '-amount')}
      union all${side('to_account', 'to_entry_number', 'amount')}) as side
    ) as added
  )`;
}

/** The implied entries of archived months, and the stored ones after them. */
function everyEntry(scope: Scope): string {
  return `(
    select stored.ledger_id, account_number, currency, entry_number, amount, balance, journal_number, transfer_id
    from ${storedIn(scope, 'entries')} as stored
    left join ${ARCHIVED_ENDS} as ended on ended.ledger_id = stored.ledger_id
    where stored.journal_number > coalesce(ended.number, 0)
    union all
    select * from ${impliedEntries(scope)} as implied
  )`;
}

/** The rows of a table in scope; `column` has their journal number. */
function rowsSince(scope: Scope, table: string, column: string): string {
  const { ledger, since, until } = scope;
  if (since === null) return rowsIn(scope, table);
  const end = until === undefined ? '' : ` and ${column} <= ${until}`;
  return `(select * from ${table} where ledger_id = ${ledger} and ${column} > ${since}${end})`;
}

/** The settled transfers in scope. */
export function transfersIn(scope: Scope): string {
  return rowsSince(scope, 'transfers', 'journal_number');
}

/** The rows of the journal in scope. */
export function journalIn(scope: Scope): string {
  return rowsSince(scope, 'journal', 'number');
}

/** The account changes in scope. */
export function changesIn(scope: Scope): string {
  return rowsSince(scope, 'account_changes', 'journal_number');
}

/** The administrative acts in scope. */
export function actsIn(scope: Scope): string {
  return `(select * from ${rowsSince(scope, 'audit_log', 'journal_number')} as acts where journal_number is not null)`;
}

/** The accounts on which transfers in scope moved money, with the first and last entry number that any of them names. */
export function touchedAccounts(scope: Scope): string {
  const side = (account: string, number: string) => `
    select ledger_id, ${account} as account_number, currency, ${number} as entry_number
    from ${transfersIn(scope)} as transfers
    where ${number} is not null and currency is not null`;
  return `(
    select ledger_id, account_number, currency, min(entry_number) as first_number${
      scope.until === undefined ? '' : ', max(entry_number) as last_number'
    }
    from (${side('from_account', 'from_entry_number')} union all ${side('to_account', 'to_entry_number')}) as side
    group by ledger_id, account_number, currency
  )`;
}

/**
 * The entries in scope. They need no index over journal numbers: from the first entry that a transfer in scope names,
 * all of an account's entries are in scope; in a slice up to the last that a transfer names.
 */
export function entriesIn(scope: Scope): string {
  return scope.since === null
    ? rowsIn(scope, 'entries')
    : `(select * from ${entriesWithAnchors(scope)} as anchored where audited)`;
}

/**
 * The entries in scope, and for each account the preceding entry. It is not `audited`, but states where the run begins.
 */
export function entriesWithAnchors(scope: Scope): string {
  if (scope.since === null) return `(select entries.*, true as audited from ${rowsIn(scope, 'entries')} as entries)`;
  return `(
    select entries.*, entries.entry_number >= touched.first_number as audited
    from ${touchedAccounts(scope)} as touched
    cross join lateral (
      select *
      from entries
      where entries.ledger_id = touched.ledger_id
        and entries.account_number = touched.account_number
        and entries.currency = touched.currency
        and entries.entry_number >= touched.first_number - 1${
          scope.until === undefined ? '' : ' and entries.entry_number <= touched.last_number'
        }
      -- Keeps the planner from making a join of this: look-ups by key are what makes a short scope fast.
      offset 0
    ) as entries
  )`;
}

/** A join. In a short scope: one look-up by key for each row, instead of a pass over the table. */
export function join(scope: Scope, table: string, alias: string, on: string): string {
  return isShort(scope)
    ? `join lateral (select * from ${table} as ${alias} where ${on} offset 0) as ${alias} on true`
    : `join ${table} as ${alias} on ${on}`;
}

/** The same for a left join. */
export function leftJoin(scope: Scope, table: string, alias: string, on: string): string {
  return `left ${join(scope, table, alias, on)}`;
}
