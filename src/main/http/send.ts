// Sends answers and problems, with the headers that every answer has, within the budget for answers.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ByteBudget } from './byte-budget.ts';
import type { LogFields } from '../../request-line.ts';
import type { Problem } from './problem.ts';
import type { Answer } from './endpoint.ts';
import { releaseStream, type Stream, writeStream } from './stream.ts';

/**
 * Headers of every answer, for browsers: the data is for the caller only, and must not be cached, sniffed, framed or
 * embedded.
 */
const SECURITY_HEADERS = {
  'X-Content-Type-Options': 'nosniff',
  'Cache-Control': 'no-store',
  'Content-Security-Policy': "default-src 'none'; frame-ancestors 'none'",
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Resource-Policy': 'same-origin',
};
export const SECURITY_LINES = Object.entries(SECURITY_HEADERS)
  .map(([name, value]) => `${name}: ${value}\r\n`)
  .join('');
/** How often it is checked whether the reader of a stream may still read it. */
const ADMITTED_POLL_MS = 500;
/** Larger answers take their bytes from the budget for answers, and are written piece by piece. */
const SMALL_ANSWER_BYTES = 16 * 1024;

/** The memory bounds of all requests together. */
export type Budgets = { readonly bodies: ByteBudget; readonly answers: ByteBudget };

/** The server's options that sending needs. */
export type SendOptions = {
  metrics: HttpMetrics;
  toProblem: (error: unknown, requestId: string) => Problem;
  streamTimeoutMs: number;
};

/** What the server counts. */
export type HttpMetrics = {
  /** One answered request; `route` is the pattern that matched, and `ledger` the ledger that admitted it. */
  request(method: string, route: string, status: number, durationMs: number, ledger?: string): void;
  /** An answer that reports a problem. */
  problem(code: string): void;
  /** One more or one less answer that is being streamed. */
  streaming(route: string, change: 1 | -1): void;
  /** A connection that was refused because its caller has its share, or because none is left. */
  refused(resource: 'connections'): void;
  /** Exports a value, which is read whenever the metrics are rendered. */
  show(name: `gopherpay_${Limited}` | `gopherpay_${Limited}_limit`, read: () => number, listener: string): void;
};

type Limited = 'connections' | 'body_bytes' | 'answer_bytes';

/** Throws too_many_answers if the answer to a read is large and the budget has no room for it. */
export function sendAnswer(
  response: ServerResponse,
  answer: Answer,
  { requestId, caller, options }: { requestId: string; caller: string; options: SendOptions & { budgets: Budgets } },
): void {
  const { contentType, text } = answer.text ?? {
    contentType: 'application/json',
    text: answer.json ? JSON.stringify(answer.json) : '',
  };
  if (text.length <= SMALL_ANSWER_BYTES) {
    send(response, answer.status, text === '' ? null : contentType, text, answer.headers, requestId);
    return;
  }
  const bytes = typeof text === 'string' ? Buffer.from(text) : Buffer.from(text.buffer, text.byteOffset, text.length);
  const headers = { ...answer.headers, 'Content-Length': String(bytes.length) };
  if (response.req.method === 'HEAD') {
    writeHead(response, { ...answer, headers }, contentType, requestId);
    response.end();
    return;
  }
  const stream: Stream = { contentType, write: async (writer) => await writer.send(bytes) };
  // A file is in memory once, for all its readers.
  if (typeof text !== 'string') {
    writeHead(response, { ...answer, headers }, contentType, requestId);
    void writeStream(response, stream, options.streamTimeoutMs);
    return;
  }
  const answers = options.budgets.answers.of(caller);
  if (response.req.method === 'GET') answers.take(bytes.length);
  else answers.takeAnyway(bytes.length);
  writeHead(response, { ...answer, headers }, contentType, requestId);
  void writeStream(response, stream, options.streamTimeoutMs).finally(() => answers.release(bytes.length));
}

function writeHead(response: ServerResponse, answer: Answer, contentType: string, requestId: string): void {
  if (response.destroyed) return;
  const own = { ...SECURITY_HEADERS, 'Content-Type': contentType };
  response.writeHead(answer.status, { ...own, ...answer.headers, 'X-Request-ID': requestId });
}

/** Sends the head, then writes the stream. Returns the fields of the log line: how the stream ended, and its bytes. */
export async function sendStream(
  response: ServerResponse,
  answer: Answer,
  stream: Stream,
  about: { pattern: string; requestId: string; isAdmitted: () => boolean; options: SendOptions },
): Promise<LogFields> {
  const { pattern, requestId, isAdmitted, options } = about;
  writeHead(response, answer, stream.contentType, requestId);
  if (!response.destroyed) response.flushHeaders();
  if (response.req.method === 'HEAD') {
    await releaseStream(stream);
    response.end();
    return { ended: 'whole', bytes: 0 };
  }
  options.metrics.streaming(pattern, 1);
  // A key may be revoked while its holder follows a stream.
  const watch = setInterval(() => isAdmitted() || response.destroy(), ADMITTED_POLL_MS);
  const { ended, bytes, error } = await writeStream(response, stream, options.streamTimeoutMs);
  clearInterval(watch);
  options.metrics.streaming(pattern, -1);
  // The head is already sent, so the caller sees only a truncated answer; the log has the problem.
  const code = ended === 'broken_off' ? options.toProblem(error, requestId).code : undefined;
  return { ended, bytes, ...(code && { code }) };
}

export function sendProblem(
  request: IncomingMessage,
  response: ServerResponse,
  problem: Problem,
  { requestId, lingerTimeoutMs }: { requestId: string; lingerTimeoutMs: number },
): void {
  send(response, problem.status, 'application/problem+json', problem.render(requestId), problem.headers, requestId);
  if (request.complete) return;
  // The rest of the body is read and dropped for a limited time, so that the answer arrives.
  request.removeAllListeners('data');
  request.resume();
  // Most bodies have arrived and only need parsing. In a storm of refusals, timers would keep all of them in memory.
  setImmediate(() => {
    if (request.complete) return;
    setTimeout(() => !request.complete && request.socket.destroy(), lingerTimeoutMs).unref();
  });
}

function send(
  response: ServerResponse,
  status: number,
  contentType: string | null,
  text: string | Uint8Array,
  headers: Readonly<Record<string, string>> | undefined,
  requestId: string,
): void {
  if (response.headersSent || response.destroyed) return;
  // All headers at once: setting them one by one costs twice as much.
  const all: Record<string, string | number> = { ...SECURITY_HEADERS, ...headers, 'X-Request-ID': requestId };
  if (contentType !== null) all['Content-Type'] = contentType;
  if (status !== 204 && status !== 304) all['Content-Length'] = Buffer.byteLength(text);
  response.writeHead(status, all);
  response.end(text);
}
