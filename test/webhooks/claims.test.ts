// Claims on lines while callers change their endpoints, and among thousands of lines that have nothing to send.
import assert from 'node:assert/strict';
import { randomUUID, randomUUIDv7 } from 'node:crypto';
import { test } from 'node:test';
import { parseConfig } from '../../src/config.ts';
import { createPool } from '../../src/db/connection/connect.ts';
import { withTransaction } from '../../src/db/connection/transaction.ts';
import { claimLines, findDueLines, releaseClaim } from '../../src/db/ledger/webhook-claims.ts';
import { insertWebhook, updateWebhook } from '../../src/db/ledger/webhooks.ts';
import { ALL_EVENTS } from '../../src/domain/event.ts';
import { MAIN_LEDGER } from '../../src/domain/ledger.ts';
import { onEnd } from '../support/cleanup.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';

const ENDPOINTS = 40;
const CHANGES = 2000;
const LEDGERS = 100;
const LINES_PER_LEDGER = 100;
const SAME = { description: undefined, types: undefined, account: undefined, kind: undefined, enabled: undefined };

/** So many rows in the journal of each ledger. */
async function appendRows({ query }: TestDatabase, count: number): Promise<void> {
  await query(
    `insert into journal (ledger_id, number, settled_at, transfer_count, intake_count, change_count, digest, previous_hash, hash)
     select ledger_id, row, now(), 1, 0, 0, hash, hash, hash
     from journal_ends
     cross join generate_series(number + 1, $1::bigint) as row`,
    [count],
  );
}

test('claims: a line is claimed with its endpoint as it is, or the process learns that it was changed', async (t) => {
  const database = await createDatabase(t);
  const pool = createPool(database.settings, parseConfig({}).databaseTimeouts, 6);
  onEnd(t, async () => await pool.end());
  const ids = Array.from({ length: ENDPOINTS }, () => randomUUIDv7());
  for (const id of ids) {
    const webhook = { id, url: 'https://example.com', description: null, secret: 'whsec_AA==' };
    assert.ok(await insertWebhook(pool, MAIN_LEDGER, { ...webhook, filter: ALL_EVENTS }, ENDPOINTS));
  }
  await appendRows(database, 1);
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
      const due = await findDueLines(pool, { limit: ENDPOINTS, now: new Date() });
      const lines = await claimLines(pool, due, { holder, claimMs: 600_000 });
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

test('claims: due lines are found without reading the others', async (t) => {
  const database = await createDatabase(t);
  const pool = createPool(database.settings, parseConfig({}).databaseTimeouts, 1);
  onEnd(t, async () => await pool.end());
  await database.query(`insert into ledgers (id, name) select id, 'l' || id from generate_series(2, ${LEDGERS}) as id`);
  await database.query(`insert into journal_head (ledger_id) select id from ledgers where id > 1`);
  await appendRows(database, 9);
  await database.query(
    `insert into webhook_endpoints (ledger_id, id, url, secret)
     select ledgers.id, gen_random_uuid(), 'https://example.com', 'whsec_AAAA'
     from ledgers, generate_series(1, ${LINES_PER_LEDGER})`,
  );
  await database.query(`
    insert into webhook_cursors (ledger_id, endpoint_id, journal_number, disabled)
    select ledger_id, id, case when row_number() over (partition by ledger_id) > 90 then 5 else 9 end,
      row_number() over (partition by ledger_id) > 90
    from webhook_endpoints`);
  const pick = async (offset: number, change: string): Promise<string> => {
    const [line] = await database.query<{ endpoint_id: string }>(
      `update webhook_cursors
       set ${change}
       where endpoint_id = (select endpoint_id from webhook_cursors where not disabled order by endpoint_id offset $1 limit 1)
       returning endpoint_id`,
      [offset],
    );
    return line?.endpoint_id ?? '';
  };
  const failed = 'journal_number = 5, attempts = 1, failing_since = now()';
  const behind = await pick(10, 'journal_number = 5');
  const failing = await pick(20, `${failed}, next_attempt_at = now() - interval '1 second'`);
  await pick(30, `${failed}, next_attempt_at = now() + interval '1 hour'`);
  await pick(40, `journal_number = 5, claimed_until = now() + interval '1 hour'`);
  const requested = await pick(50, 'delivery_number = 1');
  await database.query(
    `insert into webhook_deliveries
       (ledger_id, endpoint_id, number, journal_number, created_at, attempted_at, position, attempts, delivered, requested, event_id, type)
     select ledger_id, endpoint_id, 1, 1, now(), now(), 0, 1, true, true, 'evt', 'account.opened'
     from webhook_cursors
     where endpoint_id = $1`,
    [requested],
  );
  await database.query('analyze');
  const { due, rows } = await withTransaction(pool, async (connection) => {
    const found = await findDueLines(connection, { limit: 1000, now: new Date() });
    const read = await connection.query<{ rows: bigint }>(
      `select seq_tup_read + idx_tup_fetch as rows from pg_stat_xact_user_tables where relname = 'webhook_cursors'`,
    );
    return { due: found.map(({ endpointId }) => endpointId), rows: Number(read.rows[0]?.rows) };
  });
  assert.deepEqual(new Set(due), new Set([behind, failing, requested]));
  assert.ok(rows > 0 && rows < 20, `${rows} rows of ${LEDGERS * LINES_PER_LEDGER} were read.`);
});

test('claims: the lines of each ledger take turns, and one that has waited longest is first', async (t) => {
  const database = await createDatabase(t);
  const pool = createPool(database.settings, parseConfig({}).databaseTimeouts, 1);
  onEnd(t, async () => await pool.end());
  await database.query(`insert into ledgers (id, name) values (2, 'shop')`);
  await database.query('insert into journal_head (ledger_id) values (2)');
  await appendRows(database, 1);
  for (const [ledger, waited] of [
    [1, 50],
    [1, 40],
    [1, 30],
    [2, 20],
    [2, 10],
  ]) {
    await database.query(
      `with added as (
         insert into webhook_endpoints (ledger_id, id, url, secret)
         values ($1::integer, gen_random_uuid(), 'https://example.com', 'whsec_AAAA')
         returning ledger_id, id
       )
       insert into webhook_cursors (ledger_id, endpoint_id, journal_number, claimed_until)
       select ledger_id, id, 0, now() - $2::integer * interval '1 second' from added`,
      [ledger, waited],
    );
  }
  const due = await findDueLines(pool, { limit: 4, now: new Date() });
  assert.deepEqual(
    due.map(({ ledgerId }) => ledgerId),
    [1, 2, 1, 2],
  );
});
