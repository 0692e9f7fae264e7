// Goal: the judge finds every violation. Method: callers load a real service, and the judge finds no violation. Then
// one violation of each kind is planted, in a copy of the database or in the recorded answers.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { drawFrom } from '../support/random.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { onEnd } from '../support/cleanup.ts';
import { makeKey } from '../support/keys.ts';
import { ADDRESS_VARIABLE, parseServerAddress, withAdmin } from '../support/server.ts';
import { request, startService } from '../support/service.ts';
import { until } from '../support/until.ts';
import { type Attempt, isAccepted } from './attempt.ts';
import { Callers, SHOP } from './callers.ts';
import { judgeAnswers, judgeBooks, summarize, type Violation } from './judge.ts';
import type { Revocations } from './keys.ts';

type Plant = {
  what: string;
  /** A change of the books on a connection without triggers. */
  sql?: string;
  /** The change to the matching answers to one order. */
  fits?: (attempt: Attempt) => boolean;
  answer?: (attempt: Attempt) => Partial<Attempt>;
  /** The rule that must be found broken. */
  rule: RegExp;
};

const LOST = /^an accepted request is never lost$/;
const TWICE = /^nothing takes effect twice$/;
const UNTRUE = /^every success is true$/;
const REFUSED = /^a refused request is not stored$/;
const EARNED = /^every answer is possible for its order$/;
const MADE_UP = /^every failure is justified$/;
const KEY = /^one key names one transfer$/;
const WHOLE = /^accounts are opened whole or not at all$/;
const FUNDED = /^an account and its opening balance are stored together$/;
const UNREFUSED = /^every refusal is true$/;
const ORDERED_BY = /^a stored transfer names the key that sent it$/;
const REVOKED = /^a revoked key orders nothing$/;
const ALIKE = /^all answers under one key are equal$/;

/** Longer than any load, and than a revoked key may still be used. */
const HOUR_MS = 3_600_000;

/** A transfer of one order under a key, completed. */
const PAID =
  "(select * from transfers where kind = 'transfer' and status = 'completed' and group_id is null and from_account like 'RICH%' and to_account like 'RICH%' limit 1)";
/** A credit from another ledger, completed, and the hold that it follows. */
const CREDIT = "(select * from transfers where from_account = '@ledger:main' and status = 'completed' limit 1)";
const COLUMNS =
  'amount, created_at, group_position, parent_id, group_id, atomic, kind, from_account, to_account, currency';

/** The opening transfer of one account of a list, and of the first such account of each. */
const OPENING = "(select * from transfers where from_account = '@external' and group_position = 1 limit 1)";
const DROP_FIRSTS =
  "delete from accounts where account_number in (select to_account from transfers where from_account = '@external' and group_position = 0)";

const isPayment = (attempt: Attempt): boolean => isAccepted(attempt) && attempt.intent.kind === 'transfer';
const isFinal = (attempt: Attempt): boolean => isPayment(attempt) && attempt.reported[0]?.status === 'completed';
/** An answer that shows a list with opening balances; no other order names any of its accounts. */
const isList = ({ intent, opened }: Attempt): boolean =>
  intent.kind === 'accounts' &&
  opened.some(({ opening_transfer_id }) => opening_transfer_id !== null) &&
  intent.accounts.every(({ account_number }) => countOrders(account_number) === 1);

