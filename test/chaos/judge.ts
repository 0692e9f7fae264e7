// Judges the service by the answers of callers and the stored rows, with SQL of its own: nothing here may come from
// src/. It runs when nothing is in flight, so a missing transfer is lost and a pending one is stuck.
import { Client, TypeOverrides } from 'pg';
import type { AdminSettings } from '../support/database.ts';
import { findViolations } from '../support/promises/check.ts';
import { type Attempt, type Intent, isAccepted, isRefusal, type Order, type Reported } from './attempt.ts';
import { GHOST, NEWCOMER, POOR } from './callers.ts';
import { judgeChronology } from './chronology.ts';
import { judgeKeys, type Revocations } from './keys.ts';

export type Evidence = { admin: AdminSettings; attempts: readonly Attempt[]; revocations: Revocations };

/** The broken promise, and its evidence. */
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
  ordered_by: string | null;
  journal_number: number | null;
  created_at: string;
};

type Account = { account_number: string; journal_number: number | null };

const INT8 = 20;
const COLUMNS = `
  id, group_id, group_position, atomic, kind, parent_id, from_account, coalesce(remote_account, to_account) as to_account, amount,
  ordered_by, to_char(created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as created_at,
  coalesce(request_id, id::text) as request_id`;
/** A transfer to another ledger is its hold, which says how it ended. No caller orders the other steps. */
const ORDERED = `(remote_account is null or kind = 'hold')`;
const ALL = `
  select ${COLUMNS}, coalesce(ended.status, transfers.status) as status, coalesce(ended.code, failure_code) as failure_code,
    journal_number
  from transfers
  left join lateral (
    select case state when 'captured' then 'completed' when 'voided' then 'failed' else 'pending' end as status,
      (
        select description
        from transfers as void
        where void.ledger_id = holds.ledger_id and void.parent_id = holds.id and void.kind = 'void' and void.status = 'completed'
      ) as code
    from holds
    where holds.ledger_id = transfers.ledger_id and holds.id = transfers.id and remote_account is not null
  ) as ended on true
  where ${ORDERED}
  union all
  select ${COLUMNS}, 'pending', null, null from pending_transfers where ${ORDERED}`;

/** Refusals of malformed requests: no order of a caller may receive one, except those made for it. */
const REFUSABLE = new Set(['amount_not_positive', 'same_account']);
/** Statuses that any well-formed request may receive; judgeKeys has the reason of each 401. */
const EXPECTED = new Set([200, 201, 202, 401, 429, 503]);

/** Compares answers with the stored rows. Cheap: reads only the rows of these attempts. */
export async function judgeAnswers({ admin, attempts, revocations }: Evidence): Promise<Violation[]> {
  return await withClient(admin, async (client) => {
    const requestIds = attempts.map(({ requestId }) => requestId);
    const named = attempts.flatMap(({ named, opened }) => [
      ...(named === null ? [] : [named]),
      ...opened.flatMap(({ opening_transfer_id }) => opening_transfer_id ?? []),
    ]);
    const stored = await client.query<Stored>(
      `select * from (${ALL}) as stored
       where request_id = any($1::text[]) or id = any($2::uuid[]) or group_id = any($2::uuid[])`,
      [requestIds, named],
    );
    const numbers = attempts.flatMap(({ intent }) => numbersOf(intent));
    const accounts = await client.query<Account>(
      `select account_number, opened.journal_number
       from accounts
       left join (select * from account_changes where change_number = 1) as opened
         using (ledger_id, account_number, currency)
       where account_number = any($1::text[])`,
      [numbers],
    );
    const keys = attempts.flatMap(({ intent }) => (intent.keyed ? intent.name : []));
    const holders = await client.query<{ key: string; transfer_id: string | null }>(
      'select key, transfer_id from idempotency_keys where key = any($1::text[])',
      [keys],
    );
    const findings = [
      ...judgeIntents(attempts, stored.rows, new Map(holders.rows.map((row) => [row.key, row.transfer_id]))),
      ...judgeReads(attempts, stored.rows),
      ...judgeAccounts(attempts, stored.rows, {
        rowByAccount: new Map(accounts.rows.map((row) => [row.account_number, row.journal_number])),
        keys: new Set(holders.rows.map((row) => row.key)),
      }),
      ...judgeChronology(
        // Its journal row is that of its hold, after which it is pending for a while.
        attempts.filter(({ intent }) => intent.kind !== 'between'),
        stored.rows,
      ),
      ...judgeKeys(attempts, stored.rows, revocations),
      ...(await judgeFailures(client, stored.rows)),
    ];
    return findings;
  });
}

