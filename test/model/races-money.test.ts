// Goal: reversals, groups, freezing, closing and idempotency keys hold under races, and every answer is true. Method:
// two services on one database; two hundred rounds of each race, the requests of a round fired at once.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { assertCodes, completed, Race, ROUNDS, total } from './races.ts';

const AMOUNT = 100;
let race: Race;

before(async (scope) => {
  race = await Race.start(scope);
});

/** Makes the payment of each round, every other one by capturing a hold. The payers are few, so that rounds compete. */
async function makePayments(prefix: string): Promise<string[]> {
  const payers = [0, 1, 2, 3, 4, 5, 6, 7].map((number) => `${prefix}.${number}`);
  const accounts = [`${prefix}.shop`, ...payers];
  await Promise.all(accounts.map(async (account) => await race.open(account, ROUNDS * AMOUNT)));
  return await race.forEachRound(async (round) => {
    const body = { from_account: payers[round % payers.length], to_account: `${prefix}.shop`, amount: AMOUNT };
    if (round % 2 === 0) return await race.make('/transfers', body);
    return await race.make(`/holds/${await race.make('/holds', body)}/capture`, {});
  });
}

function leg(from: string | undefined, to: string | undefined, amount: number) {
  return { from_account: from, to_account: to, amount };
}

test('races: a transfer is reversed in full once', async () => {
  const payments = await makePayments('full');
  await race.rounds(async (round) => {
    const path = `/transfers/${payments[round]}/reversals`;
    const endings = await race.fire([{ path }, { path, body: { amount: AMOUNT } }, { path }]);
    assert.equal(completed(endings).length, 1);
    assert.equal(total(endings), AMOUNT);
    assertCodes(endings, ['exceeds_original']);
  });
  await race.check();
});

test('races: reversals in parts never exceed what they reverse', async () => {
  const payments = await makePayments('part');
  await race.rounds(async (round) => {
    const path = `/transfers/${payments[round]}/reversals`;
    const endings = await race.fire([30, 30, 30, 30, 30].map((amount) => ({ path, body: { amount } })));
    assert.equal(total(endings), 90);
    assertCodes(endings, ['exceeds_original']);
    assert.equal(total(await race.fire([{ path }, { path }])), 10, 'the rest is reversed once');
  });
  await race.check();
});

test('races: atomic groups in opposite order compete for the same money, and settle all or none', async () => {
  await race.openForEachRound('a.', () => AMOUNT);
  await race.openForEachRound('b.', () => AMOUNT);
  await race.openForEachRound('c.', () => 0);
  await race.rounds(async (round) => {
    const [a, b, c] = ['a', 'b', 'c'].map((name) => `${name}.${round}`);
    const groups = [
      [leg(a, b, AMOUNT), leg(b, c, 2 * AMOUNT)],
      [leg(b, a, AMOUNT), leg(a, c, 2 * AMOUNT)],
      [leg(c, b, 1), leg(b, a, 1)],
      [leg(b, c, 60), leg(a, c, 60), leg(c, a, 1)],
    ];
    const posts = groups.map((transfers) => ({ path: '/transfers', body: { atomic: true, transfers } }));
    const endings = await race.fireGroups(posts);
    for (const group of endings) {
      const failed = group.flatMap(({ code }) => code ?? []).sort();
      const others = group.slice(1).map(() => 'group_failed');
      assert.deepEqual(
        failed,
        completed(group).length > 0 ? [] : [...others, 'insufficient_funds'].sort(),
        'all or none',
      );
    }
    const [first, second] = endings.map((group) => completed(group).length > 0);
    assert.ok(!(first && second), 'the same money was spent twice');
  });
  await race.check();
});

test('races: atomic groups over the same few accounts, in every order, wait for each other', async () => {
  const accounts = ['ring.a', 'ring.b', 'ring.c', 'ring.d', 'ring.e', 'ring.f'];
  await Promise.all(accounts.map(async (account) => await race.open(account, 1000)));
  await race.rounds(async (round) => {
    const turned = [...accounts.slice(round % 6), ...accounts.slice(0, round % 6)];
    // Each begins with the whole balance of its first account, and ends with the initial balances.
    const posts = [turned, turned.toReversed()].map((order) => ({
      path: '/transfers',
      body: { atomic: true, transfers: order.map((from, index) => leg(from, order[(index + 1) % 6], 1000)) },
    }));
    for (const endings of await race.fireGroups(posts)) assert.equal(completed(endings).length, accounts.length);
  });
  const balances = await race.database.query(
    "select distinct balance from accounts where account_number like 'ring.%'",
  );
  assert.deepEqual(balances, [{ balance: 1000n }]);
  await race.check();
});

