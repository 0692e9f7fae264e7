// Goal: reversals, groups, freezing, closing and idempotency keys hold under races, and every caller is told the truth.
// Method: two services on one database; two hundred rounds of each race, the requests of a round fired at once.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertCodes, completed, Race, ROUNDS, total } from '../model/races.ts';

const AMOUNT = 100;

/** Makes the payment of each round, every other one by capturing a hold. */
async function makePayments(race: Race): Promise<string[]> {
  const payers = [0, 1, 2, 3, 4, 5, 6, 7].map((number) => `PAYER${number}`);
  await race.open('SHOP', 0);
  await Promise.all(payers.map(async (payer) => await race.open(payer, ROUNDS * AMOUNT)));
  return await race.rounds(async (round) => {
    const body = { from_account: payers[round % payers.length], to_account: 'SHOP', amount: AMOUNT };
    if (round % 2 === 0) return await race.make('/transfers', body);
    return await race.make(`/holds/${await race.make('/holds', body)}/capture`, {});
  });
}

test('races: a transfer is reversed in full once', async (t) => {
  const race = await Race.start(t);
  const payments = await makePayments(race);
  await race.rounds(async (round) => {
    const path = `/transfers/${payments[round]}/reversals`;
    const endings = await race.fire([{ path }, { path, body: { amount: AMOUNT } }, { path }]);
    assert.equal(completed(endings).length, 1);
    assert.equal(total(endings), AMOUNT);
    assertCodes(endings, ['exceeds_original']);
  });
  await race.check();
});

test('races: reversals in parts never exceed what they reverse', async (t) => {
  const race = await Race.start(t);
  const payments = await makePayments(race);
  await race.rounds(async (round) => {
    const path = `/transfers/${payments[round]}/reversals`;
    const endings = await race.fire([30, 30, 30, 30, 30].map((amount) => ({ path, body: { amount } })));
    assert.equal(total(endings), 90);
    assertCodes(endings, ['exceeds_original']);
    const rest = await race.fire([{ path }, { path }]);
    assert.equal(total(rest), 10);
  });
  await race.check();
});

test('races: atomic groups in opposite order compete for the same money, and settle all or none', async (t) => {
  const race = await Race.start(t);
  await race.rounds(async (round) => {
    // Few sets of accounts, so that several rounds meet on each; what a round needs, it brings.
    const [a, b, c] = ['A', 'B', 'C'].map((name) => `${name}${round}`);
    await Promise.all([race.open(`A${round}`, AMOUNT), race.open(`B${round}`, AMOUNT), race.open(`C${round}`, 0)]);
    const leg = (from: string | undefined, to: string | undefined, amount: number) => ({
      from_account: from,
      to_account: to,
      amount,
    });
    const groups = [
      [leg(a, b, AMOUNT), leg(b, c, 2 * AMOUNT)],
      [leg(b, a, AMOUNT), leg(a, c, 2 * AMOUNT)],
      [leg(c, b, 1), leg(b, a, 1)],
      [leg(b, c, 60), leg(a, c, 60), leg(c, a, 1)],
    ];
    const endings = await race.fireGroups(
      groups.map((transfers) => ({ path: '/transfers', body: { atomic: true, transfers } })),
    );
    for (const group of endings) {
      assert.ok([0, group.length].includes(completed(group).length), 'all or none');
      assertCodes(group, ['insufficient_funds', 'group_failed']);
      assert.equal(
        group.filter(({ code }) => code === 'insufficient_funds').length,
        completed(group).length === 0 ? 1 : 0,
      );
    }
    const [first, second] = endings.map((group) => completed(group).length > 0);
    assert.ok(!(first && second), 'the same money was spent twice');
  });
  await race.check();
});

test('races: atomic groups over the same few accounts in every order wait for each other', async (t) => {
  const race = await Race.start(t);
  const accounts = ['A', 'B', 'C', 'D', 'E', 'F'];
  await Promise.all(accounts.map(async (number) => await race.open(number, 1000)));
  await race.rounds(async (round) => {
    const turned = [...accounts.slice(round % 6), ...accounts.slice(0, round % 6)];
    const ring = (order: readonly string[]) =>
      order.map((from, index) => ({ from_account: from, to_account: order[(index + 1) % order.length], amount: 1000 }));
    const groups = [turned, turned.toReversed()].map((order) => ({
      path: '/transfers',
      body: { atomic: true, transfers: ring(order) },
    }));
    // Each starts with all that its first account has, and ends with everybody having what they had.
    for (const endings of await race.fireGroups(groups)) assert.equal(completed(endings).length, accounts.length);
  });
  for (const service of race.services) assert.deepEqual(service.logs(), [], 'nothing had to be tried again');
  await race.check();
});

