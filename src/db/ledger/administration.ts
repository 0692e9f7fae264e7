// The log of administration and refusals. Administration is covered by a row of the journal of its ledger.
import { randomUUIDv7 } from 'node:crypto';
import type { Ledger } from '../../domain/ledger.ts';
import type { Queryable } from '../connection/connect.ts';
import { isDistributed } from '../connection/distributed.ts';
import { appendToJournal, lockJournal } from './journal.ts';
import { recordDistributed } from './records-distributed.ts';
import { micros } from './locked-job.ts';

/** What was administered, as the log names it. */
export type AdministrationAction =
  | 'key.created'
  | 'key.rotated'
  | 'key.revoked'
  | 'ledger.created'
  | 'ledger.clock_advanced'
  | 'ledger.approval_rule'
  | 'ledger.month_archived'
  | 'ledger.month_closed'
  | 'approval.requested'
  | 'approval.approved'
  | 'approval.rejected'
  | 'webhook.created'
  | 'webhook.changed'
  | 'webhook.secret_rotated'
  | 'webhook.deleted';

export type Administration = {
  readonly action: AdministrationAction;
  /** The id of a key, or `cli:` and a user of the operating system. Null: the service has no keys. */
  readonly actor: string | null;
  /** The key, ledger, approval or webhook. */
  readonly subject: string;
  /** Further facts, rendered as JSON. No secrets, no personal data. */
  readonly details: Readonly<Record<string, unknown>>;
};

/** Equal refusals of one caller. */
export type Refusals = {
  readonly ledgerId: number;
  /** The code of the problem. */
  readonly code: string;
  readonly actor: string | null;
  /** The method and the pattern of the route. */
  readonly subject: string;
  readonly address: string;
  readonly count: number;
};

/**
 * Writes an administrative act to the log and to the journal. It is the last statement of its transaction, because it
 * takes the lock of the journal's head.
 */
export async function recordAdministration(
  connection: Queryable,
  ledger: Ledger,
  { action, actor, subject, details }: Administration,
): Promise<void> {
  const act = [randomUUIDv7(), action, actor, subject, JSON.stringify(details)] as const;
  if (isDistributed(connection)) return await recordDistributed(connection, ledger, act);
  await lockJournal(connection, ledger);
  await connection.query({
    name: 'record administration',
    text: `
      with act as (
        select sha256(convert_to(
          concat_ws(
            chr(31), $3::uuid, $4::text, coalesce($5::text, ''), $6::text, $7::text, ${micros('statement_timestamp()')}
          ) || chr(30),
          'UTF8'
        )) as digest
      ), ${appendToJournal({
        ledgerId: '$1::integer',
        ledger: '$2::text',
        instant: 'statement_timestamp()',
        transferCount: '0',
        intakeCount: '0',
        changeCount: '1',
        digest: '(select digest from act)',
      })}
      insert into audit_log (ledger_id, at, journal_number, id, action, actor, subject, details)
      select $1::integer, statement_timestamp(), number, $3::uuid, $4::text, $5::text, $6::text, $7::text
      from journaled`,
    values: [ledger.id, ledger.name, ...act],
  });
}

/** Writes refusals to the log. They have no row of the journal. */
export async function recordRefusals(connection: Queryable, refusals: readonly Refusals[]): Promise<void> {
  await connection.query({
    name: 'record refusals',
    text: `
      insert into audit_log (ledger_id, id, action, count, actor, subject, address, details)
      select ledger_id, id, 'refused', count, actor, subject, address, json_build_object('code', code)
      from unnest($1::integer[], $2::uuid[], $3::integer[], $4::text[], $5::text[], $6::text[], $7::text[])
        as refusal (ledger_id, id, count, actor, subject, address, code)`,
    values: [
      refusals.map(({ ledgerId }) => ledgerId),
      refusals.map(() => randomUUIDv7()),
      refusals.map(({ count }) => count),
      refusals.map(({ actor }) => actor),
      refusals.map(({ subject }) => subject),
      refusals.map(({ address }) => address),
      refusals.map(({ code }) => code),
    ],
  });
}
