// Statements that are sent together are answered together. pg ends each statement with a Sync, and at each Sync the server
// sends what it has answered: a job of ten statements gets ten packets, each of which wakes its thread. Here one Sync ends
// all statements that are sent in one turn of the event loop. If one of them fails, the server skips those after it, so
// nothing takes effect behind a BEGIN that was canceled.
//
// They leave in one packet, too: each one wakes the server, and was a system call that took up to a third of a thread's time.
// A batch of many bytes leaves in parts: the server executes the first one while later ones are rendered.
import { type Client, type Connection as Wire, Query } from 'pg';
import type { Queryable } from './connect.ts';
import { sqlStateOf, toError } from './errors.ts';
import { toParameter } from './parameters.ts';
import type { DatabaseTimeouts } from './session.ts';

type Statement = {
  readonly text: string;
  /** Empty: the server does not keep it. */
  readonly name: string;
  /** As they are sent. */
  readonly values: (string | Buffer | null)[];
  /** Whether its rows are arrays of values, instead of objects. */
  readonly rowsAreArrays: boolean;
};
type Answer = { readonly rows: readonly unknown[]; readonly command: string; readonly rowCount: number | null };
/** The number of a type of the server. */
type TypeId = Parameters<Client['getTypeParser']>[0];
/** A column of a statement's rows, with the parser of its type. */
type Field = { readonly name: string; readonly parse: (text: string) => unknown };
/** A statement that was sent. `fields`: null until the server describes them, or if it has no rows. */
type Sent = Statement &
  PromiseWithResolvers<Answer> & {
    readonly rows: unknown[];
    readonly isDescribed: boolean;
    fields: readonly Field[] | null;
    /** What the server says of its end. */
    tag: string;
  };
/** A statement that the server keeps under its name, with its columns. */
type Prepared = { readonly text: string; readonly fields: readonly Field[] | null };

/** A connection: what its server keeps, and the batch that takes further statements. */
class Session {
  readonly client: Client;
  readonly prepared = new Map<string, Prepared>();
  /** How long a batch takes at most on a server that is not slow. */
  readonly slowMs: number;
  open: Batch | null = null;
  /** Whether a BEGIN was executed, and no end of its transaction. */
  inTransaction = false;

  constructor(client: Client, slowMs: number) {
    this.client = client;
    this.slowMs = slowMs;
  }
}

const sessions = new WeakMap<Queryable, Session>();

/** A batch leaves in parts of at least this size. */
const PART_BYTES = 4 * 1024;
/** The part of the bound on silence that a batch takes at most on a server that is not slow. */
const SLOW_PART = 0.1;
/** For how long a server counts as slow after a batch that took longer. */
const SLOW_FOR_MS = 60_000;
/**
 * Until then each statement of this thread is answered as soon as it is executed. A connection without an answer for too long
 * counts as broken, and on a slow server a whole batch may take longer than that.
 */
let slowUntil = -Infinity;

/** Has a pipelining client send the statements of each turn of the event loop as one batch. */
export function sendTogether(client: Client, { answerTimeoutMs }: Pick<DatabaseTimeouts, 'answerTimeoutMs'>): void {
  const session = new Session(client, answerTimeoutMs === 0 ? Infinity : SLOW_PART * answerTimeoutMs);
  sessions.set(client, session);
  client.query = new Proxy(client.query.bind(client), {
    apply(query, self, sent: unknown[]) {
      if (session.open === null) {
        const batch = new Batch(session);
        session.open = batch;
        Reflect.apply(query, self, [batch]);
        process.nextTick(() => batch.close());
      }
      return session.open.add(sent);
    },
  });
}

/** Ends the open batch of a connection: the server answers it before it executes what is sent later in the same turn. */
export function closeBatch(connection: Queryable): void {
  sessions.get(connection)?.open?.close();
}

/** The server did not execute a statement, because an earlier one of its batch failed. */
class SkippedError extends Error {
  /** As the server answers a statement behind one that failed. */
  readonly code = '25P02';
  readonly severity = 'ERROR';

  constructor(cause: Error) {
    super(`Skipped after an error: ${cause.message}`, { cause });
  }
}

/** The statements of one turn. To pg it is one query, which ends with the Sync. */
class Batch extends Query {
  readonly #session: Session;
  readonly #sent: Sent[] = [];
  readonly #startedAt = performance.now();
  /** How many the server has executed, and how many of them have taken effect: up to a COMMIT, or all at the Sync. */
  #executed = 0;
  #effective = 0;
  #wire: Wire | null = null;

  constructor(session: Session) {
    super('');
    this.#session = session;
  }

  /**
   * Sends a statement, given as to pg. Throws the server's error, a SkippedError if an earlier statement failed, and a
   * TypeError if it cannot be sent. Outside a transaction, a batch has one error: it takes effect as a whole.
   */
  async add(given: readonly unknown[]): Promise<Answer> {
    const statement = readStatement(given);
    const kept = this.#session.prepared.get(statement.name);
    if (kept && kept.text !== statement.text) throw new TypeError(`Two statements are called '${statement.name}'.`);
    const sent: Sent = {
      ...statement,
      ...Promise.withResolvers<Answer>(),
      rows: [],
      tag: '',
      fields: kept?.fields ?? null,
      isDescribed: kept !== undefined,
    };
    this.#sent.push(sent);
    if (this.#wire) this.#write(this.#wire, sent);
    return await sent.promise;
  }

  #write(wire: Wire, sent: Sent): void {
    const { stream } = wire;
    send(wire, sent);
    const isSlow = performance.now() < slowUntil;
    if (isSlow) wire.flush();
    if (!isSlow && stream.writableLength < PART_BYTES) return;
    stream.uncork();
    stream.cork();
  }

