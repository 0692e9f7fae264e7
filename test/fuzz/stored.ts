// Compares the stored rows with the answers: every 2xx accounts for exactly its content, and nothing else is stored.
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import type { TestDatabase } from '../support/database.ts';
import { decrypt } from '../support/personal-data.ts';
import type { Operation } from '../support/interface.ts';
import { parse } from './sent.ts';
import type { Answer } from './wire.ts';

/** How much of everything there is. Transfers that the service orders by itself, when a hold has expired, are left out. */
/** SQL: a caller ordered the transfer. The service ends due holds, and makes the later steps between ledgers. */
const OF_CALLERS = `kind <> 'expiry' and (remote_account is null or kind = 'hold')`;

type Counts = { accounts: number; externals: number; transfers: number; keys: number; changes: number; holds: number };

const reported = z.looseObject({
  id: z.string().optional(),
  dry_run: z.boolean().optional(),
  opening_transfer_id: z.string().nullable().optional(),
  account_number: z.string().optional(),
  currency: z.string().nullable().optional(),
  transfers: z.array(z.looseObject({ id: z.string() })).optional(),
  get accounts() {
    return z.array(reported).optional();
  },
});
/** A transfer or an account in an answer, with the name of its ledger. */
type Reported = z.infer<typeof reported> & { readonly ledger: string };

/** The part of a request that decides what is stored. */
type Noted = {
  readonly headers: readonly (readonly [string, string])[];
  readonly path: string;
  readonly ownLedger: string;
};

const NO_BODY_STORED = /^GET /;

export class Stored {
  readonly #database: TestDatabase;
  /** Everything that answers reported as stored: ids of transfers; the others each with its ledger, see `nameIn`. */
  readonly #transfers = new Set<string>();
  readonly #accounts = new Set<string>();
  readonly #changed = new Set<string>();
  readonly #closed = new Set<string>([nameIn('main', 'SHUT')]);
  readonly #erased = new Set<string>();
  readonly #keys = new Set<string>();
  /** Reported since the last comparison. */
  #freshTransfers: Reported[] = [];
  #freshAccounts: Reported[] = [];
  #changes = 0;
  /** The journal of each ledger, by its id, up to here is counted already. */
  readonly #journalNumbers = new Map<number, bigint>();
  #settled = 0;
  /** The counts before, including violations that were reported already. */
  #before: Counts = { accounts: 0, externals: 0, transfers: 0, keys: 0, changes: 0, holds: 0 };

  constructor(database: TestDatabase) {
    this.#database = database;
  }

