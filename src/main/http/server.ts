// The HTTP server: takes a request through router, body, schema and handler to its answer, in that order, and turns any
// error into a problem. It uses node:http directly and states every bound.
import { randomUUIDv7 } from 'node:crypto';
import { once } from 'node:events';
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerOptions as HttpOptions,
  type ServerResponse,
} from 'node:http';
import type { Duplex } from 'node:stream';
import type { ServiceLogger } from '../../logger.ts';
import type { RequestLine } from '../../request-line.ts';
import type { CallerTrace, RequestSpan, Tracer } from '../tracer.ts';
import { readJson, refuseOtherTypes } from './body.ts';
import { ByteBudget } from './byte-budget.ts';
import { trackConnections } from './close.ts';
import { readHead, REQUEST_ID_FORM } from './head.ts';
import type { AllowedHosts } from './hosts.ts';
import { limitConnections } from './connections.ts';
import { type Latest, refuseInOrder, toMalformed } from './malformed.ts';
import { Problem } from './problem.ts';
import { type Budgets, type HttpMetrics, sendAnswer, sendProblem, sendStream } from './send.ts';
import { stoppingProblem, tooManyConnectionsProblem } from './refusals.ts';
import type { Answer, Endpoint, NamedLedger, NamedPrincipal } from './endpoint.ts';
import { Router, splitLedger, withoutBase } from './router.ts';
import { cutIfStalled } from './stream.ts';
import type { AllowedOrigins } from './origins.ts';
import type { TrustedProxies } from './proxies.ts';
import { readTrace } from './trace.ts';
import { Turns } from './turns.ts';
import { isHandshaking, type ListenerTls, TRANSPORT_SECURITY } from './tls.ts';

export const HEAD_BYTES_MAX = 16 * 1024;

export type ServerOptions<Ledger extends NamedLedger, Principal extends NamedPrincipal> = {
  endpoints: readonly Endpoint<Ledger, Principal>[];
  /** Whether a sender that was admitted may still follow a stream. */
  isAdmitted: (principal: Principal) => boolean;
  /** Turns an error of an endpoint into a problem, and logs the details that callers must not see. */
  toProblem: (error: unknown, requestId: string) => Problem;
  metrics: HttpMetrics;
  /** Whom the server serves, as a label of the metrics. */
  listener: 'callers' | 'operators';
  logger: ServiceLogger;
  /** Null: no request is traced. */
  tracer: Tracer | null;
  hosts: AllowedHosts;
  /** Other origins whose pages may use the service. */
  origins: AllowedOrigins;
  proxies: TrustedProxies;
  /** The prefix of all paths at the proxy before the service; empty: none. */
  basePath: string;
  /** Null: HTTP without TLS. */
  tls: ListenerTls | null;
  bodyBytesMax: number;
  /** For all requests together. */
  bodyBytesInFlightMax: number;
  answerBytesInFlightMax: number;
  connectionsMax: number;
  /** How many connections are accepted beyond that; only operators are served on them. */
  reserve: number;
  /** How much of the connections one caller may hold, in percent. */
  callerSharePercent: number;
  headersTimeoutMs: number;
  requestTimeoutMs: number;
  keepAliveTimeoutMs: number;
  /** How long a refused caller may continue to send before its connection is closed. */
  lingerTimeoutMs: number;
  /** How long the reader of an answer may stall. */
  streamTimeoutMs: number;
  /** Whether the service is stopping. Then every request is refused. */
  stopping: () => boolean;
};

/** Requests or connections that end with the current answer: later requests are neither answered nor executed. */
type Closing = WeakSet<IncomingMessage | Duplex>;
/** The routes of paths that name no ledger, and those of paths that name one. */
type Routers<Ledger, Principal> = {
  readonly all: Router<Endpoint<Ledger, Principal>>;
  readonly ofLedgers: Router<Endpoint<Ledger, Principal>>;
};
/** A request, and whether its connection belongs to the reserve, on which only operators are served. */
type Arrival = Latest & { request: IncomingMessage; requestIdGiven: boolean; inReserve: boolean };

