// GET /journal: an auditor recomputes the chain and every digest from the answers alone, after every kind of record.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { before, test } from 'node:test';
import { z } from 'zod';
import { loadRecords } from '../../src/db/queries/journal.ts';
import { MAIN_LEDGER } from '../../src/domain/ledger.ts';
import { onEnd } from '../support/cleanup.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { makeKey, type TestKey } from '../support/keys.ts';
import { checkPromises } from '../support/promises/check.ts';
import { request, type Service, startService } from '../support/service.ts';
import { until } from '../support/until.ts';

const WAIT = { prefer: 'wait=10' };

const rowSchema = z.object({
  ledger: z.string(),
  number: z.int(),
  settled_at: z.string(),
  hash: z.string(),
  previous_hash: z.string(),
  digest: z.string(),
  transfer_count: z.int(),
  change_count: z.int(),
});
const pageSchema = z.object({ items: z.array(rowSchema), next: z.string().nullable() });
const recordSchema = z.object({ kind: z.string(), fields: z.array(z.string()) });
const detailSchema = rowSchema.extend({ records: z.array(recordSchema), next_record: z.int().nullable() });
type Row = z.output<typeof rowSchema>;
type JournalRecord = z.output<typeof recordSchema>;

let database: TestDatabase;
let service: Service;
let key: TestKey;

before(async (t) => {
  database = await createDatabase(t);
  key = await makeKey(database);
  service = await startService(t, { database, env: { THREADS: '2', LOG_LEVEL: 'warn' } });
  onEnd(t, async () => {
    await service.stop();
    await checkPromises(database, { nothingPending: true });
  });
  await post('/accounts', { account_number: 'ANN', name: 'Ann Secret', email: 'ann@secret.example', balance: 10_000 });
  await post('/accounts', { account_number: 'BOB', name: 'Bob Secret' });
  await post('/accounts', { account_number: 'EUR-BOOK', name: 'Book', currency: 'EUR', overdraft_limit: 100_000 });
  await post('/accounts', { account_number: 'EVE', name: 'Eve', currency: 'EUR' });
  const paid = await pay({ amount: 700, description: 'Miete · “März” 🏠', metadata: { house: '7', a: 'é' } });
  await pay({ amount: 1_000_000 }, 'failed');
  await post(`/transfers/${paid}/reversals`, {});
  const hold = String(
    (await post('/holds', { from_account: 'ANN', to_account: 'BOB', amount: 500, expires_in: 900 }))['id'],
  );
  await post(`/holds/${hold}/capture`, { amount: 200 });
  await post(`/holds/${hold}/void`, {});
  const legs = [
    { from_account: 'ANN', to_account: 'BOB', amount: 100, currency: 'USD' },
    { from_account: 'EUR-BOOK', to_account: 'EVE', currency: 'EUR', conversion: { of: 0, rate: '0.9217' } },
  ];
  await post('/transfers', { transfers: legs, atomic: true });
  await request(service, 'PATCH', '/accounts/BOB', { metadata: { tier: 'gold' } }, key.headers);
  await request(service, 'DELETE', '/accounts/BOB/personal-data', undefined, key.headers);
  await post('/ledgers', { name: 'test', clock: 'manual', now: '2026-01-15T10:00:00Z' });
  await post('/ledgers/test/clock', { now: '2026-01-16T10:00:00.000001Z' });
});

async function post(path: string, body: object): Promise<Record<string, unknown>> {
  const answer = await request(service, 'POST', path, body, { ...WAIT, ...key.headers });
  assert.ok([200, 201].includes(answer.status), answer.text);
  return answer.body;
}

async function pay(members: object, status = 'completed'): Promise<string> {
  const transfer = await post('/transfers', { from_account: 'ANN', to_account: 'BOB', ...members });
  assert.equal(transfer['status'], status);
  return String(transfer['id']);
}

/** A running service knows a new key within a second. */
async function untilKnown(headers: TestKey['headers']): Promise<void> {
  await until(async () => (await request(service, 'GET', '/access', undefined, headers)).status === 200, {
    timeoutMs: 10_000,
    what: 'the key to be known',
  });
}

async function get<Schema extends z.ZodType>(path: string, schema: Schema): Promise<z.output<Schema>> {
  const answer = await request(service, 'GET', path, undefined, key.headers);
  assert.equal(answer.status, 200, answer.text);
  return schema.parse(answer.body);
}

/** As the documents describe it. */
function hashOf(row: Row): string {
  const micros = Temporal.Instant.from(row.settled_at).epochNanoseconds / 1000n;
  return createHash('sha256')
    .update(row.previous_hash, 'hex')
    .update([row.ledger, row.number, micros, row.transfer_count, row.change_count].join('|'))
    .update(row.digest, 'hex')
    .digest('hex');
}

function digestOf(records: readonly JournalRecord[]): string {
  return createHash('sha256')
    .update(records.map(({ fields }) => `${fields.join('\u001f')}\u001e`).join(''))
    .digest('hex');
}

for (const ledger of ['main', 'test']) {
  test(`journal: the chain and the digests of ${ledger} follow from the answers`, async () => {
    const { items } = await get(`/ledgers/${ledger}/journal?order=oldest&limit=1000`, pageSchema);
    assert.deepEqual(
      items.map(({ number }) => number),
      items.map((_, index) => index + 1),
    );
    let previous = '0'.repeat(64);
    const kinds = new Map<string, number>();
    for (const item of items) {
      assert.deepEqual([item.ledger, item.previous_hash, item.hash], [ledger, previous, hashOf(item)]);
      const {
        records,
        next_record: next,
        ...row
      } = await get(`/ledgers/${ledger}/journal/${item.number}?limit=1000`, detailSchema);
      assert.deepEqual(row, item);
      assert.equal(next, null);
      assert.equal(item.digest, digestOf(records));
      const transfers = records.filter(({ kind }) => kind === 'transfer');
      assert.deepEqual([item.transfer_count, item.change_count], [transfers.length, records.length - transfers.length]);
      for (const { kind } of records) kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
      previous = item.hash;
    }
    if (ledger === 'main') assert.deepEqual([...kinds.keys()], ['account_change', 'transfer']);
    else assert.deepEqual([...kinds], [['administration', 2]]);
  });
}

