// Makes a picture of each page of the console at the width of a phone and of a screen, from the books of demo.ts.
// `npm run screenshots` writes those of docs/images again; otherwise they go to a folder of the system, to be looked at.
import assert from 'node:assert/strict';
import { readFileSync, globSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import type { Browser } from 'playwright-core';
import { NEEDS_CHROMIUM, openBrowser, screenshot } from '../support/browser.ts';
import { createDatabase } from '../support/database.ts';
import { startReceiver } from '../support/receiver.ts';
import { request, type Service, startService } from '../support/service.ts';
import { openConsole, WIDTHS } from './console-page.ts';
import { DEMO_LEDGER, makeDemo } from './demo.ts';

const ROOT = join(import.meta.dirname, '../..');

/** The pages, by the name of their picture: the place, and a text that shows once the page is whole. */
const PAGES: Readonly<Record<string, { place: string; shows: string; scheme?: 'dark' }>> = {
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

for (const [name, { place, shows, scheme = 'light' }] of Object.entries(PAGES)) {
  for (const width of WIDTHS) {
    test(`console: the page ${name} is drawn at ${width} px`, NEEDS_CHROMIUM, async () => {
      const where = place.replace('CUSTOMER', demo.customer).replace('TRANSFER', demo.transferId);
      const { page, assertClean } = await openConsole(browser, `${service.url}/#/${DEMO_LEDGER}${where}`, {
        width,
        scheme,
      });
      await page.getByText(shows).first().waitFor();
      await screenshot(page, `console-${name}-${width}`);
      await assertClean();
    });
  }
}

test('docs: each picture is of a page of the console, or of a report', () => {
  const named = new Set(globSync('docs/images/*.png', { cwd: ROOT }));
  const shown = new Set(
    ['README.md', ...globSync('docs/*.md', { cwd: ROOT })].flatMap((file) =>
      [...readFileSync(join(ROOT, file), 'utf8').matchAll(/!\[[^\]]+\]\((?:docs\/)?(images\/[\w-]+\.png)\)/g)].map(
        ([, path]) => `docs/${path}`,
      ),
    ),
  );
  assert.deepEqual([...named].toSorted(), [...shown].toSorted(), 'pictures, and what the documents show');
});
