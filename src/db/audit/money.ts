// The checks of promises 1 to 3 on accounts, transfers and entries: conservation, explained balances, no overdraft.
import {
  type Check,
  compare,
  entriesIn,
  entriesWithAnchors,
  equal,
  leftJoin,
  MONEY_BOUND,
  MOVES_MONEY,
  must,
  mustBeBetween,
  rowsIn,
  type Scope,
  touchedAccounts,
  transfersIn,
} from './rules.ts';

/** The sum per ledger and currency is zero. */
function sumOf(table: string, column: string, what: string): string {
  return compare({
    from: `(
      select ledger_id, currency, sum(${column}) as total from ${table} as summed group by ledger_id, currency
    ) as sums`,
    ledger: 'ledger_id',
    currency: 'currency',
    facts: [equal(what, '0', 'total')],
  });
}

// Compares the entries that the transfers imply with the stored entries: two for each transfer that moved money, none
// for any other, and none without a transfer.
function entriesOfTransfers(scope: Scope): string {
  const side = (account: string, number: string, amount: string) => `
    select ledger_id, id as transfer_id, ${account} as account_number, currency, ${number} as entry_number, ${amount} as amount,
      journal_number
    from ${transfersIn(scope)} as transfers
    where status = 'completed' and kind in ${MOVES_MONEY}`;
  const render = (entry: string) =>
    `case
      when ${entry}.transfer_id is null then 'no entry'
      else format(
        'entry %s of %s: %s of transfer %s in journal row %s', ${entry}.entry_number, ${entry}.currency, ${entry}.amount,
        ${entry}.transfer_id, ${entry}.journal_number
      )
    end`;
  return compare({
    from: `(
        ${side('from_account', 'from_entry_number', '-amount')}
        union all ${side('to_account', 'to_entry_number', 'amount')}
      ) as named
      full join ${entriesIn(scope)} as entry
        on entry.ledger_id = named.ledger_id
        and entry.account_number = named.account_number
        and entry.currency = named.currency
        and entry.entry_number = named.entry_number`,
    ledger: 'coalesce(named.ledger_id, entry.ledger_id)',
    account: 'coalesce(named.account_number, entry.account_number)',
    currency: 'coalesce(named.currency, entry.currency)',
    transfer: 'coalesce(named.transfer_id, entry.transfer_id)',
    journal: 'coalesce(named.journal_number, entry.journal_number)',
    facts: [
      {
        what: 'entry of the transfer',
        holds: `(named.transfer_id, named.amount, named.journal_number)
          is not distinct from (entry.transfer_id, entry.amount, entry.journal_number)`,
        expected: render('named'),
        found: render('entry'),
      },
    ],
  });
}

function runOfEntries(scope: Scope): string {
  return compare({
    from: `(
      select *,
        coalesce(lag(entry_number) over run, 0) + 1 as next_number,
        coalesce(lag(balance) over run, 0) + amount as next_balance,
        coalesce(lag(journal_number) over run, 1) as previous_journal_number
      from ${entriesWithAnchors(scope)} as entries
      window run as (partition by ledger_id, account_number, currency order by entry_number)
    ) as entry`,
    where: 'audited',
    ledger: 'ledger_id',
    account: 'account_number',
    currency: 'currency',
    transfer: 'transfer_id',
    journal: 'journal_number',
    facts: [
      equal('entry number', 'next_number', 'entry_number'),
      equal('running balance', 'next_balance', 'balance'),
      must(
        'journal number',
        'journal_number >= previous_journal_number',
        'none before that of the entry before',
        'journal_number',
      ),
      must('amount', 'amount <> 0', 'not 0', 'amount'),
      mustBeBetween('balance', `-${MONEY_BOUND}`),
    ],
  });
}

