// Answers are bounded in bytes: each page, all of them that are being sent, and the time that a reader may take.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { before, test, type TestContext } from 'node:test';
import { onEnd } from '../support/cleanup.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { request, type Service, startService } from '../support/service.ts';
import { until } from '../support/until.ts';

const MIB = 1024 * 1024;
const ACCOUNTS = 300;
const STREAM_TIMEOUT_MS = 500;
const metadata = Object.fromEntries(Array.from({ length: 16 }, (_, index) => [`k${index}`, '€'.repeat(165)]));

type Page = { items: Record<string, unknown>[]; next: string | number | null };

let service: Service;
let database: TestDatabase;

before(async (t) => {
  database = await createDatabase(t);
  service = await startService(t, {
    database,
    env: {
      THREADS: '2',
      STREAM_TIMEOUT_MS: String(STREAM_TIMEOUT_MS),
      ANSWER_BYTES_IN_FLIGHT_MAX: String(8 * MIB),
    },
  });
  for (let index = 0; index < ACCOUNTS; index += 1) {
    const account = { account_number: `FAT${String(index).padStart(4, '0')}`, name: 'x', balance: 1000, metadata };
    assert.equal((await request(service, 'POST', '/accounts', { ...account, balance: 0 })).status, 201);
  }
  const transfer = { from_account: '@external', to_account: 'FAT0000', amount: 1, currency: 'USD', metadata };
  for (let group = 0; group < 3; group += 1) {
    const transfers = Array.from({ length: 100 }, () => transfer);
    const answer = await request(service, 'POST', '/transfers', { transfers }, { prefer: 'wait=20' });
    assert.equal(answer.status, 200, answer.text.slice(0, 500));
  }
});

for (const { path, count } of [
  { path: '/accounts?limit=1000', count: ACCOUNTS + 1 },
  { path: '/transfers?limit=1000', count: 300 },
  { path: '/transfers?limit=1000&account=FAT0000', count: 300 },
]) {
  test(`pages: pages of GET ${path} have at most 1 MiB each, and every item once`, async () => {
    const seen = new Set<string>();
    let next: Page['next'] = '';
    let pages = 0;
    while (next !== null) {
      const target: string = next === '' ? path : `${path}&after=${next}`;
      const answer = await request<Page>(service, 'GET', target);
      assert.equal(answer.status, 200, answer.text.slice(0, 500));
      assert.ok(Buffer.byteLength(answer.text) <= MIB + 1024, String(answer.text.length));
      for (const item of answer.body.items) seen.add(String(item['id'] ?? item['account_number']));
      ({ next } = answer.body);
      pages += 1;
    }
    assert.equal(seen.size, count);
    assert.ok(pages >= 3, `${pages} pages`);
  });
}

test('pages: a page of events has at most 1 MiB unless one event has more, and the next one continues', async () => {
  const [head] = await database.query<{ number: bigint }>('select number from journal_ends');
  let after = 0;
  while (after < Number(head?.number)) {
    const answer = await request<Page>(service, 'GET', `/events?limit=1000&after=${after}`);
    const { items, next } = answer.body;
    assert.deepEqual(
      items.map((item) => item['journal_number']),
      items.map((_, index) => after + index + 1),
    );
    assert.ok(items.length === 1 || Buffer.byteLength(answer.text) <= MIB + 1024);
    after = Number(next);
  }
});

test('pages: an account whose metadata is larger than a page is a page of its own', async (t) => {
  // Metadata was not bounded in earlier versions.
  const large = JSON.stringify({ large: 'x'.repeat(3 * MIB) });
  await database.query(
    `insert into accounts (ledger_id, account_number, currency, metadata) values (1, 'AAA', 'USD', $1)`,
    [large],
  );
  onEnd(t, async () => {
    await database.query(`delete from accounts where account_number = 'AAA'`);
  });
  const answer = await request<Page>(service, 'GET', '/accounts?limit=1000&after=@external:USD');
  assert.deepEqual([answer.body.items.length, answer.body.next], [1, 'AAA:USD']);
});

test('pages: a stalled reader is disconnected', { timeout: 60_000 }, async (t) => {
  // More than the buffers of a connection take: several answers, one behind the other.
  const socket = await openUnread(t, 'GET /accounts?limit=1000 HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(7));
  await until(
    () => {
      // A socket that is not read learns of the end only when it writes. An empty line is no request.
      socket.write('\r\n');
      return socket.closed;
    },
    { what: 'the connection to be cut' },
  );
});

test('pages: a read beyond the memory for answers is refused, and accepted ones are not', async (t) => {
  const env = { THREADS: '1', ANSWER_BYTES_IN_FLIGHT_MAX: '1024' };
  const small = await startService(t, { database, env });
  const { status, body, headers } = await request(small, 'GET', '/accounts?limit=1000');
  assert.deepEqual([status, body['code'], headers['retry-after']], [503, 'too_many_answers', '1']);
  assert.equal((await request(small, 'GET', '/accounts?limit=1')).status, 200, 'A small answer needs no budget.');
  const order = { from_account: '@external', to_account: 'FAT0001', amount: 1, currency: 'USD', metadata };
  const posted = await request(small, 'POST', '/transfers', { transfers: Array.from({ length: 20 }, () => order) });
  assert.equal(posted.status, 202);
});

test('pages: a follower of the feed whose request has a body in tiny chunks is answered', async (t) => {
  const head = 'GET /events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n';
  const socket = await openUnread(t, head + '1\r\n \r\n'.repeat(200_000));
  socket.resume();
  let text = '';
  socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
  await until(() => text.includes('event: settled'), { what: 'an event' });
});

/** Sends requests and reads nothing. */
async function openUnread(t: TestContext, text: string): Promise<Socket> {
  const { hostname, port } = new URL(service.url);
  const socket = connect(Number(port), hostname);
  onEnd(t, () => {
    socket.destroy();
  });
  socket.on('error', () => {});
  socket.pause();
  await once(socket, 'connect');
  socket.write(text);
  return socket;
}
