// The JSON that the console expects is the JSON that the service answers. The compiler compares the types with the views;
// the test compares the names of their members with real answers.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import type { z } from 'zod';
import type { StatementEntry, StatementJson } from '../../src/console/statement.ts';
import type {
  Access,
  Account,
  Activity,
  Approval,
  Entry,
  Hold,
  JournalEvent,
  Ledger,
  Page,
  ProblemJson,
  SettledTransfer,
  Transfer,
} from '../../src/console/wire.ts';
import type { ANSWER_VIEWS, MEMBER_VIEWS } from '../../src/main/api/views.ts';
import { createDatabase } from '../support/database.ts';
import { request, type Service, startService } from '../support/service.ts';

/** The types of the console, by the names of the views of the service. */
type Wire = {
  Access: Access;
  Account: Account;
  AccountPage: Page<Account>;
  Activity: Activity;
  Approval: Approval;
  Entry: Entry;
  EntryPage: Page<Entry>;
  Hold: Hold;
  HoldPage: Page<Hold>;
  Event: JournalEvent;
  Ledger: Ledger;
  LedgerPage: Page<Ledger>;
  Statement: Omit<StatementJson, 'total_in' | 'total_out'>;
  Transfer: Transfer;
  TransferPage: Page<Transfer>;
};
type Views = { [Name in keyof Wire]: z.output<(typeof ANSWER_VIEWS)[Name]> };

/** They compile only if everything that the service may answer is what the console expects. */
const toWire = (views: Views): Wire => views;
const toSettled = (transfer: z.output<(typeof MEMBER_VIEWS)['SettledTransfer']>): SettledTransfer => transfer;
const toProblem = (problem: z.output<(typeof ANSWER_VIEWS)['Problem']>): ProblemJson => problem;

type Members<Type> = Readonly<Record<keyof Type, true>>;

const TRANSFER: Members<Omit<Transfer, 'from_ledger' | 'to_ledger'>> = {
  id: true,
  kind: true,
  status: true,
  failure_code: true,
  from_account: true,
  to_account: true,
  amount: true,
  currency: true,
  parent_id: true,
  group_id: true,
  conversion: true,
  description: true,
  metadata: true,
  request_id: true,
  ordered_by: true,
  approved_by: true,
  created_at: true,
  completed_at: true,
  journal_number: true,
};
const SETTLED: Members<Omit<SettledTransfer, 'from_ledger' | 'to_ledger'>> = {
  ...TRANSFER,
  type: true,
  from_entry_number: true,
  to_entry_number: true,
};
const ACCOUNT: Members<Omit<Account, 'personal_data_erased'>> = {
  account_number: true,
  name: true,
  email: true,
  phone: true,
  date_of_birth: true,
  currency: true,
  status: true,
  balance: true,
  held: true,
  overdraft_limit: true,
  available: true,
  entry_count: true,
  metadata: true,
  created_at: true,
};
const ENTRY: Members<Entry> = {
  entry_number: true,
  transfer_id: true,
  amount: true,
  balance: true,
  journal_number: true,
  settled_at: true,
};
const HOLD: Members<Hold> = {
  id: true,
  state: true,
  failure_code: true,
  from_account: true,
  to_account: true,
  currency: true,
  amount: true,
  captured: true,
  released: true,
  remaining: true,
  created_at: true,
  expires_at: true,
};
const EVENT: Members<JournalEvent> = {
  ledger: true,
  journal_number: true,
  settled_at: true,
  hash: true,
  previous_hash: true,
  digest: true,
  transfer_count: true,
  change_count: true,
  transfers: true,
  account_changes: true,
};
const ACTIVITY: Members<Activity> = {
  process: true,
  at: true,
  uptime_seconds: true,
  queue: true,
  totals: true,
  settle_seconds: true,
};
const ACCESS: Members<Access> = { key: true, ledger: true, scopes: true, account_prefix: true, version: true };
const LEDGER: Members<Ledger> = { name: true, created_at: true, clock: true, now: true };

