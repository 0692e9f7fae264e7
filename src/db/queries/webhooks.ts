// Reads webhooks: endpoints without their secrets, their deliveries, and how far they are behind.
import type { EventFilter, EventType } from '../../domain/event.ts';
import type { Ledger } from '../../domain/ledger.ts';
import type { TransferKind } from '../../domain/transfer.ts';
import type { Queryable } from '../connection/connect.ts';

/** Why an endpoint gets nothing. paused: by a caller; gone: the receiver answered 410; failing: it failed for days. */
export type DisabledReason = 'paused' | 'gone' | 'failing';

export type WebhookRecord = {
  readonly id: string;
  readonly url: string;
  readonly description: string | null;
  readonly filter: EventFilter;
  /** Null: it is enabled. */
  readonly disabledReason: DisabledReason | null;
  readonly disabledAt: string | null;
  /** Until when the secret before the last rotation signs too; null: it does not. */
  readonly previousUntil: string | null;
  readonly createdAt: string;
  /** The last row of the journal that is done. */
  readonly journalNumber: bigint;
  /** Since when the delivery that is next has failed; null: it has not. */
  readonly failingSince: string | null;
  readonly nextAttemptAt: string | null;
};

export type DeliveryRecord = {
  readonly number: bigint;
  readonly eventId: string;
  readonly type: string;
  readonly journalNumber: bigint;
  readonly delivered: boolean;
  /** Whether a caller asked to have it sent again, and that was not done yet. */
  readonly requested: boolean;
  readonly attempts: number;
  readonly attemptedAt: string;
  /** The status of the last answer; null: there was none. */
  readonly status: number | null;
  /** Why the last attempt failed; null: it did not. */
  readonly error: string | null;
  readonly createdAt: string;
};

export type FilterRow = { types: EventType[] | null; account: string | null; kind: TransferKind | null };

type WebhookRow = FilterRow & {
  id: string;
  url: string;
  description: string | null;
  disabled_reason: DisabledReason | null;
  disabled_at: string | null;
  previous_until: string | null;
  created_at: string;
  journal_number: bigint;
  failing_since: string | null;
  next_attempt_at: string | null;
};

const WEBHOOKS = `
  select id, url, description, types, account, kind, disabled_reason, disabled_at,
    case when previous_until > now() then previous_until end as previous_until, created_at, journal_number,
    failing_since, case when failing_since is not null then next_attempt_at end as next_attempt_at
  from webhook_endpoints
  join webhook_cursors
    on webhook_cursors.ledger_id = webhook_endpoints.ledger_id and webhook_cursors.endpoint_id = webhook_endpoints.id`;

export async function loadWebhook(
  connection: Queryable,
  ledger: Ledger,
  id: string,
): Promise<WebhookRecord | undefined> {
  const found = await connection.query<WebhookRow>(
    `${WEBHOOKS} where webhook_endpoints.ledger_id = $1::integer and webhook_endpoints.id = $2::uuid`,
    [ledger.id, id],
  );
  return found.rows.map(toRecord)[0];
}

/** At most `limit` endpoints of a ledger that follow the one `after`. */
export async function listWebhooks(
  connection: Queryable,
  ledger: Ledger,
  { limit, after, newestFirst }: { limit: number; after: string | null; newestFirst: boolean },
): Promise<WebhookRecord[]> {
  const [comparison, direction] = newestFirst ? ['<', 'desc'] : ['>', 'asc'];
  const found = await connection.query<WebhookRow>(
    `${WEBHOOKS}
     where webhook_endpoints.ledger_id = $1::integer and ($2::uuid is null or webhook_endpoints.id ${comparison} $2::uuid)
     order by webhook_endpoints.id ${direction}
     limit $3::integer`,
    [ledger.id, after, limit],
  );
  return found.rows.map(toRecord);
}

type DeliveryRow = {
  number: bigint;
  event_id: string;
  type: string;
  journal_number: bigint;
  delivered: boolean;
  requested: boolean;
  attempts: number;
  attempted_at: string;
  status: number | null;
  error: string | null;
  created_at: string;
};

const DELIVERY_COLUMNS =
  'number, event_id, type, journal_number, delivered, requested, attempts, attempted_at, status, error, created_at';

/** At most `limit` deliveries of an endpoint that follow the one `after`. */
export async function listDeliveries(
  connection: Queryable,
  ledger: Ledger,
  endpointId: string,
  { limit, after, newestFirst }: { limit: number; after: bigint | null; newestFirst: boolean },
): Promise<DeliveryRecord[]> {
  const [comparison, direction] = newestFirst ? ['<', 'desc'] : ['>', 'asc'];
  const found = await connection.query<DeliveryRow>(
    `select ${DELIVERY_COLUMNS}
     from webhook_deliveries
     where ledger_id = $1::integer and endpoint_id = $2::uuid and ($3::bigint is null or number ${comparison} $3::bigint)
     order by number ${direction}
     limit $4::integer`,
    [ledger.id, endpointId, after, limit],
  );
  return found.rows.map(toDelivery);
}

