// Goal: the judge that ends every database test finds every violation. Method: ledgers that were written without any
// code of the service; then violations of each rule, one at a time, in a transaction that is rolled back.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import type { Client } from 'pg';
import { createDatabase, type TestDatabase } from './support/database.ts';
import { idOf } from './support/ledger-writer.ts';
import { type CheckOptions, checkPromises, findViolations, listRules } from './support/promises/check.ts';
import { IDS, writeLedger } from './support/sample-ledgers.ts';
import { BETWEEN, endOf, PAIR_ROWS, writePair } from './support/sample-pair.ts';
import { withTampering } from './support/tampering.ts';

const UNKNOWN = idOf(999);
const FAILED = idOf(7);
const CONDITIONAL = idOf(8);
const VOID = idOf(60);
const REFUSED_CAPTURE = idOf(70);
const REVERSAL = idOf(72);
const WAITING = idOf(200);
const CAPTURE = endOf(BETWEEN.delivered, 'capture');
const RELEASE = endOf(BETWEEN.refused, 'void');
const OPTIONS = { accepted: [IDS.rent, WAITING], nothingQuarantined: true };

let database: TestDatabase;
let client: Client;

before(async (scope) => {
  database = await createDatabase(scope);
  client = await database.connect();
  await writePair(client);
});

/** A change of the first ledger: of what has this id, or of what the condition selects. */
const change = (table: string, assignments: string, where: string) =>
  `update ${table} set ${assignments} where ledger_id = 1 and ${where}`;
const account = (number: string, assignments: string) =>
  change('accounts', assignments, `account_number = '${number}'`);
const transfer = (id: string, assignments: string) => change('transfers', assignments, `id = '${id}'`);
const hold = (id: string, assignments: string) => change('holds', assignments, `id = '${id}'`);
const journal = (number: number, assignments: string) => change('journal', assignments, `number = ${number}`);
const entry = (number: string, place: number, assignments: string) =>
  change('entries', assignments, `account_number = '${number}' and entry_number = ${place}`);
const remove = (table: string, where: string) => `delete from ${table} where ledger_id = 1 and ${where}`;
/** Changes the credit in the other ledger. */
const credit = (id: string, assignments: string) =>
  `update transfers set ${assignments} where ledger_id = 2 and id = '${id}'`;
const copy = (table: string, where: string) =>
  `insert into ${table} select * from ${table} where ledger_id = 1 and ${where}`;

