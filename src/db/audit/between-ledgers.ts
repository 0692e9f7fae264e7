// The checks of transfers between ledgers. Such a transfer is a hold in one ledger, a credit with the same id in the other,
// and then a capture or a void of the hold. The checks of one side hold in each ledger alone. Those of both sides need both
// ledgers, so an audit of one ledger skips them. A slice of one ledger finds the other side by its key. The steps commit
// in this order, and all but the state of the hold is final. So a snapshot that shows a step shows those before it.
import {
  type Check,
  compare,
  coversAll,
  equal,
  type Fact,
  join,
  leftJoin,
  must,
  type Part,
  rowsIn,
  type Scope,
  transfersIn,
} from './rules.ts';

/** The account that stands for another ledger has the name of that ledger after this text. */
const PREFIX = '@ledger:';
const REMOTE_FORM = `'^[A-Za-z0-9._-]{1,34}$'`;

const stands = (account: string) => `${account} like '${PREFIX}%'`;
const isOrdinary = (account: string) => `${account} not like '@%'`;
const nameIn = (account: string) => `substr(${account}, ${PREFIX.length + 1})`;

/** The id of a capture or void: a UUID of version 8, of the first 16 bytes of a SHA-256 (RFC 9562). */
function derivedId(parent: string, kind: string): string {
  const digest = `sha256(convert_to(${parent}::text || ':' || ${kind}, 'UTF8'))`;
  const version = `set_byte(substr(${digest}, 1, 16), 6, get_byte(${digest}, 6) & 15 | 128)`;
  return `encode(set_byte(${version}, 8, get_byte(${digest}, 8) & 63 | 128), 'hex')::uuid`;
}

/**
 * Whether `other` is another ledger. An audit of one ledger does not ask whether it is there: a ledger that is imported first
 * may be without the other for a while.
 */
function isAnother(scope: Scope, own: string): Fact {
  const all = coversAll(scope);
  return must(
    'other ledger',
    all ? `other.id <> ${own}` : `other.id is distinct from ${own}`,
    all ? 'another ledger that is there' : 'another ledger',
    `coalesce(other.name, 'none')`,
  );
}

function accountsOfLedgers(scope: Scope): string {
  return compare({
    from: `(
        select * from ${rowsIn(scope, 'accounts')} as accounts where account_number like '@%' and account_number <> '@external'
      ) as account
      left join ledgers as other on ${stands('account_number')} and other.name = ${nameIn('account_number')}`,
    ledger: 'account.ledger_id',
    account: 'account_number',
    currency: 'currency',
    facts: [
      must('number', stands('account_number'), 'that of another ledger', 'account_number'),
      isAnother(scope, 'account.ledger_id'),
      must(
        'status, held amount and overdraft limit',
        `status = 'open' and held = 0 and overdraft_limit = 0`,
        'open, 0 and 0',
        `status || ', ' || held || ' and ' || overdraft_limit`,
      ),
    ],
  });
}

const STEP_COLUMNS = `
  ledger_id, id, kind, from_account, to_account, amount, currency, parent_id, group_id, atomic, final_capture, expires_in,
  if_from_entry_number, if_min_available_after, rate, remote_account, ordered_by, approved_by, description, metadata`;

/** The transfers that touch the account of another ledger, or name an account there. */
const TOUCHES = `${stands('from_account')} or ${stands('to_account')} or remote_account is not null`;
/** The transfers that credit an account with money from another ledger. */
const CREDITS = `kind = 'transfer' and ${stands('from_account')}`;

/** The transfers that a condition selects: settled in scope, or pending. */
function stepsIn(scope: Scope, part: Part | null, condition: string): string {
  const settled = `select ${STEP_COLUMNS}, status, journal_number from ${transfersIn(scope)} as settled where ${condition}`;
  const pending = `
    select ${STEP_COLUMNS}, 'pending' as status, null::bigint as journal_number
    from ${rowsIn(scope, 'pending_transfers')} as pending
    where ${condition}`;
  if (part === 'pending_transfers') return `(${pending})`;
  return part === null ? `(${settled} union all ${pending})` : `(${settled})`;
}

