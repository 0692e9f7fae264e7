// Judges the database server: what would lose money, what would stop the service, and what would slow it down.
import type { Holder, ServerFacts } from '../../db/doctor/server.ts';
import { type Finding, ok, problem, renderBytes, renderCount, renderSeconds, warning } from './finding.ts';

const MB = 1024 ** 2;
/** What the embedded server has. The measurements were made with these. */
const SHARED_BUFFERS_MIN = 256 * MB;
const MAX_WAL_MIN = 2048 * MB;
/** A snapshot of this age holds back pruning, and the rows that every job updates grow. */
const HOLDER_SECONDS_MAX = 300;
const HOLDER_TRANSACTIONS_MAX = 100_000;
const HOLDER_WAL_MAX = 1024 * MB;
/** The server warns at 2^31 − 40 million, and stops at 2^31 − 3 million. */
const OLDEST_TRANSACTION_MAX = 1_000_000_000;

export function judgeServer(facts: ServerFacts, connectionsNeeded: number): Finding[] {
  return [
    ...judgeDurability(facts),
    ...judgeWrites(facts),
    judgeConnections(facts, connectionsNeeded),
    ...judgeCleaning(facts),
    ...judgeSpeed(facts),
  ];
}

/** The settings that can lose what was answered. */
function judgeDurability({ settings }: ServerFacts): Finding[] {
  const { fsync, full_page_writes: fullPages, synchronous_commit: commit, data_checksums: checksums } = settings;
  return [
    fsync === 'off'
      ? problem(
          'settings.fsync',
          'off',
          'A crash of the machine can lose or destroy accepted transfers: set fsync = on and reload the server.',
        )
      : ok('settings.fsync', 'on'),
    fullPages === 'off'
      ? problem(
          'settings.full_page_writes',
          'off',
          'A crash of the machine can leave half-written pages: set full_page_writes = on and reload the server.',
        )
      : ok('settings.full_page_writes', 'on'),
    commit === 'on' || commit === 'remote_apply'
      ? ok('settings.synchronous_commit', commit)
      : ok('settings.synchronous_commit', `${commit}, and on in every session of the service`),
    checksums === 'off'
      ? warning(
          'settings.data_checksums',
          'off',
          'A page that the disk changed is not noticed until an audit: stop the server and run pg_checksums --enable.',
        )
      : ok('settings.data_checksums', 'on'),
  ];
}

/** What keeps a session of the service from writing. */
function judgeWrites({ inRecovery, settings }: ServerFacts): Finding[] {
  const {
    default_transaction_read_only: readOnly,
    session_replication_role: replication,
    wal_level: walLevel,
  } = settings;
  return [
    inRecovery
      ? problem(
          'server.primary',
          'a standby',
          'The service must write: name the primary in DATABASE_URL, or promote this one.',
        )
      : readOnly === 'on'
        ? problem(
            'server.primary',
            'default_transaction_read_only is on',
            'The service must write: take the setting from the server, the database or the role.',
          )
        : ok('server.primary', 'accepts writes'),
    replication === 'replica'
      ? problem(
          'settings.triggers',
          'session_replication_role is replica',
          'The triggers that keep the books append-only do not fire: take the setting from the role or the database.',
        )
      : ok('settings.triggers', 'fire'),
    walLevel === 'minimal'
      ? warning(
          'settings.wal_level',
          'minimal',
          'No standby, base backup or point-in-time recovery is possible: set wal_level = replica and restart the server.',
        )
      : ok('settings.wal_level', walLevel ?? 'unknown'),
  ];
}