  /** Accepts the current rows as correct. */
  async begin(): Promise<void> {
    const now = await this.#count();
    const reported = this.#reported();
    this.#before = {
      accounts: now.accounts - reported.accounts,
      externals: now.externals,
      transfers: now.transfers - reported.transfers,
      keys: now.keys - reported.keys,
      changes: now.changes - now.externals - reported.changes,
      holds: 0,
    };
    this.#freshTransfers = [];
    this.#freshAccounts = [];
  }

  /** Every id of a transfer in an answer. */
  get accepted(): string[] {
    return [...this.#transfers];
  }

  /** Records what an answer reports as stored. `ownLedger`: the one of paths that name none. */
  note(operation: Operation, { headers, path, ownLedger }: Noted, answer: Answer): void {
    if (answer.status >= 300 || NO_BODY_STORED.test(operation.name)) return;
    // Webhooks are no part of the books.
    if (operation.path.startsWith('/webhooks')) return;
    const ledger = ledgerOf(path) ?? ownLedger;
    if (operation.name.startsWith('DELETE')) {
      const isErasure = operation.path.endsWith('/personal-data');
      const name = nameIn(ledger, decodeURIComponent(path.split('/').at(isErasure ? -2 : -1) ?? ''));
      this.#changed.add(name);
      if (isErasure) {
        if (!this.#erased.has(name)) this.#changes += 1;
        this.#erased.add(name);
        return;
      }
      if (!this.#closed.has(name)) this.#changes += 1;
      this.#closed.add(name);
      return;
    }
    // A key that may not read the account gets no body.
    if (operation.name.startsWith('PATCH')) {
      this.#changes += 1;
      this.#changed.add(nameIn(ledger, decodeURIComponent(path.split('/').at(-1) ?? '')));
      return;
    }
    const received = reported.parse(parse(answer.body.toString()));
    // A ledger is empty, and keeps its key itself.
    if (operation.name === 'POST /ledgers') return;
    if (received.dry_run === true || answer.headers.has('idempotency-replayed')) return;
    const key = headers.find(([name]) => name.toLowerCase() === 'idempotency-key')?.[1].trim();
    if (key !== undefined) this.#keys.add(nameIn(ledger, key));
    if (operation.name === 'POST /clock') return;
    if (operation.name === 'POST /accounts') {
      for (const account of received.accounts ?? [received]) {
        this.#accounts.add(nameIn(ledger, account.account_number ?? ''));
        this.#freshAccounts.push({ ...account, ledger });
        this.#changes += 1;
        if (typeof account.opening_transfer_id === 'string') this.#transfers.add(account.opening_transfer_id);
      }
      return;
    }
    for (const transfer of received.transfers ?? [received]) {
      this.#transfers.add(transfer.id ?? '');
      this.#freshTransfers.push({ ...transfer, ledger });
    }
  }

  /** Rows that are stored but not reported, reported but not stored, or different; as sentences. */
  async compare(): Promise<string[]> {
    const now = await this.#count();
    const reported = this.#reported();
    const wanted: Counts = {
      accounts: this.#before.accounts + reported.accounts,
      externals: now.externals,
      transfers: this.#before.transfers + reported.transfers,
      keys: this.#before.keys + reported.keys,
      changes: this.#before.changes + reported.changes + now.externals,
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
      `select id from transfers where ${OF_CALLERS} union all select id from pending_transfers where ${OF_CALLERS}`,
    );
    const ids = new Set(rows.map(({ id }) => id));
    const keys = await this.#database.query<{ ledger: string; key: string }>(
      'select name as ledger, key from idempotency_keys join ledgers on ledgers.id = ledger_id',
    );
    const known = new Set(keys.map(({ ledger, key }) => nameIn(ledger, key)));
    const lost = this.accepted.filter((id) => !ids.has(id));
    const lostKeys = [...this.#keys].filter((key) => !known.has(key));
    const [holds] = await this.#database.query<{ count: number }>(
      `select count(*)::integer as count
       from holds h
       full join (select ledger_id, id from transfers where kind = 'hold' and status = 'completed') t using (ledger_id, id)
       where h.amount is null or t.id is null`,
    );
    return [
      ...(lost.length > 0 ? [`${lost.length} accepted transfers are not there, such as ${lost[0]}`] : []),
      ...(lostKeys.length > 0 ? [`${lostKeys.length} keys are not there, such as ${lostKeys[0]}`] : []),
      ...(holds?.count === 0 ? [] : [`${holds?.count} holds do not have their order, or the other way round`]),
    ];
  }

  #reported(): Pick<Counts, 'accounts' | 'transfers' | 'keys' | 'changes'> {
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
      heads: Record<string, number>;
    }>(
      `with heads as (
         select ledger_id, journal_ends.number, coalesce(counted.number, 0) as counted
         from journal_ends
         left join unnest($1::integer[], $2::bigint[]) as counted (ledger_id, number) using (ledger_id)
       )
       select
         (select count(*) from accounts where account_number not like '@%')::integer as accounts,
         (select count(*) from accounts where account_number like '@%')::integer as externals,
         (select count(*) from pending_transfers where ${OF_CALLERS})::integer as pending,
         (select count(*)
          from heads
          join transfers on transfers.ledger_id = heads.ledger_id and journal_number > counted
          where ${OF_CALLERS})::integer as settled,
         (select count(*) from idempotency_keys)::integer as keys,
         (select count(*) from account_changes)::integer as changes,
         (select count(*) from holds)::integer as holds,
         (select jsonb_object_agg(ledger_id, number) from heads) as heads`,
      [[...this.#journalNumbers.keys()], [...this.#journalNumbers.values()]],
    );
    if (!row) throw new Error('Counting must give a row.');
    this.#settled += row.settled;
    for (const [id, number] of Object.entries(row.heads)) this.#journalNumbers.set(Number(id), BigInt(number));
    const { accounts, externals, keys, changes, holds } = row;
    return { accounts, externals, transfers: this.#settled + row.pending, keys, changes, holds };
  }

  async #compareTransfers(): Promise<string[]> {
    if (this.#freshTransfers.length === 0) return [];
    // A transfer to another ledger is a hold here, and names the account there beside the one that stands for the ledger.
    const columns =
      'id, ledger_id, kind, from_account, coalesce(remote_account, to_account) as to_account, description, metadata, group_id';
    const rows = await this.#database.query<{ id: string; ledger: string } & Record<string, unknown>>(
      `select stored.*, name as ledger
       from (
         select ${columns} from transfers where id = any($1::uuid[])
         union all select ${columns} from pending_transfers where id = any($1::uuid[])
       ) as stored
       join ledgers on ledgers.id = ledger_id`,
      [this.#freshTransfers.map(({ id }) => id)],
    );
    // The credit of a transfer between ledgers has the same id in the other one.
    const byName = new Map(rows.map((row) => [nameIn(row.ledger, row.id), row]));
    return this.#freshTransfers.flatMap((transfer) => {
      const row = byName.get(nameIn(transfer.ledger, transfer.id ?? ''));
      if (!row) return [`the transfer ${transfer.id} was accepted in ${transfer.ledger} and is not there`];
      const names = ['kind', 'from_account', 'to_account', 'description', 'metadata', 'group_id'];
      return differences(`the transfer ${transfer.id}`, names, transfer, row);
    });
  }

  async #compareAccounts(): Promise<string[]> {
    const unchanged = this.#freshAccounts.filter((account) => !this.#changed.has(nameOf(account)));
    if (unchanged.length === 0) return [];
    const rows = await this.#database.query<StoredAccount>(
      `select ledgers.name as ledger, ledger_id, account_number, currency, metadata, personal_data, key
       from accounts join personal_keys using (ledger_id, account_number, currency) join ledgers on ledgers.id = ledger_id
       where account_number = any($1::text[])`,
      [unchanged.map(({ account_number: number }) => number)],
    );
    const byName = new Map(rows.map((row) => [nameOf(row), row]));
    return unchanged.flatMap((account) => {
      const row = byName.get(nameOf(account));
      if (!row) return [`the account ${account.account_number} was opened and is not there`];
      const names = ['currency', 'name', 'email', 'phone', 'date_of_birth', 'metadata'];
      return differences(`the account ${account.account_number}`, names, account, { ...row, ...personOf(row) });
    });
  }
}

