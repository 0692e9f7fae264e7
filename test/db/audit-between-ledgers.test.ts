// The audit finds forgeries of transfers between ledgers: in one ledger, and between what two ledgers say of each other.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { auditBooks } from '../../src/db/audit/audit.ts';
import { BETWEEN_CHECKS } from '../../src/db/audit/between-ledgers.ts';
import type { Part, Scope } from '../../src/db/audit/rules.ts';
import { connect, type Connection, disconnect, READING_TIMEOUTS } from '../../src/db/connection/connect.ts';
import { EVERYTHING, findAll, tamper } from '../support/audit.ts';
import { onEnd } from '../support/cleanup.ts';
import { createDatabase } from '../support/database.ts';
import { idOf } from '../support/ledger-writer.ts';
import { checkPromises } from '../support/promises/check.ts';
import { IDS } from '../support/sample-ledgers.ts';
import { BETWEEN, endOf, PAIR_ROWS, writePair } from '../support/sample-pair.ts';

const NEW = idOf(999);
const CAPTURE = endOf(BETWEEN.delivered, 'capture');
const RELEASE = endOf(BETWEEN.refused, 'void');
const BOTH_SIDES = ['between.credits', 'between.ends', 'between.balances'];

let connection: Connection;

before(async (t) => {
  const database = await createDatabase(t);
  connection = await connect(database.admin, READING_TIMEOUTS, { applicationName: 'tampering' });
  onEnd(t, async () => await disconnect(connection));
  await writePair(connection);
  await checkPromises(database);
});

const inLedger = (ledger: number) => ({
  transfer: (id: string, assignments: string) =>
    `update transfers set ${assignments} where ledger_id = ${ledger} and id = '${id}'`,
  pending: (id: string, assignments: string) =>
    `update pending_transfers set ${assignments} where ledger_id = ${ledger} and id = '${id}'`,
  hold: (id: string, assignments: string) =>
    `update holds set ${assignments} where ledger_id = ${ledger} and id = '${id}'`,
  account: (number: string, assignments: string) =>
    `update accounts set ${assignments} where ledger_id = ${ledger} and account_number = '${number}'`,
});
const main = inLedger(1);
const shop = inLedger(2);

type Forgery = { what: string; statements: string[]; check: string };

