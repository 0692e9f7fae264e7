// The checks of closed months: every sealed balance follows from the entries, and the hashes of the months follow from the
// sealed balances.
import {
  archivedEnd,
  type Check,
  compare,
  equal,
  isShort,
  leftJoin,
  must,
  type Part,
  rowsIn,
  type Scope,
  transfersIn,
} from './rules.ts';

const NO_HASH = `decode(repeat('00', 32), 'hex')`;

const MONTH_OF_ROW = `date_trunc('month', journal.settled_at at time zone 'UTC')::date`;

/** The last rows of the journal in months: by one look-up for each month, or from all rows. */
function endsOfMonths(scope: Scope): string {
  return isShort(scope)
    ? `left join lateral (
        select number
        from journal
        where journal.ledger_id = months.ledger_id
          and journal.settled_at < (months.month + interval '1 month') at time zone 'UTC'
        order by settled_at desc, number desc
        limit 1
      ) as own on true`
    : `left join (
        select journal.ledger_id, ${MONTH_OF_ROW} as month, max(number) as number
        from ${rowsIn(scope, 'journal')} as journal
        group by journal.ledger_id, ${MONTH_OF_ROW}
      ) as own on own.ledger_id = months.ledger_id and own.month = months.month`;
}

/** The months of the ledgers in scope, each with the one before it, and where the journal was at its end. */
function monthsIn(scope: Scope): string {
  return `(
    select months.*, ledgers.name,
      lag(months.month) over previous as month_before,
      coalesce(lag(months.journal_number) over previous, 0) as number_before,
      coalesce(lag(months.hash) over previous, ${NO_HASH}) as hash_before,
      coalesce(max(own.number) over previous, 0) as last_number
    from ${rowsIn(scope, 'closed_months')} as months
    left join ledgers on ledgers.id = months.ledger_id
    ${endsOfMonths(scope)}
    window previous as (partition by months.ledger_id order by months.month)
  )`;
}

function ends(scope: Scope): string {
  return compare({
    from: `${monthsIn(scope)} as months
      left join ${rowsIn(scope, 'journal')} as journal
        on journal.ledger_id = months.ledger_id and journal.number = months.journal_number`,
    ledger: 'months.ledger_id',
    journal: 'months.journal_number',
    facts: [
      equal('journal_number of a closed month', 'months.last_number', 'months.journal_number'),
      must(
        'month that is closed',
        `months.month_before is null or months.month = months.month_before + interval '1 month'`,
        'the one after the month before',
        'months.month',
      ),
      equal(
        'journal_hash of a closed month',
        `encode(coalesce(journal.hash, ${NO_HASH}), 'hex')`,
        `encode(months.journal_hash, 'hex')`,
      ),
      equal(
        'previous_hash of a closed month',
        `encode(months.hash_before, 'hex')`,
        `encode(months.previous_hash, 'hex')`,
      ),
      equal(
        'hash of a closed month',
        `encode(sha256(
          months.previous_hash
          || convert_to(
            concat_ws('|', months.name, to_char(months.month, 'YYYY-MM'), months.journal_number, months.account_count),
            'UTF8'
          )
          || months.journal_hash || months.digest
        ), 'hex')`,
        `encode(months.hash, 'hex')`,
      ),
      must(
        'act of the audit log that closes the month',
        `exists (
          select
          from ${rowsIn(scope, 'audit_log')} as act
          where act.ledger_id = months.ledger_id and act.action = 'ledger.month_closed' and act.journal_number is not null
            and act.details::jsonb ->> 'hash' = encode(months.hash, 'hex')
        )`,
        'one with its hash',
        `'none'`,
      ),
    ],
  });
}

/** The last entry of each account in each closed month, by the entries. */
function lastEntries(scope: Scope): string {
  return `(
    select distinct on (entries.ledger_id, entries.account_number, entries.currency, months.journal_number)
      entries.ledger_id, entries.account_number, entries.currency, months.journal_number, entries.entry_number, entries.balance
    from ${rowsIn(scope, 'entries')} as entries
    join ${rowsIn(scope, 'journal')} as journal
      on journal.ledger_id = entries.ledger_id and journal.number = entries.journal_number
    join ${rowsIn(scope, 'closed_months')} as months
      on months.ledger_id = entries.ledger_id and months.month = ${MONTH_OF_ROW}
    order by entries.ledger_id, entries.account_number, entries.currency, months.journal_number, entries.entry_number desc
  )`;
}

