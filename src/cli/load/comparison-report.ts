// The HTML report of a comparison of two load tests.
import type { Comparison } from '../../load/comparison.ts';
import type { LoadInterval, LoadResult } from '../../load/result.ts';
import { escapeText, isolate } from '../../render/statement-page.ts';
import { cellsOf, verdictsOf } from './comparison-text.ts';
import { type Line, renderChart, renderList, renderPage, renderTable } from './page.ts';
import { timeOf } from './report.ts';

/** The report of a comparison. */
export async function renderComparisonReport(a: LoadResult, b: LoadResult, comparison: Comparison): Promise<string> {
  const { pairs, ratios, intervalSeconds: length } = comparison;
  const seconds = pairs.map((pair) => pair.a.second);
  const lines = (of: (interval: LoadInterval) => number | null | undefined): Line[] => [
    { name: 'A', color: 1, values: pairs.map((pair) => of(pair.a) ?? null) },
    { name: 'B', color: 2, values: pairs.map((pair) => of(pair.b) ?? null) },
  ];
  const rows = ratios.map((ratio) => [ratio.measure.name, ...cellsOf(ratio)]);
  const chart = (title: string, about: string, of: Parameters<typeof lines>[0], isLatency: boolean) =>
    renderChart({ title, about, seconds, lines: lines(of), isLatency });
  const body = `<header><h1>Two load tests compared</h1>
<p>A: ${escapeText(timeOf(a.measured_at))}, GopherPay ${isolate(a.target.version ?? '?')} · B: ${escapeText(timeOf(b.measured_at))}, GopherPay ${isolate(b.target.version ?? '?')}</p></header>
<main>
<div class="verdict plain">${verdictsOf(comparison)
    .map((text) => `<p>${escapeText(text)}</p>`)
    .join('')}</div>
<section class="card"><h2>Ratios</h2><p>Medians of the seconds that both runs have. An interval that includes 1 shows no difference.</p>
${renderTable('Ratios', ['measure', 'A', 'B', 'B ÷ A', '99 % interval'], rows)}</section>
${chart('Settled', 'Transfers per second.', ({ settled }) => settled / length, false)}
<div class="grid">
${chart('Time to accepted, p99', 'Milliseconds.', ({ accept_ms }) => accept_ms?.p99, true)}
${chart('Time to final, p99', 'Milliseconds.', ({ final_ms }) => final_ms?.p99, true)}
</div>
<div class="grid">
${[a, b].map((run, index) => renderRun(run, index === 0 ? 'A' : 'B')).join('\n')}
</div>
</main>
<footer>The interval is by the circular block bootstrap of the ratio of the medians (Politis and Romano, 1992).</footer>`;
  return await renderPage('Two load tests compared', body);
}

function renderRun(run: LoadResult, name: string): string {
  const list = renderList([
    ['Command', run.command],
    ['Service', `${run.target.url}, GopherPay ${run.target.version ?? '(version unknown)'}`],
    ['Generator', `${run.generator.platform}, ${run.generator.processors}`],
    ['Accepted and final', `${run.settled} of ${run.accepted}`],
  ]);
  return `<section class="card"><h2>Run ${name}</h2>${list}</section>`;
}
