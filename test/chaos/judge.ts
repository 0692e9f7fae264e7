// Judges the service by what callers have read and what is stored, with SQL of its own: nothing here may come from src/.
// It is used when nothing is on its way any more, so that whatever is missing is lost and whatever is pending is stuck.
import { Client, TypeOverrides } from 'pg';
import type { AdminSettings } from '../support/database.ts';
import { findViolations } from '../support/promises/check.ts';
import { type Attempt, type Intent, isAccepted, isRefusal, type Order, type Told } from './attempt.ts';
import { GHOST, NEWCOMER, POOR } from './callers.ts';
import { judgeChronology } from './chronology.ts';

export type Evidence = { admin: AdminSettings; attempts: readonly Attempt[] };

/** What kind of promise is broken, and how it shows. */
export type Violation = { rule: string; detail: string };

type Stored = {
  id: string;
  group_id: string | null;
  group_position: number | null;
  atomic: boolean | null;
  kind: string;
  parent_id: string | null;
  from_account: string;
  to_account: string;
  amount: number | null;
  status: string;
  failure_code: string | null;
  request_id: string;
  journal_number: number | null;
  created_at: string;
};

type Account = { account_number: string; opening_id: string | null };

const INT8 = 20;
const COLUMNS = `
  id, group_id, group_position, atomic, kind, parent_id, from_account, to_account, amount,
  to_char(created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as created_at,
  coalesce(request_id, id::text) as request_id`;
const ALL = `
  select ${COLUMNS}, status, failure_code, journal_number from transfers
  union all
  select ${COLUMNS}, 'pending', null, null from pending_transfers`;

/** Refusals by the shape of what was sent: no order of a caller deserves one but those that are made to. */
const REFUSABLE = new Set(['amount_not_positive', 'same_account']);
/** Statuses that may be answered to whatever is well formed. */
const EXPECTED = new Set([200, 201, 202, 429, 503]);

/** Holds what was answered against what is stored of it. Cheap: reads only what these attempts are about. */
export async function judgeAnswers({ admin, attempts }: Evidence): Promise<Violation[]> {
  return await withClient(admin, async (client) => {
    const requestIds = attempts.map(({ requestId }) => requestId);
    const named = attempts.flatMap(({ named, openingId, intent }) =>
      intent.kind === 'account' ? (openingId ?? []) : (named ?? []),
    );
    const stored = await client.query<Stored>(
      `select * from (${ALL}) as stored
       where request_id = any($1::text[]) or id = any($2::uuid[]) or group_id = any($2::uuid[])`,
      [requestIds, named],
    );
    const numbers = attempts.flatMap(({ intent }) => intent.account?.account_number ?? []);
    const accounts = await client.query<Account>(
      'select account_number, null as opening_id from accounts where account_number = any($1::text[])',
      [numbers],
    );
    const keys = attempts.flatMap(({ intent }) => (intent.keyed ? intent.name : []));
    const holders = await client.query<{ key: string; transfer_id: string }>(
      'select key, transfer_id from idempotency_keys where key = any($1::text[])',
      [keys],
    );
    const findings = [
      ...judgeIntents(attempts, stored.rows, new Map(holders.rows.map((row) => [row.key, row.transfer_id]))),
      ...judgeReads(attempts, stored.rows),
      ...judgeAccounts(attempts, stored.rows, new Set(accounts.rows.map((row) => row.account_number))),
      ...judgeChronology(attempts, stored.rows),
      ...(await judgeFailures(client, stored.rows)),
    ];
    return findings;
  });
}

/** Recomputes the books: the promises in SQL, and that there is nothing in them that no caller ordered. */
export async function judgeBooks({ admin, attempts }: Evidence): Promise<Violation[]> {
  return await withClient(admin, async (client) => {
    const requestIds = attempts.map(({ requestId }) => requestId);
    const strangers = await client.query<Stored>(
      `select * from (${ALL}) as stored where kind <> 'expiry' and request_id <> all($1::text[])`,
      [requestIds],
    );
    const left = await client.query<{ id: string }>('select id from pending_transfers');
    await client.query('begin isolation level repeatable read, read only');
    const broken = await findViolations(client);
    return [
      ...strangers.rows.map(({ id, request_id }) => ({
        rule: 'nothing is stored that nobody ordered',
        detail: `${id} by ${request_id}`,
      })),
      ...left.rows.map(({ id }) => ({ rule: 'nothing is left pending', detail: id })),
      ...broken.map(({ promise, rule, count, rows }) => ({
        rule: `promise ${promise}: ${rule}`,
        detail: `broken ${count} times, such as ${JSON.stringify(rows)}`,
      })),
    ];
  });
}

