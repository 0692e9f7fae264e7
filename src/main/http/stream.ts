// Large and streamed answers: bounded memory, backpressure, and a timeout for readers that stall.
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { Problem } from './problem.ts';
import { Shares } from '../shares.ts';

/**
 * A body that is written after the head. If `write` returns, the answer ends; if it throws, the answer is truncated.
 */
export type Stream = {
  readonly contentType: string;
  /** Always called, even if the caller has already disconnected, so that it can release its resources. */
  readonly write: (writer: StreamWriter) => Promise<void>;
};

export type StreamWriter = {
  /** Aborted when the caller has disconnected. */
  readonly gone: AbortSignal;
  /** Sends text and resolves when there is room for more. Throws if the caller has disconnected or stalls. */
  readonly send: (content: string | Buffer) => Promise<void>;
  /** Closes the connection at once, and drops unsent bytes. */
  readonly breakOff: () => void;
};

/** How a stream ended. `error`: an error of `write` itself. */
export type StreamEnd = {
  readonly ended: 'whole' | 'hung_up' | 'stalled' | 'broken_off';
  readonly bytes: number;
  readonly error?: unknown;
};

/** A reader must accept this many bytes within the timeout: 64 KiB a minute is slower than any modem. */
const PIECE_BYTES = 64 * 1024;

class CallerGone extends Error {}
class CallerStalled extends Error {}

/** Writes a stream whose head was sent. `timeoutMs`: how long the caller may stall. Never throws. */
export async function writeStream(response: ServerResponse, stream: Stream, timeoutMs: number): Promise<StreamEnd> {
  const gone = new AbortController();
  const leave = () => gone.abort();
  response.once('close', leave);
  if (response.destroyed) leave();
  let bytes = 0;
  const send = async (content: string | Buffer): Promise<void> => {
    const all = typeof content === 'string' ? Buffer.from(content) : content;
    for (let start = 0; start < all.length; start += PIECE_BYTES) {
      if (gone.signal.aborted) throw new CallerGone();
      const piece = all.subarray(start, start + PIECE_BYTES);
      bytes += piece.length;
      if (!response.write(piece)) await takes(response, 'drain', gone.signal, timeoutMs);
    }
  };
  try {
    await turnOf(response, gone.signal);
    await stream.write({ gone: gone.signal, send, breakOff: () => response.destroy() });
    response.end();
    await takes(response, 'finish', gone.signal, timeoutMs);
    return { ended: 'whole', bytes };
  } catch (error) {
    response.destroy();
    if (error instanceof CallerGone || gone.signal.aborted) return { ended: 'hung_up', bytes };
    if (error instanceof CallerStalled) return { ended: 'stalled', bytes };
    return { ended: 'broken_off', bytes, error };
  } finally {
    response.off('close', leave);
  }
}

/** Lets a stream release its resources unwritten: the answer to HEAD has no body. Never throws. */
export async function releaseStream(stream: Stream): Promise<void> {
  const send = async (): Promise<void> => await Promise.reject(new CallerGone());
  await stream.write({ gone: AbortSignal.abort(), send, breakOff: () => {} }).catch(() => {});
}

/** Waits until the earlier answers on the connection have ended: until then the reader cannot receive this one. */
async function turnOf(response: ServerResponse, gone: AbortSignal): Promise<void> {
  if (response.socket || gone.aborted) return;
  await once(response, 'socket', { signal: gone }).catch(() => {});
}

/** Closes the connection if the reader of a completely written answer does not receive it within the timeout. */
export function cutIfStalled(response: ServerResponse, timeoutMs: number): void {
  // The operating system has buffered most answers completely.
  if (!response.writableEnded || response.writableLength === 0) return;
  const watch = () => {
    const timer = setTimeout(() => response.destroy(), timeoutMs);
    response.once('close', () => clearTimeout(timer));
  };
  if (response.socket) watch();
  else response.once('socket', watch);
}

/** Waits until the written bytes are accepted. */
async function takes(
  response: ServerResponse,
  event: 'drain' | 'finish',
  gone: AbortSignal,
  timeoutMs: number,
): Promise<void> {
  if (event === 'finish' && response.writableFinished) return;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const leave = () => reject(new CallerGone());
  const timer = setTimeout(() => reject(new CallerStalled()), timeoutMs);
  response.once(event, resolve);
  gone.addEventListener('abort', leave, { once: true });
  if (gone.aborted) leave();
  try {
    await promise;
  } finally {
    clearTimeout(timer);
    response.off(event, resolve);
    gone.removeEventListener('abort', leave);
  }
}

/** How many responses of a kind may be streamed at once, in total and to one caller. */
export class StreamSlots {
  readonly #shares: Shares;
  readonly #onRefused: () => void;

  constructor(options: { max: number; callerSharePercent: number; onRefused: () => void }) {
    this.#shares = new Shares({ total: options.max, percent: options.callerSharePercent });
    this.#onRefused = options.onRefused;
  }

  get used(): number {
    return this.#shares.used;
  }

  /**
   * Takes a stream for a caller. Returns a function that releases it, once. Throws too_many_streams if none is free.
   */
  take(caller: string): () => void {
    if (!this.#shares.tryTake(caller)) {
      this.#onRefused();
      const reason = this.#shares.free === 0 ? 'All are in use.' : 'Your address has its share of them.';
      throw new Problem('too_many_streams', `${reason} Close a stream, or try again later.`, {
        headers: { 'Retry-After': '5' },
      });
    }
    return () => this.#shares.release(caller);
  }
}