const STATEMENT: Members<StatementJson> = {
  account_number: true,
  currency: true,
  month: true,
  begins: true,
  ends: true,
  final: true,
  entry_count: true,
  opening_balance: true,
  total_in: true,
  total_out: true,
  entries: true,
  closing_balance: true,
};
const STATEMENT_ENTRY: Members<StatementEntry> = {
  entry_number: true,
  settled_at: true,
  transfer_id: true,
  kind: true,
  counterparty: true,
  description: true,
  amount: true,
  balance: true,
};
const THIS_MONTH = new Date().toISOString().slice(0, 7);

type Json = Record<string, unknown>;

let service: Service;
let holdId: string;

before(async (t) => {
  service = await startService(t, { database: await createDatabase(t), env: { THREADS: '1', LOG_LEVEL: 'warn' } });
  const post = async (path: string, body: Json): Promise<Json> => {
    const answer = await request(service, 'POST', path, body, { prefer: 'wait=10' });
    assert.ok(answer.status < 300, answer.text);
    return answer.body;
  };
  await post('/accounts', { account_number: 'ANN', name: 'Ann', balance: 100 });
  await post('/accounts', { account_number: 'BOB', name: 'Bob' });
  await post('/transfers', { from_account: 'ANN', to_account: 'BOB', amount: 5 });
  holdId = String((await post('/holds', { from_account: 'ANN', to_account: 'BOB', amount: 5 }))['id']);
});

const answers: readonly (readonly [path: string, members: Json, pick: (body: Json) => Json | undefined])[] = [
  ['/access', ACCESS, (body) => body],
  ['/activity', ACTIVITY, (body) => body],
  ['/ledgers/main', LEDGER, (body) => body],
  ['/ledgers', LEDGER, firstOf],
  ['/accounts', ACCOUNT, firstOf],
  ['/accounts/ANN', ACCOUNT, (body) => body],
  ['/accounts/ANN/entries', ENTRY, firstOf],
  ['/transfers', TRANSFER, firstOf],
  ['/holds?account=ANN', HOLD, firstOf],
  ['/events', EVENT, firstOf],
  [`/accounts/ANN/statements/${THIS_MONTH}`, STATEMENT, (body) => body],
  [`/accounts/ANN/statements/${THIS_MONTH}`, STATEMENT_ENTRY, (body) => itemsOf(body['entries'])[0]],
];

for (const [path, members, pick] of answers) {
  test(`wire: GET ${path} has every member that the console reads`, async () => {
    const { status, body, text } = await request(service, 'GET', path);
    assert.equal(status, 200, text);
    assertMembers(pick(body), members);
  });
}

test('wire: a hold and a settled transfer have every member that the console reads', async () => {
  assertMembers((await request(service, 'GET', `/holds/${holdId}`)).body, HOLD);
  const { body } = await request(service, 'GET', '/events?account=ANN&types=transfer.completed&limit=1');
  assertMembers(itemsOf(firstOf(body)?.['transfers'])[0], SETTLED);
});

test('wire: a member that is missing is found', () => {
  assert.throws(() => assertMembers({ id: 'x' }, TRANSFER), /misses kind/);
  assert.equal(typeof toWire, typeof toSettled);
  assert.equal(typeof toProblem, 'function');
});

function assertMembers(answer: Json | undefined, members: Json): void {
  assert.ok(answer, 'there is an answer');
  const missing = Object.keys(members).filter((name) => !Object.hasOwn(answer, name));
  assert.deepEqual(missing, [], `${JSON.stringify(answer)} misses ${missing.join(', ')}`);
}

function firstOf(body: Json): Json | undefined {
  return itemsOf(body['items'])[0];
}

function itemsOf(value: unknown): Json[] {
  return Array.isArray(value) ? value.map((item) => Object(item)) : [];
}
