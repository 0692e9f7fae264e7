// Holds what is stored against what was answered: every 2xx accounts for exactly what it says, and nothing else is there.
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import type { TestDatabase } from '../support/database.ts';
import { parse } from './judge.ts';
import type { Operation } from './schema.ts';
import type { Answer } from './wire.ts';

/** How much of everything there is. Transfers that the service orders by itself, when a hold has expired, are left out. */
type Counts = { accounts: number; externals: number; transfers: number; keys: number; changes: number; holds: number };

const told = z.looseObject({
  id: z.string().optional(),
  dry_run: z.boolean().optional(),
  opening_transfer_id: z.string().nullable().optional(),
  account_number: z.string().optional(),
  currency: z.string().nullable().optional(),
  transfers: z.array(z.looseObject({ id: z.string() })).optional(),
});
type Told = z.infer<typeof told>;

const NO_BODY_STORED = /^GET /;

export class Stored {
  readonly #database: TestDatabase;
  /** Everything that callers were told is stored, as they were told. */
  readonly #transfers = new Map<string, Told>();
  readonly #accounts = new Map<string, Told>();
  readonly #changed = new Set<string>();
  readonly #closed = new Set<string>(['SHUT']);
  readonly #keys = new Set<string>();
  /** What was told since the last look. */
  #freshTransfers: Told[] = [];
  #freshAccounts: Told[] = [];
  #changes = 0;
  /** The journal up to here is counted already. */
  #journalNumber = 0n;
  #settled = 0;
  /** What was there before, and whatever was found to be wrong already. */
  #before: Counts = { accounts: 0, externals: 0, transfers: 0, keys: 0, changes: 0, holds: 0 };

  constructor(database: TestDatabase) {
    this.#database = database;
  }

