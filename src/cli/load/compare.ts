// gopherpay load compare: two results of load tests as ratios, with what the noise allows to say.
import { readFile, stat } from 'node:fs/promises';
import { defineCommand } from 'citty';
import { z } from 'zod';
import { toError } from '../../db/connection/errors.ts';
import { type Comparison, compareRuns, differs, PAIRS_MIN } from '../../load/comparison.ts';
import { type LoadResult, resultForm } from '../../load/result.ts';
import { mustBe } from '../../validation.ts';
import { CommandError, EXIT, EXIT_THRESHOLD, parseArguments } from '../command.ts';
import { refuseOther, writeOutput, writeStandardOutput } from '../file.ts';
import { ratioText, renderComparison } from './comparison-text.ts';
import { renderComparisonReport } from './comparison-report.ts';

const FILE_BYTES_MAX = 64 * 2 ** 20;
/** What --fail-above is about. */
const JUDGED = 'time to accepted, p99';

const file = z.string({ error: mustBe('a file that `gopherpay load --output` wrote') }).min(1);

export const compare = defineCommand({
  meta: { name: 'compare', description: 'Compare two results of load tests, B with A.' },
  args: {
    a: { type: 'positional', required: false, description: 'The result A (Required)', valueHint: 'A.json' },
    b: { type: 'positional', required: false, description: 'The result B (Required)', valueHint: 'B.json' },
    report: { type: 'string', description: 'Write a report with charts to this file', valueHint: 'FILE.html' },
    'fail-above': { type: 'string', description: 'Exit 99 if p99 of time to accepted grew by more than this factor' },
  },
  async run({ args }) {
    const { _: words, ...rest } = args;
    const factor = z.coerce.number({ error: mustBe('a number such as 1.2') }).positive();
    if (words.length < 2)
      throw new CommandError(EXIT.wrongUsage, 'Name two results: gopherpay load compare A.json B.json.');
    const options = parseArguments(
      { a: file, b: file, report: file.optional(), 'fail-above': factor.optional() },
      { ...rest, _: words.slice(2) },
    );
    if (options.report !== undefined) await refuseOther(options.report);
    const [a, b] = [await readResult(options.a), await readResult(options.b)];
    const comparison = compareRuns(a, b);
    if (a.interval_seconds !== b.interval_seconds) {
      throw new CommandError(
        EXIT.failed,
        'One run is so much longer that its intervals are longer too: repeat it with the same stages.',
      );
    }
    await writeStandardOutput([renderComparison(comparison)]);
    if (options.report !== undefined) {
      const page = await renderComparisonReport(a, b, comparison);
      await writeOutput(options.report, once(page), new AbortController().signal);
    }
    if (options['fail-above'] !== undefined) judge(comparison, options['fail-above']);
  },
});

async function* once(text: string): AsyncGenerator<string> {
  yield text;
}

async function readResult(path: string): Promise<LoadResult> {
  const text = await readText(path).catch((error: unknown) => {
    throw new CommandError(EXIT.failed, `${path} cannot be read: ${toError(error).message}.`);
  });
  const parsed = resultForm.safeParse(parse(text));
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const where = issue && issue.path.length > 0 ? ` (${issue.path.join('.')} ${issue.message})` : '';
  throw new CommandError(EXIT.failed, `${path} is no result of \`gopherpay load --output\`${where}.`);
}

async function readText(path: string): Promise<string> {
  const { size } = await stat(path);
  if (size > FILE_BYTES_MAX) throw new Error(`it has ${size} bytes, and ${FILE_BYTES_MAX} are allowed`);
  return await readFile(path, 'utf8');
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** A regression is reported only if the noise does not explain it. */
function judge({ ratios }: Comparison, factor: number): void {
  const judged = ratios.find(({ measure }) => measure.name === JUDGED);
  if (!judged?.ratio) {
    throw new CommandError(EXIT.failed, `Fewer than ${PAIRS_MIN} seconds can be compared: measure for longer.`);
  }
  if (judged.ratio.value > factor && differs(judged)) {
    throw new CommandError(
      EXIT_THRESHOLD,
      `Not met: ${JUDGED} is ${ratioText(judged.ratio.value)} of A's, above ${factor}.`,
    );
  }
}