/** Recomputes the books: checks the promises in SQL, and that every stored transfer was ordered. */
export async function judgeBooks({ admin, attempts, revocations }: Evidence): Promise<Violation[]> {
  return await withClient(admin, async (client) => {
    const requestIds = attempts.map(({ requestId }) => requestId);
    const strangers = await client.query<Stored>(
      `select * from (${ALL}) as stored where kind <> 'expiry' and request_id <> all($1::text[])`,
      [requestIds],
    );
    const expiries = await client.query<Stored>(`select * from (${ALL}) as stored where kind = 'expiry'`);
    const remaining = await client.query<{ id: string }>('select id from pending_transfers');
    await client.query('begin isolation level repeatable read, read only');
    const broken = await findViolations(client, { allDelivered: true });
    return [
      ...judgeKeys([], expiries.rows, revocations),
      ...strangers.rows.map(({ id, request_id }) => ({
        rule: 'every stored transfer was ordered',
        detail: `${id} by ${request_id}`,
      })),
      ...remaining.rows.map(({ id }) => ({ rule: 'no transfer stays pending', detail: id })),
      ...broken.map(({ promise, rule, count, rows }) => ({
        rule: `promise ${promise}: ${rule}`,
        detail: `broken ${count} times, such as ${JSON.stringify(rows)}`,
      })),
    ];
  });
}

/** A summary: each rule once, with how often it is broken and the first few cases. */
export function summarize(violations: readonly Violation[]): string[] {
  return [...Map.groupBy(violations, ({ rule }) => rule)].map(([rule, cases]) => {
    const shown = cases.slice(0, 3).map(({ detail }) => detail);
    return `${rule} (${cases.length} times): ${shown.join('; ')}`;
  });
}

function judgeIntents(
  attempts: readonly Attempt[],
  rows: readonly Stored[],
  holderByKey: ReadonlyMap<string, string | null>,
): Violation[] {
  const byRequest = Map.groupBy(rows, (row) => row.request_id);
  const byUnit = Map.groupBy(rows, (row) => row.group_id ?? row.id);
  const violations: Violation[] = [];
  const intents = attempts.filter(({ intent }) => intent.accounts.length === 0 && intent.kind !== 'read');
  for (const [name, tries] of Map.groupBy(intents, ({ intent }) => intent.name)) {
    const intent = tries[0]?.intent;
    if (!intent) continue;
    const report = (rule: string, detail: string): void => void violations.push({ rule, detail: `${name}: ${detail}` });
    const accepted = tries.filter(isAccepted);
    const names = new Set(accepted.flatMap(({ named }) => named ?? []));
    const units = new Set(
      tries.flatMap(({ requestId }) => (byRequest.get(requestId) ?? []).map((row) => row.group_id ?? row.id)),
    );

    if (names.size > 1) report('one key names one transfer', `it named ${[...names].join(' and ')}`);
    if (units.size > 1) report('nothing takes effect twice', `stored as ${[...units].join(' and ')}`);
    for (const id of names) {
      if (!byUnit.has(id)) report('an accepted request is never lost', `${id} is nowhere`);
      else if (!units.has(id))
        report('an accepted order is the one that was sent', `${id} was ordered by another request`);
    }
    const holder = holderByKey.get(name);
    if (intent.keyed && units.size > 0 && !units.has(holder ?? '')) {
      report(
        'one key names one transfer',
        `the key names ${holder ?? 'nothing'}, stored is ${[...units].join(' and ')}`,
      );
    }
    for (const each of tries) {
      violations.push(...judgeStatus(each));
      if (isRefusal(each) && byRequest.has(each.requestId)) {
        report('a refused request is not stored', `${each.requestId} was answered ${each.status} ${each.code}`);
      }
      if (each.partial && byRequest.has(each.requestId)) report('an incomplete request is not stored', each.requestId);
      if (isAccepted(each)) {
        for (const flaw of findUntruths(each, byUnit.get(each.named ?? '') ?? []))
          report('every success is true', flaw);
      }
    }
    for (const unit of units) {
      for (const flaw of findMisreadings(intent, byUnit.get(unit) ?? []))
        report('the stored order is the one that was sent', flaw);
    }
  }
  for (const row of rows) {
    if (row.status === 'pending') violations.push({ rule: 'no transfer stays pending', detail: row.id });
  }
  return violations;
}

