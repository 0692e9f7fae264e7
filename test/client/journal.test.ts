// The client on a real ledger: it follows the journal with a key for one ledger, resumes where it was, and detects a
// journal that was rewritten in the database.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ChainError, GopherPay, isProblem, type Position } from '../../clients/typescript/src/index.ts';
import { createDatabase } from '../support/database.ts';
import { makeKey } from '../support/keys.ts';
import { startService } from '../support/service.ts';

const LEDGER = 'shop';

/** Reads events from a position until the journal has this number. */
async function readUntil(client: GopherPay, number: number, after: Position | number): Promise<Position> {
  for await (const event of client.events.follow({ after })) if (event.journal_number === number) return event;
  throw new Error('The feed has ended.');
}

test('client: a rewritten journal is detected by a reader that has its position', async (t) => {
  const database = await createDatabase(t);
  const key = await makeKey(database);
  const service = await startService(t, { database });
  const clientOf = ({ url }: { url: string }) => new GopherPay({ baseUrl: url, key: key.text, ledger: LEDGER });
  const client = clientOf(service);
  await client.ledgers.create({ name: LEDGER });
  for (const number of ['A', 'B', 'C']) await client.accounts.create({ account_number: number, name: number });
  const last = await readUntil(client, 2, 0);
  await readUntil(client, 3, last);

  // As the owner of the database could do it: the chain is whole again, from the second row on.
  const owner = await database.connect();
  await owner.query('begin');
  await owner.query('set local session_replication_role = replica');
  const inShop = `ledger_id = (select id from ledgers where name = '${LEDGER}')`;
  await owner.query(`update journal set hash = sha256('other') where number = 2 and ${inShop}`);
  await owner.query(`update journal set previous_hash = sha256('other') where number = 3 and ${inShop}`);
  await owner.query('commit');

  // The service keeps pages of the feed for a moment; another process has none.
  await service.stop();
  const later = clientOf(await startService(t, { database }));
  await readUntil(later, 3, 0);
  await assert.rejects(
    readUntil(later, 3, last),
    (error) => error instanceof ChainError && error.journalNumber === 3 && error.message.includes(last.hash),
  );
});

test('client: a reader that is ahead of the journal is refused, and does not wait', async (t) => {
  const service = await startService(t, { database: await createDatabase(t) });
  const client = new GopherPay({ baseUrl: service.url });
  await assert.rejects(readUntil(client, 9, 8), (error) => isProblem(error, 'invalid_request'));
});

test('client: a reader with a filter receives what passes it, and resumes behind the rows that it skipped', async (t) => {
  const service = await startService(t, { database: await createDatabase(t) });
  const client = new GopherPay({ baseUrl: service.url });
  for (const number of ['A', 'B', 'C']) {
    await client.accounts.create({ account_number: number, name: number, balance: 100 });
  }
  const transfer = { from_account: 'A', to_account: 'B', amount: 1 };
  await client.transfers.create(transfer, { waitSeconds: 10 });
  await client.transfers.create({ ...transfer, to_account: 'C' }, { waitSeconds: 10 });
  await client.transfers.create({ ...transfer, amount: 2 }, { waitSeconds: 10 });

  const amounts: unknown[] = [];
  const filter = { account: 'B', types: 'transfer.completed', kind: 'transfer' } as const;
  for await (const { transfers } of client.events.follow(filter)) {
    amounts.push(...transfers.map(({ amount }) => amount));
    if (amounts.at(-1) === 2) break;
  }
  assert.deepEqual(amounts, [100, 1, 2]);
  const listed = await Array.fromAsync(client.events.list(filter));
  assert.deepEqual(
    listed.flatMap(({ transfers }) => transfers.map(({ amount }) => amount)),
    amounts,
  );
});
