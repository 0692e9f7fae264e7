// Sends requests with openapi-fetch. Each call has a fetch of its own, which retries within the limits of the call.
import createClient, { type Client } from 'openapi-fetch';
import {
  ConnectionError,
  GopherPayError,
  type Problem,
  ProblemError,
  PROBLEMS,
  UnexpectedAnswerError,
} from './errors.ts';
import { parseJson, renderJson } from './json.ts';
import { type Limits, retry } from './retry.ts';
import type { paths } from './schema.ts';

const JSON_TYPE = 'application/json';
const STREAM_TYPE = 'text/event-stream';
const MAIN_LEDGER = 'main';
const DEADLINE_MS = 60_000;
const ATTEMPT_TIMEOUT_MS = 15_000;

export type ClientOptions = {
  /** Where the service is, such as `https://pay.example`, perhaps with a path. */
  readonly baseUrl: string;
  /** A key, `gp_…`, or a token. A service without keys needs none. */
  readonly key?: string | undefined;
  /** The ledger of all requests; that of the key by default, and without a key `main`. */
  readonly ledger?: string | undefined;
  /** The time for all attempts of a request together; a minute by default. */
  readonly deadlineMs?: number | undefined;
  /** The time for one attempt, beyond the time that a transfer may wait; 15 seconds by default. */
  readonly attemptTimeoutMs?: number | undefined;
  /** Instead of the global one. */
  readonly fetch?: typeof fetch | undefined;
};

export type RequestOptions = {
  readonly signal?: AbortSignal | undefined;
  /** Instead of the client's. */
  readonly deadlineMs?: number | undefined;
};

export type WriteOptions = RequestOptions & {
  /** Made by the client if it is absent. Name one to be able to send the request again after a crash. */
  readonly idempotencyKey?: string | undefined;
};

type Call = { readonly fetch: (request: Request) => Promise<Response>; readonly headers: Record<string, string> };
type Api = Client<paths, 'application/json'>;

export class Http {
  /** The paths of the ledger. */
  readonly api: Api;
  /** The paths of no ledger. */
  readonly global: Api;
  readonly #options: ClientOptions;
  readonly #base: string;
  readonly #fetch: typeof fetch;

