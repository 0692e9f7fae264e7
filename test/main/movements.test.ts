// Goal: whatever races for a hold, one way to end it wins, and every caller is told the truth.
// Method: two services on one database; two hundred rounds of each race, a hold for each round, the requests fired at once.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startService } from '../support/service.ts';
import { until } from '../support/until.ts';
import { assertCodes, completed, Race, ROUNDS, total } from '../model/races.ts';

const AMOUNT = 100;

/** Makes the hold of each round: the payers are few, so that rounds compete for their accounts as well. */
async function makeHolds(race: Race, terms: Record<string, unknown> = {}): Promise<string[]> {
  const payers = [0, 1, 2, 3, 4, 5, 6, 7].map((number) => `PAYER${number}`);
  await race.open('SHOP', 0);
  await Promise.all(payers.map(async (payer) => await race.open(payer, ROUNDS * AMOUNT)));
  return await race.rounds(async (round) =>
      await race.make('/holds', {
        from_account: payers[round % payers.length],
        to_account: 'SHOP',
        amount: AMOUNT,
        ...terms,
      }),
  );
}

/** Waits until no hold is open any more. */
async function awaitEnds(race: Race): Promise<void> {
  await until(
    async () => {
      const [row] = await race.database.query<{ open: bigint }>(
        "select count(*) as open from holds where state = 'open'",
      );
      return row?.open === 0n;
    },
    { what: 'every hold to end', timeoutMs: 30_000 },
  );
  await until(async () => (await race.database.query('select id from pending_transfers')).length === 0, {
    what: 'every order to be settled',
  });
}

async function countExpiries(race: Race): Promise<{ completed: number; failed: number }> {
  const rows = await race.database.query<{ status: string; count: number }>(
    "select status, count(*)::integer as count from transfers where kind = 'expiry' group by status",
  );
  const of = (status: string) => rows.find((row) => row.status === status)?.count ?? 0;
  return { completed: of('completed'), failed: of('failed') };
}

test('races: captures of one hold never exceed it together', async (t) => {
  const race = await Race.start(t);
  const holds = await makeHolds(race);
  await race.rounds(async (round) => {
    const path = `/holds/${holds[round]}/capture`;
    const endings = await race.fire([40, 40, 40, 40].map((amount) => ({ path, body: { amount } })));
    assert.equal(total(endings), 80);
    assertCodes(endings, ['exceeds_hold']);
  });
  const whole = await makeWhole(race, holds);
  assert.ok(
    whole.every((amount) => amount === 20),
    'what was left is captured once',
  );
  await race.check();
});

/** Captures all that is left of each hold, twice at once; returns what was captured. */
async function makeWhole(race: Race, holds: readonly string[]): Promise<number[]> {
  return await race.rounds(async (round) => {
    const path = `/holds/${holds[round]}/capture`;
    const endings = await race.fire([{ path }, { path, body: { amount: 20 } }]);
    assert.equal(completed(endings).length, 1);
    assertCodes(endings, ['hold_not_open']);
    return total(endings);
  });
}

test('races: a final capture and other captures leave nothing held, and take no more than the hold', async (t) => {
  const race = await Race.start(t);
  const holds = await makeHolds(race);
  await race.rounds(async (round) => {
    const path = `/holds/${holds[round]}/capture`;
    const [final, ...others] = await race.fire([
      { path, body: { amount: 30, final: true } },
      { path, body: { amount: 50 } },
      { path, body: { amount: 50 } },
    ]);
    assert.ok(final);
    // Before it came none, one, or both of the others; with both there was nothing left for it.
    assert.ok([null, 'hold_not_open'].includes(final.code), `the final capture ended with ${final.code}`);
    assert.ok(final.code === null ? total(others) <= 50 : total(others) === 100);
    assertCodes(others, ['hold_not_open', 'exceeds_hold']);
  });
  const [row] = await race.database.query<{ held: string }>('select sum(held) as held from accounts');
  assert.equal(row?.held, '0');
  await race.check();
});

