// Judges the stored rows by the promises of docs/ARCHITECTURE.md, in SQL of its own: nothing here may come from src/,
// and the audit may use nothing of this. All rules read one snapshot, so that a service may run meanwhile.
import { AssertionError } from 'node:assert';
import { Client, type ClientConfig } from 'pg';
import { ALL_DELIVERED, BETWEEN_RULES } from './between-ledgers.ts';
import { HOLD_RULES } from './holds.ts';
import { JOURNAL_RULES } from './journal.ts';
import { MONEY_RULES, NEVER_OVERDRAWN } from './money.ts';
import { acceptedExist, NOTHING_PENDING, NOTHING_QUARANTINED, REQUEST_RULES } from './requests.ts';
import type { Rule } from './rule.ts';

export type Violation = {
  promise: number;
  rule: string;
  /** How many rows break it, and the first few of them. */
  count: number;
  rows: Record<string, unknown>[];
};

export type CheckOptions = {
  /** True where overdraft limits have been lowered: then old running balances may lie below today's limit. */
  limitsChanged?: boolean;
  /** Ids of transfers that were reported as accepted: each must be stored. */
  accepted?: readonly string[];
  /** True when no transfer may be pending any more. */
  nothingPending?: boolean;
  /** True when no transfer between ledgers may be open any more. */
  allDelivered?: boolean;
  /** True when every transfer could be settled. */
  nothingQuarantined?: boolean;
};

const ROWS_SHOWN_MAX = 3;

/** Throws one AssertionError that lists every broken rule with its first rows, if any is broken. */
export async function checkPromises(database: { admin: ClientConfig }, options: CheckOptions = {}): Promise<void> {
  const client = new Client(database.admin);
  client.on('error', () => {});
  await client.connect();
  try {
    await client.query('begin isolation level repeatable read, read only');
    const violations = await findViolations(client, options);
    if (violations.length > 0) throw new AssertionError({ message: render(violations), stackStartFn: checkPromises });
  } finally {
    await client.end();
  }
}

/** Returns every broken rule, as the client's open transaction sees the data. */
export async function findViolations(client: Pick<Client, 'query'>, options: CheckOptions = {}): Promise<Violation[]> {
  // Read the tables and not their indexes, which may be corrupt; and join large sets by hashing, because a table that
  // was just filled may have no statistics.
  await client.query(`
    set local enable_indexscan = off;
    set local enable_indexonlyscan = off;
    set local enable_bitmapscan = off;
    set local enable_nestloop = off;
    set local work_mem = '256MB';
    set local jit = off;
    set local timezone = 'UTC'`);
  const violations: Violation[] = [];
  for (const { promise, rule, sql, parameters } of listRules(options)) {
    const broken = await client.query<{ count: number; rows: Record<string, unknown>[] }>(
      `
      with broken as materialized (${sql})
      select
        (select count(*)::integer from broken) as count,
        coalesce((select jsonb_agg(to_jsonb(shown)) from (select * from broken limit ${ROWS_SHOWN_MAX}) as shown), '[]') as rows`,
      parameters ? [...parameters] : [],
    );
    for (const { count, rows } of broken.rows) {
      if (count > 0) violations.push({ promise, rule, count, rows });
    }
  }
  return violations;
}

/** The rules that apply: all but those that the options leave out. */
export function listRules(options: CheckOptions): Rule[] {
  const {
    limitsChanged = false,
    accepted = [],
    nothingPending = false,
    allDelivered = false,
    nothingQuarantined = false,
  } = options;
  return [
    ...MONEY_RULES,
    ...(limitsChanged ? [] : [NEVER_OVERDRAWN]),
    ...HOLD_RULES,
    ...BETWEEN_RULES,
    ...(allDelivered ? [ALL_DELIVERED] : []),
    ...REQUEST_RULES,
    ...(accepted.length > 0 ? [acceptedExist(accepted)] : []),
    ...(nothingPending ? [NOTHING_PENDING] : []),
    ...(nothingQuarantined ? [NOTHING_QUARANTINED] : []),
    ...JOURNAL_RULES,
  ];
}

function render(violations: readonly Violation[]): string {
  const lines = violations.map(
    ({ promise, rule, count, rows }) =>
      `promise ${promise}: ${rule}: broken ${count} times, such as\n${rows.map((row) => `    ${JSON.stringify(row)}`).join('\n')}`,
  );
  return `The ledger breaks its promises.\n  ${lines.join('\n  ')}`;
}
