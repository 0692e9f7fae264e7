// What the courier reads: open transfers between ledgers, and their credits. Imported books may have holds for ledgers that
// are not here, and other transfers under the ids of credits.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { connect, type Connection, disconnect, READING_TIMEOUTS } from '../../src/db/connection/connect.ts';
import { loadCredits, loadOpenTransfers, type OpenTransfer } from '../../src/db/ledger/courier.ts';
import { onEnd } from '../support/cleanup.ts';
import { createDatabase } from '../support/database.ts';
import { SHOP } from '../support/sample-ledgers.ts';
import { BETWEEN, writePair } from '../support/sample-pair.ts';
import { withTampering } from '../support/tampering.ts';

const NOTHING = { holdKeys: [], sourceIds: [], contras: [], pairs: [] };

let connection: Connection;

before(async (t) => {
  const database = await createDatabase(t);
  connection = await connect(database.admin, READING_TIMEOUTS, { applicationName: 'test' });
  onEnd(t, async () => await disconnect(connection));
  await writePair(connection);
});

async function find(id: string): Promise<OpenTransfer> {
  const open = await loadOpenTransfers(connection, 250, NOTHING);
  const found = open.find((each) => each.id === id);
  assert.ok(found);
  return found;
}

test('courier: holds for a ledger that is not here do not hide others', async () => {
  const open = await loadOpenTransfers(connection, 250, NOTHING);
  assert.equal(open.length, 3);
  const older = `
    insert into holds (ledger_id, id, amount, created_at, from_account, to_account, currency)
    select 1, gen_random_uuid(), 5, '2020-01-01T00:00:00Z', 'ANN', '@ledger:elsewhere', 'USD' from generate_series(1, 300)`;
  await withTampering(connection, [older], async () => {
    const ids = (await loadOpenTransfers(connection, 250, NOTHING)).map(({ id }) => id);
    assert.deepEqual(
      ids,
      open.map(({ id }) => id),
    );
  });
});

test('courier: a credit is only what its own hold ordered', async () => {
  const transfer = await find(BETWEEN.arrived);
  const target = { id: SHOP.id, name: SHOP.name };
  const look = async () => [...(await loadCredits(connection, target, [transfer])).values()];
  assert.deepEqual(await look(), [{ outcome: null }]);
  for (const change of [
    `kind = 'hold'`,
    `from_account = '@ledger:else'`,
    `to_account = 'CID'`,
    `remote_account = 'BOB'`,
    'amount = amount - 1',
    `currency = 'EUR'`,
  ]) {
    const sql = `update transfers set ${change} where ledger_id = ${SHOP.id} and id = '${BETWEEN.arrived}'`;
    await withTampering(connection, [sql], async () => assert.deepEqual(await look(), ['foreign'], change));
  }
});

test('courier: the credits of others are read although one id names another transfer', async () => {
  const transfers = [await find(BETWEEN.waiting), await find(BETWEEN.arrived)];
  const target = { id: SHOP.id, name: SHOP.name };
  const forged = `
    update transfers set amount = amount + 1 where ledger_id = ${SHOP.id} and id = '${BETWEEN.arrived}'`;
  await withTampering(connection, [forged], async () => {
    const credits = await loadCredits(connection, target, transfers);
    assert.deepEqual([...credits], [[`1 ${BETWEEN.arrived}`, 'foreign']]);
  });
});

test('courier: a credit that a newer version refused is found with its code, and does not hide others', async () => {
  const transfers = [await find(BETWEEN.waiting), await find(BETWEEN.arrived)];
  const target = { id: SHOP.id, name: SHOP.name };
  const refused = `
    update transfers set status = 'failed', failure_code = 'of_a_newer_version', from_entry_number = null, to_entry_number = null
    where ledger_id = ${SHOP.id} and id = '${BETWEEN.arrived}'`;
  await withTampering(connection, [refused], async () => {
    const credits = await loadCredits(connection, target, transfers);
    assert.deepEqual([...credits], [[`1 ${BETWEEN.arrived}`, { outcome: 'of_a_newer_version' }]]);
  });
});