/** Found in each ledger alone. */
const ONE_SIDE: readonly Forgery[] = [
  {
    what: 'the account of a ledger in itself',
    statements: [main.account('@ledger:shop', `account_number = '@ledger:main'`)],
    check: 'between.accounts',
  },
  {
    what: 'the account of a ledger that is frozen',
    statements: [main.account('@ledger:shop', `status = 'frozen'`)],
    check: 'between.accounts',
  },
  {
    what: 'held money of the account of a ledger',
    statements: [main.account('@ledger:shop', 'held = 5')],
    check: 'between.accounts',
  },
  {
    what: 'a transfer to the account of a ledger',
    statements: [main.transfer(IDS.rent, `to_account = '@ledger:shop'`)],
    check: 'between.steps',
  },
  {
    what: 'a transfer to the account of a ledger, with an account there',
    statements: [main.transfer(IDS.rent, `to_account = '@ledger:shop', remote_account = 'BOB'`)],
    check: 'between.steps',
  },
  {
    what: 'money from outside to another ledger',
    statements: [main.transfer(BETWEEN.waiting, `from_account = '@external'`)],
    check: 'between.steps',
  },
  {
    what: 'a reversal of a credit',
    statements: [
      main.transfer(idOf(72), `from_account = 'CID', to_account = '@ledger:shop', parent_id = '${BETWEEN.back}'`),
    ],
    check: 'between.steps',
  },
  {
    what: 'an expiry of a hold for another ledger',
    statements: [main.transfer(RELEASE, `kind = 'expiry'`)],
    check: 'between.steps',
  },
  {
    what: 'a pending transfer to the account of a ledger',
    statements: [main.pending(idOf(200), `to_account = '@ledger:shop'`)],
    check: 'between.steps',
  },
  {
    what: 'a pending capture that a caller ordered',
    statements: [
      main.pending(
        idOf(200),
        `kind = 'capture', parent_id = '${BETWEEN.waiting}', to_account = '@ledger:shop', remote_account = 'BOB'`,
      ),
    ],
    check: 'between.steps',
  },
  {
    what: 'a transfer within a ledger that names an account elsewhere',
    statements: [main.transfer(IDS.rent, `remote_account = 'BOB'`)],
    check: 'between.steps',
  },
  {
    what: 'a hold for another ledger without an account there',
    statements: [main.transfer(BETWEEN.waiting, 'remote_account = null')],
    check: 'between.steps',
  },
  {
    what: 'a hold for an account of the service in another ledger',
    statements: [main.transfer(BETWEEN.waiting, `remote_account = '@external'`)],
    check: 'between.steps',
  },
  {
    what: 'a hold for another ledger that expires',
    statements: [main.transfer(BETWEEN.waiting, 'expires_in = 60')],
    check: 'between.steps',
  },
  {
    what: 'a hold for another ledger in an atomic group',
    statements: [main.transfer(BETWEEN.waiting, 'atomic = true')],
    check: 'between.steps',
  },
  {
    what: 'a credit in a group',
    statements: [main.transfer(BETWEEN.back, `group_id = '${NEW}'`)],
    check: 'between.steps',
  },
  {
    what: 'a credit with a condition',
    statements: [main.transfer(BETWEEN.back, 'if_min_available_after = 1')],
    check: 'between.steps',
  },
  { what: 'a capture with a random id', statements: [main.transfer(CAPTURE, `id = '${NEW}'`)], check: 'between.steps' },
  {
    what: 'a void with the id of the capture',
    statements: [main.transfer(RELEASE, `id = '${endOf(BETWEEN.refused, 'capture')}'`)],
    check: 'between.steps',
  },
  {
    what: 'a capture that was refused',
    statements: [main.transfer(CAPTURE, `status = 'failed', failure_code = 'source_frozen'`)],
    check: 'between.steps',
  },
  {
    what: 'a capture that a key ordered',
    statements: [main.transfer(CAPTURE, `ordered_by = 'keyanna00001'`)],
    check: 'between.steps',
  },
  {
    what: 'a capture of a part',
    statements: [main.transfer(CAPTURE, 'amount = amount - 1')],
    check: 'between.steps',
  },
  {
    what: 'a capture for another account',
    statements: [main.transfer(CAPTURE, `remote_account = 'CID'`)],
    check: 'between.steps',
  },
  {
    what: 'a void without a reason',
    statements: [main.transfer(RELEASE, 'description = null')],
    check: 'between.steps',
  },
  {
    what: 'another account in another ledger than the journal covers',
    statements: [main.transfer(BETWEEN.waiting, `remote_account = 'CID'`)],
    check: 'journal.chain',
  },
];

