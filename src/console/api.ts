// Calls the interface of the service that sent the page, with the key that the person entered. Answers of other forms
// than the documented ones are errors of the service, so they are not checked again here.
import type { Account, ProblemJson } from './wire.ts';

/** A refusal of the service, or of the network: then the status is 0. */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;
  readonly requestId: string | null;
  /** What is wrong with each member or parameter. */
  readonly flaws: readonly string[];

  constructor(status: number, { code, title, detail, request_id: requestId, errors = [] }: ProblemJson) {
    super(detail ?? title);
    this.status = status;
    this.code = code;
    this.requestId = requestId ?? null;
    this.flaws = errors.map(({ detail }) => detail);
  }
}

/** A value that a query parameter may have. Those without a value are left out. */
export type Query = Readonly<Record<string, string | number | null | undefined>>;

const UNREACHABLE: ProblemJson = {
  code: 'unreachable',
  title: 'The service does not answer.',
  detail: 'The service does not answer. Check that it runs, and that this machine reaches it.',
};

const NOT_UNDERSTOOD: ProblemJson = {
  code: 'not_understood',
  title: 'The answer is not from GopherPay.',
  detail: 'The answer is not from GopherPay. A proxy in between may have sent it.',
};

const EVENT_TOO_LARGE: ProblemJson = { code: 'event_too_large', title: 'An event is too large for this page.' };

/** A thousand transfers have some 0.7 million; more are few transfers with much metadata. */
const EVENT_CHARACTERS_MAX = 4_000_000;

export class Api {
  readonly #key: string | null;
  readonly #base: URL;

  /** `key`: null sends none, which a service on this machine may allow. */
  constructor(key: string | null, base: URL = new URL('.', document.baseURI)) {
    this.#key = key;
    this.#base = base;
  }

  /** Reads `/path`, or `/ledgers/LEDGER/path`. Throws an ApiError. */
  async get<Answer>(
    path: string,
    { ledger = null, query = {}, signal }: { ledger?: string | null; query?: Query; signal?: AbortSignal } = {},
  ): Promise<Answer> {
    const response = await this.#send('GET', pathOf(path, ledger, query), { ...(signal && { signal }) });
    return await readBody(response);
  }

  /** Reads an account with its entity tag, for a change that must not overwrite another. Throws an ApiError. */
  async getAccount(number: string, { ledger }: { ledger: string }): Promise<{ account: Account; tag: string }> {
    const response = await this.#send('GET', pathOf(`/accounts/${encodeURIComponent(number)}`, ledger, {}), {});
    return { account: await readBody(response), tag: response.headers.get('ETag') ?? '*' };
  }

  /** Sends a change. The idempotency key lets a person press a button twice. Throws an ApiError. */
  async send<Answer>(
    method: 'POST' | 'PATCH' | 'DELETE',
    path: string,
    {
      ledger = null,
      body,
      idempotencyKey,
      headers = {},
    }: {
      ledger?: string | null;
      body?: object;
      idempotencyKey?: string;
      headers?: Readonly<Record<string, string>>;
    } = {},
  ): Promise<Answer> {
    const response = await this.#send(method, pathOf(path, ledger, {}), {
      ...(body && { body: JSON.stringify(body) }),
      headers: {
        'Content-Type': 'application/json',
        ...headers,
        ...(idempotencyKey !== undefined && { 'Idempotency-Key': idempotencyKey }),
      },
    });
    return await readBody(response);
  }

  /** Reads a file, such as a statement, and gives it to the browser to save or show. Throws an ApiError. */
  async file(path: string, { ledger, query = {} }: { ledger: string; query?: Query }): Promise<Blob> {
    const response = await this.#send('GET', pathOf(path, ledger, query), {});
    return await response.blob();
  }

  /**
   * Reads a text that may be long, such as a statement: at most about `charactersMax` of it, and whether that is all.
   * Throws an ApiError.
   */
  async text(
    path: string,
    {
      ledger,
      query = {},
      charactersMax,
      signal,
    }: { ledger: string; query?: Query; charactersMax: number; signal: AbortSignal },
  ): Promise<{ text: string; isWhole: boolean }> {
    const response = await this.#send('GET', pathOf(path, ledger, query), { signal });
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    try {
      for (let piece = await reader?.read(); piece && !piece.done; piece = await reader?.read()) {
        text += piece.value;
        if (text.length <= charactersMax) continue;
        await reader?.cancel();
        return { text, isWhole: false };
      }
    } catch (error) {
      if (signal.aborted) throw error;
      throw new ApiError(0, UNREACHABLE);
    }
    return { text, isWhole: true };
  }

  /**
   * The data of Server-Sent Events, those of a piece of the stream together. The first piece shows that it began. Ends
   * when the service ends it. Throws an ApiError.
   */
  async *events(
    path: string,
    { ledger, query, signal }: { ledger: string; query: Query; signal: AbortSignal },
  ): AsyncGenerator<readonly string[], void, undefined> {
    const headers = { Accept: 'text/event-stream' };
    const response = await this.#send('GET', pathOf(path, ledger, query), { headers, signal });
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    try {
      for (let piece = await reader?.read(); piece && !piece.done; piece = await reader?.read()) {
        const messages = (text + piece.value).split('\n\n');
        text = messages.pop() ?? '';
        if (text.length > EVENT_CHARACTERS_MAX) throw new ApiError(0, EVENT_TOO_LARGE);
        yield messages.flatMap(dataOf);
      }
    } catch (error) {
      if (signal.aborted || error instanceof ApiError) throw error;
      throw new ApiError(0, UNREACHABLE);
    } finally {
      await reader?.cancel().catch(() => {});
    }
  }

  async #send(method: string, path: string, init: RequestInit): Promise<Response> {
    const headers = new Headers(init.headers);
    if (!headers.has('Accept')) headers.set('Accept', 'application/json');
    if (this.#key !== null) headers.set('Authorization', `Bearer ${this.#key}`);
    const request = { ...init, method, headers, cache: 'no-store', credentials: 'omit' } satisfies RequestInit;
    const response = await fetch(new URL(path, this.#base), request).catch((error: unknown) => {
      if (init.signal?.aborted) throw error;
      throw new ApiError(0, UNREACHABLE);
    });
    if (response.ok) return response;
    throw new ApiError(response.status, await readProblem(response));
  }
}

/** The path relative to the page. */
function pathOf(path: string, ledger: string | null, query: Query): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined && value !== '') search.set(name, String(value));
  }
  const prefix = ledger === null ? '.' : `./ledgers/${encodeURIComponent(ledger)}`;
  return `${prefix}${path}${search.size === 0 ? '' : `?${search}`}`;
}

/** The data of a message; none if it is a comment. */
function dataOf(message: string): string[] {
  return message.split('\n').flatMap((line) => (line.startsWith('data: ') ? [line.slice('data: '.length)] : []));
}

async function readBody<Answer>(response: Response): Promise<Answer> {
  if (response.status === 204) return await Promise.resolve(JSON.parse('null'));
  try {
    return await response.json();
  } catch (error) {
    // The connection may also end within the answer.
    if (error instanceof SyntaxError) throw new ApiError(response.status, NOT_UNDERSTOOD);
    throw new ApiError(0, UNREACHABLE);
  }
}

async function readProblem(response: Response): Promise<ProblemJson> {
  try {
    const problem: ProblemJson = await response.json();
    return typeof problem.code === 'string' ? problem : NOT_UNDERSTOOD;
  } catch {
    return NOT_UNDERSTOOD;
  }
}
