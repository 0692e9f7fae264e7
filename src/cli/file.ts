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
    // Standard output is not ours to close.
    await pipeline(source, process.stdout, { end: false, signal });
    return;
  }
  await writeWhole(resolve(output), async (file) => await pipeline(source, file, { signal }));
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
