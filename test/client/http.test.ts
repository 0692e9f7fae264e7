// What the client sends, and what it makes of answers, with a fetch of the test's.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import {
  ApprovalPendingError,
  ConnectionError,
  GopherPay,
  GopherPayError,
  isProblem,
  PROBLEMS,
  ProblemError,
  UnexpectedAnswerError,
  UnsafeIntegerError,
  type ClientOptions,
} from '../../clients/typescript/src/index.ts';
import { parseDocument } from './document.ts';

type Sent = { method: string; path: string; headers: Headers; body: string | null };

const TRANSFER = { object: 'transfer', id: 'T1', status: 'completed', amount: 5 };
const ORDER = { from_account: 'A', to_account: 'B', amount: 5 };

const json = (body: unknown, status = 200, headers: Record<string, string> = {}): Response =>
  new Response(JSON.stringify(body), { status, headers: { 'Content-Type': 'application/json', ...headers } });
const problem = (code: string, status: number, more: Record<string, string> = {}): Response =>
  json({ code, status, detail: 'why', request_id: 'R1' }, status, {
    'Content-Type': 'application/problem+json',
    ...more,
  });

/** A client whose requests get these answers; the last one again and again. An error is a failed connection. */
function clientOf(answers: readonly (() => Response | Error)[], options: Partial<ClientOptions> = {}) {
  const sent: Sent[] = [];
  const client = new GopherPay({
    baseUrl: 'https://pay.example/api/',
    ...options,
    fetch: async (input, init) => {
      const request = new Request(input, init);
      const { method, url, headers } = request;
      const body = await request.text();
      sent.push({ method, path: url.replace('https://pay.example', ''), headers, body: body === '' ? null : body });
      const answer = (answers[sent.length - 1] ?? answers.at(-1))?.();
      if (answer instanceof Response) return answer;
      throw answer ?? new Error('The test has no answer.');
    },
  });
  return { client, sent };
}

test('client: a change is conditional on the tag of the account that was read', async () => {
  const account = { object: 'account', account_number: 'A' };
  const { client, sent } = clientOf([
    () => json(account, 200, { ETag: '"7-x"' }),
    () => problem('precondition_failed', 412),
    () => json(account, 200),
  ]);
  const { etag } = await client.accounts.getTagged('A');
  assert.equal(etag, '"7-x"');
  const failed = failureOf(client.accounts.update('A', { name: 'Ann' }, { ifMatch: '"7-x"' }));
  assert.ok(isProblem(await failed, 'precondition_failed'));
  assert.equal((await client.accounts.getTagged('A')).etag, null);
  assert.deepEqual(
    sent.map(({ method, headers }) => [method, headers.get('If-Match')]),
    [
      ['GET', null],
      ['PATCH', '"7-x"'],
      ['GET', null],
    ],
  );
});

test('client: requests name the ledger and the key, also behind a prefix', async () => {
  const { client, sent } = clientOf([() => json(TRANSFER)], { ledger: 'shop', key: 'gp_1_x' });
  await client.transfers.get('a/b');
  await client.ledgers.get('shop');
  assert.deepEqual(
    sent.map(({ path, headers }) => [path, headers.get('Authorization')]),
    [
      ['/api/ledgers/shop/transfers/a%2Fb', 'Bearer gp_1_x'],
      ['/api/ledgers/shop', 'Bearer gp_1_x'],
    ],
  );
});

test('client: all attempts of a request have one idempotency key, and each request has its own', async () => {
  const lost = new TypeError('fetch failed');
  const { client, sent } = clientOf([() => lost, () => problem('outcome_unknown', 503), () => json(TRANSFER)]);
  assert.equal((await client.transfers.create(ORDER, { waitSeconds: 5 })).status, 'completed');
  await client.transfers.create(ORDER);
  await client.transfers.create(ORDER, { idempotencyKey: 'mine' });
  const keys = sent.map(({ headers }) => headers.get('Idempotency-Key'));
  assert.match(keys[0] ?? '', /^[0-9a-f-]{36}$/);
  assert.deepEqual([keys[1], keys[2], keys[4]], [keys[0], keys[0], 'mine']);
  assert.notEqual(keys[3], keys[0]);
  assert.deepEqual(
    sent.map(({ headers }) => headers.get('Prefer')),
    ['wait=5', 'wait=5', 'wait=5', null, null],
  );
  for (const { method, path, body, headers } of sent) {
    assert.deepEqual([method, path, body], ['POST', '/api/transfers', JSON.stringify(ORDER)]);
    assert.equal(headers.get('Content-Type'), 'application/json');
  }
});