/** The same in few words: each rule once, with how often it is broken and the first few cases. */
export function summarise(violations: readonly Violation[]): string[] {
  return [...Map.groupBy(violations, ({ rule }) => rule)].map(([rule, cases]) => {
    const shown = cases.slice(0, 3).map(({ detail }) => detail);
    return `${rule} (${cases.length} times): ${shown.join('; ')}`;
  });
}

function judgeIntents(
  attempts: readonly Attempt[],
  rows: readonly Stored[],
  holderByKey: ReadonlyMap<string, string>,
): Violation[] {
  const byRequest = Map.groupBy(rows, (row) => row.request_id);
  const byUnit = Map.groupBy(rows, (row) => row.group_id ?? row.id);
  const violations: Violation[] = [];
  const intents = attempts.filter(({ intent }) => intent.kind !== 'account' && intent.kind !== 'read');
  for (const [name, tries] of Map.groupBy(intents, ({ intent }) => intent.name)) {
    const intent = tries[0]?.intent;
    if (!intent) continue;
    const say = (rule: string, detail: string): void => void violations.push({ rule, detail: `${name}: ${detail}` });
    const accepted = tries.filter(isAccepted);
    const names = new Set(accepted.flatMap(({ named }) => named ?? []));
    const units = new Set(
      tries.flatMap(({ requestId }) => (byRequest.get(requestId) ?? []).map((row) => row.group_id ?? row.id)),
    );

    if (names.size > 1) say('one key names one transfer', `it named ${[...names].join(' and ')}`);
    if (units.size > 1) say('nothing takes effect twice', `stored as ${[...units].join(' and ')}`);
    for (const id of names) {
      if (!byUnit.has(id)) say('what was accepted is never lost', `${id} is nowhere`);
      else if (!units.has(id))
        say('an accepted order is the one that was sent', `${id} was ordered by another request`);
    }
    const holder = holderByKey.get(name);
    if (intent.keyed && units.size > 0 && (holder === undefined || !units.has(holder))) {
      say('one key names one transfer', `the key names ${holder ?? 'nothing'}, stored is ${[...units].join(' and ')}`);
    }
    for (const each of tries) {
      violations.push(...judgeStatus(each));
      if (isRefusal(each) && byRequest.has(each.requestId)) {
        say('what was refused is not stored', `${each.requestId} was answered ${each.status} ${each.code}`);
      }
      if (each.partial && byRequest.has(each.requestId)) say('what never arrived whole is not stored', each.requestId);
      if (isAccepted(each)) {
        for (const flaw of findUntruths(each, byUnit.get(each.named ?? '') ?? [])) say('no success is untrue', flaw);
      }
    }
    for (const unit of units) {
      for (const flaw of findMisreadings(intent, byUnit.get(unit) ?? [])) say('what is stored is what was sent', flaw);
    }
  }
  for (const row of rows) {
    if (row.status === 'pending') violations.push({ rule: 'nothing is left pending', detail: row.id });
  }
  return violations;
}

function judgeStatus({ intent, status, code, requestId }: Attempt): Violation[] {
  if (status === null) return [];
  const refused = intent.kind === 'refusable' && code !== null && REFUSABLE.has(code);
  // A number that is taken: by an earlier attempt to open the same account, which judgeAccounts sees to.
  const taken = intent.kind === 'account' && code === 'account_exists';
  if (refused || taken) return [];
  if (EXPECTED.has(status) && !(intent.kind === 'refusable' && status < 300)) return [];
  return [
    { rule: 'every answer is one that the order can earn', detail: `${requestId} (${intent.kind}): ${status} ${code}` },
  ];
}