export function createHttpServer<Ledger extends NamedLedger, Principal extends NamedPrincipal>(
  options: ServerOptions<Ledger, Principal>,
): Server {
  refuseAmbiguousBase(options);
  const routers = createRouters(options.endpoints);
  const budgets: Budgets = {
    bodies: new ByteBudget(options.bodyBytesInFlightMax, 'too_many_bodies', options.callerSharePercent),
    answers: new ByteBudget(options.answerBytesInFlightMax, 'too_many_answers', options.callerSharePercent),
  };
  /** The latest request of each connection. Its answer follows those of all earlier requests. */
  const latest = new WeakMap<Duplex, Latest>();
  const closing: Closing = new WeakSet();
  const serving = { ...options, budgets, turns: new Turns() };
  const answer = (request: IncomingMessage, response: ServerResponse): void => {
    if (closing.has(request.socket)) return;
    if (closing.has(request)) {
      closing.add(request.socket);
      response.setHeader('Connection', 'close');
    }
    const received = request.headers['x-request-id'];
    const requestIdGiven = typeof received === 'string' && REQUEST_ID_FORM.test(received);
    const requestId = requestIdGiven ? received : randomUUIDv7();
    latest.set(request.socket, { response, requestId });
    const inReserve = isInReserve(request.socket);
    options.origins.mark(request, response);
    if (options.tls) response.setHeader(TRANSPORT_SECURITY.name, TRANSPORT_SECURITY.value);
    const arrival = { request, response, requestId, requestIdGiven, inReserve };
    void handleRequest(arrival, routers, closing, serving);
  };
  const httpOptions: HttpOptions = {
    requestTimeout: options.requestTimeoutMs,
    headersTimeout: options.headersTimeoutMs,
    keepAliveTimeout: options.keepAliveTimeoutMs,
    // How often Node checks for late requests. At its default of 30 s, the timeouts above would be late.
    connectionsCheckingInterval: 2000,
    maxHeaderSize: HEAD_BYTES_MAX,
    // The service never switches protocols, so it ignores the header. But Node's parser drops the bytes that follow
    // the request in the same packet, perhaps a part of the next request. So the connection cannot be used any more.
    shouldUpgradeCallback: (request) => {
      closing.add(request);
      return false;
    },
    // Node's own refusal would have no body; that of refuseHeaders has one.
    requireHostHeader: false,
  };
  const server =
    options.tls?.createServer(httpOptions, options.headersTimeoutMs, answer) ?? createServer(httpOptions, answer);
  trackConnections(server);
  const { isInReserve, used } = limitConnections(server, {
    ...options,
    onRefused: () => options.metrics.refused('connections'),
  });
  showUsage(options, budgets, used);
  // Without a listener, a connection that cannot be accepted because of the limit of open files would end the process.
  // Errors before 'listening' belong to the caller of listen().
  server.once('listening', () => {
    server.on('error', (error) => options.logger.error({ reason: error.message }, 'accept failed'));
  });
  // No limit besides the size of the head: beyond its default of 2000, Node would silently drop headers.
  server.maxHeadersCount = 0;
  server.on('checkExpectation', answer);
  server.on('connect', (_, socket) => {
    // Node has removed its own listener, so a broken connection would end the process.
    socket.on('error', () => socket.destroy());
    const problem = new Problem('method_not_implemented', 'The service is not a proxy and does not support CONNECT.');
    refuseInOrder(latest.get(socket), socket, problem, options);
  });
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    if (error.code === 'ECONNRESET' || isHandshaking(server, socket)) socket.destroy();
    else refuseInOrder(latest.get(socket), socket, toMalformed(error), options);
  });
  return server;
}

function showUsage<Ledger extends NamedLedger, Principal extends NamedPrincipal>(
  options: ServerOptions<Ledger, Principal>,
  { bodies, answers }: Budgets,
  connectionsUsed: () => number,
): void {
  const { metrics, listener } = options;
  metrics.show('gopherpay_connections', connectionsUsed, listener);
  metrics.show('gopherpay_connections_limit', () => options.connectionsMax, listener);
  metrics.show('gopherpay_body_bytes', () => bodies.used, listener);
  metrics.show('gopherpay_body_bytes_limit', () => options.bodyBytesInFlightMax, listener);
  metrics.show('gopherpay_answer_bytes', () => answers.used, listener);
  metrics.show('gopherpay_answer_bytes_limit', () => options.answerBytesInFlightMax, listener);
}