function balances(scope: Scope): string {
  return compare({
    from: `${lastEntries(scope)} as last
      full join ${rowsIn(scope, 'sealed_balances')} as sealed
        using (ledger_id, account_number, currency, journal_number)`,
    // A run of the command that was interrupted has sealed a part of a month that is over. The next run completes it.
    where: `last.entry_number is not null
      or exists (
        select
        from closed_months
        where closed_months.ledger_id = sealed.ledger_id and closed_months.journal_number = sealed.journal_number
      )
      or not exists (
        select
        from (
          select entries.entry_number, entries.balance
          from entries
          where entries.ledger_id = sealed.ledger_id and entries.account_number = sealed.account_number
            and entries.currency = sealed.currency and entries.journal_number <= sealed.journal_number
          order by entries.entry_number desc
          limit 1
        ) as own
        where own.entry_number = sealed.entry_number and own.balance = sealed.balance
      )`,
    ledger: 'ledger_id',
    account: 'account_number',
    currency: 'currency',
    journal: 'journal_number',
    facts: [
      equal('entry of a sealed balance', 'last.entry_number', 'sealed.entry_number'),
      equal('sealed balance', 'last.balance', 'sealed.balance'),
    ],
  });
}

// By keys: each sealed balance is that of an entry of its month, and the next entry comes after the month.
function balancesOfPage(scope: Scope): string {
  const entry = (number: string) =>
    `entry.ledger_id = sealed.ledger_id and entry.account_number = sealed.account_number
      and entry.currency = sealed.currency and entry.entry_number = ${number}`;
  return compare({
    from: `(
        select sealed.*,
          -- A run of the command that was interrupted has sealed a part of a month that is over.
          exists (
            select
            from closed_months as months
            where months.ledger_id = sealed.ledger_id and months.journal_number = sealed.journal_number
          ) as is_closed,
          coalesce((
            select max(months.journal_number)
            from closed_months as months
            where months.ledger_id = sealed.ledger_id and months.journal_number < sealed.journal_number
          ), 0) as number_before
        from ${rowsIn(scope, 'sealed_balances')} as sealed
      ) as sealed
      ${leftJoin(scope, 'entries', 'entry', entry('sealed.entry_number'))}
      ${leftJoin(scope, 'entries', 'next', entry('sealed.entry_number + 1').replaceAll('entry.', 'next.'))}`,
    // Of archived months, only the last entry of an account stays.
    where: `sealed.journal_number > ${archivedEnd('sealed.ledger_id')} or not exists (
      select
      from sealed_balances as later
      where later.ledger_id = sealed.ledger_id and later.account_number = sealed.account_number
        and later.currency = sealed.currency and later.journal_number > sealed.journal_number
        and later.journal_number <= ${archivedEnd('sealed.ledger_id')}
    )`,
    ledger: 'sealed.ledger_id',
    account: 'sealed.account_number',
    currency: 'sealed.currency',
    journal: 'sealed.journal_number',
    facts: [
      must(
        'entry of a sealed balance',
        `entry.journal_number <= sealed.journal_number
          and (entry.journal_number > sealed.number_before or not sealed.is_closed)
          and (next.entry_number is null or next.journal_number > sealed.journal_number)`,
        'the last one of the month',
        'sealed.entry_number',
      ),
      equal('sealed balance', 'entry.balance', 'sealed.balance'),
    ],
  });
}

// The last entry that a slice names of an account in a closed month has a seal, unless the month has a later entry.
function balancesOfSlice(scope: Scope): string {
  const side = (account: string, number: string) => `
    select ledger_id, ${account} as account_number, currency, ${number} as entry_number, journal_number
    from ${transfersIn(scope)} as transfers
    where ${number} is not null and currency is not null`;
  const key = (alias: string) =>
    `${alias}.ledger_id = last.ledger_id and ${alias}.account_number = last.account_number and ${alias}.currency = last.currency`;
  return compare({
    from: `(
        select side.ledger_id, side.account_number, side.currency, months.journal_number, max(entry_number) as entry_number
        from (${side('from_account', 'from_entry_number')} union all ${side('to_account', 'to_entry_number')}) as side
        join (
          select ledger_id, journal_number,
            coalesce(lag(journal_number) over (order by journal_number), 0) as number_before
          from (
            select distinct ledger_id, journal_number from ${rowsIn(scope, 'closed_months')} as months
          ) as months
        ) as months
          on months.ledger_id = side.ledger_id
          and side.journal_number > months.number_before and side.journal_number <= months.journal_number
        group by side.ledger_id, side.account_number, side.currency, months.journal_number
      ) as last
      ${leftJoin(scope, 'entries', 'entry', `${key('entry')} and entry.entry_number = last.entry_number`)}
      ${leftJoin(scope, 'entries', 'next', `${key('next')} and next.entry_number = last.entry_number + 1`)}
      ${leftJoin(scope, 'sealed_balances', 'sealed', `${key('sealed')} and sealed.journal_number = last.journal_number`)}`,
    where: 'next.entry_number is null or next.journal_number > last.journal_number',
    ledger: 'last.ledger_id',
    account: 'last.account_number',
    currency: 'last.currency',
    journal: 'last.journal_number',
    facts: [
      equal('entry of a sealed balance', 'last.entry_number', 'sealed.entry_number'),
      equal('sealed balance', 'entry.balance', 'sealed.balance'),
    ],
  });
}