/** What every step must be. */
const STEP_FACTS: readonly Fact[] = [
  must(
    'kind and accounts',
    `case step.kind
      when 'transfer' then ${stands('step.from_account')} and ${isOrdinary('step.to_account')}
      else step.kind in ('hold', 'capture', 'void') and ${isOrdinary('step.from_account')} and ${stands('step.to_account')}
    end`,
    'a hold to another ledger, its capture or void, or a credit from another ledger',
    `step.kind || ' from ' || step.from_account || ' to ' || step.to_account`,
  ),
  must(
    'remote_account',
    `step.remote_account ~ ${REMOTE_FORM}`,
    'the account in the other ledger',
    `coalesce(step.remote_account, 'null')`,
  ),
  must(
    'group and conditions',
    `case step.kind
      when 'hold' then step.atomic is not true
      else num_nonnulls(step.group_id, step.if_from_entry_number, step.if_min_available_after) = 0
    end`,
    'those of a hold, outside an atomic group',
    `coalesce('group ' || step.group_id, 'conditions')`,
  ),
  must(
    'expires_in, rate and final_capture',
    'num_nonnulls(step.expires_in, step.rate) = 0 and step.final_capture is not true',
    'none',
    `concat_ws(', ', step.expires_in, step.rate, step.final_capture)`,
  ),
];

const ENDS = `step.kind in ('capture', 'void')`;
const END_ID = derivedId('step.parent_id', 'step.kind');

// A capture or a void takes the whole hold, and is never refused, because the credit in the other ledger is final.
const END_FACTS: readonly Fact[] = [
  must(
    'who ordered the capture or void, and its metadata',
    `not ${ENDS} or num_nonnulls(step.ordered_by, step.approved_by, step.metadata) = 0`,
    'the service, without metadata',
    `concat_ws(', ', step.ordered_by, step.approved_by, step.metadata)`,
  ),
  must('description of the void', `step.kind <> 'void' or step.description is not null`, 'the reason', `'null'`),
  must('status of the capture or void', `not ${ENDS} or step.status <> 'failed'`, 'not failed', 'step.status'),
  {
    what: 'id of the capture or void',
    holds: `not ${ENDS} or step.id = ${END_ID}`,
    expected: END_ID,
    found: 'step.id',
  },
  must(
    'hold of the capture or void',
    `not ${ENDS} or step.status <> 'completed'
      or (hold.amount, hold.remote_account) is not distinct from (step.amount, step.remote_account)`,
    'one of the same amount to the same account',
    `coalesce(hold.amount || ' to ' || hold.remote_account, 'none')`,
  ),
];

// Nothing but a step of a transfer between ledgers touches the account of another ledger.
function stepsOfLedgers(scope: Scope, part: Part | null): string {
  const other = `case when ${stands('step.from_account')} then step.from_account else step.to_account end`;
  return compare({
    from: `${stepsIn(scope, part, TOUCHES)} as step
      left join ledgers as other on other.name = ${nameIn(other)}
      ${leftJoin(
        scope,
        `(select * from ${rowsIn(scope, 'transfers')} as holds where ${stands('to_account')} and kind = 'hold')`,
        'hold',
        'hold.ledger_id = step.ledger_id and hold.id = step.parent_id',
      )}`,
    ledger: 'step.ledger_id',
    account: 'step.from_account',
    currency: 'step.currency',
    transfer: 'step.id',
    journal: 'step.journal_number',
    facts: [...STEP_FACTS, isAnother(scope, 'step.ledger_id'), ...END_FACTS],
  });
}

// A credit that is completed or still pending keeps its hold from being released.
function holdsOfCredits(scope: Scope, part: Part | null): string {
  const of = (what: string, expected: string, found: string) => equal(what, `hold.${expected}`, `credit.${found}`);
  return compare({
    from: `${stepsIn(scope, part, CREDITS)} as credit
      left join ledgers as target on target.id = credit.ledger_id
      left join ledgers as source on source.name = ${nameIn('credit.from_account')}
      ${leftJoin(
        scope,
        `(
          select transfers.*, holds.state
          from transfers
          join holds using (ledger_id, id)
          where kind = 'hold' and status = 'completed' and ${stands('transfers.to_account')}
        )`,
        'hold',
        'hold.ledger_id = source.id and hold.id = credit.id',
      )}`,
    ledger: 'credit.ledger_id',
    account: 'credit.to_account',
    currency: 'credit.currency',
    transfer: 'credit.id',
    journal: 'credit.journal_number',
    presence: must(
      'hold of the credit',
      'hold.id is not null',
      'a completed hold with the same id in the ledger that the credit names',
      `'none'`,
    ),
    facts: [
      equal('ledger to which the hold pays', `'${PREFIX}' || target.name`, 'hold.to_account'),
      ...(['amount', 'currency', 'ordered_by', 'approved_by', 'description', 'metadata'] as const).map((name) =>
        of(name, name, name),
      ),
      of('account that is credited', 'remote_account', 'to_account'),
      of('account that pays', 'from_account', 'remote_account'),
      must(
        'state of the hold',
        `hold.state = 'open'
          or hold.state = case credit.status when 'completed' then 'captured' when 'failed' then 'voided' end`,
        'open; captured if the credit is completed, voided if it failed',
        `hold.state || ' of a credit that is ' || credit.status`,
      ),
    ],
  });
}