function judgeStatus({ intent, status, code, requestId }: Attempt): Violation[] {
  if (status === null) return [];
  const refused = intent.kind === 'refusable' && code !== null && REFUSABLE.has(code);
  // The number is taken by an earlier attempt to open one of these accounts; judgeTakenNumbers checks it.
  const taken = intent.accounts.length > 0 && code === 'account_exists';
  if (refused || taken) return [];
  if (EXPECTED.has(status) && !(intent.kind === 'refusable' && status < 300)) return [];
  return [
    { rule: 'every answer is possible for its order', detail: `${requestId} (${intent.kind}): ${status} ${code}` },
  ];
}

/** How a received success differs from the stored rows. */
function findUntruths({ intent, status, reported, requestId }: Attempt, stored: readonly Stored[]): string[] {
  if (stored.length === 0) return [];
  const byId = new Map(stored.map((row) => [row.id, row]));
  const flaws: string[] = [];
  if (reported.length !== intent.orders.length) flaws.push(`${requestId} reported ${reported.length} transfers`);
  const pending = reported.some(({ status }) => status === 'pending');
  if (pending !== (status === 202)) flaws.push(`${requestId} was answered ${status} with pending ${pending}`);
  for (const each of reported) {
    const row = byId.get(each.id);
    if (!row) flaws.push(`${requestId} reported ${each.id}, which is not stored`);
    else if (!agrees(each, row))
      flaws.push(`${requestId} reported ${JSON.stringify(each)}, stored is ${JSON.stringify(row)}`);
  }
  return flaws;
}

/** Whether an answer matches the stored row, or may have matched before it was final. */
function agrees(reported: Reported, row: Stored): boolean {
  if (
    reported.kind !== row.kind ||
    reported.from_account !== row.from_account ||
    reported.to_account !== row.to_account
  )
    return false;
  if (reported.status === 'pending') return reported.amount === null || reported.amount === row.amount;
  return (
    reported.amount === row.amount &&
    reported.status === row.status &&
    reported.failure_code === row.failure_code &&
    reported.journal_number === row.journal_number
  );
}

/** How the stored rows differ from the request. */
function findMisreadings(intent: Intent, stored: readonly Stored[]): string[] {
  const rows = stored.toSorted((a, b) => (a.group_position ?? 0) - (b.group_position ?? 0));
  const kinds: Readonly<Record<string, string>> = { group: 'transfer', between: 'hold' };
  const kind = kinds[intent.kind] ?? intent.kind;
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
      // The amount of a failed capture or void is not known.
      (row.amount === order.amount || (row.amount === null && row.status !== 'completed'));
    return same ? [] : [`sent ${JSON.stringify(order)}, stored ${JSON.stringify(row)}`];
  });
}

function judgeReads(attempts: readonly Attempt[], rows: readonly Stored[]): Violation[] {
  const byId = new Map(rows.map((row) => [row.id, row]));
  return attempts
    .filter(({ intent, status }) => intent.kind === 'read' && status !== null)
    .flatMap((attempt) => {
      const { intent, status, reported } = attempt;
      // Only accepted transfers are read.
      if (status === 404)
        return [{ rule: 'an accepted request is never lost', detail: `${intent.readId} was not found` }];
      if (status !== 200) return judgeStatus(attempt);
      const row = byId.get(intent.readId ?? '');
      const [only] = reported;
      if (row && only && only.id === intent.readId && agrees(only, row)) return [];
      return [
        {
          rule: 'every success is true',
          detail: `a read reported ${JSON.stringify(only)}, stored ${JSON.stringify(row)}`,
        },
      ];
    });
}