// The sealed balances are proved by the entries above.
function totals(scope: Scope): string {
  return compare({
    from: `(
        select months.ledger_id, months.journal_number, last.currency, count(*) as account_count,
          coalesce(sum(last.balance) filter (where last.balance > 0), 0) as positive,
          coalesce(sum(last.balance) filter (where last.balance < 0), 0) as negative
        from (select distinct ledger_id, journal_number from ${rowsIn(scope, 'closed_months')} as months) as months
        join (
          select entries.*,
            lead(journal_number) over (partition by ledger_id, account_number, currency order by journal_number) as until
          from ${rowsIn(scope, 'sealed_balances')} as entries
        ) as last
          on last.ledger_id = months.ledger_id and last.journal_number <= months.journal_number
          and (last.until is null or last.until > months.journal_number)
        group by months.ledger_id, months.journal_number, last.currency
      ) as expected
      full join ${rowsIn(scope, 'sealed_totals')} as sealed using (ledger_id, journal_number, currency)`,
    ledger: 'ledger_id',
    currency: 'currency',
    journal: 'journal_number',
    facts: [
      equal('accounts with entries', 'expected.account_count', 'sealed.account_count'),
      equal('sum of the balances above zero', 'expected.positive', 'sealed.positive'),
      equal('sum of the balances below zero', 'expected.negative', 'sealed.negative'),
    ],
  });
}

function digests(scope: Scope): string {
  const record = (...fields: string[]) => `concat_ws(chr(31), ${fields.join(', ')}) || chr(30)`;
  return compare({
    from: `${monthsIn(scope)} as months
      left join (
        select ledger_id, journal_number, count(*) as total,
          string_agg(
            ${record('account_number', 'currency', 'entry_number', 'balance')},
            '' order by account_number collate "C", currency collate "C"
          ) as records
        from ${rowsIn(scope, 'sealed_balances')} as sealed
        group by ledger_id, journal_number
      ) as sealed
        on sealed.ledger_id = months.ledger_id and sealed.journal_number = months.journal_number
        -- A month without entries ends where the one before does, and seals nothing.
        and months.journal_number > months.number_before
      left join (
        select ledger_id, journal_number,
          string_agg(
            ${record('currency', 'account_count', 'positive', 'negative')}, '' order by currency collate "C"
          ) as records
        from ${rowsIn(scope, 'sealed_totals')} as sealed
        group by ledger_id, journal_number
      ) as total
        on total.ledger_id = months.ledger_id and total.journal_number = months.journal_number`,
    ledger: 'months.ledger_id',
    journal: 'months.journal_number',
    facts: [
      equal('account_count of a closed month', 'coalesce(sealed.total, 0)', 'months.account_count'),
      equal(
        'digest of a closed month',
        `encode(sha256(convert_to(coalesce(sealed.records, '') || coalesce(total.records, ''), 'UTF8')), 'hex')`,
        `encode(months.digest, 'hex')`,
      ),
    ],
  });
}

// Those of months are proved by the pages of seals.ts.
function totalsOfNoMonth(scope: Scope): string {
  return compare({
    from: `${rowsIn(scope, 'sealed_totals')} as sealed`,
    ledger: 'ledger_id',
    currency: 'currency',
    journal: 'journal_number',
    facts: [
      must(
        'closed month of a total',
        `exists (
          select
          from closed_months as months
          where months.ledger_id = sealed.ledger_id and months.journal_number = sealed.journal_number
        )`,
        'one that ends there',
        `'none'`,
      ),
    ],
  });
}

/** The entries are read in slices and pages; seals.ts adds up the sealed balances page by page. */
function statementsOf(scope: Scope, part: Part | null): readonly string[] | null {
  switch (part) {
    case 'slice':
      return [balancesOfSlice(scope)];
    case 'accounts':
      return [balancesOfPage(scope)];
    case 'sums':
      return [ends(scope), totalsOfNoMonth(scope)];
    default:
      // An audit of what came after a row does not read the entries before it.
      return scope.since === null ? [ends(scope), digests(scope), balances(scope), totals(scope)] : null;
  }
}

export const MONTH_CHECKS: readonly Check[] = [
  {
    name: 'months.sealed',
    looksAt: ['entries'],
    parts: ['sums', 'accounts', 'slice'],
    statements: statementsOf,
  },
];
