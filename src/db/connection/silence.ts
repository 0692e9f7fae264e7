// Connections that fall silent: an answer is due, and none arrives. They are destroyed, so that their statements fail.
import { Socket } from 'node:net';
import type { Client, ClientBase } from 'pg';
import type Cursor from 'pg-cursor';
import type { DatabaseTimeouts } from './session.ts';

/** A connection was abandoned: an answer was due, and none arrived. */
export class SilenceError extends Error {}

/** The channel that asks all connections of the process, in every thread, to show that they are alive. */
const SUSPICIONS = 'gopherpay suspicions';

/**
 * Connections whose cursor has answered and may be read further. No answer is due on them, though their statement is
 * not over.
 */
const pausing = new WeakSet<ClientBase>();

/**
 * Destroys the socket of a connection that was silent for `answerTimeoutMs` while an answer was due. Its statements
 * then fail with a network error. No statement needs a timer of its own: the socket's timer restarts whenever bytes
 * arrive or leave.
 */
export function watchAnswers(client: Client, { answerTimeoutMs }: DatabaseTimeouts): void {
  const socket = socketOf(client);
  if (answerTimeoutMs === 0 || socket === null) return;
  socket.setTimeout(answerTimeoutMs);
  // This listener receives every timeout; a listener passed to setTimeout would receive only the first.
  socket.on('timeout', () => {
    const { bytesRead } = socket;
    // After a stall of this process, its timers run before it reads input, so the answer may already be there.
    setImmediate(() => {
      if (socket.bytesRead !== bytesRead || isIdle(client, socket) || pausing.has(client)) return;
      socket.destroy(new SilenceError(`The database was silent for ${answerTimeoutMs} ms`));
    });
  });
}

/**
 * Probes an idle connection, and destroys it if no answer arrives. Otherwise the next job or intake on it would wait
 * for a whole answer timeout, after the network has healed.
 */
export function probeIdle(client: Client, { answerTimeoutMs, probeTimeoutMs }: DatabaseTimeouts): void {
  const socket = socketOf(client);
  if (answerTimeoutMs === 0 || socket === null) return;
  let received = socket.bytesRead;
  let asked = false;
  const look = (): void => {
    if (socket.bytesRead !== received) asked = false;
    else if (asked) socket.destroy(silenceAfterProof(probeTimeoutMs));
    else if (isIdle(client, socket)) {
      asked = true;
      // The next statement on the connection reports the failure.
      client.query('select 1').catch(() => {});
    }
    received = socket.bytesRead;
  };
  // After a stall of this process, its timers run before it reads input, so the answer may already be there.
  const timer = setInterval(() => setImmediate(look), probeTimeoutMs).unref();
  socket.once('close', () => clearInterval(timer));
}

/**
 * Probes all connections of the process, including those of its threads. One that receives no byte within
 * `probeTimeoutMs` is destroyed. Called when one connection fell silent and a new one works: the others may be silent
 * as well.
 */
export function suspectConnections(): void {
  const suspicions = new BroadcastChannel(SUSPICIONS);
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a channel of this process has no origin
  suspicions.postMessage(null);
  suspicions.close();
}

/** A statement that takes longer than the probe is lost and must be repeated; that cost is rare. */
export function probeOnSuspicion(client: Client, { answerTimeoutMs, probeTimeoutMs }: DatabaseTimeouts): void {
  const socket = socketOf(client);
  if (answerTimeoutMs === 0 || socket === null) return;
  const suspicions = new BroadcastChannel(SUSPICIONS);
  suspicions.addEventListener('message', () => {
    const { bytesRead } = socket;
    // The next statement on the connection reports the failure.
    if (isIdle(client, socket)) client.query('select 1').catch(() => {});
    const look = (): void => {
      if (socket.bytesRead === bytesRead) socket.destroy(silenceAfterProof(probeTimeoutMs));
    };
    setTimeout(() => setImmediate(look), probeTimeoutMs).unref();
  });
  suspicions.unref();
  socket.once('close', () => suspicions.close());
}

function silenceAfterProof(probeTimeoutMs: number): SilenceError {
  return new SilenceError(`The database did not answer within ${probeTimeoutMs} ms`);
}

/** Whether no statement and no answer is in flight. */
function isIdle(client: Client, socket: Socket): boolean {
  const answered = 'readyForQuery' in client && client.readyForQuery === true;
  return answered && socket.writableLength === 0 && !socket.writableEnded;
}

export function socketOf(client: Client): Socket | null {
  const { stream } = client.connection;
  return stream instanceof Socket ? stream : null;
}

/**
 * Reads at most `count` more rows of a cursor; fewer are the last. The reader may take any time until the next call:
 * the answer timeout applies only during a call.
 */
export async function readRows<Row>(connection: Client, cursor: Cursor<Row>, count: number): Promise<Row[]> {
  pausing.delete(connection);
  const rows = await cursor.read(count);
  if (rows.length === count) pausing.add(connection);
  return rows;
}
