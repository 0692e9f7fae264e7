// Shared by the tests of transfers: one service, and requests whose answers are validated against their schemas.
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { ANSWER_VIEWS, type AnswerName } from '../../src/main/api/views.ts';
import { PROBLEMS, type ProblemCode } from '../../src/main/http/problem.ts';
import { onEnd, type Scope } from '../support/cleanup.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { type Answer, request, type Service, startService } from '../support/service.ts';

type Method = 'GET' | 'POST' | 'DELETE';
export type Row = Record<string, unknown>;

export const WAIT = { prefer: 'wait=20' };
export const MADE_ID = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/;
/** So long that a lock which a test holds never makes a job start again. */
export const PATIENCE = { DB_LOCK_TIMEOUT_MS: '60000', DB_STATEMENT_TIMEOUT_MS: '60000' };

export let database: TestDatabase;
export let service: Service;
let lastNumber = 0;

/** Starts the service that the tests of a file send their requests to. */
export async function start(t: Scope): Promise<void> {
  database = await createDatabase(t);
  service = await startService(t, { database, env: { THREADS: '4', LOG_LEVEL: 'warn', ...PATIENCE } });
}

/** Sends a request and validates its answer against this view: every field is valid, and there is no other. */
export async function answered(
  status: number,
  view: AnswerName,
  method: Method,
  path: string,
  body?: unknown,
  headers?: Record<string, string>,
): Promise<Answer<Row>> {
  const answer = await request(service, method, path, body, headers);
  assert.equal(answer.status, status, answer.text);
  assert.ok(answer.headers['x-request-id']);
  assert.equal(answer.headers['content-type'], status < 400 ? 'application/json' : 'application/problem+json');
  // Parsing leaves out what the view does not have.
  assert.deepEqual(ANSWER_VIEWS[view].parse(answer.body), answer.body);
  return answer;
}

export async function refused(
  code: ProblemCode,
  method: Method,
  path: string,
  body?: unknown,
  headers?: Record<string, string>,
): Promise<Row> {
  const answer = await answered(PROBLEMS[code].status, 'Problem', method, path, body, headers);
  assert.equal(answer.body['code'], code, answer.text);
  return answer.body;
}

export async function look(view: AnswerName, path: string): Promise<Row> {
  return (await answered(200, view, 'GET', path)).body;
}

/** Opens an account and returns its number. */
export async function open(fields: Row = {}): Promise<string> {
  lastNumber += 1;
  const account = { account_number: `ACC-${lastNumber}`, name: 'Ada', ...fields };
  const { body } = await answered(201, 'Account', 'POST', '/accounts', account);
  return String(body['account_number']);
}

export async function openClosed(): Promise<string> {
  const account = await open();
  const { status, text } = await request(service, 'DELETE', `/accounts/${account}`);
  assert.equal(status, 204, text);
  return account;
}

/** Orders a transfer and returns it in its final state. */
export async function settle(sent: Row, headers: Record<string, string> = {}): Promise<Row> {
  const { body } = await answered(200, 'Transfer', 'POST', '/transfers', sent, { ...WAIT, ...headers });
  return body;
}

/** Locks an account, so that its transfers stay pending until the returned function is called, or the test ends. */
export async function hold(t: TestContext, account: string): Promise<() => Promise<void>> {
  const client = await database.connect();
  let held = true;
  const release = async (): Promise<void> => {
    if (held) await client.query('rollback');
    held = false;
  };
  onEnd(t, release);
  await client.query('begin');
  const locked = await client.query('select from accounts where account_number = $1 for update', [account]);
  assert.equal(locked.rowCount, 1);
  return release;
}

export async function balancesOf(...accounts: string[]): Promise<unknown[]> {
  const shown = await Promise.all(accounts.map((account) => look('Account', `/accounts/${account}`)));
  return shown.map(({ balance }) => balance);
}

export async function listOf(account: string, more = ''): Promise<Row[]> {
  return itemsOf(await look('TransferPage', `/transfers?account=${account}&limit=1000${more}`));
}

/** The items of all pages, following `next` to its end. */
export async function allPages(path: string, limit: number): Promise<Row[]> {
  const items: Row[] = [];
  const seen = new Set<string>();
  let after = '';
  for (;;) {
    const page = await look('TransferPage', `${path}${path.includes('?') ? '&' : '?'}limit=${limit}${after}`);
    items.push(...itemsOf(page));
    for (const item of itemsOf(page)) seen.add(JSON.stringify(item));
    assert.equal(seen.size, items.length, 'a duplicate item');
    assert.ok(itemsOf(page).length <= limit);
    const { next } = page;
    if (typeof next !== 'string') return items;
    assert.equal(itemsOf(page).length, limit);
    after = `&after=${encodeURIComponent(next)}`;
  }
}

/** How many rows each table has. */
export async function count(): Promise<Row | undefined> {
  const [row] = await database.query(
    `select (select count(*) from accounts) as accounts, (select count(*) from pending_transfers) as pending,
       (select count(*) from transfers) as transfers, (select count(*) from entries) as entries,
       (select count(*) from journal) as journal, (select count(*) from idempotency_keys) as keys`,
  );
  return row;
}

export function order(from: string, to: string, amount: number): Row {
  return { from_account: from, to_account: to, amount };
}

export function newKey(): Record<string, string> {
  return { 'idempotency-key': crypto.randomUUID() };
}

export function itemsOf(page: Row): Row[] {
  const { items } = page;
  assert.ok(Array.isArray(items));
  return items;
}

export function idsOf(transfers: readonly (Row | undefined)[]): string[] {
  return transfers.map((each) => String(each?.['id']));
}
