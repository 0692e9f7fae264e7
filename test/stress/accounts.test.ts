// Goal: an account is opened once, and its opening balance leaves @external once. Method: many callers open the same account.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createDatabase } from '../support/database.ts';
import { checkPromises } from '../support/promises/check.ts';
import { request, startService } from '../support/service.ts';
import { count, inParallel, LOAD_ENV, times } from './callers.ts';

test('accounts: of many callers that open one account at once, one succeeds and funds it once', async (t) => {
  const database = await createDatabase(t);
  const service = await startService(t, { database, env: LOAD_ENV });
  const another = await startService(t, { database, env: LOAD_ENV });
  let total = 0n;
  for (let round = 0; round < 3; round += 1) {
    const number = `ACC${round}`;
    // Two currencies, because a number has one of them only; and amounts that identify the winner.
    const answers = await Promise.all(
      times(40, (index) =>
        request(index % 2 === 0 ? service : another, 'POST', '/accounts', {
          account_number: number,
          name: `Caller ${index}`,
          metadata: { caller: String(index) },
          currency: index % 3 === 0 ? 'EUR' : 'USD',
          balance: 1000 + index,
        }),
      ),
    );
    assert.deepEqual(
      count(answers.map(({ status, body }) => (status === 201 ? 'created' : `${status} ${String(body['code'])}`))),
      new Map([
        ['created', 1],
        ['409 account_exists', 39],
      ]),
    );
    const index = answers.findIndex(({ status }) => status === 201);
    const stored = await database.query(
      'select metadata, currency, balance, entry_count from accounts where account_number = $1::text',
      [number],
    );
    assert.deepEqual(stored, [
      {
        metadata: { caller: String(index) },
        currency: index % 3 === 0 ? 'EUR' : 'USD',
        balance: BigInt(1000 + index),
        entry_count: 1n,
      },
    ]);
    total += BigInt(1000 + index);
  }
  const [outside] = await database.query(`
    select sum(balance)::bigint as balance, sum(entry_count)::bigint as entries from accounts where account_number = '@external'`);
  assert.deepEqual(outside, { balance: -total, entries: 3n });
  await checkPromises(database, { nothingPending: true });
});

test('accounts: accounts opened concurrently through two services all get their opening balance', async (t) => {
  const database = await createDatabase(t);
  const services = [
    await startService(t, { database, env: LOAD_ENV }),
    await startService(t, { database, env: LOAD_ENV }),
  ];
  const accepted: string[] = [];
  await inParallel(
    40,
    times(200, (index) => index),
    async (index) => {
      const service = services[index % 2];
      assert.ok(service);
      const answer = await request<{ balance: number; opening_transfer_id: string }>(service, 'POST', '/accounts', {
        account_number: `ACC${index}`,
        name: 'Ada',
        currency: ['EUR', 'USD', 'JPY'][index % 3],
        balance: index + 1,
      });
      assert.equal(answer.status, 201, answer.text);
      assert.equal(answer.body.balance, index + 1);
      accepted.push(answer.body.opening_transfer_id);
    },
  );
  const [outside] = await database.query(`
    select sum(balance)::bigint as balance, sum(entry_count)::bigint as entries from accounts where account_number = '@external'`);
  assert.deepEqual(outside, { balance: BigInt((-200 * 201) / 2), entries: 200n });
  await checkPromises(database, { accepted, nothingPending: true });
});
