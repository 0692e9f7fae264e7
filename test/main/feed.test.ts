// The feed in memory: its followers share the pages that they read, and a slow one keeps no page alive.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import pino from 'pino';
import { createPool } from '../../src/db/connection/connect.ts';
import { ALL_EVENTS } from '../../src/domain/event.ts';
import { MAIN_LEDGER } from '../../src/domain/ledger.ts';
import { Feed } from '../../src/main/api/feed.ts';
import type { StreamWriter } from '../../src/main/http/stream.ts';
import { parseConfig } from '../../src/config.ts';
import { onEnd } from '../support/cleanup.ts';
import { createDatabase } from '../support/database.ts';
import { request, startService } from '../support/service.ts';
import { until } from '../support/until.ts';

/** More than the pages that the feed keeps. */
const ACCOUNTS = 70;
const metadata = Object.fromEntries(Array.from({ length: 15 }, (_, index) => [`k${index}`, 'x'.repeat(500)]));

/** A follower that collects its events, and reads nothing until `gate` is resolved. */
function createWriter(gate: Promise<void> = Promise.resolve()) {
  const gone = new AbortController();
  const pieces: Buffer[] = [];
  const writer: StreamWriter = {
    gone: gone.signal,
    async send(content) {
      if (typeof content === 'string') return;
      pieces.push(content);
      await gate;
    },
    breakOff: () => gone.abort(),
  };
  return { writer, pieces, leave: () => gone.abort(), text: () => Buffer.concat(pieces).toString() };
}

test('feed: followers share the memory of events, and a slow one misses nothing', async (t) => {
  const database = await createDatabase(t);
  const service = await startService(t, { database, env: { THREADS: '1' } });
  for (let index = 0; index < ACCOUNTS; index += 1) {
    await request(service, 'POST', '/accounts', { account_number: `A${index}`, name: 'x' });
  }
  const transfers = Array.from({ length: 40 }, () => ({
    from_account: '@external',
    to_account: 'A0',
    amount: 1,
    currency: 'USD',
    metadata,
  }));
  assert.equal((await request(service, 'POST', '/transfers', { transfers }, { prefer: 'wait=20' })).status, 200);
  await service.stop();

  const pool = createPool(database.settings, parseConfig({}).databaseTimeouts, 2);
  const feed = new Feed({ pool, logger: pino({ level: 'silent' }), lingerTimeoutMs: 1000 });
  onEnd(t, async () => {
    await feed.stop();
    await pool.end();
  });
  const end = await feed.end(MAIN_LEDGER);
  const isWhole = ({ text }: { text: () => string }) => text().includes(`id: ${end}\n`) && text().endsWith('\n\n');

  const followers = Array.from({ length: 40 }, () => createWriter());
  const following = followers.map(async ({ writer }) => await feed.follow(MAIN_LEDGER, 0n, ALL_EVENTS, writer));
  await until(() => followers.every(isWhole), { what: 'all followers to have caught up' });
  const [first] = followers;
  assert.ok(first !== undefined && first.pieces.length > 3, `${first?.pieces.length} pieces`);
  assert.equal(new Set(followers.flatMap(({ pieces }) => pieces)).size, first.pieces.length);
  assert.ok(
    first.pieces.every((piece) => piece.buffer.byteLength <= 64 * 1024),
    'No piece keeps a page alive.',
  );

  const { promise: gate, resolve: open } = Promise.withResolvers<void>();
  const slow = createWriter(gate);
  const others = Array.from({ length: ACCOUNTS }, () => createWriter());
  following.push(feed.follow(MAIN_LEDGER, 0n, ALL_EVENTS, slow.writer));
  await until(() => slow.pieces.length === 1, { what: 'the slow follower to have its first piece' });
  following.push(
    ...others.map(async ({ writer }, index) => await feed.follow(MAIN_LEDGER, BigInt(index + 1), ALL_EVENTS, writer)),
  );
  await until(() => others.every(isWhole), { what: 'the pages of the others', timeoutMs: 60_000 });
  open();
  await until(() => isWhole(slow), { what: 'the slow follower to have caught up' });
  assert.equal(slow.text(), first.text());
  for (const { leave } of [slow, ...others, ...followers]) leave();
  await Promise.allSettled(following);
});
