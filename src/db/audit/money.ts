// The checks of promises 1 to 3 on accounts, transfers and entries: conservation, explained balances, no overdraft.
import {
  accountsOfEntries,
  balancesOfAccounts,
  entriesOfTransfers,
  lastEntries,
  namedByTransfer,
  runOfEntries,
  runOfLastEntries,
} from './entries.ts';
import {
  type Check,
  compare,
  entriesIn,
  equal,
  isShort,
  leftJoin,
  must,
  rowsIn,
  type Scope,
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

/** The originals of the reversals in scope; those of a page by their records. */
export function reversedOriginals(scope: Scope): string {
  if (scope.page !== undefined) {
    return `(select distinct ledger_id, transfer_id from ${rowsIn(scope, 'reversed_amounts')} as records)`;
  }
  return `(
    select distinct ledger_id, parent_id as transfer_id from ${transfersIn(scope)} as transfers where kind = 'reversal'
  )`;
}

function reversedAmounts(scope: Scope): string {
  const sums = `
    select ledger_id, parent_id as transfer_id, sum(amount) as total
    from ${rowsIn(scope, 'transfers')} as transfers
    where status = 'completed' and kind = 'reversal'`;
  const from = !isShort(scope)
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
  const [ledger, id] = !isShort(scope)
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
    parts: ['books'],
    statements: (scope) => [sumOf(rowsIn(scope, 'accounts'), 'balance', 'sum of all balances')],
  },
  {
    name: 'conservation.entries',
    looksAt: ['entries'],
    parts: ['slice'],
    statements: (scope) => [sumOf(entriesIn(scope), 'amount', 'sum of all entries')],
  },
  {
    name: 'conservation.transfers',
    looksAt: ['transfers', 'entries'],
    parts: ['slice', 'accounts'],
    statements: (scope, part) => [
      part === 'accounts' ? namedByTransfer(scope, lastEntries(scope), 'place = 1') : entriesOfTransfers(scope),
    ],
  },
  {
    name: 'balances.entries',
    looksAt: ['entries'],
    parts: ['slice', 'accounts'],
    statements: (scope, part) => [part === 'accounts' ? runOfLastEntries(scope) : runOfEntries(scope)],
  },
  {
    name: 'balances.accounts',
    looksAt: ['accounts', 'entries'],
    parts: ['slice', 'accounts'],
    statements: (scope, part) => [part === 'slice' ? accountsOfEntries(scope) : balancesOfAccounts(scope)],
  },
  {
    name: 'overdraft.available',
    looksAt: ['accounts'],
    parts: ['accounts'],
    statements: (scope) => [availableOfAccounts(scope)],
  },
  {
    name: 'overdraft.held',
    looksAt: ['accounts', 'holds'],
    parts: ['accounts'],
    statements: (scope) => [heldOfAccounts(scope)],
  },
  {
    name: 'transfers.parents',
    looksAt: ['transfers'],
    parts: ['slice'],
    statements: (scope) => [parentsOfTransfers(scope)],
  },
  {
    name: 'reversals.amounts',
    looksAt: ['reversed_amounts'],
    parts: ['slice', 'reversed_amounts'],
    statements: (scope) => [reversedAmounts(scope), ...(scope.since === null ? [recordsOfReversals(scope)] : [])],
  },
];
