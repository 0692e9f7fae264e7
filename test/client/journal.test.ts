// The client on a real ledger: it follows the journal with a key for one ledger, resumes where it was, and detects a
// journal that was rewritten in the database, with new hashes or without.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Chain, GopherPay, isProblem, type Position } from '../../clients/typescript/src/index.ts';
import { createDatabase } from '../support/database.ts';
import { makeKey } from '../support/keys.ts';
import { startService } from '../support/service.ts';

const LEDGER = 'shop';

/** Reads the events after a position, page by page, up to the end. */
async function verify(client: GopherPay, after: Position | number): Promise<void> {
  const chain = new Chain(after);
  for await (const event of client.events.list({ after: String(chain.number) })) await chain.add(event);
}

/** Reads events from a position until the journal has this number. */
async function readUntil(client: GopherPay, number: number, after: Position | number): Promise<Position> {
  for await (const event of client.events.follow({ after })) if (event.journal_number === number) return event;
  throw new Error('The feed has ended.');
}

test('client: a rewritten journal is detected by a reader that has its position', async (t) => {
  const database = await createDatabase(t);
  const key = await makeKey(database);
  const service = await startService(t, { database });
  const client = new GopherPay({ baseUrl: service.url, key: key.text, ledger: LEDGER });
  await client.ledgers.create({ name: LEDGER });
  for (const number of ['A', 'B']) await client.accounts.create({ account_number: number, name: number });
  const last = await readUntil(client, 2, 0);
  await readUntil(client, 3, last);

  // As the owner of the database could do it.
  const owner = await database.connect();
  await owner.query('set session_replication_role = replica');
  const change = async (number: number, assignments: string): Promise<void> => {
    const inLedger = `ledger_id = (select id from ledgers where name = '${LEDGER}')`;
    await owner.query(`update journal set ${assignments} where number = ${number} and ${inLedger}`);
  };
  const rehash = async (number: number, previousHash: string): Promise<string> => {
    const previous = `decode('${previousHash}', 'hex')`;
    const covered = `'${LEDGER}', number, settled_at, transfer_count, change_count, digest`;
    await change(number, `previous_hash = ${previous}, hash = chain_hash(${previous}, ${covered})`);
    const page = await client.events
      .list({ after: String(number - 1), limit: 1 })
      .pages()
      .next();
    return page.value?.items[0]?.hash ?? '';
  };
  const assertBreaks = async (after: Position | number, message: RegExp): Promise<void> =>
    await assert.rejects(verify(client, after), { name: 'ChainError', message });

  const first = await readUntil(client, 1, 0);
  await change(2, `settled_at = settled_at + interval '1 microsecond'`);
  await assertBreaks(0, /^Row 2 of the journal: the hash is /);

  const hash = await rehash(2, first.hash);
  await assertBreaks(0, new RegExp(`^Row 3 of the journal: the previous hash is ${last.hash}, expected ${hash}`));

  // The chain is whole again. Only a reader that has the earlier hash detects the change.
  await rehash(3, hash);
  await verify(client, 0);
  await assertBreaks(last, new RegExp(`^Row 3 of the journal: the previous hash is ${hash}, expected ${last.hash}`));
});

test('client: a server that answers with the journal of another ledger is detected', async (t) => {
  const database = await createDatabase(t);
  const key = await makeKey(database);
  const service = await startService(t, { database });
  const clientOf = (ledger: string, send = fetch): GopherPay =>
    new GopherPay({ baseUrl: service.url, key: key.text, ledger, fetch: send });
  for (const name of [LEDGER, 'other']) {
    await clientOf(name).ledgers.create({ name });
    await clientOf(name).accounts.create({ account_number: 'A', name: 'A' });
  }
  assert.equal((await readUntil(clientOf(LEDGER), 1, 0)).ledger, LEDGER);
  const swapped = clientOf(LEDGER, async (input, init) => {
    const { url } = new Request(input, init);
    return await fetch(url.replace(`/ledgers/${LEDGER}/`, '/ledgers/other/'), init);
  });
  const message = `Row 1 of the journal: the ledger is other, expected ${LEDGER}.`;
  await assert.rejects(readUntil(swapped, 1, 0), { name: 'ChainError', message });
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
