// The log line of a request, as JSON text. Every request writes this line, so it bypasses the general logger, which
// builds an object, walks it and escapes every name. A test checks that both render the same text.

/** Additional fields of a request's log line. No personal data. */
export type LogFields = {
  readonly transfer_id?: string;
  readonly group_id?: string;
  readonly approval_id?: string;
  /** The number of transfers in the group. */
  readonly transfers?: number;
  /** How a streamed response ended, and how many bytes of it were sent. */
  readonly ended?: string;
  readonly bytes?: number;
  /** The code of the problem, if there was one. */
  readonly code?: string;
};

/** The ids in `traceparent`: of a trace, and of the caller's part of it. */
export type Trace = { readonly traceId: string; readonly spanId: string };

export type RequestLine = {
  readonly requestId: string;
  /** Undefined: the caller named none. */
  readonly trace: Trace | undefined;
  readonly method: string;
  /** The pattern of the route, never the path. */
  readonly route: string;
  /** The ledger that the request is about, if its route has one. */
  readonly ledger: string | undefined;
  /** The id of the key that sent it. */
  readonly key: string | undefined;
  readonly status: number;
  readonly requestBytes: number;
  readonly durationMs: number;
  readonly log: LogFields | undefined;
};

/** Printable ASCII without the quote and the backslash: text that JSON does not escape. */
const PLAIN = /^[ !#-[\]-~]*$/;

/** Renders a line at level `info`, with its newline. `time` is the member of the timestamp, with a comma before it. */
export function renderRequest(line: RequestLine, time: string): string {
  const { requestId, trace, method, route, ledger, key, status, requestBytes, durationMs, log } = line;
  const duration = Math.round(durationMs * 1000) / 1000;
  let more = '';
  if (log !== undefined) {
    if (log.transfer_id !== undefined) more += `,"transfer_id":${renderText(log.transfer_id)}`;
    if (log.group_id !== undefined) more += `,"group_id":${renderText(log.group_id)}`;
    if (log.approval_id !== undefined) more += `,"approval_id":${renderText(log.approval_id)}`;
    if (log.transfers !== undefined) more += `,"transfers":${renderNumber(log.transfers)}`;
    if (log.ended !== undefined) more += `,"ended":${renderText(log.ended)}`;
    if (log.bytes !== undefined) more += `,"bytes":${renderNumber(log.bytes)}`;
    if (log.code !== undefined) more += `,"code":${renderText(log.code)}`;
  }
  const traced =
    trace === undefined ? '' : `,"trace_id":${renderText(trace.traceId)},"span_id":${renderText(trace.spanId)}`;
  return (
    `{"level":30${time},"request_id":${renderText(requestId)}${traced},"method":${renderText(method)},"route":${renderText(route)}` +
    `${ledger === undefined ? '' : `,"ledger":${renderText(ledger)}`}${key === undefined ? '' : `,"key":${renderText(key)}`},"status":${renderNumber(status)},"request_bytes":${renderNumber(requestBytes)},"duration_ms":${renderNumber(duration)}` +
    `${more},"msg":"request"}\n`
  );
}

function renderText(text: string): string {
  return PLAIN.test(text) ? `"${text}"` : JSON.stringify(text);
}

function renderNumber(value: number): string {
  return Number.isFinite(value) ? String(value) : 'null';
}
