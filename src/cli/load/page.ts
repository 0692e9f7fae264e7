// The page of a report: one file that loads nothing, runs only its own scripts, and shows texts of others as text.
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { escapeText, isolate } from '../../render/statement-page.ts';
import { STYLE } from './page-style.ts';

/** A column of a chart's table, and its line in the chart. Colors are numbered from 1. */
export type Line = {
  readonly name: string;
  readonly color: number;
  readonly isDashed?: boolean;
  readonly isFilled?: boolean;
  readonly values: readonly (number | null)[];
};

export type Chart = {
  readonly title: string;
  readonly about: string;
  readonly isLatency?: boolean;
  readonly seconds: readonly number[];
  readonly lines: readonly Line[];
};

/** The page. `body`: HTML. */
export async function renderPage(title: string, body: string): Promise<string> {
  const require = createRequire(import.meta.url);
  const read = async (path: string) => (await readFile(path, 'utf8')).trim();
  const style = `${await read(require.resolve('uplot/dist/uPlot.min.css'))}\n${STYLE}`;
  const scripts = [
    await read(require.resolve('uplot/dist/uPlot.iife.min.js')),
    `{\n${await read(fileURLToPath(new URL('charts.js', import.meta.url)))}\n}`,
  ];
  const policy = [
    "default-src 'none'",
    `style-src ${hashOf(style)}`,
    `script-src ${scripts.map(hashOf).join(' ')}`,
    "base-uri 'none'",
    "form-action 'none'",
  ].join('; ');
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta name="color-scheme" content="light dark">
<title>${escapeText(title)}</title>
<style>${style}</style>
</head>
<body>
${body}
${scripts.map((script) => `<script>${script}</script>`).join('\n')}
</body>
</html>
`;
}

function hashOf(text: string): string {
  return `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
}

export function renderChart({ title, about, isLatency = false, seconds, lines }: Chart): string {
  const legend = lines.map(
    ({ name, color, isDashed, isFilled }) =>
      `<li${isDashed ? ' data-dash' : ''}${isFilled ? ' data-fill' : ''}><i class="c${color}${isDashed ? ' dashed' : ''}"></i>${isolate(name)} <output aria-hidden="true"></output></li>`,
  );
  const rows = seconds.map((second, index) => [String(second), ...lines.map(({ values }) => cell(values[index]))]);
  return `<figure class="chart card"${isLatency ? ' data-latency' : ''}>
<figcaption><h2>${escapeText(title)}</h2><p>${escapeText(about)}</p></figcaption>
<ul class="legend">${legend.join('')}</ul>
<div class="plot" role="img" aria-label="${escapeText(`Chart: ${title}. The table below has its numbers.`)}"></div>
<details><summary>As a table</summary>
${renderTable(title, ['second', ...lines.map(({ name }) => name)], rows)}
</details>
</figure>`;
}

/** A table of numbers with a head of its rows in the first column. It scrolls within the page. `attributes`: of each row. */
export function renderTable(
  label: string,
  head: readonly string[],
  rows: readonly (readonly string[])[],
  attributes: readonly string[] = [],
): string {
  const body = rows.map(([first = '', ...others], index) => {
    const cells = others.map((text) => `<td>${isolate(text)}</td>`).join('');
    return `<tr${attributes[index] ?? ''}><th scope="row">${isolate(first)}</th>${cells}</tr>`;
  });
  const heads = head.map((text) => `<th scope="col">${isolate(text)}</th>`).join('');
  return `<div class="scroll" role="region" tabindex="0" aria-label="${escapeText(label)}"><table>
<thead><tr>${heads}</tr></thead>
<tbody>
${body.join('\n')}
</tbody></table></div>`;
}

/** Names and values that belong together. Values are texts. */
export function renderList(entries: readonly (readonly [name: string, value: string])[]): string {
  return `<dl>${entries.map(([name, value]) => `<div><dt>${escapeText(name)}</dt><dd>${isolate(value)}</dd></div>`).join('')}</dl>`;
}

/** As the charts read it. */
function cell(value: number | null | undefined): string {
  return value === null || value === undefined ? '–' : String(Math.round(value * 100) / 100);
}
