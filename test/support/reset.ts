// Resets a connection, as a caller or a network that disappears would.
import type { Socket } from 'node:net';

/**
 * Resets a connection, or destroys one whose end is on its way. Node 26 cannot reset the latter: the socket then emits
 * EINVAL, never closes, and the process occupies a processor for ever when it exits.
 */
export function reset(socket: Socket): void {
  if (socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}
