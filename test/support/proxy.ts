// A wire between the service and its database that can fail in the two ways in which wires do: it swallows what it is given and
// says nothing, or it is cut and refuses.
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { onEnd, type Scope } from './cleanup.ts';
import { renderDatabaseUrl, type TestDatabase } from './database.ts';

export type Proxy = {
  /** The database, as it is reached through the wire. */
  url: string;
  /** From now on every byte is taken and none passed on, on connections old and new; none of them is closed. */
  swallow: () => void;
  /** Ends every connection and lets nobody in, as a server that is stopped. */
  refuse: () => Promise<void>;
  /** Lets new connections through. Those that were swallowed stay dead: what they said is lost. */
  heal: () => Promise<void>;
};

/** A caller's connection and ours to the server; `dead` ones pass nothing on any more. */
type Pair = { caller: Socket; server: Socket | null; dead: boolean };

/** Puts a wire in front of a database; it is taken away when the scope ends. */
export async function startProxy(scope: Scope, database: TestDatabase): Promise<Proxy> {
  const { host, port } = database.admin;
  const target = host.startsWith('/') ? { path: `${host}/.s.PGSQL.${port}` } : { host, port };
  const pairs = new Set<Pair>();
  let swallowing = false;

  const join = (caller: Socket): void => {
    const server = swallowing ? null : connect({ ...target, allowHalfOpen: true });
    const pair: Pair = { caller, server, dead: swallowing };
    pairs.add(pair);
    relay(caller, server, pair);
    if (server) relay(server, caller, pair);
  };
  const listener = createServer({ allowHalfOpen: true }, join);
  await listen(listener, 0);
  const address = listener.address();
  if (typeof address !== 'object' || address === null) throw new Error('The proxy must listen on a port.');
  const cut = (): void => {
    for (const { caller, server } of pairs) {
      caller.destroy();
      server?.destroy();
    }
    pairs.clear();
  };
  onEnd(scope, async () => {
    cut();
    if (listener.listening) await close(listener);
  });
  if (!('user' in database.settings)) throw new Error('A test database must be named by its parts.');
  return {
    url: renderDatabaseUrl({ ...database.settings, host: '127.0.0.1', port: address.port }),
    swallow: () => {
      swallowing = true;
      for (const pair of pairs) pair.dead = true;
    },
    refuse: async () => {
      const closed = close(listener);
      cut();
      await closed;
    },
    heal: async () => {
      swallowing = false;
      if (!listener.listening) await listen(listener, address.port);
    },
  };
}

/** Passes on what one side says to the other, and its end; a dead pair's is read and thrown away. */
function relay(from: Socket, to: Socket | null, pair: Pair): void {
  from.on('error', () => {});
  from.on('data', (bytes) => {
    if (!pair.dead) to?.write(bytes);
  });
  const pass = (): void => {
    if (!pair.dead) to?.end();
  };
  from.once('end', pass);
  from.once('close', pass);
}

async function listen(listener: Server, port: number): Promise<void> {
  listener.listen(port, '127.0.0.1');
  await once(listener, 'listening');
}

async function close(listener: Server): Promise<void> {
  const closed = once(listener, 'close');
  listener.close();
  await closed;
}
