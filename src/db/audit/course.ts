// The course of an audit in many snapshots: its phases, what each proves, and its state, from which an interrupted audit
// goes on.
import { compareCounts, entriesTask, findMisplaced, TABLES, tableTask } from './blocks.ts';
import { BEGINNING, type Checkpoint, compareHashes, compareEnds, countHeads, type End, type Link } from './chain.ts';
import { CHECKS } from './checks.ts';
import { readAll } from './cursor.ts';
import type { Findings, Found } from './findings.ts';
import { LINK_COLUMNS } from './journal.ts';
import { accountsOfNoLedger, rowsWithoutKey } from './ledgers.ts';
import { keptOfAccepted } from './once.ts';
import { keysTask, pageTask, sumsTask, pendingTask } from './pages.ts';
import { rowsIn, type Scope } from './rules.ts';
import { sealsTask } from './seals.ts';
import { type Journal, sliceTask, toFound } from './slices.ts';
import type { Settings } from './snapshots.ts';
import {
  collect,
  countIn,
  loadNames,
  type Outcome,
  type Position,
  readInstant,
  runChecks,
  settingsOf,
  type Task,
} from './step.ts';
import type { Connection } from '../connection/connect.ts';

/** A ledger of the audit, and the row after which the audit begins. */
export type SavedLedger = {
  readonly id: number;
  readonly name: string;
  readonly since: string;
  readonly sinceHash: string | null;
};

/** The whole state of an audit in many snapshots: plain data. */
export type Course = {
  /** When the database was created, which tells it from others; a copy has the same. */
  readonly books: string;
  readonly schema: string;
  /** The id of the audited ledger; null: all. */
  readonly ledger: number | null;
  /** Whether every ledger is audited from its first row. */
  readonly whole: boolean;
  readonly ledgers: readonly SavedLedger[];
  /** The heads up to which the journals are audited, and when they were read; empty and null: not yet. */
  heads: readonly End[];
  at: string | null;
  readonly positions: Record<string, Position>;
  readonly findings: Findings;
  done: boolean;
};

/**
 * The phases of an audit, in the order in which they take their snapshots. The order is part of the proof: pages of
 * accounts and holds are read before the heads, so that the slices, which end at the heads, prove every entry and
 * transfer that a page relied on. A check of two ledgers follows the side that implies the other: a slice finds the hold
 * of each credit, and the credit of each capture or void, in its own snapshot, which shows both.
 */
export type Phase = {
  readonly name: 'state' | 'books' | 'journal' | 'end';
  readonly tasks: (course: Course, expect: readonly Checkpoint[]) => readonly Task[];
};

export const PHASES: readonly Phase[] = [
  { name: 'state', tasks: stateTasks },
  { name: 'books', tasks: booksTasks },
  { name: 'journal', tasks: journalTasks },
  { name: 'end', tasks: endTasks },
];

const byKey = ({ schema }: Course): Settings => settingsOf(schema, { byTable: false, byKey: true });
const ONCE = { first: 1, max: 1 };

function stateTasks(course: Course): readonly Task[] {
  const settings = byKey(course);
  const { ledger, whole } = course;
  const pages = course.ledgers.flatMap(({ id, since }) => {
    const about = { ledger: id, since: BigInt(since) === 0n ? null : BigInt(since), others: ledger === null, settings };
    return [
      pageTask('accounts', about),
      pageTask('holds', about),
      // What came after a row is known of reversals by their transfers, and of keys not at all.
      ...(whole ? [pageTask('reversed_amounts', about)] : []),
      ...(whole && ledger !== null ? [pageTask('idempotency_keys', about)] : []),
    ];
  });
  return [
    ...pages,
    ...(whole && ledger === null ? [keysTask(settings)] : []),
    sealsTask(scopeOf(course), settings),
    pendingTask(ledger, settings),
  ];
}

function booksTasks(course: Course): readonly Task[] {
  return [booksTask(course), sumsTask(scopeOf(course), byKey(course)), headsTask(course)];
}

