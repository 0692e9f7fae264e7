// Writes what a command makes: to standard output, or to a file that has its name only when it is whole.
import { createWriteStream } from 'node:fs';
import { mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { Readable, type Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { CommandError, EXIT } from './command.ts';

/** Writes the texts to `output`, a path or `-` for standard output, until `signal` is aborted. */
export async function writeOutput(output: string, texts: AsyncIterable<string>, signal: AbortSignal): Promise<void> {
  const source = Readable.from(texts, { highWaterMark: 1 });
  if (output === '-') {
    await writeStandardOutput(source, signal);
    return;
  }
  await writeWhole(resolve(output), async (file) => await pipeline(source, file, { signal }));
}

/** Writes to standard output, which is not ours to close. */
export async function writeStandardOutput(texts: AsyncIterable<string>, signal: AbortSignal): Promise<void> {
  let lost: Error | undefined;
  const note = (error: Error): void => {
    lost = error;
  };
  process.stdout.once('error', note);
  try {
    await pipeline(texts, process.stdout, { end: false, signal });
  } catch (error) {
    // A reader that goes away is told in the words of a database that does.
    if (lost !== undefined && error === lost) throw new CommandError(EXIT.failed, `Standard output: ${lost.message}`);
    throw error;
  } finally {
    process.stdout.off('error', note);
  }
}

/** Writes a file under another name first, and gives it its own when `write` is done and its content is on the disk. */
async function writeWhole(path: string, write: (file: Writable) => Promise<void>): Promise<void> {
  const former = await stat(path).catch(() => null);
  // A device or a pipe would be replaced by a file of its name.
  if (former !== null && !former.isFile()) {
    throw new CommandError(
      EXIT.failed,
      `${path} is there and is no file: name another, or use --output=- and redirect.`,
    );
  }
  const partial = `${path}.${process.pid}.partial`;
  await mkdir(dirname(path), { recursive: true });
  try {
    await write(createWriteStream(partial, { flags: 'w', mode: 0o600 }));
    const handle = await open(partial, 'r+');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(partial, path);
  } finally {
    await rm(partial, { force: true });
  }
}
