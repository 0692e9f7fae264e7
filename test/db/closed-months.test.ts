// Goal: a question about a closed month reads few rows, however many entries an account has. Method: the plans of the
// statements, as they ran, count the reads of each table.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { z } from 'zod';
import { connect, type Connection, disconnect, READING_TIMEOUTS } from '../../src/db/connection/connect.ts';
import { closeMonth, findNextMonth, sealMonth } from '../../src/db/ledger/closing.ts';
import { loadTrialBalance } from '../../src/db/queries/balances.ts';
import { loadBalanceAt } from '../../src/db/queries/entries.ts';
import { loadStatement } from '../../src/db/queries/statements.ts';
import { MAIN_LEDGER as MAIN } from '../../src/domain/ledger.ts';
import { onEnd } from '../support/cleanup.ts';
import { createDatabase } from '../support/database.ts';

/** One an hour, from the beginning of January on. */
const ENTRIES = 4000;
const ACCOUNTS = 20;
const ACCOUNT = { accountNumber: 'A-7', currency: 'USD' };
const END_OF_MARCH = '2026-03-31T23:59:59.999999Z';

const FILL = [
  `insert into accounts (ledger_id, account_number, currency, balance, entry_count)
   select 1, 'A-' || i, 'USD', ${ENTRIES}, ${ENTRIES} from generate_series(1, ${ACCOUNTS}) as i`,
  `insert into journal (
     ledger_id, number, settled_at, transfer_count, intake_count, change_count, digest, previous_hash, hash
   )
   select 1, n, timestamptz '2026-01-01T00:00:00Z' + (n - 1) * interval '1 hour', 1, 0, 0, sha256('d'), sha256('p'), sha256('h')
   from generate_series(1, ${ENTRIES}) as n`,
  `insert into entries (ledger_id, entry_number, amount, balance, journal_number, transfer_id, account_number, currency)
   select 1, n, 1, n, n, gen_random_uuid(), 'A-' || i, 'USD'
   from generate_series(1, ${ENTRIES}) as n, generate_series(1, ${ACCOUNTS}) as i`,
  'vacuum analyze',
];

let connection: Connection;

before(async (scope) => {
  const database = await createDatabase(scope);
  for (const statement of FILL) await database.query(statement);
  connection = await connect(database.admin, READING_TIMEOUTS, { applicationName: 'test' });
  onEnd(scope, async () => await disconnect(connection));
});

const reads = z.object({
  'Relation Name': z.string().optional(),
  'Actual Loops': z.number(),
  get Plans() {
    return z.array(reads).optional();
  },
});
type Node = z.infer<typeof reads>;
const explained = z.tuple([z.object({ 'QUERY PLAN': z.tuple([z.object({ Plan: reads })]) })]);

/** How often each table was read by the statements that `send` sends. */
async function countReads(send: (connection: Connection) => Promise<unknown>): Promise<ReadonlyMap<string, number>> {
  const counts = new Map<string, number>();
  const count = (node: Node): void => {
    const table = node['Relation Name'];
    if (table !== undefined) counts.set(table, (counts.get(table) ?? 0) + node['Actual Loops']);
    for (const child of node.Plans ?? []) count(child);
  };
  const query = z.union([
    z.object({ text: z.string(), values: z.array(z.unknown()) }),
    z.string().transform((text) => ({ text, values: null })),
  ]);
  const explaining = new Proxy(connection, {
    get: (target, property) => {
      if (property !== 'query') return Reflect.get(target, property);
      return async (...args: unknown[]): Promise<unknown> => {
        const { text, values } = query.parse(args[0]);
        const sent = values ?? z.array(z.unknown()).parse(args[1] ?? []);
        const { rows } = await connection.query(`explain (analyze, format json) ${text}`, sent);
        count(explained.parse(rows)[0]['QUERY PLAN'][0].Plan);
        return await connection.query(text, sent);
      };
    },
  });
  await send(explaining);
  return counts;
}

test('closed months: a question about one reads a seal of each account, and no entries', async () => {
  const balance = async (client: Connection) => await loadBalanceAt(client, MAIN, ACCOUNT, END_OF_MARCH);
  const trial = async (client: Connection) => await loadTrialBalance(client, MAIN, END_OF_MARCH);
  const before = [await balance(connection), await trial(connection)];
  assert.ok(((await countReads(balance)).get('entries') ?? 0) > 8, 'an open month is searched');
  for (let month = await findNextMonth(connection, MAIN); month && month.month <= '2026-04';) {
    await closeMonth(connection, MAIN, 'test', await sealMonth(connection, MAIN, month));
    month = await findNextMonth(connection, MAIN);
  }
  assert.deepEqual([await balance(connection), await trial(connection)], before);

  const ofBalance = await countReads(balance);
  assert.equal(ofBalance.get('entries') ?? 0, 0);
  assert.ok((ofBalance.get('sealed_balances') ?? 0) <= 2, JSON.stringify([...ofBalance]));

  const ofTrial = await countReads(trial);
  assert.deepEqual([ofTrial.get('accounts') ?? 0, ofTrial.get('entries') ?? 0], [0, 0]);
  assert.equal(ofTrial.get('sealed_totals'), 1);

  // The entries of the month are read once, for its totals.
  const ofStatement = await countReads(async (client) => await loadStatement(client, MAIN, ACCOUNT, '2026-03'));
  assert.equal(ofStatement.get('entries'), 1);
});

test('closed months: a question about an instant within one searches the entries of that month', async () => {
  const instant = '2026-02-10T12:30:00Z';
  const reading = await countReads(async (client) => await loadBalanceAt(client, MAIN, ACCOUNT, instant));
  // A month has 672 entries or more: ten probes, and the entry itself.
  assert.ok((reading.get('entries') ?? 0) <= 12, JSON.stringify([...reading]));
});
