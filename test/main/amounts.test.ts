// Members of groups whose amounts follow from others: the service settles the derived amounts, and every limit and
// rule applies to them.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { z } from 'zod';
import type { AccessLimits } from '../../src/domain/access.ts';
import { PROBLEMS, type ProblemCode } from '../../src/main/http/problem.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { makeKey, type TestKey } from '../support/keys.ts';
import { checkPromises } from '../support/promises/check.ts';
import { type Answer, awaitFinal, request, type Service, startProgram, startService } from '../support/service.ts';

type Body = Record<string, unknown>;
type Errors = { code: string; errors?: { pointer: string; detail: string }[] };

const APPROVAL_ABOVE = 100_000;
let database: TestDatabase;
let service: Service;
let admin: TestKey;
let second: TestKey;
/** Keys with a bound on one transfer that is below the fee of the sale, below its rest, and with one on a day. */
let belowFee: TestKey;
let belowRest: TestKey;
let daily: TestKey;
let lastNumber = 0;

before(async (t) => {
  database = await createDatabase(t);
  const limited = async (limits: Partial<AccessLimits>) => await makeKey(database, { limits });
  [admin, second] = [await makeKey(database), await makeKey(database)];
  [belowFee, belowRest] = [await limited({ amountMax: 319n }), await limited({ amountMax: 9679n })];
  daily = await limited({ dailyAmountMax: 19_999n });
  const rule = await startProgram(t, { database, args: ['approval-rule', `--above=${APPROVAL_ABOVE}`] });
  assert.equal((await rule.exited).code, 0, rule.output());
  service = await startService(t, { database, env: { THREADS: '2', LOG_LEVEL: 'warn' } });
});

async function post<Received = Body>(path: string, body: unknown, headers: object = {}): Promise<Answer<Received>> {
  return await request<Received>(service, 'POST', path, body, { prefer: 'wait=20', ...admin.headers, ...headers });
}

async function open(currency = 'USD', balance = 0): Promise<string> {
  lastNumber += 1;
  const account_number = `AMOUNTS-${lastNumber}`;
  const { status, text } = await post('/accounts', { account_number, name: 'x', currency, balance });
  assert.equal(status, 201, text);
  return account_number;
}

async function balancesOf(...accounts: string[]): Promise<unknown[]> {
  const shown = await Promise.all(
    accounts.map(async (account) => await request(service, 'GET', `/accounts/${account}`, undefined, admin.headers)),
  );
  return shown.map(({ body }) => body['balance']);
}

/** The members of a group that was answered with this status. */
function membersOf({ status, body, text }: Answer<Body>, expected = 200): Body[] {
  assert.equal(status, expected, text);
  assert.ok(Array.isArray(body['transfers']), text);
  return body['transfers'];
}

async function pointersOf(code: ProblemCode, body: unknown, headers: object = {}): Promise<string[]> {
  const answer = await post<Errors>('/transfers', body, headers);
  assert.deepEqual([answer.status, answer.body.code], [PROBLEMS[code].status, code], answer.text);
  return (answer.body.errors ?? []).map(({ pointer }) => pointer);
}

const amounts = (members: readonly Body[]) => members.map(({ amount }) => amount);
const leg = (from: string, to: string, more: object) => ({ from_account: from, to_account: to, ...more });

/** A total of 10,000 that a buyer pays: a fee, and the rest to the seller. */
async function sale(): Promise<{ body: Body; accounts: [buyer: string, fees: string, seller: string] }> {
  const accounts: [string, string, string] = [await open('USD', 20_000), await open(), await open()];
  const [buyer, fees, seller] = accounts;
  const transfers = [
    leg(buyer, fees, { share: { basis_points: 290, plus: 30 } }),
    leg(buyer, seller, { remainder: {} }),
  ];
  return { body: { atomic: true, total: 10_000, transfers }, accounts };
}

test('amounts: a group with a share and a remainder settles the derived amounts, and shows them', async () => {
  const { body, accounts } = await sale();
  const members = membersOf(await post('/transfers', body));
  assert.deepEqual(amounts(members), [320, 9680]);
  assert.deepEqual(await balancesOf(...accounts), [10_000, 320, 9680]);
  for (const { id, amount } of members) {
    const shown = await request(service, 'GET', `/transfers/${String(id)}`, undefined, admin.headers);
    assert.equal(shown.body['amount'], amount);
  }
});

test('amounts: money passes on through an account, and a part has the currency of its whole', async () => {
  const [payer, market, fees, partner] = [await open('EUR', 5000), await open('EUR'), await open('EUR'), await open()];
  const transfers = [
    leg(payer, market, { amount: 999, currency: 'EUR' }),
    leg(market, fees, { share: { of: 0, basis_points: 1000 } }),
    leg(fees, partner, { share: { of: 1, basis_points: 5000 } }),
  ];
  const members = membersOf(await post('/transfers', { atomic: true, transfers }));
  assert.deepEqual(
    members.map((member) => [member['amount'], member['currency'], member['failure_code']]),
    [
      [999, 'EUR', 'group_failed'],
      [99, 'EUR', 'group_failed'],
      [49, 'EUR', 'currency_mismatch'],
    ],
  );
});

