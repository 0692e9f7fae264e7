// The audit proves that the journal of a ledger with a test clock has the times of that clock, which moved only by
// recorded advances.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { connect, type Connection, disconnect, READING_TIMEOUTS } from '../../src/db/connection/connect.ts';
import { advanceClock } from '../../src/db/ledger/clock.ts';
import { createLedger } from '../../src/db/ledger/ledgers.ts';
import { findAll, tamper } from '../support/audit.ts';
import { onEnd } from '../support/cleanup.ts';
import { createDatabase } from '../support/database.ts';

let connection: Connection;

before(async (t) => {
  const database = await createDatabase(t);
  connection = await connect(database.admin, READING_TIMEOUTS, { applicationName: 'tampering' });
  onEnd(t, async () => await disconnect(connection));
  const testClock = { start: '2026-01-01T00:00:00Z' };
  const created = await createLedger(connection, { name: 'test', testClock, idempotencyKey: null });
  assert.ok('ledger' in created);
  for (const day of ['02', '03', '04']) {
    const idempotency = { key: `to-${day}`, fingerprint: Buffer.alloc(32) };
    const to = `2026-01-${day}T00:00:00Z`;
    const advance = await advanceClock(connection, created.ledger, { to, actor: null, idempotency });
    assert.equal(advance.result, 'advanced');
  }
});

test('audit: finds nothing in a ledger whose clock was advanced', async () => {
  assert.deepEqual((await findAll(connection)).discrepancies, []);
  for (const since of [1n, 2n, 3n]) {
    assert.deepEqual((await findAll(connection, { ledger: 2, since })).discrepancies, []);
  }
});

const OF_TEST = 'where ledger_id = 2';
const FORGERIES = [
  {
    what: 'a clock that is past the end of the journal',
    change: `clock = '2026-01-05T00:00:00Z'`,
    check: 'journal.clock',
  },
  { what: 'a clock that is behind the journal', change: `clock = '2026-01-03T00:00:00Z'`, check: 'journal.clock' },
  { what: 'a test clock that became a real one', change: 'clock = null', check: 'journal.clock' },
  { what: 'a test clock that the real one moved', change: 'clock = now()', check: 'journal.clock' },
].map(({ change, ...rest }) => ({ ...rest, statement: `update journal_head set ${change} ${OF_TEST}` }));

for (const { what, statement, check } of [
  ...FORGERIES,
  {
    what: 'a real clock that became a test clock',
    statement: `update journal_head set clock = opened_at where ledger_id = 1`,
    check: 'journal.clock',
  },
  {
    what: 'a row of the journal before the start of the clock',
    statement: `update ledgers set clock_start = '2026-01-02T12:00:00Z' where id = 2`,
    check: 'journal.clock',
  },
  {
    what: 'a row of the journal at a new time, which no advance explains',
    statement: `update audit_log set action = 'ledger.created' ${OF_TEST} and journal_number = 2`,
    check: 'journal.clock',
  },
  {
    what: 'an idempotency key of an advance beyond the clock',
    statement: `update idempotency_keys set clock = '2026-01-05T00:00:00Z' where key = 'to-04'`,
    check: 'once.keys',
  },
  {
    what: 'an idempotency key of an advance of a real clock',
    statement: `insert into idempotency_keys (ledger_id, key, fingerprint, clock) values (1, 'x', sha256('x'), now())`,
    check: 'once.keys',
  },
]) {
  test(`audit: finds ${what}`, async () => {
    const findings = await tamper(connection, [statement]);
    assert.ok(findings?.checks.has(check), [...(findings?.checks ?? [])].join());
  });
}

for (const statement of [
  'drop trigger journal_head_clock_kept on journal_head',
  'alter table journal_head disable trigger journal_head_clock_kept',
  `create or replace trigger journal_head_clock_kept after update of closed_until on journal_head
   for each row execute function refuse_clock_change()`,
  `create or replace function refuse_clock_change() returns trigger language plpgsql as $$ begin return null; end; $$`,
]) {
  test(`audit: finds that a clock is not kept: ${statement.split(' ').slice(0, 5).join(' ')}`, async () => {
    await connection.query('begin');
    await connection.query(statement);
    const { checks } = await findAll(connection);
    await connection.query('rollback');
    assert.deepEqual([...checks], ['final.triggers']);
  });
}
