// The checks of promises 5 and 6 on rows: nothing is settled twice, and every row meets the constraints of its table.
// The constraints are repeated here, because an attacker may have dropped them first.
import { countsOfIntake, keptOfAccepted, membersOfGroups, namesOfKeys, settledTwice } from './once.ts';
import {
  type Check,
  compare,
  equal,
  type Fact,
  MONEY_BOUND,
  MOVES_MONEY,
  must,
  mustBeBetween,
  rowsIn,
  type Scope,
  transfersIn,
} from './rules.ts';

const NUMBER_FORM = `'^([A-Za-z0-9._-]{1,34}|@external|@ledger:[a-z0-9][a-z0-9_-]{0,62})$'`;
const CURRENCY_FORM = `'^[A-Z]{3}$'`;
const RATE_FORM = String.raw`'^[A-Z]{3}/[A-Z]{3} \d{1,9}(\.\d{1,12})?$'`;

/**
 * Null, or text that is not empty and has no character that ends a field or a record of the journal. Otherwise two
 * different rows could have the same digest.
 */
function mustBeText(column: string): Fact {
  return must(
    column,
    `${column} is null or (${column} <> '' and strpos(${column}, chr(30)) = 0 and strpos(${column}, chr(31)) = 0)`,
    'text without separators, or null',
    `'"' || ${column} || '"'`,
  );
}

function statesOfAccounts(scope: Scope): string[] {
  return [
    compare({
      from: `${rowsIn(scope, 'accounts')} as accounts`,
      ledger: 'ledger_id',
      account: 'account_number',
      currency: 'currency',
      facts: [
        must('account_number', `account_number ~ ${NUMBER_FORM}`, 'an account number', 'account_number'),
        must('currency', `currency ~ ${CURRENCY_FORM}`, 'three capital letters', 'currency'),
        must('status', `status in ('open', 'receive_only', 'frozen', 'closed')`, 'a status', 'status'),
        mustBeBetween('balance', `-${MONEY_BOUND}`),
        mustBeBetween('held', '0'),
        mustBeBetween('overdraft_limit', '0'),
        must('entry_count', 'entry_count >= 0', 'at least 0', 'entry_count'),
        must(
          'balance and held of a closed account',
          `status <> 'closed' or (balance = 0 and held = 0)`,
          '0 and 0',
          `balance || ' and ' || held`,
        ),
        must(
          'personal_data',
          `personal_data is null or (octet_length(personal_data) > 28 and account_number not like '@%')`,
          'a nonce, a ciphertext and a tag; null if erased, and of the world outside',
          `octet_length(personal_data) || ' bytes'`,
        ),
      ],
    }),
    compare({
      from: `(
        select ledger_id, account_number, count(*) as total
        from ${rowsIn(scope, 'accounts')} as accounts
        -- The world outside has one account per currency; any other number names one account.
        group by ledger_id, account_number, case when account_number like '@%' then currency end
      ) as numbers`,
      ledger: 'ledger_id',
      account: 'account_number',
      facts: [equal('accounts of this number', '1', 'total')],
    }),
  ];
}

/** Columns of a transfer that a caller chose, or that name what it met. */
const TRANSFER_TEXTS = [
  'from_account',
  'to_account',
  'currency',
  'failure_code',
  'request_id',
  'ordered_by',
  'approved_by',
  'remote_account',
  'description',
];

/** Of the two transfers of a conversion. */
const RATE: Fact = must(
  'rate',
  `rate is null or (kind = 'transfer' and atomic and rate ~ ${RATE_FORM}
    and currency in (left(rate, 3), substr(rate, 5, 3)))`,
  'two currencies, of which the transfer has one, and a decimal number, in an atomic group; or null',
  'rate',
);

// An erased account has lost both its personal data and its key. The keys themselves are not read, so that an auditor
// needs no right to them.
function keysOfAccounts(scope: Scope): string {
  return compare({
    from: `${rowsIn(scope, 'accounts')} as accounts
      full join (
        select ledger_id, account_number, currency, count(*) as total
        from ${rowsIn(scope, 'personal_keys')} as personal_keys
        group by ledger_id, account_number, currency
      ) as keys using (ledger_id, account_number, currency)`,
    ledger: 'ledger_id',
    account: 'account_number',
    currency: 'currency',
    presence: must('account of the key', 'accounts.created_at is not null', 'an account', `'none'`),
    facts: [equal('keys of the personal data', 'num_nonnulls(personal_data)', 'coalesce(keys.total, 0)')],
  });
}