/** With such a prefix and without it, a path would name two different things. */
function refuseAmbiguousBase({ basePath, endpoints }: { basePath: string; endpoints: readonly { pattern: string }[] }) {
  const [, first] = basePath.split('/');
  if (!endpoints.some(({ pattern }) => pattern.split('/')[1] === first)) return;
  throw new Error(`The setting BASE_PATH "${basePath}" is wrong: it begins like the paths of the service.`);
}

function createRouters<Ledger, Principal>(
  endpoints: readonly Endpoint<Ledger, Principal>[],
): Routers<Ledger, Principal> {
  const routers = {
    all: new Router<Endpoint<Ledger, Principal>>(),
    ofLedgers: new Router<Endpoint<Ledger, Principal>>(),
  };
  for (const endpoint of endpoints) {
    routers.all.add(endpoint.method, endpoint.pattern, endpoint);
    if (!endpoint.global) routers.ofLedgers.add(endpoint.method, endpoint.pattern, endpoint);
  }
  return routers;
}

async function handleRequest<Ledger extends NamedLedger, Principal extends NamedPrincipal>(
  arrival: Arrival,
  routers: Routers<Ledger, Principal>,
  closing: Closing,
  options: ServerOptions<Ledger, Principal> & { budgets: Budgets; turns: Turns },
): Promise<void> {
  const { request, response, requestId } = arrival;
  const startedAt = performance.now();
  const { method = '' } = request;
  const continued = readTrace(request.headers);
  const scheme = options.tls ? 'https' : 'http';
  const begin = (trace: CallerTrace | undefined): void => {
    facts.span = options.tracer?.beginRequest({ method, scheme, continued: trace, startedAt }) ?? null;
  };
  // Only a caller that was admitted may have its request sampled; a span that was not begun by then is one of its own.
  const facts: Facts = {
    pattern: 'none',
    ledger: undefined,
    key: undefined,
    span: null,
    onAdmitted: () => begin(continued),
  };
  let log: Answer['log'];
  let answeredMs: number | null = null;
  const count = (status: number, durationMs: number): void =>
    options.metrics.request(method, facts.pattern, status, durationMs, facts.ledger);
  try {
    if (arrival.inReserve) response.setHeader('Connection', 'close');
    const { answer, caller, isAdmitted } = await answerRequest(arrival, routers, options, facts);
    log = answer.log;
    closeIfStopping(response, options);
    if (answer.stream) {
      // The time of the whole stream depends on its reader, so only the time to its head is measured.
      answeredMs = performance.now() - startedAt;
      count(answer.status, answeredMs);
      const about = { pattern: facts.pattern, requestId, isAdmitted, options };
      log = { ...log, ...(await sendStream(response, answer, answer.stream, about)) };
    } else sendAnswer(response, answer, { requestId, caller, options });
  } catch (error) {
    const problem = options.toProblem(error, requestId);
    log = { code: problem.code };
    options.metrics.problem(problem.code);
    if (problem.status === 429) options.turns.crowd();
    if (problem.headers['Connection'] === 'close') closing.add(request.socket);
    closeIfStopping(response, options);
    sendProblem(request, response, problem, { requestId, lingerTimeoutMs: options.lingerTimeoutMs });
  }
  if (facts.onAdmitted !== null) begin(undefined);
  cutIfStalled(response, options.streamTimeoutMs);
  const durationMs = performance.now() - startedAt;
  if (answeredMs === null) count(response.statusCode, durationMs);
  const line: RequestLine = {
    requestId,
    trace: facts.span?.trace ?? continued,
    method,
    route: facts.pattern,
    ledger: facts.ledger,
    key: facts.key,
    status: response.statusCode,
    requestBytes: Number(request.headers['content-length'] ?? 0),
    durationMs,
    log,
  };
  options.logger.request(line);
  facts.span?.end(line);
}

