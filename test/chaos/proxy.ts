// A network between the service and its database that can be cut, swallow what is sent, or be slow. It knows of the protocol no more
// than how a commit and its answer look.
import { once } from 'node:events';
import { createConnection, createServer, type NetConnectOpts, type Server, type Socket } from 'node:net';
import { join } from 'node:path';

/** What the service sends to make something durable: the end of a job, and an intake. */
const COMMITS = [Buffer.from('Q\0\0\0\x0bcommit\0', 'latin1'), Buffer.from('insert pending')];
/** What the server answers when it is durable: CommandComplete, and that it is idle outside any transaction. */
const COMMITTED = Buffer.from('Z\0\0\0\x05I', 'latin1');
const SELECTED = /COMMIT\0|SELECT 1\0/;

type Delayed = { dueAt: number; chunk: Buffer };

type Pair = {
  client: Socket;
  server: Socket;
  /** Nothing passes any more, and neither end learns of it. */
  black: boolean;
  bytesLeft: number;
  /** A commit is on its way on this connection, and its answer shall be lost. */
  losing: boolean;
  /** What waits in each direction, in order: nothing overtakes what is before it. */
  delayed: { up: Delayed[]; down: Delayed[] };
};

export class Proxy {
  readonly #listener: Server;
  readonly #pairs = new Set<Pair>();
  #black = false;
  #delayMs = 0;
  #drawBytes: (() => number) | null = null;
  #onLost: (() => void) | null = null;

  /** Listens on a free port and passes everything on to a PostgreSQL server; a host that is a folder holds its socket. */
  static async open({ host, port }: { host: string; port: number }): Promise<Proxy> {
    const proxy = new Proxy(host.startsWith('/') ? { path: join(host, `.s.PGSQL.${port}`) } : { host, port });
    proxy.#listener.listen(0, '127.0.0.1');
    await once(proxy.#listener, 'listening');
    return proxy;
  }

  private constructor(target: NetConnectOpts) {
    this.#listener = createServer({ noDelay: true }, (client) => this.#join(client, target));
  }

  get port(): number {
    const address = this.#listener.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  get connectionCount(): number {
    return this.#pairs.size;
  }

  /** Resets every connection. */
  cut(): void {
    for (const pair of this.#pairs) this.#reset(pair);
  }

  /** From now on nothing passes, on new connections neither; those that are open until `endBlackHole` never work again. */
  beginBlackHole(): void {
    this.#black = true;
    for (const pair of this.#pairs) pair.black = true;
  }

  endBlackHole(): void {
    this.#black = false;
  }

  /** Closes what a black hole has left on the server's side, as its keep-alive would in the end. */
  bury(): void {
    for (const pair of this.#pairs) if (pair.black) this.#reset(pair);
  }

  /** Delays each chunk, in both directions; 0 is no delay. */
  slow(delayMs: number): void {
    this.#delayMs = delayMs;
  }

  /** Resets each connection after as many more bytes as `draw` says; null lets new ones live. */
  resetAfter(draw: (() => number) | null): void {
    this.#drawBytes = draw;
    for (const pair of this.#pairs) pair.bytesLeft = draw?.() ?? Infinity;
  }

  /** Swallows the answer to the next commit, and then tells. The connection is silent from there on. */
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
    this.#listener.close();
    this.cut();
    await once(this.#listener, 'close');
  }

  #join(client: Socket, target: NetConnectOpts): void {
    const server = createConnection(target);
    const pair: Pair = {
      client,
      server,
      black: this.#black,
      bytesLeft: this.#drawBytes?.() ?? Infinity,
      losing: false,
      delayed: { up: [], down: [] },
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
    const otherOf = (socket: Socket): Socket => (socket === client ? server : client);
    for (const socket of [client, server]) {
      socket.on('error', () => {});
      socket.on('close', () => {
        // In a black hole an end is not heard either.
        if (pair.black && !otherOf(socket).destroyed) return;
        this.#pairs.delete(pair);
        otherOf(socket).destroySoon();
      });
    }
  }

  #pass(pair: Pair, way: 'up' | 'down', chunk: Buffer): void {
    if (pair.black) return;
    const target = way === 'up' ? pair.server : pair.client;
    const part = chunk.subarray(0, pair.bytesLeft);
    pair.bytesLeft -= part.length;
    const delayed = pair.delayed[way];
    if (pair.bytesLeft === 0) target.write(part, () => this.#reset(pair));
    else if (this.#delayMs === 0 && delayed.length === 0) target.write(part);
    else {
      const last = delayed.at(-1)?.dueAt ?? 0;
      delayed.push({ dueAt: Math.max(last, performance.now() + this.#delayMs), chunk: part });
      if (delayed.length === 1) this.#release(pair, way, target);
    }
  }

  /** Sends on what is due, and comes back for the rest. */
  #release(pair: Pair, way: 'up' | 'down', target: Socket): void {
    const delayed = pair.delayed[way];
    for (;;) {
      const [first] = delayed;
      if (!first || pair.black || target.destroyed) return;
      const leftMs = first.dueAt - performance.now();
      if (leftMs > 0) {
        setTimeout(() => this.#release(pair, way, target), leftMs);
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
    pair.client.resetAndDestroy();
    pair.server.destroy();
  }
}