/** Found only with both ledgers. */
const TWO_SIDES: readonly Forgery[] = [
  {
    what: 'the account of a ledger that does not exist',
    statements: [main.account('@ledger:shop', `account_number = '@ledger:sho'`)],
    check: 'between.accounts',
  },
  {
    what: 'a hold for a ledger that does not exist',
    statements: [main.transfer(BETWEEN.waiting, `to_account = '@ledger:shops'`)],
    check: 'between.steps',
  },
  {
    what: 'a completed credit without a hold',
    statements: [shop.transfer(BETWEEN.arrived, `id = '${NEW}'`)],
    check: 'between.credits',
  },
  {
    what: 'a refused credit without a hold',
    statements: [main.transfer(BETWEEN.refusedBack, `id = '${NEW}'`)],
    check: 'between.credits',
  },
  {
    what: 'a pending credit without a hold',
    statements: [shop.pending(idOf(200), `from_account = '@ledger:main', remote_account = 'ANN'`)],
    check: 'between.credits',
  },
  {
    what: 'a completed credit of a hold that failed',
    statements: [main.transfer(BETWEEN.arrived, `status = 'failed', failure_code = 'insufficient_funds'`)],
    check: 'between.credits',
  },
  {
    what: 'a completed credit of a hold that was voided',
    statements: [main.hold(BETWEEN.arrived, `state = 'voided'`)],
    check: 'between.credits',
  },
  {
    what: 'a refused credit of a hold that was captured',
    statements: [shop.hold(BETWEEN.refusedBack, `state = 'captured'`)],
    check: 'between.credits',
  },
  {
    what: 'a credit of more money than its hold',
    statements: [shop.transfer(BETWEEN.delivered, 'amount = amount + 1')],
    check: 'between.credits',
  },
  {
    what: 'a credit in another currency than its hold',
    statements: [shop.transfer(BETWEEN.delivered, `currency = 'EUR'`)],
    check: 'between.credits',
  },
  {
    what: 'a credit of another account than the hold names',
    statements: [shop.transfer(BETWEEN.delivered, `to_account = 'CID'`)],
    check: 'between.credits',
  },
  {
    what: 'a credit from another account than that of the hold',
    statements: [shop.transfer(BETWEEN.delivered, `remote_account = 'BOB'`)],
    check: 'between.credits',
  },
  {
    what: 'a credit that another key ordered than the hold',
    statements: [shop.transfer(BETWEEN.delivered, `ordered_by = 'keyben000001'`)],
    check: 'between.credits',
  },
  {
    what: 'a credit in another ledger than the hold names',
    statements: [
      `insert into ledgers (id, name) values (3, 'else')`,
      `insert into journal_head (ledger_id) values (3)`,
      main.transfer(BETWEEN.arrived, `to_account = '@ledger:else'`),
    ],
    check: 'between.credits',
  },
  {
    what: 'a capture without a credit',
    statements: [shop.transfer(BETWEEN.delivered, `id = '${NEW}'`)],
    check: 'between.ends',
  },
  {
    what: 'a capture of a refused credit',
    statements: [shop.transfer(BETWEEN.delivered, `status = 'failed', failure_code = 'destination_frozen'`)],
    check: 'between.ends',
  },
  {
    what: 'a capture whose credit is from another ledger',
    statements: [shop.transfer(BETWEEN.delivered, `from_account = '@ledger:else'`)],
    check: 'between.ends',
  },
  {
    what: 'a void of a completed credit',
    statements: [shop.transfer(BETWEEN.refused, `status = 'completed', failure_code = null`)],
    check: 'between.ends',
  },
  {
    what: 'a void without a credit',
    statements: [`delete from transfers where ledger_id = 2 and id = '${BETWEEN.refused}'`],
    check: 'between.ends',
  },
  {
    what: 'a void with another reason than that of its credit',
    statements: [shop.transfer(BETWEEN.refused, `failure_code = 'destination_frozen'`)],
    check: 'between.ends',
  },
  {
    what: 'two ledgers that disagree on what one has of the other',
    statements: [main.account('@ledger:shop', 'balance = balance + 5'), main.account('ANN', 'balance = balance - 5')],
    check: 'between.balances',
  },
  {
    what: 'a capture before its credit',
    statements: [main.hold(BETWEEN.arrived, `state = 'captured', captured = amount`)],
    check: 'between.balances',
  },
  {
    what: 'money of another currency in the account of a ledger',
    statements: [main.account('@ledger:shop', `currency = 'EUR'`)],
    check: 'between.balances',
  },
];

test('audit: whole ledgers with transfers between them have no discrepancy', async () => {
  assert.deepEqual((await findAll(connection)).discrepancies, []);
  for (const ledger of [1, 2]) {
    for (const since of [null, BigInt(PAIR_ROWS - 3)]) {
      assert.deepEqual((await findAll(connection, { ledger, since })).discrepancies, []);
    }
  }
});

