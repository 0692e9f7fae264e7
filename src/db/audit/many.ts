// Audits the books in many short snapshots, so that no transaction of the audit keeps the server from removing dead rows.
// It proves what an audit in one snapshot proves: docs/AUDIT.md says why.
import { ArchivedScopeError, type AuditEvent, type AuditOptions, type JournalEnd } from './audit.ts';
import type { LedgerNames } from './chain.ts';
import { CHECKS } from './checks.ts';
import { type Course, journalsOf, lastOf, PHASES, type SavedLedger, scopeOf } from './course.ts';
import { isOverrun, readAll } from './cursor.ts';
import { addFound, addRows, noFindings, sortFound } from './findings.ts';
import { merge } from './merge.ts';
import type { Counted } from './rules.ts';
import type { Snapshots } from './snapshots.ts';
import { BEFORE_FIRST, findSchema, loadNames, type Outcome, type Position, type Task } from './step.ts';
import type { Connection, Queryable } from '../connection/connect.ts';

/** After a step that took half of it or twice as long, the next one is twice as large or half as large. */
const STEP_MS = 2000;
/** A step that cannot be made smaller may also be ended by the recovery of a standby. */
const RETRIES_MAX = 2;
/** The settings of the snapshot that finds out which ledgers there are. */
const PLAIN = { row_security: 'off', timezone: 'UTC', datestyle: 'ISO' };

/**
 * Books whose transfers, entries and journal are smaller, in bytes, are audited in one snapshot, unless the caller chooses.
 * They are about 200,000 transfers.
 */
const SMALL_BYTES = 100_000_000;

/**
 * Whether an audit in one snapshot would last so long that it delays the service, and one in many snapshots is possible: the
 * entries of archived months follow from all their transfers together.
 */
export async function areLarge(connection: Queryable, { ledger, since }: AuditOptions): Promise<boolean> {
  const { rows } = await connection.query<{ large: boolean | null }>(
    `select sum(pg_relation_size(to_regclass(name))) > $1::bigint as large
     from unnest(array['transfers', 'entries', 'journal']) as books (name)`,
    [SMALL_BYTES],
  );
  if (rows[0]?.large !== true) return false;
  const archived = await connection.query(
    `select
     from archived_months
     where ($1::integer is null or ledger_id = $1::integer) and journal_number > coalesce($2::bigint, 0)
     limit 1`,
    [ledger, since],
  );
  return archived.rows.length === 0;
}

/** How an audit in many snapshots starts, and how it is saved. */
export type Progress = {
  /** An audit that was interrupted, or one that ended: this one begins where it ended; null: neither. */
  readonly former: Course | null;
  /** Called after every step with the state of the audit. */
  readonly save: (course: Course) => Promise<void>;
};

/** A saved audit does not fit the books or the options. */
export class MismatchError extends Error {}

/** Audits the books. The events of discrepancies and checks come at the end, in the order of an audit in one snapshot. */
export async function* auditInSlices(
  snapshots: Snapshots,
  options: AuditOptions,
  { former, save }: Progress,
): AsyncGenerator<AuditEvent> {
  const planned = await planCourse(snapshots, options, former);
  const { course } = planned;
  yield { type: 'plan', checks: CHECKS.length, rows: planned.rows };
  for (const { name, tasks } of PHASES) {
    yield { type: 'started', check: name };
    const due = tasks(course, options.expect).filter(({ name: task }) => course.positions[task]?.done !== true);
    const steps = due.map((task) => runTask(snapshots, task, { course, options }));
    for await (const rows of merge(steps, snapshots.jobs)) {
      await save(course);
      yield { type: 'progress', rows };
    }
  }
  course.done = true;
  await save(course);
  yield* report(course, options);
}

