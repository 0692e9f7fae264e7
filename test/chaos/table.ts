// The one table that the harness prints.
import type { Result } from './run.ts';

const HEAD = ['fault', 'rounds', 'requests', 'accepted', 'recovered', 'median', 'worst', 'violations'];

/** One line for each fault, columns aligned. */
export function renderTable(results: readonly Result[]): string {
  const rows = [HEAD, ...results.map(toCells)];
  const widths = HEAD.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)))
        .join('  '),
    )
    .join('\n');
}

function toCells(result: Result): string[] {
  if (result.notRun !== null) return [result.fault, 'not run', '', '', '', '', '', ''];
  const sorted = result.recoveryMs.toSorted((a, b) => a - b);
  return [
    result.fault,
    String(result.rounds),
    String(result.requests),
    String(result.accepted),
    result.recovered ? 'yes' : 'no',
    renderSeconds(sorted[Math.floor((sorted.length - 1) / 2)]),
    renderSeconds(sorted.at(-1)),
    String(result.violations.length),
  ];
}

function renderSeconds(durationMs: number | undefined): string {
  return durationMs === undefined ? '' : `${(durationMs / 1000).toFixed(1)} s`;
}
