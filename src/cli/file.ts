// Writes the output of a command: to standard output, or to a file that gets its final name only when it is complete.
import { randomBytes } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { lstat, mkdir, rename, rm } from 'node:fs/promises';
import { constants } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { Readable, type Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { MAIN_LEDGER } from '../domain/ledger.ts';
import { CommandError, EXIT, SIGNALLED } from './command.ts';

/** The default folder for the files of a ledger. Each ledger has its own, so that they do not overwrite each other's files. */
export function folderOf(ledger: string): string {
  return ledger === MAIN_LEDGER.name ? 'reports' : join('reports', ledger);
}

/** Writes the texts to `output`, a path or `-` for standard output, until `signal` is aborted. */
export async function writeOutput(
  output: string,
  texts: AsyncIterable<string | Uint8Array>,
  signal: AbortSignal,
): Promise<void> {
  const source = Readable.from(texts, { highWaterMark: 1 });
  if (output === '-') {
    await writeStandardOutput(source, signal);
    return;
  }
  await writeWhole(resolve(output), async (file) => await pipeline(source, file, { signal }));
}

/** Replaces a file that programs of other users read. */
export async function writePublicFile(path: string, text: string): Promise<void> {
  await writeWhole(path, async (file) => await pipeline([text], file), { mode: 0o644, orElse: '' });
}

/** Replaces a file that only its owner may read. */
export async function writePrivateFile(path: string, text: string): Promise<void> {
  await writeWhole(path, async (file) => await pipeline([text], file), { mode: 0o600, orElse: '' });
}

/**
 * Writes to standard output, which stays open, and resolves when all text has been written. If the reader closes the pipe (`| head`),
 * the command ends silently, with the exit code that other tools have in that case.
 */
export async function writeStandardOutput(
  texts: AsyncIterable<string | Uint8Array> | Iterable<string>,
  signal = new AbortController().signal,
): Promise<void> {
  let lost: Error | undefined;
  const note = (error: Error): void => {
    lost ??= error;
  };
  process.stdout.once('error', note);
  try {
    await pipeline(texts, process.stdout, { end: false, signal });
    await flushStandardOutput(signal);
  } catch (error) {
    signal.throwIfAborted();
    if (isBrokenPipe(lost ?? error)) throw new CommandError(SIGNALLED + constants.signals.SIGPIPE, '');
    if (lost !== undefined) throw new CommandError(EXIT.failed, `Standard output: ${lost.message}`);
    throw error;
  } finally {
    process.stdout.off('error', note);
  }
}

/** The pipeline ends when the stream has accepted its last text. That text may still fail to be written. */
async function flushStandardOutput(signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const stop = (): void => reject(signal.reason);
  signal.addEventListener('abort', stop, { once: true });
  process.stdout.write('', (error) => (error ? reject(error) : resolve()));
  try {
    await promise;
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

function isBrokenPipe(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EPIPE';
}

/**
 * Writes a file under a temporary name, and renames it when `write` is done and its content is on the disk. Another user may be able to
 * write to the folder. So the name cannot be predicted, and exclusive creation follows no link. The rename replaces a link instead of
 * following it.
 */
async function writeWhole(
  path: string,
  write: (file: Writable) => Promise<void>,
  { mode, orElse } = { mode: 0o600, orElse: ', or use --output=- and redirect' },
): Promise<void> {
  await refuseOther(path, orElse);
  const folder = dirname(path);
  await mkdir(folder, { recursive: true });
  const partial = join(folder, `.gopherpay-${randomBytes(12).toString('hex')}.partial`);
  try {
    // By path. With the stream of a FileHandle, one of 60 reports that got SIGTERM ended with 13, an unsettled await.
    await write(createWriteStream(partial, { flags: 'wx', mode, flush: true }));
    await rename(partial, path);
  } finally {
    await rm(partial, { force: true });
  }
}

/** Refuses a path that names something other than a file, which the rename would replace: a link, a device, a pipe. */
export async function refuseOther(path: string, orElse = ''): Promise<void> {
  const former = await lstat(path).catch(() => null);
  if (former === null || former.isFile()) return;
  if (former.isSymbolicLink()) {
    throw new CommandError(EXIT.failed, `${path} is a symbolic link, which is not followed: name its target${orElse}.`);
  }
  throw new CommandError(EXIT.failed, `${path} exists and is not a file: choose another path${orElse}.`);
}
