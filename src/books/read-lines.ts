// Reads the lines of a file of books in bounded memory, whatever the file is: each line has a limit, and a file that is
// compressed is decompressed as it is read.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { PassThrough } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { FormError } from './form.ts';

/** Longer than any line of a service: the metadata of a transfer has 8 KB, its description less. */
const LINE_BYTES_MAX = 1024 * 1024;
const CHUNK_BYTES = 256 * 1024;
const NEWLINE = 10;

/** The last line of a file comes alone, with the SHA-256 of all bytes before it. */
export type Lines = { readonly lines: readonly string[]; readonly bytes: number; readonly sha256Before: string | null };

/** Reads a file to its end. Throws a FormError if it cannot be a file of books. */
export async function* readLines(path: string, signal: AbortSignal): AsyncGenerator<Lines> {
  const hash = createHash('sha256');
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  const decode = (bytes: Uint8Array): string[] => {
    try {
      return decoder.decode(bytes).split('\n').slice(0, -1);
    } catch {
      throw new FormError('is not UTF-8');
    }
  };
  /** The last complete line so far, and the incomplete one after it. */
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of openFile(path, signal)) {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    // The last line has its digest in itself, so one line is always held back.
    const last = bytes.lastIndexOf(NEWLINE);
    const end = last <= 0 ? 0 : 1 + bytes.lastIndexOf(NEWLINE, last - 1);
    if (end === 0) rest = bytes;
    else {
      const whole = bytes.subarray(0, end);
      hash.update(whole);
      rest = bytes.subarray(end);
      yield { lines: decode(whole), bytes: whole.length, sha256Before: null };
    }
    if (rest.length > 2 * LINE_BYTES_MAX) throw new FormError(`is longer than ${LINE_BYTES_MAX} bytes`);
  }
  if (rest.length === 0 || rest.indexOf(NEWLINE) !== rest.length - 1) throw new FormError('is cut off');
  yield { lines: decode(rest), bytes: rest.length, sha256Before: hash.digest('hex') };
}

async function* openFile(path: string, signal: AbortSignal): AsyncGenerator<Buffer> {
  const file = createReadStream(path, { highWaterMark: CHUNK_BYTES });
  if (!path.endsWith('.gz')) {
    for await (const chunk of file) {
      signal.throwIfAborted();
      yield Buffer.from(chunk);
    }
    return;
  }
  const output = new PassThrough({ highWaterMark: CHUNK_BYTES });
  const done = pipeline(file, createGunzip({ chunkSize: CHUNK_BYTES }), output, { signal });
  done.catch(() => {});
  try {
    for await (const chunk of output) yield Buffer.from(chunk);
    await done;
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof Error && 'code' in error && String(error.code).startsWith('Z_')) {
      throw new FormError(`cannot be decompressed (${error.message})`);
    }
    throw error;
  } finally {
    output.destroy();
  }
}
