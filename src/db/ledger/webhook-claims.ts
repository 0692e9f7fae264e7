// The claims of processes on the lines of webhooks. A claim ends by itself, by the database's clock, unless it is
// renewed. Every statement that moves a cursor names the process that holds the claim, and moves nothing without it.
import type { EventFilter } from '../../domain/event.ts';
import type { Ledger } from '../../domain/ledger.ts';
import type { QueryResultRow } from 'pg';
import type { Queryable } from '../connection/connect.ts';
import { isDistributed } from '../connection/distributed.ts';
import { CLAIM_ONE, RENEW_ONE } from './webhook-claims-distributed.ts';
import { type DisabledReason, type FilterRow, toFilter } from '../queries/webhooks.ts';

/** How far a line has come. */
export type LineState = {
  /** The last row of the journal that is done, and how many records of the next one are. */
  readonly journalNumber: bigint;
  readonly position: number;
  readonly deliveryNumber: bigint;
  /** How often the next delivery has failed, and since when; null: it has not. */
  readonly attempts: number;
  readonly failingSince: Date | null;
  readonly nextAttemptAt: Date | null;
};

/** A line that this process holds. */
export type ClaimedLine = {
  readonly ledger: Ledger;
  readonly endpointId: string;
  readonly url: string;
  readonly filter: EventFilter;
  /** The secrets that sign: that of now first. */
  readonly secrets: readonly string[];
  readonly state: LineState;
};

/** One attempt, as it is stored. */
export type Attempt = {
  readonly number: bigint;
  readonly journalNumber: bigint;
  readonly position: number;
  readonly eventId: string;
  readonly type: string;
  readonly attemptedAt: Date;
  readonly status: number | null;
  readonly error: string | null;
};

type Claim = { readonly holder: string; readonly claimMs: number };

/** The line of an endpoint. */
export type LineId = { readonly ledgerId: number; readonly endpointId: string };

/**
 * Finds lines that have something to send and that no process holds: at most `limit`. Each ledger's line that has waited
 * longest comes first, then each one's second. `now`: the clock of the pauses between attempts. It reads two index entries
 * for each ledger, and the lines that are due: not those of other endpoints.
 */
export async function findDueLines(
  connection: Queryable,
  { limit, now }: { limit: number; now: Date },
): Promise<LineId[]> {
  const found = await connection.query<{ ledger_id: number; endpoint_id: string }>({
    name: 'find due webhooks',
    text: `
      with due as (
        select line.ledger_id, endpoint_id, claimed_until
        from journal_ends as head
        cross join lateral (
          select ledger_id, endpoint_id, claimed_until
          from webhook_cursors
          where webhook_cursors.ledger_id = head.ledger_id and journal_number < head.number
            and not disabled and failing_since is null and claimed_until <= now()
          order by claimed_until
          limit $1::integer
        ) as line
        union
        select ledger_id, endpoint_id, claimed_until
        from webhook_cursors
        where next_attempt_at <= $2::timestamptz and not disabled and failing_since is not null
          and claimed_until <= now()
        union
        select line.ledger_id, line.endpoint_id, claimed_until
        from (select distinct ledger_id, endpoint_id from webhook_deliveries where requested) as requested
        cross join lateral (
          select ledger_id, endpoint_id, claimed_until
          from webhook_cursors
          where webhook_cursors.ledger_id = requested.ledger_id
            and webhook_cursors.endpoint_id = requested.endpoint_id and not disabled and claimed_until <= now()
          limit 1
        ) as line
      )
      select ledger_id, endpoint_id
      from (
        select ledger_id, endpoint_id, claimed_until,
          row_number() over (partition by ledger_id order by claimed_until) as rank
        from due
      ) as ranked
      order by rank, claimed_until
      limit $1::integer`,
    values: [limit, now.toISOString()],
  });
  return found.rows.map((row) => ({ ledgerId: row.ledger_id, endpointId: row.endpoint_id }));
}

type ClaimedRow = FilterRow & {
  ledger_id: number;
  ledger: string;
  endpoint_id: string;
  url: string;
  secret: string;
  previous_secret: string | null;
  journal_number: bigint;
  position: number;
  delivery_number: bigint;
  attempts: number;
  failing_since: string | null;
  next_attempt_at: string | null;
};

