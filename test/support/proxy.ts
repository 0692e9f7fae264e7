// A network between the service and its database that can be cut, refuse, drop bytes, or be slow. It knows of the
// protocol no more than how a commit and its answer look.
import { once } from 'node:events';
import { createConnection, createServer, type NetConnectOpts, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { onEnd, type Scope } from './cleanup.ts';
import { renderDatabaseUrl, type TestDatabase } from './database.ts';
import { reset } from './reset.ts';

/** How a thread sends the end of a job. */
export const COMMIT_OF_JOB = Buffer.from('P\0\0\0\x0e\0commit\0\0\0', 'latin1');
/** What the service sends to make something durable: the end of a job, of another change, and an intake. */
const COMMITS = [COMMIT_OF_JOB, Buffer.from('Q\0\0\0\x0bcommit\0', 'latin1'), Buffer.from('insert pending')];
/** What the server answers when it is durable: CommandComplete, and that it is idle outside any transaction. */
const COMMITTED = Buffer.from('Z\0\0\0\x05I', 'latin1');
const SELECTED = /COMMIT\0|SELECT 1\0/;

type Delayed = { dueAt: number; chunk: Buffer };

type Pair = {
  client: Socket;
  server: Socket;
  /** Nothing passes any more, and neither end is notified. */
  black: boolean;
  /** Answers of the server do not arrive, but bytes of the client do. */
  deaf: boolean;
  bytesLeft: number;
  /** A commit is in flight on this connection, and its answer will be dropped. */
  losing: boolean;
  /** The delayed bytes of each direction, in order. */
  delayed: { up: Delayed[]; down: Delayed[] };
  /** The ends that have closed: the other end is notified after the delayed bytes. */
  ended: { up: boolean; down: boolean };
};

/** Puts a network in front of a database, which is reached through it under `url`; it is taken away when the scope ends. */
export async function startProxy(scope: Scope, database: TestDatabase): Promise<Proxy & { readonly url: string }> {
  const proxy = await Proxy.open(database.admin);
  onEnd(scope, () => proxy.close());
  const url = renderDatabaseUrl({ ...database.admin, ...database.settings, host: '127.0.0.1', port: proxy.port });
  return Object.assign(proxy, { url });
}

export class Proxy {
  readonly #listener: Server;
  readonly #pairs = new Set<Pair>();
  #port = 0;
  #black = false;
  #deaf = false;
  #delayMs = 0;
  #drawBytes: (() => number) | null = null;
  #onLost: (() => void) | null = null;

  /** Listens on a free port and passes everything on to a PostgreSQL server; a host that is a folder holds its socket. */
  static async open({ host, port }: { host: string; port: number }): Promise<Proxy> {
    const proxy = new Proxy(host.startsWith('/') ? { path: join(host, `.s.PGSQL.${port}`) } : { host, port });
    await proxy.#listen(0);
    return proxy;
  }

  private constructor(target: NetConnectOpts) {
    // Half open, because a client that closes a connection into a black hole must not see the other end close it, too.
    this.#listener = createServer({ noDelay: true, allowHalfOpen: true }, (client) => this.#join(client, target));
  }

  get port(): number {
    return this.#port;
  }

  get connectionCount(): number {
    return this.#pairs.size;
  }

  /** Resets every connection. */
  cut(): void {
    for (const pair of this.#pairs) this.#reset(pair);
  }

  /** Resets every connection and refuses new ones, like a stopped server. */
  async refuse(): Promise<void> {
    const closed = once(this.#listener, 'close');
    this.#listener.close();
    this.cut();
    await closed;
  }

  /** Drops every byte, on new connections too; connections open until it heals never work again. */
  swallow(): void {
    this.#black = true;
    for (const pair of this.#pairs) pair.black = true;
  }

  /** Drops all answers of the server, on new connections too; connections open until it heals never work again. */
  loseAnswers(): void {
    this.#deaf = true;
    for (const pair of this.#pairs) pair.deaf = true;
  }

  /** Lets new connections through. */
  async heal(): Promise<void> {
    this.#black = false;
    this.#deaf = false;
    if (!this.#listener.listening) await this.#listen(this.#port);
  }

  /** Closes the server's side of the connections in a black hole, as keep-alive eventually would. */
  bury(): void {
    for (const pair of this.#pairs) if (pair.black || pair.deaf) this.#reset(pair);
  }

  /** Delays each chunk, in both directions; 0 is no delay. */
  slow(delayMs: number): void {
    this.#delayMs = delayMs;
  }

  /** Resets each connection after as many more bytes as `draw` returns; null spares new ones. */
  resetAfter(draw: (() => number) | null): void {
    this.#drawBytes = draw;
    for (const pair of this.#pairs) pair.bytesLeft = draw?.() ?? Infinity;
  }

  /** Drops the answer to the next commit, and then resolves. The connection is silent from then on. */
  async loseCommit(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#onLost = resolve;
    });
  }

  /** Stops waiting for a commit to lose. */
  disarm(): void {
    this.#onLost = null;
    for (const pair of this.#pairs) pair.losing = false;
  }

  async close(): Promise<void> {
    if (this.#listener.listening) await this.refuse();
  }

  async #listen(port: number): Promise<void> {
    this.#listener.listen(port, '127.0.0.1');
    await once(this.#listener, 'listening');
    const address = this.#listener.address();
    if (typeof address !== 'object' || address === null) throw new Error('The proxy must listen on a port.');
    this.#port = address.port;
  }

  #join(client: Socket, target: NetConnectOpts): void {
    const server = createConnection({ ...target, allowHalfOpen: true });
    const pair: Pair = {
      client,
      server,
      black: this.#black,
      deaf: this.#deaf,
      bytesLeft: this.#drawBytes?.() ?? Infinity,
      losing: false,
      delayed: { up: [], down: [] },
      ended: { up: false, down: false },
    };
    this.#pairs.add(pair);
    client.on('data', (chunk: Buffer) => {
      if (this.#onLost && COMMITS.some((commit) => chunk.includes(commit))) pair.losing = true;
      this.#pass(pair, 'up', chunk);
    });
    server.on('data', (chunk: Buffer) => {
      if (pair.losing && SELECTED.test(chunk.toString('latin1')) && chunk.includes(COMMITTED)) this.#lose(pair);
      this.#pass(pair, 'down', chunk);
    });
    for (const way of ['up', 'down'] as const) {
      const source = way === 'up' ? client : server;
      const target = targetOf(pair, way);
      source.on('error', () => {});
      source.once('end', () => this.#end(pair, way));
      source.on('close', () => {
        // In a black hole an end does not arrive either.
        if (pair.black && !target.destroyed) return;
        // Delayed bytes precede the end.
        if (pair.ended[way] && pair.delayed[way].length > 0) return;
        this.#pairs.delete(pair);
        target.destroySoon();
      });
    }
  }

  #end(pair: Pair, way: 'up' | 'down'): void {
    pair.ended[way] = true;
    if (!pair.black && pair.delayed[way].length === 0) targetOf(pair, way).end();
  }

  #pass(pair: Pair, way: 'up' | 'down', chunk: Buffer): void {
    if (pair.black || (pair.deaf && way === 'down')) return;
    const target = targetOf(pair, way);
    const part = chunk.subarray(0, pair.bytesLeft);
    pair.bytesLeft -= part.length;
    const delayed = pair.delayed[way];
    if (pair.bytesLeft === 0) target.write(part, () => this.#reset(pair));
    else if (this.#delayMs === 0 && delayed.length === 0) target.write(part);
    else {
      const last = delayed.at(-1)?.dueAt ?? 0;
      delayed.push({ dueAt: Math.max(last, performance.now() + this.#delayMs), chunk: part });
      if (delayed.length === 1) this.#release(pair, way);
    }
  }

  /** Forwards due bytes, and schedules the rest. */
  #release(pair: Pair, way: 'up' | 'down'): void {
    const target = targetOf(pair, way);
    const delayed = pair.delayed[way];
    for (;;) {
      const [first] = delayed;
      if (pair.black || target.destroyed) return;
      if (!first) {
        if (pair.ended[way]) target.end();
        return;
      }
      const leftMs = first.dueAt - performance.now();
      if (leftMs > 0) {
        setTimeout(() => this.#release(pair, way), leftMs);
        return;
      }
      target.write(first.chunk);
      delayed.shift();
    }
  }

  #lose(pair: Pair): void {
    pair.black = true;
    const tell = this.#onLost;
    this.#onLost = null;
    for (const other of this.#pairs) other.losing = false;
    tell?.();
  }

  #reset(pair: Pair): void {
    this.#pairs.delete(pair);
    reset(pair.client);
    pair.server.destroy();
  }
}

function targetOf(pair: Pair, way: 'up' | 'down'): Socket {
  return way === 'up' ? pair.server : pair.client;
}