test('amounts: a dry run answers the derived amounts', async () => {
  const { body, accounts } = await sale();
  assert.deepEqual(amounts(membersOf(await post('/transfers?dry_run=true', body))), [320, 9680]);
  assert.deepEqual(await balancesOf(...accounts), [20_000, 0, 0]);
});

test('amounts: an idempotency key names the request as it was sent', async () => {
  const { body, accounts } = await sale();
  const [buyer, fees, seller] = accounts;
  const key = { 'idempotency-key': 'the-sale' };
  const members = membersOf(await post('/transfers', body, key));
  const again = await post('/transfers', body, key);
  assert.equal(again.headers['idempotency-replayed'], 'true');
  assert.deepEqual(membersOf(again), members);
  const stated = [leg(buyer, fees, { amount: 320 }), leg(buyer, seller, { amount: 9680 })];
  assert.deepEqual(await pointersOf('idempotency_key_reused', { atomic: true, transfers: stated }, key), []);
  assert.deepEqual(await balancesOf(...accounts), [10_000, 320, 9680]);
});

test('amounts: a member that does not follow from the group is refused with its path', async () => {
  const stated = leg('A', 'B', { amount: 10 });
  const group = (...transfers: object[]) => ({ atomic: true, transfers: [stated, ...transfers] });
  const part = (more: object) => leg('B', 'C', more);
  const cases: [body: object, pointers: string[]][] = [
    [group(part({})), ['/transfers/1/amount']],
    [group(part({ amount: 1, remainder: { of: 0 } })), ['/transfers/1/remainder']],
    [group(part({ share: { of: 0 }, remainder: { of: 0 } })), ['/transfers/1/remainder']],
    [group(part({ share: { of: 1, basis_points: 9 } })), ['/transfers/1/share']],
    [group(part({ share: { basis_points: 9 } })), ['/transfers/1/share']],
    [group(part({ remainder: { of: 0 } }), part({ share: { of: 1, plus: 1 } })), ['/transfers/2/share']],
    [group(part({ share: { of: 0, plus: 11 } })), ['/transfers/1/share']],
    [{ ...group(part({ remainder: {} })), total: 9 }, ['/transfers/0/amount']],
    [{ ...group(), total: 11 }, ['/total']],
    [{ ...group(part({ remainder: { of: 0 } })), atomic: false }, ['/atomic']],
    [{ total: 10, transfers: [stated] }, ['/atomic']],
  ];
  for (const [body, pointers] of cases) assert.deepEqual(await pointersOf('amount_unresolved', body), pointers);
  const inEuro = { ...stated, currency: 'EUR' };
  const inDollar = { ...part({ remainder: { of: 0 } }), currency: 'USD' };
  assert.deepEqual(await pointersOf('amount_unresolved', { atomic: true, transfers: [inEuro, inDollar] }), [
    '/transfers/1/currency',
  ]);
  assert.deepEqual(await pointersOf('amount_not_positive', group(part({ share: { of: 0, basis_points: 999 } }))), [
    '/transfers/1/share',
  ]);
  assert.deepEqual(await pointersOf('amount_not_positive', { ...group(), total: 0 }), ['/total']);
  // A single transfer has no whole.
  assert.deepEqual(await pointersOf('invalid_request', part({ share: { plus: 1 } })), ['/amount', '']);
});

test('amounts: a derived amount is held to the bounds of its key', async () => {
  const { body } = await sale();
  assert.deepEqual(await pointersOf('not_allowed', body, belowRest.headers), ['/transfers/1/remainder']);
  assert.deepEqual(await pointersOf('not_allowed', body, belowFee.headers), [
    '/transfers/0/share',
    '/transfers/1/remainder',
  ]);
  membersOf(await post('/transfers', body, daily.headers));
  assert.deepEqual(await pointersOf('daily_limit_reached', body, daily.headers), []);
});

test('amounts: a derived amount of funding needs the approval of a second key', async () => {
  const [first, other] = [await open(), await open()];
  const fund = (total: number) => ({
    atomic: true,
    total,
    transfers: [
      leg('@external', first, { share: { basis_points: 5000 }, currency: 'USD' }),
      leg('@external', other, { remainder: {} }),
    ],
  });
  membersOf(await post('/transfers', fund(APPROVAL_ABOVE)));
  const asked = await post('/transfers', fund(APPROVAL_ABOVE + 1));
  assert.deepEqual([asked.status, asked.body['object']], [202, 'approval'], asked.text);
  const decided = await post(`/approvals/${String(asked.body['approval_id'])}`, {}, second.headers);
  assert.deepEqual(amounts(membersOf(decided)), [50_000, 50_001]);
});

