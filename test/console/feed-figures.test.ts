// What the overview keeps of the feed: rates, times to final, and the newest transfers.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sampleOf } from '../../src/console/activity.ts';
import { newestOf, RateLimit, Tally } from '../../src/console/feed-figures.ts';
import type { Activity, JournalEvent, SettledTransfer } from '../../src/console/wire.ts';

const START = Date.parse('2026-11-26T13:00:00Z');

function transfer(id: string, createdMs = 0, change: Partial<SettledTransfer> = {}): SettledTransfer {
  return {
    id,
    kind: 'transfer',
    status: 'completed',
    failure_code: null,
    from_account: 'ANN',
    to_account: 'BOB',
    amount: 1,
    currency: 'EUR',
    parent_id: null,
    group_id: null,
    conversion: null,
    description: null,
    metadata: null,
    request_id: 'r',
    ordered_by: null,
    approved_by: null,
    created_at: new Date(START + createdMs).toISOString(),
    completed_at: null,
    journal_number: 1,
    type: 'transfer.completed',
    from_entry_number: 1,
    to_entry_number: 1,
    ...change,
  };
}

/** An event that settles transfers that were accepted so many milliseconds before. */
function settled(...agesMs: readonly number[]): JournalEvent {
  const at = START + 60_000;
  return {
    ledger: 'main',
    journal_number: 1,
    settled_at: new Date(at).toISOString(),
    hash: '',
    previous_hash: '',
    digest: '',
    transfer_count: agesMs.length,
    change_count: 0,
    transfers: agesMs.map((age, index) => transfer(`t${index}`, 60_000 - age)),
    account_changes: [],
  };
}

test('feed figures: an interval has its rate and its times to final', () => {
  const tally = new Tally();
  tally.open(1000, false);
  tally.add(settled(30, 10));
  tally.add(settled(20));
  assert.deepEqual(tally.take(3000), { settledPerSecond: 1.5, times: [0.01, 0.02, 0.03] });
  assert.deepEqual(tally.take(4000), { settledPerSecond: 0, times: [] });
});

test('feed figures: nothing is known while no stream is open, and of what a resumed one catches up with', () => {
  const unknown = { settledPerSecond: null, times: null };
  const tally = new Tally();
  assert.deepEqual(tally.take(1000), unknown);
  tally.open(1000, true);
  tally.add(settled(9000));
  assert.deepEqual(tally.take(2000), unknown);
  tally.add(settled(5));
  assert.deepEqual(tally.take(3000), { settledPerSecond: 1, times: [0.005] });
  tally.add(settled(5));
  tally.close();
  assert.deepEqual(tally.take(4000), unknown);
});

test('feed figures: a rate that was read stands until a stream opens', () => {
  const tally = new Tally();
  tally.setRate(5000);
  assert.deepEqual(tally.take(1000), { settledPerSecond: 5000, times: null });
  assert.deepEqual(tally.take(2000), { settledPerSecond: 5000, times: null });
  tally.open(2000, false);
  assert.deepEqual(tally.take(3000), { settledPerSecond: 0, times: [] });
});

test('feed figures: transfers of a test clock have no time to final', () => {
  const tally = new Tally();
  tally.open(0, false);
  tally.add(settled(0, 0));
  assert.deepEqual(tally.take(1000), { settledPerSecond: 2, times: null });
});

test('feed figures: a flood keeps no more times than a chart can need', () => {
  const tally = new Tally();
  tally.open(0, false);
  for (let event = 0; event < 30; event += 1) tally.add(settled(...Array.from({ length: 1000 }, () => 7)));
  const { settledPerSecond, times } = tally.take(1000);
  assert.equal(settledPerSecond, 30_000);
  assert.equal(times?.length, 10_000);
});

test('feed figures: a burst is no flood, but a lasting rate is', () => {
  const limit = new RateLimit(1000, 0);
  assert.ok(limit.admits(2500, 10));
  assert.ok(limit.admits(0, 3000));
  for (let second = 4; second < 60; second += 1) assert.ok(limit.admits(1000, second * 1000), `second ${second}`);
  const floods = Array.from({ length: 4 }, (_, second) => limit.admits(2000, (60 + second) * 1000));
  assert.deepEqual(floods, [true, true, false, false]);
});

test('feed figures: the newest transfers have their latest state, the newest first', () => {
  const pending = transfer('b', 2, { status: 'pending' });
  const newest = newestOf([transfer('b', 2), transfer('d', 3)], [transfer('c', 3), pending, transfer('a', 1)], 3);
  assert.deepEqual(
    newest.map(({ id, status }) => `${id} ${status}`),
    ['d completed', 'c completed', 'b completed'],
  );
});

test('activity: what the feed says outranks the counters of the process', () => {
  const before: Activity = {
    process: 'p1',
    at: '2026-11-26T13:00:00Z',
    uptime_seconds: 10,
    queue: { transfers: 0, transfers_max: 5000, bytes: 0, bytes_max: 1000 },
    totals: { requests: 0, settled: 0, refused: 0 },
    settle_seconds: [
      { le: 1, count: 0 },
      { le: null, count: 0 },
    ],
  };
  const now: Activity = {
    ...before,
    uptime_seconds: 11,
    totals: { requests: 0, settled: 80, refused: 0 },
    settle_seconds: before.settle_seconds.map(({ le }) => ({ le, count: 80 })),
  };
  const shown = (figures: Parameters<typeof sampleOf>[2]): unknown[] => {
    const sample = sampleOf(before, now, figures);
    return [sample?.settledPerSecond, sample?.p50, sample?.p99];
  };
  const times = Array.from({ length: 100 }, (_, index) => (index + 1) / 100);
  assert.deepEqual(shown({ settledPerSecond: 100, times }), [100, 0.5, 0.99]);
  assert.deepEqual(shown({ settledPerSecond: 0, times: [] }), [0, null, null]);
  assert.deepEqual(shown({ settledPerSecond: null, times: null }), [null, 0.5, 0.99]);
  assert.deepEqual(shown(null), [80, 0.5, 0.99]);
});