/** What is stored of openings. */
type OpeningBooks = {
  /** The journal row of each account. */
  rowByAccount: ReadonlyMap<string, number | null>;
  /** The keys that name something. */
  keys: ReadonlySet<string>;
  /** The opening transfers of each account. */
  openings: ReadonlyMap<string, readonly Stored[]>;
  /** The name of the order that has opened an account if the account exists. */
  openerOf: ReadonlyMap<string, string>;
};

function judgeAccounts(
  attempts: readonly Attempt[],
  rows: readonly Stored[],
  stored: Pick<OpeningBooks, 'rowByAccount' | 'keys'>,
): Violation[] {
  const tries = attempts.filter(({ intent }) => intent.accounts.length > 0);
  const byName = [...Map.groupBy(tries, ({ intent }) => intent.name).values()];
  const intents = byName.flatMap(([first]) => first?.intent ?? []);
  // A key is stored together with the accounts it opens. Accounts without a key were opened by the order without one.
  const openers = [
    ...intents.filter(({ keyed }) => !keyed),
    ...intents.filter(({ keyed, name }) => keyed && stored.keys.has(name)),
  ];
  const external = rows.filter(({ from_account }) => from_account === '@external');
  const books = {
    ...stored,
    openings: Map.groupBy(external, ({ to_account }) => to_account),
    openerOf: new Map(openers.flatMap((intent) => numbersOf(intent).map((number) => [number, intent.name]))),
  };
  const byNumber = Map.groupBy(
    tries.flatMap((attempt) => numbersOf(attempt.intent).map((number) => ({ number, attempt }))),
    ({ number }) => number,
  );
  return byName.flatMap((each) => {
    const [first] = each;
    if (!first) return [];
    const rivals = numbersOf(first.intent).flatMap((number) => byNumber.get(number) ?? []);
    return [
      ...judgeOpening(first.intent, each, books),
      ...judgeOpeningAnswers(first.intent, each, books),
      ...judgeTakenNumbers(first.intent, each, { books, rivals: rivals.map(({ attempt }) => attempt) }),
    ];
  });
}

/** Whether what an order opens is stored once, and whole or not at all. */
function judgeOpening(intent: Intent, tries: readonly Attempt[], books: OpeningBooks): Violation[] {
  const violations: Violation[] = [];
  const report = (rule: string, detail: string): void =>
    void violations.push({ rule, detail: `${intent.kind} ${intent.name}: ${detail}` });
  const { rowByAccount, openings, openerOf } = books;
  const requests = new Set(tries.map(({ requestId }) => requestId));
  const numbers = numbersOf(intent);
  const present = numbers.filter((number) => rowByAccount.has(number));
  const isStored = isOpeningStored(intent, books);
  const extent = `${present.length} of ${numbers.length} are there, ${isStored ? 'opened' : 'not opened'} by it`;
  if (tries.some(isAccepted) && (!isStored || present.length < numbers.length)) {
    report('an accepted request is never lost', extent);
  } else if (isStored && present.length < numbers.length) {
    report('accounts are opened whole or not at all', extent);
  }
  if (isStored && tries.every(isRefusal)) report('a refused request is not stored', extent);
  if (!isStored) {
    const ownerless = present.filter((number) => !openerOf.has(number));
    const funded = numbers.filter((number) => openings.get(number)?.some((row) => requests.has(row.request_id)));
    if (ownerless.length + funded.length > 0) report('accounts are opened whole or not at all', extent);
    return violations;
  }
  const journal = new Set(present.map((number) => rowByAccount.get(number)));
  if (journal.size > 1) report('accounts are opened whole or not at all', `in rows ${[...journal].join(' and ')}`);
  for (const { account_number, balance } of intent.accounts) {
    const own = openings.get(account_number) ?? [];
    const opener = openerOf.get(account_number);
    if (opener !== intent.name) report('nothing takes effect twice', `${account_number} was opened by ${opener}, too`);
    if (own.length > 1) report('nothing takes effect twice', `${account_number} was funded ${own.length} times`);
    const fits = own.every(
      (row) =>
        row.amount === balance &&
        row.status === 'completed' &&
        row.journal_number === rowByAccount.get(account_number) &&
        requests.has(row.request_id),
    );
    if (!fits || own.length !== Number(balance > 0)) {
      report('an account and its opening balance are stored together', `${account_number}: ${JSON.stringify(own)}`);
    }
  }
  return violations;
}

