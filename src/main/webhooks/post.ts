// Sends one message, and reads the answer: bounded in time and in size, without redirects, to checked addresses only.
import { Agent, request } from 'undici';
import { checkHost, guardedLookup, TargetRefusedError, type TargetRules } from './target.ts';

/** The answer counts, and not its body. This is room for a page of an error. */
const ANSWER_BYTES_MAX = 64 * 1024;
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

/** Makes the function that sends, with connections of its own. `close` ends them. */
export function createPost(rules: TargetRules, timeoutMs: number): { post: Post; close: () => Promise<void> } {
  const agent = new Agent({
    connect: { lookup: guardedLookup(rules), timeout: timeoutMs },
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
  return { post, close: async () => await agent.destroy() };
}

function errorOf(error: unknown): PostError {
  if (error instanceof TargetRefusedError) return 'refused';
  const code = error instanceof Error && 'code' in error ? error.code : '';
  return code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_CONNECT_TIMEOUT' || code === 'UND_ERR_BODY_TIMEOUT'
    ? 'timeout'
    : 'connection';
}