for (const { what, statements, check } of [...ONE_SIDE, ...TWO_SIDES]) {
  test(`audit: finds ${what}`, async () => {
    const found = [...((await tamper(connection, statements))?.checks ?? [])];
    assert.ok(found.includes(check), `${check} is silent; ${found.join(', ')} are not`);
  });
}

for (const { what, statements, check } of ONE_SIDE) {
  test(`audit: finds ${what}, with that ledger alone`, async () => {
    const found = [...((await tamper(connection, statements, { ledger: 1 }))?.checks ?? [])];
    assert.ok(found.includes(check), `${check} is silent; ${found.join(', ')} are not`);
    const untouched = await tamper(connection, statements, { ledger: 2 });
    assert.ok(!untouched?.checks.has(check), 'The other ledger is not to blame.');
  });
}

test('audit: an audit of one ledger skips what needs the other one', async () => {
  const skipped: string[] = [];
  for await (const event of auditBooks(connection, { ...EVERYTHING, ledger: 1 })) {
    if (event.type === 'check' && event.skipped) skipped.push(event.check);
  }
  assert.deepEqual(
    BOTH_SIDES.filter((check) => !skipped.includes(check)),
    [],
  );
});

test('audit: ledgers that disagree are found whichever of them has the wrong amount', async () => {
  for (const [ledger, side] of [main, shop].entries()) {
    const account = ledger === 0 ? '@ledger:shop' : '@ledger:main';
    const findings = await tamper(connection, [side.account(account, 'balance = balance + 1')]);
    const [found] = (findings?.discrepancies ?? []).filter(({ check }) => check === 'between.balances');
    assert.deepEqual([found?.ledger, found?.account, found?.currency], ['main', '@ledger:shop', 'USD']);
  }
});

/** The conditions of the indexes, and the tables without one, in the plan of a check in long books. */
async function explain(check: string, scope: Scope, part: Part): Promise<string> {
  const [statement] = BETWEEN_CHECKS.find(({ name }) => name === check)?.statements(scope, part) ?? [];
  await connection.query('begin');
  try {
    // The sample is so small that the server would read whole tables.
    await connection.query(`
      update pg_class set reltuples = 10000000, relpages = 1
      where oid in ('transfers'::regclass, 'accounts'::regclass, 'holds'::regclass)`);
    const { rows } = await connection.query<{ 'QUERY PLAN': string }>(`explain (costs off) ${statement ?? ''}`);
    return rows.map((row) => row['QUERY PLAN'].trim()).join('\n');
  } finally {
    await connection.query('rollback');
  }
}

test('audit: many snapshots find the other side of a transfer between ledgers by its key', async () => {
  const slice: Scope = { ledger: 2, since: 0n, until: 5n, others: true };
  const sums: Scope = { ledger: null, since: null, page: { of: 'sums' } };
  const plans = {
    credits: await explain('between.credits', slice, 'slice'),
    ends: await explain('between.ends', slice, 'slice'),
    balances: await explain('between.balances', sums, 'sums'),
  };
  for (const plan of Object.values(plans)) assert.doesNotMatch(plan, /Seq Scan on (transfers|accounts|holds)/);
  assert.match(plans.credits, /Index Cond: \(\(ledger_id = source\.id\) AND \(id = transfers\.id\)\)/);
  assert.match(plans.ends, /Index Cond: \(\(ledger_id = target\.id\) AND \(id = transfers\.parent_id\)\)/);
  assert.match(plans.balances, /Index Cond: \(\(ledger_id = target\.id\) AND \(id = holds\.id\)\)/);
  assert.match(plans.balances, /using holds_remote_open on holds/);
  assert.match(plans.balances, /Index Cond: .*account_number\)::text < '@ledger;'/);
});
