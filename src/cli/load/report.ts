// The HTML report of a load test.
import type { LoadInterval, LoadResult } from '../../load/result.ts';
import { renderLoad } from '../../load/stages.ts';
import { escapeText, isolate } from '../../render/statement-page.ts';
import { type Line, renderChart, renderList, renderPage, renderTable } from './page.ts';

/** More codes of refusals and errors than this share one line. */
const CODES_SHOWN = 4;
const MILLISECONDS = new Intl.NumberFormat('en-US', { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const NUMBER = new Intl.NumberFormat('en-US', { maximumFractionDigits: 1 });

/** The report of a load test. */
export async function renderReport(result: LoadResult): Promise<string> {
  const { target, interrupted } = result;
  const parts = [target.url, `ledger ${target.ledger}`, timeOf(result.measured_at), `${number(result.seconds)} s`];
  if (interrupted) parts.push('interrupted');
  const body = `<header><h1>Load test</h1>
<p>${parts.map((part) => `<span>${isolate(part)}</span>`).join(' · ')}</p></header>
<main>
${renderVerdict(result)}
${renderTiles(result)}
${renderCharts(result)}
${renderPercentiles(result)}
${renderStages(result)}
${renderMethod(result)}
</main>
<footer>Every latency counts from the moment at which the request was due, so a stall of the service is not left out.
A transfer counts as not_sent if no connection was free for five seconds. Drag over a chart to zoom, and double-click to go back.</footer>`;
  return await renderPage(`Load test of ${target.url}`, body);
}

function renderCharts(result: LoadResult): string {
  const { series, interval_seconds: length } = result;
  const seconds = series.map(({ second }) => second);
  const perSecond = (of: (interval: LoadInterval) => number) => series.map((interval) => of(interval) / length);
  const throughput = renderChart({
    title: 'Throughput',
    about: 'Transfers per second. The shaded stages have the load that was wanted.',
    seconds,
    lines: [
      { name: 'offered', color: 6, isDashed: true, values: perSecond(({ offered }) => offered) },
      { name: 'accepted', color: 1, values: perSecond(({ accepted }) => accepted) },
      { name: 'settled', color: 3, isFilled: true, values: perSecond(({ settled }) => settled) },
    ],
  });
  const accepted = renderChart({
    title: 'Time to accepted',
    about: 'Milliseconds from the time at which a request was due to 200 or 202.',
    isLatency: true,
    seconds,
    lines: percentileLines(series.map(({ accept_ms }) => accept_ms)),
  });
  const final = renderChart({
    title: 'Time to final',
    about: 'Milliseconds from the time at which a request was due to its transfer in the feed.',
    isLatency: true,
    seconds,
    lines: percentileLines(series.map(({ final_ms }) => final_ms)),
  });
  const refused = renderChart({
    title: 'Refused and failed',
    about: 'Transfers per second, by the code of the problem or the network error.',
    seconds,
    lines: codeLines(result),
  });
  const inFlight = renderChart({
    title: 'In flight',
    about: 'Transfers without an answer at the end of each second.',
    seconds,
    lines: [{ name: 'in flight', color: 4, isFilled: true, values: series.map(({ in_flight }) => in_flight) }],
  });
  return `${throughput}\n<div class="grid">\n${[accepted, final, refused, inFlight].join('\n')}\n</div>`;
}

function renderMethod(result: LoadResult): string {
  const { generator, target, connections, accounts, skew, bulk } = result;
  const list = renderList([
    ['Command', result.command],
    ['Service', `GopherPay ${target.version ?? '(version unknown)'}`],
    ['Generator', `GopherPay ${generator.version}, Node ${generator.node}, ${generator.platform}`],
    ['Processors', generator.processors],
    ['Load', `${connections} connections, ${accounts} accounts, skew ${skew}, ${bulk} per request`],
    ['Seed', `${result.seed}`],
    ['Accounts', `${result.prefix}-0 and so on`],
  ]);
  return `<section class="card"><h2>How it was measured</h2>\n${list}</section>`;
}

/** What was accepted and is not final contradicts the service, and so does a sum of balances that is not zero. */
function renderVerdict(result: LoadResult): string {
  const { accepted, settled, settled_as_failed: asFailed, unbalanced, left } = result;
  const missing = accepted - settled;
  const findings = [
    missing > 0 && `${number(missing)} of ${number(accepted)} accepted transfers were not final at the end.`,
    unbalanced === null && 'The balances could not be read after the test.',
    unbalanced && unbalanced.length > 0 && `The balances in ${unbalanced.join(', ')} do not sum to zero.`,
    left.length > 0 && `${left.length} accounts of the test may still be open or have money.`,
  ].filter((finding) => typeof finding === 'string');
  const failed = asFailed > 0 ? ` ${number(asFailed)} of them failed, as their answers say.` : '';
  const good = [
    `Verified: all ${number(accepted)} accepted transfers are final in the feed.${failed}`,
    'All balances sum to zero, the money is moved back, and the accounts of the test are closed.',
  ];
  const texts = findings.length > 0 ? findings : good;
  return `<div class="verdict ${findings.length > 0 ? 'bad' : 'good'}">${texts.map((text) => `<p>${escapeText(text)}</p>`).join('')}</div>`;
}

function renderTiles(result: LoadResult): string {
  const { accept_ms: accept, final_ms: final } = result;
  const ms = (value: number | undefined) => (value === undefined ? '–' : duration(value));
  const tiles = [
    ['Settled', `${number(result.settled_per_second)}/s`, `${number(result.settled)} transfers`],
    [
      'Accepted',
      `${number(result.accepted_per_second)}/s`,
      `${number(result.accepted)} of ${number(result.offered)} offered`,
    ],
    ['Refused with 429', number(result.refused), shareOf(result.refused, result.offered)],
    ['Failed', number(result.failed), shareOf(result.failed, result.offered)],
    ['Time to accepted, p99', ms(accept?.p99), `p50 ${ms(accept?.p50)}`],
    ['Time to final, p99', ms(final?.p99), `p50 ${ms(final?.p50)}`],
  ];
  const items = tiles.map(
    ([name = '', value = '', note = '']) =>
      `<li><span>${escapeText(name)}</span><strong>${escapeText(value)}</strong><small>${escapeText(note)}</small></li>`,
  );
  return `<ul class="tiles">${items.join('')}</ul>`;
}

function percentileLines(spreads: readonly LoadInterval['accept_ms'][]): Line[] {
  return [
    { name: 'p50', color: 3, values: spreads.map((spread) => spread?.p50 ?? null) },
    { name: 'p90', color: 1, values: spreads.map((spread) => spread?.p90 ?? null) },
    { name: 'p99', color: 2, values: spreads.map((spread) => spread?.p99 ?? null) },
    { name: 'max', color: 6, isDashed: true, values: spreads.map((spread) => spread?.max ?? null) },
  ];
}

function codeLines({ series, interval_seconds: length }: LoadResult): Line[] {
  const totals = new Map<string, number>();
  for (const { answers } of series) {
    for (const [code, count] of Object.entries(answers)) {
      if (code !== '200' && code !== '202') totals.set(code, (totals.get(code) ?? 0) + count);
    }
  }
  const codes = [...totals].sort(([, a], [, b]) => b - a).map(([code]) => code);
  const shown = codes.slice(0, CODES_SHOWN);
  const lines: Line[] = shown.map((code, index) => ({
    name: code,
    color: [2, 4, 1, 5][index] ?? 6,
    values: series.map(({ answers }) => (answers[code] ?? 0) / length),
  }));
  const rest = (interval: LoadInterval) =>
    codes.slice(CODES_SHOWN).reduce((sum, code) => sum + (interval.answers[code] ?? 0), 0) / length;
  if (codes.length > CODES_SHOWN) lines.push({ name: 'all other codes', color: 6, values: series.map(rest) });
  return lines.length > 0 ? lines : [{ name: 'none', color: 6, values: series.map(() => 0) }];
}

function renderPercentiles(result: LoadResult): string {
  const rows = [
    ['time to accepted', result.accept_ms],
    ['time to 429', result.refuse_ms],
    ['time to final', result.final_ms],
  ] as const;
  const cells = rows.map(([name, percentiles]) => [
    name,
    ...(['mean', 'p50', 'p90', 'p99', 'p999', 'max'] as const).map((key) =>
      percentiles ? MILLISECONDS.format(percentiles[key]) : '–',
    ),
  ]);
  const head = ['milliseconds', 'mean', 'p50', 'p90', 'p99', 'p99.9', 'max'];
  return `<section class="card"><h2>Percentiles</h2><p>Of the whole run, in milliseconds.</p>${renderTable('Percentiles', head, cells)}</section>`;
}

/** The stages, with what was measured in each. The charts take the shaded ranges from here. */
function renderStages(result: LoadResult): string {
  const { stages, unit, series, interval_seconds: length } = result;
  let endsAt = 0;
  const ranges = stages.map((stage) => {
    const begins = endsAt;
    endsAt += stage.seconds;
    return { stage, begins, ends: endsAt };
  });
  const rows = ranges.map(({ stage, begins, ends }) => {
    const own = series.filter(({ second }) => second >= begins && second < ends);
    const sum = (of: (interval: LoadInterval) => number) => own.reduce((total, interval) => total + of(interval), 0);
    const rate = (of: (interval: LoadInterval) => number) =>
      number(own.length > 0 ? sum(of) / (own.length * length) : 0);
    const worst = Math.max(0, ...own.map(({ accept_ms }) => accept_ms?.p99 ?? 0));
    return [
      renderLoad(stage, unit),
      `${number(stage.seconds)} s`,
      rate(({ offered }) => offered),
      rate(({ accepted }) => accepted),
      rate(({ settled }) => settled),
      number(sum(({ refused }) => refused)),
      number(sum(({ failed }) => failed)),
      worst > 0 ? duration(worst) : '–',
    ];
  });
  const head = ['stage', 'for', 'offered/s', 'accepted/s', 'settled/s', '429', 'failed', 'worst p99'];
  const attributes = ranges.map(({ begins, ends }) => ` data-begins="${begins}" data-ends="${ends}"`);
  return `<section class="card"><h2>Stages</h2><p>The worst p99 is that of the slowest second, of time to accepted.</p>${renderTable('Stages', head, rows, attributes)}</section>`;
}

function number(value: number): string {
  return NUMBER.format(value);
}

/** Such as 4.2 ms, 250 ms or 5.50 s. */
function duration(ms: number): string {
  if (ms >= 1000) return `${(ms / 1000).toFixed(2)} s`;
  return `${ms >= 100 ? Math.round(ms) : number(ms)} ms`;
}

function shareOf(part: number, whole: number): string {
  return whole === 0 ? '' : `${number((100 * part) / whole)} % of offered`;
}

/** Such as 2026-11-26 13:20:08 UTC. */
export function timeOf(instant: string): string {
  return `${instant.slice(0, 10)} ${instant.slice(11, 19)} UTC`;
}
