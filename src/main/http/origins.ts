// The origins of other sites whose pages may use the service from a browser (CORS). There are none by default.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { isLoopback } from './hosts.ts';

/** What scripts may send. `Authorization` is one of them; cookies and other credentials of the browser are not. */
const REQUEST_HEADERS =
  'Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, Prefer, X-Request-ID, traceparent, tracestate';
/** What scripts may read, besides the headers that a browser always shows. */
const ANSWER_HEADERS =
  'Allow, Content-Disposition, ETag, Idempotency-Replayed, Location, Preference-Applied, RateLimit, RateLimit-Policy, Retry-After, WWW-Authenticate, X-Request-ID';
const METHODS = 'GET, HEAD, POST, PATCH, DELETE';
/** Chrome remembers a permission for two hours at most. Each request is checked anyway. */
const MAX_AGE_SECONDS = '7200';

export class AllowedOrigins {
  readonly #origins: ReadonlySet<string>;

  /** `origins` is the setting CORS_ORIGINS. */
  constructor(origins: readonly string[]) {
    this.#origins = new Set(origins);
  }

  /** Whether the operator named the origin of a page. Origins are compared byte by byte. */
  allows(origin: string | undefined): origin is string {
    return origin !== undefined && this.#origins.has(origin);
  }

  /** Lets a page of an allowed origin read the answer, whatever it will be: a problem and a stream as well. */
  mark({ headers: { origin } }: IncomingMessage, response: ServerResponse): void {
    if (this.#origins.size === 0) return;
    response.setHeader('Vary', 'Origin');
    if (!this.allows(origin)) return;
    response.setHeader('Access-Control-Allow-Origin', origin);
    response.setHeader('Access-Control-Expose-Headers', ANSWER_HEADERS);
  }

  /**
   * The headers that answer the question of a browser whether a page may send a request; null if it is none. They are
   * the same for each path: otherwise the page would get a network error where there is a problem to read.
   */
  permissionFor({ headers }: IncomingMessage): Record<string, string> | null {
    if (!this.allows(headers.origin) || headers['access-control-request-method'] === undefined) return null;
    return {
      'Access-Control-Allow-Methods': METHODS,
      'Access-Control-Allow-Headers': REQUEST_HEADERS,
      'Access-Control-Max-Age': MAX_AGE_SECONDS,
    };
  }
}

/** Whether the page of an origin comes from this machine. */
export function isLocalOrigin(origin: string): boolean {
  const { hostname } = new URL(origin);
  return isLoopback(hostname.replace(/^\[|\]$/g, '')) || hostname.endsWith('.localhost');
}
