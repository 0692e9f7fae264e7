// Makes spans of what the other rooms report, by the semantic conventions of OpenTelemetry. Attributes have codes, counts and
// names of our own: no path, no query, no body, no amount, no account and no message of an error, which may quote them.
import {
  type Attributes,
  type Context,
  type Link,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace as api,
  TraceFlags,
  type Tracer as Spans,
} from '@opentelemetry/api';
import {
  ATTR_DB_QUERY_SUMMARY,
  ATTR_DB_RESPONSE_STATUS_CODE,
  ATTR_DB_SYSTEM_NAME,
  ATTR_ERROR_TYPE,
  ATTR_HTTP_REQUEST_METHOD,
  ATTR_HTTP_RESPONSE_STATUS_CODE,
  ATTR_HTTP_ROUTE,
  ATTR_URL_SCHEME,
  DB_SYSTEM_NAME_VALUE_POSTGRESQL,
} from '@opentelemetry/semantic-conventions';
import type { Timing } from '../../domain/job.ts';
import type { RequestLine, Trace } from '../../request-line.ts';
import type {
  CallerTrace,
  RequestSpan,
  TracedAttempt,
  TracedIntake,
  TracedJob,
  TracedSettling,
  TracedTurn,
  Tracer,
  Work,
  WorkSpan,
} from '../tracer.ts';
import { RecentRequests } from './recent-requests.ts';
import type { Sampling } from './sampling.ts';

/** The methods that the conventions name. */
const METHODS = new Set('CONNECT DELETE GET HEAD OPTIONS PATCH POST PUT QUERY TRACE'.split(' '));
const OTHER_METHOD = '_OTHER';
/** How many of the requests that a job carries are linked. The others are only counted. */
export const LINKS_MAX = 64;
const CLOCKS_DIFFER_MS = 100;

/** `spans` makes every span: whether a request is sampled is decided before. */
export function createTracer(
  spans: Spans,
  { isSampled, dropped }: { isSampled: Sampling; dropped: Tracer['dropped'] },
): Tracer {
  const recent = new RecentRequests();
  return {
    beginRequest({ method: received, scheme, continued, startedAt }) {
      if (!isSampled(continued)) return null;
      const method = METHODS.has(received) ? received : OTHER_METHOD;
      const options = {
        kind: SpanKind.SERVER,
        startTime: toWallTime(startedAt),
        attributes: { [ATTR_HTTP_REQUEST_METHOD]: method, [ATTR_URL_SCHEME]: scheme },
      };
      const span = spans.startSpan(nameOf(method), options, continued ? toContext(continued) : ROOT_CONTEXT);
      return toRequestSpan(spans, span, { method, startedAt });
    },
    beginWork: (work) => (isSampled(undefined) ? beginWork(spans, work) : null),
    traceJob(carried, job) {
      const links = carried.slice(0, LINKS_MAX).map(({ trace }) => toLink(trace));
      return traceJob(spans, job, links);
    },
    remember: ({ trace }, transferIds) => recent.note(trace, transferIds),
    traceTurn(turn) {
      const linked = turn.attempts.map((attempt) => ({ attempt, ordered: recent.of(attempt.transferId) }));
      if (linked.some(({ ordered }) => ordered !== undefined) || isSampled(undefined)) traceTurn(spans, turn, linked);
    },
    dropped,
  };
}

function beginWork(spans: Spans, { name, startedAt, count }: Work): WorkSpan {
  const options = { startTime: toWallTime(startedAt), attributes: { 'gopherpay.count': count } };
  const span = spans.startSpan(name, options, ROOT_CONTEXT);
  const { traceId, spanId } = span.spanContext();
  const context = api.setSpan(ROOT_CONTEXT, span);
  return {
    trace: { traceId, spanId },
    end: () => end(span, performance.now(), null),
    traceSettling: (settling) => traceSettling(spans, context, settling),
  };
}