export async function loadDelivery(
  connection: Queryable,
  ledger: Ledger,
  endpointId: string,
  number: bigint,
): Promise<DeliveryRecord | undefined> {
  const found = await connection.query<DeliveryRow>(
    `select ${DELIVERY_COLUMNS}
     from webhook_deliveries
     where ledger_id = $1::integer and endpoint_id = $2::uuid and number = $3::bigint`,
    [ledger.id, endpointId, number],
  );
  return found.rows.map(toDelivery)[0];
}

/**
 * All endpoints of the database together, by why they are disabled. `lagSeconds`: the age of the oldest event that an
 * enabled one has not received, except in ledgers with a test clock: their events have no age.
 */
export type WebhookState = Readonly<Record<'enabled' | DisabledReason | 'lagSeconds', number>> & {
  /** The same age for each of the ledgers that are most behind. */
  readonly lagByLedger: readonly (readonly [ledger: string, seconds: number])[];
};

/** Metrics have a series for each of these ledgers. */
const LAGGING_LEDGERS_MAX = 20;

type StateRow = Record<'enabled' | DisabledReason, number> & { ledgers: string[]; lags: number[] };

export async function loadWebhookState(connection: Queryable): Promise<WebhookState> {
  const found = await connection.query<StateRow>({
    name: 'load webhook state',
    text: `
      select endpoints.*, lag.ledgers, lag.seconds as lags
      from (
        select (count(*) filter (where disabled_reason is null))::integer as enabled,
          (count(*) filter (where disabled_reason = 'paused'))::integer as paused,
          (count(*) filter (where disabled_reason = 'gone'))::integer as gone,
          (count(*) filter (where disabled_reason = 'failing'))::integer as failing
        from webhook_endpoints
      ) as endpoints
      cross join (
        select coalesce(array_agg(ledgers.name order by seconds desc), '{}') as ledgers,
          coalesce(array_agg(seconds order by seconds desc), '{}') as seconds
        from (
          select ledger_id, greatest(max(extract(epoch from now() - (
            select settled_at
            from journal
            where journal.ledger_id = line.ledger_id and journal.number = line.journal_number + 1
          ))), 0)::float8 as seconds
          from (
            select head.ledger_id, oldest.journal_number
            from journal_ends as head
            cross join lateral (
              select min(journal_number) as journal_number
              from webhook_cursors
              where webhook_cursors.ledger_id = head.ledger_id and not disabled and failing_since is null
            ) as oldest
            where oldest.journal_number < head.number and head.clock is null
            union all
            select head.ledger_id, journal_number
            from webhook_cursors
            join journal_ends as head on head.ledger_id = webhook_cursors.ledger_id
            where not disabled and failing_since is not null and head.clock is null
          ) as line
          group by ledger_id
          order by seconds desc
          limit $1::integer
        ) as worst
        join ledgers on ledgers.id = worst.ledger_id
      ) as lag`,
    values: [LAGGING_LEDGERS_MAX],
  });
  const { enabled = 0, paused = 0, gone = 0, failing = 0, ledgers = [], lags = [] } = found.rows[0] ?? {};
  const lagByLedger = ledgers.map((name, index) => [name, lags[index] ?? 0] as const);
  return { enabled, paused, gone, failing, lagSeconds: lags[0] ?? 0, lagByLedger };
}

function toRecord(row: WebhookRow): WebhookRecord {
  return {
    id: row.id,
    url: row.url,
    description: row.description,
    filter: toFilter(row),
    disabledReason: row.disabled_reason,
    disabledAt: row.disabled_at,
    previousUntil: row.previous_until,
    createdAt: row.created_at,
    journalNumber: row.journal_number,
    failingSince: row.failing_since,
    nextAttemptAt: row.next_attempt_at,
  };
}

export function toFilter({ types, account, kind }: FilterRow): EventFilter {
  return { types, account, kind };
}

function toDelivery(row: DeliveryRow): DeliveryRecord {
  return {
    number: row.number,
    eventId: row.event_id,
    type: row.type,
    journalNumber: row.journal_number,
    delivered: row.delivered,
    requested: row.requested,
    attempts: row.attempts,
    attemptedAt: row.attempted_at,
    status: row.status,
    error: row.error,
    createdAt: row.created_at,
  };
}