test('races: a capture or a void ends a hold, never both', async (t) => {
  const race = await Race.start(t);
  const holds = await makeHolds(race);
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
  const race = await Race.start(t);
  const holds = await makeHolds(race, { expires_in: 1 });
  // The rounds are fired all over the second before and the second after the holds expire.
  const ended = { captured: 0, voided: 0, neither: 0 };
  await Promise.all(
    holds.map(async (hold, round) => {
      const [due] = await race.database.query<{ wait: number }>(
        'select (extract(epoch from expires_at - clock_timestamp()) * 1000)::float8 as wait from holds where id = $1',
        [hold],
      );
      const fireAt = performance.now() + (due?.wait ?? 0) + ((round % 41) - 20) * 5;
      await until(() => performance.now() >= fireAt, { what: 'the moment to fire' });
      const endings = await race.fire([
        { path: `/holds/${hold}/capture`, service: round },
        ...(round % 2 === 0 ? [{ path: `/holds/${hold}/void`, service: round + 1 }] : []),
      ]);
      assert.ok(completed(endings).length <= 1);
      assertCodes(endings, ['hold_not_open', 'hold_expired']);
      if (endings[0]?.code === null) ended.captured += 1;
      else if (endings[1]?.code === null) ended.voided += 1;
      else ended.neither += 1;
    }),
  );
  await awaitEnds(race);
  const expiries = await countExpiries(race);
  assert.equal(expiries.completed, ended.neither);
  t.diagnostic(`${JSON.stringify(ended)}; expiries that came too late: ${expiries.failed}`);
  await race.check();
});

test('races: two services that look for expired holds end each of them once', async (t) => {
  const race = await Race.start(t);
  const holds = await makeHolds(race, { expires_in: 1 });
  // Some had a part captured: only the rest is released.
  await race.rounds(async (round) => {
    if (round % 2 === 0) return;
    await race.fire([{ path: `/holds/${holds[round]}/capture`, body: { amount: 1 } }]);
  });
  await awaitEnds(race);
  assert.deepEqual(await countExpiries(race), { completed: ROUNDS, failed: 0 });
  const [row] = await race.database.query<{ held: string }>('select sum(held) as held from accounts');
  assert.equal(row?.held, '0');
  await race.check();
});

test('races: holds expire once, although the service is killed while it ends them', async (t) => {
  const race = await Race.start(t, { ORPHANED_AFTER_MS: '200' });
  await makeHolds(race, { expires_in: 1 });
  const ordered = async () => await race.database.query('select id from holds where expiry_id is not null');
  await until(async () => (await ordered()).length > 0, { what: 'the first expiries to be ordered' });
  await Promise.all(race.services.map(async (service) => await service.kill()));
  const left = await race.database.query("select id from holds where state = 'open'");
  t.diagnostic(`${left.length} of ${ROUNDS} holds were open when the services were killed`);
  const env = { THREADS: '4', HEARTBEAT_MS: '50', ORPHANED_AFTER_MS: '200', LOG_LEVEL: 'warn' };
  await startService(t, { database: race.database, env });
  await awaitEnds(race);
  assert.deepEqual(await countExpiries(race), { completed: ROUNDS, failed: 0 });
  await race.check();
});

test('races: a hold and a transfer compete for the last money', async (t) => {
  const race = await Race.start(t);
  await race.open('SHOP', 0);
  await race.rounds(async (round) => {
    const from = `LAST${round}`;
    await race.open(from, AMOUNT);
    const body = { from_account: from, to_account: 'SHOP', amount: 60 };
    const posts = ['/holds', '/transfers', '/transfers', '/holds'].map((path) => ({ path, body }));
    const endings = await race.fire(round % 2 === 0 ? posts : posts.toReversed());
    assert.equal(completed(endings).length, 1);
    assertCodes(endings, ['insufficient_funds']);
  });
  await race.check();
});
