// The task of an audit in many snapshots that adds up the sealed balances of closed months, page by page in order of accounts,
// and compares the sums with the totals and digests of the months. A seal of a closed month is final, so it does not matter
// which snapshot shows it.
import { createHash, type Hash } from 'node:crypto';
import { readAll } from './cursor.ts';
import type { Found } from './findings.ts';
import { rowsIn, type Scope, within } from './rules.ts';
import type { Settings } from './snapshots.ts';
import type { Outcome, Task } from './step.ts';
import type { Connection } from '../connection/connect.ts';

/** In accounts. The records of a page are in memory: of 5,000 accounts with 120 months, about 36 MB. */
const SIZES = { first: 1000, max: 5000 };

type Month = {
  readonly number: string;
  /** The end of the month before. */
  readonly before: string;
  readonly accountCount: string;
  readonly digest: string;
};

type Sums = { readonly accounts: bigint; readonly positive: bigint; readonly negative: bigint };
const ZERO: Sums = { accounts: 0n, positive: 0n, negative: 0n };

/** What the pages of a ledger have added up to. */
type Adding = {
  readonly ledger: number;
  /** The last account of the last page. */
  readonly after: string | null;
  /** The months that were closed when its first page was read; later ones are for the next audit. */
  readonly months: readonly Month[];
  /** By the ends of months: the records of their seals. */
  readonly records: Map<string, { readonly hash: Hash; count: bigint }>;
  /** By currencies and the ends of months: by how much the totals changed in the month. */
  readonly changes: Map<string, Map<string, Sums>>;
};

/** `token`: the position that it belongs to. `waiting`: the ledgers after the one that is read. */
type Reading = {
  readonly token: string | null;
  readonly waiting: readonly number[];
  readonly adding: Adding | null;
};

/** Digests cannot be saved half done, so an audit that goes on after an interruption begins this task again. */
export function sealsTask(scope: Scope, settings: Settings): Task {
  let reading: Reading | null = null;
  return {
    name: 'seals',
    settings,
    sizes: SIZES,
    step: async (connection, { at, counts }, size) => {
      const former: Reading = reading !== null && reading.token === at ? reading : await open(connection, scope);
      const [next] = former.waiting;
      const adding = former.adding ?? (next === undefined ? null : await begin(connection, next));
      if (adding === null) return outcome(counts, { at, done: true, found: [] });
      const waiting = former.adding === null ? former.waiting.slice(1) : former.waiting;
      const upTo = await findEnd(connection, adding, size);
      const page = await readPage(connection, adding, upTo);
      const totals = upTo === null ? await readTotals(connection, adding.ledger) : null;
      // From here on nothing fails, so that a step counts wholly or not at all.
      add(adding, page);
      const token = `${adding.ledger} ${upTo ?? 'end'}`;
      reading = { token, waiting, adding: upTo === null ? null : { ...adding, after: upTo } };
      const found = totals === null ? [] : [...compareMonths(adding, totals)];
      return outcome(counts, { at: token, done: upTo === null && waiting.length === 0, found });
    },
  };
}

function outcome(
  counts: Readonly<Record<string, number>>,
  { at, done, found }: { at: string | null; done: boolean; found: readonly Found[] },
): Outcome {
  const named = found.map((one) => ['months.sealed', one] as const);
  return { position: { at, hash: null, done, counts }, found: named, rows: [], progress: 0 };
}

/** The ledgers in scope that have closed months. */
async function open(connection: Connection, scope: Scope): Promise<Reading> {
  const rows = await readAll(
    connection,
    `select distinct ledger_id from ${rowsIn(scope, 'closed_months')} as months order by ledger_id`,
  );
  return { token: null, waiting: rows.map(([ledger]) => Number(ledger)), adding: null };
}

async function begin(connection: Connection, ledger: number): Promise<Adding> {
  const months = await readAll(
    connection,
    `select journal_number, coalesce(lag(journal_number) over (order by month), 0), account_count, encode(digest, 'hex')
     from closed_months
     where ledger_id = ${ledger}
     order by month`,
  );
  return {
    ledger,
    after: null,
    months: months.map(([number, before, accountCount, digest]) => ({
      number: number ?? '',
      before: before ?? '',
      accountCount: accountCount ?? '',
      digest: digest ?? '',
    })),
    records: new Map(),
    changes: new Map(),
  };
}

/** The last account of a page of about this size; null: it is the last page. */
async function findEnd(connection: Connection, { ledger, after }: Adding, size: number): Promise<string | null> {
  const [end] = await readAll(
    connection,
    `select account_number
     from accounts
     where ${[`ledger_id = ${ledger}`, within('account_number', { after, upTo: null }) ?? 'true'].join(' and ')}
     order by account_number
     offset ${size - 1}
     limit 1`,
  );
  return end?.[0] ?? null;
}

type SealPage = {
  readonly records: readonly { readonly number: string; readonly count: bigint; readonly text: string }[];
  readonly changes: readonly { readonly currency: string; readonly number: string; readonly sums: Sums }[];
};

