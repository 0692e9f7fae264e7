// Goal: the checker that ends every database test must find what it is there to find. Method: a small ledger written by hand,
// with its journal hashed here and not in SQL; then one violation of each kind, planted in a transaction that is rolled back.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { before, test } from 'node:test';
import type { Client } from 'pg';
import { onEnd } from './support/cleanup.ts';
import { createDatabase, renderDatabaseUrl, type TestDatabase } from './support/database.ts';
import { checkPromises, findViolations } from './support/promises.ts';
import { parseServerKind, startServer } from './support/server.ts';
import { awaitFinal, request, startService } from './support/service.ts';
import { until } from './support/until.ts';

const DEPOSIT = '0192f0c4-0000-7000-8000-000000000001';
const PAYMENT = '0192f0c4-0000-7000-8000-000000000002';
const REFUSED = '0192f0c4-0000-7000-8000-000000000003';
const WAITING = '0192f0c4-0000-7000-8000-000000000004';
const UNKNOWN = '0192f0c4-0000-7000-8000-000000000009';
/** The last nine fields of a plain transfer's record: its kind, and eight that it does not have. */
const PLAIN = ['transfer', '', '', '', '', '', '', '', ''];

let database: TestDatabase;
let client: Client;

before(async (t) => {
  database = await createDatabase(t);
  await writeLedger(database);
  client = await database.connect();
});

test('promises: a consistent ledger keeps them all', async () => {
  await checkPromises(database, { accepted: [DEPOSIT, PAYMENT, REFUSED, WAITING] });
});

test('promises: an empty ledger keeps them all', async (t) => {
  await checkPromises(await createDatabase(t), { nothingPending: true });
});

