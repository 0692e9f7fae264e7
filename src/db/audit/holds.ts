// The checks of holds: the transfer that made a hold, and its captures, void or expiry, must explain it.
import {
  type Check,
  compare,
  equal,
  isShort,
  leftJoin,
  MONEY_BOUND,
  must,
  mustBeBetween,
  type Part,
  rowsIn,
  type Scope,
  transfersIn,
  within,
} from './rules.ts';

/** The ids of the holds of a short scope: made, changed or requested in it, or still open; or those of a page. */
export function touchedHolds(scope: Scope): string {
  if (scope.page !== undefined) return holdsOfPage(scope);
  const open = `union select id from ${rowsIn(scope, 'holds')} as opened where state = 'open'`;
  return `(
    select id from ${transfersIn(scope)} as made where kind = 'hold' and status = 'completed'
    union select parent_id from ${transfersIn(scope)} as parts where kind in ('capture', 'void', 'expiry')
    ${scope.until === undefined ? open : ''}
  )`;
}

function holdsOfPage({ ledger, page }: Scope): string {
  if (page?.of !== 'holds') return `(select id from holds where false)`;
  const conditions = [
    ledger === null ? null : `ledger_id = ${ledger}`,
    within('id', page),
    page.openOnly ? `state = 'open'` : null,
  ].filter((condition) => condition !== null);
  return `(select distinct id from holds where ${conditions.join(' and ')})`;
}

/**
 * Every hold, joined with the rows that `other` selects. `other` has one row per ledger and `key`, the id of a hold.
 */
function beside(scope: Scope, alias: string, other: string): string {
  const holds = `(select *, true as known from ${rowsIn(scope, 'holds')} as holds)`;
  return !isShort(scope)
    ? `${holds} as hold
      full join (${other} group by ledger_id, key) as ${alias}
        on ${alias}.ledger_id = hold.ledger_id and ${alias}.key = hold.id`
    : `${touchedHolds(scope)} as touched
      left join lateral (select * from ${holds} as hold where hold.id = touched.id offset 0) as hold on true
      left join lateral (
        select * from (${other} group by ledger_id, key) as ${alias} where ${alias}.key = touched.id offset 0
      ) as ${alias} on true`;
}

// A hold has the values of the completed transfer of kind hold with its id.
function ordersOfHolds(scope: Scope): string {
  const made = `
    select ledger_id, id as key, max(amount) as amount, max(from_account) as from_account, max(to_account) as to_account,
      max(currency) as currency, max(created_at) as created_at, max(journal_number) as journal_number,
      max(created_at + expires_in * interval '1 second') as expires_at
    from ${rowsIn(scope, 'transfers')} as transfers
    where kind = 'hold' and status = 'completed'`;
  const of = (column: string) => equal(column, `made.${column}`, `hold.${column}`);
  return compare({
    from: beside(scope, 'made', made),
    where: 'hold.known or made.key is not null',
    ledger: 'coalesce(hold.ledger_id, made.ledger_id)',
    account: 'coalesce(hold.from_account, made.from_account)',
    currency: 'coalesce(hold.currency, made.currency)',
    transfer: 'coalesce(hold.id, made.key)',
    journal: 'made.journal_number',
    presence: must(
      'hold and the transfer that made it',
      'hold.known and made.key is not null',
      'both',
      `case when hold.known then 'the hold alone' else 'the transfer alone' end`,
    ),
    facts: ['amount', 'from_account', 'to_account', 'currency', 'created_at', 'expires_at'].map(of),
  });
}

// The captured amount is the sum of the completed captures. At most one void, expiry or final capture ends the hold and
// releases the remaining amount. Nothing follows it.
function partsOfHolds(scope: Scope): string {
  const ends = `kind in ('void', 'expiry') or final_capture`;
  const parts = `
    select ledger_id, parent_id as key,
      sum(amount) filter (where kind = 'capture') as captured,
      count(*) filter (where ${ends}) as end_total,
      max(kind) filter (where kind in ('void', 'expiry')) as released_by,
      max(amount) filter (where kind in ('void', 'expiry')) as released,
      max(array[journal_number, journal_position]) as last_place,
      max(array[journal_number, journal_position]) filter (where ${ends}) as end_place,
      max(journal_number) as journal_number
    from ${rowsIn(scope, 'transfers')} as transfers
    where kind in ('capture', 'void', 'expiry') and status = 'completed'`;
  const captured = 'coalesce(parts.captured, 0)';
  const ended = 'coalesce(parts.end_total, 0)';
  return compare({
    from: beside(scope, 'parts', parts),
    where: 'hold.known or parts.key is not null',
    ledger: 'coalesce(hold.ledger_id, parts.ledger_id)',
    account: 'hold.from_account',
    currency: 'hold.currency',
    transfer: 'coalesce(hold.id, parts.key)',
    journal: 'parts.journal_number',
    presence: must('hold', 'hold.known', 'a hold', `'none'`),
    facts: [
      equal('captured, by completed captures', captured, 'hold.captured'),
      equal('released', `case when ${ended} > 0 then hold.amount - ${captured} else 0 end`, 'hold.released'),
      must(
        'amount of the void or expiry',
        'parts.released is null or parts.released = hold.released',
        'what the hold says was released',
        'parts.released',
      ),
      must('ends of the hold', `${ended} <= 1`, 'at most 1', ended),
      must(
        'place of the end in the journal',
        'parts.end_place is null or parts.end_place = parts.last_place',
        'the last of all parts',
        'parts.end_place',
      ),
      equal(
        'state',
        `case
          when parts.released_by = 'void' then 'voided'
          when parts.released_by = 'expiry' then 'expired'
          when ${ended} > 0 or ${captured} = hold.amount then 'captured'
          else 'open'
        end`,
        'hold.state',
      ),
      must(
        'captured and released',
        `hold.captured >= 0 and hold.released >= 0 and hold.captured + hold.released <= hold.amount
          and (hold.state = 'open') = (hold.captured + hold.released < hold.amount)`,
        'parts of the amount, and all of it unless the hold is open',
        `hold.captured || ' and ' || hold.released || ' of ' || hold.amount || ', ' || hold.state`,
      ),
      { ...mustBeBetween('hold.amount', '1'), what: `amount, from 1 to ${MONEY_BOUND}` },
    ],
  });
}