const PLANTS: readonly Plant[] = [
  {
    what: 'an accepted transfer to another ledger that is lost',
    sql: `delete from transfers where kind = 'hold' and id in (select id from ${CREDIT} as credit)`,
    rule: LOST,
  },
  {
    what: 'a transfer to another ledger that never ends',
    sql: `update holds set state = 'open', captured = 0 where id in (select id from ${CREDIT} as credit)`,
    rule: /^no transfer stays pending$/,
  },
  {
    what: 'a transfer to another ledger that arrived twice',
    sql: `insert into transfers (ledger_id, id, ${COLUMNS}, status, from_entry_number, to_entry_number, completed_at, journal_number, journal_position, remote_account)
      select ledger_id, gen_random_uuid(), ${COLUMNS}, status, from_entry_number, to_entry_number, completed_at, journal_number, 100000, remote_account
      from ${CREDIT} as credit`,
    rule: /^promise 5: a credit from another ledger has its hold there/,
  },
  {
    what: 'a transfer to another ledger that never arrived',
    sql: `delete from transfers where from_account = '@ledger:main' and id in (select id from ${CREDIT} as credit)`,
    rule: /^promise 4: a hold for another ledger ends as its credit there did$/,
  },
  {
    what: 'a success of a transfer that another ledger refused',
    fits: ({ intent, status, reported }) =>
      intent.kind === 'between' && status === 200 && reported[0]?.status === 'failed',
    answer: ({ reported }) => ({
      reported: reported.map((each) => ({ ...each, status: 'completed', failure_code: null })),
    }),
    rule: UNTRUE,
  },
  {
    what: 'an accepted transfer that is lost',
    sql: `delete from transfers where id in (select id from ${PAID} as paid)`,
    rule: LOST,
  },
  {
    what: 'an order that took effect twice',
    sql: `insert into transfers (ledger_id, id, ${COLUMNS}, status, request_id, from_entry_number, to_entry_number, completed_at, journal_number, journal_position)
      select ledger_id, gen_random_uuid(), ${COLUMNS}, status, request_id, from_entry_number, to_entry_number, completed_at, journal_number, 100000
      from ${PAID} as paid`,
    rule: TWICE,
  },
  {
    what: 'a key that names two ids to its caller',
    fits: (attempt) => isPayment(attempt) && attempt.intent.keyed,
    answer: () => ({ named: '00000000-0000-7000-8000-000000000000', reported: [] }),
    rule: LOST,
  },
  {
    what: 'a key that names another transfer in the books',
    sql: `update idempotency_keys set transfer_id = (select id from ${PAID} as paid)`,
    rule: KEY,
  },
  {
    what: 'a success with another status',
    fits: isFinal,
    answer: ({ reported }) => ({
      reported: reported.map((each) => ({ ...each, status: 'failed', failure_code: 'insufficient_funds' })),
    }),
    rule: UNTRUE,
  },
  {
    what: 'a success with another amount',
    fits: isFinal,
    answer: ({ reported }) => ({ reported: reported.map((each) => ({ ...each, amount: 1_000_000 })) }),
    rule: UNTRUE,
  },
  {
    what: 'a 200 for a pending transfer',
    fits: (attempt) => isPayment(attempt) && attempt.status === 202,
    answer: () => ({ status: 200 }),
    rule: UNTRUE,
  },
  {
    what: 'a 429 for a stored transfer',
    fits: isPayment,
    answer: () => ({ status: 429, code: 'queue_full', named: null, reported: [] }),
    rule: REFUSED,
  },
  {
    what: 'a 503 that denies a stored transfer',
    fits: isPayment,
    answer: () => ({ status: 503, code: 'database_unavailable', named: null, reported: [] }),
    rule: REFUSED,
  },
  {
    what: 'a stored order that was sent in part',
    fits: isPayment,
    answer: () => ({ status: null, broken: 'hung up', partial: true, named: null, reported: [] }),
    rule: /^an incomplete request is not stored$/,
  },
  {
    what: 'an answer of 500',
    fits: (attempt) => attempt.status === 422,
    answer: () => ({ status: 500, code: 'internal_error' }),
    rule: EARNED,
  },
  {
    what: 'an accepted order that must be refused',
    fits: (attempt) => attempt.intent.kind === 'refusable',
    answer: () => ({ status: 202, code: null }),
    rule: EARNED,
  },
  {
    what: 'an accepted transfer that cannot be read',
    fits: (attempt) => attempt.intent.kind === 'read' && attempt.status === 200,
    answer: () => ({ status: 404, code: 'transfer_not_found', named: null, reported: [] }),
    rule: LOST,
  },
  {
    what: 'a transfer that names another key',
    sql: `update transfers set ordered_by = 'abcdefghijkm' where id in (select id from ${PAID} as paid)`,
    rule: ORDERED_BY,
  },
  {
    what: 'a transfer that names no key',
    sql: `update transfers set ordered_by = null where id in (select id from ${PAID} as paid)`,
    rule: ORDERED_BY,
  },
  {
    what: 'an expiry that names a key',
    sql: `update transfers set kind = 'expiry', parent_id = id, from_entry_number = null, to_entry_number = null
      where id in (select id from ${PAID} as paid)`,
    rule: ORDERED_BY,
  },
  {
    what: 'a success under a key that was revoked long before',
    fits: isPayment,
    answer: ({ sentAt, readAt }) => ({ sentAt: sentAt + HOUR_MS, readAt: readAt + HOUR_MS }),
    rule: REVOKED,
  },
  {
    what: 'an order without an answer that was stored under a key that was revoked long before',
    fits: isPayment,
    answer: ({ sentAt }) => ({
      sentAt: sentAt + HOUR_MS,
      status: null,
      broken: 'hung up',
      named: null,
      reported: [],
    }),
    rule: REVOKED,
  },
  {
    what: 'a 401 under a valid key',
    fits: (attempt) => attempt.intent.kind === 'refusable',
    answer: () => ({ status: 401, code: 'unauthorized' }),
    rule: EARNED,
  },
  {
    what: 'a 401 for a stored transfer',
    fits: isPayment,
    answer: ({ readAt }) => ({
      status: 401,
      code: 'unauthorized',
      named: null,
      reported: [],
      readAt: readAt + HOUR_MS,
    }),
    rule: REFUSED,
  },
  {
    what: 'a transfer that is pending again after it was final',
    fits: (attempt) => isPayment(attempt) && attempt.status === 202,
    answer: (attempt) => ({ sentAt: attempt.sentAt + 60_000, readAt: attempt.readAt + 60_000 }),
    rule: /^a final transfer is never pending again$/,
  },
  {
    what: 'a created_at that is not the stored one',
    fits: isFinal,
    answer: ({ reported }) => ({
      reported: reported.map((each) => ({ ...each, created_at: '2026-01-01T00:00:00.000001Z' })),
    }),
    rule: /^a transfer has one created_at$/,
  },
  {
    what: 'an account that was refused as unknown after its opening row',
    sql: `update transfers set status = 'failed', failure_code = 'destination_not_found', from_entry_number = null, to_entry_number = null
      where id in (
        select id from transfers join account_changes opened on opened.account_number = transfers.to_account
        where to_account like 'NEW-%' and status = 'completed' and from_account <> '@external'
          and opened.journal_number < transfers.journal_number
        limit 1
      )`,
    rule: MADE_UP,
  },
  {
    what: 'an amount that was not ordered',
    sql: `update transfers set amount = amount + 1 where id in (select id from ${PAID} as paid)`,
    rule: /^the stored order is the one that was sent$/,
  },
  {
    what: 'a group that lacks a member',
    sql: `delete from transfers where id in (select id from transfers where group_id is not null and from_account <> '@external' limit 1)`,
    rule: /^the stored order is the one that was sent$/,
  },
  {
    what: 'a transfer that no caller ordered',
    sql: `update transfers set request_id = 'unknown' where id in (select id from ${PAID} as paid)`,
    rule: /^every stored transfer was ordered$/,
  },
  {
    what: 'an opened account that is not stored',
    sql: `delete from accounts where account_number like 'NEW%'`,
    rule: LOST,
  },
  {
    what: 'an account without its opening balance',
    sql: `delete from transfers where from_account = '@external'`,
    rule: FUNDED,
  },
  {
    what: 'a refused account that is stored',
    fits: (attempt) => attempt.intent.kind === 'account' && attempt.status === 201,
    answer: () => ({ status: 503, code: 'database_unavailable', opened: [] }),
    rule: REFUSED,
  },
  { what: 'an accepted list of accounts that lacks one', sql: DROP_FIRSTS, rule: LOST },
  {
    what: 'a list of accounts without an answer that is stored in part',
    sql: DROP_FIRSTS,
    fits: isList,
    answer: () => ({ status: null, broken: 'hung up', opened: [] }),
    rule: WHOLE,
  },
  {
    what: 'a refused list of accounts that is stored in part',
    sql: `delete from idempotency_keys where account_number is not null; ${DROP_FIRSTS}`,
    fits: isList,
    answer: () => ({ status: 429, code: 'queue_full', opened: [] }),
    rule: WHOLE,
  },
  {
    what: 'a list of accounts that is funded and not stored',
    sql: `delete from idempotency_keys where account_number is not null; delete from accounts where account_number like 'NEW-%'`,
    rule: WHOLE,
  },
  {
    what: 'a refused list of accounts that is stored',
    fits: isList,
    answer: () => ({ status: 503, code: 'database_unavailable', opened: [] }),
    rule: REFUSED,
  },
  {
    what: 'a list of accounts that two journal rows opened',
    sql: `update account_changes set journal_number = 1 where account_number in (select to_account from ${OPENING} as opening)`,
    rule: WHOLE,
  },
  {
    what: 'an opening transfer in another journal row than its account',
    sql: `update transfers set journal_number = 1, journal_position = 100000 where id in (select id from ${OPENING} as opening)`,
    rule: FUNDED,
  },
  {
    what: 'an account of a list that was funded twice',
    sql: `insert into transfers (ledger_id, id, ${COLUMNS}, status, request_id, from_entry_number, to_entry_number, completed_at, journal_number, journal_position)
      select ledger_id, gen_random_uuid(), ${COLUMNS}, status, request_id, from_entry_number, to_entry_number, completed_at, journal_number, 100000
      from ${OPENING} as opening`,
    rule: TWICE,
  },
  {
    what: 'an opening balance that was not ordered',
    sql: `update transfers set amount = amount + 1 where id in (select id from ${OPENING} as opening)`,
    rule: FUNDED,
  },
  {
    what: 'an opening transfer that failed',
    sql: `update transfers set status = 'failed', failure_code = 'balance_out_of_bounds', from_entry_number = null, to_entry_number = null
      where id in (select id from ${OPENING} as opening)`,
    rule: FUNDED,
  },
  {
    what: 'a list of accounts shown without its opening transfers',
    fits: isList,
    answer: ({ opened }) => ({ opened: opened.map((each) => ({ ...each, opening_transfer_id: null })) }),
    rule: UNTRUE,
  },
  {
    what: 'a list that was refused for accounts that no order had opened',
    fits: isList,
    answer: () => ({ status: 409, code: 'account_exists', opened: [] }),
    rule: EARNED,
  },
  {
    what: 'a list that was refused for accounts of its own',
    fits: isList,
    answer: () => ({ status: 409, code: 'account_exists', opened: [] }),
    rule: UNREFUSED,
  },
  {
    what: 'a list that was refused for accounts that are not stored',
    sql: `delete from accounts where account_number like 'NEW-%'`,
    fits: ({ intent, code }) => intent.kind === 'accounts' && code === 'account_exists',
    answer: () => ({}),
    rule: UNREFUSED,
  },
  {
    what: 'a transfer that was abandoned',
    sql: `update transfers set failure_code = 'cannot_be_settled'
      where (ledger_id, id) in (select ledger_id, id from transfers where status = 'failed' and remote_account is null limit 1)`,
    rule: MADE_UP,
  },
  {
    what: 'a refusal of an account that cannot run short',
    sql: `update transfers set status = 'failed', failure_code = 'insufficient_funds', from_entry_number = null, to_entry_number = null
      where id in (select id from ${PAID} as paid)`,
    rule: MADE_UP,
  },
  {
    what: 'a refusal of an account that had enough',
    sql: `update transfers set amount = 1 where failure_code = 'insufficient_funds' and from_account like 'POOR%' and atomic is not true`,
    rule: MADE_UP,
  },
  {
    what: 'a transfer that stays pending',
    sql: `insert into pending_transfers (ledger_id, id, lease_id, ${COLUMNS}, request_id)
      select ledger_id, gen_random_uuid(), gen_random_uuid(), ${COLUMNS}, 'left' from ${PAID} as paid`,
    rule: /^no transfer stays pending$/,
  },
  {
    what: 'money from nowhere',
    sql: `update accounts set balance = balance + 1 where account_number = 'RICH0'`,
    rule: /^promise 1: the balances/,
  },
  {
    what: 'a gap in the entries',
    sql: `delete from entries where account_number = 'RICH0' and entry_number = 2`,
    rule: /^promise 2: entry numbers are/,
  },
  {
    what: 'a wrong running balance',
    sql: `update entries set balance = balance + 1 where account_number = 'RICH0' and entry_number = 2`,
    rule: /^promise 2: entry numbers are .* each running balance is the sum so far/,
  },
  {
    what: 'an overdraft',
    sql: `alter table accounts drop constraint accounts_no_overdraft; update accounts set balance = -1 where account_number = 'POOR0'`,
    rule: /^promise 3: no account has a negative available amount/,
  },
  {
    what: 'a held amount without a hold',
    sql: `update accounts set held = held + 1 where account_number = 'RICH0'`,
    rule: /^promise 3: the held amount/,
  },
  {
    what: 'a missing guard of final rows',
    sql: 'drop trigger entries_append_only on entries',
    rule: /^promise 6: the database refuses/,
  },
  {
    what: 'a wrong hash',
    sql: `update journal set hash = sha256('x') where number = 2`,
    rule: /^promise 7: the hash of a journal row/,
  },
  {
    what: 'a broken chain',
    sql: `update journal set previous_hash = sha256('x') where number = 3`,
    rule: /^promise 7: a journal row carries/,
  },
  {
    what: 'a settled transfer that was changed',
    sql: `update transfers set description = 'changed' where id in (select id from ${PAID} as paid)`,
    rule: /^promise 7: the digest/,
  },
];