function creditsOfEnds(scope: Scope): string {
  return compare({
    from: `(
        select *
        from ${transfersIn(scope)} as settled
        where kind in ('capture', 'void') and status = 'completed' and ${stands('to_account')}
      ) as ending
      left join ledgers as source on source.id = ending.ledger_id
      left join ledgers as target on target.name = ${nameIn('ending.to_account')}
      ${leftJoin(
        scope,
        `(select * from transfers where ${CREDITS})`,
        'credit',
        `credit.ledger_id = target.id and credit.id = ending.parent_id and credit.from_account = '${PREFIX}' || source.name`,
      )}`,
    ledger: 'ending.ledger_id',
    account: 'ending.from_account',
    currency: 'ending.currency',
    transfer: 'ending.id',
    journal: 'ending.journal_number',
    facts: [
      {
        what: 'credit in the other ledger',
        holds: `case ending.kind
          when 'capture' then credit.status = 'completed'
          else credit.status = 'failed' and credit.failure_code = ending.description
        end`,
        expected: `case ending.kind when 'capture' then 'completed' else 'failed ' || ending.description end`,
        found: `coalesce(concat_ws(' ', credit.status, credit.failure_code), 'none')`,
      },
    ],
  });
}

// What one ledger owes another is what the other has of it, except for money that has arrived and is not yet captured.
// Many snapshots take only what is open, by the indexes: the accounts of ledgers by their key, and holds_remote_open.
function balancesOfPairs(scope: Scope): string {
  const pair = (one: string, other: string) => `
    least(${one}, ${other}) as first, greatest(${one}, ${other}) as second`;
  return compare({
    from: `(
        select first, second, currency, sum(balance) as balances, sum(arrived) as arrived
        from (
          select ${pair('ledgers.name', nameIn('account_number'))}, currency, balance, 0 as arrived
          from ledgers
          ${join(scope, `(select * from accounts where ${stands('account_number')})`, 'account', 'account.ledger_id = ledgers.id')}
          union all
          select ${pair('target.name', 'source.name')}, credit.currency, 0, credit.amount
          from (select * from holds where state = 'open' and ${stands('to_account')}) as hold
          join ledgers as source on source.id = hold.ledger_id
          join ledgers as target on target.name = ${nameIn('hold.to_account')}
          ${join(
            scope,
            `(select * from transfers where ${CREDITS} and status = 'completed')`,
            'credit',
            `credit.ledger_id = target.id and credit.id = hold.id and credit.from_account = '${PREFIX}' || source.name`,
          )}
        ) as sides
        group by first, second, currency
      ) as pair
      left join ledgers on ledgers.name = pair.first`,
    ledger: 'ledgers.id',
    account: `'${PREFIX}' || pair.second`,
    currency: 'pair.currency',
    facts: [equal('balance of the account for each ledger in the other, both together', '-arrived', 'balances')],
  });
}

/** A check that needs both ledgers. */
const both =
  (statement: (scope: Scope, part: Part | null) => string) =>
  (scope: Scope, part: Part | null): string[] | null =>
    coversAll(scope) ? [statement(scope, part)] : null;

export const BETWEEN_CHECKS: readonly Check[] = [
  {
    name: 'between.accounts',
    looksAt: ['accounts'],
    parts: ['accounts'],
    statements: (scope) => [accountsOfLedgers(scope)],
  },
  {
    name: 'between.steps',
    looksAt: ['transfers'],
    parts: ['slice', 'pending_transfers'],
    statements: (scope, part) => [stepsOfLedgers(scope, part)],
  },
  {
    name: 'between.credits',
    looksAt: ['transfers', 'holds'],
    parts: ['slice', 'pending_transfers'],
    statements: both(holdsOfCredits),
  },
  { name: 'between.ends', looksAt: ['transfers'], parts: ['slice'], statements: both(creditsOfEnds) },
  { name: 'between.balances', looksAt: ['accounts', 'holds'], parts: ['sums'], statements: both(balancesOfPairs) },
];
