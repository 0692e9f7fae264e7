// Classifies errors of the database: retry, retry on a new connection, or never retry.

/** Stored rows contradict each other: reading again gives the same error. `gopherpay audit` finds the rows. */
export class DamagedBooksError extends Error {}

/**
 * A session lacks settings that the code needs. The message is a sentence with the remedy; a new connection may help.
 */
export class SessionError extends Error {}

/** A commit took effect on its server, and a synchronous standby may lack it: it is lost if the standby takes over. */
export class UnreplicatedError extends Error {}

export type HostFailure = { readonly host: string; readonly error: unknown };

/** No host of the database took the session. The message says what was tried on each. */
export class HostsError extends Error {
  /**
   * The error for these attempts, of which there is at least one: that of the host itself if there is only one, and a
   * SessionError if waiting helps with none.
   */
  static of(failures: readonly HostFailure[]): unknown {
    const [first, ...others] = failures;
    if (others.length === 0) return first?.error;
    const tried = failures.map(({ host, error }) => `${host}: ${messageOf(error).replace(/[.]$/, '')}`).join('; ');
    const message = `No host of the database takes this session (${tried})`;
    const isHopeless = failures.every(({ error }) => error instanceof SessionError);
    return isHopeless ? new SessionError(`${message}.`) : new HostsError(message);
  }
}

/** The SQLSTATE of a statement that the role may not run. */
export const INSUFFICIENT_PRIVILEGE = '42501';

/** SQLSTATEs after which the same transaction may be run again on the same connection. */
const AGAIN = new Set([
  '40001', // serialization_failure
  '40P01', // deadlock_detected
  '55P03', // lock_not_available: lock_timeout
  '57014', // query_canceled: statement_timeout
]);

/** SQLSTATEs (and classes, two letters) after which it may be run again, but on a new connection. */
const AGAIN_ELSEWHERE = new Set([
  '08', // connection exceptions
  '28', // invalid authorization: a role that may not log in now
  '3D', // invalid catalog name: a database that is being restored
  '53', // insufficient resources: disk full, out of memory, too many connections
  '57', // operator intervention: shutting down, crashed, starting up, terminated by an administrator
  '58', // system errors, input and output
  'XX', // internal errors, also of poolers: one that cannot accept connections at the moment answers with these
  '40003', // statement_completion_unknown
  '25006', // read_only_sql_transaction: a standby that was promoted elsewhere
  INSUFFICIENT_PRIVILEGE, // to connect, or on a table; an operator may grant it again
  '55000', // object_not_in_prerequisite_state: a database that accepts no connections
  '25P02', // in_failed_sql_transaction: only follows an earlier error
  '25P03', // idle_in_transaction_session_timeout
  '25P04', // transaction_timeout
  '26000', // invalid_sql_statement_name: the connection lost a prepared statement
  '42P05', // duplicate_prepared_statement: a pooler assigned a server that has the statements of another session
  '0A000', // feature_not_supported: a cached plan changed its result type
]);

/** SQLSTATEs of AGAIN_ELSEWHERE that concern one connection, not the database. */
const OF_ONE_CONNECTION = new Set(['25P02', '25P03', '25P04', '26000', '42P05', '0A000']);

export type Retry = 'same connection' | 'new connection' | 'never';

/**
 * Whether to retry after an error of a connection. An error without SQLSTATE came from the network, unless this code
 * raised it.
 */
export function retryPolicyOf(error: unknown): Retry {
  const sqlState = sqlStateOf(error);
  if (sqlState === null) return isOurs(error) ? 'never' : 'new connection';
  if (AGAIN.has(sqlState)) return 'same connection';
  if (AGAIN_ELSEWHERE.has(sqlState) || AGAIN_ELSEWHERE.has(sqlState.slice(0, 2))) return 'new connection';
  return 'never';
}

/** Whether the server canceled a statement, usually because it took longer than its statement_timeout. */
export function isCanceled(error: unknown): boolean {
  return sqlStateOf(error) === '57014';
}

/** Whether the server of a session accepts no changes, such as a primary that is being replaced. */
export function isReadOnlyServer(error: unknown): boolean {
  return sqlStateOf(error) === '25006';
}

/** Whether no connection of a pool became free in time. The database may be healthy. pg-pool has no code for it. */
export function isPoolBusy(error: unknown): boolean {
  return error instanceof Error && error.message === 'timeout exceeded when trying to connect';
}

/** SQLSTATEs with which a server, or a proxy before it, refuses all clients at the moment. */
const OUT_OF_REACH = /^(08...|57P0[123])$/;

