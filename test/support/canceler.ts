// A network in front of a database that makes single statements fail with 57014, as if they were canceled, while everything sent
// before and after them passes unchanged. It strikes each statement of each sequence once, so that a test can go through all of them.
import { once } from 'node:events';
import { createConnection, createServer, type NetConnectOpts, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { onEnd, type Scope } from './cleanup.ts';
import { renderDatabaseUrl, type TestDatabase } from './database.ts';

const FAILURE = `do $$ begin raise exception 'canceling statement due to user request' using errcode = '57014'; end $$`;
/**
 * Replaces a statement, or the execution of one that was parsed: it fails on the server, so a transaction that is open there is
 * aborted, and the server skips what follows up to the Sync, as after a true cancel.
 */
const CANCELED = frame('Q', `${FAILURE}\0`);
const CANCELED_EXECUTION = Buffer.concat([
  frame('P', `\0${FAILURE}\0\0\0`),
  frame('B', '\0'.repeat(8)),
  frame('E', '\0'.repeat(5)),
]);
const HEADER_LENGTH = 5;
const STARTUP_PROTOCOL = 196_608;

type Session = {
  application: string;
  /** Sequences of statements end where nothing awaits its answer and the server is outside any transaction. */
  unanswered: number;
  idle: boolean;
  /** Position of the next statement in its sequence. */
  position: number;
  /** The messages of a statement, up to its Execute. */
  held: Buffer[];
  /** Whether statements were sent, and their Sync was not. */
  unsynced: boolean;
  /** A cursor flushes in the middle of its statement, which then cannot be replaced any more. */
  flushed: boolean;
};

/** Puts a canceler in front of a test's database, which is reached through it under `url`. */
export async function startCanceler(
  scope: Scope,
  database: TestDatabase,
): Promise<{ canceler: Canceler; url: string }> {
  const canceler = await Canceler.open(database.admin);
  onEnd(scope, () => canceler.close());
  const url = renderDatabaseUrl({ ...database.admin, ...database.settings, host: '127.0.0.1', port: canceler.port });
  return { canceler, url };
}

export class Canceler {
  readonly #listener: Server;
  readonly #sockets = new Set<Socket>();
  readonly #struck = new Set<string>();
  #onStrike: ((statement: string) => void) | null = null;

  /** Listens on a free port and passes everything on to a PostgreSQL server; a host that is a folder holds its socket. */
  static async open({ host, port }: { host: string; port: number }): Promise<Canceler> {
    const canceler = new Canceler(host.startsWith('/') ? { path: join(host, `.s.PGSQL.${port}`) } : { host, port });
    canceler.#listener.listen(0, '127.0.0.1');
    await once(canceler.#listener, 'listening');
    return canceler;
  }

  private constructor(target: NetConnectOpts) {
    this.#listener = createServer({ noDelay: true }, (client) => this.#join(client, target));
  }

  get port(): number {
    const address = this.#listener.address();
    if (typeof address !== 'object' || address === null) throw new Error('The canceler must listen on a port.');
    return address.port;
  }

  /**
   * Cancels the next statement that was not canceled before at its position in a sequence, and resolves to its name, such as
   * `gopherpay thread 1: take orders`.
   */
  async strike(): Promise<string> {
    return await new Promise((resolve) => {
      this.#onStrike = resolve;
    });
  }

  /** Stops waiting for a statement to cancel. */
  disarm(): void {
    this.#onStrike = null;
  }

  /** Resets the record of canceled statements, so that they are canceled again. */
  forget(): void {
    this.#struck.clear();
  }

  async close(): Promise<void> {
    const closed = once(this.#listener, 'close');
    this.#listener.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #join(client: Socket, target: NetConnectOpts): void {
    const server = createConnection(target);
    const session: Session = {
      application: '',
      unanswered: 1,
      idle: true,
      position: 0,
      held: [],
      unsynced: false,
      flushed: false,
    };
    for (const [source, other] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(source);
      source.on('error', () => {});
      source.on('close', () => {
        this.#sockets.delete(source);
        other.destroySoon();
      });
    }
    const up = splitFrames({ startup: true }, (message) => this.#passUp(session, message, server));
    const down = splitFrames({ startup: false }, (message) => {
      if (typeOf(message) === 'Z') {
        session.unanswered -= 1;
        session.idle = message.toString('latin1', HEADER_LENGTH) === 'I';
      }
      client.write(message);
    });
    client.on('data', up);
    server.on('data', down);
  }

  #passUp(session: Session, message: Buffer, server: Socket): void {
    const type = typeOf(message);
    if (type === '') {
      session.application = /application_name\0([^\0]*)/.exec(message.toString('utf8'))?.[1] ?? '';
      server.write(message);
    } else if (type === 'Q') {
      server.write(this.#strikes(session, message) ? CANCELED : message);
      this.#endSequence(session);
    } else if (type === 'S') {
      if (session.flushed) session.position += 1;
      server.write(Buffer.concat([...session.held.splice(0), message]));
      this.#endSequence(session);
    } else if ('PBDCF'.includes(type)) session.held.push(message);
    else {
      const held = session.held.splice(0);
      // Besides executions there are Flush, a password, the end: held-back messages come before them.
      const strikes = type === 'E' && !session.flushed && this.#strikes(session, ...held);
      if (type === 'E') session.unsynced = true;
      if (type === 'H') session.flushed = true;
      server.write(Buffer.concat([...held, strikes ? CANCELED_EXECUTION : message]));
    }
  }

  #endSequence(session: Session): void {
    session.unanswered += 1;
    session.unsynced = false;
    session.flushed = false;
  }

  /** Counts a statement, and returns whether it is to fail. */
  #strikes(session: Session, ...messages: readonly Buffer[]): boolean {
    if (session.unanswered === 0 && session.idle && !session.unsynced) session.position = 0;
    const place = `${session.application} ${session.position}: ${nameOf(messages)}`;
    session.position += 1;
    const tell = this.#onStrike;
    if (tell === null || this.#struck.has(place)) return false;
    this.#struck.add(place);
    this.#onStrike = null;
    tell(place);
    return true;
  }
}

/** Cuts a stream of bytes into the protocol's messages. The first of a client is one without a type, unless it needs no startup. */
export function splitFrames(
  { startup }: { startup: boolean },
  take: (message: Buffer) => void,
): (chunk: Buffer) => void {
  let rest = Buffer.alloc(0);
  let starting = startup;
  return (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    for (;;) {
      const typeLength = starting ? 0 : 1;
      if (rest.length < typeLength + 4) return;
      const end = typeLength + rest.readInt32BE(typeLength);
      if (rest.length < end) return;
      const message = rest.subarray(0, end);
      rest = rest.subarray(end);
      starting = false;
      take(message);
    }
  };
}

/** The type of a message; the startup message has none. */
function typeOf(message: Buffer): string {
  const isStartup =
    message.length >= 8 && message.readInt32BE(0) === message.length && message.readInt32BE(4) === STARTUP_PROTOCOL;
  return isStartup ? '' : message.toString('latin1', 0, 1);
}

/** The name of a prepared statement, or how the text begins. */
function nameOf(messages: readonly Buffer[]): string {
  const message = messages.find((each) => 'QPB'.includes(typeOf(each)));
  if (!message) return '';
  const words = message.toString('utf8', HEADER_LENGTH).split('\0');
  // Parse: the name, the text. Bind: the portal, the name. Query: the text.
  const [first = '', second = ''] = words;
  const name = typeOf(message) === 'B' ? second : first || second;
  return name.replace(/\s+/g, ' ').trim().slice(0, 60);
}

function frame(type: string, body: string): Buffer {
  const bytes = Buffer.from(body);
  const length = Buffer.alloc(4);
  length.writeInt32BE(bytes.length + 4);
  return Buffer.concat([Buffer.from(type), length, bytes]);
}
