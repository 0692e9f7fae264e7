// The page /docs in a browser: every operation of the document, the search by keyboard, links, schemas that contain
// themselves, texts that are not to be trusted, and how it looks.
import assert from 'node:assert/strict';
import { before, test, type TestContext } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import type { OpenApi } from '../../src/console/reference/document.ts';
import { NEEDS_CHROMIUM, openBrowser, screenshot } from '../support/browser.ts';
import { createDatabase } from '../support/database.ts';
import { request, type Service, startService } from '../support/service.ts';
import { forEachLook, openConsole } from './console-page.ts';

const MARKUP = '<img src=x onerror="document.title=1"> `<b>code</b>`';

let service: Service;
let browser: Browser;

before(async (t) => {
  service = await startService(t, { database: await createDatabase(t), env: { THREADS: '1', LOG_LEVEL: 'warn' } });
  browser = await openBrowser(t);
});

async function open(t: TestContext, hash = ''): ReturnType<typeof openConsole> {
  const opened = await openConsole(browser, `${service.url}/docs${hash}`);
  t.after(async () => {
    if (!t.passed) t.diagnostic(await opened.page.locator('body').innerText());
    await opened.page.context().close();
  });
  await opened.page.locator('main h1').waitFor();
  return opened;
}

async function goTo(page: Page, hash: string): Promise<void> {
  await page.evaluate(`location.hash = ${JSON.stringify(hash)}`);
}

test(
  'reference: each operation has its parameters, its body, and every status with its headers',
  NEEDS_CHROMIUM,
  async (t) => {
    const api: OpenApi = JSON.parse((await request(service, 'GET', '/openapi.json')).text);
    const { page, assertClean } = await open(t);
    for (const [path, methods] of Object.entries(api.paths)) {
      for (const [method, { operationId: id, parameters = [], requestBody, responses }] of Object.entries(methods)) {
        await goTo(page, id);
        await page.getByRole('heading', { level: 1, name: `${method.toUpperCase()} ${path}`, exact: true }).waitFor();
        const main = page.locator('main');
        const statuses = await main.locator('.answer > summary > .badge').allInnerTexts();
        assert.deepEqual(statuses, Object.keys(responses), id);
        const text = (await main.textContent()) ?? '';
        for (const { name } of parameters) assert.ok(text.includes(name), `${id}: ${name}`);
        assert.equal(await main.getByRole('heading', { name: /^Body/, level: 2 }).count(), requestBody ? 1 : 0, id);
        assert.ok(text.includes('X-Request-ID'), id);
        assert.ok(text.includes('curl -sS'), id);
      }
    }
    await assertClean();
  },
);

test('reference: the keyboard finds an operation and opens it', NEEDS_CHROMIUM, async (t) => {
  const { page } = await open(t);
  await page.keyboard.press('Control+k');
  await page.keyboard.type('void hold');
  await page.getByText('1 operation', { exact: true }).waitFor();
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { level: 1, name: 'POST /holds/{id}/void' }).waitFor();
  assert.match(page.url(), /\/docs#voidHold$/);
  assert.equal(await page.evaluate('document.activeElement.tagName'), 'H1');
  assert.equal(await page.title(), 'POST /holds/{id}/void – Interface – GopherPay');
  await page.keyboard.press('Control+k');
  await page.keyboard.type('listWebhooks');
  await page.getByText('1 operation', { exact: true }).waitFor();
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { level: 1, name: 'GET /webhooks', exact: true }).waitFor();
  await page.keyboard.press('Control+k');
  await page.keyboard.press('Escape');
  await page.getByText(/^4\d operations$/).waitFor();
  await page.goBack();
  await page.getByRole('heading', { level: 1, name: 'POST /holds/{id}/void' }).waitFor();
});

test(
  'reference: a link leads to an operation or an object, and one of an earlier reference too',
  NEEDS_CHROMIUM,
  async (t) => {
    const { page } = await open(t, '#schema-Transfer');
    await page.getByRole('heading', { level: 1, name: 'Transfer' }).waitFor();
    await page
      .getByRole('link', { name: /\/transfers\/\{id\}$/ })
      .last()
      .click();
    await page.getByRole('heading', { level: 1, name: 'GET /transfers/{id}' }).waitFor();
    await goTo(page, '/Transfers/createTransfer');
    await page.getByRole('heading', { level: 1, name: 'POST /transfers', exact: true }).waitFor();
    for (const nothing of ['constructor', 'schema-constructor', '%']) {
      await goTo(page, nothing);
      await page.getByRole('heading', { level: 1, name: nothing === '%' ? 'Interface' : 'Nothing here' }).waitFor();
    }
  },
);

