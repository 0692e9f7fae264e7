// Reads the body of a request: bounded, UTF-8, JSON, and with every number exactly as it was written.
import { isUtf8 } from 'node:buffer';
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { MIMEType } from 'node:util';
import { countMembers, explainMembers } from './json-members.ts';
import { inspectJson } from './json-shape.ts';
import { Problem } from './problem.ts';

const UTF_8 = new Set(['utf-8', 'utf8', 'us-ascii']);

/**
 * The JSON body of a request. Throws the problem that says what is wrong with it. `optional`: an empty body, also one in
 * chunks, is an empty object, and needs no type.
 */
export async function readJson(
  request: IncomingMessage,
  bytesMax: number,
  { optional = false }: { optional?: boolean } = {},
): Promise<unknown> {
  const { headers } = request;
  refuseOtherTypes(headers);
  if (headers['content-type'] === undefined && !optional) throw otherType();
  const bytes = await readBytes(request, bytesMax);
  if (optional && bytes.length === 0) return {};
  if (headers['content-type'] === undefined) throw otherType();
  return parseJson(bytes);
}

/** Refuses a body that is declared as anything but JSON, an empty one as well: a form of another site always declares one. */
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

/** Parses JSON text, and refuses what JSON.parse would change or lose; see json-shape.ts and json-members.ts. */
export function parseJson(bytes: Buffer): unknown {
  if (!isUtf8(bytes)) throw new Problem('malformed_json', 'The body is not UTF-8.');
  const { members, flaw } = inspectJson(bytes);
  const text = bytes.toString('utf8');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Problem('malformed_json', 'The body is not JSON.');
  }
  if (flaw) throw flaw;
  if (countMembers(value) !== members) throw explainMembers(text);
  return value;
}

function tooLarge(bytesMax: number): Problem {
  return new Problem('body_too_large', `The body may have ${bytesMax} bytes.`);
}
