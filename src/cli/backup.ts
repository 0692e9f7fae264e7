// gopherpay backup: writes all books into one file, from one snapshot, while services use them.
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { constants, createZstdCompress } from 'node:zlib';
import { defineCommand } from 'citty';
import { SingleBar } from 'cli-progress';
import { z } from 'zod';
import { readConfig } from '../config.ts';
import { type DumpEvent, withDump } from '../db/backup/dump.ts';
import { readingTimeouts } from '../db/connection/connect.ts';
import { VERSION } from '../version.ts';
import { CommandError, EXIT, interruptible, parseArguments, withDatabase } from './command.ts';
import { writeOutput } from './file.ts';

export const backup = defineCommand({
  meta: {
    name: 'backup',
    description: 'Write all books, with keys and personal data, into one file, while the service runs.',
  },
  args: {
    file: { type: 'positional', required: true, description: 'The file to write, or - for standard output' },
  },
  async run({ args }) {
    const { file } = parseArguments({ file: z.string().min(1) }, { ...args, _: args._.slice(1) });
    if (file === '-' && process.stdout.isTTY) {
      throw new CommandError(EXIT.wrongUsage, 'A backup is not text: name a file, or redirect standard output.');
    }
    const config = readConfig();
    const timeouts = readingTimeouts(config.readingTimeoutMs);
    const progress = showProgress();
    const onEvent = progress.note.bind(progress);
    await interruptible(async (signal) => {
      try {
        await withDatabase(config, 'owner', async (database) => {
          await withDump(database, { version: VERSION, onEvent }, { timeouts, signal }, async (texts) => {
            // The checksum finds a changed byte where the hashes of the tables do not reach.
            const compress = createZstdCompress({ params: { [constants.ZSTD_c_checksumFlag]: 1 } });
            await pipeline(
              Readable.from(texts, { objectMode: false }),
              compress,
              async (compressed: AsyncIterable<Uint8Array>) => await writeOutput(file, compressed, signal),
              { signal },
            );
          });
        });
      } finally {
        progress.stop();
      }
    });
    process.stderr.write(`${progress.rows.toLocaleString('en')} rows written to ${file}\n`);
  },
});

/** Counts the rows, and shows them on a terminal. */
function showProgress(): { rows: number; note(event: DumpEvent): void; stop(): void } {
  const bar = process.stderr.isTTY
    ? new SingleBar({
        format: '{bar} {percentage} % | {value} of about {total} rows | {table}',
        stream: process.stderr,
        hideCursor: true,
        clearOnComplete: true,
      })
    : null;
  return {
    rows: 0,
    note(event) {
      switch (event.type) {
        case 'plan':
          bar?.start(event.rows, 0, { table: '' });
          break;
        case 'table':
          bar?.update({ table: event.table });
          break;
        case 'rows':
          this.rows += event.rows;
          // The total is an estimate.
          bar?.setTotal(Math.max(bar.getTotal(), this.rows));
          bar?.increment(event.rows);
      }
    },
    stop: () => bar?.stop(),
  };
}
