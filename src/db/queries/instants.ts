// Instants in queries: rounded without loss of meaning, and closed once no later journal row can be settled at or
// before them.
import type { Ledger } from '../../domain/ledger.ts';
import type { Queryable } from '../connection/connect.ts';
import { journalEnd } from './journal-end.ts';

// PostgreSQL keeps microseconds and rounds to the nearest, so 23:59:59.9999999 would be the next day.
const EXTRA_DIGITS = /(\.\d{6})(\d+)/;

/** The last microsecond at or before an instant (RFC 3339): for `<=`. */
export function roundDown(instant: string): string {
  return instant.replace(EXTRA_DIGITS, '$1');
}

/** The first microsecond at or after an instant: for `>=` and `<`. */
export function roundUp(instant: string): string {
  // PostgreSQL rounds a seventh digit of 9 up, with the carry into the seconds, minutes and date.
  return instant.replace(EXTRA_DIGITS, (_, kept: string, extra: string) => (/[1-9]/.test(extra) ? `${kept}9` : kept));
}

/** SQL over a row of journal_ends: every later row of the journal is settled at or after this instant. */
export const CLOSED_UNTIL = 'coalesce(clock, greatest(settled_at, closed_until))';

/**
 * SQL over a row of journal_ends: the time of its ledger, never before the end of its journal. A constraint keeps the
 * journal behind a test clock. `now`: the real time, an SQL expression.
 */
export function ledgerTime(now: string): string {
  return `coalesce(clock, greatest(${now}, settled_at, closed_until))`;
}

// A journal in use closes its past by itself. Closing an idle one takes the lock of its head, so it is done at most ten
// times a second, however many callers ask. A test clock closes what is behind it.
const STATE = `
  select ${CLOSED_UNTIL} > $1::timestamptz as closed,
    case
      when clock is null
        and ${CLOSED_UNTIL} <= $1::timestamptz
        and $1::timestamptz < clock_timestamp()
        and ${CLOSED_UNTIL} < clock_timestamp() - interval '100 milliseconds'
      then clock_timestamp()
    end as close_at,
    case when clock is null then extract(epoch from $1::timestamptz - clock_timestamp())::float8 end as seconds_left
  from ${journalEnd('$2::integer')} as head`;

// The clock is read first: a distributed engine refuses an update that reads it beside columns. Jobs lock the head, so
// what was settled at or before the instant is committed when this is.
const CLOSE = `
  update journal_head
  set closed_until = $3::timestamptz
  where ledger_id = $2::integer and closed_until <= $1::timestamptz`;

/**
 * Closes a past instant of a ledger: afterwards every journal row settled at or before it is committed, and no other
 * can follow. A future instant (`secondsLeft`) is not closed, nor is any while the journal is busy: the caller then
 * retries in a moment. Null seconds: only an advance of the ledger's test clock closes it.
 */
export async function closeInstant(
  connection: Queryable,
  ledger: Ledger,
  instant: string,
): Promise<{ closed: boolean; secondsLeft: number | null }> {
  const values = [roundDown(instant), ledger.id];
  const result = await connection.query<{ closed: boolean; close_at: string | null; seconds_left: number | null }>({
    name: 'load state of instant',
    text: STATE,
    values,
  });
  const row = result.rows[0];
  const secondsLeft = row?.seconds_left ?? null;
  const closeAt = row?.close_at ?? null;
  if (closeAt === null) return { closed: row?.closed ?? false, secondsLeft };
  // If another process has closed the instant meanwhile, no row is updated.
  await connection.query({ name: 'close instant', text: CLOSE, values: [...values, closeAt] });
  return { closed: true, secondsLeft };
}