test('journal: the records show no personal data', async () => {
  const { items } = await get('/journal?limit=1000', pageSchema);
  for (const { number } of items) {
    const { text } = await request(service, 'GET', `/journal/${number}?limit=1000`, undefined, key.headers);
    assert.doesNotMatch(text, /secret/i);
  }
});

test('journal: pages follow each other in both orders', async () => {
  for (const order of ['newest', 'oldest']) {
    const all = await get(`/journal?order=${order}&limit=1000`, pageSchema);
    assert.equal(all.next, null);
    const rows: Row[] = [];
    for (let after: string | null = ''; after !== null;) {
      const page: z.output<typeof pageSchema> = await get(
        `/journal?order=${order}&limit=3${after === '' ? '' : `&after=${after}`}`,
        pageSchema,
      );
      assert.ok(page.items.length <= 3);
      rows.push(...page.items);
      after = page.next;
    }
    assert.deepEqual(rows, all.items);
  }
});

test('journal: the records of a large row come in pages, bounded by count and by bytes', async () => {
  const metadata = { note: '\u00e9'.repeat(450) };
  const accounts = Array.from({ length: 3 }, (_, index) => ({ account_number: `N${index}`, name: 'N' }));
  await post('/accounts', { accounts });
  const transfers = Array.from({ length: 1000 }, () => ({
    from_account: 'ANN',
    to_account: 'N0',
    amount: 1,
    metadata,
  }));
  const group = await post('/transfers', { transfers, atomic: true });
  assert.equal(group['object'], 'group');
  const { items } = await get('/journal?limit=2', pageSchema);
  for (const [row, limit] of [
    [items[0], 1000],
    [items[1], 2],
  ] as const) {
    assert.ok(row);
    const records: JournalRecord[] = [];
    let pages = 0;
    for (let after: number | null = 0; after !== null; pages += 1) {
      const detail: z.output<typeof detailSchema> = await get(
        `/journal/${row.number}?limit=${limit}&after_record=${after}`,
        detailSchema,
      );
      assert.ok(JSON.stringify(detail.records).length <= 1024 * 1024);
      records.push(...detail.records);
      after = detail.next_record;
    }
    assert.ok(pages > 1);
    assert.equal(records.length, row.transfer_count + row.change_count);
    assert.equal(digestOf(records), row.digest);
  }
});

test('journal: of a large row no more records are read than a page has room for', async () => {
  const [row] = (await get('/journal?order=oldest&limit=1000', pageSchema)).items.toSorted(
    (one, other) => other.transfer_count - one.transfer_count,
  );
  assert.ok(row && row.transfer_count === 1000);
  const connection = await database.connect();
  const bytesMax = 100_000;
  const read = async (bytes: number) =>
    await loadRecords(connection, MAIN_LEDGER, { number: BigInt(row.number), after: 0, limit: 1001, bytesMax: bytes });
  const all = await read(10_000_000);
  const found = await read(bytesMax);
  const bytesOf = ({ fields }: { fields: readonly string[] }) => Buffer.byteLength(fields.join(''));
  const total = found.reduce((sum, record) => sum + bytesOf(record), 0);
  assert.ok(total > bytesMax && total <= bytesMax + 2 * Math.max(...all.map(bytesOf)), `${total} bytes`);
  assert.deepEqual(found, all.slice(0, found.length));
});

test('journal: a row that does not exist is not found', async () => {
  for (const number of ['0', '999999', 'x', '-1', '1'.repeat(16)]) {
    const answer = await request(service, 'GET', `/journal/${number}`, undefined, key.headers);
    assert.deepEqual([answer.status, answer.body['code']], [404, 'journal_row_not_found'], number);
  }
  for (const query of ['after=x', 'after=-1']) {
    const answer = await request(service, 'GET', `/journal?${query}`, undefined, key.headers);
    assert.deepEqual([answer.status, answer.body['code']], [400, 'invalid_request'], query);
  }
});

test('journal: a key without events:read, or for some accounts only, may not read it', async () => {
  const poor = await makeKey(database, { scopes: ['accounts:read', 'transfers:read', 'statements:read'] });
  const narrow = await makeKey(database, { limits: { accountPrefix: 'ANN' } });
  for (const { headers } of [poor, narrow]) {
    await untilKnown(headers);
    for (const path of ['/journal', '/journal/1']) {
      const answer = await request(service, 'GET', path, undefined, headers);
      assert.equal(answer.status, 403, answer.text);
    }
  }
});

test('journal: the rows of one ledger are not in another', async () => {
  const headers = key.headers;
  assert.equal((await request(service, 'POST', '/ledgers', { name: 'bare' }, headers)).status, 201);
  assert.equal((await request(service, 'GET', '/journal/1', undefined, headers)).status, 200);
  const rows = await request(service, 'GET', '/ledgers/bare/journal?order=oldest', undefined, headers);
  // A ledger that a key created has the record of that.
  assert.deepEqual(
    [rows.body['items']].flat().map((row) => z.object({ ledger: z.string() }).parse(row).ledger),
    ['bare'],
  );
  const missing = await request(service, 'GET', '/ledgers/bare/journal/2', undefined, headers);
  assert.deepEqual([missing.status, missing.body['code']], [404, 'journal_row_not_found']);
});
