// The HTTP server: takes a request through router, body, schema and handler to its answer, in that order, and turns
// whatever is thrown on the way into a problem. Raw node:http; every bound is stated.
import { randomUUIDv7 } from 'node:crypto';
import { once } from 'node:events';
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
  STATUS_CODES,
} from 'node:http';
import { Server as NetServer, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { retryAfter, sqlStateOf, toError } from '../db/errors.ts';
import { CommitUnknownError } from '../db/transaction.ts';
import type { Logger } from '../logger.ts';
import { readJson, refuseOtherTypes } from './body.ts';
import { ByteBudget } from './byte-budget.ts';
import { readHead } from './head.ts';
import type { AllowedHosts } from './hosts.ts';
import type { Metrics } from './metrics.ts';
import { limitConnections } from './connections.ts';
import { Problem, type ProblemCode } from './problem.ts';
import { type Answer, NO_BODY, type Route } from './route.ts';
import { Router } from './router.ts';
import { REQUEST_ID_FORM } from './schemas.ts';
import { callerOf } from './shares.ts';
import { cutIfStalled, releaseStream, type Stream, writeStream } from './stream.ts';

const HEAD_BYTES_MAX = 16 * 1024;
/** How long a connection may stay idle when the server closes: longer than an active caller pauses between requests. */
const IDLE_GRACE_MS = 500;

/** The connections of each server. Node treats one that has sent nothing yet as busy. */
const connections = new WeakMap<Server, Set<Socket>>();

/** Headers of every answer, for browsers: its data is for the caller alone, never cached, sniffed, framed or included. */
const SECURITY_HEADERS = {
  'X-Content-Type-Options': 'nosniff',
  'Cache-Control': 'no-store',
  'Content-Security-Policy': "default-src 'none'; frame-ancestors 'none'",
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Resource-Policy': 'same-origin',
};
const SECURITY_LINES = Object.entries(SECURITY_HEADERS)
  .map(([name, value]) => `${name}: ${value}\r\n`)
  .join('');
/** Larger answers take their bytes from the budget for answers, and are written piece by piece. */
const SMALL_ANSWER_BYTES = 16 * 1024;

export type ServerOptions = {
  routes: readonly Route[];
  metrics: Metrics;
  logger: Logger;
  hosts: AllowedHosts;
  bodyBytesMax: number;
  /** For all requests together. */
  bodyBytesInFlightMax: number;
  answerBytesInFlightMax: number;
  connectionsMax: number;
  /** How many connections are accepted beyond that, on which only operators are served. */
  reserve: number;
  /** How much of the connections one caller may hold, in percent. */
  callerSharePercent: number;
  headersTimeoutMs: number;
  requestTimeoutMs: number;
  keepAliveTimeoutMs: number;
  /** How long a caller that was refused may go on sending before its connection is cut. */
  lingerTimeoutMs: number;
  /** How long the reader of an answer may take nothing of it. */
  streamTimeoutMs: number;
  /** Whether the service is about to stop: then every request is refused. */
  stopping: () => boolean;
};

/** The memory bounds of all exchanges together. */
type Budgets = { readonly bodies: ByteBudget; readonly answers: ByteBudget };

/** An exchange on a connection: its answer, and the id of its request. */
type Latest = { readonly response: ServerResponse; readonly requestId: string };

/** Requests or connections that end with the current answer: later requests are neither answered nor executed. */
type Ending = WeakSet<IncomingMessage | Duplex>;
/** A request, and whether its connection is one of the reserve, on which only operators are served. */
type Arrival = Latest & { request: IncomingMessage; requestIdGiven: boolean; inReserve: boolean };

export function createHttpServer(options: ServerOptions): Server {
  const router = new Router<Route>();
  for (const route of options.routes) router.add(route.method, route.pattern, route);
  const budgets: Budgets = {
    bodies: new ByteBudget(options.bodyBytesInFlightMax, 'too_many_bodies'),
    answers: new ByteBudget(options.answerBytesInFlightMax, 'too_many_answers'),
  };
  /** The last exchange that began on each connection; its answer comes after those of all before it. */
  const latest = new WeakMap<Duplex, Latest>();
  const ending: Ending = new WeakSet();
  const answer = (request: IncomingMessage, response: ServerResponse): void => {
    if (ending.has(request.socket)) return;
    if (ending.has(request)) {
      ending.add(request.socket);
      response.setHeader('Connection', 'close');
    }
    const given = request.headers['x-request-id'];
    const requestIdGiven = typeof given === 'string' && REQUEST_ID_FORM.test(given);
    const requestId = requestIdGiven ? given : randomUUIDv7();
    latest.set(request.socket, { response, requestId });
    const inReserve = isInReserve(request.socket);
    const arrival = { request, response, requestId, requestIdGiven, inReserve };
    void exchange(arrival, router, ending, { ...options, budgets });
  };
  const server = createServer(
    {
      requestTimeout: options.requestTimeoutMs,
      headersTimeout: options.headersTimeoutMs,
      keepAliveTimeout: options.keepAliveTimeoutMs,
      // Node looks for late requests only this often; at its default of 30 s the timeouts above would be late.
      connectionsCheckingInterval: 2000,
      maxHeaderSize: HEAD_BYTES_MAX,
      // The service never switches protocols, so it ignores the header. But Node's parser drops the bytes that came in the same
      // packet behind the request, which may be half of another one: the connection cannot be used any longer.
      shouldUpgradeCallback: (request) => {
        ending.add(request);
        return false;
      },
      // Node's own refusal would have no body; refuseHeaders has one.
      requireHostHeader: false,
    },
    answer,
  );
  const sockets = new Set<Socket>();
  connections.set(server, sockets);
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  const isInReserve = limitConnections(server, {
    ...options,
    onRefused: () => options.metrics.refused('connections'),
  });
  // Without a listener, a connection that cannot be accepted because of the limit of open files would end the process. Errors before
  // 'listening' belong to the caller of listen().
  server.once('listening', () => {
    server.on('error', (error) => options.logger.error({ reason: error.message }, 'accept failed'));
  });
  // All that fit into a head: past its default of 2000, Node would leave headers out without a word.
  server.maxHeadersCount = 0;
  server.on('checkExpectation', answer);
  server.on('connect', (_, socket) => {
    // Node has removed its own listener, so a broken connection would end the process.
    socket.on('error', () => socket.destroy());
    const problem = new Problem('method_not_implemented', 'The service is not a proxy: it has no CONNECT.');
    refuseInOrder(latest.get(socket), socket, problem, options);
  });
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    if (error.code === 'ECONNRESET') socket.destroy();
    else refuseInOrder(latest.get(socket), socket, toMalformed(error), options);
  });
  return server;
}