async function readPage(
  connection: Connection,
  { ledger, after, months }: Adding,
  upTo: string | null,
): Promise<SealPage> {
  const last = months.reduce((most, { number }) => (BigInt(number) > most ? BigInt(number) : most), 0n);
  const range = within('account_number', { after, upTo }) ?? 'true';
  const sealed = `(select * from sealed_balances where ledger_id = ${ledger} and journal_number <= ${last} and ${range})`;
  const records = await readAll(
    connection,
    `select journal_number, count(*),
       string_agg(
         concat_ws(chr(31), account_number, currency, entry_number, balance) || chr(30),
         '' order by account_number collate "C", currency collate "C"
       )
     from ${sealed} as sealed
     group by journal_number`,
  );
  // The totals at the end of a month are the sums of all changes until then.
  const changes = await readAll(
    connection,
    `select currency, journal_number, count(*) filter (where former is null),
       coalesce(sum(greatest(balance, 0) - greatest(coalesce(former, 0), 0)), 0),
       coalesce(sum(least(balance, 0) - least(coalesce(former, 0), 0)), 0)
     from (
       select currency, journal_number, balance,
         lag(balance) over (partition by account_number, currency order by journal_number) as former
       from ${sealed} as sealed
     ) as following
     group by currency, journal_number`,
  );
  return {
    records: records.map(([number, count, text]) => ({
      number: number ?? '',
      count: BigInt(count ?? 0),
      text: text ?? '',
    })),
    changes: changes.map(([currency, number, accounts, positive, negative]) => ({
      currency: currency ?? '',
      number: number ?? '',
      sums: { accounts: BigInt(accounts ?? 0), positive: BigInt(positive ?? 0), negative: BigInt(negative ?? 0) },
    })),
  };
}

function add(adding: Adding, page: SealPage): void {
  for (const { number, count, text } of page.records) {
    const sum = adding.records.get(number) ?? { hash: createHash('sha256'), count: 0n };
    sum.hash.update(text);
    sum.count += count;
    adding.records.set(number, sum);
  }
  for (const { currency, number, sums } of page.changes) {
    const ofCurrency = adding.changes.get(currency) ?? new Map<string, Sums>();
    ofCurrency.set(number, plus(ofCurrency.get(number) ?? ZERO, sums));
    adding.changes.set(currency, ofCurrency);
  }
}

function plus(left: Sums, right: Sums): Sums {
  return {
    accounts: left.accounts + right.accounts,
    positive: left.positive + right.positive,
    negative: left.negative + right.negative,
  };
}

type Total = { readonly currency: string; readonly fields: readonly string[] };

/** The sealed totals of a ledger in order of currency, by the ends of months. */
async function readTotals(connection: Connection, ledger: number): Promise<ReadonlyMap<string, readonly Total[]>> {
  const rows = await readAll(
    connection,
    `select journal_number, currency, account_count, positive, negative
     from sealed_totals
     where ledger_id = ${ledger}
     order by currency collate "C"`,
  );
  const totals = new Map<string, Total[]>();
  for (const [number, currency, ...fields] of rows) {
    const ofMonth = totals.get(number ?? '') ?? [];
    ofMonth.push({ currency: currency ?? '', fields: fields.map((field) => field ?? '') });
    totals.set(number ?? '', ofMonth);
  }
  return totals;
}

function* compareMonths(
  { ledger, months, records, changes }: Adding,
  totals: ReadonlyMap<string, readonly Total[]>,
): Generator<Found> {
  const about = { ledger, account: null, currency: null, transfer: null };
  for (const { number, before, accountCount, digest } of months) {
    const stored = totals.get(number) ?? [];
    // A month without entries ends where the one before does, and seals nothing.
    const own = BigInt(number) > BigInt(before) ? records.get(number) : undefined;
    const count = String(own?.count ?? 0n);
    if (count !== accountCount) {
      yield { ...about, journal: number, what: ACCOUNT_COUNT, expected: count, found: accountCount };
    }
    const hash = own?.hash.copy() ?? createHash('sha256');
    for (const { currency, fields } of stored) hash.update(`${[currency, ...fields].join('\u001F')}\u001E`);
    const expected = hash.digest('hex');
    if (expected !== digest) yield { ...about, journal: number, what: DIGEST, expected, found: digest };
  }
  for (const number of new Set(months.map((month) => month.number))) {
    const stored = new Map((totals.get(number) ?? []).map(({ currency, fields }) => [currency, fields]));
    for (const currency of new Set([...changes.keys(), ...stored.keys()])) {
      const { accounts, positive, negative } = sumUpTo(changes.get(currency), number);
      const expected = accounts === 0n ? [] : [accounts, positive, negative].map(String);
      const fields = stored.get(currency) ?? [];
      for (const [index, what] of TOTALS.entries()) {
        const [wanted = null, found = null] = [expected[index], fields[index]];
        if (wanted !== found) yield { ...about, currency, journal: number, what, expected: wanted, found };
      }
    }
  }
}

const ACCOUNT_COUNT = 'account_count of a closed month';
const DIGEST = 'digest of a closed month';
const TOTALS = ['accounts with entries', 'sum of the balances above zero', 'sum of the balances below zero'];

function sumUpTo(changes: ReadonlyMap<string, Sums> | undefined, end: string): Sums {
  let sum = ZERO;
  for (const [number, sums] of changes ?? []) if (BigInt(number) <= BigInt(end)) sum = plus(sum, sums);
  return sum;
}
