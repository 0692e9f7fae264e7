// Goal: each step of a transfer between ledgers is a job of one ledger, which opens the account of the other ledger, and
// takes effect once. Method: the steps as jobs in real threads, one by one and twice.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test, type TestContext } from 'node:test';
import { EXTERNAL } from '../../src/domain/account.ts';
import { contraOf, stepText, toStepId } from '../../src/domain/between-ledgers.ts';
import { type Ledger, MAIN_LEDGER } from '../../src/domain/ledger.ts';
import { BY_SERVICE, type NewTransfer } from '../../src/domain/transfer.ts';
import { toWaitingUnit } from '../../src/main/engine/unit.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { newAccount, newTransfer } from '../support/jobs.ts';
import { checkPromises } from '../support/promises/check.ts';
import { startThreads } from '../support/threads.ts';

const SHOP: Ledger = { id: 2, name: 'shop' };
const [THERE, HERE] = [contraOf(SHOP.name), contraOf(MAIN_LEDGER.name)];
const FUNDING = newTransfer({ fromAccount: EXTERNAL, toAccount: 'ANN', amount: 100n });

/** ANN has 100 in the main ledger, and BOB has nothing in the shop's. */
async function setTheScene(t: TestContext) {
  const database = await createDatabase(t);
  await database.query(`insert into ledgers (id, name) values (2, 'shop')`);
  await database.query('insert into journal_head (ledger_id) values (2)');
  const threads = startThreads(t, database, { threads: 2 });
  const run = async (ledger: Ledger, transfers: readonly NewTransfer[]) => {
    const unit = toWaitingUnit(ledger, transfers, null);
    return await threads.run([unit]);
  };
  const openings = {
    main: toWaitingUnit(MAIN_LEDGER, [FUNDING], null, { accounts: [newAccount('ANN')], by: BY_SERVICE }),
    shop: toWaitingUnit(SHOP, [], null, { accounts: [newAccount('BOB')], by: BY_SERVICE }),
  };
  await threads.run([openings.main]);
  await threads.run([openings.shop]);
  return { database, run };
}

function steps(amount: bigint, code: string | null = null) {
  const hold = newTransfer({ kind: 'hold', toAccount: THERE, remoteAccount: 'BOB', amount });
  const credit = { ...hold, kind: 'transfer', fromAccount: HERE, toAccount: 'BOB', remoteAccount: 'ANN' } as const;
  const step = code === null ? 'capture' : 'void';
  const end = newTransfer({
    id: toStepId(createHash('sha256').update(stepText(hold.id, step)).digest()),
    kind: step,
    parentId: hold.id,
    toAccount: THERE,
    remoteAccount: 'BOB',
    amount: null,
    currency: 'USD',
    description: code,
  });
  return { hold, credit: { ...credit, currency: 'USD' }, end };
}

async function balancesOf({ query }: TestDatabase): Promise<Record<string, [bigint, bigint]>> {
  const rows = await query<{ name: string; balance: bigint; held: bigint }>(
    `select ledgers.name || ' ' || account_number as name, balance, held
     from accounts join ledgers on ledgers.id = ledger_id order by 1`,
  );
  return Object.fromEntries(rows.map(({ name, balance, held }) => [name, [balance, held]]));
}

test('between ledgers: hold, credit and capture move money, and each ledger sums to zero at every step', async (t) => {
  const { database, run } = await setTheScene(t);
  const { hold, credit, end } = steps(30n);
  await run(MAIN_LEDGER, [hold]);
  await checkPromises(database);
  await run(SHOP, [credit]);
  await checkPromises(database);
  await run(MAIN_LEDGER, [end]);
  await checkPromises(database);
  assert.deepEqual(await balancesOf(database), {
    'main @external': [-100n, 0n],
    'main @ledger:shop': [30n, 0n],
    'main ANN': [70n, 0n],
    'shop @external': [0n, 0n],
    'shop @ledger:main': [-30n, 0n],
    'shop BOB': [30n, 0n],
  });
  const opened = await database.query(
    `select ledger_id, currency from account_changes where account_number like '@ledger:%' order by 1`,
  );
  assert.deepEqual(opened, [
    { ledger_id: 1, currency: 'USD' },
    { ledger_id: 2, currency: 'USD' },
  ]);
});

test('between ledgers: a step that is repeated is settled elsewhere, and has no effect', async (t) => {
  const { database, run } = await setTheScene(t);
  const { hold, credit, end } = steps(30n);
  await run(MAIN_LEDGER, [hold]);
  for (const [ledger, step] of [
    [SHOP, credit],
    [MAIN_LEDGER, end],
  ] as const) {
    assert.equal((await run(ledger, [step])).units, null);
    assert.deepEqual((await run(ledger, [step])).units, ['settled_elsewhere']);
  }
  // Two couriers at once.
  const other = steps(5n);
  await run(MAIN_LEDGER, [other.hold]);
  const reports = await Promise.all([run(SHOP, [other.credit]), run(SHOP, [other.credit])]);
  assert.deepEqual(reports.map(({ units }) => units?.[0] ?? 'settled').sort(), ['settled', 'settled_elsewhere']);
  assert.deepEqual((await balancesOf(database))['shop BOB'], [35n, 0n]);
  await checkPromises(database);
});

test('between ledgers: jobs that open the account of a ledger at the same time open it once', async (t) => {
  const { database, run } = await setTheScene(t);
  await Promise.all([run(MAIN_LEDGER, [steps(1n).hold]), run(MAIN_LEDGER, [steps(1n).hold])]);
  const opened = await database.query(`select from accounts where account_number = $1`, [THERE]);
  assert.equal(opened.length, 1);
  assert.deepEqual((await balancesOf(database))['main ANN'], [100n, 2n]);
  await checkPromises(database);
});

test('between ledgers: a refused credit and its void move nothing', async (t) => {
  const { database, run } = await setTheScene(t);
  const parts = steps(30n, 'destination_not_found');
  const [hold, end] = [parts.hold, parts.end].map((each) => ({ ...each, remoteAccount: 'NOSUCH' }));
  assert.ok(hold && end);
  await run(MAIN_LEDGER, [hold]);
  const refused = await run(SHOP, [{ ...parts.credit, toAccount: 'NOSUCH' }]);
  assert.deepEqual(refused.failureCodes, ['destination_not_found']);
  await run(MAIN_LEDGER, [end]);
  assert.deepEqual(await balancesOf(database), {
    'main @external': [-100n, 0n],
    'main @ledger:shop': [0n, 0n],
    'main ANN': [100n, 0n],
    'shop @external': [0n, 0n],
    'shop BOB': [0n, 0n],
  });
  await checkPromises(database);
});

test('between ledgers: the database refuses an account in another ledger where there is none', async (t) => {
  const { database, run } = await setTheScene(t);
  await run(MAIN_LEDGER, [steps(30n).hold]);
  await assert.rejects(
    database.query(`insert into transfers (
        ledger_id, amount, created_at, completed_at, journal_number, journal_position, id, kind, from_account, to_account,
        currency, status, failure_code, remote_account
      )
      values (1, 1, now(), now(), 1, 9, gen_random_uuid(), 'transfer', 'ANN', 'BOB', 'USD', 'failed', 'source_closed', 'Y')`),
    { constraint: 'transfers_remote_form' },
  );
});
