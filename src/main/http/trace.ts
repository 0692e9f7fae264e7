// The trace of which a request is a part (W3C Trace Context): its caller's, so that log lines and spans can be found by it.
import type { IncomingHttpHeaders } from 'node:http';
import type { CallerTrace } from '../tracer.ts';

/** Version 00 has nothing more. A later one may, after another hyphen; `ff` is none. Ids of zeros are invalid. */
const SAMPLED = 1;
const TRACEPARENT = /^(?!ff)([\da-f]{2})-(?!0{32})([\da-f]{32})-(?!0{16})([\da-f]{16})-([\da-f]{2})(-.*)?$/;

/** The trace that a request names. One that is malformed is ignored, as the specification demands. */
export function readTrace({ traceparent }: IncomingHttpHeaders): CallerTrace | undefined {
  if (typeof traceparent !== 'string') return undefined;
  const [, version, traceId, spanId, flags = '', more] = TRACEPARENT.exec(traceparent) ?? [];
  if (traceId === undefined || spanId === undefined) return undefined;
  const sampled = (Number.parseInt(flags, 16) & SAMPLED) !== 0;
  return version === '00' && more !== undefined ? undefined : { traceId, spanId, sampled };
}
