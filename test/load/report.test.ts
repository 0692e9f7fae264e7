// The HTML reports in Chromium: they load nothing, run only their own scripts, draw their charts and are accessible.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { renderComparisonReport } from '../../src/cli/load/comparison-report.ts';
import { renderReport } from '../../src/cli/load/report.ts';
import { compareRuns } from '../../src/load/comparison.ts';
import type { LoadResult } from '../../src/load/result.ts';
import { axeViolations, NEEDS_CHROMIUM, openBrowser, screenshot } from '../support/browser.ts';
import type { Scope } from '../support/cleanup.ts';
import { makeFolder } from '../support/service.ts';
import { exampleResult } from './example.ts';

const HOSTILE = '</script><script>document.title = "owned"</script><img src=x onerror=alert(1)>"\'\u202e';

/** What the page of a report did that it must not do. */
type Opened = { readonly page: Page; readonly found: string[] };

async function openReport(
  scope: Scope,
  browser: Browser,
  html: string,
  { width = 1280, colorScheme = 'light' }: { width?: number; colorScheme?: 'light' | 'dark' } = {},
): Promise<Opened> {
  const path = join(await makeFolder(scope), 'report.html');
  await writeFile(path, html);
  const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme });
  const page = await context.newPage();
  const found: string[] = [];
  const url = pathToFileURL(path).href;
  page.on('request', (request) => void (request.url() === url || found.push(`request: ${request.url()}`)));
  page.on('console', (message) => void found.push(`console: ${message.text()}`));
  page.on('pageerror', (error) => void found.push(`error: ${error.message}`));
  page.on('dialog', (dialog) => void found.push(`dialog: ${dialog.message()}`));
  await page.goto(url);
  await page.waitForSelector('.u-over');
  return { page, found };
}

/** How many colors each chart has. An empty canvas has one. */
async function countColors(page: Page): Promise<unknown> {
  return await page.evaluate(`[...document.querySelectorAll('canvas')].map((canvas) => {
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    return new Set(new Uint32Array(data.buffer)).size;
  })`);
}

const REPORTS: readonly { name: string; charts: number; render: () => Promise<string> }[] = [
  { name: 'report', charts: 5, render: async () => await renderReport(exampleResult) },
  {
    name: 'comparison',
    charts: 3,
    render: async () =>
      await renderComparisonReport(exampleResult, exampleResult, compareRuns(exampleResult, exampleResult)),
  },
];

for (const { name, charts, render } of REPORTS) {
  test(
    `load ${name}: draws its charts, loads nothing and is accessible, light and dark, narrow and wide`,
    NEEDS_CHROMIUM,
    async (t) => {
      const browser = await openBrowser(t);
      const html = await render();
      for (const width of [390, 1280]) {
        for (const colorScheme of ['light', 'dark'] as const) {
          const { page, found } = await openReport(t, browser, html, { width, colorScheme });
          const colors = await countColors(page);
          assert.ok(Array.isArray(colors) && colors.length === charts, JSON.stringify(colors));
          for (const count of colors) assert.ok(count > 10, `a chart is empty: ${colors.join()}`);
          assert.deepEqual(await axeViolations(page), []);
          assert.equal(await page.evaluate('document.documentElement.scrollWidth'), width, 'Nothing needs scrolling.');
          await screenshot(page, `load-${name}-${width}-${colorScheme}`);
          await page.locator('details').evaluateAll('(all) => all.forEach((each) => { each.open = true; })');
          assert.deepEqual(await axeViolations(page), [], 'with its tables open');
          assert.deepEqual(found, []);
          await page.context().close();
        }
      }
    },
  );
}

test('load report: a chart has a table with the same numbers', NEEDS_CHROMIUM, async (t) => {
  const browser = await openBrowser(t);
  const { page } = await openReport(t, browser, await renderReport(exampleResult));
  const rows = page.locator('figure').first().locator('tbody tr');
  assert.equal(await rows.count(), exampleResult.series.length);
  const { second, offered, accepted, settled } = exampleResult.series[3] ?? {};
  const cells = await rows.nth(3).locator('th, td').allTextContents();
  assert.deepEqual(cells.map(Number), [second, offered, accepted, settled]);
});

test('load report: texts of a service and of a command line stay text', NEEDS_CHROMIUM, async (t) => {
  const hostile: LoadResult = {
    ...exampleResult,
    command: HOSTILE,
    target: { url: HOSTILE, ledger: HOSTILE, version: HOSTILE },
    generator: { version: HOSTILE, node: HOSTILE, platform: HOSTILE, processors: HOSTILE },
    prefix: HOSTILE,
    left: [HOSTILE],
    unbalanced: [HOSTILE],
    errors: { [HOSTILE]: 1 },
    series: exampleResult.series.map((interval) => ({ ...interval, answers: { [HOSTILE]: 3 } })),
  };
  const browser = await openBrowser(t);
  const { page, found } = await openReport(t, browser, await renderReport(hostile));
  assert.deepEqual(found, []);
  assert.equal(await page.title(), `Load test of ${HOSTILE}`);
  assert.equal(await page.locator('img').count(), 0);
  assert.equal(await page.locator('script').count(), 2);
  assert.match(await page.locator('.verdict').innerText(), /do not sum to zero\./);
  const compared = await renderComparisonReport(hostile, hostile, compareRuns(hostile, hostile));
  const comparison = await openReport(t, browser, compared);
  assert.deepEqual(comparison.found, []);
  assert.equal(await comparison.page.locator('img').count(), 0);
});

test('load report: accepted transfers that are not final come first', async () => {
  const missing = await renderReport({ ...exampleResult, settled: exampleResult.accepted - 2 });
  assert.match(
    missing,
    /<div class="verdict bad"><p>2 of [\d,]+ accepted transfers were not final at the end\.<\/p><\/div>/,
  );
  assert.match(
    await renderReport(exampleResult),
    /<div class="verdict good"><p>Verified: all [\d,]+ accepted transfers/,
  );
});

test('reports: the picture of the documents is made again if that is asked for', NEEDS_CHROMIUM, async (t) => {
  const { page } = await openReport(t, await openBrowser(t), await renderReport(exampleResult));
  const path = join(import.meta.dirname, '../../docs/images/load-report-1280.png');
  if (process.env['UPDATE_SCREENSHOTS'] === '1') await page.screenshot({ path });
  assert.ok(existsSync(path));
});
