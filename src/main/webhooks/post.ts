// Sends one message, and reads the answer: bounded in time and in size, without redirects, to checked addresses only.
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { Socket } from 'node:net';
import { Agent, buildConnector, request } from 'undici';
import { checkHost, guardedLookup, TargetRefusedError, type TargetRules } from './target.ts';

/** The answer counts, and not its body. This is room for a page of an error. */
const ANSWER_BYTES_MAX = 64 * 1024;
/** With the head, with interim answers without end, and with what chunks have besides their content. */
const BYTES_MAX = ANSWER_BYTES_MAX + 128 * 1024;
/** Of an idle connection. */
const KEEP_ALIVE_MS = 4000;

/** Why an attempt failed. status: an answer that is not 2xx. */
export type PostError = 'status' | 'timeout' | 'connection' | 'too_large' | 'refused';
/**
 * A message is delivered with a whole answer of status 2xx. `error`: null if it was. `retryAfter`: when the receiver asks to
 * be tried again, as it wrote it.
 */
export type PostResult = {
  readonly status: number | null;
  readonly error: PostError | null;
  readonly retryAfter?: string;
};

/** The receiver is too busy for now. */
const BUSY = new Set([429, 503]);

export type Post = (
  url: string,
  message: { readonly headers: Record<string, string>; readonly body: string },
  stop: AbortSignal,
) => Promise<PostResult>;

/** The channel on which undici says that it sends a request, and on which connection. */
const REQUEST_SENT = 'undici:client:sendHeaders';

class AnswerTooLargeError extends Error {}

/** Makes the function that sends, with connections of its own. `close` ends them. */
export function createPost(rules: TargetRules, timeoutMs: number): { post: Post; close: () => Promise<void> } {
  const connect = buildConnector({ lookup: guardedLookup(rules), timeout: timeoutMs });
  const bounds = new WeakMap<object, number>();
  // A connection has several answers, one after the other: each request begins a new count.
  const bound = (sent: unknown): void => {
    if (typeof sent !== 'object' || sent === null || !('socket' in sent)) return;
    const { socket } = sent;
    if (isSocket(socket)) bounds.set(socket, socket.bytesRead + BYTES_MAX);
  };
  subscribe(REQUEST_SENT, bound);
  const agent = new Agent({
    connect: (options, connected) => {
      connect(options, (...result) => {
        const [, socket] = result;
        socket?.on('readable', () => {
          if (socket.bytesRead > (bounds.get(socket) ?? BYTES_MAX)) socket.destroy(new AnswerTooLargeError());
        });
        connected(...result);
      });
    },
    headersTimeout: timeoutMs,
    bodyTimeout: timeoutMs,
    keepAliveTimeout: KEEP_ALIVE_MS,
    keepAliveMaxTimeout: KEEP_ALIVE_MS,
    pipelining: 1,
  });
  const post: Post = async (url, { headers, body }, stop) => {
    const late = AbortSignal.timeout(timeoutMs);
    let status: number | null = null;
    try {
      // undici looks up names only: an address in the URL is checked here.
      checkHost(url, rules);
      const signal = AbortSignal.any([late, stop]);
      const answer = await request(url, { method: 'POST', headers, body, dispatcher: agent, signal });
      status = answer.statusCode;
      let bytes = 0;
      // The loop destroys the body however it ends.
      for await (const chunk of answer.body) {
        bytes += Buffer.isBuffer(chunk) ? chunk.length : 0;
        if (bytes > ANSWER_BYTES_MAX) return { status, error: 'too_large' };
      }
      if (status >= 200 && status <= 299) return { status, error: null };
      const [retryAfter] = [answer.headers['retry-after'] ?? []].flat();
      return { status, error: 'status', ...(BUSY.has(status) && retryAfter !== undefined && { retryAfter }) };
    } catch (error) {
      // The service stops: the attempt counts for nothing.
      stop.throwIfAborted();
      return { status, error: late.aborted ? 'timeout' : errorOf(error) };
    }
  };
  const close = async (): Promise<void> => {
    unsubscribe(REQUEST_SENT, bound);
    await agent.destroy();
  };
  return { post, close };
}

function isSocket(value: unknown): value is Socket {
  return typeof value === 'object' && value !== null && 'bytesRead' in value;
}

function errorOf(error: unknown): PostError {
  if (error instanceof AnswerTooLargeError) return 'too_large';
  if (error instanceof TargetRefusedError) return 'refused';
  const code = error instanceof Error && 'code' in error ? error.code : '';
  return code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_CONNECT_TIMEOUT' || code === 'UND_ERR_BODY_TIMEOUT'
    ? 'timeout'
    : 'connection';
}