/** In what a success that was read differs from what is stored. */
function findUntruths({ intent, status, told, requestId }: Attempt, stored: readonly Stored[]): string[] {
  if (stored.length === 0) return [];
  const byId = new Map(stored.map((row) => [row.id, row]));
  const flaws: string[] = [];
  if (told.length !== intent.orders.length) flaws.push(`${requestId} told of ${told.length} transfers`);
  const pending = told.some(({ status }) => status === 'pending');
  if (pending !== (status === 202)) flaws.push(`${requestId} was answered ${status} with pending ${pending}`);
  for (const each of told) {
    const row = byId.get(each.id);
    if (!row) flaws.push(`${requestId} told of ${each.id}, which is not stored`);
    else if (!agrees(each, row))
      flaws.push(`${requestId} said ${JSON.stringify(each)}, stored is ${JSON.stringify(row)}`);
  }
  return flaws;
}

/** Whether an answer is what is stored now, or may have been true before it was final. */
function agrees(told: Told, row: Stored): boolean {
  if (told.kind !== row.kind || told.from_account !== row.from_account || told.to_account !== row.to_account)
    return false;
  if (told.status === 'pending') return told.amount === null || told.amount === row.amount;
  return (
    told.amount === row.amount &&
    told.status === row.status &&
    told.failure_code === row.failure_code &&
    told.journal_number === row.journal_number
  );
}

/** In what is stored differs from what was sent. */
function findMisreadings(intent: Intent, stored: readonly Stored[]): string[] {
  const rows = stored.toSorted((a, b) => (a.group_position ?? 0) - (b.group_position ?? 0));
  const kind = intent.kind === 'group' ? 'transfer' : intent.kind;
  if (rows.length !== intent.orders.length) return [`${rows.length} of ${intent.orders.length} are stored`];
  return rows.flatMap((row, index) => {
    const order: Order | undefined = intent.orders[index];
    const same =
      order !== undefined &&
      row.kind === kind &&
      row.parent_id === intent.parentId &&
      (row.atomic ?? false) === intent.atomic &&
      row.from_account === order.from_account &&
      row.to_account === order.to_account &&
      // What a capture or void that failed would have moved is not known.
      (row.amount === order.amount || (row.amount === null && row.status !== 'completed'));
    return same ? [] : [`sent ${JSON.stringify(order)}, stored ${JSON.stringify(row)}`];
  });
}

function judgeReads(attempts: readonly Attempt[], rows: readonly Stored[]): Violation[] {
  const byId = new Map(rows.map((row) => [row.id, row]));
  return attempts
    .filter(({ intent, status }) => intent.kind === 'read' && status !== null)
    .flatMap((attempt) => {
      const { intent, status, told } = attempt;
      // Only what was accepted is ever read.
      if (status === 404)
        return [{ rule: 'what was accepted is never lost', detail: `${intent.readId} was not found` }];
      if (status !== 200) return judgeStatus(attempt);
      const row = byId.get(intent.readId ?? '');
      const [only] = told;
      if (row && only && only.id === intent.readId && agrees(only, row)) return [];
      return [
        { rule: 'no success is untrue', detail: `a read said ${JSON.stringify(only)}, stored ${JSON.stringify(row)}` },
      ];
    });
}