test('client: an answer that breaks off is a failed attempt', async () => {
  const cut = new ReadableStream({
    start: (controller) => controller.enqueue(new TextEncoder().encode('{"object":')),
    pull: (controller) => controller.error(new TypeError('terminated')),
  });
  const broken = new Response(cut, { headers: { 'Content-Type': 'application/json' } });
  const { client, sent } = clientOf([() => broken, () => json(TRANSFER)]);
  assert.equal((await client.transfers.create(ORDER)).id, 'T1');
  assert.equal(sent.length, 2);
});

test('client: an error has the key with which the request can be sent again', async () => {
  const { client, sent } = clientOf([() => new TypeError('fetch failed')], { deadlineMs: 200 });
  const error = await failureOf(client.transfers.create(ORDER));
  assert.ok(error instanceof ConnectionError);
  assert.ok(sent.length > 1);
  assert.equal(error.idempotencyKey, sent[0]?.headers.get('Idempotency-Key'));
});

test('client: a change of an account is not sent again when it may have been made', async () => {
  const answers = [() => problem('too_busy', 503, { 'Retry-After': '0' }), () => problem('outcome_unknown', 503)];
  const { client, sent } = clientOf(answers);
  assert.ok(isProblem(await failureOf(client.accounts.update('A', { name: 'Ann' })), 'outcome_unknown'));
  assert.deepEqual(
    sent.map(({ method, headers }) => [method, headers.get('Idempotency-Key')]),
    [
      ['PATCH', null],
      ['PATCH', null],
    ],
  );
});

test('client: a change that the key may not read, and a change without a body, have no result', async () => {
  const { client } = clientOf([() => new Response(null, { status: 204 })]);
  assert.equal(await client.accounts.update('A', { status: 'frozen' }), null);
  await client.accounts.close('A');
  await client.accounts.erasePersonalData('A');
});

test('client: a request that waits for an approval is an error that has the approval', async () => {
  const { client } = clientOf([() => json({ object: 'approval', approval_id: 'P1' }, 202)]);
  for (const call of [
    client.transfers.create(ORDER),
    client.transfers.createGroup([ORDER]),
    client.transfers.reverse('T1'),
    client.holds.create(ORDER),
    client.holds.capture('T1'),
    client.holds.void('T1'),
    client.accounts.update('A', { overdraft_limit: 5 }),
  ]) {
    const error = await failureOf(call);
    assert.ok(error instanceof ApprovalPendingError);
    assert.equal(error.approval.approval_id, 'P1');
  }
});

test('client: a problem has its code, its body and the id of the request', async () => {
  const errors = [{ pointer: '/amount', detail: 'must be positive' }];
  const { client } = clientOf([
    () => json({ code: 'invalid_request', status: 400, detail: 'why', request_id: 'R1', errors, more: 1 }, 400),
  ]);
  const error = await failureOf(client.transfers.create(ORDER));
  assert.ok(isProblem(error, 'invalid_request'));
  assert.deepEqual([error.code, error.status, error.requestId], ['invalid_request', 400, 'R1']);
  assert.deepEqual(error.problem.errors, errors);
  assert.ok(!isProblem(error, 'queue_full'));
});

test('client: every problem code of the document has a type, and no other', () => {
  const { components } = parseDocument();
  assert.deepEqual(Object.keys(PROBLEMS).toSorted(), components.schemas.ProblemCode.enum.toSorted());
});

test('client: an answer that is not from the service, or of a later release, is an error of its own', async () => {
  for (const answer of [
    () => new Response('<html>', { status: 404, headers: { 'Content-Type': 'text/html' } }),
    () => new Response('<html>', { status: 200, headers: { 'Content-Type': 'text/html' } }),
    () => new Response(null, { status: 302, headers: { Location: 'https://other.example' } }),
    () => problem('code_of_a_later_release', 400),
    () => problem('constructor', 400),
  ]) {
    const error = await failureOf(clientOf([answer]).client.transfers.get('T1'));
    assert.ok(error instanceof UnexpectedAnswerError);
    assert.ok(!(error instanceof ProblemError));
  }
});

