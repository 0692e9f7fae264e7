// Reads verified books again for what a first reading in bounded memory cannot know: that no transfer is there twice, and
// what each reversal undoes. Each of the two may need several readings.
import type { Findings } from './findings.ts';
import { FormError, type Line, parseLine } from './form.ts';
import { IdSet } from './id-set.ts';
import { readBooks } from './read-books.ts';
import { ReversalReading, REVERSALS_OF_READING } from './reversals.ts';

const PREFIX = '{"type":"transfer","id":"';
const ID_LENGTH = 36;
/** A text within a line has its quotation marks escaped. */
const REVERSAL = '"kind":"reversal"';

/** What the first reading found. */
export type FirstReading = {
  readonly files: readonly string[];
  readonly transfers: number;
  /** Completed reversals, and what the first of them undo. */
  readonly reversals: number;
  readonly reversed: readonly string[];
  /** Whether the books begin with row 1, so that every original is in them. */
  readonly whole: boolean;
};

/** Yields how many transfers are done. */
export async function* readAgain(
  { files, transfers, reversals, reversed: firstReversed, whole }: FirstReading,
  findings: Findings,
  signal: AbortSignal,
  max = REVERSALS_OF_READING,
): AsyncGenerator<number> {
  const ids = new IdSet(transfers);
  let reversed = firstReversed;
  let first = 0;
  findings.journal = null;
  for (let part = 0; part < ids.parts || first < reversals; part += 1) {
    const reading = new ReversalReading(findings, { whole, first, reversed, max });
    if (part < ids.parts) ids.begin(part);
    let place = 0;
    for (const file of files) {
      findings.file = file;
      findings.line = 0;
      for await (const { lines } of readBooks(file, signal)) {
        for (const text of lines) {
          findings.line += 1;
          if (!text.startsWith(PREFIX)) continue;
          place += 1;
          const id = text.slice(PREFIX.length, PREFIX.length + ID_LENGTH);
          if (part === 0) findings.count('once.settled');
          if (part < ids.parts && ids.add(id) === 'known')
            findings.add('once.settled', { transfer: id }, 'times that it is there', 1, 2);
          if (reading.wants(id)) reading.takeOriginal(readTransfer(text), place);
          if (text.includes(REVERSAL)) takeReversal(reading, readTransfer(text), place);
        }
        yield place;
      }
    }
    reading.end();
    first += reversed.length;
    reversed = reading.next;
    if (reversed.length === 0 && first < reversals) throw new FormError('is missing, a reversal that was there');
  }
}

function takeReversal(reading: ReversalReading, line: Line<'transfer'>, place: number): void {
  if (line.status === 'completed' && line.kind === 'reversal') reading.takeReversal(line, place);
}

function readTransfer(text: string): Line<'transfer'> {
  const line = parseLine(text);
  if (line.type !== 'transfer') throw new FormError('is not a transfer');
  return line;
}
