// Reads verified books again for what a first reading in bounded memory cannot know: that no transfer is there twice, and
// what each reversal undoes.
import type { Findings } from './findings.ts';
import { FormError, type Line, parseLine } from './form.ts';
import { IdSet } from './id-set.ts';
import { readLines } from './read-lines.ts';
import type { Reversal } from './verify.ts';

const PREFIX = '{"type":"transfer","id":"';
const ID_LENGTH = 36;

/** Without its texts, of which there may be 8 KB. */
type Original = Pick<Line<'transfer'>, 'from_account' | 'to_account' | 'amount' | 'currency' | 'status' | 'kind'> & {
  readonly place: number;
};

/** What the first reading found. */
export type FirstReading = {
  readonly files: readonly string[];
  readonly transfers: number;
  readonly reversals: readonly Reversal[];
  /** Whether the books begin with row 1, so that every original is in them. */
  readonly whole: boolean;
};

/** Yields how many transfers are done. */
export async function* readAgain(
  { files, transfers, reversals, whole }: FirstReading,
  findings: Findings,
  signal: AbortSignal,
): AsyncGenerator<number> {
  const wanted = new Set(reversals.map(({ transfer }) => transfer.parent_id));
  const originals = new Map<string, Original>();
  const ids = new IdSet(transfers);
  findings.journal = null;
  for (let part = 0; part < ids.parts; part += 1) {
    ids.begin(part);
    let place = 0;
    for (const file of files) {
      findings.file = file;
      findings.line = 0;
      for await (const { lines } of readLines(file, signal)) {
        for (const text of lines) {
          findings.line += 1;
          if (!text.startsWith(PREFIX)) continue;
          place += 1;
          const id = text.slice(PREFIX.length, PREFIX.length + ID_LENGTH);
          if (part === 0) findings.count('once.settled');
          if (ids.add(id) === 'known') findings.add('once.settled', { transfer: id }, 'times that it is there', 1, 2);
          if (part === 0 && wanted.has(id)) originals.set(id, readOriginal(text, place));
        }
        yield place;
      }
    }
  }
  compareReversals(reversals, originals, { findings, whole });
}

function readOriginal(text: string, place: number): Original {
  const line = parseLine(text);
  if (line.type !== 'transfer') throw new FormError('is not a transfer');
  const { from_account, to_account, amount, currency, status, kind } = line;
  return { from_account, to_account, amount, currency, status, kind, place };
}

function compareReversals(
  reversals: readonly Reversal[],
  originals: ReadonlyMap<string, Original>,
  { findings, whole }: { findings: Findings; whole: boolean },
): void {
  const reversed = new Map<string, number>();
  for (const reversal of reversals) {
    const { file, line, place, transfer } = reversal;
    const { parent_id: parent = '', amount = 0, currency, id } = transfer;
    const about = { transfer: id, currency };
    findings.file = file;
    findings.line = line;
    findings.count('reversals.amounts');
    findings.count('transfers.parents');
    const original = originals.get(parent);
    if (!original) {
      if (whole) findings.add('transfers.parents', about, 'what it reverses', 'a settled transfer', parent);
      continue;
    }
    const state = `${original.status} ${original.kind}`;
    const isReversible = state === 'completed transfer' || state === 'completed capture';
    findings.must('transfers.parents', about, 'original', isReversible, 'a completed transfer or capture', state);
    const expected = `${original.to_account} to ${original.from_account} in ${original.currency}`;
    const accounts = `${transfer.from_account} to ${transfer.to_account} in ${currency}`;
    findings.equal('transfers.parents', about, 'accounts', expected, accounts);
    findings.must('transfers.parents', about, 'place', original.place < place, 'after its original', 'before it');
    const sum = (reversed.get(parent) ?? 0) + amount;
    reversed.set(parent, sum);
    const most = original.amount ?? 0;
    findings.must('reversals.amounts', about, 'sum of the reversals', sum <= most, `at most ${most}`, sum);
  }
}