test('amounts: a refund returns the principal and keeps the fee', async () => {
  const { body, accounts } = await sale();
  const [, principal] = membersOf(await post('/transfers', body));
  const path = `/transfers/${String(principal?.['id'])}/reversals`;
  const part = await post(path, { amount: 680 });
  assert.deepEqual([part.body['status'], part.body['amount']], ['completed', 680], part.text);
  assert.equal((await post(path, {})).body['amount'], 9000);
  assert.deepEqual(await balancesOf(...accounts), [19_680, 320, 0]);
});

test('amounts: a thousand members, each a share of the one before, are derived in one request', async () => {
  const [first, other] = [await open('USD', APPROVAL_ABOVE), await open()];
  const transfers = Array.from({ length: 1000 }, (_, index) =>
    index === 0
      ? leg(first, other, { amount: APPROVAL_ABOVE })
      : leg(...(index % 2 === 0 ? ([first, other] as const) : ([other, first] as const)), {
          share: { of: index - 1, basis_points: 9990, plus: 1 },
        }),
  );
  const members = membersOf(await post('/transfers', { atomic: true, transfers }));
  let expected = APPROVAL_ABOVE;
  for (const [index, member] of members.entries()) {
    if (index > 0) expected = Math.floor((expected * 9990) / 10_000) + 1;
    assert.deepEqual([member['amount'], member['status']], [expected, 'completed']);
  }
});

/** 100.00 euros of a payer, converted to dollars for a payee through two accounts of the ledger's own. */
async function exchange(rate = '1.0825'): Promise<{ transfers: Body[]; accounts: string[] }> {
  const accounts = [await open('EUR', 10_000), await open('EUR'), await open('USD', 50_000), await open('USD')];
  const [payer = '', euros = '', dollars = '', payee = ''] = accounts;
  const transfers = [
    { ...leg(payer, euros, { amount: 10_000 }), currency: 'EUR' },
    { ...leg(dollars, payee, { conversion: { of: 0, rate } }), currency: 'USD' },
  ];
  return { transfers, accounts };
}

const RATE = { from_currency: 'EUR', to_currency: 'USD', rate: '1.0825' };
const rates = (members: readonly Body[]) => members.map(({ conversion }) => conversion);
const get = async (path: string) => await request(service, 'GET', path, undefined, admin.headers);

test('amounts: a conversion moves both currencies, and both transfers keep the rate', async () => {
  const { transfers, accounts } = await exchange();
  const answer = await post('/transfers', { atomic: true, transfers });
  const members = membersOf(answer);
  assert.deepEqual(amounts(members), [10_000, 10_825]);
  assert.deepEqual(rates(members), [RATE, RATE]);
  assert.deepEqual(await balancesOf(...accounts), [0, 10_000, 39_175, 10_825]);
  for (const { id, journal_number: number } of members) {
    assert.deepEqual((await get(`/transfers/${String(id)}`)).body['conversion'], RATE);
    const { body } = await get(`/events?after=${Number(number) - 1}&limit=1`);
    const [event] = z.array(z.object({ transfers: z.array(z.looseObject({})) })).parse(body['items']);
    assert.deepEqual(event?.transfers.find((each) => each['id'] === id)?.['conversion'], RATE);
  }
  const group = `/transfers?group_id=${String(answer.body['group_id'])}`;
  assert.deepEqual(rates(z.array(z.looseObject({})).parse((await get(group)).body['items'])), [RATE, RATE]);
  const { body } = await get('/balances');
  const totals = z.array(z.looseObject({ sum: z.number() })).parse(body['currencies']);
  assert.ok(totals.length >= 2 && totals.every(({ sum }) => sum === 0));
});

test('amounts: a conversion that was accepted before it is settled keeps the rate', async () => {
  const { transfers, accounts } = await exchange();
  const members = membersOf(await post('/transfers', { atomic: true, transfers }, { prefer: 'wait=0' }), 202);
  assert.deepEqual(rates(members), [RATE, RATE]);
  for (const { id } of members) {
    const settled = await awaitFinal({ url: service.url, headers: admin.headers }, String(id));
    assert.deepEqual([settled['status'], settled['conversion']], ['completed', RATE]);
  }
  assert.deepEqual(await balancesOf(...accounts), [0, 10_000, 39_175, 10_825]);
});

