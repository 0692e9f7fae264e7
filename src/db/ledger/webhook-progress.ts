// Writes how far the lines of webhooks have come.
import type { Queryable } from '../connection/connect.ts';
import { isDistributed } from '../connection/distributed.ts';
import type { Attempt, ClaimedLine, LineState } from './webhook-claims.ts';

// A failure of what a caller has changed since does not delay what comes next.
const MOVE = `
  update webhook_cursors
  set journal_number = $4::bigint, position = $5::integer, delivery_number = $6::bigint,
    attempts = case when changed and $8::timestamptz is not null then attempts else $7::integer end,
    failing_since = case when changed and $8::timestamptz is not null then failing_since else $8::timestamptz end,
    next_attempt_at = case
      when changed and $8::timestamptz is not null then next_attempt_at
      else coalesce($9::timestamptz, '-infinity')
    end
  where ledger_id = $1::integer and endpoint_id = $2::uuid and claimed_by = $3::uuid`;

// A delivery that has a row failed before. Another event has its number if the filter of the endpoint was changed since.
const writeFrom = (held: string, first: number) => {
  const types = ['bigint', 'bigint', 'integer', 'text', 'text', 'timestamptz', 'integer', 'text'];
  return `
  insert into webhook_deliveries (
    ledger_id, endpoint_id, number, journal_number, position, event_id, type, attempts, attempted_at, created_at,
    status, error, delivered
  )
  select ledger_id, endpoint_id, attempt.number, attempt.journal_number, attempt.position, attempt.event_id,
    attempt.type, 1, attempt.attempted_at, attempt.attempted_at, attempt.status, attempt.error, attempt.error is null
  from (${held}) as held
  cross join unnest(${types.map((type, index) => `$${first + index}::${type}[]`).join(', ')})
    as attempt (number, journal_number, position, event_id, type, attempted_at, status, error)
  on conflict (ledger_id, endpoint_id, number) do update
  set attempts = case when webhook_deliveries.event_id = excluded.event_id then webhook_deliveries.attempts else 0 end + 1,
    event_id = excluded.event_id, type = excluded.type, journal_number = excluded.journal_number,
    position = excluded.position, attempted_at = excluded.attempted_at, status = excluded.status,
    error = excluded.error, delivered = excluded.delivered`;
};

const RECORD = `
  with held as (${MOVE}
  returning ledger_id, endpoint_id
  ), written as (${writeFrom('select ledger_id, endpoint_id from held', 10)}
  )
  select exists (select from held) as held`;

const WRITE_ALONE = writeFrom(
  'select ledger_id, endpoint_id from webhook_cursors where ledger_id = $1::integer and endpoint_id = $2::uuid and claimed_by = $3::uuid',
  4,
);

/** Writes how far a line has come, with the attempts since. False: this process does not hold the claim any more. */
export async function recordProgress(
  connection: Queryable,
  { ledger, endpointId }: Pick<ClaimedLine, 'ledger' | 'endpointId'>,
  { holder, state, attempts }: { holder: string; state: LineState; attempts: readonly Attempt[] },
): Promise<boolean> {
  const line = [ledger.id, endpointId, holder];
  const moved = [
    ...line,
    state.journalNumber,
    state.position,
    state.deliveryNumber,
    state.attempts,
    state.failingSince?.toISOString(),
    state.nextAttemptAt?.toISOString(),
  ];
  const made = [
    attempts.map(({ number }) => number),
    attempts.map(({ journalNumber }) => journalNumber),
    attempts.map(({ position }) => position),
    attempts.map(({ eventId }) => eventId),
    attempts.map(({ type }) => type),
    attempts.map(({ attemptedAt }) => attemptedAt.toISOString()),
    attempts.map(({ status }) => status),
    attempts.map(({ error }) => error),
  ];
  if (isDistributed(connection)) {
    // Citus would commit one statement in two phases. The deliveries come first: if the process dies before the second
    // statement, the next one sends them again.
    const values = [...line, ...made];
    if (attempts.length > 0) await connection.query({ name: 'write webhook deliveries', text: WRITE_ALONE, values });
    const held = await connection.query({ name: 'move webhook cursor', text: MOVE, values: moved });
    return held.rowCount === 1;
  }
  const values = [...moved, ...made];
  const recorded = await connection.query<{ held: boolean }>({ name: 'record webhook progress', text: RECORD, values });
  return recorded.rows[0]?.held ?? false;
}