test('reference: an object opens where it is used', NEEDS_CHROMIUM, async (t) => {
  const { page } = await open(t, '#createTransfer');
  const body = page.getByRole('region', { name: 'Body' });
  assert.equal(await body.getByText('if_from_entry_number').count(), 0);
  await body.getByText('Members of NewTransfer').click();
  await body.getByText('from_account', { exact: true }).waitFor();
  await body.getByRole('link', { name: 'Metadata' }).first().click();
  await page.getByRole('heading', { level: 1, name: 'Metadata' }).waitFor();
});

test('reference: the command of an example is copied as it is shown', NEEDS_CHROMIUM, async (t) => {
  const { page } = await open(t, '#createTransfer');
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  await page.getByRole('button', { name: 'Copy the command' }).first().click();
  await page.getByRole('button', { name: 'Copy the command' }).getByText('Copied').waitFor();
  const copied = String(await page.evaluate('navigator.clipboard.readText()'));
  assert.equal(copied, await page.locator('.examples pre').first().innerText());
  assert.ok(copied.startsWith(`curl -sS '${service.url}/transfers'`), copied);
});

test('reference: where browsers have no clipboard, a command is copied in the older way', NEEDS_CHROMIUM, async (t) => {
  const { page } = await open(t, '#createTransfer');
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  await page.evaluate("navigator.clipboard.writeText = () => Promise.reject(new Error('refused'))");
  await page.getByRole('button', { name: 'Copy the command' }).first().click();
  await page.getByRole('button', { name: 'Copy the command' }).getByText('Copied', { exact: true }).waitFor();
  assert.match(String(await page.evaluate('navigator.clipboard.readText()')), /^curl -sS/);
});

test('reference: a schema that contains itself ends, and its texts are text', NEEDS_CHROMIUM, async (t) => {
  const tree = { $ref: '#/components/schemas/Tree' };
  const answer = { description: MARKUP, content: { 'application/json': { schema: tree } } };
  const made: OpenApi = {
    info: { title: MARKUP, version: '1' },
    tags: [{ name: 'Trees', description: MARKUP }],
    paths: { '/trees': { get: { operationId: 'x', tags: ['Trees'], summary: MARKUP, responses: { '200': answer } } } },
    components: {
      schemas: {
        Tree: { description: MARKUP, properties: { children: { type: 'array', items: tree } }, required: [] },
      },
    },
  };
  const { page, assertClean } = await openConsole(browser, `${service.url}/docs`);
  t.after(async () => await page.context().close());
  await page.route('**/openapi.json', async (route) => await route.fulfill({ json: made }));
  await page.goto(`${service.url}/docs#x`);
  await page.reload();
  await page.getByText('Members of Tree').click();
  await page.getByText('Tree contains itself; its members are above.').waitFor();
  await page.getByText('<img src=x').first().waitFor();
  assert.equal(await page.locator('main img').count(), 0);
  await goTo(page, '');
  await page.getByRole('heading', { level: 2, name: 'Trees' }).waitFor();
  assert.equal(await page.title(), 'Interface – GopherPay');
  await assertClean();
});

test('reference: it says so when the document cannot be read', NEEDS_CHROMIUM, async (t) => {
  const { page, assertClean } = await openConsole(browser, `${service.url}/docs`);
  t.after(async () => await page.context().close());
  await page.route('**/openapi.json', async (route) => await route.fulfill({ status: 503, body: '' }));
  await page.reload();
  await page.getByRole('alert').getByText('openapi.json was answered with 503.').waitFor();
  await assertClean();
});

test('reference: on a phone the list opens on request, and closes behind an operation', NEEDS_CHROMIUM, async (t) => {
  const { page } = await open(t);
  await page.setViewportSize({ width: 390, height: 844 });
  const link = page
    .getByRole('navigation', { name: 'Operations' })
    .getByRole('link', { name: 'GET /holds', exact: true });
  assert.equal(await link.isVisible(), false);
  await page.getByRole('button', { name: 'Show the list' }).click();
  await link.click();
  await page.getByRole('heading', { level: 1, name: 'GET /holds', exact: true }).waitFor();
  await link.waitFor({ state: 'hidden' });
});

test('reference: it is accessible and clean in each size and color', NEEDS_CHROMIUM, async (t) => {
  const { page, assertClean } = await open(t);
  for (const [name, hash, shows] of [
    ['start', '', 'Interface'],
    ['operation', 'createTransfer', 'POST /transfers'],
    ['schema', 'schema-Transfer', 'Transfer'],
  ] as const) {
    await goTo(page, hash);
    await page.getByRole('heading', { level: 1, name: shows, exact: true }).waitFor();
    await forEachLook(page, async () => {
      const { width } = page.viewportSize() ?? { width: 0 };
      const isDark = await page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches");
      await screenshot(page, `reference-${name}-${width}-${isDark === true ? 'dark' : 'light'}`);
      await assertClean();
    });
    // Again with everything open that opens.
    await page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true");
    await forEachLook(page, assertClean);
  }
});
