// Goal: groups of a thousand members, the most there may be, settle all or none, or independently, and are reported
// correctly. Method: two services on one database; the accounts are few, so that every member needs what the ones
// before it did.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { type Answer, request } from '../support/service.ts';
import { completed, Race } from './races.ts';

const MEMBERS = 1000;
const ACCOUNTS = 20;
let race: Race;

before(async (scope) => {
  race = await Race.start(scope);
});

/** Opens the accounts of a test: the first one has the money. */
async function openAccounts(prefix: string, balance: number): Promise<string[]> {
  const accounts = Array.from({ length: ACCOUNTS }, (_, index) => `${prefix}.${index}`);
  await Promise.all(accounts.map(async (account, index) => await race.open(account, index === 0 ? balance : 0)));
  return accounts;
}

function leg(from: string | undefined, to: string | undefined, amount: number) {
  return { from_account: from, to_account: to, amount };
}

/** Moves all the money from one account to the next, repeatedly around the ring. */
function ring(accounts: readonly string[], amount: number, length = MEMBERS) {
  return Array.from({ length }, (_, index) =>
    leg(accounts[index % ACCOUNTS], accounts[(index + 1) % ACCOUNTS], amount),
  );
}

async function balancesOf(prefix: string): Promise<{ balance: bigint; entries: bigint }[]> {
  return await race.database.query(
    `select balance, entry_count as entries
     from accounts
     where starts_with(account_number, $1)
     order by substr(account_number, length($1) + 1)::integer`,
    [`${prefix}.`],
  );
}

test('groups: money passes through a thousand atomic members, and a replay has the same answer', async () => {
  const accounts = await openAccounts('ring', 7);
  const post = { path: '/transfers', body: { atomic: true, transfers: ring(accounts, 7) }, key: 'a-thousand' };
  const [first, again, third] = await race.fireGroups([post, post, post]);
  assert.equal(completed(first ?? []).length, MEMBERS);
  assert.deepEqual(again, first);
  assert.deepEqual(third, first);
  const expected = accounts.map((_, index) => ({
    balance: index === 0 ? 7n : 0n,
    entries: BigInt((2 * MEMBERS) / ACCOUNTS + (index === 0 ? 1 : 0)),
  }));
  assert.deepEqual(await balancesOf('ring'), expected);
  await race.check();
});

test('groups: a refusal of the last of a thousand atomic members changes nothing', async () => {
  const accounts = await openAccounts('last', 7);
  const before = await balancesOf('last');
  const transfers = [...ring(accounts, 7, MEMBERS - 1), leg(accounts[MEMBERS % ACCOUNTS], accounts[1], 8)];
  const [endings = []] = await race.fireGroups([{ path: '/transfers', body: { atomic: true, transfers } }]);
  assert.deepEqual([endings.length, endings.at(-1)?.code], [MEMBERS, 'insufficient_funds']);
  assert.ok(endings.slice(0, -1).every(({ code }) => code === 'group_failed'));
  assert.deepEqual(await balancesOf('last'), before);
  await race.check();
});

test('groups: a thousand members one way and a thousand the other wait for each other', async () => {
  const accounts = await openAccounts('ways', 50);
  const many = accounts.slice(1);
  // From one to many, and back from many to one, repeatedly: one group starts where the other ends.
  const fan = many.map((to) => leg(accounts[0], to, 2));
  const funnel = fan.map(({ to_account: from }) => leg(from, accounts[0], 2)).toReversed();
  const rounds = Array.from({ length: 26 }, () => [...fan, ...funnel]).flat();
  const posts = [
    rounds,
    rounds.toReversed().map(({ from_account: from, to_account: to, amount }) => leg(to, from, amount)),
  ];
  const endings = await race.fireGroups(
    [...posts, ...posts].map((transfers) => ({ path: '/transfers', body: { atomic: true, transfers } })),
  );
  for (const group of endings) assert.equal(completed(group).length, rounds.length);
  assert.deepEqual(
    (await balancesOf('ways')).map(({ balance }) => balance),
    accounts.map((_, index) => (index === 0 ? 50n : 0n)),
  );
  await race.check();
});

test('groups: a thousand members that are not atomic end independently, and spend the available money', async () => {
  const accounts = await openAccounts('each', 600);
  const transfers = Array.from({ length: MEMBERS }, (_, index) => leg(accounts[0], accounts[1 + (index % 19)], 1));
  const [endings = []] = await race.fireGroups([{ path: '/transfers', body: { transfers } }]);
  assert.equal(completed(endings).length, 600);
  assert.ok(endings.every(({ code }) => code === null || code === 'insufficient_funds'));
  await race.check();
});

test('groups: a dry run of a thousand members returns their outcomes, and stores nothing', async () => {
  const accounts = await openAccounts('dry', 7);
  const traces = async () =>
    await race.database.query(`
      select (select count(*) from transfers) as transfers, (select count(*) from entries) as entries,
        (select count(*) from pending_transfers) as pending, (select number from journal_ends) as journal`);
  const before = await traces();
  const [service] = race.services;
  assert.ok(service);
  for (const [amount, ok] of [
    [7, true],
    [8, false],
  ] as const) {
    const body = { atomic: true, transfers: ring(accounts, amount) };
    const answer: Answer<{ transfers: { status: string }[] }> = await request(
      service,
      'POST',
      '/transfers?dry_run=true',
      body,
    );
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.body.transfers.filter(({ status }) => status === 'completed').length, ok ? MEMBERS : 0);
  }
  assert.deepEqual(await traces(), before);
  await race.check();
});
