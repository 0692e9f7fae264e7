// Goal: a snapshot that stays open, such as that of an audit or a dump, does not make the journal's lock slower with each
// job. Method: jobs settle while a snapshot is open, and the pages that the lock and the end of the journal read are counted.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import { EXTERNAL } from '../../src/domain/account.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { newAccount, newTransfer } from '../support/jobs.ts';
import { checkPromises } from '../support/promises/check.ts';
import { startThreads, unkeyed } from '../support/threads.ts';

const JOBS = 3000;
/** Each version of a row that is updated takes 83 bytes, so that many jobs filled more than thirty. */
const PAGES_MAX = 8;

const LOCK = 'select from journal_head where ledger_id = 1 for no key update';
const END = 'select number, hash, settled_at from journal_ends where ledger_id = 1';

const plans = z.tuple([
  z.object({
    'QUERY PLAN': z.tuple([
      z.object({ Plan: z.object({ 'Shared Hit Blocks': z.number(), 'Shared Read Blocks': z.number() }) }),
    ]),
  }),
]);

async function pagesOf({ query }: TestDatabase, statement: string): Promise<number> {
  const [explained] = plans.parse(await query(`explain (analyze, buffers, format json) ${statement}`));
  const { Plan: plan } = explained['QUERY PLAN'][0];
  return plan['Shared Hit Blocks'] + plan['Shared Read Blocks'];
}

test('settle: jobs beside an open snapshot leave no versions of the row that they lock', async (t) => {
  const database = await createDatabase(t);
  const threads = startThreads(t, database);
  const salary = newTransfer({ fromAccount: EXTERNAL, toAccount: 'ANN', amount: 1_000_000n });
  await threads.run([unkeyed([salary], [newAccount('ANN')]), unkeyed([], [newAccount('BOB')])]);
  const reader = await database.connect();
  await reader.query('begin transaction isolation level repeatable read, read only');
  await reader.query('select from journal');
  for (let job = 0; job < JOBS; job += 1) await threads.run([unkeyed([newTransfer()])]);
  for (const statement of [LOCK, END]) {
    const pages = await pagesOf(database, statement);
    assert.ok(pages <= PAGES_MAX, `${pages} pages are read by: ${statement}`);
  }
  const [size] = await database.query<{ pages: number }>(
    `select (pg_relation_size('journal_head') / current_setting('block_size')::integer)::integer as pages`,
  );
  assert.equal(size?.pages, 1);
  const [seen] = (await reader.query<{ count: number }>('select count(*)::integer as count from journal')).rows;
  assert.ok(Number(seen?.count) < 10, 'the snapshot is still that of the beginning');
  await reader.query('commit');
  await checkPromises(database);
});