let healthy: TestDatabase;
let attempts: readonly Attempt[];
let revocations: Revocations;

before(async (t) => {
  healthy = await createDatabase(t);
  const service = await startService(t, { database: healthy, env: { LOG_LEVEL: 'warn' } });
  const key = await makeKey(healthy);
  await until(async () => (await fetch(`${service.url}/accounts`)).status === 401, { what: 'the key to be known' });
  const created = await request(service, 'POST', '/ledgers', { name: SHOP.ledger }, key.headers);
  assert.equal(created.status, 201, created.text);
  const [targets, keys] = [() => [service.url], () => [key]];
  const callers = new Callers({ targets, keys, draw: drawFrom(1), round: 0, pair: true, recordPath: null });
  onEnd(t, () => callers.close());
  await callers.openAccounts();
  callers.start();
  await until(
    async () =>
      callers.attempts.length > 1000 &&
      (await hasEndedBetween()) &&
      (await hasRefusedPoor()) &&
      (await hasPaidNewcomer()) &&
      hasRefusedList(callers.attempts),
    {
      what: 'answers of all kinds',
      timeoutMs: 30_000,
    },
  );
  await callers.stop();
  await callers.settleDoubts();
  await until(hasNoOpen, { what: 'the transfers between ledgers to end' });
  await service.stop();
  attempts = callers.attempts;
  const now = Date.now();
  revocations = new Map([[key.id, { from: now, by: now }]]);
  // A database with connections cannot be copied.
  await withAdmin(healthy.admin, async (client) => {
    await client.query(`alter database ${healthy.name} with allow_connections false`);
    await client.query('select pg_terminate_backend(pid) from pg_stat_activity where datname = $1::text', [
      healthy.name,
    ]);
  });
});