/** Claims lines, except those that another process has claimed meanwhile. */
export async function claimLines(
  connection: Queryable,
  lines: readonly LineId[],
  { holder, claimMs }: Claim,
): Promise<ClaimedLine[]> {
  const claimed = isDistributed(connection)
    ? await eachAlone<ClaimedRow>(connection, { name: 'claim webhook', text: CLAIM_ONE }, lines, [holder, claimMs])
    : await claimTogether(connection, lines, { holder, claimMs });
  return claimed.flatMap((rows) => rows.map(toClaimedLine));
}

/** Runs a statement for each line. */
async function eachAlone<Row extends QueryResultRow>(
  connection: Queryable,
  statement: { readonly name: string; readonly text: string },
  lines: readonly LineId[],
  claim: readonly [holder: string, claimMs: number],
): Promise<Row[][]> {
  const found: Row[][] = [];
  for (const { ledgerId, endpointId } of lines) {
    const values = [...claim, ledgerId, endpointId];
    found.push((await connection.query<Row>({ ...statement, values })).rows);
  }
  return found;
}

async function claimTogether(
  connection: Queryable,
  lines: readonly LineId[],
  { holder, claimMs }: Claim,
): Promise<ClaimedRow[][]> {
  const claimed = await connection.query<ClaimedRow>({
    name: 'claim webhooks',
    text: `
      with due as (
        select line.ledger_id, line.endpoint_id, ledgers.name as ledger, url, types, account, kind, secret,
          case when previous_until > now() then previous_secret end as previous_secret
        from unnest($3::integer[], $4::uuid[]) as found (ledger_id, endpoint_id)
        join webhook_cursors as line on line.ledger_id = found.ledger_id and line.endpoint_id = found.endpoint_id
        join webhook_endpoints as endpoint on endpoint.ledger_id = line.ledger_id and endpoint.id = line.endpoint_id
        join ledgers on ledgers.id = line.ledger_id
        where disabled_reason is null and claimed_until <= now()
        -- A change that commits now is seen: only rows that are locked are read again.
        for update of line, endpoint skip locked
      )
      update webhook_cursors
      set claimed_by = $1::uuid, claimed_until = now() + $2::integer * interval '1 millisecond', changed = false
      from due
      where webhook_cursors.ledger_id = due.ledger_id and webhook_cursors.endpoint_id = due.endpoint_id
      returning due.*, journal_number, position, delivery_number, attempts, failing_since,
        case when failing_since is not null then next_attempt_at end as next_attempt_at`,
    values: [holder, claimMs, lines.map(({ ledgerId }) => ledgerId), lines.map(({ endpointId }) => endpointId)],
  });
  return [claimed.rows];
}

function toClaimedLine(row: ClaimedRow): ClaimedLine {
  return {
    ledger: { id: row.ledger_id, name: row.ledger },
    endpointId: row.endpoint_id,
    url: row.url,
    filter: toFilter(row),
    secrets: [row.secret, row.previous_secret].filter((secret) => secret !== null),
    state: {
      journalNumber: row.journal_number,
      position: row.position,
      deliveryNumber: row.delivery_number,
      attempts: row.attempts,
      failingSince: toDate(row.failing_since),
      nextAttemptAt: toDate(row.next_attempt_at),
    },
  };
}

function toDate(instant: string | null): Date | null {
  return instant === null ? null : new Date(instant);
}

type Line = Pick<ClaimedLine, 'ledger' | 'endpointId'>;

/**
 * Renews the claims of a process. changed: a caller changed the endpoint since the line was claimed. lost: this process does
 * not hold it any more. busy: another transaction has locked the line, so its claim was not renewed; waiting for the lock
 * would delay the other claims.
 */
export async function renewClaims(
  connection: Queryable,
  lines: readonly Line[],
  { holder, claimMs }: Claim,
): Promise<('held' | 'changed' | 'lost' | 'busy')[]> {
  const ids = lines.map(({ ledger, endpointId }) => ({ ledgerId: ledger.id, endpointId }));
  const statement = { name: 'renew webhook claim', text: RENEW_ONE };
  const renewed = isDistributed(connection)
    ? (await eachAlone<RenewedRow>(connection, statement, ids, [holder, claimMs])).map(([row]) => row)
    : await renewTogether(connection, ids, { holder, claimMs });
  return renewed.map((row) => {
    const { held = null, changed = null } = row ?? {};
    if (changed !== null) return changed ? 'changed' : 'held';
    return held === true ? 'busy' : 'lost';
  });
}

type RenewedRow = { held: boolean | null; changed: boolean | null };