async function exchange(
  { request, response, requestId, requestIdGiven, inReserve }: Arrival,
  router: Router<Route>,
  ending: Ending,
  options: ServerOptions & { budgets: Budgets },
): Promise<void> {
  const startedAt = performance.now();
  let pattern = 'none';
  let log: Answer['log'];
  let answeredMs: number | null = null;
  try {
    if (inReserve) response.setHeader('Connection', 'close');
    if (options.stopping()) {
      await discardBody(request, options.lingerTimeoutMs);
      throw stoppingProblem();
    }
    const { method = '', headers } = request;
    const { path, search } = readHead(request, options.hosts);
    let answer: Answer;
    if (method === 'OPTIONS') answer = { status: 204, headers: { Allow: router.allowOf(path) } };
    else {
      const { route, parameters } = router.find(method, path);
      pattern = route.pattern;
      if (inReserve && !route.operational) throw tooManyConnectionsProblem();
      if (route.method !== 'GET') refuseOtherTypes(headers);
      const query = parseQuery(search);
      const limits = { bytesMax: options.bodyBytesMax, budget: options.budgets.bodies };
      const readBody = async ({ optional }: { optional: boolean }) => await readJson(request, limits, { optional });
      // Node keeps up to 64 KiB of an unread body, which take 22 MB in chunks of one byte.
      if (route.body === NO_BODY && hasBody(headers)) request.resume();
      const caller = callerOf(request.socket.remoteAddress);
      answer = await route.handle({ requestId, requestIdGiven, headers, caller, parameters, query, readBody });
    }
    log = answer.log;
    closeIfStopping(response, options);
    if (answer.stream) {
      // What a stream takes to be written is its reader's doing: what counts is how long its head took.
      answeredMs = performance.now() - startedAt;
      options.metrics.request(pattern, answer.status, answeredMs);
      log = { ...log, ...(await sendStream(response, answer, answer.stream, { pattern, requestId, options })) };
    } else sendAnswer(response, answer, { requestId, options });
  } catch (error) {
    const problem = toProblem(error, options.logger, requestId);
    log = { code: problem.code };
    if (problem.headers['Connection'] === 'close') ending.add(request.socket);
    closeIfStopping(response, options);
    sendProblem(request, response, problem, { requestId, lingerTimeoutMs: options.lingerTimeoutMs });
  }
  cutIfStalled(response, options.streamTimeoutMs);
  const durationMs = performance.now() - startedAt;
  if (answeredMs === null) options.metrics.request(pattern, response.statusCode, durationMs);
  options.logger.info(
    {
      request_id: requestId,
      method: request.method,
      route: pattern,
      status: response.statusCode,
      request_bytes: Number(request.headers['content-length'] ?? 0),
      duration_ms: Math.round(durationMs * 1000) / 1000,
      ...log,
    },
    'request',
  );
}