test('judge: a healthy service breaks no rule', async (t) => {
  const database = await copyBooks(t);
  assert.deepEqual(summarize(await judge(database, attempts)), []);
});

for (const { what, sql, fits, answer, rule } of PLANTS) {
  test(`judge: it finds ${what}`, async (t) => {
    const database = await copyBooks(t);
    if (sql !== undefined) {
      const client = await database.connect();
      // Triggers, such as those that protect final rows, do not fire for a replica.
      await client.query('set session_replication_role = replica');
      await client.query(sql);
    }
    const chosen = fits && attempts.find(fits);
    if (fits) assert.ok(chosen, 'There is an answer of the kind.');
    const reported = attempts.map((each) =>
      each.intent.name === chosen?.intent.name && fits?.(each) ? { ...each, ...answer?.(each) } : each,
    );
    const found = await judge(database, reported);
    assert.ok(
      found.some((violation) => rule.test(violation.rule)),
      `Found instead:\n${summarize(found).join('\n')}`,
    );
  });
}

test('judge: it finds a key that names two stored transfers', async (t) => {
  const database = await copyBooks(t);
  const [one, other] = attempts.filter((attempt) => isPayment(attempt) && attempt.intent.keyed);
  assert.ok(one && other && one.named !== other.named);
  const found = await judge(database, [...attempts, { ...one, named: other.named, reported: other.reported }]);
  assert.ok(found.some(({ rule }) => KEY.test(rule)));
});

