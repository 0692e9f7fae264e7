// Simulates the callers of a service: many at once, each with one request in flight. Their answers are kept, to be
// compared with the stored rows.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import type { TestDatabase } from '../support/database.ts';
import { type Answer, request } from '../support/service.ts';
import { until } from '../support/until.ts';

type Target = { url: string };

export type Order = { from_account: string; to_account: string; amount: number };

export type Transfer = Order & {
  id: string;
  status: 'pending' | 'completed' | 'failed';
  failure_code: string | null;
  request_id: string;
};

/** What the body of an answer may hold: a transfer, or the members of a problem. */
export type TransferOrProblem = Partial<Transfer> & { code?: string; detail?: string; transfer_id?: string };

/** One request to transfer, and what became of it: an answer, or the code of the error that ended the connection. */
export type Attempt = {
  order: Order;
  requestId: string;
  answer: Answer<TransferOrProblem> | null;
  broken: string | null;
  tookMs: number;
};

/** How a connection ends under a request: refused, reset, or closed by the other side before the answer. */
const BROKEN = new Set(['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET']);

/** For a service under load: it prints errors only, and its queue holds everything that a test sends. */
export const LOAD_ENV = { LOG_LEVEL: 'warn', MAX_QUEUE: '20000' };

/** Runs `work` for every item, `callers` of them at a time. The first error ends it. */
export async function inParallel<Item>(
  callers: number,
  items: readonly Item[],
  work: (item: Item, index: number) => Promise<void>,
): Promise<void> {
  const queue = items.entries();
  const call = async (): Promise<void> => {
    // All callers take from one queue, so that none is idle while there is work.
    for (const [index, item] of queue) await work(item, index);
  };
  await Promise.all(Array.from({ length: callers }, call));
}

/** `count` items made from their index. */
export function times<Item>(count: number, make: (index: number) => Item): Item[] {
  return Array.from({ length: count }, (_, index) => make(index));
}

/** Opens an account and checks its opening balance. */
export async function openAccount(
  service: Target,
  accountNumber: string,
  more: { balance?: number; overdraft_limit?: number } = {},
): Promise<void> {
  const answer = await request(service, 'POST', '/accounts', {
    account_number: accountNumber,
    name: accountNumber,
    ...more,
  });
  assert.equal(answer.status, 201, answer.text);
  assert.equal(answer.body['balance'], more.balance ?? 0);
}

/** Opens `count` accounts alike, named by the prefix and their place, and returns their numbers. */
export async function openAccounts(
  service: Target,
  prefix: string,
  count: number,
  more: { balance?: number; overdraft_limit?: number } = {},
): Promise<string[]> {
  const numbers = times(count, (index) => `${prefix}${index}`);
  await inParallel(10, numbers, (number) => openAccount(service, number, more));
  return numbers;
}

/** Orders a transfer. */
export async function post(
  service: Target,
  order: Order,
  headers: Record<string, string> = {},
): Promise<Answer<TransferOrProblem>> {
  return request<TransferOrProblem>(service, 'POST', '/transfers', order, headers);
}

/** Orders a transfer that must be accepted, and returns its id. */
export async function postAccepted(service: Target, order: Order): Promise<string> {
  const answer = await post(service, order);
  assert.equal(answer.status, 202, answer.text);
  return idOf(answer);
}

/** Orders a transfer under a request id of its own, from a service that may end meanwhile. */
export async function attempt(service: Target, order: Order, headers: Record<string, string> = {}): Promise<Attempt> {
  const requestId = randomUUID();
  const sentAt = performance.now();
  try {
    const answer = await post(service, order, { ...headers, 'X-Request-ID': requestId });
    return { order, requestId, answer, broken: null, tookMs: performance.now() - sentAt };
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    if (!BROKEN.has(code)) throw error;
    return { order, requestId, answer: null, broken: code, tookMs: performance.now() - sentAt };
  }
}

export function isAccepted({ answer }: Attempt): boolean {
  return answer?.status === 202 || answer?.status === 200;
}