const violations: { plant: string; rule: RegExp }[] = [
  {
    plant: `update accounts set balance = balance + 1 where account_number = 'ANN'`,
    rule: /^1: the balances of a currency/,
  },
  {
    plant: `update entries set amount = amount + 1 where account_number = 'BOB'`,
    rule: /^1: the entries of a transfer sum to zero/,
  },
  {
    plant: `delete from entries where account_number = 'BOB'`,
    rule: /^1: a completed transfer that moves money has two entries/,
  },
  {
    plant: `
      insert into entries (ledger_id, entry_number, amount, balance, journal_number, transfer_id, account_number, currency)
      values (1, 2, 5, 305, 2, '${REFUSED}', 'BOB', 'EUR')`,
    rule: /^1: a completed transfer that moves money has two entries/,
  },
  {
    plant: `update transfers set amount = amount + 1 where id = '${PAYMENT}'`,
    rule: /^1: the entries a transfer names take its amount/,
  },
  {
    plant: `update transfers set from_entry_number = 1 where id = '${PAYMENT}'`,
    rule: /^1: the entries a transfer names take its amount/,
  },
  {
    plant: `update transfers set from_account = to_account, to_account = from_account where id = '${PAYMENT}'`,
    rule: /^1: the entries a transfer names take its amount/,
  },
  {
    plant: `update entries set currency = 'USD' where account_number = 'BOB'`,
    rule: /^1: the entries a transfer names take its amount/,
  },
  {
    plant: `update entries set transfer_id = '${UNKNOWN}' where account_number = 'BOB'`,
    rule: /^1: every entry belongs to a transfer/,
  },
  { plant: `delete from accounts where account_number = 'BOB'`, rule: /^2: every entry belongs to an account/ },
  {
    plant: `update accounts set balance = balance + 1 where account_number = 'ANN'`,
    rule: /^2: an account's balance is the sum/,
  },
  {
    plant: `update entries set balance = balance + 1 where account_number = 'BOB'`,
    rule: /^2: an account's balance is the running balance of its last entry/,
  },
  {
    plant: `update accounts set balance = 1 where account_number = 'EVE'`,
    rule: /^2: an account's balance is the running balance of its last entry/,
  },
  {
    plant: `update accounts set entry_count = 3 where account_number = 'ANN'`,
    rule: /^2: an account counts its entries/,
  },
  {
    plant: `update entries set entry_number = 3 where account_number = 'ANN' and entry_number = 2`,
    rule: /^2: entry numbers are/,
  },
  {
    plant: `update entries set balance = balance + 1 where account_number = 'ANN' and entry_number = 1`,
    rule: /^2: a running balance is the one before it/,
  },
  {
    plant: `
      alter table accounts drop constraint accounts_no_overdraft;
      update accounts set balance = -1 where account_number = 'EVE'`,
    rule: /^3: no account is overdrawn/,
  },
  {
    plant: `update entries set balance = -1 where account_number = 'ANN' and entry_number = 1`,
    rule: /^3: no account was ever overdrawn/,
  },
  { plant: `update accounts set held = 1 where account_number = 'ANN'`, rule: /^3: what is held is the sum/ },
  {
    plant: `
      insert into holds (ledger_id, id, amount, from_account, to_account, currency, created_at)
      values (1, '${UNKNOWN}', 5, 'ANN', 'BOB', 'EUR', now())`,
    rule: /^3: a hold is what its transfer ordered/,
  },
  {
    plant: `insert into reversed_amounts (ledger_id, transfer_id, amount, reversed) values (1, '${PAYMENT}', 300, 1)`,
    rule: /^3: what was reversed/,
  },
  {
    plant: `update transfers set group_id = '${UNKNOWN}', atomic = true where journal_number = 2`,
    rule: /^3: an atomic group settles all or none/,
  },
  { plant: `delete from pending_transfers`, rule: /^4: every accepted transfer is there/ },
  { plant: `delete from pending_transfers`, rule: /^5: the transfer that an idempotency key names is there/ },
  {
    plant: `
      alter table transfers drop constraint transfers_pkey;
      drop index transfers_journal;
      insert into transfers select * from transfers where id = '${REFUSED}'`,
    rule: /^5: a transfer is settled once/,
  },
  {
    plant: `update pending_transfers set id = '${PAYMENT}'`,
    rule: /^5: what is settled is no longer pending/,
  },
  {
    plant: `
      alter table idempotency_keys drop constraint idempotency_keys_pkey;
      insert into idempotency_keys select * from idempotency_keys`,
    rule: /^5: an idempotency key names one transfer/,
  },
  {
    plant: `
      alter table transfers drop constraint transfers_status_explained;
      update transfers set failure_code = null where id = '${REFUSED}'`,
    rule: /^6: a settled transfer is completed without a failure code, or failed with one/,
  },
  {
    plant: `
      alter table transfers drop constraint transfers_status_known;
      alter table transfers drop constraint transfers_status_explained;
      update transfers set status = 'pending' where id = '${REFUSED}'`,
    rule: /^6: a settled transfer is completed without a failure code, or failed with one/,
  },
  { plant: `drop trigger entries_append_only on entries`, rule: /^6: the database refuses every change/ },
  { plant: `alter table journal disable trigger all`, rule: /^6: the database refuses every change/ },
  { plant: `drop trigger transfers_not_truncated on transfers`, rule: /^6: the database refuses every change/ },
  {
    plant: `
      drop trigger transfers_append_only on transfers;
      create trigger transfers_append_only before update on transfers
      for each row execute function refuse_change()`,
    rule: /^6: the database refuses every change/,
  },
  { plant: `update journal set number = 99 where number = 2`, rule: /^7: journal numbers are/ },
  { plant: `delete from journal where number = 1`, rule: /^7: journal numbers are/ },
  {
    plant: `update journal set hash = sha256('forged') where number = 1`,
    rule: /^7: a journal row carries the hash of the one before it/,
  },
  {
    plant: `update journal set previous_hash = sha256('forged') where number = 1`,
    rule: /^7: a journal row carries the hash of the one before it/,
  },
  {
    plant: `update journal set settled_at = '2026-01-01T00:00:00Z' where number = 2`,
    rule: /^7: time does not run backwards/,
  },
  {
    plant: `delete from account_changes where journal_number = 6; delete from journal where number = 6`,
    rule: /^7: the head of the journal/,
  },
  { plant: `delete from journal_head`, rule: /^7: the head of the journal/ },
  {
    plant: `update transfers set completed_at = completed_at + interval '1 microsecond' where id = '${PAYMENT}'`,
    rule: /^7: every transfer stands in the journal/,
  },
  {
    plant: `update transfers set journal_number = 9 where id = '${PAYMENT}'`,
    rule: /^7: every transfer stands in the journal/,
  },
  { plant: `delete from transfers where id = '${REFUSED}'`, rule: /^7: a journal row counts its transfers/ },
  {
    plant: `update transfers set journal_position = 3 where id = '${REFUSED}'`,
    rule: /^7: positions in a journal row are/,
  },
  {
    plant: `update entries set journal_number = 1 where account_number = 'BOB'`,
    rule: /^7: an entry stands in the journal row of its transfer/,
  },
  {
    plant: `update entries set journal_number = 9 where account_number = 'ANN' and entry_number = 1`,
    rule: /^7: an account's entries follow each other/,
  },
  ...[
    `from_account = 'EVE'`,
    `amount = 301`,
    `request_id = 'forged'`,
    `description = null`,
    `metadata = '{"order": 8}'`,
    `created_at = created_at + interval '1 microsecond'`,
  ].map((change) => ({
    plant: `update transfers set ${change} where id = '${PAYMENT}'`,
    rule: /^7: the digest of a journal row covers/,
  })),
  {
    plant: `update transfers set failure_code = 'forged' where id = '${REFUSED}'`,
    rule: /^7: the digest of a journal row covers/,
  },
  {
    plant: `
      update transfers set journal_position = 3 where id = '${PAYMENT}';
      update transfers set journal_position = 1 where id = '${REFUSED}';
      update transfers set journal_position = 2 where id = '${PAYMENT}'`,
    rule: /^7: the digest of a journal row covers/,
  },
  ...[`kind = 'hold'`, `group_position = 1`, `expires_in = 1`, `if_from_entry_number = 1`, `atomic = false`].map(
    (change) => ({
      plant: `
      alter table transfers drop constraint transfers_status_explained;
      update transfers set ${change} where id = '${PAYMENT}'`,
      rule: /^7: the digest of a journal row covers/,
    }),
  ),
  ...[`name = 'Anna'`, `email = 'a@b.c'`, `overdraft_limit = 1`, `metadata = '{"a": "b"}'`, `status = 'frozen'`].map(
    (change) => ({
      plant: `update accounts set ${change} where account_number = 'ANN'`,
      rule: /^7: an account is what its last change sealed/,
    }),
  ),
  { plant: `delete from accounts where account_number = 'EVE'`, rule: /^7: an account is what its last change sealed/ },
  {
    plant: `insert into accounts (ledger_id, account_number, currency, name) values (1, 'MAL', 'EUR', 'Mallory')`,
    rule: /^7: an account is what its last change sealed/,
  },
  {
    plant: `update account_changes set change_number = 2 where account_number = 'ANN'`,
    rule: /^7: the changes of an account are numbered/,
  },
  {
    plant: `update journal set change_count = 1 where number = 2`,
    rule: /^7: a journal row counts its account changes/,
  },
  {
    plant: `update ledgers set name = 'other'`,
    rule: /^7: the hash of a journal row covers/,
  },
  {
    plant: `update journal_head set previous_hash = sha256('forged')`,
    rule: /^7: the head of the journal/,
  },
  {
    plant: `update journal set digest = sha256('forged') where number = 2`,
    rule: /^7: the hash of a journal row covers/,
  },
  {
    plant: `update journal set settled_at = settled_at + interval '1 microsecond' where number = 1`,
    rule: /^7: the hash of a journal row covers/,
  },
];

