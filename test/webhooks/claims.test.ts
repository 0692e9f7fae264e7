// Claims on lines while callers change their endpoints.
import assert from 'node:assert/strict';
import { randomUUID, randomUUIDv7 } from 'node:crypto';
import { test } from 'node:test';
import { parseConfig } from '../../src/config.ts';
import { createPool } from '../../src/db/connection/connect.ts';
import { withTransaction } from '../../src/db/connection/transaction.ts';
import { claimLines, releaseClaim } from '../../src/db/ledger/webhook-claims.ts';
import { insertWebhook, updateWebhook } from '../../src/db/ledger/webhooks.ts';
import { ALL_EVENTS } from '../../src/domain/event.ts';
import { MAIN_LEDGER } from '../../src/domain/ledger.ts';
import { onEnd } from '../support/cleanup.ts';
import { createDatabase } from '../support/database.ts';

const ENDPOINTS = 40;
const CHANGES = 2000;
const SAME = { description: undefined, types: undefined, account: undefined, kind: undefined, enabled: undefined };

test('claims: a line is claimed with its endpoint as it is, or the process learns that it was changed', async (t) => {
  const database = await createDatabase(t);
  const pool = createPool(database.settings, parseConfig({}).databaseTimeouts, 6);
  onEnd(t, async () => await pool.end());
  const ids = Array.from({ length: ENDPOINTS }, () => randomUUIDv7());
  for (const id of ids) {
    const webhook = { id, url: 'https://example.com', description: null, secret: 'whsec_AA==', idempotency: null };
    assert.ok(await insertWebhook(pool, MAIN_LEDGER, { ...webhook, filter: ALL_EVENTS }, ENDPOINTS));
  }
  await database.query('update journal_head set number = 1');
  const changes = Array.from({ length: CHANGES }, (_, index) => index);
  const change = async (): Promise<void> => {
    for (let number = changes.pop(); number !== undefined; number = changes.pop()) {
      const [id = '', url] = [ids[number % ENDPOINTS], `https://example.com/${number}`];
      await withTransaction(pool, async (connection) => {
        await updateWebhook(connection, MAIN_LEDGER, id, { ...SAME, url });
      });
    }
  };
  const overlooked: string[] = [];
  const claim = async (): Promise<void> => {
    const holder = randomUUID();
    while (changes.length > 0) {
      const lines = await claimLines(pool, { holder, claimMs: 600_000, limit: ENDPOINTS, now: new Date() });
      const unchanged = await database.query<{ id: string; url: string }>(
        'select id, url from webhook_endpoints join webhook_cursors on endpoint_id = id where not changed',
      );
      for (const line of lines) {
        const now = unchanged.find(({ id }) => id === line.endpointId);
        if (now && now.url !== line.url) overlooked.push(`${line.url} instead of ${now.url}`);
        await releaseClaim(pool, line, { holder, kept: 1 });
      }
    }
  };
  await Promise.all([change(), change(), change(), claim()]);
  assert.deepEqual(overlooked, []);
});