  close(): void {
    if (this.#session.open !== this) return;
    this.#session.open = null;
    this.#wire?.sync();
    this.#wire?.stream.uncork();
  }

  // What follows is called by pg.

  override readonly submit = (wire: Wire): void => {
    this.#wire = wire;
    wire.stream.cork();
  };

  handleRowDescription({ fields }: { fields: readonly { name: string; dataTypeID: TypeId }[] }): void {
    const sent = this.#sent[this.#executed];
    const { client } = this.#session;
    if (sent) sent.fields = fields.map(({ name, dataTypeID }) => ({ name, parse: client.getTypeParser(dataTypeID) }));
  }

  handleDataRow({ fields: values }: { fields: readonly (string | null)[] }): void {
    const sent = this.#sent[this.#executed];
    if (!sent?.fields) return;
    const parsed = sent.fields.map(({ parse }, index) => {
      const text = values[index] ?? null;
      return text === null ? null : parse(text);
    });
    if (sent.rowsAreArrays) sent.rows.push(parsed);
    else sent.rows.push(Object.fromEntries(sent.fields.map(({ name }, index) => [name, parsed[index]])));
  }

  handleCommandComplete({ text: tag }: { text: string }): void {
    const sent = this.#sent[this.#executed];
    this.#executed += 1;
    if (!sent) return;
    const { name, text, fields } = sent;
    if (name !== '' && !sent.isDescribed) this.#session.prepared.set(name, { text, fields });
    sent.tag = tag;
    if (tag === 'BEGIN') this.#session.inTransaction = true;
    if (tag === 'COMMIT' || tag === 'ROLLBACK') this.#session.inTransaction = false;
    if (tag === 'COMMIT') this.#answer();
  }

  handleEmptyQuery(): void {
    this.handleCommandComplete({ text: '' });
  }

  handleReadyForQuery(): void {
    this.#noteSpeed();
    this.#answer();
  }

  handleError(error: Error): void {
    this.#noteSpeed();
    const wire = this.#wire;
    // Of the connection, not of the server: it is unknown what was executed.
    if (sqlStateOf(error) === null || !wire) {
      this.#reject(error);
      return;
    }
    if (this.#session.inTransaction) this.#answer();
    this.#reject(error, this.#executed + 1);
    // Only what follows tells whether the server skipped the others, or ended with this error.
    const skip = (): void => {
      wire.off('end', lose);
      this.#reject(new SkippedError(error));
    };
    const lose = (): void => {
      wire.off('readyForQuery', skip);
      this.#reject(new Error('Connection terminated unexpectedly'));
    };
    wire.once('readyForQuery', skip).once('end', lose);
  }

  /** Rejects statements that have no answer yet: up to an index, or all. */
  #reject(error: Error, end = this.#sent.length): void {
    for (const { reject } of this.#sent.slice(this.#effective, end)) reject(error);
    this.#effective = end;
  }

  #answer(): void {
    for (const { rows, tag, resolve } of this.#sent.slice(this.#effective, this.#executed)) {
      // Such as `SELECT 2` and `INSERT 0 2`.
      const [command = ''] = tag.split(' ', 1);
      const count = /\d+$/.exec(tag);
      resolve({ rows, command, rowCount: count && Number(count[0]) });
    }
    this.#effective = this.#executed;
  }

  #noteSpeed(): void {
    const now = performance.now();
    if (now - this.#startedAt > this.#session.slowMs) slowUntil = now + SLOW_FOR_MS;
  }
}

function send(wire: Wire, { text, name, values, isDescribed }: Sent): void {
  try {
    if (!isDescribed) {
      // It may be there already, if it failed before. To close one that is not there has no effect.
      if (name !== '') wire.close({ type: 'S', name }, true);
      wire.parse({ name, text, types: [] }, true);
    }
    wire.bind({ statement: name, values }, true);
    if (!isDescribed) wire.describe({ type: 'P' }, true);
    wire.execute(null, true);
  } catch (error) {
    // Too large for a message: without it, the answers would be those of other statements.
    wire.stream.destroy(toError(error));
  }
}

function readStatement([sent, more]: readonly unknown[]): Statement {
  if (typeof sent === 'string') return { text: sent, name: '', values: toValues(more), rowsAreArrays: false };
  if (typeof sent !== 'object' || sent === null || !('text' in sent) || typeof sent.text !== 'string') {
    throw new TypeError('A connection that sends statements together takes texts and named statements only.');
  }
  const name = 'name' in sent && typeof sent.name === 'string' ? sent.name : '';
  const values = 'values' in sent ? sent.values : more;
  return {
    text: sent.text,
    name,
    values: toValues(values),
    rowsAreArrays: 'rowMode' in sent && sent.rowMode === 'array',
  };
}

function toValues(values: unknown): (string | Buffer | null)[] {
  return Array.isArray(values) ? values.map(toParameter) : [];
}
