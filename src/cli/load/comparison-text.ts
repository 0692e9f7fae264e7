// A comparison of two load tests in words.
import { type Comparison, differs, PAIRS_MIN, type Ratio } from '../../load/comparison.ts';

/** The comparison for people: a table, and a sentence for each measure. */
export function renderComparison(comparison: Comparison): string {
  const head = ['', 'A', 'B', 'B ÷ A', '99 % interval'];
  const rows = comparison.ratios.map((ratio) => [ratio.measure.name, ...cellsOf(ratio)]);
  const widths = head.map((_, column) => Math.max(...[head, ...rows].map((row) => row[column]?.length ?? 0)));
  const lines = [head, ...rows].map((row) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join('  ')
      .trimEnd(),
  );
  return `${[...lines, '', ...verdictsOf(comparison)].join('\n')}\n`;
}

/** The medians of A and B, their ratio and its interval, as texts. */
export function cellsOf({ measure, a, b, ratio }: Ratio): string[] {
  const value = (amount: number | null) =>
    amount === null
      ? '–'
      : `${measure.unit === 'ms' ? amount.toFixed(1) : Math.round(amount)} ${measure.unit === 'ms' ? 'ms' : '/s'}`;
  if (!ratio) return [value(a), value(b), '–', '–'];
  return [value(a), value(b), ratioText(ratio.value), `${ratioText(ratio.low)} to ${ratioText(ratio.high)}`];
}

/** What can be said, in sentences. */
export function verdictsOf({ ratios, pairs, isSameLoad, intervalSeconds }: Comparison): string[] {
  const told = ratios.filter(differs).map(({ measure, ratio }) => `${measure.tell(ratioText(ratio?.value ?? 1))}.`);
  const alike = ratios.filter((ratio) => ratio.ratio && !differs(ratio)).map(({ measure }) => measure.name);
  const unknown = ratios.filter(({ ratio }) => !ratio).map(({ measure }) => measure.name);
  return [
    ...(isSameLoad ? [] : ['The loads were different, so the ratios compare the loads as well as the services.']),
    ...told,
    ...(alike.length > 0 ? [`No difference beyond the noise: ${alike.join('; ')}.`] : []),
    ...(unknown.length > 0 ? [`Fewer than ${PAIRS_MIN} seconds can be compared: ${unknown.join('; ')}.`] : []),
    `Medians of ${pairs.length} ${intervalSeconds === 1 ? 'seconds' : `intervals of ${intervalSeconds} seconds`}. The noise is that within the two runs; repeat runs to know the noise between them.`,
  ];
}

export function ratioText(ratio: number): string {
  return ratio.toFixed(2);
}
