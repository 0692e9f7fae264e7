// The statements on entries: each is named by a transfer, continues the entry before, and explains the balance.
import {
  archivedEnd,
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

// Compares the entries that the transfers imply with the stored entries: two for each transfer that moved money, none
// for any other, and none without a transfer.
export function entriesOfTransfers(scope: Scope): string {
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

export function runOfEntries(scope: Scope): string {
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

/** The last entry of an account, looked up for each row. */
function lastEntryOf(ledger: string, account: string, currency: string): string {
  return `
      left join lateral (
        select entry_number, balance, journal_number
        from entries
        where entries.ledger_id = ${ledger}
          and entries.account_number = ${account}
          and entries.currency = ${currency}
        order by entry_number desc
        limit 1
      ) as last on true`;
}

export function balancesOfAccounts(scope: Scope): string {
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
  if (scope.page !== undefined) {
    return compare({
      ...about,
      from: `${accounts}${lastEntryOf('accounts.ledger_id', 'accounts.account_number', 'accounts.currency')}`,
      journal: 'last.journal_number',
      facts,
    });
  }
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
      full join ${touchedAccounts(scope)} as touched using (ledger_id, account_number, currency)${lastEntryOf(
        String(scope.ledger),
        'coalesce(accounts.account_number, touched.account_number)',
        'coalesce(accounts.currency, touched.currency)',
      )}`,
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

// In a slice: the accounts on which its transfers moved money exist. A page compares their state with their last entry.
export function accountsOfEntries(scope: Scope): string {
  return compare({
    from: `${touchedAccounts(scope)} as touched
      ${leftJoin(
        scope,
        rowsIn(scope, 'accounts'),
        'accounts',
        `accounts.ledger_id = touched.ledger_id and accounts.account_number = touched.account_number
          and accounts.currency = touched.currency`,
      )}`,
    ledger: 'touched.ledger_id',
    account: 'touched.account_number',
    currency: 'touched.currency',
    facts: [must('account of entries', 'accounts.account_number is not null', 'an account', `'none'`)],
  });
}

/** The last two entries of each account of a page, of which the later is to be explained by the earlier. */
export function lastEntries(scope: Scope): string {
  return `${rowsIn(scope, 'accounts')} as accounts
      cross join lateral (
        select last.*,
          coalesce(lead(entry_number) over run, 0) + 1 as next_number,
          coalesce(lead(balance) over run, 0) + amount as next_balance,
          row_number() over run as place
        from (
          select * from entries
          where entries.ledger_id = accounts.ledger_id and entries.account_number = accounts.account_number
            and entries.currency = accounts.currency
          order by entry_number desc
          limit 2
        ) as last
        window run as (order by entry_number desc)
      ) as entry`;
}

const ABOUT_ENTRY = {
  ledger: 'entry.ledger_id',
  account: 'entry.account_number',
  currency: 'entry.currency',
  transfer: 'entry.transfer_id',
  journal: 'entry.journal_number',
};

// Slices prove the entries that transfers name. An entry after all of them would be the last of its account. That of an
// archived month continues none that is there; the check of sealed balances compares it with its seal.
export function runOfLastEntries(scope: Scope): string {
  return compare({
    from: lastEntries(scope),
    where: `place = 1 and entry.journal_number > ${archivedEnd('entry.ledger_id')}`,
    ...ABOUT_ENTRY,
    facts: [
      equal('entry number', 'next_number', 'entry_number'),
      equal('running balance', 'next_balance', 'entry.balance'),
    ],
  });
}

/** The entry `entry` has the transfer that it names, and is the one that this transfer names. */
export function namedByTransfer(scope: Scope, from: string, where: string): string {
  return compare({
    from: `${from}
      ${leftJoin(
        scope,
        rowsIn(scope, 'transfers'),
        'named',
        'named.ledger_id = entry.ledger_id and named.id = entry.transfer_id',
      )}`,
    where,
    ...ABOUT_ENTRY,
    facts: [
      must(
        'entry of the transfer',
        `named.journal_number = entry.journal_number and (named.currency, entry.entry_number, entry.account_number, entry.amount)
          in ((entry.currency, named.from_entry_number, named.from_account, -named.amount),
            (entry.currency, named.to_entry_number, named.to_account, named.amount))`,
        'no entry, or one that its transfer names',
        `format(
          'entry %s of %s: %s of transfer %s in journal row %s', entry.entry_number, entry.currency, entry.amount,
          entry.transfer_id, entry.journal_number
        )`,
      ),
    ],
  });
}

/** The entries of these blocks, up to row `until` of each journal, that no transfer names. */
export function unnamedEntries(rows: string, scope: Scope): string {
  return namedByTransfer(scope, `${rows} as entry`, 'true');
}