  /** Takes what is stored now for right. */
  async begin(): Promise<void> {
    const now = await this.#count();
    const told = this.#told();
    this.#before = {
      accounts: now.accounts - told.accounts,
      externals: now.externals,
      transfers: now.transfers - told.transfers,
      keys: now.keys - told.keys,
      changes: now.changes - now.externals - told.changes,
      holds: 0,
    };
    this.#freshTransfers = [];
    this.#freshAccounts = [];
  }

  /** Every id of a transfer that a caller was told. */
  get accepted(): string[] {
    return [...this.#transfers.keys()];
  }

  /** Notes what an answer says is stored now. */
  note(operation: Operation, headers: readonly (readonly [string, string])[], path: string, answer: Answer): void {
    if (answer.status >= 300 || NO_BODY_STORED.test(operation.name)) return;
    if (operation.name.startsWith('DELETE')) {
      const number = decodeURIComponent(path.split('/').at(-1) ?? '');
      if (!this.#closed.has(number)) this.#changes += 1;
      this.#closed.add(number);
      this.#changed.add(number);
      return;
    }
    const said = told.parse(parse(answer.body.toString()));
    if (operation.name.startsWith('PATCH')) {
      this.#changes += 1;
      this.#changed.add(said.account_number ?? '');
      return;
    }
    // A ledger is empty, and keeps its key itself.
    if (operation.name === 'POST /ledgers') return;
    if (said.dry_run === true || answer.headers.has('idempotency-replayed')) return;
    const key = headers.find(([name]) => name.toLowerCase() === 'idempotency-key')?.[1].trim();
    if (key !== undefined) this.#keys.add(key);
    if (operation.name === 'POST /accounts') {
      this.#accounts.set(said.account_number ?? '', said);
      this.#freshAccounts.push(said);
      this.#changes += 1;
      if (typeof said.opening_transfer_id === 'string') this.#transfers.set(said.opening_transfer_id, {});
      return;
    }
    const transfers = said.transfers ?? [said];
    for (const transfer of transfers) this.#transfers.set(transfer.id ?? '', transfer);
    this.#freshTransfers.push(...transfers);
  }

  /** What is stored and was not told, or told and not stored, or not stored as told; as sentences. */
  async compare(): Promise<string[]> {
    const now = await this.#count();
    const told = this.#told();
    const wanted: Counts = {
      accounts: this.#before.accounts + told.accounts,
      externals: now.externals,
      transfers: this.#before.transfers + told.transfers,
      keys: this.#before.keys + told.keys,
      changes: this.#before.changes + told.changes + now.externals,
      holds: now.holds,
    };
    const wrong: string[] = [];
    if (!isDeepStrictEqual(now, wanted)) {
      wrong.push(`stored: ${JSON.stringify(now)}; accounted for by answers: ${JSON.stringify(wanted)}`);
    }
    wrong.push(...(await this.#compareTransfers()), ...(await this.#compareAccounts()));
    this.#freshTransfers = [];
    this.#freshAccounts = [];
    return wrong;
  }

  /** Like compare, but name by name, once nothing is pending any more. */
  async compareAll(): Promise<string[]> {
    const rows = await this.#database.query<{ id: string }>(
      `select id from transfers where kind <> 'expiry' union all select id from pending_transfers where kind <> 'expiry'`,
    );
    const ids = new Set(rows.map(({ id }) => id));
    const keys = await this.#database.query<{ key: string }>('select key from idempotency_keys');
    const known = new Set(keys.map(({ key }) => key));
    const lost = this.accepted.filter((id) => !ids.has(id));
    const lostKeys = [...this.#keys].filter((key) => !known.has(key));
    const [holds] = await this.#database.query<{ count: number }>(
      `select count(*)::integer as count
       from holds h full join (select id from transfers where kind = 'hold' and status = 'completed') t using (id)
       where h.amount is null or t.id is null`,
    );
    return [
      ...(lost.length > 0 ? [`${lost.length} accepted transfers are not there, such as ${lost[0]}`] : []),
      ...(lostKeys.length > 0 ? [`${lostKeys.length} keys are not there, such as ${lostKeys[0]}`] : []),
      ...(holds?.count === 0 ? [] : [`${holds?.count} holds do not have their order, or the other way round`]),
    ];
  }

  #told(): Pick<Counts, 'accounts' | 'transfers' | 'keys' | 'changes'> {
    return {
      accounts: this.#accounts.size,
      transfers: this.#transfers.size,
      keys: this.#keys.size,
      changes: this.#changes,
    };
  }

  async #count(): Promise<Counts> {
    const [row] = await this.#database.query<{
      accounts: number;
      externals: number;
      pending: number;
      settled: number;
      keys: number;
      changes: number;
      holds: number;
      number: bigint;
    }>(
      `select
         (select count(*) from accounts where account_number <> '@external')::integer as accounts,
         (select count(*) from accounts where account_number = '@external')::integer as externals,
         (select count(*) from pending_transfers where kind <> 'expiry')::integer as pending,
         (select count(*) from transfers where journal_number > $1::bigint and kind <> 'expiry')::integer as settled,
         (select count(*) from idempotency_keys)::integer as keys,
         (select count(*) from account_changes)::integer as changes,
         (select count(*) from holds)::integer as holds,
         (select number from journal_head where ledger_id = 1) as number`,
      [this.#journalNumber],
    );
    if (!row) throw new Error('Counting must give a row.');
    this.#settled += row.settled;
    this.#journalNumber = row.number;
    const { accounts, externals, keys, changes, holds } = row;
    return { accounts, externals, transfers: this.#settled + row.pending, keys, changes, holds };
  }

  async #compareTransfers(): Promise<string[]> {
    if (this.#freshTransfers.length === 0) return [];
    const columns = 'id, kind, from_account, to_account, description, metadata, group_id, request_id';
    const rows = await this.#database.query<{ id: string } & Record<string, unknown>>(
      `select ${columns} from transfers where id = any($1::uuid[])
       union all select ${columns} from pending_transfers where id = any($1::uuid[])`,
      [this.#freshTransfers.map(({ id }) => id)],
    );
    const byId = new Map(rows.map((row) => [row.id, row]));
    return this.#freshTransfers.flatMap((transfer) => {
      const row = byId.get(transfer.id ?? '');
      if (!row) return [`the transfer ${transfer.id} was accepted and is not there`];
      const names = ['kind', 'from_account', 'to_account', 'description', 'metadata', 'group_id'];
      return differences(`the transfer ${transfer.id}`, names, transfer, row);
    });
  }

  async #compareAccounts(): Promise<string[]> {
    const unchanged = this.#freshAccounts.filter(({ account_number: number }) => !this.#changed.has(number ?? ''));
    if (unchanged.length === 0) return [];
    const rows = await this.#database.query<{ account_number: string } & Record<string, unknown>>(
      `select account_number, currency, name, email, phone, to_char(date_of_birth, 'YYYY-MM-DD') as date_of_birth, metadata
       from accounts where account_number = any($1::text[])`,
      [unchanged.map(({ account_number: number }) => number)],
    );
    const byNumber = new Map(rows.map((row) => [row.account_number, row]));
    return unchanged.flatMap((account) => {
      const row = byNumber.get(account.account_number ?? '');
      if (!row) return [`the account ${account.account_number} was opened and is not there`];
      const names = ['currency', 'name', 'email', 'phone', 'date_of_birth', 'metadata'];
      return differences(`the account ${account.account_number}`, names, account, row);
    });
  }
}

function differences(
  what: string,
  names: readonly string[],
  told: Readonly<Record<string, unknown>>,
  row: Readonly<Record<string, unknown>>,
): string[] {
  return names
    .filter((name) => !isDeepStrictEqual(told[name], row[name]))
    .map((name) => `${what} has ${name} ${JSON.stringify(row[name])}, and was told ${JSON.stringify(told[name])}`);
}
