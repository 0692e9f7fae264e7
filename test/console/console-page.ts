// A page of the console in Chromium, watched: it may ask only its own origin, and must not break its policy.
import assert from 'node:assert/strict';
import type { Browser, Page } from 'playwright-core';
import { z } from 'zod';
import { axeViolations } from '../support/browser.ts';

/** The sizes at which each page is looked at: a phone, and a screen. */
export const WIDTHS = [390, 1280] as const;
export const SCHEMES = ['light', 'dark'] as const;

const sizes = z.tuple([z.number(), z.number()]);

export type ConsolePage = {
  readonly page: Page;
  /** Fails if the page asked another origin, broke its policy, threw, or is wider than its window. */
  readonly assertClean: () => Promise<void>;
};

export async function openConsole(
  browser: Browser,
  url: string,
  {
    width = 1280,
    scheme = 'light',
    key = null,
  }: { width?: number; scheme?: 'light' | 'dark'; key?: string | null } = {},
): Promise<ConsolePage> {
  const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme: scheme });
  const page = await context.newPage();
  const flaws: string[] = [];
  const { origin } = new URL(url);
  page.on('request', (request) => {
    const asked = new URL(request.url());
    if (asked.protocol !== 'data:' && asked.protocol !== 'blob:' && asked.origin !== origin)
      flaws.push(`asked ${asked.href}`);
  });
  page.on('pageerror', (error) => flaws.push(`threw ${error.message}`));
  page.on('console', (message) => {
    if (/content security policy|trusted ?type/i.test(message.text())) flaws.push(message.text());
  });
  if (key !== null) await page.addInitScript(`sessionStorage.setItem('gopherpay.key:/', ${JSON.stringify(key)})`);
  await page.goto(url);
  return {
    page,
    async assertClean() {
      assert.deepEqual(flaws, []);
      const [wide, window] = sizes.parse(await page.evaluate('[document.documentElement.scrollWidth, innerWidth]'));
      assert.ok(wide <= window, `the page is ${wide} px wide in a window of ${window} px`);
      assert.deepEqual(await axeViolations(page), []);
    },
  };
}

/** Looks at an open page in each size and color scheme. */
export async function forEachLook(page: Page, look: () => Promise<void>): Promise<void> {
  for (const width of WIDTHS) {
    for (const colorScheme of SCHEMES) {
      await page.setViewportSize({ width, height: 900 });
      await page.emulateMedia({ colorScheme });
      await look();
    }
  }
}