/**
 * Closes the server so that no request breaks: from now on new connections are refused, a request on an old one is answered with
 * `Connection: close`, and connections that stay idle are closed. Node's own close() ends idle connections at once, and resets those
 * whose next request is on its way. Resolves when no connection is left.
 */
export async function closeGently(server: Server): Promise<void> {
  const closed = once(server, 'close');
  // After the events of this turn: a connection that waits to be accepted would be reset.
  await new Promise((resolve) => setImmediate(resolve));
  NetServer.prototype.close.call(server);
  const sweep = setInterval(() => setImmediate(() => closeIdle(server)), IDLE_GRACE_MS);
  await closed;
  clearInterval(sweep);
}

function closeIdle(server: Server): void {
  server.closeIdleConnections();
  for (const socket of connections.get(server) ?? []) if (socket.bytesRead === 0) socket.destroy();
}

/** A connection that is kept alive after its answer would keep the service from stopping. */
function closeIfStopping(response: ServerResponse, options: ServerOptions): void {
  if (options.stopping() && !response.headersSent) response.setHeader('Connection', 'close');
}

function hasBody(headers: IncomingHttpHeaders): boolean {
  return headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0';
}

/** Reads and drops the rest of a body: the connection is closed after the answer, and unread bytes would reset it. */
async function discardBody(request: IncomingMessage, timeoutMs: number): Promise<void> {
  if (request.complete) return;
  request.resume();
  await once(request, 'end', { signal: AbortSignal.timeout(timeoutMs) }).catch(() => {});
}

function parseQuery(search: string): Record<string, string> {
  const query: Record<string, string> = {};
  if (search === '') return query;
  for (const [name, value] of new URLSearchParams(search)) {
    if (Object.hasOwn(query, name)) throw new Problem('invalid_request', 'A parameter of the query came twice.');
    Object.defineProperty(query, name, { value, enumerable: true });
  }
  return query;
}

