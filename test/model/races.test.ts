// Goal: of all requests that race for a hold, one ends it, and every answer is true. Method: two services on one
// database; two hundred rounds of each race, a hold for each round, the requests fired at once.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { assertCodes, completed, Race, ROUNDS, SETTINGS, total } from './races.ts';
import { startService } from '../support/service.ts';
import { until } from '../support/until.ts';

const AMOUNT = 100;
let race: Race;

before(async (scope) => {
  race = await Race.start(scope);
});

/** Makes the hold of each round. The payers are few, so that rounds compete for their accounts as well. */
async function makeHolds(arena: Race, prefix: string, terms: Record<string, unknown> = {}): Promise<string[]> {
  const payers = [0, 1, 2, 3, 4, 5, 6, 7].map((number) => `${prefix}.${number}`);
  const accounts = [`${prefix}.shop`, ...payers];
  await Promise.all(accounts.map(async (account) => await arena.open(account, ROUNDS * AMOUNT)));
  return await arena.forEachRound(async (round) => {
    const parties = { from_account: payers[round % payers.length], to_account: `${prefix}.shop` };
    return await arena.make('/holds', { ...parties, amount: AMOUNT, ...terms });
  });
}

/** Waits until no hold is open and nothing is in flight, and returns the outcome of the expiries. */
async function awaitExpiries(
  { database }: Race,
  prefix: string,
): Promise<{ completed: number; failed: number; held: number }> {
  await until(
    async () => {
      const open = await database.query(
        "select id from holds where state = 'open' and starts_with(from_account, $1) union all select id from pending_transfers",
        [prefix],
      );
      return open.length === 0;
    },
    { what: 'every hold to end', timeoutMs: 30_000 },
  );
  const [row] = await database.query<{ completed: number; failed: number; held: number }>(
    `select count(*) filter (where status = 'completed')::integer as completed,
       count(*) filter (where status = 'failed')::integer as failed,
       (select sum(held)::integer from accounts where starts_with(account_number, $1)) as held
     from transfers
     where kind = 'expiry' and starts_with(from_account, $1)`,
    [prefix],
  );
  return row ?? { completed: 0, failed: 0, held: 0 };
}

test('races: captures of one hold never exceed it together', async () => {
  const holds = await makeHolds(race, 'capture');
  await race.rounds(async (round) => {
    const path = `/holds/${holds[round]}/capture`;
    const endings = await race.fire([40, 40, 40, 40].map((amount) => ({ path, body: { amount } })));
    assert.equal(total(endings), 80);
    assertCodes(endings, ['exceeds_hold']);
  });
  await race.rounds(async (round) => {
    const path = `/holds/${holds[round]}/capture`;
    const endings = await race.fire([{ path }, { path, body: { amount: 20 } }]);
    assert.equal(total(endings), 20, 'the remainder is captured once');
    assertCodes(endings, ['hold_not_open']);
  });
  await race.check();
});

test('races: a final capture and other captures leave nothing held, and take no more than the hold', async () => {
  const holds = await makeHolds(race, 'final');
  await race.rounds(async (round) => {
    const path = `/holds/${holds[round]}/capture`;
    const [final, ...others] = await race.fire([
      { path, body: { amount: 30, final: true } },
      { path, body: { amount: 50 } },
      { path, body: { amount: 50 } },
    ]);
    // None, one or both of the others came before it; after both, nothing remained.
    if (final?.code === null) assert.ok(total(others) <= 50, `${total(others)} beside the final capture`);
    else assert.deepEqual([final?.code, total(others)], ['hold_not_open', 100]);
    assertCodes(others, ['hold_not_open', 'exceeds_hold']);
  });
  assert.deepEqual(await awaitExpiries(race, 'final'), { completed: 0, failed: 0, held: 0 });
  await race.check();
});

test('races: a capture or a void ends a hold, never both', async (t) => {
  const holds = await makeHolds(race, 'void');
  const captured = await race.rounds(async (round) => {
    const capture = { path: `/holds/${holds[round]}/capture` };
    const release = { path: `/holds/${holds[round]}/void` };
    const endings = await race.fire(round % 2 === 0 ? [capture, release] : [release, capture]);
    assert.equal(completed(endings).length, 1);
    assert.equal(total(endings), AMOUNT);
    assertCodes(endings, ['hold_not_open']);
    return endings[round % 2]?.code === null;
  });
  t.diagnostic(`${captured.filter(Boolean).length} of ${ROUNDS} were captured`);
  await race.check();
});

