// Makes a picture of each page of the console at the width of a phone and of a screen, from the books of demo.ts.
// `npm run screenshots` writes those of docs/images again; otherwise they go to a folder of the system, to be looked at.
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { before, test } from 'node:test';
import type { Browser } from 'playwright-core';
import { NEEDS_CHROMIUM, openBrowser, screenshot } from '../support/browser.ts';
import { createDatabase } from '../support/database.ts';
import { startReceiver } from '../support/receiver.ts';
import { request, type Service, startService } from '../support/service.ts';
import { openConsole, WIDTHS } from './console-page.ts';
import { DEMO_LEDGER, makeDemo } from './demo.ts';

const ROOT = join(import.meta.dirname, '../..');
const IMAGES = join(ROOT, 'docs/images');
/** Whether the pictures of the documents are to be made again. */
const UPDATES = process.env['UPDATE_SCREENSHOTS'] === '1';
/** How long transfers are ordered while the overview is open, so that its charts have something to show. */
const LOAD_MS = 8000;

/** The pages, by the name of their picture: the place or the path, and a text that shows once the page is whole. */
const PAGES: Readonly<Record<string, { place?: string; path?: string; shows: string; scheme?: 'dark' }>> = {
  overview: { place: '', shows: 'Settled since the start', scheme: 'dark' },
  accounts: { place: '/accounts', shows: 'CUST-1001' },
  account: { place: '/accounts/CUSTOMER?currency=EUR', shows: 'Balance' },
  transfers: { place: '/transfers', shows: 'SHOP-EUR' },
  transfer: { place: '/transfers/TRANSFER', shows: 'completed' },
  journal: { place: '/journal', shows: 'verified' },
  ledgers: { place: '/ledgers', shows: 'manual' },
  webhooks: { place: '/webhooks', shows: 'enabled' },
  approvals: { place: '/approvals', shows: 'No request' },
  'audit-log': { place: '/audit-log', shows: 'clock_advanced' },
  interface: { path: '/docs#createTransfer', shows: 'Create a transfer' },
  'journal-row': { place: '/journal/40', shows: 'Recomputed' },
};

let service: Service;
let browser: Browser;
let demo: Awaited<ReturnType<typeof makeDemo>>;

before(async (t) => {
  const database = await createDatabase(t);
  service = await startService(t, { database, env: { WEBHOOK_TARGETS: 'any', LOG_LEVEL: 'warn' } });
  browser = await openBrowser(t);
  const { url } = await startReceiver(t);
  demo = await makeDemo(service);
  const hook = await request(service, 'POST', `/ledgers/${DEMO_LEDGER}/webhooks`, { url, description: 'Accounting' });
  assert.equal(hook.status, 201, hook.text);
});

for (const [name, { place = '', path, shows, scheme = 'light' }] of Object.entries(PAGES)) {
  for (const width of WIDTHS) {
    test(`console: the page ${name} is drawn at ${width} px`, NEEDS_CHROMIUM, async () => {
      const where = place.replace('CUSTOMER', demo.customer).replace('TRANSFER', demo.transferId);
      const at = `${service.url}${path ?? `/#/${DEMO_LEDGER}${where}`}`;
      const { page, assertClean } = await openConsole(browser, at, { width, scheme });
      await page.getByText(shows).first().waitFor();
      if (UPDATES && name === 'overview') await orderTransfers();
      await screenshot(page, `console-${name}-${width}`);
      const picture = join(IMAGES, `console-${name}-${width}.png`);
      if (UPDATES && shownPictures().has(relative(ROOT, picture))) await page.screenshot({ path: picture });
      await assertClean();
    });
  }
}

test('docs: each picture is shown by a document', () => {
  const made = globSync('docs/images/*.png', { cwd: ROOT });
  assert.deepEqual(made.toSorted(), [...shownPictures()].toSorted());
});

/** The paths of the pictures that documents show. */
function shownPictures(): Set<string> {
  const documents = ['README.md', ...globSync('docs/*.md', { cwd: ROOT })];
  const paths = documents.flatMap((file) =>
    [...readFileSync(join(ROOT, file), 'utf8').matchAll(/!\[[^\]]+\]\((?:docs\/)?(images\/[\w-]+\.png)\)/g)].map(
      ([, path = '']) => `docs/${path}`,
    ),
  );
  return new Set(paths);
}

async function orderTransfers(): Promise<void> {
  const body = { from_account: '@external', to_account: 'SHOP-EUR', amount: 1250, currency: 'EUR' };
  const end = performance.now() + LOAD_MS;
  for (let count = 20; performance.now() < end; count = (count * 7) % 60) {
    const path = `/ledgers/${DEMO_LEDGER}/transfers`;
    await Promise.all(Array.from({ length: 10 + count }, () => request(service, 'POST', path, body)));
  }
}