/** Runs the steps of a task from where it stands. Yields how much of the plan is done by each. */
async function* runTask(
  snapshots: Snapshots,
  task: Task,
  { course, options }: { course: Course; options: AuditOptions },
): AsyncGenerator<number> {
  const sizeMax = Math.min(task.sizes.max, snapshots.itemsMax);
  let size = Math.min(task.sizes.first, sizeMax);
  let retries = 0;
  let position: Position = course.positions[task.name] ?? BEFORE_FIRST;
  while (!position.done) {
    const startedAt = performance.now();
    const from = position;
    const wanted = size;
    let outcome: Outcome;
    try {
      outcome = await snapshots.take(task.settings, async (connection) => await task.step(connection, from, wanted));
    } catch (error) {
      if (!isOverrun(error)) throw error;
      if (size === 1) retries += 1;
      if (retries > RETRIES_MAX) throw tooLong(task, error);
      size = Math.max(1, Math.floor(size / 4));
      continue;
    }
    const factor = STEP_MS / Math.max(1, performance.now() - startedAt);
    size = Math.min(sizeMax, Math.max(1, Math.floor(size * Math.min(2, Math.max(0.25, factor)))));
    ({ position } = outcome);
    // From here on without a pause, so that a saved state has all of a step or nothing.
    course.positions[task.name] = position;
    if (outcome.heads) {
      course.heads = outcome.heads.heads;
      course.at = outcome.heads.at;
    }
    for (const [check, found] of outcome.found) addFound(course.findings, check, found, options.discrepanciesMax);
    for (const [table, rows] of outcome.rows) addRows(course.findings, table, rows);
    yield outcome.progress;
  }
}

function tooLong({ name }: Task, cause: unknown): Error {
  return new Error(
    `A snapshot of the audit (${name}) takes longer than it may, and cannot be made smaller: raise --snapshot-max, or use --one-snapshot.`,
    { cause },
  );
}

type Planned = { readonly course: Course; readonly rows: number };

/** The audit to do: what remains of an interrupted one, what came after one that ended, or all. */
async function planCourse(snapshots: Snapshots, options: AuditOptions, former: Course | null): Promise<Planned> {
  return await snapshots.take(PLAIN, async (connection) => {
    const schema = await findSchema(connection);
    const scope = options.ledger === null ? { ledger: null, since: null } : { ledger: options.ledger, since: null };
    const [main] = await readAll(connection, 'select created_at::text from ledgers where id = 1');
    const books = main?.[0] ?? '';
    const names = await loadNames(connection, scope);
    if (former !== null && (former.books !== books || former.ledger !== options.ledger)) {
      throw new MismatchError('is of another database, or of other ledgers');
    }
    if (former?.done === false && options.since === null) {
      if (former.schema !== schema) throw new MismatchError('is of another schema');
      const remaining = former.ledgers.map((ledger) => ({
        ...ledger,
        since: former.positions[`journal ${ledger.id}`]?.at ?? ledger.since,
      }));
      await refuseArchived(connection, remaining);
      return { course: former, rows: await estimateRows(connection, former) };
    }
    const ledgers = ledgersToAudit(names, former, options.since);
    await refuseArchived(connection, ledgers);
    const course: Course = {
      books,
      schema,
      ledger: options.ledger,
      whole: ledgers.every(({ since }) => since === '0'),
      ledgers,
      heads: [],
      at: null,
      positions: {},
      findings: noFindings(),
      done: false,
    };
    return { course, rows: await estimateRows(connection, course) };
  });
}

/** Slices of archived months have no entries to compare. */
async function refuseArchived(connection: Connection, ledgers: Course['ledgers']): Promise<void> {
  const archived = await readAll(
    connection,
    'select ledger_id, max(journal_number) from archived_months group by ledger_id',
  );
  const ends = new Map(archived.map(([id, number]) => [Number(id), BigInt(number ?? 0)]));
  for (const { id, since } of ledgers) {
    const end = ends.get(id) ?? 0n;
    if (BigInt(since) < end) throw new ArchivedScopeError(end);
  }
}

/**
 * The ledgers that are there, and those of an audit that ended, which begin where it ended. Of these, one that is gone or
 * has another name stays in the course, under its former name, so that its rows are missed.
 */