/** The outcome of an attempt, for people: the text of the answer, or how the connection ended. */
export function describe({ answer, broken }: Attempt): string {
  return answer ? `${answer.status} ${answer.text}` : `no answer: ${broken}`;
}

/** The id of the transfer that an answer names. */
export function idOf(answer: Answer<TransferOrProblem> | null): string {
  assert.equal(typeof answer?.body.id, 'string', `No transfer is named in ${answer?.text}`);
  return answer?.body.id ?? '';
}

/** Waits until no transfer is pending in the database. */
export async function awaitNothingPending(database: TestDatabase, timeoutMs = 30_000): Promise<void> {
  await until(async () => (await countPending(database)) === 0, { timeoutMs, what: 'every transfer to be final' });
}

export async function countPending(database: TestDatabase): Promise<number> {
  const [row] = await database.query<{ count: number }>('select count(*)::integer as count from pending_transfers');
  return row?.count ?? -1;
}

/** The transfers with these request ids, wherever they are stored, by request id. */
export async function findByRequestId(
  database: TestDatabase,
  requestIds: readonly string[],
): Promise<Map<string, string>> {
  const rows = await database.query<{ request_id: string; id: string }>(
    `select request_id, id from pending_transfers where request_id = any($1::text[])
     union all
     select request_id, id from transfers where request_id = any($1::text[])`,
    [requestIds],
  );
  assert.equal(new Set(rows.map((row) => row.request_id)).size, rows.length, 'A request is stored once at most.');
  return new Map(rows.map((row) => [row.request_id, row.id]));
}

/** Every transfer that a list shows, page by page. */
export async function listTransfers(service: Target, filter: Record<string, string> = {}): Promise<Transfer[]> {
  return listAll<Transfer>(service, '/transfers', filter);
}

/** Every account's balance, @external's too, by number. */
export async function listBalances(service: Target): Promise<Map<string, number>> {
  const accounts = await listAll<{ account_number: string; balance: number }>(service, '/accounts', {});
  return new Map(accounts.map((account) => [account.account_number, account.balance]));
}

/** What the completed ones among these transfers make of accounts that began with nothing. */
export function sumUp(transfers: readonly Transfer[], accountNumbers: readonly string[]): Map<string, number> {
  const balances = new Map(['@external', ...accountNumbers].map((number) => [number, 0]));
  const add = (accountNumber: string, amount: number): void => {
    balances.set(accountNumber, (balances.get(accountNumber) ?? Number.NaN) + amount);
  };
  for (const transfer of transfers) {
    if (transfer.status !== 'completed') continue;
    add(transfer.from_account, -transfer.amount);
    add(transfer.to_account, transfer.amount);
  }
  return balances;
}

/** How often each value occurs. */
export function count<Value>(values: Iterable<Value>): Map<Value, number> {
  const counts = new Map<Value, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return counts;
}

/** Checks that the service accepts and settles transfers. */
export async function assertWorks(service: Target, order: Order): Promise<void> {
  await until(async () => (await request(service, 'GET', '/readyz')).status === 200, {
    what: 'the service to be ready',
  });
  const answer = await post(service, order, { Prefer: 'wait=10' });
  assert.equal(answer.status, 200, answer.text);
  assert.equal(answer.body.status, 'completed', answer.text);
}

async function listAll<Item>(service: Target, path: string, filter: Record<string, string>): Promise<Item[]> {
  const items: Item[] = [];
  let after: string | null = null;
  do {
    const search: URLSearchParams = new URLSearchParams({
      ...filter,
      limit: '1000',
      ...(after === null ? {} : { after }),
    });
    const answer: Answer<{ items: Item[]; next: string | null }> = await request(
      service,
      'GET',
      `${path}?${search.toString()}`,
    );
    assert.equal(answer.status, 200, answer.text);
    items.push(...answer.body.items);
    after = answer.body.next;
  } while (after !== null);
  return items;
}