  constructor(options: ClientOptions) {
    this.#options = options;
    const { baseUrl, ledger } = options;
    const root = baseUrl.replace(/\/+$/, '');
    this.#base = ledger === undefined ? root : `${root}/ledgers/${encodeURIComponent(ledger)}`;
    // Browsers refuse a fetch that is called as a method of another object.
    this.#fetch = options.fetch ?? ((...parameters) => globalThis.fetch(...parameters));
    const more = { headers: this.#headers(), bodySerializer: renderJson };
    this.global = createClient<paths, 'application/json'>({ ...more, baseUrl: root });
    this.api = createClient<paths, 'application/json'>({ ...more, baseUrl: this.#base });
  }

  /** The ledger of all requests; undefined if the key decides. */
  get ledger(): string | undefined {
    const { key, ledger } = this.#options;
    return ledger ?? (key === undefined ? MAIN_LEDGER : undefined);
  }

  /** A request that may be sent any number of times. */
  repeatable(options: RequestOptions, accept = JSON_TYPE): Call {
    return this.#call({ ...options, repeatable: true, accept });
  }

  /** A request that is sent again only if the service did not do it. */
  once(options: RequestOptions): Call {
    return this.#call({ ...options, repeatable: false });
  }

  /** A request with an idempotency key, which all its attempts share. `waitSeconds`: how long the answer may take. */
  keyed({
    idempotencyKey = crypto.randomUUID(),
    waitSeconds = 0,
    ...options
  }: WriteOptions & { waitSeconds?: number | undefined }): Call {
    const call = this.#call({ ...options, repeatable: true, waitSeconds });
    return {
      headers: {
        ...call.headers,
        'Idempotency-Key': idempotencyKey,
        ...(waitSeconds > 0 && { Prefer: `wait=${waitSeconds}` }),
      },
      fetch: async (request) => {
        try {
          return await call.fetch(request);
        } catch (error) {
          if (error instanceof GopherPayError) error.idempotencyKey = idempotencyKey;
          throw error;
        }
      },
    };
  }

  #headers(): Record<string, string> {
    const { key } = this.#options;
    return key === undefined ? {} : { Authorization: `Bearer ${key}` };
  }

  #call(options: RequestOptions & { repeatable: boolean; waitSeconds?: number; accept?: string }): Call {
    const { repeatable, signal, waitSeconds = 0, accept = JSON_TYPE } = options;
    const deadlineMs = options.deadlineMs ?? this.#options.deadlineMs ?? DEADLINE_MS;
    const attemptTimeoutMs = (this.#options.attemptTimeoutMs ?? ATTEMPT_TIMEOUT_MS) + waitSeconds * 1000;
    const limits: Limits = { repeatable, signal, deadlineMs, attemptTimeoutMs };
    return {
      headers: { Accept: accept },
      fetch: async (request) => {
        const { url, method, headers } = request;
        const body = method === 'GET' || method === 'DELETE' ? null : await request.text();
        const init = { method, headers, body: body === '' ? null : body };
        return await retry(async (signal) => await readAll(await this.#send(url, { ...init, signal }), accept), limits);
      },
    };
  }

  /** Opens a stream of events of the ledger after a journal number. */
  async stream(path: string, after: number, signal: AbortSignal): Promise<Response> {
    const headers = { ...this.#headers(), Accept: STREAM_TYPE, 'Last-Event-ID': String(after) };
    const response = await this.#send(this.#base + path, { headers, signal });
    if (!isOfType(response, STREAM_TYPE)) throw new UnexpectedAnswerError(response.status, await readText(response));
    return response;
  }

  /** Sends one request. Throws a GopherPayError unless the answer is a success, whose body is not read yet. */
  async #send(url: string, init: RequestInit): Promise<Response> {
    let response: Response;
    try {
      // A redirect would turn a POST into a GET, and the service sends none.
      response = await this.#fetch(url, { ...init, redirect: 'manual' });
    } catch (cause) {
      throw new ConnectionError(cause);
    }
    if (response.ok) return response;
    throw toError(response, await readText(response));
  }
}

/** Reads an answer to its end, so that a connection that fails before it is a failed attempt. */
async function readAll(response: Response, accept: string): Promise<Response> {
  const { status, headers } = response;
  const text = await readText(response);
  if (status === 204) return new Response(null, { status, headers });
  if (!isOfType(response, accept)) throw new UnexpectedAnswerError(status, text);
  if (accept === JSON_TYPE) parseJson(text);
  return new Response(text, { status, headers });
}

/** A gateway or a captive portal may answer anything with 200. */
function isOfType({ headers }: Response, type: string): boolean {
  return headers.get('Content-Type')?.startsWith(type) ?? false;
}

async function readText(response: Response): Promise<string> {
  try {
    return await response.text();
  } catch (cause) {
    throw new ConnectionError(cause);
  }
}

function toError({ status, headers }: Response, text: string): GopherPayError {
  const retryAfterMs = parseRetryAfter(headers.get('Retry-After'));
  let body: unknown = null;
  try {
    body = JSON.parse(text);
  } catch {
    // It is not from the service.
  }
  return isKnownProblem(body)
    ? new ProblemError(body, retryAfterMs)
    : new UnexpectedAnswerError(status, text, retryAfterMs);
}

function isKnownProblem(body: unknown): body is Problem {
  return typeof body === 'object' && body !== null && 'code' in body && Object.hasOwn(PROBLEMS, String(body.code));
}

/** Seconds, or an instant as gateways may send it (RFC 9110). */
function parseRetryAfter(text: string | null): number | null {
  if (text === null) return null;
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return Number.isFinite(ms) ? Math.max(0, ms) : null;
}
