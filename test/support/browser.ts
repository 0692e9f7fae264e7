// Chromium for tests of pages, driven by playwright-core. It is Debian's own, as on CI: playwright-core downloads none.
import { existsSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Browser, chromium, type Page } from 'playwright-core';
import { z } from 'zod';
import { onEnd, type Scope } from './cleanup.ts';

const CHROMIUM = '/usr/bin/chromium';

/** For the options of a test that opens a browser. */
export const NEEDS_CHROMIUM = { skip: !existsSync(CHROMIUM) && 'needs Chromium' };

/** Starts Chromium, which is closed when the scope ends. Its sandbox does not run as root, which a container often is. */
export async function openBrowser(scope: Scope): Promise<Browser> {
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox', '--disable-gpu'] });
  onEnd(scope, async () => await browser.close());
  return browser;
}

const axeResult = z.object({
  violations: z.array(
    z.object({
      id: z.string(),
      impact: z.string().nullable(),
      help: z.string(),
      nodes: z.array(z.object({ html: z.string(), failureSummary: z.string().optional() })),
    }),
  ),
});

/** The serious and critical findings of axe-core in the page, one text each. No content security policy hinders it. */
export async function axeViolations(page: Page): Promise<string[]> {
  const source = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
  await page.evaluate(source);
  const { violations } = axeResult.parse(await page.evaluate('axe.run({ resultTypes: ["violations"] })'));
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .flatMap(({ id, help, nodes }) =>
      nodes.map(({ html, failureSummary = '' }) => `${id}: ${help}: ${html} ${failureSummary}`),
    );
}

/** Writes a PNG of the whole page into the folder of SCREENSHOTS, or one of the system's temporary folder. Returns its path. */
export async function screenshot(page: Page, name: string): Promise<string> {
  const folder = process.env['SCREENSHOTS'] ?? join(tmpdir(), 'gopherpay-screenshots');
  await mkdir(folder, { recursive: true });
  const path = join(folder, `${name}.png`);
  await page.screenshot({ path, fullPage: true, animations: 'disabled' });
  return path;
}