function judgeAccounts(
  attempts: readonly Attempt[],
  rows: readonly Stored[],
  existing: ReadonlySet<string>,
): Violation[] {
  const violations: Violation[] = [];
  const opened = attempts.filter(({ intent }) => intent.kind === 'account');
  for (const [name, tries] of Map.groupBy(opened, ({ intent }) => intent.name)) {
    const say = (rule: string, detail: string): void =>
      void violations.push({ rule, detail: `account ${name}: ${detail}` });
    const { balance = 0 } = tries[0]?.intent.account ?? {};
    const successes = tries.filter(isAccepted);
    const openings = rows.filter((row) => row.from_account === '@external' && row.to_account === name);
    if (successes.length > 1) say('nothing takes effect twice', 'it was opened twice');
    if (successes.length > 0 && !existing.has(name)) say('what was accepted is never lost', 'it is not there');
    if (openings.length > 1) say('nothing takes effect twice', `it was funded ${openings.length} times`);
    if (existing.has(name) && openings.length !== Number(balance > 0)) {
      say('an account and its opening balance are stored together', `${openings.length} opening transfers`);
    }
    for (const { openingId } of successes) {
      const [opening] = openings;
      if ((openingId ?? undefined) !== opening?.id || (opening && opening.amount !== balance)) {
        say('no success is untrue', `the opening was ${openingId}, stored is ${JSON.stringify(opening)}`);
      }
    }
    for (const [index, each] of tries.entries()) {
      violations.push(...judgeStatus(each));
      const earlier = tries.slice(0, index).some((other) => isAccepted(other) || !isRefusal(other));
      if (each.code === 'account_exists' && !earlier) say('every answer is one that the order can earn', 'it exists');
    }
    if (existing.has(name) && tries.every(isRefusal)) say('what was refused is not stored', 'it exists');
    if (!existing.has(name) && tries.some(({ code }) => code === 'account_exists')) {
      say('no refusal is untrue', 'it was said to exist');
    }
  }
  return violations;
}

/** Whether each failure is one that the order earned: technical trouble must never look like a business refusal. */
async function judgeFailures(client: Client, rows: readonly Stored[]): Promise<Violation[]> {
  const failed = rows.filter(({ status }) => status === 'failed');
  const poor = failed.filter(
    (row) => row.failure_code === 'insufficient_funds' && row.from_account.startsWith(POOR.prefix),
  );
  // A member of an atomic group is judged on what earlier members would have left, which is nowhere to be seen.
  const groundless = await client.query<{ id: string }>(
    `with moments as (
       select e.account_number, x.journal_number, x.journal_position, e.entry_number, null::uuid as refused, null as amount
       from entries e join transfers x on x.id = e.transfer_id
       where e.account_number = any($2::text[])
       union all
       select from_account, journal_number, journal_position, null, id, amount
       from transfers
       where id = any($1::uuid[]) and atomic is not true
     ), placed as (
       select *, max(entry_number) over (
         partition by account_number
         order by journal_number, journal_position
         rows between unbounded preceding and 1 preceding
       ) as entry_number_before
       from moments
     )
     select placed.refused as id
     from placed
     join entries before
       on before.account_number = placed.account_number and before.entry_number = placed.entry_number_before
     where placed.refused is not null and before.balance >= placed.amount`,
    [poor.map(({ id }) => id), [...new Set(poor.map(({ from_account }) => from_account))]],
  );
  const rich = new Set(groundless.rows.map(({ id }) => id));
  // An account whose first change stands in an earlier row of the journal exists where the refusal stands.
  const present = await client.query<{ id: string }>(
    `select refused.id
     from transfers refused
     join account_changes opened
       on opened.account_number =
         case refused.failure_code when 'destination_not_found' then refused.to_account else refused.from_account end
       and opened.change_number = 1
       and opened.journal_number < refused.journal_number
     where refused.id = any($1::uuid[]) and refused.failure_code in ('destination_not_found', 'source_not_found')`,
    [failed.map(({ id }) => id)],
  );
  const refuted = new Set(present.rows.map(({ id }) => id));
  const byGroup = Map.groupBy(failed, ({ group_id }) => group_id ?? '');
  const earned = (row: Stored): boolean => {
    switch (row.failure_code) {
      case 'insufficient_funds':
        return row.from_account.startsWith(POOR.prefix) && !rich.has(row.id);
      case 'destination_not_found':
        return (row.to_account === GHOST || row.to_account.startsWith(NEWCOMER)) && !refuted.has(row.id);
      case 'group_failed':
        return (
          row.atomic === true &&
          (byGroup.get(row.group_id ?? '') ?? []).some(({ failure_code }) => failure_code !== 'group_failed')
        );
      default:
        return false;
    }
  };
  return failed
    .filter((row) => !earned(row))
    .map((row) => ({ rule: 'no failure is made up', detail: JSON.stringify(row) }));
}

async function withClient<Result>(admin: AdminSettings, work: (client: Client) => Promise<Result>): Promise<Result> {
  const types = new TypeOverrides();
  types.setTypeParser(INT8, Number);
  const client = new Client({ ...admin, types });
  client.on('error', () => {});
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