test('amounts: a conversion without the funds of its exchange account moves nothing in either currency', async () => {
  const { transfers, accounts } = await exchange('9.99');
  const members = membersOf(await post('/transfers', { atomic: true, transfers }));
  assert.deepEqual(
    members.map(({ failure_code: code, conversion }) => [code, conversion]),
    [
      ['group_failed', { ...RATE, rate: '9.99' }],
      ['insufficient_funds', { ...RATE, rate: '9.99' }],
    ],
  );
  assert.deepEqual(await balancesOf(...accounts), [10_000, 0, 50_000, 0]);
  // An account of another currency than the member names is no exchange account.
  const [payer = '', euros = '', dollars = '', payee = ''] = accounts;
  const swapped = transfers.map((each, index) => ({
    ...each,
    ...(index === 0 ? leg(payer, dollars, {}) : leg(euros, payee, {})),
  }));
  const [first] = membersOf(await post('/transfers', { atomic: true, transfers: swapped }));
  assert.equal(first?.['failure_code'], 'currency_mismatch');
});

test('amounts: a stated amount of a conversion is checked against the rate', async () => {
  const { transfers } = await exchange();
  const [from, to] = transfers;
  const stated = (amount: number) => ({ atomic: true, transfers: [from, { ...to, amount }] });
  assert.deepEqual(await pointersOf('amount_unresolved', stated(10_826)), ['/transfers/1/amount']);
  assert.deepEqual(amounts(membersOf(await post('/transfers', stated(10_825)))), [10_000, 10_825]);
});

test('amounts: a conversion that does not follow is refused with its path', async () => {
  const { transfers } = await exchange();
  const [from, to] = transfers;
  const group = (...members: unknown[]) => ({ atomic: true, transfers: members });
  const converted = { of: 0, rate: '2' };
  const cases: [body: object, pointers: string[]][] = [
    [group(to, from), ['/transfers/0/conversion']],
    [group(from, to, to), ['/transfers/2/conversion']],
    [group(from, { ...to, currency: undefined }), ['/transfers/1/currency']],
    [group({ ...from, currency: undefined }, to), ['/transfers/0/currency']],
    [group(from, { ...to, currency: 'EUR' }), ['/transfers/1/currency']],
    [group(from, { ...to, share: { of: 0, plus: 1 } }), ['/transfers/1/conversion']],
    [{ ...group(from, to), atomic: false }, ['/atomic']],
  ];
  for (const [body, pointers] of cases) assert.deepEqual(await pointersOf('amount_unresolved', body), pointers);
  for (const rate of ['1e3', '-1', 1.5, 2, '01', '1.', '']) {
    const malformed = group(from, { ...to, conversion: { ...converted, rate } });
    const answer = await post<Errors>('/transfers', malformed);
    assert.deepEqual(
      [answer.status, answer.body.errors?.[0]?.pointer],
      [400, '/transfers/1/conversion/rate'],
      answer.text,
    );
  }
});

test('amounts: what a conversion comes to is held to the bounds of its key', async () => {
  const { transfers } = await exchange();
  const body = { atomic: true, transfers };
  assert.deepEqual(await pointersOf('not_allowed', body, belowRest.headers), [
    '/transfers/0/amount',
    '/transfers/1/conversion',
  ]);
  // Both members count for the day.
  assert.deepEqual(await pointersOf('daily_limit_reached', body, daily.headers), []);
});

test('amounts: a conversion of funding waits for its approval with its rate', async () => {
  const payee = await open('USD');
  const transfers = [
    { ...leg(await open('EUR', APPROVAL_ABOVE), '@external', { amount: APPROVAL_ABOVE }), currency: 'EUR' },
    { ...leg('@external', payee, { conversion: { of: 0, rate: '1.0825' } }), currency: 'USD' },
  ];
  const asked = await post('/transfers', { atomic: true, transfers });
  assert.equal(asked.status, 202, asked.text);
  const { transfers: kept } = z.object({ transfers: z.array(z.looseObject({})) }).parse(asked.body['request']);
  assert.deepEqual(rates(kept), [RATE, RATE]);
  const decided = membersOf(await post(`/approvals/${String(asked.body['approval_id'])}`, {}, second.headers));
  assert.deepEqual(
    [amounts(decided), rates(decided)],
    [
      [APPROVAL_ABOVE, 108_250],
      [RATE, RATE],
    ],
  );
});

test('amounts: a conversion is undone by reversing both transfers, for the same amounts', async () => {
  const { transfers, accounts } = await exchange();
  const members = membersOf(await post('/transfers', { atomic: true, transfers }));
  // The one whose money may be spent first.
  for (const { id, amount } of members.toReversed()) {
    const { body } = await post(`/transfers/${String(id)}/reversals`, {});
    assert.deepEqual(
      [body['status'], body['amount'], body['parent_id'], body['conversion']],
      ['completed', amount, id, null],
    );
  }
  assert.deepEqual(await balancesOf(...accounts), [10_000, 0, 50_000, 0]);
});

test('amounts: every promise is kept', async () => {
  await checkPromises(database, { nothingPending: true });
});
