// Each answer is one snapshot: a transfer that settles during a read, or between two pages, is shown once and in a
// documented state.
import assert from 'node:assert/strict';
import { randomUUIDv7 } from 'node:crypto';
import { before, test } from 'node:test';
import { z } from 'zod';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { request, type Service, startService } from '../support/service.ts';
import { until } from '../support/until.ts';

const page = z.object({
  items: z.array(z.object({ id: z.string(), status: z.string() })),
  next: z.string().nullable(),
});
type Items = z.infer<typeof page>['items'];
type Run = (sql: string, parameters?: unknown[]) => Promise<unknown>;

let database: TestDatabase;
let service: Service;

before(async (t) => {
  database = await createDatabase(t);
  service = await startService(t, { database, env: { THREADS: '1' } });
  for (const number of ['ANN', 'BOB']) {
    const account = { account_number: number, name: number, balance: 1000 };
    assert.equal((await request(service, 'POST', '/accounts', account)).status, 201);
  }
});

/**
 * Stores pending transfers, the newest first, under the service's own lease. The service does not adopt these, so it
 * never settles them.
 */
async function plant(kind: 'hold' | 'transfer', count: number): Promise<string[]> {
  const ids = Array.from({ length: count }, () => randomUUIDv7()).sort();
  await database.query(
    `insert into pending_transfers (ledger_id, id, lease_id, kind, from_account, to_account, amount, currency)
     select 1, unnest($1::uuid[]), heartbeats.lease_id, $2, 'ANN', 'BOB', 1, 'USD' from heartbeats`,
    [ids, kind],
  );
  return ids.toReversed();
}

/** Settles planted transfers like a job, as far as reads can observe. */
async function settle(run: Run, ids: readonly string[]): Promise<void> {
  await run(
    `insert into journal (ledger_id, number, settled_at, transfer_count, intake_count, change_count, digest, previous_hash, hash)
     select 1, number + 1, greatest(settled_at, clock_timestamp()), $1::integer, $1::integer, 0, hash, hash, hash
     from journal_ends`,
    [ids.length],
  );
  await run(
    `with taken as (
       delete from pending_transfers where id = any($1::uuid[]) returning *
     ), held as (
       insert into holds (ledger_id, id, from_account, to_account, currency, amount, created_at)
       select 1, id, from_account, to_account, currency, amount, created_at from taken where kind = 'hold'
     )
     insert into transfers (ledger_id, id, kind, from_account, to_account, currency, amount, status, created_at, completed_at,
       journal_number, journal_position, from_entry_number, to_entry_number)
     select 1, id, kind, from_account, to_account, currency, amount, 'completed', created_at, head.settled_at, head.number,
       row_number() over (order by id), entries.number, entries.number
     from taken
     cross join journal_ends as head
     cross join lateral (select case kind when 'transfer' then 1000 + head.number end as number) as entries`,
    [ids],
  );
  await run(
    `insert into entries (ledger_id, entry_number, amount, balance, journal_number, transfer_id, account_number, currency)
     select 1, from_entry_number * 10 + journal_position, -amount, 0, journal_number, id, from_account, currency
     from transfers
     where id = any($1::uuid[]) and from_entry_number is not null`,
    [ids],
  );
}

/** Settles planted transfers while `read` is in the middle of its statements, and returns its answer. */
async function settleDuring<Answer>(ids: readonly string[], read: () => Promise<Answer>): Promise<Answer> {
  const blocker = await database.connect();
  await blocker.query('begin; lock table transfers in access exclusive mode');
  const answer = read();
  await until(isBlocked, { what: 'the read to wait for the table' });
  await settle((sql, parameters) => blocker.query(sql, parameters), ids);
  await blocker.query('commit');
  return await answer;
}

async function isBlocked(): Promise<boolean> {
  const waiting = await database.query(
    `select from pg_stat_activity
     where datname = current_database() and application_name = 'gopherpay' and wait_event_type = 'Lock'`,
  );
  return waiting.length > 0;
}