/** One snapshot of what is small: the ledgers, the sums of balances, the schema and its rights. */
function booksTask(course: Course): Task {
  const { ledger } = course;
  return {
    name: 'books',
    settings: settingsOf(course.schema, { byTable: ledger === null, byKey: false }),
    sizes: ONCE,
    step: async (connection, position) => {
      const scope = scopeOf(course);
      const found = [...(await runChecks(connection, CHECKS, scope, 'books'))];
      if (ledger === null) {
        for (const one of await collect(connection, [accountsOfNoLedger()])) found.push(['accounts.seals', one]);
        for (const one of await collect(connection, rowsWithoutKey())) found.push(['ledgers.rows', one]);
      }
      const rows = await countIn(connection, [
        ['ledgers', ledger === null ? 'ledgers' : `(select from ledgers where id = ${ledger})`],
        ['journal_head', rowsIn(scope, 'journal_head')],
        ['leases', ledger === null ? 'leases' : '(select where false)'],
        ['ledger_leases', rowsIn(scope, 'ledger_leases')],
      ]);
      return { position: { ...position, done: true }, found, rows, progress: 0 };
    },
  };
}

/** Reads the last rows, which say how far the slices go. */
function headsTask(course: Course): Task {
  return {
    name: 'heads',
    settings: byKey(course),
    sizes: ONCE,
    step: async (connection, position) => {
      const scope = scopeOf(course);
      // By now there may be more ledgers. They are not audited, but their heads are no discrepancy.
      const names = await loadNames(connection, scope);
      const heads = await readLastRows(connection, course.ledger);
      const found: (readonly [string, Found])[] = [];
      for await (const flaw of countHeads(connection, scope, names)) found.push(['journal.head', toFound(flaw)]);
      found.push(...(await findMisplaced(connection, course.ledger)));
      const at = await readInstant(connection);
      return { position: { ...position, done: true }, found, rows: [], progress: 0, heads: { heads, at } };
    },
  };
}

/** The last row of each journal, found by its key; of an empty one, what its first row must follow. */
async function readLastRows(connection: Connection, ledger: number | null): Promise<readonly End[]> {
  const rows = await readAll(
    connection,
    `select ledgers.id, last.*
     from ledgers
     left join lateral (
       select ${LINK_COLUMNS} from journal where journal.ledger_id = ledgers.id order by journal.number desc limit 1
     ) as last on true
     ${ledger === null ? '' : `where ledgers.id = ${ledger}`}`,
  );
  return rows.map(([id, number = null, settledAt = null, hash = null, previousHash = null]) =>
    number === null
      ? { ...BEGINNING, ledger: Number(id ?? -1), number: String(BEGINNING.number) }
      : { ledger: Number(id ?? -1), number, settledAt, hash, previousHash },
  );
}

export function scopeOf({ ledger }: Course): Scope {
  // TypeScript tells the two apart by the type of the id.
  return ledger === null ? { ledger, since: null } : { ledger, since: null };
}

function namesOf({ ledgers }: Course): ReadonlyMap<number, string> {
  return new Map(ledgers.map(({ id, name }) => [id, name]));
}

/** The journals from where the audit begins to their heads. */
export function journalsOf(course: Course): readonly Journal[] {
  return course.ledgers.map(({ id, name, since, sinceHash }) => {
    const numbers = course.heads.flatMap(({ ledger, number }) => (ledger === id && number ? [BigInt(number)] : []));
    const until = numbers.reduce((most, number) => (number > most ? number : most), BigInt(since));
    return { id, name, since: BigInt(since), sinceHash, until };
  });
}

function journalTasks(course: Course): readonly Task[] {
  const journals = journalsOf(course);
  const slices = journals.map((journal) =>
    sliceTask(journal, { settings: byKey(course), others: course.ledger === null }),
  );
  if (!readsTables(course)) return slices;
  const heads = new Map(journals.map(({ id, until }) => [id, until]));
  return [...slices, ...TABLES.map((table) => tableTask(table, heads, byKey(course)))];
}

/** An audit of one ledger reads no whole table, and one that began at a row knows no counts before it. */
function readsTables({ ledger, whole }: Course): boolean {
  return ledger === null && whole;
}