test('races: a capture, a void or the clock ends a hold that is about to expire', async (t) => {
  const holds = await makeHolds(race, 'clock', { expires_in: 2 });
  const ended = { captured: 0, voided: 0, neither: 0 };
  const waits = await race.database.query<{ id: string; wait: number }>(
    `select id, (extract(epoch from expires_at - clock_timestamp()) * 1000)::float8 as wait
     from holds
     where starts_with(from_account, 'clock')`,
  );
  const waitOf = new Map(waits.map(({ id, wait }) => [id, performance.now() + wait]));
  await race.forEachRound(async (round) => {
    const hold = holds[round] ?? '';
    // From 200 ms before the hold expires until 45 ms after: so many at once take their time.
    const fireAt = (waitOf.get(hold) ?? 0) + ((round % 50) - 40) * 5;
    await until(() => performance.now() >= fireAt, { what: 'the start of the race' });
    const capture = { path: `/holds/${hold}/capture`, service: round };
    const release = { path: `/holds/${hold}/void`, service: round + 1 };
    const [captured, voided] = await race.fire(round % 2 === 0 ? [capture, release] : [capture]);
    assertCodes(
      [captured, voided].filter((ending) => ending !== undefined),
      ['hold_not_open', 'hold_expired'],
    );
    assert.ok(captured?.code !== null || voided?.code !== null, 'captured and voided');
    ended[captured?.code === null ? 'captured' : voided?.code === null ? 'voided' : 'neither'] += 1;
  });
  const expiries = await awaitExpiries(race, 'clock');
  assert.deepEqual([expiries.completed, expiries.held], [ended.neither, 0]);
  t.diagnostic(`${JSON.stringify(ended)}, and ${expiries.failed} expiries came too late`);
  await race.check();
});

test('races: two services expire each hold once', async () => {
  const holds = await makeHolds(race, 'expire', { expires_in: 3 });
  // Every other one has a part captured: only the rest is released.
  const captures = await race.forEachRound(async (round) => {
    const path = `/holds/${holds[round]}/capture`;
    return round % 2 === 0 ? await race.fire([{ path, body: { amount: 1 } }]) : [];
  });
  assertCodes(captures.flat(), ['hold_expired', 'hold_not_open']);
  assert.deepEqual(await awaitExpiries(race, 'expire'), { completed: ROUNDS, failed: 0, held: 0 });
  await race.check();
});

test('races: holds expire once, although the services are killed meanwhile', async (t) => {
  const own = await Race.start(t);
  await makeHolds(own, 'kill', { expires_in: 1 });
  await until(async () => (await own.database.query('select id from holds where expiry_id is not null')).length > 0, {
    what: 'the first expiries to be ordered',
  });
  await Promise.all(own.services.map(async (service) => await service.kill()));
  const open = await own.database.query("select id from holds where state = 'open'");
  t.diagnostic(`${open.length} of ${ROUNDS} holds were open when the services were killed`);
  await startService(t, { database: own.database, env: { ...SETTINGS, ORPHANED_AFTER_MS: '1000' } });
  assert.deepEqual(await awaitExpiries(own, 'kill'), { completed: ROUNDS, failed: 0, held: 0 });
  await own.check();
});

test('races: of holds and transfers that compete for the last money, one succeeds', async () => {
  await race.open('last.shop', 0);
  await race.openForEachRound('last.', () => AMOUNT);
  await race.rounds(async (round) => {
    const body = { from_account: `last.${round}`, to_account: 'last.shop', amount: 60 };
    const posts = ['/holds', '/transfers', '/transfers', '/holds'].map((path) => ({ path, body }));
    const endings = await race.fire(round % 2 === 0 ? posts : posts.slice(1));
    assert.equal(completed(endings).length, 1);
    assertCodes(endings, ['insufficient_funds']);
  });
  await race.check();
});