/** By the rule that each of them breaks. */
const VIOLATIONS: Readonly<Record<string, readonly string[]>> = {
  'the balances of a currency sum to zero': [
    account('ANN', 'balance = balance + 1'),
    account('BOB', `currency = 'EUR'`),
    // What one ledger loses, the other one gains.
    `update accounts set balance = balance + case ledger_id when 1 then 1 else -1 end where account_number = 'ANN'`,
  ],
  'a completed transfer that moves money has two entries that mirror each other, every other has none': [
    remove('entries', `account_number = 'BOB' and entry_number = 1`),
    `insert into entries (ledger_id, entry_number, amount, balance, journal_number, transfer_id, account_number, currency)
     values (1, 99, 5, 5, 9, '${FAILED}', 'CID', 'USD')`,
    entry('BOB', 1, 'amount = amount + 1'),
    entry('BOB', 1, `currency = 'EUR'`),
    transfer(IDS.rent, 'amount = amount + 1'),
    transfer(IDS.rent, 'from_entry_number = 1'),
    transfer(IDS.rent, 'from_account = to_account, to_account = from_account'),
    transfer(IDS.rent, `status = 'failed'`),
    transfer(FAILED, 'from_entry_number = 1'),
  ],
  'every entry belongs to a transfer and to an account': [
    entry('BOB', 1, `transfer_id = '${UNKNOWN}'`),
    remove('accounts', `account_number = 'BOB'`),
  ],
  'a balance is the sum of the entries of its account, which counts them': [
    account('ANN', 'balance = balance + 1'),
    account('ANN', 'entry_count = entry_count + 1'),
  ],
  'entry numbers are 1, 2, 3 … without gaps, and each running balance is the sum so far': [
    entry('ANN', 2, 'entry_number = 99'),
    entry('ANN', 2, 'balance = balance + 1'),
    copy('entries', `account_number = 'EVE'`),
  ],
  'no account has a negative available amount': [account('OLD', 'balance = -1'), account('BOB', 'held = held + 9999')],
  'no account was ever overdrawn beyond its limit': [entry('BOB', 1, 'balance = -1')],
  'the held amount is the sum of the remainders of the open holds': [
    account('ANN', 'held = held + 1'),
    hold(IDS.holdOpen, 'captured = captured + 1'),
    remove('accounts', `account_number = 'BOB'`),
  ],
  'a closed account is empty': [account('OLD', 'held = 1')],
  'a hold is what its transfer requested, and every completed one made a hold': [
    hold(IDS.holdOpen, 'amount = amount + 1'),
    hold(IDS.holdOpen, `to_account = 'CID'`),
    hold(IDS.holdPartly, 'expires_at = null'),
    hold(IDS.holdPartly, `expires_at = expires_at + interval '1 microsecond'`),
    hold(IDS.holdPartly, `created_at = created_at + interval '1 microsecond'`),
    hold(IDS.holdOpen, `id = '${UNKNOWN}'`),
    remove('holds', `id = '${IDS.holdVoided}'`),
  ],
  'what was captured and released of a hold, and its state, follow from its transfers': [
    hold(IDS.holdPartly, 'captured = captured + 1'),
    hold(IDS.holdPartly, 'released = released + 1'),
    hold(IDS.holdFinal, 'released = released - 1'),
    hold(IDS.holdOpen, `state = 'voided'`),
    hold(IDS.holdWhole, `state = 'open'`),
    transfer(VOID, `parent_id = '${IDS.holdExpired}'`),
    transfer(IDS.capture, 'amount = amount + 1'),
  ],
  'nothing completes on a hold after its end': [transfer(IDS.capture, 'final_capture = true')],
  'a hold is captured before it expires, and expires no earlier': [
    hold(IDS.holdPartly, 'expires_at = created_at'),
    hold(IDS.holdExpired, `expires_at = '2100-01-01T00:00:00Z'`),
    hold(IDS.holdExpired, 'expires_at = null'),
    transfer(REFUSED_CAPTURE, `failure_code = 'hold_expired'`),
  ],
  'an expired hold names the expiry that ended it, and no other hold names one': [
    hold(IDS.holdExpired, 'expiry_id = null'),
    hold(IDS.holdExpired, `expiry_id = '${VOID}'`),
    hold(IDS.holdOpen, `expiry_id = '${IDS.expiry}'`),
    transfer(IDS.expiry, `status = 'failed'`),
  ],
  'captures, voids and expiries name a hold between the same accounts': [
    transfer(IDS.capture, `to_account = 'CID'`),
    transfer(IDS.capture, `currency = 'EUR'`),
    transfer(VOID, `parent_id = '${UNKNOWN}'`),
  ],
  'what was reversed of a transfer is the sum of its reversals, and no more than it moved': [
    change('reversed_amounts', 'reversed = reversed + 1', `transfer_id = '${IDS.rent}'`),
    change('reversed_amounts', 'amount = amount + 1', `transfer_id = '${IDS.rent}'`),
    remove('reversed_amounts', `transfer_id = '${IDS.rent}'`),
    transfer(IDS.rent, `kind = 'hold'`),
    transfer(IDS.rent, `status = 'failed'`),
    transfer(IDS.rent, 'amount = 1'),
  ],
  'a reversal moves money back between the accounts of its original': [
    transfer(REVERSAL, 'from_account = to_account, to_account = from_account'),
    transfer(REVERSAL, `currency = 'EUR'`),
    transfer(REVERSAL, `parent_id = '${UNKNOWN}'`),
  ],
  'only the steps of transfers between ledgers touch the account of another ledger': [
    transfer(IDS.rent, `to_account = '@ledger:shop'`),
    transfer(IDS.rent, `from_account = '@ledger:shop'`),
    transfer(IDS.rent, `remote_account = 'BOB'`),
    transfer(REVERSAL, `from_account = '@ledger:shop', remote_account = 'BOB'`),
    transfer(BETWEEN.waiting, 'remote_account = null'),
    transfer(BETWEEN.waiting, `from_account = '@external'`),
    transfer(BETWEEN.waiting, 'atomic = true'),
    transfer(BETWEEN.waiting, 'expires_in = 60'),
    transfer(BETWEEN.back, `group_id = '${UNKNOWN}'`),
    transfer(BETWEEN.back, `kind = 'hold'`),
    transfer(CAPTURE, 'final_capture = true'),
    transfer(CAPTURE, `kind = 'expiry'`),
    change('pending_transfers', `to_account = '@ledger:shop'`, `id = '${WAITING}'`),
    change('pending_transfers', `remote_account = 'BOB'`, `id = '${WAITING}'`),
  ],
  'the account of another ledger names one that exists, and is open, without a limit and without held money': [
    account('@ledger:shop', `account_number = '@ledger:shops'`),
    account('@ledger:shop', `account_number = '@ledger:main'`),
    account('@ledger:shop', `account_number = '@bank'`),
    account('@ledger:shop', `status = 'frozen'`),
    account('@ledger:shop', 'held = 1'),
    account('@ledger:shop', 'overdraft_limit = 1'),
  ],
  'a credit from another ledger has its hold there, with the same parties and the same money': [
    credit(BETWEEN.delivered, `id = '${UNKNOWN}'`),
    credit(BETWEEN.delivered, 'amount = amount + 1'),
    credit(BETWEEN.delivered, `currency = 'EUR'`),
    credit(BETWEEN.delivered, `to_account = 'CID'`),
    credit(BETWEEN.delivered, `remote_account = 'BOB'`),
    credit(BETWEEN.delivered, `ordered_by = 'forged'`),
    credit(BETWEEN.delivered, `metadata = '{"order": "8"}'`),
    credit(BETWEEN.refused, `description = 'Another'`),
    credit(BETWEEN.delivered, `status = 'failed'`),
    credit(BETWEEN.refused, `status = 'completed'`),
    credit(BETWEEN.refused, `id = '${UNKNOWN}'`),
    transfer(BETWEEN.arrived, `to_account = '@ledger:shops'`),
    transfer(BETWEEN.delivered, `status = 'failed'`),
    hold(BETWEEN.arrived, `state = 'voided'`),
    hold(BETWEEN.arrived, `state = 'expired'`),
    remove('holds', `id = '${BETWEEN.arrived}'`),
  ],
  'a credit from another ledger that is pending has its open hold there': [
    change('pending_transfers', `from_account = '@ledger:shop', remote_account = 'ANN'`, `id = '${WAITING}'`),
  ],
  'a hold for another ledger ends as its credit there did': [
    credit(BETWEEN.delivered, `status = 'failed'`),
    credit(BETWEEN.delivered, `id = '${UNKNOWN}'`),
    credit(BETWEEN.delivered, `from_account = '@ledger:shop'`),
    credit(BETWEEN.refused, `status = 'completed'`),
    credit(BETWEEN.refused, `failure_code = 'destination_frozen'`),
    credit(BETWEEN.refused, `id = '${UNKNOWN}'`),
    transfer(CAPTURE, `parent_id = '${BETWEEN.waiting}'`),
    transfer(CAPTURE, 'amount = amount - 1'),
    transfer(CAPTURE, `remote_account = 'CID'`),
    transfer(CAPTURE, `kind = 'expiry'`),
    transfer(RELEASE, `description = 'forged'`),
  ],
  'the end of a hold for another ledger has the id that follows from it, no caller ordered it, and it is not refused': [
    transfer(CAPTURE, `id = '${UNKNOWN}'`),
    transfer(RELEASE, `id = '${endOf(BETWEEN.refused, 'capture')}'`),
    transfer(CAPTURE, `status = 'failed'`),
    transfer(RELEASE, `ordered_by = 'forged'`),
    transfer(RELEASE, `approved_by = 'forged'`),
    transfer(CAPTURE, `metadata = '{}'`),
  ],
  'what two ledgers have of each other sums to zero, with the credits whose holds are still open': [
    account('@ledger:shop', 'balance = balance + 1'),
    account('@ledger:shop', `currency = 'EUR'`),
    credit(BETWEEN.arrived, 'amount = amount + 1'),
    credit(BETWEEN.arrived, `status = 'failed'`),
    hold(BETWEEN.arrived, `state = 'captured'`),
    hold(BETWEEN.delivered, `state = 'open'`),
    remove('accounts', `account_number = '@ledger:shop'`),
  ],
  'no transfer between ledgers is open': ['select'],
  'every transfer that a lease counted is pending or settled': [
    'update leases set accepted_count = accepted_count + 1',
    'update ledger_leases set accepted_count = accepted_count + 1',
    remove('pending_transfers', `id = '${WAITING}'`),
    journal(8, 'intake_count = intake_count - 1'),
  ],
  'an atomic group settles in adjacent positions and as a whole, and fails for the reason of one member': [
    transfer(idOf(100), `status = 'failed', failure_code = 'insufficient_funds'`),
    transfer(idOf(100), 'journal_number = 18, journal_position = 9'),
    transfer(idOf(100), 'journal_position = 9'),
    transfer(idOf(103), `failure_code = 'insufficient_funds'`),
    transfer(idOf(104), `failure_code = 'group_failed'`),
  ],
  'the two transfers of a conversion are in one group, and their amounts follow from its rate': [
    transfer(idOf(110), 'amount = amount + 1'),
    transfer(idOf(109), `rate = 'EUR/USD 1.2'`),
    transfer(idOf(110), 'rate = null'),
    transfer(idOf(110), `group_id = '${UNKNOWN}'`),
  ],
  'the members of a group are numbered 0, 1, 2 … without gaps': [
    transfer(idOf(105), 'group_position = 5'),
    transfer(idOf(101), 'group_position = 0'),
    remove('pending_transfers', `id = '${idOf(201)}'`),
  ],
  'only a member of an atomic group fails with it': [transfer(FAILED, `failure_code = 'group_failed'`)],
  "a transfer that completed under a condition on its source's entries met it": [
    transfer(CONDITIONAL, 'if_from_entry_number = 2'),
  ],
  'a settled transfer has a currency if one of its accounts was open before': [transfer(FAILED, 'currency = null')],
  'nothing is quarantined': [transfer(FAILED, `failure_code = 'cannot_be_settled'`)],
  'nothing is pending': ['select'],
  'every accepted transfer is pending or settled': [`delete from pending_transfers where id = '${WAITING}'`],
  'a transfer is settled once': [copy('transfers', `id = '${FAILED}'`)],
  'a settled transfer is no longer pending': [change('pending_transfers', `id = '${IDS.rent}'`, `id = '${WAITING}'`)],
  'an idempotency key names one request': [copy('idempotency_keys', `key = 'key-0'`)],
  'an idempotency key names a stored object': [
    change('idempotency_keys', `transfer_id = '${UNKNOWN}'`, `key = 'key-0'`),
    change('idempotency_keys', `account_number = 'NOSUCH'`, `key = 'key-0'`),
    change('idempotency_keys', 'transfer_id = null', `key = 'key-0'`),
    remove('pending_transfers', `id = '${WAITING}'`),
  ],
  'a settled transfer is completed without a failure code, or failed with one': [
    transfer(FAILED, 'failure_code = null'),
    transfer(FAILED, `status = 'pending'`),
    transfer(IDS.rent, `failure_code = 'forged'`),
  ],
  'the database refuses every change of final rows': [
    'drop trigger entries_append_only on entries',
    'alter table journal disable trigger all',
    'drop trigger transfers_not_truncated on transfers',
    'alter table account_changes enable replica trigger account_changes_append_only',
    `create or replace trigger idempotency_keys_append_only before update on idempotency_keys
     for each row execute function refuse_change()`,
  ],
  'journal numbers are 1, 2, 3 … without gaps, and time does not run backwards': [
    journal(2, 'number = 99'),
    remove('journal', 'number = 1'),
    journal(2, `settled_at = '2020-01-01T00:00:00Z'`),
  ],
  'a journal row carries the hash of the one before it': [
    journal(1, `hash = sha256('forged')`),
    journal(1, `previous_hash = sha256('forged')`),
  ],
  'the hash of a journal row covers the hash before it, the row and its digest': [
    journal(8, `digest = sha256('forged')`),
    journal(8, `settled_at = settled_at + interval '1 microsecond'`),
    journal(8, 'transfer_count = transfer_count + 1'),
    journal(8, 'change_count = change_count + 1'),
    `update ledgers set name = 'other' where id = 2`,
  ],
  'every ledger has a head': [
    remove('journal_head', 'true'),
    `insert into ledgers (id, name) values (3, 'new')`,
    'delete from ledgers where id = 2',
  ],
  'the digest of a journal row covers its account changes and its transfers, which it counts': [
    remove('journal', `number = ${PAIR_ROWS}`),
    ...[
      `from_account = 'EVE'`,
      `to_account = 'EVE'`,
      'amount = amount + 1',
      `currency = 'EUR'`,
      `status = 'failed'`,
      `failure_code = 'forged'`,
      `request_id = 'forged'`,
      'description = null',
      `metadata = '{"flat": "8"}'`,
      `created_at = created_at + interval '1 microsecond'`,
      'from_entry_number = 99',
      'to_entry_number = 99',
      `kind = 'hold'`,
      `parent_id = '${UNKNOWN}'`,
      `group_id = '${UNKNOWN}'`,
      'group_position = 1',
      'atomic = false',
      'final_capture = false',
      'expires_in = 1',
      'if_from_entry_number = 1',
      'if_min_available_after = 1',
      `ordered_by = 'forged'`,
      `approved_by = 'forged'`,
      `rate = 'EUR/USD 1.2'`,
      `remote_account = 'BOB'`,
    ].map((assignments) => transfer(IDS.rent, assignments)),
    transfer(BETWEEN.waiting, `remote_account = 'CID'`),
    entry('ANN', 1, 'balance = balance + 1'),
    change('transfers', 'journal_position = 3 - journal_position', 'journal_number = 18'),
    remove('transfers', `id = '${FAILED}'`),
    remove('transfers', 'journal_number = 19'),
    change('account_changes', `seal = sha256('forged')`, `account_number = 'ANN' and change_number = 1`),
    remove('account_changes', `account_number = 'EVE'`),
    change('account_changes', `ordered_by = 'forged'`, `account_number = 'ANN' and change_number = 1`),
    change('audit_log', `actor = 'forged'`, `action = 'key.created'`),
    remove('audit_log', `action = 'key.created'`),
    journal(9, 'transfer_count = transfer_count + 1'),
    journal(10, 'change_count = change_count + 1'),
    journal(9, 'intake_count = 99'),
  ],
  'the transfers of a journal row have the positions 1, 2, 3 … and its time': [
    transfer(IDS.rent, `completed_at = completed_at + interval '1 microsecond'`),
    transfer(IDS.rent, 'journal_position = 9'),
    transfer(IDS.rent, 'journal_number = 99'),
  ],
  'an entry is in the journal row of its transfer, and none before an earlier one of its account': [
    entry('BOB', 1, 'journal_number = 7'),
    // The transfer moves with its entries.
    `with moved as (
       update transfers set journal_number = 1, journal_position = 1
       where ledger_id = 1 and id = (select transfer_id from entries where ledger_id = 1 and account_number = 'EVE' and entry_number = 2)
     )
     update entries set journal_number = 1 where ledger_id = 1 and account_number = 'EVE' and entry_number = 2`,
  ],
  'an account matches its last sealed change, and its changes are numbered 1, 2, 3 … without gaps': [
    ...[
      'personal_data = null',
      `personal_data = personal_data || '\\x00'`,
      'overdraft_limit = 501',
      'metadata = default',
      `status = 'frozen'`,
      `created_at = created_at + interval '1 microsecond'`,
    ].map((assignments) => account('ANN', assignments)),
    remove('accounts', `account_number = 'EVE'`),
    `insert into accounts (ledger_id, account_number, currency) values (1, 'MAL', 'EUR')`,
    change('account_changes', 'change_number = 5', `account_number = 'ANN' and change_number = 2`),
    remove('account_changes', `account_number = 'ANN' and change_number = 1`),
  ],
  'an account has personal data if and only if it has a key, and @external has neither': [
    account('ANN', 'personal_data = null'),
    account('@external', `personal_data = '\\x00'`),
    remove('personal_keys', `account_number = 'ANN'`),
    remove('accounts', `account_number = 'EVE'`),
    change('personal_keys', `currency = 'EUR'`, `account_number = 'ANN'`),
  ],
};