for (const { plant, rule } of violations) {
  test(`promises: found: ${plant.replaceAll(/\s+/g, ' ').trim()}`, async () => {
    const found = await inRolledBackTransaction(async () => {
      // Switches off the triggers that refuse changes, for this transaction only.
      await client.query('set local session_replication_role = replica');
      await client.query(plant);
      return findViolations(client, { accepted: [DEPOSIT, PAYMENT, REFUSED, WAITING] });
    });
    assert.ok(
      found.some((violation) => rule.test(`${violation.promise}: ${violation.rule}`)),
      `It should be among ${JSON.stringify(found.map((violation) => violation.rule))}`,
    );
    assert.deepEqual(await findViolations(client), [], 'The ledger is as it was before.');
  });
}

test('promises: all violations are reported together', async (t) => {
  const broken = await createDatabase(t);
  await writeLedger(broken);
  await broken.query(`update accounts set balance = balance + 1 where account_number = 'ANN'`);
  await assert.rejects(checkPromises(broken, { nothingPending: true }), (error: Error) => {
    assert.match(error.message, /promise 1: the balances of a currency sum to zero: broken 1 times, such as\n.*EUR/);
    assert.match(error.message, /promise 2: an account's balance is the sum of its entries/);
    assert.match(error.message, /promise 4: nothing is pending/);
    assert.doesNotMatch(error.message, /promise 7/);
    return true;
  });
});

test('promises: 50,000 transfers are checked within seconds', async (t) => {
  const large = await createDatabase(t);
  await writeManyTransfers(large, 50_000);
  const start = performance.now();
  await checkPromises(large, { nothingPending: true });
  const elapsedMs = performance.now() - start;
  t.diagnostic(`${Math.round(elapsedMs)} ms`);
  assert.ok(elapsedMs < 20_000, `It took ${elapsedMs} ms.`);
});

test('database: the service is given a role that owns the tables and is no superuser', async () => {
  const rows = await database.query(`
    select rolsuper, tableowner
    from pg_roles join pg_tables on tableowner = rolname
    where tablename = 'transfers'`);
  assert.equal(rows.length, 1);
  assert.equal(rows[0]?.['rolsuper'], false);
  assert.match(database.url, /^postgresql:\/\//);
});

test('database: a socket is named in the query of a URL', () => {
  const settings = { host: '/tmp/a folder/socket', port: 5432, user: 'gopherpay', database: 'books' };
  const url = renderDatabaseUrl(settings);
  assert.equal(url, 'postgresql://gopherpay@localhost:5432/books?host=%2Ftmp%2Fa+folder%2Fsocket');
});

test('server: a crash breaks every connection and loses nothing that was committed', async (t) => {
  const own = await startServer(
    parseServerKind(process.env['TEST_DATABASE']),
    process.env['TEST_POSTGRES_IMAGE'] ?? 'postgres:18',
  );
  onEnd(t, () => own.stop());
  const books = await createDatabase(t, own);
  const connection = await books.connect();
  await books.query(`insert into accounts (ledger_id, account_number, currency, name) values (1, 'ANN', 'EUR', 'Ann')`);
  const broken = new Promise<void>((resolve) => {
    connection.once('end', resolve);
  });
  await own.crash();
  // The server breaks one connection after the other: the one that saw the crash may be told before this one is.
  await broken;
  await assert.rejects(connection.query('select 1'));
  const names = await until(() => books.query('select name from accounts').catch(() => null), { what: 'its recovery' });
  assert.deepEqual(names, [{ name: 'Ann' }]);
});

test('service: what a process is given, prints and leaves behind', async (t) => {
  const books = await createDatabase(t);
  const service = await startService(t, { database: books, env: { LOG_LEVEL: 'debug' } });
  await request(service, 'POST', '/accounts', { account_number: 'ANN', name: 'Ann', currency: 'EUR', balance: 1000 });
  await request(service, 'POST', '/accounts', { account_number: 'BOB', name: 'Bob', currency: 'EUR' });
  const accepted = await request(service, 'POST', '/transfers', {
    from_account: 'ANN',
    to_account: 'BOB',
    amount: 300,
  });
  assert.equal(accepted.status, 202, accepted.text);
  const id = String(accepted.body['id']);
  assert.equal((await awaitFinal(service, id))['status'], 'completed');
  assert.deepEqual(await service.stop(), { code: 0, signal: null });
  assert.ok(service.logs().length > 0, 'Its log is JSON.');
  await checkPromises(books, { accepted: [id], nothingPending: true });
});

test('service: a start that fails is reported with what it printed', async (t) => {
  await assert.rejects(
    startService(t, { env: { THREADS: 'many' } }),
    /^Error: The service ended before it was ready\. It printed:\n.*THREADS/,
  );
});

test('until: gives up with a sentence that names what was awaited', async () => {
  let asked = 0;
  assert.equal(await until(() => (++asked === 3 ? 'an answer' : undefined), { what: 'an answer' }), 'an answer');
  await assert.rejects(
    until(() => false, { timeoutMs: 30, what: 'a balance of 7' }),
    { message: 'Waited 30 ms in vain for a balance of 7.' },
  );
});

async function inRolledBackTransaction<Result>(work: () => Promise<Result>): Promise<Result> {
  await client.query('begin');
  try {
    return await work();
  } finally {
    await client.query('rollback');
  }
}

/** ANN is given 1000 from outside; she pays 300 to BOB; BOB's payment of 900 to ANN is refused; one more order waits. */
async function writeLedger({ query }: TestDatabase): Promise<void> {
  const first = { settledAt: '2026-11-22T10:00:00.000001Z', micros: '1795341600000001' };
  const second = { settledAt: '2026-11-22T10:00:00.500000Z', micros: '1795341600500000' };
  const createdAt = '2026-11-22T09:59:59.999999Z';
  const createdMicros = '1795341599999999';
  await query(`
    insert into accounts (ledger_id, account_number, currency, name, balance, entry_count) values
      (1, '@external', 'EUR', 'outside', -1000, 1),
      (1, 'ANN', 'EUR', 'Ann', 700, 2),
      (1, 'BOB', 'EUR', 'Bob', 300, 1),
      (1, 'EVE', 'EUR', 'Eve', 0, 0)`);
  await query(`
    insert into transfers (
      ledger_id, id, from_account, to_account, amount, currency, status, failure_code, request_id, description, metadata,
      created_at, completed_at, journal_number, journal_position, from_entry_number, to_entry_number, kind
    ) values
      (
        1, '${DEPOSIT}', '@external', 'ANN', 1000, 'EUR', 'completed', null, null, null, null,
        '${createdAt}', '${first.settledAt}', 1, 1, 1, 1, 'transfer'
      ),
      (
        1, '${PAYMENT}', 'ANN', 'BOB', 300, 'EUR', 'completed', null, 'request-2', 'Käse & Brot 🧀', '{"order":  7}',
        '${createdAt}', '${second.settledAt}', 2, 1, 2, 1, 'transfer'
      ),
      (
        1, '${REFUSED}', 'BOB', 'ANN', 900, 'EUR', 'failed', 'insufficient_funds', null, null, null,
        '${createdAt}', '${second.settledAt}', 2, 2, null, null, 'transfer'
      )`);
  await query(`
    insert into entries (ledger_id, account_number, currency, entry_number, amount, balance, journal_number, transfer_id) values
      (1, '@external', 'EUR', 1, -1000, -1000, 1, '${DEPOSIT}'),
      (1, 'ANN', 'EUR', 1, 1000, 1000, 1, '${DEPOSIT}'),
      (1, 'ANN', 'EUR', 2, -300, 700, 2, '${PAYMENT}'),
      (1, 'BOB', 'EUR', 1, 300, 300, 2, '${PAYMENT}')`);
  await query(`
    insert into pending_transfers (ledger_id, id, lease_id, from_account, to_account, amount)
    values (1, '${WAITING}', '${UNKNOWN}', 'ANN', 'BOB', 1)`);
  await query(`
    insert into idempotency_keys (ledger_id, key, transfer_id, fingerprint)
    values (1, 'refused', '${REFUSED}', sha256('body')), (1, 'waiting', '${WAITING}', sha256('body'))`);

  const described = ['request-2', 'Käse & Brot 🧀', '{"order": 7}'];
  const firstDigest = digest([
    [
      DEPOSIT,
      '@external',
      'ANN',
      '1000',
      'EUR',
      'completed',
      '',
      '',
      '',
      '',
      createdMicros,
      '1',
      '-1000',
      '1',
      '1000',
      ...PLAIN,
    ],
  ]);
  const firstHash = hash(Buffer.alloc(32), `main|1|${first.micros}|1|0`, firstDigest);
  const secondDigest = digest([
    [
      PAYMENT,
      'ANN',
      'BOB',
      '300',
      'EUR',
      'completed',
      '',
      ...described,
      createdMicros,
      '2',
      '700',
      '1',
      '300',
      ...PLAIN,
    ],
    [
      REFUSED,
      'BOB',
      'ANN',
      '900',
      'EUR',
      'failed',
      'insufficient_funds',
      '',
      '',
      '',
      createdMicros,
      '',
      '',
      '',
      '',
      ...PLAIN,
    ],
  ]);
  const secondHash = hash(firstHash, `main|2|${second.micros}|2|0`, secondDigest);
  await query(
    `
    insert into journal (
      ledger_id, number, settled_at, transfer_count, intake_count, change_count, digest, previous_hash, hash
    ) values
      (1, 1, '${first.settledAt}', 1, 1, 0, $1, decode(repeat('00', 32), 'hex'), $2),
      (1, 2, '${second.settledAt}', 2, 1, 0, $3, $2, $4)`,
    [firstDigest, firstHash, secondDigest, secondHash],
  );
  await query('update journal_head set number = 2, settled_at = $1, previous_hash = $2, hash = $3', [
    second.settledAt,
    firstHash,
    secondHash,
  ]);
  await sealAccounts(query);
}

/** Seals every account as the service does when it opens one, with the schema's own function for the seal. */
async function sealAccounts(query: TestDatabase['query']): Promise<void> {
  const accounts = await query(`
    select account_number, currency, encode(account_seal(accounts), 'hex') as seal from accounts order by account_number`);
  for (const { account_number: number, currency, seal } of accounts) {
    const sealed = digest([[String(number), String(currency), '1', String(seal)]]);
    await query(
      `
      with advanced as (
        update journal_head set number = number + 1, previous_hash = hash,
          hash = sha256(
            hash
            || convert_to('main|' || (number + 1) || '|' || (extract(epoch from settled_at) * 1000000)::bigint || '|0|1', 'UTF8')
            || $1
          )
        returning *
      ), journaled as (
        insert into journal (
          ledger_id, number, settled_at, transfer_count, intake_count, change_count, digest, previous_hash, hash
        )
        select ledger_id, number, settled_at, 0, 0, 1, $1, previous_hash, hash from advanced
      )
      insert into account_changes (ledger_id, change_number, journal_number, account_number, currency, seal)
      select ledger_id, 1, number, $2, $3, decode($4, 'hex') from advanced`,
      [sealed, number, currency, seal],
    );
  }
}

/** `count` deposits to ANN in one journal row: what the checker's speed is measured on. */
async function writeManyTransfers({ query }: TestDatabase, count: number): Promise<void> {
  const settledAt = '2026-11-22T10:00:00.000000Z';
  const micros = '1795341600000000';
  const ids = Array.from({ length: count }, (_, index) => `0192f0c4-0000-7000-8000-${String(index).padStart(12, '0')}`);
  await query(
    `
    insert into transfers (
      ledger_id, id, from_account, to_account, amount, currency, status, created_at, completed_at, journal_number,
      journal_position, from_entry_number, to_entry_number, kind
    )
    select 1, id, '@external', 'ANN', 1, 'EUR', 'completed', '${settledAt}', '${settledAt}', 1, n, n, n, 'transfer'
    from unnest($1::uuid[]) with ordinality as orders (id, n)`,
    [ids],
  );
  await query(
    `
    insert into entries (ledger_id, account_number, currency, entry_number, amount, balance, journal_number, transfer_id)
    select 1, account_number, 'EUR', n, amount, amount * n, 1, id
    from unnest($1::uuid[]) with ordinality as orders (id, n), (values ('@external', -1), ('ANN', 1)) as sides (account_number, amount)`,
    [ids],
  );
  await query(
    `
    insert into accounts (ledger_id, account_number, currency, name, balance, entry_count)
    values (1, '@external', 'EUR', 'outside', -$1::bigint, $1::bigint), (1, 'ANN', 'EUR', 'Ann', $1::bigint, $1::bigint)`,
    [count],
  );
  const all = digest(
    ids.map((id, index) => {
      const number = String(index + 1);
      const entries = [number, `-${number}`, number, number];
      return [id, '@external', 'ANN', '1', 'EUR', 'completed', '', '', '', '', micros, ...entries, ...PLAIN];
    }),
  );
  const only = hash(Buffer.alloc(32), `main|1|${micros}|${count}|0`, all);
  await query(
    `
    insert into journal (
      ledger_id, number, settled_at, transfer_count, intake_count, change_count, digest, previous_hash, hash
    )
    values (1, 1, '${settledAt}', $1, $1, 0, $2, decode(repeat('00', 32), 'hex'), $3)`,
    [count, all, only],
  );
  await query('update journal_head set number = 1, settled_at = $1, hash = $2', [settledAt, only]);
  await sealAccounts(query);
}

function digest(records: string[][]): Buffer {
  const text = records.map((fields) => `${fields.join('\u001F')}\u001E`).join('');
  return createHash('sha256').update(text, 'utf8').digest();
}

function hash(previousHash: Buffer, row: string, rowDigest: Buffer): Buffer {
  return createHash('sha256').update(previousHash).update(row, 'utf8').update(rowDigest).digest();
}
