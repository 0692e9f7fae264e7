// Closes a server without breaking a request.
import { once } from 'node:events';
import type { Server } from 'node:http';
import { Server as NetServer, Socket } from 'node:net';
import { isHandshaking, transportOf } from './tls.ts';

/** How long a connection may stay idle when the server closes: longer than an active caller pauses between requests. */
const IDLE_GRACE_MS = 500;
/** The queue is empty after so many turns without a connection: the first may have looked before the last one came. */
const ACCEPT_IDLE_TURNS = 2;
/** The queue has room for 511 connections (Node's default), so callers that connect again and again do not delay the stop. */
const ACCEPT_TURNS_MAX = 512;

/** The connections of each server, those in their TLS handshake too. Node treats one that has sent nothing yet as busy. */
const connections = new WeakMap<Server, Set<Socket>>();

/** Notes the connections of a server that closeGently() will close. */
export function trackConnections(server: Server): void {
  const sockets = new Set<Socket>();
  connections.set(server, sockets);
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  server.on('secureConnection', (secure: Socket) => {
    const transport = transportOf(secure);
    if (transport instanceof Socket) sockets.delete(transport);
    sockets.add(secure);
    secure.once('close', () => sockets.delete(secure));
  });
}

/**
 * Closes the server without breaking a request: new connections are refused, a request on an open one is answered with
 * `Connection: close`, and connections that stay idle are closed. Node's own close() ends idle connections at once, and
 * resets those whose next request is in flight. Resolves when all connections are closed.
 * `onUnreachable` is called once no connection can be made any more. Only then may answers end connections: their callers
 * would connect again before, and be reset.
 */
export async function closeGently(server: Server, onUnreachable: () => void): Promise<void> {
  const closed = once(server, 'close');
  await acceptWaiting(server);
  NetServer.prototype.close.call(server);
  onUnreachable();
  const sweep = setInterval(() => setImmediate(() => closeIdle(server)), IDLE_GRACE_MS);
  await closed;
  clearInterval(sweep);
}

/**
 * Accepts the connections that wait in the system's queue, because closing the server would reset them. libuv accepts one
 * in each turn of the event loop, so a busy process has several.
 */
async function acceptWaiting(server: Server): Promise<void> {
  let accepted = false;
  const note = (): void => {
    accepted = true;
  };
  server.on('connection', note);
  for (let turns = 0, idle = 0; idle < ACCEPT_IDLE_TURNS && turns < ACCEPT_TURNS_MAX; turns += 1) {
    accepted = false;
    await new Promise((resolve) => setImmediate(resolve));
    idle = accepted ? 0 : idle + 1;
  }
  server.off('connection', note);
}

function closeIdle(server: Server): void {
  server.closeIdleConnections();
  for (const socket of connections.get(server) ?? [])
    if (socket.bytesRead === 0 || isHandshaking(server, socket)) socket.destroy();
}