function ledgersToAudit(names: LedgerNames, former: Course | null, since: bigint | null): readonly SavedLedger[] {
  const known = former?.done === true && since === null ? former.ledgers : [];
  const ids = new Set(known.map(({ id }) => id));
  const others = [...names].filter(([id]) => !ids.has(id));
  return [
    ...known.map((ledger) => (former === null ? ledger : afterFormer(former, ledger))),
    ...others.map(([id, name]) => ({ id, name, since: String(since ?? 0n), sinceHash: null })),
  ].sort((one, other) => (one.name < other.name ? -1 : 1));
}

function afterFormer(former: Course, ledger: SavedLedger): SavedLedger {
  // Rows in which discrepancies were found are audited again, until none is left.
  if (countFound(former) > 0) return ledger;
  const { number, hash } = lastOf(former, ledger.id);
  return { ...ledger, since: String(number), sinceHash: hash };
}

function countFound({ findings }: Course): number {
  return Object.values(findings.checks).reduce((sum, { total }) => sum + total, 0);
}

/** About how much progress there will be: rows of the journal, and of accounts and holds by the server's estimate. */
async function estimateRows(connection: Connection, { ledgers, schema, whole }: Course): Promise<number> {
  const since = ledgers.map(({ id, since: number }) => `(${id}, ${number}::bigint)`);
  if (since.length === 0) return 0;
  const tables = whole ? `'accounts', 'holds', 'reversed_amounts', 'idempotency_keys'` : `'accounts', 'holds'`;
  const [sum] = await readAll(
    connection,
    `select coalesce((
         select sum((
           select coalesce(max(number), 0) from ${schema}.journal where journal.ledger_id = known.id
         ) - known.since)
         from (values ${since.join(', ')}) as known (id, since)
       ), 0) + coalesce((
         select sum(greatest(reltuples, 0))
         from pg_class
         where relnamespace = '${schema}'::regnamespace and relname in (${tables})
       ), 0)`,
  );
  return Math.max(1, Math.round(Number(sum?.[0] ?? 0)));
}

function* report(course: Course, { discrepanciesMax, expect }: AuditOptions): Generator<AuditEvent> {
  const { findings } = course;
  const names = new Map(course.ledgers.map(({ id, name }) => [id, name]));
  const rowsOf = (tables: readonly Counted[]) => tables.reduce((sum, table) => sum + (findings.rows[table] ?? 0), 0);
  const impossible = CHECKS.filter(({ statements }) => statements(scopeOf(course), null) === null);
  const skippedChecks = new Set([
    ...impossible.map(({ name }) => name),
    ...(course.whole ? [] : ['once.keys', 'accepted.kept']),
  ]);
  const checks = [
    ...CHECKS.map(({ name, looksAt, others = 0 }) => ({ name, rows: rowsOf(looksAt) + others })),
    { name: 'journal.chain', rows: rowsOf(['journal', 'transfers']) },
    { name: 'journal.head', rows: rowsOf(['journal_head']) },
    ...(expect.length > 0 ? [{ name: 'journal.expected', rows: expect.length }] : []),
  ];
  let total = 0;
  for (const { name, rows } of checks) {
    const result = findings.checks[name] ?? { total: 0, kept: [] };
    for (const found of sortFound(result.kept).slice(0, discrepanciesMax)) {
      const ledger = found.ledger === null ? null : (names.get(found.ledger) ?? `id ${found.ledger}`);
      yield { type: 'discrepancy', check: name, ...found, ledger };
    }
    total += result.total;
    const skipped = skippedChecks.has(name);
    yield { type: 'check', check: name, rows: skipped ? 0 : rows, discrepancies: result.total, skipped };
  }
  const journals: JournalEnd[] = journalsOf(course).map(({ id, name, since }) => {
    const { number, hash } = lastOf(course, id);
    return {
      ledger: name,
      number: String(number),
      hash,
      discrepancies: findings.ledgers[id] ?? 0,
      ...(since > 0n && { since: String(since) }),
    };
  });
  yield { type: 'verdict', journals, at: course.at ?? '', discrepancies: total };
}