// A hold names the completed expiry that ended it, and no other transfer. An expiry that came too late is kept as
// failed.
function expiriesOfHolds(scope: Scope, part: Part | null): string[] {
  const all = rowsIn(scope, 'holds');
  const holds = !isShort(scope)
    ? all
    : `(select holds.* from ${touchedHolds(scope)} as touched join ${all} as holds using (id))`;
  const expiry = rowsIn(scope, 'transfers');
  const isTheirs = (hold: string) => `hold.ledger_id = expiry.ledger_id and hold.id = ${hold}`;
  const sources = [
    ...(part === 'pending_transfers'
      ? []
      : [
          `select ledger_id, id, parent_id, status, journal_number from ${transfersIn(scope)} as settled where kind = 'expiry'`,
        ]),
    ...(part === 'slice'
      ? []
      : [
          `select ledger_id, id, parent_id, 'pending' as status, null::bigint as journal_number
          from ${rowsIn(scope, 'pending_transfers')} as pending
          where kind = 'expiry'`,
        ]),
  ];
  const named = compare({
    from: `(select * from ${holds} as holds where expiry_id is not null or state = 'expired') as hold
      ${leftJoin(scope, expiry, 'expiry', 'expiry.ledger_id = hold.ledger_id and expiry.id = hold.expiry_id')}`,
    ledger: 'hold.ledger_id',
    account: 'hold.from_account',
    currency: 'hold.currency',
    transfer: 'hold.id',
    journal: 'expiry.journal_number',
    facts: [
      equal('hold of the expiry it names', 'hold.id', 'expiry.parent_id'),
      must(
        'kind and status of the expiry it names',
        `expiry.kind = 'expiry' and expiry.status = 'completed'`,
        'a completed expiry',
        `coalesce(expiry.status || ' ' || expiry.kind, 'none')`,
      ),
      must('state of a hold that names an expiry', `hold.state = 'expired'`, 'expired', 'hold.state'),
    ],
  });
  const expiries = compare({
    from: `(
        ${sources.join(`
        union all
        `)}
      ) as expiry
      ${leftJoin(scope, all, 'hold', isTheirs('expiry.parent_id'))}`,
    ledger: 'expiry.ledger_id',
    transfer: 'expiry.id',
    journal: 'expiry.journal_number',
    facts: [
      must('hold of the expiry', 'hold.id is not null', 'a hold', `'none'`),
      must(
        'expiry named by its hold',
        `expiry.status <> 'completed' or expiry.id = hold.expiry_id`,
        'by the one that completed',
        `coalesce(hold.expiry_id::text, 'none')`,
      ),
    ],
  });
  const unique = compare({
    from: `(select ledger_id, id, count(*) as total from ${holds} as holds group by ledger_id, id) as hold`,
    ledger: 'ledger_id',
    transfer: 'id',
    facts: [equal('holds with this id', '1', 'total')],
  });
  if (part === 'pending_transfers') return [expiries];
  return part === 'holds' ? [named, unique] : [named, expiries, unique];
}

export const HOLD_CHECKS: readonly Check[] = [
  {
    name: 'holds.orders',
    looksAt: ['holds'],
    parts: ['slice', 'holds'],
    statements: (scope) => [ordersOfHolds(scope)],
  },
  { name: 'holds.parts', looksAt: ['holds'], parts: ['slice', 'holds'], statements: (scope) => [partsOfHolds(scope)] },
  {
    name: 'holds.expiries',
    looksAt: ['holds'],
    parts: ['slice', 'holds', 'pending_transfers'],
    statements: expiriesOfHolds,
  },
];