/** Throws too_many_answers if the answer to a read is large and no memory is left for it. */
function sendAnswer(
  response: ServerResponse,
  answer: Answer,
  { requestId, options }: { requestId: string; options: ServerOptions & { budgets: Budgets } },
): void {
  const { contentType, text } = answer.text ?? {
    contentType: 'application/json',
    text: answer.json ? JSON.stringify(answer.json) : '',
  };
  if (text.length <= SMALL_ANSWER_BYTES) {
    send(response, answer.status, text === '' ? null : contentType, text, answer.headers, requestId);
    return;
  }
  const bytes = Buffer.from(text);
  const headers = { ...answer.headers, 'Content-Length': String(bytes.length) };
  if (response.req.method === 'HEAD') {
    writeHead(response, { ...answer, headers }, contentType, requestId);
    response.end();
    return;
  }
  const { answers } = options.budgets;
  if (response.req.method === 'GET') answers.take(bytes.length);
  else answers.takeAnyway(bytes.length);
  writeHead(response, { ...answer, headers }, contentType, requestId);
  const stream: Stream = { contentType, write: async (writer) => await writer.send(bytes) };
  void writeStream(response, stream, options.streamTimeoutMs).finally(() => answers.release(bytes.length));
}

function writeHead(response: ServerResponse, answer: Answer, contentType: string, requestId: string): void {
  if (response.destroyed) return;
  const own = { ...SECURITY_HEADERS, 'Content-Type': contentType };
  response.writeHead(answer.status, { ...own, ...answer.headers, 'X-Request-ID': requestId });
}

/** Sends the head, then writes the stream to its end, whatever that is; returns what to log about it. */
async function sendStream(
  response: ServerResponse,
  answer: Answer,
  stream: Stream,
  about: { pattern: string; requestId: string; options: ServerOptions },
): Promise<Readonly<Record<string, unknown>>> {
  const { pattern, requestId, options } = about;
  writeHead(response, answer, stream.contentType, requestId);
  if (!response.destroyed) response.flushHeaders();
  if (response.req.method === 'HEAD') {
    await releaseStream(stream);
    response.end();
    return { ended: 'whole', bytes: 0 };
  }
  options.metrics.streaming(pattern, 1);
  const { ended, bytes, error } = await writeStream(response, stream, options.streamTimeoutMs);
  options.metrics.streaming(pattern, -1);
  // The head is sent, so the caller learns of the problem by an answer that breaks off; the log has the rest.
  const code = ended === 'broken_off' ? toProblem(error, options.logger, requestId).code : undefined;
  return { ended, bytes, ...(code && { code }) };
}

function sendProblem(
  request: IncomingMessage,
  response: ServerResponse,
  problem: Problem,
  { requestId, lingerTimeoutMs }: { requestId: string; lingerTimeoutMs: number },
): void {
  send(response, problem.status, 'application/problem+json', problem.render(requestId), problem.headers, requestId);
  if (request.complete) return;
  // What is left of the body is read and thrown away, so that the answer arrives; but not for ever.
  request.removeAllListeners('data');
  request.resume();
  // Most bodies are there already and only not parsed yet: in a storm of refusals, timers would keep them all in memory.
  setImmediate(() => {
    if (request.complete) return;
    setTimeout(() => !request.complete && request.socket.destroy(), lingerTimeoutMs).unref();
  });
}

function send(
  response: ServerResponse,
  status: number,
  contentType: string | null,
  text: string,
  headers: Readonly<Record<string, string>> | undefined,
  requestId: string,
): void {
  if (response.headersSent || response.destroyed) return;
  // All at once: headers that are set one by one before cost twice as much.
  const all: Record<string, string | number> = { ...SECURITY_HEADERS, ...headers, 'X-Request-ID': requestId };
  if (contentType !== null) all['Content-Type'] = contentType;
  if (status !== 204) all['Content-Length'] = Buffer.byteLength(text);
  response.writeHead(status, all);
  response.end(text);
}