/** What is known of a request, for its log line, its span and the metrics. */
type Facts = {
  pattern: string;
  ledger: string | undefined;
  key: string | undefined;
  span: RequestSpan | null;
  /** Begins the span with the trace of the caller; null: it was begun. */
  onAdmitted: (() => void) | null;
};

async function answerRequest<Ledger extends NamedLedger, Principal extends NamedPrincipal>(
  { request, requestId, requestIdGiven, inReserve }: Arrival,
  routers: Routers<Ledger, Principal>,
  options: ServerOptions<Ledger, Principal> & { budgets: Budgets; turns: Turns },
  facts: Facts,
): Promise<{ answer: Answer; caller: string; isAdmitted: () => boolean }> {
  if (options.stopping()) {
    await discardBody(request, options.lingerTimeoutMs);
    throw stoppingProblem();
  }
  const { method = '', headers } = request;
  const target = readHead(request, options);
  const { ledger: ledgerName, prefix, path } = splitLedger(withoutBase(target.path, options.basePath));
  const router = prefix === '' ? routers.all : routers.ofLedgers;
  if (method === 'OPTIONS') {
    const permission = options.origins.permissionFor(request);
    const answer = { status: 204, headers: permission ?? { Allow: router.allowOf(path) } };
    return { answer, caller: '', isAdmitted: () => true };
  }
  const { route, parameters } = router.find(method, path);
  facts.pattern = route.pattern;
  // Probes and scrapes would fill the collector.
  if (route.operational) facts.onAdmitted = null;
  if (inReserve && !route.operational) throw tooManyConnectionsProblem();
  const admitting = route.admit(request, prefix === '' ? null : ledgerName);
  // Most callers are known, and are not awaited: a turn of the event loop costs more than the check.
  const { principal, ledger, caller, address, answerHeaders } =
    admitting instanceof Promise ? await admitting : admitting;
  // Open endpoints admit everyone.
  if (options.isAdmitted(principal)) {
    facts.onAdmitted?.();
    facts.onAdmitted = null;
  }
  facts.key = principal.id ?? undefined;
  if (!route.global) facts.ledger = ledger.name;
  if (route.method !== 'GET') refuseOtherTypes(headers);
  const takeTurn = (kind: 'request' | 'answer') => (route.operational ? null : options.turns.take(ledger.name, kind));
  const beginning = takeTurn('request');
  if (beginning) await beginning;
  const query = parseQuery(target.search);
  const limits = { bytesMax: options.bodyBytesMax, budget: options.budgets.bodies.of(caller) };
  const readBody = async ({ optional }: { optional: boolean }) => await readJson(request, limits, { optional });
  // Node keeps up to 64 KiB of an unread body, which take 22 MB in chunks of one byte.
  if (!route.takesBody && hasBody(headers)) request.resume();
  const { span } = facts;
  const who = { caller, address, principal, ledger };
  const answer = await route.handle({ requestId, requestIdGiven, headers, ...who, parameters, query, readBody, span });
  // A job answers up to two thousand callers at once.
  const sending = takeTurn('answer');
  if (sending) await sending;
  return {
    answer: withHeaders(withPrefix(answer, options.basePath + prefix), answerHeaders),
    caller,
    isAdmitted: () => options.isAdmitted(principal),
  };
}

/** A connection that is kept alive after its answer would keep the service from stopping. */
function closeIfStopping(response: ServerResponse, options: { stopping: () => boolean }): void {
  if (options.stopping() && !response.headersSent) response.setHeader('Connection', 'close');
}

/** A location has the prefix that the caller used, so that the caller can follow it unchanged. */
function withPrefix(answer: Answer, prefix: string): Answer {
  const location = answer.headers?.['Location'];
  if (prefix === '' || location === undefined) return answer;
  return { ...answer, headers: { ...answer.headers, Location: `${prefix}${location}` } };
}

function withHeaders(answer: Answer, more: Readonly<Record<string, string>> | null): Answer {
  return more === null ? answer : { ...answer, headers: { ...answer.headers, ...more } };
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
    if (Object.hasOwn(query, name)) throw new Problem('invalid_request', 'A query parameter may appear only once.');
    Object.defineProperty(query, name, { value, enumerable: true });
  }
  return query;
}
