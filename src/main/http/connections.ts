// Limits connections: in total, per caller, and by the limit of open files. Beyond the limit a few more are accepted,
// the reserve. Only probes and metrics are answered on these, so that an operator can observe a full service.
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { callerOf, Shares } from '../shares.ts';
import type { TrustedProxies } from './proxies.ts';
import { transportOf } from './tls.ts';

export type ConnectionLimits = {
  readonly connectionsMax: number;
  /** How many connections are accepted beyond that. */
  readonly reserve: number;
};

const RESERVE_MAX = 64;
/** How long a connection of the reserve may take for its single request. */
const RESERVE_LIFETIME_MS = 2000;
/** Files that a process opens besides connections: listeners, the log, and those of Node itself and of each thread. */
const FILES_OF_PROCESS = 32;
const FILES_OF_THREAD = 6;

/** Accepts connections within the limits. `isInReserve` tests whether a connection belongs to the reserve. */
export function limitConnections(
  server: Server,
  options: ConnectionLimits & { callerSharePercent: number; proxies: TrustedProxies; onRefused: () => void },
): { isInReserve: (socket: Duplex) => boolean; used: () => number } {
  const shares = new Shares({ total: options.connectionsMax, percent: options.callerSharePercent });
  /** In the order of their arrival. */
  const reserved = new Set<Duplex>();
  server.on('connection', (socket: Socket) => {
    const caller = callerOf(socket.remoteAddress);
    // All callers behind a proxy have its address.
    const unlimited = options.proxies.trusts(socket.remoteAddress);
    if (shares.tryTake(caller, { unlimited })) {
      socket.once('close', () => shares.release(caller));
      return;
    }
    options.onRefused();
    reserved.add(socket);
    const timer = setTimeout(() => socket.destroy(), RESERVE_LIFETIME_MS).unref();
    socket.once('close', () => {
      clearTimeout(timer);
      reserved.delete(socket);
    });
    // A probe sends its request at once, so the oldest connection is idle.
    const [oldest] = reserved;
    if (reserved.size > options.reserve) oldest?.destroy();
  });
  return { isInReserve: (socket) => reserved.has(transportOf(socket)), used: () => shares.used };
}

/** The limits, lowered to the files that remain after the threads and the connections that the service opens itself. */
export function fitConnections(
  wanted: number,
  { filesMax, threads, ownConnections }: { filesMax: number; threads: number; ownConnections: number },
): ConnectionLimits {
  const remaining = Math.max(2, filesMax - FILES_OF_PROCESS - FILES_OF_THREAD * threads - ownConnections);
  const reserve = Math.min(RESERVE_MAX, Math.ceil(remaining / 3));
  return { connectionsMax: Math.min(wanted, remaining - reserve), reserve };
}
