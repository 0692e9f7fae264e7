// Judges the books: schema, rights, size, and what waits in them.
import type { BooksFacts, KeyFacts, TableFacts, WaitingFacts, WebhookFacts } from '../../db/doctor/books.ts';
import { type Finding, ok, problem, renderBytes, renderCount, renderSeconds, warning } from './finding.ts';

/** Rights that the sentence names; the others are counted. */
const RIGHTS_NAMED = 3;
/** Small tables that every job or heartbeat updates. */
const HOT = ['heartbeats', 'journal_head', 'leases'];
const HOT_BYTES_MAX = 16 * 1024 ** 2;
const DEAD_ROWS_MIN = 100_000;
/** The server starts a vacuum at 1, and refuses to work at 10 with its defaults. */
const FREEZE_AGE_MAX = 1.5;
const PENDING_SECONDS_MAX = 60;
const FAILING_SECONDS_MAX = 3600;
const ROWS_BEHIND_MAX = 10_000;
export const KEY_SECONDS_MIN = 14 * 86_400;

export function judgeSchema({ migrations, ownsTables, lacking }: BooksFacts, known: readonly string[]): Finding[] {
  if (migrations === null) {
    return [
      warning('books.migrations', 'no books', 'The first start of the service, or "gopherpay migrate", creates them.'),
    ];
  }
  const missing = known.filter((name) => !migrations.includes(name));
  const newer = migrations.filter((name) => !known.includes(name));
  const [first] = newer;
  const named = lacking.slice(0, RIGHTS_NAMED).join(', ');
  return [
    first !== undefined
      ? problem(
          'books.migrations',
          `${first} is unknown`,
          'A newer version has migrated the books: install that version.',
        )
      : missing.length > 0
        ? warning(
            'books.migrations',
            `${missing.length} missing`,
            'A start as the owner of the tables applies them; otherwise run "gopherpay migrate" as the owner first.',
          )
        : ok('books.migrations', `all ${migrations.length} applied`),
    lacking.length > 0
      ? problem(
          'books.rights',
          `the role lacks ${named}${lacking.length > RIGHTS_NAMED ? ` and ${lacking.length - RIGHTS_NAMED} more` : ''}`,
          'The service could not work: run "gopherpay migrate" as the owner of the tables (DATABASE_OWNER_URL).',
        )
      : ownsTables
        ? warning(
            'books.rights',
            'the role owns the tables',
            'It could remove the protection of what is final: run the service as a role of its own (docs/ACCESS.md).',
          )
        : ok('books.rights', 'those of the service, and no more'),
  ];
}

export function judgeTables(tables: readonly TableFacts[]): Finding[] {
  const found = tables.flatMap(({ name, rows, deadRows, bytes }) => {
    const isHot = HOT.includes(name) && bytes > HOT_BYTES_MAX + 8192 * rows;
    const isDead = deadRows > DEAD_ROWS_MIN && deadRows > rows;
    if (!isHot && !isDead) return [];
    return warning(
      'books.bloat',
      `${name} has ${renderBytes(bytes)}, ${renderCount(rows)} rows and ${renderCount(deadRows)} dead ones`,
      `Jobs read it whole or page by page: end what holds back pruning, then run "vacuum (full) ${name}" while the service is stopped, or wait for autovacuum.`,
    );
  });
  return found.length > 0 ? found : [ok('books.bloat', 'none')];
}

/** The server vacuums old tables by itself: one that is far beyond that age was not vacuumed. */
export function judgeAges(tables: readonly TableFacts[]): Finding[] {
  const found = tables.flatMap(({ name, freezeAge }) =>
    freezeAge > FREEZE_AGE_MAX
      ? warning(
          'books.ages',
          `${name} is at ${Math.round(freezeAge * 100)} % of the age at which the server vacuums it`,
          `Its transaction ids run out in the end, and the server stops: find what holds autovacuum back, or run "vacuum (freeze) ${name}" at a quiet time.`,
        )
      : [],
  );
  return found.length > 0 ? found : [ok('books.ages', 'all tables are young enough')];
}

export function judgeWaiting({ pending, oldestPendingSeconds, liveLeases, silentLeases }: WaitingFacts): Finding[] {
  const processes = liveLeases === 1 ? '1 process serves' : `${liveLeases} processes serve`;
  const queue = `${renderCount(pending)} pending, ${processes} the books`;
  if (pending > 0 && liveLeases === 0) {
    return [
      warning('books.queue', queue, 'Accepted transfers wait for a service: start one, which adopts and settles them.'),
    ];
  }
  if (silentLeases > 0) {
    return [
      warning(
        'books.queue',
        `${queue}, ${silentLeases} leases of processes that fell silent`,
        'A running process adopts their transfers within seconds: look again, and then at its log (orphan scan failed).',
      ),
    ];
  }
  if ((oldestPendingSeconds ?? 0) > PENDING_SECONDS_MAX) {
    return [
      warning(
        'books.queue',
        `${queue}, the oldest for ${renderSeconds(oldestPendingSeconds ?? 0)}`,
        'Settling is slow or stands still: look for locks and for job retries in the log of the service.',
      ),
    ];
  }
  return [ok('books.queue', queue)];
}

/** `open`: other machines can reach the service. `tokens`: it accepts tokens of an issuer. */
export function judgeKeys(
  { keys, expiring }: KeyFacts,
  { open, tokens }: { open: boolean; tokens: boolean },
): Finding[] {
  const soon = expiring.map(({ id, name, seconds }) =>
    warning(
      'keys.expiry',
      `${id} (${name}) ends in ${renderSeconds(seconds)}`,
      'Its callers get 401 then: create another one with "gopherpay keys create", and give it to them.',
    ),
  );
  if (keys > 0 || tokens) return [ok('keys.access', tokens ? `${keys} keys, and tokens` : `${keys} keys`), ...soon];
  return [
    open
      ? problem(
          'keys.access',
          'no keys',
          'The service does not start beyond its own machine: create one with "gopherpay keys create".',
        )
      : warning(
          'keys.access',
          'no keys',
          'Every program of this machine may do anything: create one with "gopherpay keys create".',
        ),
  ];
}

export function judgeWebhooks({
  enabled,
  failing,
  stopped,
  longestFailingSeconds,
  rowsBehind,
}: WebhookFacts): Finding[] {
  const found: Finding[] = [];
  if (stopped > 0) {
    found.push(
      warning(
        'webhooks.stopped',
        `${stopped} stopped`,
        'Their receivers failed for days, or answered 410: correct them, and enable the webhooks again (docs/WEBHOOKS.md).',
      ),
    );
  }
  if ((longestFailingSeconds ?? 0) > FAILING_SECONDS_MAX) {
    found.push(
      warning(
        'webhooks.failing',
        `${failing} failing, one for ${renderSeconds(longestFailingSeconds ?? 0)}`,
        'Nothing is lost, and each is stopped after some days: read their deliveries, and correct the receivers.',
      ),
    );
  }
  if (rowsBehind > ROWS_BEHIND_MAX) {
    found.push(
      warning(
        'webhooks.lag',
        `${renderCount(rowsBehind)} rows of the journal behind`,
        'A receiver is slower than the ledger: let it answer first and work later, or give it fewer events.',
      ),
    );
  }
  return found.length > 0 ? found : [ok('webhooks.delivery', `${enabled} enabled`)];
}
