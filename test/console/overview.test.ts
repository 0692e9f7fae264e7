// The overview in a browser: what callers do shows within two seconds, an overload too.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import type { Browser } from 'playwright-core';
import { NEEDS_CHROMIUM, openBrowser } from '../support/browser.ts';
import { createDatabase } from '../support/database.ts';
import { request, type Service, startService } from '../support/service.ts';
import { openConsole, SCHEMES, WIDTHS } from './console-page.ts';

/** How soon a page must show what happened. */
const SHOWN_MS = 2000;
/** A flood on a busy machine takes a while to begin. */
const SEEN_MS = 20_000;

let service: Service;
let browser: Browser;

before(async (t) => {
  const database = await createDatabase(t);
  service = await startService(t, { database, env: { MAX_QUEUE: '2', LOG_LEVEL: 'warn' } });
  browser = await openBrowser(t);
  const opened = await request(service, 'POST', '/accounts', { account_number: 'ANN', name: 'Ann' });
  assert.equal(opened.status, 201, opened.text);
});

test('console: an ordered transfer shows within two seconds', NEEDS_CHROMIUM, async () => {
  const { page } = await openConsole(browser, service.url);
  await page.getByRole('heading', { name: 'Latest transfers' }).waitFor();
  const ordered = await request(service, 'POST', '/transfers', {
    from_account: '@external',
    to_account: 'ANN',
    amount: 5,
  });
  assert.equal(ordered.status, 202, ordered.text);
  const id = String(ordered.body['id']);
  await page.getByRole('link', { name: id.slice(-8) }).waitFor({ timeout: SHOWN_MS });
});

test('console: an overload is seen while it happens', NEEDS_CHROMIUM, async () => {
  const { page } = await openConsole(browser, service.url);
  await page.getByText('Settled per second').waitFor();
  const one = { from_account: '@external', to_account: 'ANN', amount: 1 };
  const flood = new AbortController();
  const seen = page
    .getByText('requests a second are refused with 429')
    .waitFor({ timeout: SEEN_MS })
    .finally(() => flood.abort());
  let refused = 0;
  while (!flood.signal.aborted) {
    const answers = await Promise.all(Array.from({ length: 50 }, () => request(service, 'POST', '/transfers', one)));
    refused += answers.filter(({ status }) => status === 429).length;
  }
  await seen;
  assert.ok(refused > 0);
});

for (const width of WIDTHS) {
  for (const scheme of SCHEMES) {
    test(`console: the overview is accessible and clean at ${width} px, ${scheme}`, NEEDS_CHROMIUM, async () => {
      const { page, assertClean } = await openConsole(browser, service.url, { width, scheme });
      await page.getByText('Settled since the start').waitFor();
      await page.locator('.plot canvas').first().waitFor();
      await assertClean();
    });
  }
}