async function settleNow(ids: readonly string[]): Promise<void> {
  const connection = await database.connect();
  await connection.query('begin');
  await settle((sql, parameters) => connection.query(sql, parameters), ids);
  await connection.query('commit');
}

async function list(query: string): Promise<z.infer<typeof page>> {
  const answer = await request(service, 'GET', `/transfers?${query}`);
  assert.equal(answer.status, 200, answer.text);
  return page.parse(answer.body);
}

test('snapshots: a hold that settles during a read is open', async () => {
  const [id = ''] = await plant('hold', 1);
  const pending = await request(service, 'GET', `/holds/${id}`);
  assert.deepEqual([pending.status, pending.body['state'], pending.body['remaining']], [200, 'pending', 0]);
  const answer = await settleDuring([id], () => request(service, 'GET', `/holds/${id}`));
  assert.deepEqual([answer.status, answer.body['state'], answer.body['remaining']], [200, 'open', 1]);
});

test('snapshots: a capture and a void find a hold that settles meanwhile', async () => {
  for (const action of ['capture', 'void']) {
    const [id = ''] = await plant('hold', 1);
    // The key is checked once the hold is found.
    const order = () => request(service, 'POST', `/holds/${id}/${action}`, {}, { 'idempotency-key': 'not a key' });
    assert.equal((await order()).body['code'], 'not_settled');
    assert.equal((await settleDuring([id], order)).body['code'], 'invalid_request');
  }
});

test('snapshots: a refused hold is shown as failed, and cannot be captured', async () => {
  const hold = { from_account: 'ANN', to_account: 'BOB', amount: 1_000_000 };
  const refused = await request(service, 'POST', '/holds', hold, { prefer: 'wait=10' });
  const path = `/holds/${String(refused.body['id'])}`;
  const shown = await request(service, 'GET', path);
  assert.deepEqual(
    [shown.status, shown.body['state'], shown.body['failure_code'], shown.body['remaining']],
    [200, 'failed', 'insufficient_funds', 0],
  );
  const captured = await request(service, 'POST', `${path}/capture`, {});
  assert.deepEqual([captured.status, captured.body['code']], [404, 'hold_not_found']);
});

for (const filter of ['', 'account=ANN&', 'currency=USD&since=2026-01-01T00:00:00Z&']) {
  test(`snapshots: a transfer that settles while a page is read is on it once (${filter})`, async () => {
    const [id = ''] = await plant('transfer', 1);
    const { items } = await settleDuring([id], () => list(`${filter}limit=1000`));
    assert.deepEqual(
      items.filter((item) => item.id === id),
      [{ id, status: 'completed' }],
    );
  });

  test(`snapshots: pages show each transfer once, though transfers settle between them (${filter})`, async () => {
    const before = (await list(`${filter}limit=1000`)).items.map((item) => item.id);
    const planted = await plant('transfer', 7);
    const seen: Items = [];
    let after = '';
    for (let turn = 0; ; turn += 1) {
      const { items, next } = await list(`${filter}limit=2${after}`);
      seen.push(...items);
      if (next === null) break;
      after = `&after=${next}`;
      // A shown one, one of the next page, and one of a later page; then the rest.
      if (turn === 0) await settleNow([planted[1], planted[2], planted[5]].map(String));
      if (turn === 1) await settleNow([planted[0], planted[3], planted[4], planted[6]].map(String));
      // Transfers that arrive during the walk are not part of it.
      if (turn < 2) await settleNow(await plant('transfer', 1));
    }
    assert.deepEqual(
      seen.map((item) => item.id),
      [...planted, ...before],
    );
    assert.deepEqual(
      seen.slice(0, 7).map((item) => item.status),
      ['pending', 'pending', 'completed', 'pending', 'completed', 'completed', 'completed'],
    );
  });
}

test('snapshots: a walk over pending transfers ends after they have settled', async () => {
  const planted = await plant('transfer', 3);
  const first = await list('status=pending&limit=1');
  assert.deepEqual(first.items, [{ id: planted[0], status: 'pending' }]);
  await settleNow(planted);
  assert.deepEqual(await list(`status=pending&limit=1&after=${String(first.next)}`), { items: [], next: null });
});
