// Books of a ledger with transfers to and from another one: they verify alone, and are imported only when none is open.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, test, type TestContext } from 'node:test';
import { connect, disconnect, READING_TIMEOUTS } from '../../src/db/connection/connect.ts';
import { findAll, type Findings } from '../support/audit.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { checkPromises } from '../support/promises/check.ts';
import { BETWEEN, PAIR_ROWS, writePair } from '../support/sample-pair.ts';
import { makeFolder, request, startService } from '../support/service.ts';
import { until } from '../support/until.ts';
import { linesOf, resealed, run, succeed, verifyFiles, verifyText } from './books.ts';

let database: TestDatabase;

before(async (scope) => {
  database = await createDatabase(scope);
  await writePair(await database.connect());
});

async function exportBooks(t: TestContext, from: TestDatabase, ledger: string) {
  const folder = await makeFolder(t);
  const [file, keys] = [join(folder, `${ledger}.ndjson`), join(folder, `${ledger}.keys`)];
  await succeed(t, from, ['export', `--ledger=${ledger}`, `--output=${file}`, `--personal-keys=${keys}`]);
  return { file, args: [file, `--personal-keys=${keys}`] };
}

async function audit({ reader }: TestDatabase, ledger: number | null): Promise<Findings> {
  const connection = await connect(reader, READING_TIMEOUTS, { applicationName: 'test', readOnly: true });
  try {
    await connection.query('begin transaction isolation level repeatable read, read only');
    return await findAll(connection, { ledger });
  } finally {
    await disconnect(connection);
  }
}

test('verify: the books of one ledger verify alone, with transfers to and from another one', async (t) => {
  for (const ledger of ['main', 'shop']) {
    const { file } = await exportBooks(t, database, ledger);
    const { end, discrepancies } = await verifyFiles([file]);
    assert.deepEqual([end?.number, discrepancies], [PAIR_ROWS, []]);
  }
});

test('verify: a changed account in the other ledger is found, and one where none belongs', async (t) => {
  const { file } = await exportBooks(t, database, 'main');
  const lines = linesOf(await readFile(file, 'utf8'));
  const held = lines.findIndex((line) => line.includes(`"id":"${BETWEEN.waiting}"`));
  const plain = lines.findIndex((line) => line.includes('"kind":"transfer"') && line.includes('"from_account":"ANN"'));
  const changes = [
    { index: held, from: '"remote_account":"BOB"', to: '"remote_account":"CID"', check: 'journal.transfers' },
    { index: held, from: ',"remote_account":"BOB"', to: '', check: 'final.transfers' },
    { index: held, from: '"kind":"hold"', to: '"kind":"transfer"', check: 'final.transfers' },
    { index: plain, from: /\}$/, to: ',"remote_account":"BOB"}', check: 'final.transfers' },
    { index: plain, from: '"from_account":"ANN"', to: '"from_account":"@ledger:shop"', check: 'final.transfers' },
  ];
  for (const { index, from, to, check } of changes) {
    const changed = (lines[index] ?? '').replace(from, to);
    assert.notEqual(changed, lines[index]);
    const { discrepancies } = await verifyText(t, resealed(lines.with(index, changed)));
    assert.ok(
      discrepancies.some((found) => found.check === check),
      `${check} is silent: ${changed}`,
    );
  }
});

test('import: books are refused while a transfer to another ledger is open, and nothing is left', async (t) => {
  const other = await createDatabase(t);
  for (const [ledger, open] of [
    ['main', 2],
    ['shop', 1],
  ] as const) {
    const { args } = await exportBooks(t, database, ledger);
    const { code, stderr } = await run(t, other, ['import', ...args]);
    assert.equal(code, 1, stderr);
    assert.match(stderr, new RegExp(`^Nothing is imported: ${open} transfers to other ledgers have not ended`, 'm'));
  }
  assert.deepEqual(await other.query('select id from transfers'), []);
});

test('import: a courier ends what it finds open, and then both ledgers are imported one after the other', async (t) => {
  // The pending transfers of the sample are left to their process: they are not what this is about.
  const service = await startService(t, { database, env: { ORPHANED_AFTER_MS: '600000' } });
  const hasEnded = async () =>
    (await database.query(`select from holds where state = 'open' and to_account like '@ledger:%'`)).length === 0;
  await until(hasEnded, { timeoutMs: 60_000, what: 'the courier to end the open transfers' });
  await service.stop();
  await checkPromises(database, { allDelivered: true });
  const states = await database.query<{ id: string; state: string }>('select id, state from holds');
  const stateOf = new Map(states.map(({ id, state }) => [id, state]));
  assert.deepEqual(
    [BETWEEN.waiting, BETWEEN.arrived, BETWEEN.refusedBack].map((id) => stateOf.get(id)),
    ['captured', 'captured', 'voided'],
  );
  const [main, shop] = [await exportBooks(t, database, 'main'), await exportBooks(t, database, 'shop')];
  const other = await createDatabase(t);
  await succeed(t, other, ['import', ...main.args]);
  assert.deepEqual((await audit(other, 1)).discrepancies, []);
  const alone = await audit(other, null);
  assert.deepEqual([...alone.checks].sort(), [
    'between.accounts',
    'between.balances',
    'between.credits',
    'between.ends',
    'between.steps',
  ]);
  await succeed(t, other, ['import', ...shop.args]);
  assert.deepEqual((await audit(other, null)).discrepancies, []);
  const successor = await startService(t, { database: other });
  const body = { from_account: 'ANN', to_account: 'BOB', to_ledger: 'shop', amount: 5 };
  const sent = await request(successor, 'POST', '/transfers', body, { prefer: 'wait=10' });
  assert.equal(sent.body['status'], 'completed', sent.text);
  await successor.stop();
  await checkPromises(other, { nothingPending: true, allDelivered: true });
});
