// docs/METRICS.md, made from the definitions of the metrics. `npm run metrics` writes it; a test compares the two.
import { readFileSync, writeFileSync } from 'node:fs';
import { METRICS } from '../../src/main/engine/metric-definitions.ts';

const FILE = new URL('../../docs/METRICS.md', import.meta.url);
const TABLE = /(?<=<!-- The table begins here\. -->\n)[\s\S]*(?=<!-- The table ends here\. -->)/;

export function readMetricsPage(): string {
  return readFileSync(FILE, 'utf8');
}

/** The page with its table made anew. */
export function renderMetricsPage(page: string): string {
  return page.replace(TABLE, () => renderTable());
}

function renderTable(): string {
  const rows = Object.entries(METRICS).map(([name, { type, labels = [], help }]) => {
    const shown = labels.map((label) => `\`${label}\``).join(', ');
    return `| \`${name}\` | ${type} | ${shown} | ${unitOf(name)} | ${help} |`;
  });
  return ['| name | type | labels | unit | meaning |', '|---|---|---|---|---|', ...rows, ''].join('\n');
}

/** Their values are 0 or 1. */
const WITHOUT_UNIT = new Set(['gopherpay_build_info', 'gopherpay_healthy', 'gopherpay_database_host_in_use']);

function unitOf(name: string): string {
  const base = name.replace(/_limit$/, '').replace(/_total$/, '');
  if (base.endsWith('_timestamp_seconds')) return 'Unix time, s';
  if (base.endsWith('_seconds')) return 's';
  if (base.endsWith('_bytes')) return 'bytes';
  if (WITHOUT_UNIT.has(name)) return '';
  return 'count';
}

if (import.meta.main) writeFileSync(FILE, renderMetricsPage(readMetricsPage()));