function balancesOfAccounts(scope: Scope): string {
  const about = {
    ledger: 'ledger_id',
    account: 'account_number',
    currency: 'currency',
    presence: must('account of entries', 'accounts.known', 'an account', `'none'`),
  };
  const accounts = `(
      select ledger_id, account_number, currency, balance, entry_count, true as known
      from ${rowsIn(scope, 'accounts')} as known_accounts
    ) as accounts`;
  const facts = [
    equal('number of the last entry', 'coalesce(last.entry_number, 0)', 'entry_count'),
    equal('balance, by the last entry', 'coalesce(last.balance, 0)', 'accounts.balance'),
  ];
  if (scope.since === null) {
    return compare({
      ...about,
      from: `${accounts}
        full join (
          select ledger_id, account_number, currency, count(*) as entry_total, sum(amount) as amount_total,
            max(entry_number) as last_number
          from ${rowsIn(scope, 'entries')} as summed
          group by ledger_id, account_number, currency
        ) as sums using (ledger_id, account_number, currency)
        left join (
          select ledger_id, account_number, currency, entry_number, balance
          from ${rowsIn(scope, 'entries')} as every
        ) as last (last_ledger, last_account, last_currency, entry_number, balance)
          on last_ledger = ledger_id and last_account = account_number and last_currency = currency and last.entry_number = sums.last_number`,
      facts: [
        equal('number of entries', 'coalesce(entry_total, 0)', 'entry_count'),
        equal('balance, by the sum of entries', 'coalesce(amount_total, 0)', 'accounts.balance'),
        ...facts,
      ],
    });
  }
  return compare({
    ...about,
    from: `${accounts}
      full join ${touchedAccounts(scope)} as touched using (ledger_id, account_number, currency)
      left join lateral (
        select entry_number, balance, journal_number
        from entries
        where entries.ledger_id = ${scope.ledger}
          and entries.account_number = coalesce(accounts.account_number, touched.account_number)
          and entries.currency = coalesce(accounts.currency, touched.currency)
        order by entry_number desc
        limit 1
      ) as last on true`,
    journal: 'last.journal_number',
    facts: [
      ...facts,
      equal(
        `entries after journal row ${scope.since}`,
        `case when first_number is null then 'none' else 'some' end`,
        `case when coalesce(last.journal_number, 0) <= ${scope.since} then 'none' else 'some' end`,
      ),
    ],
  });
}

function availableOfAccounts(scope: Scope): string {
  return compare({
    from: `${rowsIn(scope, 'accounts')} as accounts`,
    ledger: 'ledger_id',
    where: `account_number not like '@%'`,
    account: 'account_number',
    currency: 'currency',
    facts: [
      must(
        'available, which is balance - held + overdraft limit',
        'balance - held + overdraft_limit >= 0',
        'at least 0',
        'balance - held + overdraft_limit',
      ),
    ],
  });
}

function heldOfAccounts(scope: Scope): string {
  return compare({
    from: `(
        select ledger_id, account_number, currency, held, true as known
        from ${rowsIn(scope, 'accounts')} as known_accounts
      ) as accounts
      full join (
        select ledger_id, from_account as account_number, currency, sum(amount - captured - released) as open_total
        from ${rowsIn(scope, 'holds')} as holds
        where state = 'open'
        group by ledger_id, from_account, currency
      ) as open_holds using (ledger_id, account_number, currency)`,
    ledger: 'ledger_id',
    account: 'account_number',
    currency: 'currency',
    presence: must('account of open holds', 'accounts.known', 'an account', `'none'`),
    facts: [equal('held, by open holds', 'coalesce(open_total, 0)', 'held')],
  });
}

// A child has the accounts and the currency of its parent, and was settled after it.
function parentsOfTransfers(scope: Scope): string {
  const swapped = `child.kind = 'reversal'`;
  return compare({
    from: `(
        select * from ${transfersIn(scope)} as children where status = 'completed' and parent_id is not null
      ) as child
      ${leftJoin(
        scope,
        rowsIn(scope, 'transfers'),
        'parent',
        'parent.ledger_id = child.ledger_id and parent.id = child.parent_id',
      )}`,
    ledger: 'child.ledger_id',
    account: 'child.from_account',
    currency: 'child.currency',
    transfer: 'child.id',
    journal: 'child.journal_number',
    presence: must('parent', 'parent.id is not null', 'a settled transfer', 'child.parent_id'),
    facts: [
      must(
        'kind and status of the parent',
        `parent.status = 'completed'
          and case when ${swapped} then parent.kind in ('transfer', 'capture') else parent.kind = 'hold' end`,
        'a completed hold, or for a reversal a completed transfer or capture',
        `parent.status || ' ' || parent.kind`,
      ),
      equal(
        'from_account',
        `case when ${swapped} then parent.to_account else parent.from_account end`,
        'child.from_account',
      ),
      equal(
        'to_account',
        `case when ${swapped} then parent.from_account else parent.to_account end`,
        'child.to_account',
      ),
      equal('currency', 'parent.currency', 'child.currency'),
      must(
        'place in the journal',
        `(child.journal_number, child.journal_position) > (parent.journal_number, parent.journal_position)`,
        'after its parent',
        'child.journal_position',
      ),
    ],
  });
}

