// The statements of promises 4 and 5: what was accepted is pending or settled, and nothing is settled twice.
import {
  compare,
  equal,
  isShort,
  journalIn,
  leftJoin,
  must,
  type Part,
  rowsIn,
  type Scope,
  transfersIn,
} from './rules.ts';

export function settledTwice(scope: Scope, part: Part | null): string[] {
  if (part === 'slice') return [foundAlone(scope)];
  const pending = compare({
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
  });
  if (isShort(scope)) return [pending];
  const settled = compare({
    from: `(
      select ledger_id, id, count(*) as total
      from ${rowsIn(scope, 'transfers')} as transfers
      group by ledger_id, id
      having count(*) > 1
    ) as settled`,
    ledger: 'ledger_id',
    transfer: 'id',
    facts: [equal('times that it was settled', '1', 'total')],
  });
  return [pending, settled];
}

// Of two rows with an id, a search for the id finds both, or one of them twice. So the row that is found has to be the one
// whose id was searched, and then there is no other: even if the index is corrupt.
function foundAlone(scope: Scope): string {
  return compare({
    from: `${transfersIn(scope)} as transfers
      cross join lateral (
        select count(*) as total, min(same.journal_number) as number, min(same.journal_position) as position
        from transfers as same
        where same.ledger_id = transfers.ledger_id and same.id = transfers.id
      ) as found`,
    ledger: 'transfers.ledger_id',
    transfer: 'transfers.id',
    journal: 'transfers.journal_number',
    facts: [
      must(
        'times that it was settled',
        'total = 1 and number = transfers.journal_number and position = transfers.journal_position',
        '1, here',
        `format('%s, in journal row %s at %s', total, number, position)`,
      ),
    ],
  });
}

export function namesOfKeys(scope: Scope): string[] {
  const keys = `${rowsIn(scope, 'idempotency_keys')} as idempotency_keys`;
  // Keeps the planner from hashing whole tables for the few keys of a page.
  const byKey = isShort(scope) ? 'offset 0' : '';
  const named = (table: string, column: string) =>
    `not exists (
      select
      from ${rowsIn(scope, table)} as named
      where named.ledger_id = idempotency_keys.ledger_id and named.${column} = idempotency_keys.transfer_id
      ${byKey}
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
            ${byKey}
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
    fieldsOfKeys(scope),
  ];
}

function fieldsOfKeys(scope: Scope): string {
  const sizeOfFingerprints = 'octet_length(fingerprint) + coalesce(octet_length(personal_fingerprint), 32)';
  return compare({
    from: isShort(scope)
      ? `(
          select keys.ledger_id, keys.key, found.total, ${sizeOfFingerprints} as size
          from ${rowsIn(scope, 'idempotency_keys')} as keys
          cross join lateral (
            select count(*) as total
            from idempotency_keys as same
            where same.ledger_id = keys.ledger_id and same.key = keys.key
          ) as found
        ) as keys`
      : `(
      select ledger_id, key, count(*) as total, min(${sizeOfFingerprints}) as size
      from ${rowsIn(scope, 'idempotency_keys')} as idempotency_keys
      group by ledger_id, key
    ) as keys`,
    ledger: 'ledger_id',
    facts: [
      must('times that an idempotency key is there', 'total = 1', '1', `total || '; the key is ' || key`),
      must('bytes of the two fingerprints of a key', 'size = 64', '64', `size || '; the key is ' || key`),
    ],
  });
}

/** SQL: how many transfers of each journal had been pending. */
const SETTLED = `(select ledger_id, sum(intake_count) as total from journal group by ledger_id)`;

// A lease counts each transfer in the statement that stores it as pending. Rows leave pending_transfers only for the
// journal, which counts them too. So the loss of an accepted transfer makes the two counts differ. Earlier versions
// counted those of all ledgers together: a ledger may then have more than was counted for it alone, by so many at most.
// `settled`: as SETTLED.
export function keptOfAccepted(ledger: number | null, settled = SETTLED): string[] {
  const total = (table: string, sum: string) => `
    left join (select ledger_id, ${sum} as total from ${table} group by ledger_id) as ${table} on ${table}.ledger_id = ledgers.id`;
  const counts = `(
      select ledgers.id as ledger_id, coalesce(ledger_leases.total, 0) as accepted,
        coalesce(pending_transfers.total, 0) + coalesce(settled.total, 0) as kept,
        (select coalesce(sum(accepted_count), 0) from leases) as earlier
      from ledgers${total('ledger_leases', 'sum(accepted_count)')}${total('pending_transfers', 'count(*)')}
      left join ${settled} as settled on settled.ledger_id = ledgers.id
      ${ledger === null ? '' : `where ledgers.id = ${ledger}`}
    )`;
  const ofEach = compare({
    from: `${counts} as counts`,
    ledger: 'ledger_id',
    facts: [
      must(
        'accepted transfers of the ledger that are pending or settled',
        'kept between accepted and accepted + earlier',
        `accepted || case when earlier > 0 then ', or up to ' || earlier || ' more' else '' end`,
        'kept',
      ),
    ],
  });
  if (ledger !== null) return [ofEach];
  const ofAll = compare({
    from: `(select sum(accepted) + max(earlier) as accepted, sum(kept) as kept from ${counts} as counts) as counts`,
    facts: [equal('accepted transfers that are pending or settled', 'accepted', 'kept')],
  });
  return [ofAll, ofEach];
}

export function countsOfIntake(scope: Scope): string {
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

/** The members of the groups that transfers in scope belong to; of a page of pending transfers, their groups. */
function membersOfFew(scope: Scope): string {
  const pending = rowsIn(scope, 'pending_transfers');
  const source = scope.page === undefined ? transfersIn(scope) : pending;
  const touched = `(select distinct ledger_id, group_id from ${source} as members where group_id is not null)`;
  return `
    select settled.*
    from ${touched} as touched
    cross join lateral (
      select ledger_id, group_id, group_position, atomic, status, journal_number
      from transfers
      where transfers.ledger_id = touched.ledger_id and transfers.group_id = touched.group_id
      offset 0
    ) as settled
    union all
    select ledger_id, group_id, group_position, atomic, 'pending', null
    from ${pending} as pending
    where (ledger_id, group_id) in (select ledger_id, group_id from ${touched} as touched)`;
}

// The members of a group are numbered from 0 without gaps. Those of an atomic group have the same status.
export function membersOfGroups(scope: Scope): string {
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
  const whole = `(${sums} from (${members}) as members where group_id is not null group by ledger_id, group_id) as groups`;
  return compare({
    from: isShort(scope)
      ? `(${sums} from (${membersOfFew(scope)}) as members group by ledger_id, group_id) as groups`
      : whole,
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