function statesOfTransfers(scope: Scope): string {
  const completed = `status = 'completed'`;
  const moved = `${completed} and kind in ${MOVES_MONEY}`;
  return compare({
    from: `${transfersIn(scope)} as transfers`,
    ledger: 'ledger_id',
    account: 'from_account',
    currency: 'currency',
    transfer: 'id',
    journal: 'journal_number',
    facts: [
      must('kind', `kind in ('transfer', 'hold', 'capture', 'void', 'expiry', 'reversal')`, 'a kind', 'kind'),
      must('status', `status in ('completed', 'failed')`, 'completed or failed', 'status'),
      must(
        'failure_code',
        `(failure_code is null) = (${completed})`,
        'null if completed, a code if failed',
        `coalesce(failure_code, 'null')`,
      ),
      must(
        'amount',
        `amount between 1 and ${MONEY_BOUND} or (amount is null and status = 'failed')`,
        'positive',
        'amount',
      ),
      must(
        'currency',
        `currency ~ ${CURRENCY_FORM} or (currency is null and status = 'failed')`,
        'three capital letters',
        'currency',
      ),
      must('accounts', 'from_account <> to_account', 'two different ones', 'from_account'),
      must(
        'from_entry_number',
        `(from_entry_number is not null) = (${moved})`,
        'a number if money moved, otherwise null',
        `coalesce(from_entry_number::text, 'null')`,
      ),
      must(
        'to_entry_number',
        `(to_entry_number is not null) = (${moved})`,
        'a number if money moved, otherwise null',
        `coalesce(to_entry_number::text, 'null')`,
      ),
      must(
        'parent_id',
        `(parent_id is null) = (kind in ('transfer', 'hold'))`,
        'null for a transfer or a hold, otherwise an id',
        `coalesce(parent_id::text, 'null')`,
      ),
      must(
        'group_id, group_position and atomic',
        'num_nulls(group_id, group_position, atomic) in (0, 3)',
        'all or none',
        'num_nonnulls(group_id, group_position, atomic)',
      ),
      must(
        'final_capture',
        `(final_capture is not null) = (kind = 'capture')`,
        'true or false for a capture, otherwise null',
        `coalesce(final_capture::text, 'null')`,
      ),
      must('expires_in', `expires_in is null or (kind = 'hold' and expires_in > 0)`, 'a hold, or null', 'expires_in'),
      RATE,
      must('created_at', 'isfinite(created_at)', 'an instant', 'created_at'),
      ...TRANSFER_TEXTS.map(mustBeText),
    ],
  });
}

export const STATE_CHECKS: readonly Check[] = [
  {
    name: 'accepted.kept',
    looksAt: ['leases', 'ledger_leases', 'pending_transfers', 'journal'],
    // Slices sum up the journal; kept.ts compares the sum at their end.
    parts: [],
    // The counts of leases cover all time.
    statements: ({ ledger, since }) => (since === null ? keptOfAccepted(ledger) : null),
  },
  {
    name: 'accepted.counted',
    looksAt: ['journal'],
    parts: ['slice'],
    statements: (scope) => [countsOfIntake(scope)],
  },
  {
    name: 'once.settled',
    looksAt: ['pending_transfers', 'transfers'],
    parts: ['slice', 'pending_transfers'],
    statements: settledTwice,
  },
  {
    name: 'once.keys',
    looksAt: ['idempotency_keys'],
    parts: ['idempotency_keys'],
    // Keys have no journal number, so those after a given row cannot be selected.
    statements: (scope) => (scope.since === null ? namesOfKeys(scope) : null),
  },
  {
    name: 'once.groups',
    looksAt: ['transfers'],
    parts: ['slice', 'pending_transfers'],
    statements: (scope) => [membersOfGroups(scope)],
  },
  {
    name: 'final.transfers',
    looksAt: ['transfers'],
    parts: ['slice'],
    statements: (scope) => [statesOfTransfers(scope)],
  },
  {
    name: 'accounts.keys',
    looksAt: ['accounts', 'personal_keys'],
    parts: ['accounts'],
    statements: (scope) => [keysOfAccounts(scope)],
  },
  { name: 'accounts.fields', looksAt: ['accounts'], parts: ['accounts'], statements: statesOfAccounts },
];
