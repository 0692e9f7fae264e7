// The checks of promises 5 and 6 on rows: nothing is settled twice, and every row meets the constraints of its table.
// The constraints are repeated here, because an attacker may have dropped them first.
import {
  type Check,
  compare,
  equal,
  type Fact,
  journalIn,
  leftJoin,
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
        from personal_keys
        ${scope.ledger === null ? '' : `where ledger_id = ${scope.ledger}`}
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

function settledTwice(scope: Scope): string[] {
  return [
    compare({
      from: `${rowsIn(scope, 'pending_transfers')} as pending
        ${leftJoin(
          scope,
          rowsIn(scope, 'transfers'),
          'settled',
          'settled.ledger_id = pending.ledger_id and settled.id = pending.id',
        )}`,
      ledger: 'pending.ledger_id',
      account: 'pending.from_account',
      transfer: 'pending.id',
      journal: 'settled.journal_number',
      facts: [must('pending transfer', 'settled.id is null', 'not settled', `'settled as well'`)],
    }),
    ...(scope.since === null
      ? [
          compare({
            from: `(
              select ledger_id, id, count(*) as total
              from ${rowsIn(scope, 'transfers')} as transfers
              group by ledger_id, id
              having count(*) > 1
            ) as settled`,
            ledger: 'ledger_id',
            transfer: 'id',
            facts: [equal('times that it was settled', '1', 'total')],
          }),
        ]
      : []),
  ];
}

function namesOfKeys(scope: Scope): string[] {
  const keys = `${rowsIn(scope, 'idempotency_keys')} as idempotency_keys`;
  const named = (table: string, column: string) =>
    `not exists (
      select
      from ${rowsIn(scope, table)} as named
      where named.ledger_id = idempotency_keys.ledger_id and named.${column} = idempotency_keys.transfer_id
    )`;
  return [
    compare({
      from: `(
        select *
        from ${keys}
        where transfer_id is not null
          and ${named('transfers', 'id')} and ${named('pending_transfers', 'id')}
          and ${named('transfers', 'group_id')} and ${named('pending_transfers', 'group_id')}
      ) as keys`,
      ledger: 'ledger_id',
      transfer: 'transfer_id',
      facts: [must('what an idempotency key names', 'false', 'a transfer or a group', `'nothing; the key is ' || key`)],
    }),
    compare({
      from: `(
        select *
        from ${keys}
        where account_number is not null
          and not exists (
            select
            from ${rowsIn(scope, 'accounts')} as named
            where named.ledger_id = idempotency_keys.ledger_id
              and named.account_number = idempotency_keys.account_number
          )
      ) as keys`,
      ledger: 'ledger_id',
      account: 'account_number',
      facts: [must('what an idempotency key names', 'false', 'an account', `'nothing; the key is ' || key`)],
    }),
    compare({
      from: `(select * from ${keys} where transfer_id is null and account_number is null) as keys
        left join ${rowsIn(scope, 'journal_head')} as head using (ledger_id)`,
      ledger: 'ledger_id',
      facts: [
        must(
          'what an idempotency key names',
          'keys.clock <= head.clock',
          'something; a time, if the clock of the ledger was advanced to it',
          `coalesce(keys.clock::text, 'nothing') || '; the key is ' || key`,
        ),
      ],
    }),
    compare({
      from: `(
        select ledger_id, key, count(*) as total,
          min(octet_length(fingerprint) + coalesce(octet_length(personal_fingerprint), 32)) as size
        from ${keys}
        group by ledger_id, key
      ) as keys`,
      ledger: 'ledger_id',
      facts: [
        must('times that an idempotency key is there', 'total = 1', '1', `total || '; the key is ' || key`),
        must('bytes of the two fingerprints of a key', 'size = 64', '64', `size || '; the key is ' || key`),
      ],
    }),
  ];
}

// A lease counts each transfer in the statement that stores it as pending. Rows leave pending_transfers only for the
// journal, which counts them too. So the loss of an accepted transfer makes the two counts differ. A lease belongs to
// no ledger.
function keptOfAccepted(): string {
  return compare({
    from: `(
      select (select coalesce(sum(accepted_count), 0) from leases) as accepted,
        (select count(*) from pending_transfers) + (select coalesce(sum(intake_count), 0) from journal) as kept
    ) as counts`,
    facts: [equal('accepted transfers that are pending or settled', 'accepted', 'kept')],
  });
}

function countsOfIntake(scope: Scope): string {
  return compare({
    from: `${journalIn(scope)} as journal`,
    ledger: 'ledger_id',
    journal: 'number',
    facts: [
      must(
        'transfers of the row that had been pending',
        'intake_count between 0 and transfer_count',
        'at most as many as it has',
        'intake_count',
      ),
    ],
  });
}

// The members of a group are numbered from 0 without gaps. Those of an atomic group have the same status.
function membersOfGroups(scope: Scope): string {
  const members = `
    select ledger_id, group_id, group_position, atomic, status, journal_number
    from ${rowsIn(scope, 'transfers')} as settled
    union all
    select ledger_id, group_id, group_position, atomic, 'pending', null
    from ${rowsIn(scope, 'pending_transfers')} as pending`;
  const sums = `
    select ledger_id, group_id, count(*) as total, count(distinct group_position) as position_total, min(group_position) as first,
      max(group_position) as last, bool_and(atomic) as atomic, bool_or(atomic) as any_atomic,
      count(distinct status) as status_total, string_agg(distinct status, ' and ') as statuses,
      count(distinct journal_number) as row_total, max(journal_number) as journal_number`;
  const from =
    scope.since === null
      ? `(${sums} from (${members}) as members where group_id is not null group by ledger_id, group_id) as groups`
      : `(
          select distinct group_id as id from ${transfersIn(scope)} as transfers where group_id is not null
        ) as touched
        cross join lateral (
          ${sums} from (${members}) as members where group_id = touched.id group by ledger_id, group_id
        ) as groups`;
  return compare({
    from,
    ledger: 'groups.ledger_id',
    transfer: 'groups.group_id',
    journal: 'groups.journal_number',
    facts: [
      must(
        'positions in the group',
        'groups.first = 0 and groups.last = total - 1 and position_total = total',
        '0, 1, 2, without gaps',
        `format('%s from %s to %s', total, groups.first, groups.last)`,
      ),
      equal('atomic in all of the group', 'groups.atomic', 'groups.any_atomic'),
      must('status of the members of an atomic group', 'not groups.atomic or status_total = 1', 'one', 'statuses'),
      must(
        'journal rows of an atomic group that completed',
        `not groups.atomic or statuses <> 'completed' or row_total = 1`,
        '1',
        'row_total',
      ),
    ],
  });
}

export const STATE_CHECKS: readonly Check[] = [
  {
    name: 'accepted.kept',
    looksAt: ['leases', 'pending_transfers', 'journal'],
    // The counts of leases cover all ledgers and all time.
    statements: ({ ledger }) => (ledger === null ? [keptOfAccepted()] : null),
  },
  { name: 'accepted.counted', looksAt: ['journal'], statements: (scope) => [countsOfIntake(scope)] },
  { name: 'once.settled', looksAt: ['pending_transfers', 'transfers'], statements: settledTwice },
  {
    name: 'once.keys',
    looksAt: ['idempotency_keys'],
    // Keys have no journal number, so those after a given row cannot be selected.
    statements: (scope) => (scope.since === null ? namesOfKeys(scope) : null),
  },
  { name: 'once.groups', looksAt: ['transfers'], statements: (scope) => [membersOfGroups(scope)] },
  { name: 'final.transfers', looksAt: ['transfers'], statements: (scope) => [statesOfTransfers(scope)] },
  { name: 'accounts.keys', looksAt: ['accounts', 'personal_keys'], statements: (scope) => [keysOfAccounts(scope)] },
  { name: 'accounts.fields', looksAt: ['accounts'], statements: statesOfAccounts },
];
