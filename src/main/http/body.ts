// Reads the body of a request: bounded, UTF-8, JSON, and with exact numbers.
import { isUtf8 } from 'node:buffer';
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { MIMEType } from 'node:util';
import type { CallerBudget } from './byte-budget.ts';
import { countMembers, explainMembers } from './json-members.ts';
import { inspectJson } from './json-shape.ts';
import { Problem } from './problem.ts';

const UTF_8 = new Set(['utf-8', 'utf8', 'us-ascii']);

/** Most bodies are smaller, and take nothing from the budget. CONNECTIONS_MAX bounds their total. */
const FREE_BYTES = 4096;

export type BodyLimits = {
  readonly bytesMax: number;
  /** Shared by the bodies of all requests while they arrive. */
  readonly budget: CallerBudget;
};

/**
 * The JSON body of a request. Throws a problem if it is not valid. `optional`: an empty body, also a chunked one,
 * counts as an empty object and needs no type.
 */
export async function readJson(
  request: IncomingMessage,
  limits: BodyLimits,
  { optional = false }: { optional?: boolean } = {},
): Promise<unknown> {
  const { headers } = request;
  refuseOtherTypes(headers);
  if (headers['content-type'] === undefined && !optional) throw otherType();
  if (Number(headers['content-length'] ?? 0) > limits.bytesMax) throw tooLarge(limits.bytesMax);
  const body = new GrowingBuffer(limits);
  try {
    await readInto(body, request);
    const bytes = body.bytes();
    if (optional && bytes.length === 0) return {};
    if (headers['content-type'] === undefined) throw otherType();
    return parseJson(bytes);
  } finally {
    body.release();
  }
}

/** Refuses a declared type other than JSON, even of an empty body: a form of another site always declares a type. */
export function refuseOtherTypes({ 'content-type': type, 'content-encoding': encoding }: IncomingHttpHeaders): void {
  if (type !== undefined && !isJsonType(type)) throw otherType();
  if (encoding !== undefined) {
    throw new Problem('unsupported_media_type', 'Send the body without a content encoding.');
  }
}

function isJsonType(type: string): boolean {
  if (type === 'application/json') return true;
  try {
    const { essence, params } = new MIMEType(type);
    return essence === 'application/json' && UTF_8.has((params.get('charset') ?? 'utf-8').toLowerCase());
  } catch {
    return false;
  }
}

function otherType(): Problem {
  return new Problem('unsupported_media_type', 'Send the body as application/json, in UTF-8.');
}

/**
 * The bytes of a body so far, in one buffer that doubles when it is full. A Buffer costs about 340 bytes of memory,
 * however small it is, so chunks of one byte must not be kept as they arrive.
 */
class GrowingBuffer {
  readonly #limits: BodyLimits;
  #taken = 0;
  #buffer: Buffer = Buffer.alloc(0);
  #length = 0;

  constructor(limits: BodyLimits) {
    this.#limits = limits;
  }

  /** Throws body_too_large or too_many_bodies if there is no room for more. */
  append(chunk: Buffer): void {
    const { bytesMax } = this.#limits;
    const length = this.#length + chunk.length;
    if (length > bytesMax) throw tooLarge(bytesMax);
    if (this.#length === 0) {
      // Most bodies come in one chunk, which need not be copied.
      this.#take(length);
      this.#buffer = chunk;
    } else {
      if (length > this.#buffer.length)
        this.#grow(Math.min(bytesMax, Math.max(length, 2 * this.#buffer.length, FREE_BYTES)));
      chunk.copy(this.#buffer, this.#length);
    }
    this.#length = length;
  }

  bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  release(): void {
    this.#limits.budget.release(this.#taken);
    this.#taken = 0;
    this.#buffer = Buffer.alloc(0);
  }

  #grow(size: number): void {
    this.#take(size);
    const larger = Buffer.allocUnsafeSlow(size);
    this.#buffer.copy(larger, 0, 0, this.#length);
    this.#buffer = larger;
  }

  #take(size: number): void {
    const more = Math.max(0, size - FREE_BYTES) - this.#taken;
    if (more <= 0) return;
    this.#limits.budget.take(more);
    this.#taken += more;
  }
}

async function readInto(body: GrowingBuffer, request: IncomingMessage): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const append = (chunk: Buffer): void => {
    try {
      body.append(chunk);
    } catch (error) {
      request.off('data', append);
      reject(error);
    }
  };
  // If the caller hangs up, that is not an error of the service. It is detected here, because a broken connection to
  // the database has the same error codes.
  const refuse = (): void => {
    // Every request closes; an error object is created only for an incomplete one.
    if (!ended) reject(new Problem('request_timeout', 'The request did not arrive completely.'));
  };
  let ended = false;
  request.on('data', append);
  request.on('end', () => {
    ended = true;
    resolve();
  });
  request.on('error', refuse);
  request.on('close', refuse);
  // If the caller hung up before anything was read, no event follows.
  if (request.destroyed) refuse();
  await promise;
}

/**
 * Parses JSON text, and refuses content that JSON.parse would change or lose; see json-shape.ts and json-members.ts.
 */
export function parseJson(bytes: Buffer): unknown {
  if (!isUtf8(bytes)) throw new Problem('malformed_json', 'The body is not UTF-8.');
  const { members, problem } = inspectJson(bytes);
  const text = bytes.toString('utf8');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Problem('malformed_json', 'The body is not JSON.');
  }
  if (problem) throw problem;
  if (countMembers(value) !== members) throw explainMembers(text);
  return value;
}

function tooLarge(bytesMax: number): Problem {
  return new Problem('body_too_large', `The body may have at most ${bytesMax} bytes.`);
}