function isOpeningStored({ keyed, name }: Intent, { keys, rowByAccount, openerOf }: OpeningBooks): boolean {
  return keyed ? keys.has(name) : rowByAccount.has(name) && openerOf.get(name) === name;
}

/** Whether the answers that show accounts are equal, and match the stored rows. */
function judgeOpeningAnswers(intent: Intent, tries: readonly Attempt[], { openings }: OpeningBooks): Violation[] {
  const violations: Violation[] = [];
  const report = (rule: string, detail: string): void =>
    void violations.push({ rule, detail: `${intent.kind} ${intent.name}: ${detail}` });
  const accepted = tries.filter(isAccepted);
  const answers = new Set(accepted.map(({ opened }) => JSON.stringify(opened)));
  if (answers.size > 1) report('all answers under one key are equal', [...answers].join(' and '));
  if (!intent.keyed && accepted.length > 1) report('nothing takes effect twice', 'it was opened twice');
  const shown = numbersOf(intent).map((account_number) => {
    const [opening] = openings.get(account_number) ?? [];
    return { account_number, opening_transfer_id: opening?.id ?? null };
  });
  const truth = JSON.stringify(shown);
  for (const answer of answers) {
    if (answer !== truth) report('every success is true', `the answer was ${answer}, stored is ${truth}`);
  }
  for (const { status, code, requestId } of tries.filter(isRefusal)) {
    const stored = numbersOf(intent).flatMap((number) => openings.get(number) ?? []);
    if (stored.some((row) => row.request_id === requestId)) {
      report('a refused request is not stored', `${requestId} was answered ${status} ${code}`);
    }
  }
  return violations;
}

/** Whether each account_exists is true, and may be due to an order that came before. `rivals`: all attempts to open these accounts. */
function judgeTakenNumbers(
  intent: Intent,
  tries: readonly Attempt[],
  { books, rivals }: { books: OpeningBooks; rivals: readonly Attempt[] },
): Violation[] {
  return tries.flatMap((attempt) => {
    const violations = judgeStatus(attempt);
    if (attempt.code !== 'account_exists') return violations;
    const report = (rule: string, detail: string): void =>
      void violations.push({ rule, detail: `${intent.kind} ${intent.name}: ${detail}` });
    // The same key is answered with its own accounts, never with a refusal of them.
    const others = rivals.filter((other) => other !== attempt && !(intent.keyed && other.intent.name === intent.name));
    const isEarned = others.some((other) => other.sentAt <= attempt.readAt && !isRefusal(other));
    if (!isEarned) report('every answer is possible for its order', `${attempt.requestId}: it exists`);
    const isTrue = numbersOf(intent).some((number) => books.rowByAccount.has(number));
    if (!isTrue || (intent.keyed && isOpeningStored(intent, books))) {
      report('every refusal is true', `${attempt.requestId}: it was reported as existing`);
    }
    return violations;
  });
}

function numbersOf({ accounts }: Intent): string[] {
  return accounts.map(({ account_number }) => account_number);
}

/** Whether each failure is justified by the order: a technical error must never look like a business refusal. */
async function judgeFailures(client: Client, rows: readonly Stored[]): Promise<Violation[]> {
  const failed = rows.filter(({ status }) => status === 'failed');
  const poor = failed.filter(
    (row) => row.failure_code === 'insufficient_funds' && row.from_account.startsWith(POOR.prefix),
  );
  // A member of an atomic group is judged on what earlier members would have left, which is not recorded.
  const groundless = await client.query<{ id: string }>(
    `with moments as (
       select e.account_number, x.journal_number, x.journal_position, e.entry_number, null::uuid as refused, null as amount
       from entries e join transfers x on x.ledger_id = e.ledger_id and x.id = e.transfer_id
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
  // An account whose first change stands in an earlier row of the journal exists at the refusal.
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
    .map((row) => ({ rule: 'every failure is justified', detail: JSON.stringify(row) }));
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
