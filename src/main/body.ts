// Reads the body of a request: bounded, UTF-8, JSON, and with every number exactly as it was written.
import { isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';
import { Problem, renderPointer } from './problem.ts';

const JSON_TYPE = /^application\/json\s*(;\s*charset\s*=\s*"?utf-8"?\s*)?$/i;
/**
 * What may be a number that is no integer (a digit, then a point or an exponent) or a member named __proto__ (which an
 * escape can spell, too). Either may also stand in some text: a second look tells.
 */
const SUSPECT = /\d[.eE]|__proto__|\\u00/;
const INTEGER = /^-?\d+$/;

/** The JSON body of a request. Throws the problem that says what is wrong with it. */
export async function readJson(request: IncomingMessage, bytesMax: number): Promise<unknown> {
  if (!JSON_TYPE.test(request.headers['content-type'] ?? '')) {
    throw new Problem('unsupported_media_type', 'Send the body as application/json, in UTF-8.');
  }
  if (request.headers['content-encoding'] !== undefined) {
    throw new Problem('unsupported_media_type', 'Send the body without a content encoding.');
  }
  return parseJson(await readBytes(request, bytesMax));
}

async function readBytes(request: IncomingMessage, bytesMax: number): Promise<Buffer> {
  if (Number(request.headers['content-length'] ?? 0) > bytesMax) throw tooLarge(bytesMax);
  const chunks: Buffer[] = [];
  let length = 0;
  return await new Promise((resolve, reject) => {
    request.on('data', (chunk: Buffer) => {
      length += chunk.length;
      if (length > bytesMax) {
        request.removeAllListeners('data');
        reject(tooLarge(bytesMax));
        return;
      }
      chunks.push(chunk);
    });
    let ended = false;
    request.on('end', () => {
      ended = true;
      const [only] = chunks;
      resolve(chunks.length === 1 && only ? only : Buffer.concat(chunks, length));
    });
    // A caller that hung up gets no answer, and is no fault of ours. Told here, where it is known whose connection it was: that of
    // the database breaks with the same codes.
    const refuse = (): void => {
      // Every request closes, and an error is not made for nothing.
      if (!ended) reject(new Problem('request_timeout', 'The request did not arrive whole.'));
    };
    request.on('error', refuse);
    request.on('close', refuse);
  });
}

/**
 * Parses JSON text. A number that is not written as an integer is refused, because reading it would round it; a member
 * named __proto__ is refused, because schemas would leave it out without a word.
 */
export function parseJson(bytes: Buffer): unknown {
  if (!isUtf8(bytes)) throw new Problem('malformed_json', 'The body is not UTF-8.');
  const text = bytes.toString('utf8');
  try {
    const value: unknown = JSON.parse(text);
    return SUSPECT.test(text) ? JSON.parse(text, refuseSuspect) : value;
  } catch (error) {
    if (error instanceof Problem) throw error;
    throw new Problem('malformed_json', 'The body is not JSON.');
  }
}

/** `context.source` is the number as it stood in the text (ECMAScript's JSON.parse source text access). */
function refuseSuspect(this: unknown, key: string, value: unknown, context?: { source?: string }): unknown {
  if (key === '__proto__') throw new Problem('invalid_request', 'No member may have the name __proto__.');
  if (typeof value === 'number' && !INTEGER.test(context?.source ?? '')) {
    throw new Problem('invalid_request', 'Numbers are written as integers: no fraction and no exponent.', {
      members: { errors: [{ pointer: renderPointer([key]), detail: 'must be written as an integer' }] },
    });
  }
  return value;
}

function tooLarge(bytesMax: number): Problem {
  return new Problem('body_too_large', `The body may have ${bytesMax} bytes.`);
}
