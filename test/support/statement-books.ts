// Books with a past, for the tests of statements: the service makes them now, and the superuser then moves them back in
// time, journal and transfers alike. That breaks the hashes of this one database, and nothing else.
import assert from 'node:assert/strict';
import { z } from 'zod';
import type { TestDatabase } from './database.ts';
import { request, type Service } from './service.ts';

const statementEntry = z.strictObject({
  entry_number: z.int(),
  settled_at: z.iso.datetime(),
  transfer_id: z.uuid(),
  kind: z.string(),
  counterparty: z.string(),
  description: z.string().nullable(),
  amount: z.int(),
  balance: z.int(),
});

export const statementSchema = z.strictObject({
  object: z.literal('statement'),
  account_number: z.string(),
  name: z.string(),
  currency: z.string(),
  month: z.string(),
  begins: z.iso.datetime(),
  ends: z.iso.datetime(),
  final: z.boolean(),
  entry_count: z.int(),
  first_entry_number: z.int().nullable(),
  last_entry_number: z.int().nullable(),
  opening_balance: z.int(),
  total_in: z.int(),
  total_out: z.int(),
  entries: z.array(statementEntry),
  closing_balance: z.int(),
});

export type Statement = z.infer<typeof statementSchema>;

/** Description that no program should take for anything else. */
export const HOSTILE = `=cmd|'/C calc'!A0 <script>alert("1")</script> & "co"`;

/** The history of ANN, in this order; transfers without an instant settle now. */
const HISTORY = [
  { to: 'ANN', amount: 500, description: 'before', at: '2024-12-31T23:59:59.999999Z' },
  { to: 'ANN', amount: 12_345, description: 'first', at: '2025-01-01T00:00:00Z' },
  { to: 'BOB', amount: 2000, description: HOSTILE, at: '2025-01-15T12:34:56.5Z' },
  { to: '-SHOP', amount: 45, description: null, at: '2025-01-31T23:59:59.999999Z' },
  { to: 'ANN', amount: 100, description: 'february', at: '2025-02-01T00:00:00Z' },
  { to: 'BOB', amount: 700, description: 'april', at: '2025-04-10T00:00:00Z' },
  { to: 'BOB', amount: 1, description: 'now', at: null },
] as const;

/** Opens ANN, BOB and -SHOP, and gives them HISTORY. */
export async function makeBooks(service: Service, database: TestDatabase): Promise<void> {
  await openAccount(service, { account_number: 'ANN', name: 'Ann <b>O\u2019Neil</b>' });
  await openAccount(service, { account_number: 'BOB' });
  await openAccount(service, { account_number: '-SHOP' });
  await openAccount(service, { account_number: 'YUKI', currency: 'JPY', balance: 1_234_567 });
  const [opened] = await database.query<{ number: bigint }>('select number from journal_ends');
  await moveBack(database, 1, Number(opened?.number), '2024-11-05T00:00:00Z');
  for (const { to, amount, description, at } of HISTORY) {
    const order = { from_account: to === 'ANN' ? '@external' : 'ANN', to_account: to, amount, description };
    const number = await pay(service, order);
    if (at !== null) await moveBack(database, number, number, at);
  }
}

export async function openAccount(service: Service, account: Record<string, unknown>): Promise<void> {
  const answer = await request(service, 'POST', '/accounts', { name: 'Ada', ...account });
  assert.equal(answer.status, 201, answer.text);
}

/** Orders a transfer, and returns the number of the journal row that settled it. */
export async function pay(service: Service, order: Record<string, unknown>): Promise<number> {
  const answer = await request(service, 'POST', '/transfers', order, { prefer: 'wait=10' });
  assert.equal(answer.body['status'], 'completed', answer.text);
  return Number(answer.body['journal_number']);
}

/** Makes rows of the journal, and the transfers they cover, look as if they had been settled at another time. */
export async function moveBack(database: TestDatabase, first: number, last: number, at: string): Promise<void> {
  const connection = await database.connect();
  await connection.query(`begin; set local session_replication_role = replica`);
  await connection.query(
    'update journal set settled_at = $3::timestamptz where number between $1::bigint and $2::bigint',
    [first, last, at],
  );
  await connection.query(
    `update transfers set created_at = $3::timestamptz - interval '1 ms', completed_at = $3::timestamptz
     where journal_number between $1::bigint and $2::bigint`,
    [first, last, at],
  );
  await connection.query('commit');
}

/** The statement as JSON. */
export async function readStatement(service: Service, account: string, month: string): Promise<Statement> {
  const answer = await request(service, 'GET', `/accounts/${account}/statements/${month}`);
  assert.equal(answer.status, 200, answer.text);
  return statementSchema.parse(answer.body);
}
