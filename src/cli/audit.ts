// gopherpay audit: proves the promises from the stored rows, and prints the last journal row that it verified.
import { defineCommand } from 'citty';
import { z } from 'zod';
import { readConfig } from '../config.ts';
import { type DatabaseSettings, type DatabaseTimeouts, readingTimeouts } from '../db/connection/connect.ts';
import { ArchivedScopeError, type AuditEvent, type AuditOptions, withAudit } from '../db/audit/audit.ts';
import type { Checkpoint } from '../db/audit/chain.ts';
import { isDistributed } from '../db/connection/distributed.ts';
import { areLarge, auditInSlices, MismatchError } from '../db/audit/many.ts';
import { type SnapshotLimits, withSnapshots } from '../db/audit/snapshots.ts';
import { MAIN_LEDGER } from '../domain/ledger.ts';
import {
  CommandError,
  EXIT,
  findLedgerOf,
  interruptible,
  ledgerName,
  parseArguments,
  withConnection,
  withDatabase,
} from './command.ts';
import { writeAuditMetrics } from './audit-metrics.ts';
import { type AuditVerdict, countOf, observe, renderJson, renderText } from './audit-output.ts';
import { openState } from './audit-state.ts';
import { EXPECT_ARGS, expectOptions, LIMIT_ARGS, limitOption, readExpected, wrongExpectation } from './expected.ts';
import { exitOf } from './exit.ts';
import { writeStandardOutput } from './file.ts';

const JOURNAL_NUMBER = /^\d{1,18}$/;

type Wanted = {
  readonly json: boolean;
  /** Null: all ledgers. */
  readonly ledger: string | null;
  readonly since: bigint | null;
  readonly expect: readonly Checkpoint[];
  readonly discrepanciesMax: number;
  /** The file for the metrics; null: none. */
  readonly metricsFile: string | null;
  readonly snapshots: SnapshotsWanted;
};

/** Null: many snapshots for large books, one for small ones. */
type SnapshotsWanted =
  | null
  | 'one'
  | { readonly limits: SnapshotLimits; readonly state: { readonly file: string; readonly key: string | null } | null };

const LIMITS: SnapshotLimits = { jobs: 2, snapshotMaxMs: 60_000 };

export const audit = defineCommand({
  meta: {
    name: 'audit',
    description: 'Prove that the books are whole: every balance, every transfer, the whole journal of every ledger.',
  },
  args: {
    json: { type: 'boolean', description: 'One JSON object a line: discrepancies, checks, and a summary as the last' },
    ledger: { type: 'string', description: 'Audit only this ledger', valueHint: 'NAME' },
    since: { type: 'string', description: 'Audit only what came after this row of the journal', valueHint: 'NUMBER' },
    ...EXPECT_ARGS,
    ...LIMIT_ARGS,
    'metrics-file': {
      type: 'string',
      description: 'Write the result as metrics, for the textfile collector of Prometheus',
      valueHint: 'FILE',
    },
    'one-snapshot': { type: 'boolean', description: 'One long snapshot, also of large books' },
    jobs: { type: 'string', description: 'Many short snapshots, so many at once (2)', valueHint: 'N' },
    'snapshot-max': { type: 'string', description: 'Many snapshots, none longer than this (60)', valueHint: 'SECONDS' },
    state: {
      type: 'string',
      description: 'Many snapshots: go on where the audit in this file was interrupted, or after it ended',
      valueHint: 'FILE',
    },
    'state-key': { type: 'string', description: 'Sign and verify that file with this private key', valueHint: 'FILE' },
  },
  async run({ args }) {
    const wanted = await parseOptions(args);
    const config = readConfig();
    const timeouts = readingTimeouts(config.readingTimeoutMs);
    await interruptible(async (signal) => {
      await withDatabase(config, 'reader', async (database) => {
        await printAudit(database, wanted, { timeouts, signal });
      });
    });
  },
});

/** Audits the books, and prints what it finds. Throws a CommandError if they are not whole. */
export async function printAudit(database: DatabaseSettings, wanted: Wanted, options: Options): Promise<AuditVerdict> {
  const { json, since, metricsFile } = wanted;
  const startedAt = performance.now();
  const ended: { verdict?: AuditVerdict } = {};
  const ledger = await findAudited(database, wanted.ledger, options);
  await withEvents(database, { ...wanted, ledger }, options, async (events) => {
    const observed = observe(events, ended, process.stderr.isTTY && !(json && process.stdout.isTTY));
    const texts = json ? renderJson(observed, wanted) : renderText(observed, since);
    await writeStandardOutput(texts, options.signal);
  });
  const { verdict } = ended;
  if (!verdict) throw new Error('The audit ended without a verdict.');
  if (metricsFile !== null) await writeAuditMetrics(metricsFile, verdict, performance.now() - startedAt);
  if (verdict.discrepancies > 0) {
    throw new CommandError(EXIT.discrepancy, `The books are not whole: ${countOf(verdict.discrepancies)}.`);
  }
  return verdict;
}

type Options = { timeouts: DatabaseTimeouts; signal: AbortSignal };