/** Whether the database cannot be reached at all, for any statement. */
export function isOutOfReach(error: unknown): boolean {
  const sqlState = sqlStateOf(error);
  return sqlState === null ? !isOurs(error) : OUT_OF_REACH.test(sqlState) && !isOfNode(error);
}

/**
 * What a temporary error concerns. A lock that another session holds, or a timeout, concerns its own job. So does a node
 * of Citus: the ledgers on other nodes can be served.
 */
export function troubleOf(error: unknown): 'job' | 'database' | 'out of reach' {
  if (isOutOfReach(error)) return 'out of reach';
  const isOfOneConnection = OF_ONE_CONNECTION.has(sqlStateOf(error) ?? '') || isOfNode(error);
  return retryPolicyOf(error) === 'new connection' && !isOfOneConnection ? 'database' : 'job';
}

/** Whether the effect of a statement is unknown: the connection broke before the answer arrived. */
export function isAnswerLost(error: unknown): boolean {
  const sqlState = sqlStateOf(error);
  return sqlState === null ? !isOurs(error) : /^(08...|57P0.|40003)$/.test(sqlState);
}

/**
 * Whether it is unknown whether a statement committed. A server that fails after writing a commit reports that before
 * it ends: the disk of its log is full, or cannot be synchronized. A pooler may replace the answer with an error of its
 * own.
 */
export function isCommitAnswerLost(error: unknown): boolean {
  return isAnswerLost(error) || /^(53|58|XX)/.test(sqlStateOf(error) ?? '');
}

/**
 * Whether the written data caused an error, so that the same write without the culprit may succeed. Any other error is
 * trouble of the database or of its schema, for which no transfer may fail.
 */
export function isFaultOfTheData(error: unknown): boolean {
  const sqlState = sqlStateOf(error);
  if (sqlState === null) return isOurs(error);
  // Data exceptions, integrity constraint violations, program limits exceeded.
  return /^(22|23|54)/.test(sqlState);
}

/** The SQLSTATE of an error, or null where the server gave none. */
export function sqlStateOf(error: unknown): string | null {
  if (!(error instanceof Error) || !('code' in error)) return null;
  // Node's own codes look like ECONNRESET or ERR_…; the server's are five characters of digits and upper case.
  if (typeof error.code !== 'string' || !/^[0-9A-Z]{5}$/.test(error.code) || !('severity' in error)) return null;
  const [, known] = (error.code === INTERNAL && LOST_STATES.find(([message]) => message.test(error.message))) || [];
  return known ?? error.code;
}

const INTERNAL = 'XX000';

/** Errors of a node of Citus that arrive as internal ones, without the SQLSTATE that they had there. */
const LOST_STATES: readonly (readonly [RegExp, string])[] = [
  [/^duplicate key value violates unique constraint "/, '23505'],
  [/^new row for relation "[^"]*" violates check constraint "/, '23514'],
  [/^value for domain .* violates check constraint "/, '23514'],
  [/^null value in column "[^"]*" of relation "[^"]*" violates not-null constraint/, '23502'],
  [/^(?:\w+ out of range|value "[^"]*" is out of range for type )/, '22003'],
  [/^invalid (?:input syntax for|byte sequence for encoding)/, '22P02'],
  [/^(?:index row (?:size|requires)|row is too big)/, '54000'],
];

/** Whether an error is that of a node of Citus, or of the way there: the connection itself works. */
export function isOfNode(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const context = 'where' in error && typeof error.where === 'string' ? error.where : '';
  return OF_NODE.test(error.message) || context.includes('while executing command on ');
}

const OF_NODE =
  /^(?:connection to the remote node |failure on connection marked as essential: |could not commit transaction for shard )/;

/**
 * The constraint that an error of the server names, or null. A node of Citus names it in the message only, with the
 * number of its shard.
 */
export function constraintOf(error: unknown): string | null {
  if (!(error instanceof Error) || sqlStateOf(error)?.startsWith('23') !== true) return null;
  if ('constraint' in error && typeof error.constraint === 'string') return withoutShard(error.constraint);
  const [, named] = / constraint "([^"]+)"$/.exec(error.message) ?? [];
  return named === undefined ? null : withoutShard(named);
}

/** Citus numbers its shards from 102008, and none of our constraints ends in a number. */
function withoutShard(constraint: string): string {
  return constraint.replace(/_\d{6,}$/, '');
}

function isOurs(error: unknown): boolean {
  return [TypeError, RangeError, ReferenceError, DamagedBooksError].some((kind) => error instanceof kind);
}

/** The message of an error. One of a host with several addresses has none itself, but an error for each address. */
export function messageOf(error: unknown): string {
  return error instanceof AggregateError
    ? error.errors.map((each) => toError(each).message).join(', ')
    : toError(error).message;
}

/** A thrown value, as an Error. */
export function toError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}
