// Goal: a page of transfers of a long time reads about as much as it shows, and not all that were accepted in that time.
// Method: the plans of the statements, as they ran, count the pages of the database that they read.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { z } from 'zod';
import { connect, type Connection, disconnect, READING_TIMEOUTS } from '../../src/db/connection/connect.ts';
import { listTransfers, type TransferFilter } from '../../src/db/queries/transfer-list.ts';
import { MAIN_LEDGER } from '../../src/domain/ledger.ts';
import { onEnd } from '../support/cleanup.ts';
import { createDatabase } from '../support/database.ts';

/** Jobs of 100 transfers, one in eleven hours, over half a year. */
const JOBS = 400;
const JOB_SIZE = 100;
const LIMIT = 50;
/** A list in order reads a few pages of transfers and the descents of a few indexes. The window of a month has 150 pages. */
const PAGES_MAX = 60;

const FILL = [
  `insert into journal (
     ledger_id, number, settled_at, transfer_count, intake_count, change_count, digest, previous_hash, hash
   )
   select 1, n, timestamptz '2026-01-01T00:00:00Z' + n * interval '11 hours', ${JOB_SIZE}, 0, 0, sha256('d'), sha256('p'), sha256('h')
   from generate_series(1, ${JOBS}) as n`,
  `insert into transfers (
     ledger_id, amount, created_at, completed_at, journal_number, journal_position, id, kind, from_account, to_account, currency,
     status, from_entry_number, to_entry_number
   )
   select 1, 100 + place, settled_at - interval '5 milliseconds', settled_at, number, place, gen_random_uuid(), 'transfer', 'ANN', 'BOB',
     'USD', 'completed', ${JOB_SIZE} * number + place, ${JOB_SIZE} * number + place
   from journal, generate_series(1, ${JOB_SIZE}) as place
   order by number, place`,
  'vacuum analyze',
];

let connection: Connection;

before(async (scope) => {
  const database = await createDatabase(scope);
  for (const statement of FILL) await database.query(statement);
  connection = await connect(database.admin, READING_TIMEOUTS, { applicationName: 'test' });
  onEnd(scope, async () => await disconnect(connection));
});

const plan = z.object({ 'Shared Hit Blocks': z.number(), 'Shared Read Blocks': z.number() });
const explained = z.tuple([z.object({ 'QUERY PLAN': z.tuple([z.object({ Plan: plan })]) })]);

/** How many pages of the database the statements of a list read, and how many transfers it shows. */
async function readPage(filter: TransferFilter, newestFirst: boolean): Promise<{ pages: number; shown: number }> {
  let pages = 0;
  const explaining = new Proxy(connection, {
    get: (target, property) => {
      if (property !== 'query') return Reflect.get(target, property);
      return async (...args: unknown[]): Promise<unknown> => {
        const [text, values] = [z.string().parse(args[0]), z.array(z.unknown()).parse(args[1])];
        const { rows } = await connection.query(`explain (analyze, buffers, format json) ${text}`, values);
        const top = explained.parse(rows)[0]['QUERY PLAN'][0].Plan;
        pages += top['Shared Hit Blocks'] + top['Shared Read Blocks'];
        return await connection.query(text, values);
      };
    },
  });
  const { transfers } = await listTransfers(explaining, MAIN_LEDGER, filter, {
    limit: LIMIT,
    after: null,
    newestFirst,
  });
  return { pages, shown: transfers.length };
}

const month = { since: '2026-03-01T00:00:00Z', until: '2026-04-01T00:00:00Z' };
for (const filter of [
  month,
  { since: month.since },
  { ...month, amountMin: 110 },
  { since: month.since, kind: 'transfer' as const },
]) {
  for (const newestFirst of [true, false]) {
    test(`transfers: a page of a long time reads few pages (${JSON.stringify(filter)}, ${newestFirst ? 'newest' : 'oldest'})`, async () => {
      const { pages, shown } = await readPage(filter, newestFirst);
      assert.equal(shown, LIMIT);
      assert.ok(pages <= PAGES_MAX, `${pages} pages`);
    });
  }
}
