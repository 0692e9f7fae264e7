// A process that replaces pgbench: the same statements, prepared, from several connections of node-postgres. It prints
// how many transfers it committed in the measured seconds, and the mean milliseconds of one.
import { parseArgs } from 'node:util';
import { connect, type Connection, READING_TIMEOUTS } from '../src/db/connection/connect.ts';

const { values } = parseArgs({
  strict: true,
  options: {
    host: { type: 'string', default: '' },
    port: { type: 'string', default: '5432' },
    user: { type: 'string', default: '' },
    database: { type: 'string', default: '' },
    clients: { type: 'string', default: '10' },
    accounts: { type: 'string', default: '10000' },
    'warm-up': { type: 'string', default: '2' },
    seconds: { type: 'string', default: '8' },
  },
});
const { host, user, database } = values;
const accounts = Number(values.accounts);
const from = performance.now() + Number(values['warm-up']) * 1000;
const to = from + Number(values.seconds) * 1000;
let [transfers, milliseconds] = [0, 0];

await Promise.all(Array.from({ length: Number(values.clients) }, runClient));
process.stdout.write(`${transfers} ${milliseconds / transfers}\n`);

async function runClient(): Promise<void> {
  const connection = await connect({ host, port: Number(values.port), user, database }, READING_TIMEOUTS, {
    applicationName: 'naive',
  });
  while (performance.now() < to) {
    const startedAt = performance.now();
    await transfer(connection);
    const endedAt = performance.now();
    if (startedAt < from || endedAt >= to) continue;
    transfers += 1;
    milliseconds += endedAt - startedAt;
  }
  await connection.end();
}

async function transfer(connection: Connection): Promise<void> {
  const source = 1 + Math.floor(Math.random() * accounts);
  const destination = 1 + ((source + Math.floor(Math.random() * (accounts - 1))) % accounts);
  const amount = 1 + Math.floor(Math.random() * 100);
  const run = async (name: string, text: string, values: unknown[]) => await connection.query({ name, text, values });
  await run('begin', 'begin', []);
  await run('lock', 'select id, balance from accounts where id in ($1, $2) order by id for update', [
    source,
    destination,
  ]);
  await run('take', 'update accounts set balance = balance - $1 where id = $2', [amount, source]);
  await run('give', 'update accounts set balance = balance + $1 where id = $2', [amount, destination]);
  await run('note', 'insert into transfers (from_id, to_id, amount) values ($1, $2, $3)', [
    source,
    destination,
    amount,
  ]);
  await run('commit', 'commit', []);
}