test('client: redirects are not followed', async () => {
  let redirect: string | undefined;
  const fetch: typeof globalThis.fetch = async (_, init) => {
    redirect = init?.redirect;
    return json(TRANSFER);
  };
  await new GopherPay({ baseUrl: 'https://pay.example', fetch }).transfers.get('T1');
  assert.equal(redirect, 'manual');
});

test('client: a number that is not a safe integer is refused before it is sent', async () => {
  const { client, sent } = clientOf([() => json(TRANSFER)]);
  for (const amount of [2 ** 53, 0.1, Number.NaN, Infinity]) {
    assert.ok((await failureOf(client.transfers.create({ ...ORDER, amount }))) instanceof UnsafeIntegerError);
  }
  assert.equal(sent.length, 0);
});

test('client: an integer of an answer that would be rounded is refused, not rounded', async () => {
  const answer = (sum: string): Response =>
    new Response(`{"object":"trial_balance","currencies":[{"positive":${sum}}],"id":"12345678901234567890"}`, {
      headers: { 'Content-Type': 'application/json' },
    });
  const { client } = clientOf([() => answer('9007199254740991'), () => answer('9007199254740993')]);
  assert.equal((await client.balances.get()).currencies[0]?.positive, 9_007_199_254_740_991);
  const error = await failureOf(client.balances.get());
  assert.ok(error instanceof UnsafeIntegerError);
  assert.match(error.message, /positive/);
});

test("client: the caller's signal ends a request, and its reason is thrown", async () => {
  const { client, sent } = clientOf([() => new TypeError('fetch failed')]);
  const reason = new Error('enough');
  const end = new AbortController();
  setTimeout(() => end.abort(reason), 20);
  assert.equal(await failureOf(client.transfers.create(ORDER, { signal: end.signal, deadlineMs: Infinity })), reason);
  const { length } = sent;
  assert.equal(await failureOf(client.transfers.create(ORDER, { signal: end.signal })), reason);
  assert.equal(sent.length, length);
});

test('client: for await reads every page of every list, and pages end where next is null', async () => {
  const { paths } = parseDocument();
  const lists = Object.keys(paths).filter((path) => paths[path]?.get?.operationId.startsWith('list'));
  const called = new Set<string>();
  const items = [{ id: 1 }, { id: 2 }, { id: 3 }];
  const pages = [
    { items: items.slice(0, 2), next: 'c1' },
    { items: [], next: 'c2' },
    { items: items.slice(2), next: null },
  ];
  const calls: ((client: GopherPay) => AsyncIterable<unknown>)[] = [
    (client) => client.accounts.list({ metadata: 'a:b' }),
    (client) => client.accounts.entries('A1', { order: 'oldest' }),
    (client) => client.transfers.list({ account: 'A' }),
    (client) => client.approvals.list(),
    (client) => client.auditLog.list({ refused: 'true' }),
    (client) => client.holds.list(),
    (client) => client.journal.list(),
    (client) => client.ledgers.list(),
    (client) => client.webhooks.list(),
    (client) => client.webhooks.deliveries('W1'),
  ];
  for (const call of calls) {
    const { client, sent } = clientOf(pages.map((page) => () => json(page)));
    assert.deepEqual(await Array.fromAsync(call(client)), items);
    const urls = sent.map(({ path }) => new URL(path, 'https://pay.example'));
    assert.deepEqual(
      urls.map(({ searchParams }) => searchParams.get('after')),
      [null, 'c1', 'c2'],
    );
    // Each page is asked for with the same filters.
    for (const url of urls) url.searchParams.delete('after');
    assert.equal(new Set(urls.map(({ search }) => search)).size, 1);
    called.add(
      urls[0]?.pathname.replace('/api', '').replace('/A1/', '/{account_number}/').replace('/W1/', '/{id}/') ?? '',
    );
  }
  // The feed has a cursor of its own, tested below.
  assert.deepEqual([...called, '/events'].toSorted(), lists.toSorted());
});