test('judge: it finds a repeated list of accounts that gets another answer', async (t) => {
  const database = await copyBooks(t);
  const one = attempts.find(isList);
  assert.ok(one);
  const found = await judge(database, [...attempts, { ...one, opened: one.opened.toReversed() }]);
  assert.ok(found.some(({ rule }) => ALIKE.test(rule)));
});

test('judge: it finds an account that two orders opened', async (t) => {
  const database = await copyBooks(t);
  const [one, other] = attempts.filter(isList);
  assert.ok(one && other && one.intent.name !== other.intent.name);
  const intent = { ...other.intent, accounts: [...other.intent.accounts, ...one.intent.accounts] };
  const reported = attempts.map((each) => (each.intent.name === intent.name ? { ...each, intent } : each));
  const found = await judge(database, reported);
  assert.ok(found.some(({ rule, detail }) => TWICE.test(rule) && detail.endsWith(', too')));
});

async function judge(database: TestDatabase, reported: readonly Attempt[]): Promise<Violation[]> {
  const evidence = { admin: database.admin, attempts: reported, revocations };
  return [...(await judgeAnswers(evidence)), ...(await judgeBooks(evidence))];
}

async function copyBooks(t: Parameters<typeof createDatabase>[0]): Promise<TestDatabase> {
  return await createDatabase(t, { ...parseServerAddress(process.env[ADDRESS_VARIABLE]), template: healthy.name });
}