function judgeConnections(facts: ServerFacts, needed: number): Finding {
  const { settings, databaseConnectionsMax, roleConnectionsMax, connections } = facts;
  const reserved = Number(settings['superuser_reserved_connections']) + Number(settings['reserved_connections'] ?? 0);
  const server = Number(settings['max_connections']) - reserved;
  const allowed = Math.min(server, databaseConnectionsMax ?? server, roleConnectionsMax ?? server);
  const found = `${allowed} allowed, ${needed} needed by a process of the service, ${connections} open now`;
  const name =
    allowed === server
      ? 'max_connections'
      : allowed === roleConnectionsMax
        ? 'the limit of the role'
        : 'the limit of the database';
  if (allowed < needed) {
    return problem(
      'server.connections',
      found,
      `The service would be refused connections: raise ${name}, or lower THREADS.`,
    );
  }
  if (allowed < 2 * needed) {
    return warning(
      'server.connections',
      found,
      `A second process, as during an upgrade, may find none: raise ${name} to ${2 * needed} or more, or lower THREADS.`,
    );
  }
  return ok('server.connections', found);
}

function judgeCleaning({ settings, oldestTransaction }: ServerFacts): Finding[] {
  const { autovacuum, track_counts: counts } = settings;
  return [
    autovacuum === 'off' || counts === 'off'
      ? problem(
          'settings.autovacuum',
          'off',
          'Dead rows pile up, jobs become slower, and the server stops in the end: set autovacuum = on and track_counts = on.',
        )
      : ok('settings.autovacuum', 'on'),
    oldestTransaction > OLDEST_TRANSACTION_MAX
      ? problem(
          'server.transaction_ids',
          `${renderCount(oldestTransaction)} since the oldest`,
          'The server stops at 2 billion: run "vacuum (freeze)" as the owner, and find what holds autovacuum back.',
        )
      : ok('server.transaction_ids', `${renderCount(oldestTransaction)} since the oldest`),
  ];
}

function judgeSpeed({ settings }: ServerFacts): Finding[] {
  const [buffers, wal] = [Number(settings['shared_buffers']), Number(settings['max_wal_size'])];
  return [
    ok('settings.jit', settings['jit'] === 'off' ? 'off' : 'on, and off in every session of the service'),
    buffers < SHARED_BUFFERS_MIN
      ? warning(
          'settings.shared_buffers',
          renderBytes(buffers),
          'Pages are read from the system again and again: set shared_buffers to a quarter of the memory of the machine.',
        )
      : ok('settings.shared_buffers', renderBytes(buffers)),
    wal < MAX_WAL_MIN
      ? warning(
          'settings.max_wal_size',
          renderBytes(wal),
          'Checkpoints come often under load, and each makes the log larger: set max_wal_size = 2GB or more.',
        )
      : ok('settings.max_wal_size', renderBytes(wal)),
  ];
}

/** What holds back pruning: a row that every job updates then grows with each job. */
export function judgeHolders(holders: readonly Holder[]): Finding[] {
  const found = holders.flatMap((holder) => judgeHolder(holder) ?? []);
  return found.length > 0 ? found : [ok('server.snapshots', 'none is old')];
}

function judgeHolder({ kind, name, owner, seconds, transactions, bytes, idle }: Holder): Finding | null {
  const isOld =
    (seconds ?? 0) > HOLDER_SECONDS_MAX || (seconds === null && (transactions ?? 0) > HOLDER_TRANSACTIONS_MAX);
  const keepsLog = (bytes ?? 0) > HOLDER_WAL_MAX;
  const isIdleSlot = kind === 'replication slot' && idle;
  if (!isOld && !keepsLog && !isIdleSlot) return null;
  const age = seconds === null ? `${renderCount(transactions ?? 0)} transactions` : renderSeconds(seconds);
  const log = bytes === null ? '' : `, keeps ${renderBytes(bytes)} of the log`;
  const what = `${kind} ${name} (${owner}), ${age} old${idle ? ', idle' : ''}${log}`;
  return warning('server.snapshots', what, ADVICE_OF[kind](name));
}

const ADVICE_OF: Readonly<Record<Holder['kind'], (name: string) => string>> = {
  session: (name) =>
    `Rows that every job updates grow while it is open: let it end, or end it by pg_terminate_backend(${name}).`,
  'prepared transaction': () =>
    `It holds locks and back pruning until it ends, even after a restart: commit it, or roll it back, by its name.`,
  'replication slot': (name) =>
    `The server keeps what its reader has not taken until the disk is full: start the reader, or call pg_drop_replication_slot('${name}').`,
};