test('races: a transfer during a freeze of its account settles before it, or is refused', async (t) => {
  await race.open('ice.shop', ROUNDS * AMOUNT);
  await race.openForEachRound('ice.', () => AMOUNT);
  const refused = await race.rounds(async (round) => {
    const account = `ice.${round}`;
    const status = round % 2 === 0 ? 'frozen' : 'receive_only';
    const [endings, changed] = await Promise.all([
      race.fire([
        { path: '/transfers', body: leg(account, 'ice.shop', 10) },
        { path: '/transfers', body: leg('ice.shop', account, 10) },
        { path: '/holds', body: leg(account, 'ice.shop', 10) },
      ]),
      race.change(account, { status }, round),
    ]);
    assert.equal(changed, 200);
    assertCodes(endings, ['source_frozen', 'destination_frozen']);
    if (status === 'receive_only') assert.equal(endings[1]?.code, null);
    const [after] = await race.fire([{ path: '/transfers', body: leg(account, 'ice.shop', 1) }]);
    assert.equal(after?.code, 'source_frozen');
    return endings.length - completed(endings).length;
  });
  t.diagnostic(`${refused.reduce((sum, count) => sum + count)} of ${3 * ROUNDS} were refused`);
  // In the journal, the freeze is after the transfers that settled and before those that were refused.
  const wrong = await race.database.query(`
    select t.id, t.status, t.failure_code
    from account_changes as c
    join transfers as t on (t.failure_code = 'source_frozen' and t.from_account = c.account_number)
      or (t.failure_code = 'destination_frozen' and t.to_account = c.account_number)
      or (t.status = 'completed' and t.from_account = c.account_number)
    where c.change_number = 2 and starts_with(c.account_number, 'ice.')
      and (t.status = 'completed') <> (t.journal_number < c.journal_number)`);
  assert.deepEqual(wrong, []);
  await race.check();
});

test('races: an account closes before it receives money, or does not close', async (t) => {
  await race.open('door.shop', ROUNDS * AMOUNT);
  // Every other one has money that has to leave first.
  await race.openForEachRound('door.', (round) => (round % 2 === 0 ? 0 : 10));
  const closed = await race.rounds(async (round) => {
    const account = `door.${round}`;
    const empty = round % 2 === 0;
    const body = empty ? leg('door.shop', account, 10) : leg(account, 'door.shop', 10);
    const [[ending], status] = await Promise.all([
      race.fire([{ path: '/transfers', body }]),
      race.close(account, round + 1),
    ]);
    assert.ok(status === 204 || status === 409, `closing was answered with ${status}`);
    if (empty) assert.equal(ending?.code, status === 204 ? 'destination_closed' : null);
    else assert.equal(ending?.code, null);
    return { account_number: account, status: status === 204 ? 'closed' : 'open' };
  });
  const rows = await race.database.query<{ account_number: string; status: string }>(
    "select account_number, status from accounts where account_number ~ '^door\\.\\d' order by substr(account_number, 6)::integer",
  );
  assert.deepEqual(rows, closed);
  t.diagnostic(`${closed.filter(({ status }) => status === 'closed').length} of ${ROUNDS} closed`);
  await race.check();
});

test('races: one idempotency key of many concurrent requests makes one movement', async () => {
  const payments = await makePayments('same');
  await race.open('same.rich', ROUNDS * AMOUNT);
  const order = leg('same.rich', 'same.shop', 10);
  const holds = await race.forEachRound(async () => await race.make('/holds', order));
  await race.rounds(async (round) => {
    const same = [
      { path: `/holds/${holds[round]}/capture`, body: { amount: 4 }, key: `capture-${round}` },
      { path: `/transfers/${payments[round]}/reversals`, body: { amount: 4 }, key: `reversal-${round}` },
      { path: '/transfers', body: { atomic: true, transfers: [order, order] }, key: `group-${round}` },
    ];
    const endings = await race.fireGroups([1, 2, 3, 4].flatMap(() => same));
    for (const place of same.keys()) {
      const reported = endings.filter((_, index) => index % same.length === place);
      assert.equal(
        new Set(reported.map((group) => JSON.stringify(group))).size,
        1,
        `received ${JSON.stringify(reported)}`,
      );
      assert.equal(completed(reported[0] ?? []).length, place === 2 ? 2 : 1);
    }
  });
  const [row] = await race.database.query<{ captures: number; reversals: number; members: number }>(`
    select count(*) filter (where kind = 'capture' and amount = 4)::integer as captures,
      count(*) filter (where kind = 'reversal')::integer as reversals,
      count(*) filter (where group_id is not null)::integer as members
    from transfers
    where 'same.shop' in (from_account, to_account)`);
  assert.deepEqual(row, { captures: ROUNDS, reversals: ROUNDS, members: 2 * ROUNDS });
  await race.check();
});

test('races: one idempotency key with different requests accepts the first, and refuses the others', async () => {
  const payments = await makePayments('other');
  await race.rounds(async (round) => {
    const path = `/transfers/${payments[round]}/reversals`;
    const key = `other-${round}`;
    const amounts = [10, 20, 30, 10];
    const endings = await race.fire(amounts.map((amount) => ({ path, body: { amount }, key })));
    const [first] = completed(endings);
    assert.deepEqual(
      endings.map(({ code }) => code),
      amounts.map((amount) => (amount === first?.amount ? null : 'idempotency_key_reused')),
    );
    assert.equal(new Set(completed(endings).map(({ id }) => id)).size, 1);
  });
  await race.check();
});