test('races: what is sent to or from an account that is being frozen is moved before, or refused', async (t) => {
  const race = await Race.start(t);
  await race.open('SHOP', ROUNDS * AMOUNT);
  await race.rounds(async (round) => {
    const number = `ICE${round}`;
    await race.open(number, AMOUNT);
    const status = round % 2 === 0 ? 'frozen' : 'receive_only';
    const [endings, changed] = await Promise.all([
      race.fire([
        { path: '/transfers', body: { from_account: number, to_account: 'SHOP', amount: 10 } },
        { path: '/transfers', body: { from_account: 'SHOP', to_account: number, amount: 10 } },
        { path: '/holds', body: { from_account: number, to_account: 'SHOP', amount: 10 } },
      ]),
      race.change(number, { status }, round),
    ]);
    assert.equal(changed, 200);
    assertCodes(endings, ['source_frozen', ...(status === 'frozen' ? ['destination_frozen'] : [])]);
    const [after] = await race.fire([
      { path: '/transfers', body: { from_account: number, to_account: 'SHOP', amount: 1 } },
    ]);
    assert.equal(after?.code, 'source_frozen');
    if (status === 'receive_only') assert.equal(endings[1]?.code, null);
  });
  // In the journal, the freezing stands between what it let through and what it refused.
  const wrong = await race.database.query(`
    select t.id, t.status
    from account_changes as c
    join transfers as t on (t.failure_code = 'source_frozen' and t.from_account = c.account_number)
      or (t.failure_code = 'destination_frozen' and t.to_account = c.account_number)
      or (t.status = 'completed' and t.from_account = c.account_number)
    where c.change_number = 2 and (t.status = 'completed') <> (t.journal_number < c.journal_number)`);
  assert.deepEqual(wrong, []);
  await race.check();
});

test('races: an account closes before money comes, or does not close', async (t) => {
  const race = await Race.start(t);
  await race.open('SHOP', ROUNDS * AMOUNT);
  await race.rounds(async (round) => {
    const number = `DOOR${round}`;
    await race.open(number, round % 2 === 0 ? 0 : 10);
    // Every other one has money that has to leave first.
    const [endings, closed] = await Promise.all([
      race.fire([
        round % 2 === 0
          ? { path: '/transfers', body: { from_account: 'SHOP', to_account: number, amount: 10 } }
          : { path: '/transfers', body: { from_account: number, to_account: 'SHOP', amount: 10 } },
      ]),
      race.close(number, round + 1),
    ]);
    assert.ok(closed === 204 || closed === 409);
    assertCodes(endings, ['destination_closed']);
    if (round % 2 === 0) assert.equal(endings[0]?.code === null, closed === 409, 'either the money or the door');
    else assert.equal(endings[0]?.code, null);
    const [row] = await race.database.query<{ status: string }>(
      'select status from accounts where account_number = $1',
      [number],
    );
    assert.equal(row?.status, closed === 204 ? 'closed' : 'open');
  });
  await race.check();
});

test('races: one idempotency key, sent by many at once, orders one movement', async (t) => {
  const race = await Race.start(t);
  const payments = await makePayments(race);
  const callers = [0, 1, 2, 3, 4];
  await race.open('RICH', ROUNDS * AMOUNT);
  await race.rounds(async (round) => {
    const order = { from_account: 'RICH', to_account: 'SHOP', amount: 10 };
    const hold = await race.make('/holds', order);
    const same = [
      { path: `/holds/${hold}/capture`, body: { amount: 4 }, key: `capture-${round}` },
      { path: `/transfers/${payments[round]}/reversals`, body: { amount: 4 }, key: `reversal-${round}` },
      {
        path: '/transfers',
        body: { atomic: true, transfers: [order, { ...order, amount: 11 }] },
        key: `group-${round}`,
      },
    ];
    const endings = await race.fireGroups(callers.flatMap(() => same));
    for (const place of same.keys()) {
      const told = endings.filter((_, index) => index % same.length === place);
      assert.equal(
        new Set(told.map((group) => JSON.stringify(group))).size,
        1,
        `callers were told of ${JSON.stringify(told)}`,
      );
      assert.equal(completed(told[0] ?? []).length, place === 2 ? 2 : 1);
    }
  });
  const [row] = await race.database.query<{ captures: number; reversals: number; members: number }>(`
    select count(*) filter (where kind = 'capture' and amount = 4)::integer as captures,
      count(*) filter (where kind = 'reversal')::integer as reversals,
      count(*) filter (where group_id is not null)::integer as members
    from transfers`);
  assert.deepEqual(row, { captures: ROUNDS, reversals: ROUNDS, members: 2 * ROUNDS });
  await race.check();
});

test('races: one idempotency key with different requests orders the first, and refuses the others', async (t) => {
  const race = await Race.start(t);
  const payments = await makePayments(race);
  await race.rounds(async (round) => {
    const path = `/transfers/${payments[round]}/reversals`;
    const endings = await race.fire(
      [10, 20, 30, 10].map((amount) => ({ path, body: { amount }, key: `key-${round}` })),
    );
    assert.equal(new Set(completed(endings).map(({ id }) => id)).size, 1);
    assertCodes(endings, ['idempotency_key_reused']);
  });
  await race.check();
});