/** What needs the sums of all slices. */
function endTasks(course: Course, expect: readonly Checkpoint[]): readonly Task[] {
  const journals = journalsOf(course);
  const counts = (task: string, name: string | number) => course.positions[task]?.counts[name] ?? 0;
  const wrong = journals.filter(({ id }) => counts('table entries', id) !== counts(`journal ${id}`, 'entries'));
  return [
    ...(readsTables(course) ? wrong.map(({ id, until }) => entriesTask(id, until, byKey(course))) : []),
    {
      name: 'end',
      settings: byKey(course),
      sizes: ONCE,
      step: async (connection, position) => {
        const found: (readonly [string, Found])[] = [...headFlaws(course)].map((one) => ['journal.head', one] as const);
        if (readsTables(course)) {
          for (const { id: ledger } of journals) {
            for (const table of TABLES) {
              const [bySlices, byTable] = [counts(`journal ${ledger}`, table), counts(`table ${table}`, ledger)];
              // With many ledgers, a statement for each would take long.
              if (bySlices === byTable) continue;
              found.push(...(await compareCounts(connection, table, { ledger, bySlices, byTable })));
            }
          }
        }
        if (course.whole) {
          const settled = await countSettled(connection, course, journals);
          for (const one of await collect(connection, keptOfAccepted(course.ledger, settled)))
            found.push(['accepted.kept', one]);
        }
        for (const one of await missedLedgers(connection, course)) found.push(['ledgers.fields', one]);
        for await (const flaw of compareHashes(connection, expect, namesOf(course))) {
          if (typeof flaw !== 'number') found.push(['journal.expected', toFound(flaw)]);
        }
        return { position: { ...position, done: true }, found, rows: [], progress: 0 } satisfies Outcome;
      },
    },
  ];
}

/** Ledgers are never removed or renamed: those with which the audit began are there. */
async function missedLedgers(connection: Connection, course: Course): Promise<readonly Found[]> {
  const names = await loadNames(connection, scopeOf(course));
  return course.ledgers.flatMap(({ id, name }) => {
    const found = names.get(id) ?? 'none';
    if (found === name) return [];
    return [toFound({ ledger: id, journal: null, what: 'ledger that was audited before', expected: name, found })];
  });
}

/** The slices end with the rows that the heads named. */
function* headFlaws(course: Course): Generator<Found> {
  const names = namesOf(course);
  const own = course.heads.filter(({ ledger }) => names.has(ledger));
  for (const flaw of compareEnds(own, (ledger) => lastOf(course, ledger))) yield toFound(flaw);
}

/** The last row of a ledger's journal that its slices read. */
export function lastOf(course: Course, ledger: number): Link {
  const position = course.positions[`journal ${ledger}`];
  const saved = course.ledgers.find(({ id }) => id === ledger);
  if (position === undefined || saved === undefined) return BEGINNING;
  const isEmpty = position.at === null || position.at === '0';
  if (isEmpty) return BEGINNING;
  return { number: BigInt(position.at ?? 0), settledAt: null, hash: position.hash, previousHash: null };
}

/** SQL: how many transfers of each journal had been pending, by the slices and the rows after them. */
async function countSettled(
  connection: Connection,
  { positions, ledger }: Course,
  journals: readonly Journal[],
): Promise<string> {
  // The rows after the slices, of ledgers that were created meanwhile, too.
  const ends = journals.map(({ id, until }) => `(${id}::integer, ${until}::bigint)`);
  const later = await readAll(
    connection,
    `select ledgers.id, coalesce(later.total, 0)
     from ledgers
     left join (values ${['(null::integer, null::bigint)', ...ends].join(', ')}) as sliced (ledger_id, until)
       on sliced.ledger_id = ledgers.id
     cross join lateral (
       select sum(intake_count) as total
       from journal
       where journal.ledger_id = ledgers.id and number > coalesce(until, 0)
     ) as later
     ${ledger === null ? '' : `where ledgers.id = ${ledger}`}`,
  );
  const totals = later.map(([id, total]) => {
    const summed = positions[`journal ${id}`]?.counts['intake'] ?? 0;
    return `(${Number(id)}::integer, ${summed + Number(total)}::numeric)`;
  });
  return `(select * from (values ${['(null::integer, null::numeric)', ...totals].join(', ')}) as totals (ledger_id, total))`;
}