/** Whether a poor account was refused for lack of funds, outside any atomic group. */
async function hasRefusedPoor(): Promise<boolean> {
  const rows = await healthy.query(
    `select from transfers where failure_code = 'insufficient_funds' and atomic is not true limit 1`,
  );
  return rows.length > 0;
}

/** Whether transfers between the ledgers were delivered in both directions, and refused. */
async function hasEndedBetween(): Promise<boolean> {
  const rows = await healthy.query(
    `select ledger_id, state from holds where to_account like '@ledger:%' and state <> 'open' group by ledger_id, state`,
  );
  return rows.length === 4;
}

async function hasNoOpen(): Promise<boolean> {
  const rows = await healthy.query(`select from holds where to_account like '@ledger:%' and state = 'open' limit 1`);
  return rows.length === 0;
}

/** Whether a list of accounts was refused because another order had opened one of them. */
function hasRefusedList(read: readonly Attempt[]): boolean {
  return read.some(({ intent, code }) => intent.kind === 'accounts' && code === 'account_exists');
}

/** How many orders name an account that is opened. */
function countOrders(number: string): number {
  const orders = attempts.filter(({ intent }) =>
    intent.accounts.some(({ account_number }) => account_number === number),
  );
  return new Set(orders.map(({ intent }) => intent.name)).size;
}

/** Whether an account that was opened under load has received money. */
async function hasPaidNewcomer(): Promise<boolean> {
  const rows = await healthy.query(
    `select from transfers where to_account like 'NEW-%' and status = 'completed' and from_account <> '@external' limit 1`,
  );
  return rows.length > 0;
}