function toRequestSpan(spans: Spans, span: Span, begun: { method: string; startedAt: number }): RequestSpan {
  const { traceId, spanId } = span.spanContext();
  const context = api.setSpan(ROOT_CONTEXT, span);
  return {
    trace: { traceId, spanId },
    end: (line) => endRequest(span, line, begun),
    traceIntake: (intake) => traceIntake(spans, context, intake),
    traceSettling: (settling) => traceSettling(spans, context, settling),
  };
}

function endRequest(
  span: Span,
  { requestId, route, ledger, status, durationMs, log }: RequestLine,
  { method, startedAt }: { method: string; startedAt: number },
): void {
  const isRouted = route !== 'none';
  const code = log?.code;
  // The faults of callers are no errors of a server.
  const isError = status >= 500;
  span.updateName(isRouted ? `${nameOf(method)} ${route}` : nameOf(method));
  span.setAttributes({
    ...(isRouted && { [ATTR_HTTP_ROUTE]: route }),
    [ATTR_HTTP_RESPONSE_STATUS_CODE]: status,
    ...(isError && { [ATTR_ERROR_TYPE]: code ?? String(status) }),
    'gopherpay.request_id': requestId,
    ...(ledger !== undefined && { 'gopherpay.ledger': ledger }),
    ...(code !== undefined && { 'gopherpay.problem': code }),
    ...(log?.transfer_id !== undefined && { 'gopherpay.transfer_id': log.transfer_id }),
    ...(log?.group_id !== undefined && { 'gopherpay.group_id': log.group_id }),
    ...(log?.transfers !== undefined && { 'gopherpay.transfers': log.transfers }),
  });
  if (isError) span.setStatus({ code: SpanStatusCode.ERROR });
  span.end(toWallTime(startedAt + durationMs));
}

function traceIntake(spans: Spans, parent: Context, intake: TracedIntake): void {
  const { startedAt, endedAt, result, insert } = intake;
  const failure = result === 'unavailable' || result === 'poisoned' ? result : null;
  const attributes = { 'gopherpay.result': result, ...(insert && { 'gopherpay.intake.requests': insert.requests }) };
  const span = spans.startSpan('intake', { startTime: toWallTime(startedAt), attributes }, parent);
  if (insert)
    traceStatement(spans, api.setSpan(ROOT_CONTEXT, span), { ...insert, name: 'insert pending', failure: null });
  end(span, endedAt, failure);
}

function traceSettling(spans: Spans, parent: Context, { startedAt, endedAt, result, jobs }: TracedSettling): void {
  const failure = result === 'unavailable' || result === 'poisoned' ? result : null;
  const options = {
    startTime: toWallTime(startedAt),
    attributes: { 'gopherpay.result': result },
    links: jobs.map(toLink),
  };
  end(spans.startSpan('settle', options, parent), endedAt, failure);
}

function traceJob(spans: Spans, job: TracedJob, links: Link[]): Trace {
  const { startedAt, endedAt, result, sqlState, timings } = job;
  const isSettled = result === 'settled';
  const attributes: Attributes = {
    'gopherpay.ledger': job.ledger,
    'gopherpay.result': result,
    'gopherpay.job.mode': job.mode,
    'gopherpay.job.units': job.units,
    'gopherpay.job.transfers': job.transfers,
    'gopherpay.job.openings': job.openings,
    ...(isSettled && { 'gopherpay.job.failed': job.failed }),
    ...(job.attempts !== null && { 'gopherpay.job.attempts': job.attempts }),
    ...(job.journalNumber !== null && { 'gopherpay.journal_number': job.journalNumber }),
    ...(sqlState !== null && { [ATTR_DB_RESPONSE_STATUS_CODE]: sqlState }),
  };
  const span = spans.startSpan('job', { startTime: toWallTime(startedAt), attributes, links }, ROOT_CONTEXT);
  const context = api.setSpan(ROOT_CONTEXT, span);
  for (const timing of timings) {
    if (timing.isStatement) traceStatement(spans, context, timing);
    else
      end(
        spans.startSpan(timing.name, { startTime: toWallTime(timing.startedAt) }, context),
        timing.endedAt,
        timing.failure,
      );
  }
  end(span, endedAt, isSettled ? null : (sqlState ?? result));
  const { traceId, spanId } = span.spanContext();
  return { traceId, spanId };
}