type StoredAccount = {
  ledger: string;
  ledger_id: number;
  account_number: string;
  currency: string;
  metadata: unknown;
  personal_data: Buffer;
  key: Buffer;
};

function personOf({ ledger_id: ledger, account_number: account, currency, ...row }: StoredAccount): object {
  const {
    name,
    email = null,
    phone = null,
    dateOfBirth = null,
  } = decrypt({ ledger, account, currency }, row.personal_data, row.key);
  return { name, email, phone, date_of_birth: dateOfBirth };
}

/** A name that is unique among all ledgers. A ledger's name has no slash. */
function nameIn(ledger: string, name: string): string {
  return `${ledger}/${name}`;
}

function nameOf({ ledger, account_number: number }: { ledger: string; account_number?: string | undefined }): string {
  return nameIn(ledger, number ?? '');
}

/** The name of the ledger that a path names; null if it names none. */
function ledgerOf(path: string): string | null {
  const [, ledger] = /^\/ledgers\/([^/]+)\//.exec(path) ?? [];
  return ledger === undefined ? null : decodeURIComponent(ledger);
}

function differences(
  what: string,
  names: readonly string[],
  reported: Readonly<Record<string, unknown>>,
  row: Readonly<Record<string, unknown>>,
): string[] {
  return names
    .filter((name) => !isDeepStrictEqual(reported[name], row[name]))
    .map(
      (name) =>
        `${what} has ${name} ${JSON.stringify(row[name])}, but was reported as ${JSON.stringify(reported[name])}`,
    );
}