/** Audits in one snapshot or in many, as wanted, or as the size of the books demands. */
async function withEvents(
  database: DatabaseSettings,
  wanted: AuditOptions & Pick<Wanted, 'snapshots'>,
  options: Options,
  work: (events: AsyncGenerator<AuditEvent>) => Promise<void>,
): Promise<void> {
  const snapshots = wanted.snapshots ?? (await chooseSnapshots(database, wanted, options));
  if (snapshots === 'one') {
    await withAudit(database, wanted, options, work).catch(refuseArchived);
    return;
  }
  await refuseDistributed(database, options);
  const { limits, state } = snapshots;
  const saved = await openState(state);
  try {
    await withSnapshots(database, options, limits, async (taken) => await work(auditInSlices(taken, wanted, saved)));
  } catch (error) {
    if (error instanceof MismatchError) {
      throw new CommandError(EXIT.wrongUsage, `The option --state is wrong: ${state?.file} ${error.message}.`);
    }
    if (error instanceof ArchivedScopeError) return refuseArchived(error);
    throw state === null ? error : explainState(error, state.file);
  } finally {
    await saved.flush();
  }
}

/** An audit does not connect again by itself: the operator learns that the next one goes on. */
function explainState(error: unknown, file: string): unknown {
  const { exitCode, sentence } = exitOf(error);
  if (exitCode !== EXIT.outOfReach) return error;
  return new CommandError(exitCode, `${sentence} Then run the same command again: it goes on from ${file}.`);
}

/** Blocks of tables, which an audit in many snapshots reads, are those of one server. */
async function refuseDistributed(database: DatabaseSettings, options: Options): Promise<void> {
  const applicationName = 'gopherpay audit';
  if (
    !(await withConnection(database, { ...options, applicationName }, async (connection) => isDistributed(connection)))
  ) {
    return;
  }
  throw new CommandError(
    EXIT.wrongUsage,
    'On Citus each ledger is audited in one snapshot of its own: leave out --jobs, --snapshot-max and --state.',
  );
}

/** Explains that archived months are audited whole. Throws any other error again. */
function refuseArchived(error: unknown): never {
  if (!(error instanceof ArchivedScopeError)) throw error;
  throw new CommandError(
    EXIT.wrongUsage,
    `${error.message} Their entries follow from all their transfers together: audit with --one-snapshot, or only what came after them, with --ledger and --since=${error.journalNumber}.`,
  );
}

async function chooseSnapshots(
  database: DatabaseSettings,
  wanted: AuditOptions,
  options: Options,
): Promise<NonNullable<SnapshotsWanted>> {
  const applicationName = 'gopherpay audit';
  const large = await withConnection(
    database,
    { ...options, applicationName },
    async (connection) => await areLarge(connection, wanted),
  );
  return large ? { limits: LIMITS, state: null } : 'one';
}

async function parseOptions(args: Readonly<Record<string, unknown>>): Promise<Wanted> {
  const parsed = parseArguments(
    {
      json: z.boolean().default(false),
      ledger: ledgerName.optional(),
      since: z
        .string()
        .regex(JOURNAL_NUMBER, 'must be the number of a row of the journal')
        .transform(BigInt)
        .optional(),
      ...expectOptions,
      ...limitOption,
      'metrics-file': z.string().min(1, 'must be a file').optional(),
      ...SNAPSHOT_OPTIONS,
    },
    args,
  );
  const since = parsed.since ?? null;
  // Each ledger has its own journal, so a row number needs a ledger.
  const ledger = parsed.ledger ?? (since === null || since === 0n ? null : MAIN_LEDGER.name);
  const expect = await readExpected(parsed, () => ledger);
  if (since !== null && expect.some(({ number }) => number < since)) {
    throw wrongExpectation('its row must not come before that of --since');
  }
  const metricsFile = parsed['metrics-file'] ?? null;
  const snapshots = snapshotsOf(parsed);
  return { json: parsed.json, ledger, since, expect, discrepanciesMax: parsed.limit, metricsFile, snapshots };
}

const SNAPSHOT_OPTIONS = {
  'one-snapshot': z.boolean().default(false),
  jobs: z
    .string()
    .regex(/^([1-9]|[1-5]\d|6[0-4])$/, 'must be a whole number from 1 to 64')
    .transform(Number)
    .optional(),
  'snapshot-max': z
    .string()
    .regex(/^([1-9]\d{0,3})$/, 'must be a whole number of seconds, from 1 to 9999')
    .transform(Number)
    .optional(),
  state: z.string().min(1, 'must be a file').optional(),
  'state-key': z.string().min(1, 'must be a file').optional(),
};

function snapshotsOf(parsed: z.output<z.ZodObject<typeof SNAPSHOT_OPTIONS>>): SnapshotsWanted {
  const { jobs, state, 'snapshot-max': max, 'state-key': key } = parsed;
  const isMany = jobs !== undefined || max !== undefined || state !== undefined;
  if (key !== undefined && state === undefined) {
    throw new CommandError(EXIT.wrongUsage, 'The option --state-key needs --state.');
  }
  if (parsed['one-snapshot'] && isMany) {
    throw new CommandError(EXIT.wrongUsage, 'The option --one-snapshot excludes --jobs, --snapshot-max and --state.');
  }
  if (parsed['one-snapshot']) return 'one';
  if (!isMany) return null;
  const limits = { jobs: jobs ?? LIMITS.jobs, snapshotMaxMs: max === undefined ? LIMITS.snapshotMaxMs : max * 1000 };
  return { limits, state: state === undefined ? null : { file: state, key: key ?? null } };
}

/** The id of the ledger to audit; null: all. */
async function findAudited(database: DatabaseSettings, name: string | null, options: Options): Promise<number | null> {
  if (name === null) return null;
  const { id } = await findLedgerOf(database, name, 'gopherpay audit', options);
  return id;
}