async function renewTogether(
  connection: Queryable,
  lines: readonly LineId[],
  { holder, claimMs }: Claim,
): Promise<RenewedRow[]> {
  const renewed = await connection.query<RenewedRow>({
    name: 'renew webhook claims',
    text: `
      with held as (
        select line.ledger_id, line.endpoint_id
        from unnest($3::integer[], $4::uuid[]) as claimed (ledger_id, endpoint_id)
        join webhook_cursors as line on line.ledger_id = claimed.ledger_id and line.endpoint_id = claimed.endpoint_id
        where claimed_by = $1::uuid
        for update of line skip locked
      ), renewed as (
        update webhook_cursors
        set claimed_until = now() + $2::integer * interval '1 millisecond'
        from held
        where webhook_cursors.ledger_id = held.ledger_id and webhook_cursors.endpoint_id = held.endpoint_id
        returning webhook_cursors.ledger_id, webhook_cursors.endpoint_id, changed
      )
      select line.claimed_by = $1::uuid as held, renewed.changed
      from unnest($3::integer[], $4::uuid[]) with ordinality as claimed (ledger_id, endpoint_id, place)
      left join webhook_cursors as line on line.ledger_id = claimed.ledger_id and line.endpoint_id = claimed.endpoint_id
      left join renewed on renewed.ledger_id = claimed.ledger_id and renewed.endpoint_id = claimed.endpoint_id
      order by place`,
    values: [holder, claimMs, lines.map(({ ledgerId }) => ledgerId), lines.map(({ endpointId }) => endpointId)],
  });
  return renewed.rows;
}

/** Gives up a claim, and forgets deliveries beyond the last `kept`. */
export async function releaseClaim(
  connection: Queryable,
  { ledger, endpointId }: Line,
  { holder, kept }: { holder: string; kept: number },
): Promise<void> {
  await connection.query({
    name: 'release webhook claim',
    text: `
      with released as (
        update webhook_cursors
        set claimed_by = null, claimed_until = now()
        where ledger_id = $1::integer and endpoint_id = $2::uuid and claimed_by = $3::uuid
        returning delivery_number
      )
      delete from webhook_deliveries
      using released
      where ledger_id = $1::integer and endpoint_id = $2::uuid and number <= released.delivery_number - $4::bigint`,
    values: [ledger.id, endpointId, holder, kept],
  });
}

/** Disables an endpoint, unless it is disabled, or has another URL than the one that failed. Returns whether it did. */
export async function disableWebhook(
  connection: Queryable,
  { ledger, endpointId, url }: Line & Pick<ClaimedLine, 'url'>,
  reason: DisabledReason,
): Promise<boolean> {
  const disabled = await connection.query(
    `with endpoint as (
       update webhook_endpoints
       set disabled_reason = $3::text, disabled_at = now()
       where ledger_id = $1::integer and id = $2::uuid and disabled_reason is null and url = $4::text
       returning id
     )
     update webhook_cursors
     set disabled = true
     from endpoint
     where webhook_cursors.ledger_id = $1::integer and webhook_cursors.endpoint_id = endpoint.id`,
    [ledger.id, endpointId, reason, url],
  );
  return disabled.rowCount === 1;
}

/** A delivery that a caller asked to have sent again. */
export type RequestedDelivery = Pick<Attempt, 'number' | 'journalNumber' | 'position'>;

export async function loadRequested(connection: Queryable, line: Line, limit: number): Promise<RequestedDelivery[]> {
  const found = await connection.query<{ number: bigint; journal_number: bigint; position: number }>(
    `select number, journal_number, position
     from webhook_deliveries
     where ledger_id = $1::integer and endpoint_id = $2::uuid and requested
     order by number
     limit $3::integer`,
    [line.ledger.id, line.endpointId, limit],
  );
  return found.rows.map((row) => ({ number: row.number, journalNumber: row.journal_number, position: row.position }));
}

/** Writes that a requested delivery was tried. What was delivered before stays so. */
export async function recordRequested(
  connection: Queryable,
  line: Line,
  { number, attemptedAt, status, error }: Pick<Attempt, 'number' | 'attemptedAt' | 'status' | 'error'>,
): Promise<void> {
  await connection.query(
    `update webhook_deliveries
     set requested = false, attempts = attempts + 1, attempted_at = $4::timestamptz, status = $5::integer,
       error = $6::text, delivered = delivered or $6::text is null
     where ledger_id = $1::integer and endpoint_id = $2::uuid and number = $3::bigint`,
    [line.ledger.id, line.endpointId, number, attemptedAt.toISOString(), status, error],
  );
}
