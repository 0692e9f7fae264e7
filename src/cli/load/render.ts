// The output of a load test at its end.
import { renderMoney } from '../../domain/currency.ts';
import type { Swept } from './accounts.ts';
import type { Percentiles, Summary } from '../../load/tally.ts';
import { plain } from '../remote/text.ts';

/** Renders the result of the sweep. Accounts are opened in USD by default. */
export function renderSwept({ amount, closed, remaining }: Swept): string {
  const done = `${renderMoney(BigInt(amount), 'USD')} USD moved back, ${closed} accounts closed`;
  if (remaining.length === 0) return done;
  const named = remaining.length > 3 ? `${remaining.slice(0, 3).join(', ')} and so on` : remaining.join(', ');
  return `${done}; ${remaining.length} still have money or are open (${named}): move it to @external and close them.`;
}

type Pair = [name: string, value: string];

/** The result for people. Times are milliseconds. */
export function renderTable(summary: Summary): string {
  const { seconds, offered, accepted, refused, failed, settled } = summary;
  const rows: Pair[] = [
    ['offered', `${offered} transfers in ${seconds} s`],
    ['accepted', `${accepted}  (${summary.acceptedPerSecond} per second)`],
    ['refused with 429', `${refused}`],
    ['failed', `${failed}`],
    ['settled', `${settled}  (${summary.settledPerSecond} per second)`],
    ...(summary.settledAsFailed > 0 ? [['settled as failed', `${summary.settledAsFailed}`] satisfies Pair] : []),
    ['time to accepted', renderPercentiles(summary.acceptMs)],
    ['time to 429', renderPercentiles(summary.refuseMs)],
    ['time to final', renderPercentiles(summary.finalMs)],
    ...Object.entries(summary.errors).map(([code, count]): Pair => [plain(code), `${count} requests`]),
  ];
  const width = Math.max(...rows.map(([name]) => name.length)) + 2;
  return rows.map(([name, value]) => `${name.padEnd(width)}${value}\n`).join('');
}

function renderPercentiles(percentiles: Percentiles): string {
  if (!percentiles) return '-';
  const { p50, p90, p99, p999, max } = percentiles;
  return `p50 ${p50}  p90 ${p90}  p99 ${p99}  p99.9 ${p999}  max ${max} ms`;
}
