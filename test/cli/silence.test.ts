// Goal: a command that reads does not wait forever on a network that drops every byte. Method: a lock delays its
// statement until the network is silent. In another case the output is not read, which is not a silent network.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { startProxy } from '../support/proxy.ts';
import { request, startProgram, startService } from '../support/service.ts';
import { until } from '../support/until.ts';

const SILENCE_MS = 1500;
/** What a busy machine takes to end a program. */
const END_MS = 15_000;
const ENV = { DB_READING_TIMEOUT_MS: String(SILENCE_MS) };

let database: TestDatabase;

before(async (t) => {
  database = await createDatabase(t);
  const service = await startService(t, { database, env: { THREADS: '1' } });
  await request(service, 'POST', '/accounts', { account_number: 'ANN', name: 'Ann', balance: 700 });
  await service.stop();
});

const month = new Date().toISOString().slice(0, 7);
for (const args of [
  ['report', '--user=ANN', '--output=-'],
  ['statement', '--account=ANN', `--month=${month}`, '--output=-'],
  ['audit'],
]) {
  test(`silence: ${args[0]} ends when its network drops every byte`, async (t) => {
    const proxy = await startProxy(t, database);
    const holder = await database.connect();
    await holder.query('begin');
    await holder.query('lock table accounts, transfers, entries in access exclusive mode');
    const program = await startProgram(t, { database: proxy, args, env: ENV });
    await until(
      async () => {
        const waiting = await database.query(
          `select from pg_stat_activity
           where datname = current_database() and wait_event_type = 'Lock' and application_name = $1::text`,
          [`gopherpay ${args[0]}`],
        );
        return waiting.length > 0;
      },
      { what: 'the command to read' },
    );
    proxy.swallow();
    await holder.query('rollback');
    await until(() => program.ended(), { timeoutMs: END_MS, what: `${args[0]} to end` });
    assert.deepEqual(await program.exited, { code: 4, signal: null }, program.output());
    assert.match(
      program.output(),
      /^The database was silent for 1500 ms: check that .* DB_READING_TIMEOUT_MS[^\n]*\.\n$/,
    );
  });
}