function toProblem(error: unknown, logger: Logger, requestId: string): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof CommitUnknownError) {
    logger.warn({ request_id: requestId, reason: error.message }, 'database error');
    return new Problem(
      'outcome_unknown',
      'The database went away before it answered: read what was to change, to see.',
      {
        headers: { 'Retry-After': '1' },
      },
    );
  }
  if (retryAfter(error) !== 'never') {
    logger.warn(
      { request_id: requestId, reason: toError(error).message, sqlstate: sqlStateOf(error) },
      'database error',
    );
    return unavailableProblem();
  }
  logger.error({ request_id: requestId, err: error }, 'a request failed for a reason of our own');
  return new Problem('internal_error', 'This is our fault; the log has it under the request id.');
}

/** The database cannot be reached: nothing was stored, and trying again is the thing to do. */
export function unavailableProblem(): Problem {
  return new Problem('database_unavailable', 'The database is out of reach; nothing was stored. Try again.', {
    headers: { 'Retry-After': '1' },
  });
}

function tooManyConnectionsProblem(): Problem {
  return new Problem('too_many_connections', 'Use fewer connections from your address, or try again later.', {
    headers: { 'Retry-After': '1' },
  });
}

export function stoppingProblem(): Problem {
  return new Problem('shutting_down', 'The service is stopping; nothing was stored. Try again.', {
    headers: { 'Retry-After': '1', Connection: 'close' },
  });
}

/** A valid request line with any method: Node's parser stops at a method that it does not know (RFC 9112, section 3). */
const REQUEST_LINE = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+ [^ ]+ HTTP\/1\.[01]\r?$/;
const LINE_MAX = 4096;

const MALFORMED: Readonly<Record<string, ProblemCode>> = {
  HPE_HEADER_OVERFLOW: 'headers_too_large',
  ERR_HTTP_REQUEST_TIMEOUT: 'request_timeout',
};

type ParseError = NodeJS.ErrnoException & { rawPacket?: Buffer; bytesParsed?: number };

function toMalformed(error: ParseError): Problem {
  if (error.code === 'HPE_INVALID_METHOD' && REQUEST_LINE.test(lineOf(error))) {
    return new Problem('method_not_implemented', 'There is no such method; names of methods are in capital letters.');
  }
  return new Problem(MALFORMED[error.code ?? ''] ?? 'malformed_http', 'The request could not be read.');
}

/** The line in which the parser stopped; only a part of a very long one. */
function lineOf({ rawPacket, bytesParsed = 0 }: ParseError): string {
  const text = rawPacket?.toString('latin1', Math.max(0, bytesParsed - LINE_MAX), bytesParsed + LINE_MAX) ?? '';
  const start = text.lastIndexOf('\n', Math.min(bytesParsed, LINE_MAX) - 1) + 1;
  const end = text.indexOf('\n', start);
  return end === -1 ? '' : text.slice(start, end);
}

/**
 * Refuses a request that Node's parser could not read. Earlier requests on the connection are answered first. Otherwise their
 * caller would read the refusal as their answer, and an accepted transfer as a refused one.
 */
function refuseInOrder(
  latest: Latest | undefined,
  socket: Duplex,
  problem: Problem,
  { lingerTimeoutMs }: Pick<ServerOptions, 'lingerTimeoutMs'>,
): void {
  const response = latest?.response;
  // The rest of a request that is answered already: a second answer would be taken for the one to the next request.
  if (response?.writableFinished && !response.req.complete) socket.end();
  else if (!latest || !response || response.writableFinished || response.destroyed) refuseMalformed(socket, problem);
  else if (response.req.complete) response.once('finish', () => refuseMalformed(socket, problem));
  else if (response.headersSent) response.once('finish', () => socket.end());
  else {
    // The body of this very request is what could not be read.
    response.setHeader('Connection', 'close');
    sendProblem(response.req, response, problem, { requestId: latest.requestId, lingerTimeoutMs });
  }
}

/** Answers where there is no request to answer, and closes the connection. */
function refuseMalformed(socket: Duplex, problem: Problem): void {
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const requestId = randomUUIDv7();
  const body = problem.render(requestId);
  socket.end(
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}\r\nConnection: close\r\nX-Request-ID: ${requestId}\r\n` +
      SECURITY_LINES +
      `Content-Type: application/problem+json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}
