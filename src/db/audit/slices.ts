// The tasks of an audit in many snapshots that follow the journals: slice by slice, up to the head that the audit began
// with. These rows are final, so it does not matter which snapshot shows them.
import { openChain, type Link } from './chain.ts';
import { CHECKS } from './checks.ts';
import { readAll } from './cursor.ts';
import type { Found } from './findings.ts';
import { actsIn, changesIn, journalIn, type Scope, transfersIn } from './rules.ts';
import type { Settings } from './snapshots.ts';
import { countIn, type Outcome, runChecks, type Task } from './step.ts';
import type { Connection } from '../connection/connect.ts';

/** In rows of the journal, and transfers and changes that they cover. */
const SIZES = { first: 5000, max: 500_000 };

/** A ledger's journal, from a row that was verified before to the head. */
export type Journal = {
  readonly id: number;
  readonly name: string;
  /** The row before the first, and its hash; null: unknown. */
  readonly since: bigint;
  readonly sinceHash: string | null;
  readonly until: bigint;
};

/** The slices of a ledger's journal. `others`: whether the audit covers the other ledgers, too. */
export function sliceTask(journal: Journal, { settings, others }: { settings: Settings; others: boolean }): Task {
  return {
    name: `journal ${journal.id}`,
    settings,
    sizes: SIZES,
    step: async (connection, position, size) => {
      const since = position.at === null ? journal.since : BigInt(position.at);
      const hash = position.at === null ? journal.sinceHash : position.hash;
      const until = await findEnd(connection, journal, since, size);
      return await readSlice(
        connection,
        { journal, hash, scope: { ledger: journal.id, since, until, others } },
        position.counts,
      );
    },
  };
}

/** The last row of a slice of about this size. Rows without a successor go to the end, which may have none. */
async function findEnd(connection: Connection, journal: Journal, since: bigint, size: number): Promise<bigint> {
  const [end] = await readAll(
    connection,
    `select max(number)
     from (
       select number, sum(weight) over (order by number) - weight as before
       from (
         select number, transfer_count::bigint + change_count + 1 as weight
         from journal
         where ledger_id = ${journal.id} and number > ${since} and number <= ${journal.until}
         order by number
         limit ${size}
       ) as next
     ) as sized
     where before < ${size}`,
  );
  return end?.[0] ? BigInt(end[0]) : journal.until;
}

type Slice = {
  readonly journal: Journal;
  /** What the row before must have; null: anything. */
  readonly hash: string | null;
  readonly scope: Extract<Scope, { ledger: number }> & { since: bigint; until: bigint };
};

async function readSlice(
  connection: Connection,
  { journal, hash, scope }: Slice,
  former: Readonly<Record<string, number>>,
): Promise<Outcome> {
  const found = [...(await runChecks(connection, CHECKS, scope, 'slice'))];
  const links = new Map<number, Link>();
  if (hash !== null) links.set(scope.ledger, { number: scope.since, settledAt: null, hash, previousHash: null });
  const chain = openChain(connection, scope, new Map([[scope.ledger, journal.name]]), links);
  for await (const flaw of chain.follow()) {
    if (typeof flaw !== 'number') found.push(['journal.chain', toFound(flaw)]);
  }
  const rows = await countIn(connection, [
    ['transfers', transfersIn(scope)],
    ['account_changes', changesIn(scope)],
    ['audit_log', actsIn(scope)],
    ['journal', journalIn(scope)],
  ]);
  const [sums] = await readAll(
    connection,
    `select (select coalesce(sum(intake_count), 0) from ${journalIn(scope)} as journal),
       (select count(from_entry_number) + count(to_entry_number) from ${transfersIn(scope)} as transfers)`,
  );
  const entries = Number(sums?.[1] ?? 0);
  const counted: readonly (readonly [string, number])[] = [
    ...rows,
    ['entries', entries],
    ['intake', Number(sums?.[0] ?? 0)],
  ];
  const counts = Object.fromEntries(counted.map(([name, count]) => [name, count + (former[name] ?? 0)]));
  const last = chain.lastOf(scope.ledger);
  return {
    position: { at: String(scope.until), hash: last.hash, done: scope.until >= journal.until, counts },
    found,
    rows: [...rows, ['entries', entries]],
    progress: Number(scope.until - scope.since),
  };
}

export function toFound(flaw: Pick<Found, 'ledger' | 'journal' | 'what' | 'expected' | 'found'>): Found {
  return { account: null, currency: null, transfer: null, ...flaw };
}