/** The originals of the reversals in scope. */
export function reversedOriginals(scope: Scope): string {
  return `(
    select distinct ledger_id, parent_id as transfer_id from ${transfersIn(scope)} as transfers where kind = 'reversal'
  )`;
}

function reversedAmounts(scope: Scope): string {
  const sums = `
    select ledger_id, parent_id as transfer_id, sum(amount) as total
    from ${rowsIn(scope, 'transfers')} as transfers
    where status = 'completed' and kind = 'reversal'`;
  const from =
    scope.since === null
      ? `(
          select ledger_id, transfer_id, amount, reversed, true as known
          from ${rowsIn(scope, 'reversed_amounts')} as reversed_amounts
        ) as record
        full join (${sums} group by ledger_id, parent_id) as reversals using (ledger_id, transfer_id)`
      : `${reversedOriginals(scope)} as touched
        left join lateral (
          select amount, reversed, true as known
          from reversed_amounts
          where reversed_amounts.ledger_id = touched.ledger_id
            and reversed_amounts.transfer_id = touched.transfer_id
          offset 0
        ) as record on true
        left join lateral (
          ${sums} and parent_id = touched.transfer_id group by ledger_id, parent_id
        ) as reversals on true`;
  const [ledger, id] =
    scope.since === null
      ? ['coalesce(record.ledger_id, reversals.ledger_id)', 'transfer_id']
      : ['touched.ledger_id', 'touched.transfer_id'];
  return compare({
    from: `${from} ${leftJoin(
      scope,
      rowsIn(scope, 'transfers'),
      'original',
      `original.ledger_id = ${ledger} and original.id = ${id}`,
    )}`,
    ledger,
    where: 'record.known or reversals.total is not null',
    account: 'original.to_account',
    currency: 'original.currency',
    transfer: id,
    journal: 'original.journal_number',
    presence: must('record of what was reversed', 'record.known', 'one', `'none'`),
    facts: [
      equal('reversed, by completed reversals', 'reversals.total', 'record.reversed'),
      equal('amount of the original', 'original.amount', 'record.amount'),
      must('reversed', 'record.reversed between 1 and record.amount', 'from 1 to the amount', 'record.reversed'),
      must(
        'kind and status of the original',
        `original.status = 'completed' and original.kind in ('transfer', 'capture')`,
        'a completed transfer or capture',
        `original.status || ' ' || original.kind`,
      ),
    ],
  });
}

function recordsOfReversals(scope: Scope): string {
  return compare({
    from: `(
      select ledger_id, transfer_id, count(*) as total
      from ${rowsIn(scope, 'reversed_amounts')} as reversed_amounts
      group by ledger_id, transfer_id
    ) as records`,
    ledger: 'ledger_id',
    transfer: 'transfer_id',
    facts: [equal('records of what was reversed', '1', 'total')],
  });
}

export const MONEY_CHECKS: readonly Check[] = [
  {
    name: 'conservation.balances',
    looksAt: ['accounts'],
    statements: (scope) => [sumOf(rowsIn(scope, 'accounts'), 'balance', 'sum of all balances')],
  },
  {
    name: 'conservation.entries',
    looksAt: ['entries'],
    statements: (scope) => [sumOf(entriesIn(scope), 'amount', 'sum of all entries')],
  },
  {
    name: 'conservation.transfers',
    looksAt: ['transfers', 'entries'],
    statements: (scope) => [entriesOfTransfers(scope)],
  },
  { name: 'balances.entries', looksAt: ['entries'], statements: (scope) => [runOfEntries(scope)] },
  { name: 'balances.accounts', looksAt: ['accounts', 'entries'], statements: (scope) => [balancesOfAccounts(scope)] },
  { name: 'overdraft.available', looksAt: ['accounts'], statements: (scope) => [availableOfAccounts(scope)] },
  { name: 'overdraft.held', looksAt: ['accounts', 'holds'], statements: (scope) => [heldOfAccounts(scope)] },
  { name: 'transfers.parents', looksAt: ['transfers'], statements: (scope) => [parentsOfTransfers(scope)] },
  {
    name: 'reversals.amounts',
    looksAt: ['reversed_amounts'],
    statements: (scope) => [reversedAmounts(scope), ...(scope.since === null ? [recordsOfReversals(scope)] : [])],
  },
];