type LinkedAttempt = { readonly attempt: TracedAttempt; readonly ordered: Trace | undefined };

/** The URL of the receiver is no attribute: it may have a secret. */
function traceTurn(spans: Spans, turn: TracedTurn, linked: readonly LinkedAttempt[]): void {
  const { ledger, webhookId, attempts, startedAt, endedAt } = turn;
  const failure = attempts.find(({ error }) => error !== null)?.error ?? null;
  const attributes = {
    'gopherpay.ledger': ledger,
    'gopherpay.webhook_id': webhookId,
    'gopherpay.webhook.attempts': attempts.length,
    'gopherpay.webhook.delivered': attempts.filter(({ error }) => error === null).length,
  };
  const span = spans.startSpan('webhook turn', { startTime: toWallTime(startedAt), attributes }, ROOT_CONTEXT);
  const context = api.setSpan(ROOT_CONTEXT, span);
  for (const each of linked) traceAttempt(spans, context, each);
  end(span, endedAt, failure);
}

function traceAttempt(spans: Spans, parent: Context, { attempt, ordered }: LinkedAttempt): void {
  const { eventId, transferId, status, error, startedAt, endedAt } = attempt;
  const options = {
    kind: SpanKind.CLIENT,
    startTime: toWallTime(startedAt),
    attributes: {
      [ATTR_HTTP_REQUEST_METHOD]: 'POST',
      ...(status !== null && { [ATTR_HTTP_RESPONSE_STATUS_CODE]: status }),
      'gopherpay.event_id': eventId,
      ...(transferId !== null && { 'gopherpay.transfer_id': transferId }),
    },
    links: ordered ? [toLink(ordered)] : [],
  };
  end(spans.startSpan('webhook attempt', options, parent), endedAt, error);
}

function traceStatement(spans: Spans, parent: Context, timing: Omit<Timing, 'isStatement'>): void {
  const { name, startedAt, endedAt, failure } = timing;
  const attributes = {
    [ATTR_DB_SYSTEM_NAME]: DB_SYSTEM_NAME_VALUE_POSTGRESQL,
    [ATTR_DB_QUERY_SUMMARY]: name,
    ...(failure !== null && { [ATTR_DB_RESPONSE_STATUS_CODE]: failure }),
  };
  end(
    spans.startSpan(name, { kind: SpanKind.CLIENT, startTime: toWallTime(startedAt), attributes }, parent),
    endedAt,
    failure,
  );
}

function end(span: Span, endedAt: number, failure: string | null): void {
  if (failure !== null) {
    span.setAttribute(ATTR_ERROR_TYPE, failure);
    span.setStatus({ code: SpanStatusCode.ERROR });
  }
  span.end(toWallTime(endedAt));
}

/** The wall clock at the zero of performance.now(). */
let origin = performance.timeOrigin;

/**
 * The SDK would convert times as well, but for each span anew and from whole milliseconds, so that a part could begin
 * before its whole. The two clocks differ after the machine was suspended, or its clock was set.
 */
function toWallTime(at: number): number {
  const difference = Date.now() - performance.now() - origin;
  if (Math.abs(difference) > CLOCKS_DIFFER_MS) origin += difference;
  return origin + at;
}

/** The conventions demand this name if the method is none of theirs. */
function nameOf(method: string): string {
  return method === OTHER_METHOD ? 'HTTP' : method;
}

function toContext({ traceId, spanId, sampled }: CallerTrace): Context {
  const traceFlags = sampled ? TraceFlags.SAMPLED : TraceFlags.NONE;
  return api.setSpanContext(ROOT_CONTEXT, { traceId, spanId, traceFlags, isRemote: true });
}

function toLink({ traceId, spanId }: Trace): Link {
  return { context: { traceId, spanId, traceFlags: TraceFlags.SAMPLED } };
}
