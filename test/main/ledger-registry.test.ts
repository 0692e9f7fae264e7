// The registry of ledgers: its cache, its lookups, and the lookups that it avoids.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseConfig } from '../../src/config.ts';
import { type ConnectionPool, createPool } from '../../src/db/connection/connect.ts';
import { MAIN_LEDGER } from '../../src/domain/ledger.ts';
import { refuseBetweenLedgers } from '../../src/main/api/between-ledgers.ts';
import { LedgerRegistry } from '../../src/main/api/ledgers.ts';
import { ANYBODY } from '../../src/main/api/permissions.ts';
import { Problem } from '../../src/main/http/problem.ts';
import { onEnd } from '../support/cleanup.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';

let database: TestDatabase;
let pool: ConnectionPool;
/** How many statements were sent. */
let asked = 0;

before(async (t) => {
  database = await createDatabase(t);
  pool = createPool(database.settings, parseConfig({}).databaseTimeouts, 2);
  onEnd(t, async () => await pool.end());
  pool.on('acquire', () => {
    asked += 1;
  });
  await create('shop', 2);
});

async function create(name: string, id: number): Promise<void> {
  await database.query('insert into ledgers (id, name) values ($1, $2)', [id, name]);
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  return await work.then(
    () => 'found',
    (error: unknown) => {
      if (error instanceof Problem) return error.code;
      throw error;
    },
  );
}

async function statementsOf(work: () => Promise<unknown>): Promise<number> {
  const before = asked;
  await work();
  return asked - before;
}

test('registry: main is known without the database', async () => {
  const registry = new LedgerRegistry(pool);
  assert.equal(await statementsOf(async () => assert.equal(await registry.find('main'), MAIN_LEDGER)), 0);
  assert.equal(registry.recall('main'), MAIN_LEDGER);
});

test('registry: a found ledger is cached', async () => {
  const registry = new LedgerRegistry(pool);
  assert.equal(registry.recall('shop'), undefined);
  assert.equal(
    await statementsOf(async () => assert.deepEqual(await registry.find('shop'), { id: 2, name: 'shop' })),
    1,
  );
  assert.equal(await statementsOf(async () => await registry.find('shop')), 0);
  assert.deepEqual(registry.recall('shop'), { id: 2, name: 'shop' });
});

test('registry: an invalid name is not looked up', async () => {
  const registry = new LedgerRegistry(pool);
  for (const name of ['', 'Shop', '-shop', '_shop', 'a'.repeat(64), 'a/b', 'shop ', 'ä', 'a.b', 'sh\0p']) {
    assert.equal(
      await statementsOf(async () => assert.equal(await codeOf(registry.find(name)), 'ledger_not_found')),
      0,
    );
  }
});

test('registry: names requested at the same time are looked up together', async () => {
  const registry = new LedgerRegistry(pool);
  const names = Array.from({ length: 900 }, (_, index) => `none-${index}`);
  const statements = await statementsOf(async () => {
    const codes = await Promise.all(
      [...names, ...names, 'shop'].map(async (name) => await codeOf(registry.find(name))),
    );
    assert.equal(codes.filter((code) => code === 'ledger_not_found').length, 1800);
    assert.equal(codes.at(-1), 'found');
  });
  assert.ok(statements <= 2, `${statements} statements`);
});

test('registry: more names than may wait are refused, and are found later', async () => {
  const registry = new LedgerRegistry(pool);
  const names = Array.from({ length: 3000 }, (_, index) => `many-${index}`);
  const codes = await Promise.all(names.map(async (name) => await codeOf(registry.find(name))));
  assert.ok(codes.filter((code) => code === 'too_busy').length > 0);
  assert.equal(await codeOf(registry.find('shop')), 'found');
});

test('registry: an unknown name is not looked up again within a second, and is found after that', async () => {
  const registry = new LedgerRegistry(pool);
  assert.equal(await codeOf(registry.find('later')), 'ledger_not_found');
  await create('later', 3);
  assert.equal(
    await statementsOf(async () => assert.equal(await codeOf(registry.find('later')), 'ledger_not_found')),
    0,
  );
  await sleep(1100);
  assert.deepEqual(await registry.find('later'), { id: 3, name: 'later' });
});

test('registry: a ledger that was just created is found at once', async () => {
  const registry = new LedgerRegistry(pool);
  assert.equal(await codeOf(registry.find('fresh')), 'ledger_not_found');
  registry.remember({ id: 4, name: 'fresh' });
  assert.deepEqual(await registry.find('fresh'), { id: 4, name: 'fresh' });
});

test('registry: the cache is bounded, and evicted ledgers are looked up again', async () => {
  const registry = new LedgerRegistry(pool, { knownMax: 2 });
  await registry.find('shop');
  registry.remember({ id: 5, name: 'b' });
  registry.remember({ id: 6, name: 'c' });
  assert.equal(registry.recall('shop'), undefined);
  assert.equal(
    await statementsOf(async () => assert.deepEqual(await registry.find('shop'), { id: 2, name: 'shop' })),
    1,
  );
});

test('registry: a failed lookup is an error for its callers, and is not cached', async () => {
  const broken = createPool(database.settings, parseConfig({}).databaseTimeouts, 1);
  const registry = new LedgerRegistry(broken);
  await broken.end();
  await assert.rejects(registry.find('shop'), /after calling end/);
  await assert.rejects(registry.find('shop'), /after calling end/);
});

test('registry: groups of transfers to invented ledgers do not keep others from being looked up', async () => {
  const registry = new LedgerRegistry(pool);
  const asked = { ledger: MAIN_LEDGER, principal: ANYBODY, query: {} };
  const orderTo = async (prefix: string) => {
    const members = Array.from({ length: 1000 }, (_, index) => ({
      from_account: 'ANN',
      to_account: 'BOB',
      to_ledger: `${prefix}-${index}`,
    }));
    const request = { members, atomic: false, pathOf: (index: number) => ['transfers', index] };
    return await codeOf(refuseBetweenLedgers(registry, asked, request));
  };
  const ordered = [orderTo('one'), orderTo('two')];
  assert.equal(await codeOf(registry.find('shop')), 'found');
  assert.deepEqual(await Promise.all(ordered), ['between_ledgers', 'between_ledgers']);
});
