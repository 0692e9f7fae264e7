// The statement as a page: no text of a caller escapes its cell, and nothing is off the screen, measured by a browser.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { z } from 'zod';
import { MAIN_LEDGER } from '../src/domain/ledger.ts';
import type { StatementEntry, StatementSummary } from '../src/db/queries/statements.ts';
import { renderStatement } from '../src/render/statement.ts';
import { makeFolder } from './support/service.ts';

const CHROMIUM = '/usr/bin/chromium';
const LARGEST = 9_007_199_254_740_991n;
const DESCRIPTIONS = [
  null,
  'Rent for November, flat 7, with heating',
  'x'.repeat(120),
  'שכר דירה',
  '\u202e00.01',
  '<i>"',
];

const summary: StatementSummary = {
  ledger: MAIN_LEDGER,
  accountNumber: 'A'.repeat(34),
  name: `שלום ${'Very'.repeat(20)}`,
  currency: 'USD',
  month: '2026-11',
  begins: '2026-11-01T00:00:00Z',
  ends: '2026-12-01T00:00:00Z',
  final: true,
  openingEntryNumber: 0n,
  closingEntryNumber: BigInt(DESCRIPTIONS.length),
  openingBalance: -LARGEST,
  closingBalance: -LARGEST,
  totalIn: LARGEST,
  totalOut: LARGEST,
};

const entries: StatementEntry[] = DESCRIPTIONS.map((description, index) => ({
  entryNumber: BigInt(index + 1),
  settledAt: '2026-11-05T12:34:56.123456Z',
  transferId: '0192f0c4-0000-7000-8000-000000000000',
  kind: 'transfer',
  counterparty: index % 2 === 0 ? '@external' : 'B'.repeat(34),
  description,
  amount: index % 2 === 0 ? 2500n : -LARGEST,
  balance: -LARGEST,
}));

test("statement page: a caller's text is isolated from the text around it", async () => {
  const page = await renderPage();
  assert.ok(page.includes('<bdi>\u202e00.01</bdi><br>Transfer from <bdi>@external</bdi><small>'), page);
  assert.ok(page.includes('<bdi>&lt;i&gt;&quot;</bdi>'), page);
  assert.ok(page.includes(`<strong><bdi>${summary.name}</bdi></strong>`), page);
});

for (const width of [320, 390, 1200]) {
  test(
    `statement page: amounts and balances are on a screen of ${width} pixels`,
    { skip: !existsSync(CHROMIUM) && 'needs Chromium' },
    async (t) => {
      const { scrollWidth, cells } = await measure(t, width);
      assert.equal(scrollWidth, width, 'Nothing needs scrolling.');
      const shown = cells.filter(({ text }) => text !== '');
      const amounts = shown.filter(({ text }) => /\d\.\d\d$/.test(text));
      assert.equal(
        amounts.length,
        2 * entries.length + 2 + 4,
        'amount and balance of each entry, two boundaries, four totals',
      );
      for (const { text, left, right, height } of shown) {
        assert.ok(
          left >= 0 && right <= width && right > left && height > 0,
          `${text}: ${left} to ${right}, ${height} high`,
        );
      }
    },
  );
}

async function renderPage(): Promise<string> {
  async function* batches() {
    yield entries;
  }
  return (await Array.fromAsync(renderStatement('html', summary, batches()))).join('');
}

/** The places of all cells and totals, in a frame of that width: Chromium's own window has a least width. */
async function measure(t: Parameters<typeof makeFolder>[0], width: number) {
  const folder = await makeFolder(t);
  const page = (await renderPage()).replaceAll('&', '&amp;').replaceAll('"', '&quot;');
  const script = `frame.onload = () => {
    const { documentElement } = frame.contentDocument;
    const cells = [...frame.contentDocument.querySelectorAll('td, dd')].map((cell) => {
      const { left, right, height } = cell.getBoundingClientRect();
      return { text: cell.textContent, left, right, height };
    });
    document.title = btoa(encodeURIComponent(JSON.stringify({ scrollWidth: documentElement.scrollWidth, cells })));
  };`;
  const path = join(folder, 'frame.html');
  const frame = `<iframe id="frame" style="border: 0; width: ${width}px; height: 600px" srcdoc="${page}"></iframe>`;
  await writeFile(path, `<!DOCTYPE html><meta charset="utf-8">${frame}<script>${script}</script>`);
  const switches =
    'headless no-sandbox hide-scrollbars disable-gpu disable-quic no-first-run disable-background-networking disable-component-update disable-sync';
  const { stdout } = await promisify(execFile)(
    CHROMIUM,
    [
      ...switches.split(' ').map((name) => `--${name}`),
      `--user-data-dir=${join(folder, 'profile')}`,
      '--dump-dom',
      pathToFileURL(path).href,
    ],
    { timeout: 60_000 },
  );
  const title = /<title>([^<]*)<\/title>/.exec(stdout)?.[1] ?? '';
  const cell = z.object({ text: z.string(), left: z.number(), right: z.number(), height: z.number() });
  const measured = z.object({ scrollWidth: z.number(), cells: z.array(cell) });
  return measured.parse(JSON.parse(decodeURIComponent(atob(title))));
}
