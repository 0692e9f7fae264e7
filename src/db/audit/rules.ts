// The parts of audit checks: comparisons of stored values with the values that other rows imply, and the rows in scope.
// It deliberately shares nothing with settlement.

/**
 * The scope of an audit: all ledgers (null), or one by its id. Of one ledger: everything (null), or only the rows after
 * this journal number, which was verified earlier.
 */
export type Scope =
  | { readonly ledger: null; readonly since: null }
  | { readonly ledger: number; readonly since: bigint | null };

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
  | 'pending_transfers'
  | 'idempotency_keys'
  | 'audit_log';

export type Check = {
  /** Stable: scripts and auditors refer to it. */
  readonly name: string;
  readonly looksAt: readonly Counted[];
  /** The number of checked items that are not rows of the ledger. */
  readonly others?: number;
  /** The statements that select its discrepancies. Null: the check is impossible in this scope, and is skipped. */
  readonly statements: (scope: Scope) => readonly string[] | null;
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

/** The rows of a table that belong to a ledger in scope. */
export function rowsIn({ ledger }: Scope, table: string): string {
  return ledger === null ? table : `(select * from ${table} where ledger_id = ${ledger})`;
}

/** The rows of a table in scope; `column` has their journal number. */
function rowsSince(scope: Scope, table: string, column: string): string {
  const { ledger, since } = scope;
  return since === null
    ? rowsIn(scope, table)
    : `(select * from ${table} where ledger_id = ${ledger} and ${column} > ${since})`;
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

/** The accounts on which transfers in scope moved money, with the first entry number that any of them names. */
export function touchedAccounts(scope: Scope): string {
  const side = (account: string, number: string) => `
    select ledger_id, ${account} as account_number, currency, ${number} as entry_number
    from ${transfersIn(scope)} as transfers
    where ${number} is not null and currency is not null`;
  return `(
    select ledger_id, account_number, currency, min(entry_number) as first_number
    from (${side('from_account', 'from_entry_number')} union all ${side('to_account', 'to_entry_number')}) as side
    group by ledger_id, account_number, currency
  )`;
}

/**
 * The entries in scope. They need no index over journal numbers: from the first entry that a transfer in scope names,
 * all of an account's entries are in scope.
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
        and entries.entry_number >= touched.first_number - 1
      -- Keeps the planner from making a join of this: look-ups by key are what makes a short scope fast.
      offset 0
    ) as entries
  )`;
}

/** A left join. In a short scope: one look-up by key for each row, instead of a pass over the table. */
export function leftJoin({ since }: Scope, table: string, alias: string, on: string): string {
  return since === null
    ? `left join ${table} as ${alias} on ${on}`
    : `left join lateral (select * from ${table} as ${alias} where ${on} offset 0) as ${alias} on true`;
}