test('promises: consistent ledgers keep them all', async () => {
  await checkPromises(database, OPTIONS);
});

test('promises: a database without transfers keeps them all', async (t) => {
  await checkPromises(await createDatabase(t), { nothingPending: true });
});

test('promises: each rule has violations to find', () => {
  const rules = listRules({ ...OPTIONS, nothingPending: true, allDelivered: true }).map(({ rule }) => rule);
  assert.deepEqual(Object.keys(VIOLATIONS).sort(), rules.sort());
});

for (const [rule, statements] of Object.entries(VIOLATIONS)) {
  test(`promises: violations are found: ${rule}`, async () => {
    const options: CheckOptions = {
      ...OPTIONS,
      nothingPending: rule === 'nothing is pending',
      allDelivered: rule === 'no transfer between ledgers is open',
    };
    for (const statement of statements) {
      // A change of the schema reports no rows.
      const found = await withTampering(
        client,
        [statement, 'select'],
        async () => await findViolations(client, options),
      );
      const rules = found?.map((violation) => violation.rule) ?? [];
      assert.ok(rules.includes(rule), `${statement} breaks ${JSON.stringify(rules)}`);
    }
    assert.deepEqual(await findViolations(client, OPTIONS), [], 'The ledgers are unchanged.');
  });
}

test('promises: all violations are reported together', async (t) => {
  const broken = await createDatabase(t);
  await writeLedger(await broken.connect());
  await broken.query(`update accounts set balance = balance + 1 where account_number = 'ANN'`);
  await assert.rejects(checkPromises(broken, { nothingPending: true }), (error: Error) => {
    assert.match(error.message, /promise 1: the balances of a currency sum to zero: broken 1 times, such as\n.*USD/);
    assert.match(error.message, /promise 2: a balance is the sum of the entries of its account/);
    assert.match(error.message, /promise 4: nothing is pending: broken 4 times/);
    assert.doesNotMatch(error.message, /promise 7/);
    return true;
  });
});