test('client: pages can be read one by one, and the list continued later', async () => {
  const { client, sent } = clientOf([() => json({ items: [1], next: 'c1' }), () => json({ items: [2], next: null })]);
  for await (const page of client.transfers.list({ limit: 1 }).pages()) {
    assert.deepEqual(page, { items: [1], next: 'c1' });
    break;
  }
  assert.equal(sent.length, 1);
  assert.deepEqual(await Array.fromAsync(client.transfers.list({ limit: 1, after: 'c1' })), [2]);
  assert.equal(sent[1]?.path, '/api/transfers?limit=1&after=c1');
});

test('client: the pages of events end where next stays, and not at an empty page of a filter', async () => {
  const { client, sent } = clientOf([
    () => json({ items: [{ journal_number: 8 }], next: 8 }),
    () => json({ items: [], next: 40 }),
    () => json({ items: [{ journal_number: 41 }], next: 41 }),
    () => json({ items: [], next: 41 }),
  ]);
  const events = await Array.fromAsync(client.events.list({ after: '7' }));
  assert.deepEqual(
    events.map(({ journal_number: number }) => number),
    [8, 41],
  );
  assert.deepEqual(
    sent.map(({ path }) => path),
    [7, 8, 40, 41].map((after) => `/api/events?after=${after}`),
  );
});

test('client: the feed is asked for after a position, and is nothing but a stream of events', async () => {
  const events = (text: string, type = 'text/event-stream'): Response =>
    new Response(text, { headers: { 'Content-Type': type } });
  const hash = 'a'.repeat(64);
  const event = {
    ledger: 'shop',
    journal_number: 8,
    settled_at: '1970-01-01T00:00:00.000007Z',
    hash: createHash('sha256')
      .update(Buffer.concat([Buffer.from(hash, 'hex'), Buffer.from('shop|8|7|0|1'), Buffer.from(hash, 'hex')]))
      .digest('hex'),
    previous_hash: hash,
    digest: hash,
    transfer_count: 0,
    change_count: 1,
    transfers: [],
    account_changes: [],
  };
  const { client, sent } = clientOf(
    [() => events(`id: 8\nevent: settled\ndata: ${JSON.stringify(event)}\n\n`), () => events('<html>', 'text/html')],
    { ledger: 'shop', key: 'gp_1_x' },
  );
  const numbers: number[] = [];
  const reading = async (): Promise<void> => {
    const after = { journal_number: 7, hash };
    for await (const { journal_number: number } of client.events.follow({ after })) numbers.push(number);
  };
  assert.ok((await failureOf(reading())) instanceof UnexpectedAnswerError);
  assert.deepEqual(numbers, [8]);
  assert.deepEqual(
    sent.map(({ path, headers }) => [path, headers.get('Last-Event-ID'), headers.get('Accept')]),
    [
      ['/api/ledgers/shop/events', '7', 'text/event-stream'],
      ['/api/ledgers/shop/events', '8', 'text/event-stream'],
    ],
  );
  assert.equal(sent[0]?.headers.get('Authorization'), 'Bearer gp_1_x');
});

test('client: a statement is text in the form that was asked for', async () => {
  const { client, sent } = clientOf([
    () => new Response('entry_number\n', { headers: { 'Content-Type': 'text/csv; charset=utf-8; header=present' } }),
  ]);
  assert.equal(await client.statements.text('A', '2026-11', { format: 'csv', bom: 'true' }), 'entry_number\n');
  assert.equal(sent[0]?.path, '/api/accounts/A/statements/2026-11?format=csv&bom=true');
});

test('client: a gateway may name an instant in Retry-After', async () => {
  const { client } = clientOf([
    () => new Response('', { status: 503, headers: { 'Retry-After': new Date(Date.now() + 3_600_000).toUTCString() } }),
  ]);
  const error = await failureOf(client.transfers.get('T1'));
  assert.ok(error instanceof GopherPayError);
  assert.ok((error.retryAfterMs ?? 0) > 3_500_000);
});

/** What a call throws. */
async function failureOf(call: Promise<unknown>): Promise<unknown> {
  try {
    await call;
  } catch (error) {
    return error;
  }
  throw new Error('It should have failed.');
}
