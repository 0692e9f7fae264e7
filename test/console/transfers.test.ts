// The pages of transfers in a browser: the list that follows what happens, its filters, and the story of each transfer.
import assert from 'node:assert/strict';
import { before, test, type TestContext } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { NEEDS_CHROMIUM, openBrowser } from '../support/browser.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { makeKey, type TestKey } from '../support/keys.ts';
import { checkPromises } from '../support/promises/check.ts';
import { awaitFinal, request, type Service, startService } from '../support/service.ts';
import { forEachLook, openConsole } from './console-page.ts';

/** How soon a page must show what happened. */
const SHOWN_MS = 2000;
const MARKUP = '<img src=x onerror="document.title=1"> <script>document.title=2</script>';
const LONG = 'w'.repeat(100);

let database: TestDatabase;
let service: Service;
let browser: Browser;
let key: TestKey;
let reader: TestKey;
/** One completed transfer, with hostile texts. */
let hostile: string;

before(async (t) => {
  database = await createDatabase(t);
  key = await makeKey(database);
  reader = await makeKey(database, { scopes: ['accounts:read', 'transfers:read', 'events:read'] });
  service = await startService(t, { database, env: { THREADS: '1', LOG_LEVEL: 'warn' } });
  browser = await openBrowser(t);
  await post('/accounts', { account_number: 'ANN', name: 'Ann', currency: 'EUR', balance: 100_000 });
  await post('/accounts', { account_number: 'BOB', name: 'Bob', currency: 'EUR' });
  hostile = await order({
    amount: 1234,
    description: `${MARKUP} שלום ${LONG}`,
    metadata: { note: MARKUP, long: LONG },
  });
});

async function post(path: string, body: Record<string, unknown>): Promise<Record<string, unknown>> {
  const answer = await request(service, 'POST', path, body, { ...key.headers, prefer: 'wait=10' });
  assert.ok(answer.status < 300, answer.text);
  return answer.body;
}

async function order(body: Record<string, unknown>): Promise<string> {
  return String((await post('/transfers', { from_account: 'ANN', to_account: 'BOB', ...body }))['id']);
}

/** Opens a place with the key of an owner, unless another is given. */
async function open(t: TestContext, place: string, options: { key?: string } = {}): ReturnType<typeof openConsole> {
  const opened = await openConsole(browser, `${service.url}/#/main/${place}`, { key: key.text, ...options });
  t.after(async () => {
    if (!t.passed) t.diagnostic(await opened.page.locator('body').innerText());
    // A page that stays open would go on reading.
    await opened.page.context().close();
  });
  return opened;
}

async function awaitText(page: Page, text: string | RegExp): Promise<void> {
  await page.getByText(text).first().waitFor();
}

test('console: a new transfer shows on the list within two seconds', NEEDS_CHROMIUM, async (t) => {
  const { page } = await open(t, 'transfers');
  await page.getByRole('link', { name: hostile.slice(-8) }).waitFor();
  const id = await order({ amount: 5 });
  await page.getByRole('link', { name: id.slice(-8) }).waitFor({ timeout: SHOWN_MS });
});

test('console: rows stay where they are while a person reads them', NEEDS_CHROMIUM, async (t) => {
  const { page } = await open(t, 'transfers');
  const row = page.getByRole('link', { name: hostile.slice(-8) });
  await row.hover();
  const place = await row.boundingBox();
  const id = await order({ amount: 6 });
  const show = page.getByRole('button', { name: 'Show 1 new' });
  await show.waitFor({ timeout: SHOWN_MS });
  assert.equal(await page.getByRole('link', { name: id.slice(-8) }).count(), 0);
  assert.equal((await row.boundingBox())?.x, place?.x);
  await show.click();
  await page.getByRole('link', { name: id.slice(-8) }).waitFor();
});

test('console: filters are in the address, and the back button undoes them', NEEDS_CHROMIUM, async (t) => {
  const failed = await order({ amount: 99_999_999 });
  const { page } = await open(t, 'transfers');
  await page.getByRole('link', { name: hostile.slice(-8) }).waitFor();
  await page.getByLabel('State').selectOption('failed');
  await page.getByLabel('Account', { exact: true }).fill('ANN');
  await page.getByRole('button', { name: 'Filter', exact: true }).click();
  await page.getByRole('link', { name: failed.slice(-8) }).waitFor();
  assert.match(page.url(), /#\/main\/transfers\?(?=.*account=ANN)(?=.*status=failed)/);
  assert.equal(await page.getByRole('link', { name: hostile.slice(-8) }).count(), 0);
  await page.reload();
  await page.getByRole('link', { name: failed.slice(-8) }).waitFor();
  assert.equal(await page.getByLabel('State').inputValue(), 'failed');
  await page.goBack();
  await page.getByRole('link', { name: hostile.slice(-8) }).waitFor();
  assert.equal(await page.getByLabel('State').inputValue(), '');
});

test('console: a filter that would read everything is explained, and narrowed', NEEDS_CHROMIUM, async (t) => {
  const { page } = await open(t, 'transfers?kind=hold');
  await page.getByRole('link', { name: 'the last day' }).click();
  await awaitText(page, 'There are no such transfers.');
  assert.match(page.url(), /kind=hold/);
  assert.match(page.url(), /since=/);
});

test('console: a story shows its request, key, entries and journal row', NEEDS_CHROMIUM, async (t) => {
  const id = await order({ amount: 777 });
  const transfer = await awaitFinal({ ...service, headers: key.headers }, id);
  const { page, assertClean } = await open(t, `transfers/${id}`);
  await awaitText(page, '−7.77 EUR');
  const text = await page.locator('main').innerText();
  const { body } = await request(service, 'GET', '/accounts/BOB', undefined, key.headers);
  for (const part of [
    'Transfer of 7.77 EUR',
    id,
    String(transfer['request_id']),
    key.id,
    `journal row ${String(transfer['journal_number'])}`,
    `entry ${String(body['entry_count'])}: 7.77 EUR`,
    'Completed',
  ]) {
    assert.ok(text.includes(part), `the story has ${part}:\n${text}`);
  }
  const row = page.getByRole('link', { name: `journal row ${String(transfer['journal_number'])}` });
  assert.equal(await row.getAttribute('href'), `#/main/journal/${String(transfer['journal_number'])}`);
  await assertClean();
});

test('console: a refused transfer says why in words', NEEDS_CHROMIUM, async (t) => {
  const { page } = await open(t, `transfers/${await order({ amount: 99_999_999 })}`);
  await awaitText(page, 'The sender has less available than the amount.');
  await awaitText(page, 'insufficient_funds');
});

test('console: a conversion shows its rate and its group', NEEDS_CHROMIUM, async (t) => {
  await post('/accounts', { account_number: 'USA', name: 'Sam', currency: 'USD' });
  const group = await post('/transfers', {
    atomic: true,
    transfers: [
      { from_account: 'ANN', to_account: '@external', amount: 1000, currency: 'EUR' },
      { from_account: '@external', to_account: 'USA', currency: 'USD', conversion: { of: 0, rate: '1.1' } },
    ],
  });
  const [first] = Array.isArray(group['transfers']) ? group['transfers'] : [];
  const { page } = await open(t, `transfers/${String(Object(first).id)}`);
  await awaitText(page, '1 EUR = 1.1 USD');
  await page.getByRole('heading', { name: 'Its group' }).waitFor();
  await page.getByRole('table').getByText('11.00 USD').waitFor();
});

test('console: a transfer is reversed by a dialog, once', NEEDS_CHROMIUM, async (t) => {
  const id = await order({ amount: 2000 });
  const { page } = await open(t, `transfers/${id}`);
  await page.getByRole('button', { name: 'Reverse …' }).click();
  const dialog = page.getByRole('dialog', { name: 'Reverse the transfer?' });
  const amount = dialog.getByLabel('Amount in EUR');
  assert.equal(await amount.inputValue(), '20.00');
  await amount.fill('1,50');
  await dialog.getByRole('button', { name: 'Reverse' }).click();
  await dialog.getByText('Write the amount in EUR').waitFor();
  await amount.fill('1.5');
  await dialog.getByRole('button', { name: 'Reverse' }).dblclick();
  await dialog.getByText('It is completed.').waitFor();
  const { body } = await request(service, 'GET', `/transfers?parent_id=${id}`, undefined, key.headers);
  const items: unknown[] = Array.isArray(body['items']) ? body['items'] : [];
  assert.deepEqual(
    items.map((item) => [Object(item).kind, Object(item).amount]),
    [['reversal', 150]],
  );
  await dialog.getByRole('link', { name: 'See its story' }).click();
  await awaitText(page, 'Reversal of 1.50 EUR');
  assert.equal(await page.getByRole('dialog').count(), 0);
});

test('console: a transfer is tried without doing it, and then ordered', NEEDS_CHROMIUM, async (t) => {
  const { page } = await open(t, 'transfers?account=ANN&currency=EUR');
  await page.getByRole('button', { name: 'Order a transfer …' }).click();
  const dialog = page.getByRole('dialog', { name: 'New transfer' });
  assert.equal(await dialog.getByLabel('From account').inputValue(), 'ANN');
  await dialog.getByLabel('To account').fill('BOB');
  await dialog.getByLabel('Amount').fill('999999');
  await dialog.getByRole('button', { name: 'Try without doing it' }).click();
  await dialog.getByText('It would be refused').waitFor();
  await dialog.getByLabel('Amount').fill('3.21');
  await dialog.getByRole('button', { name: 'Try without doing it' }).click();
  await dialog.getByText('It would be completed. Nothing was done yet.').waitFor();
  await dialog.getByRole('button', { name: 'Order a transfer', exact: true }).click();
  await dialog.getByText('It is completed.').waitFor();
  await dialog.getByRole('button', { name: 'Close' }).click();
  // The pointer is over the list, which waits for it to leave.
  await page.mouse.move(0, 0);
  await awaitText(page, '3.21 EUR');
});

test('console: a hold is captured in part and voided from its story', NEEDS_CHROMIUM, async (t) => {
  const hold = await post('/holds', { from_account: 'ANN', to_account: 'BOB', amount: 5000 });
  const { page } = await open(t, `transfers/${String(hold['id'])}`);
  await page.getByRole('button', { name: 'Capture …' }).click();
  const capture = page.getByRole('dialog', { name: 'Capture the hold?' });
  await capture.getByLabel('Amount in EUR').fill('20');
  await capture.getByRole('button', { name: 'Capture', exact: true }).click();
  await capture.getByText('It is completed.').waitFor();
  await capture.getByRole('button', { name: 'Close' }).click();
  await page.getByRole('button', { name: 'Void …' }).click();
  const end = page.getByRole('dialog', { name: 'Void the hold?' });
  await end.getByRole('button', { name: 'Void', exact: true }).click();
  await end.getByText('It is completed.').waitFor();
  await end.getByRole('button', { name: 'Close' }).click();
  await awaitText(page, 'voided');
  assert.equal(await page.getByRole('button', { name: 'Capture …' }).count(), 0);
});

test('console: a key without the scopes sees no actions', NEEDS_CHROMIUM, async (t) => {
  const { page } = await open(t, `transfers/${hostile}`, { key: reader.text });
  await page.getByRole('button', { name: 'Copy the hash of the row' }).waitFor();
  assert.deepEqual(await page.locator('main button').allInnerTexts(), ['Copy', 'Copy']);
  await page.goto(`${service.url}/#/main/transfers`);
  await page.getByRole('link', { name: hostile.slice(-8) }).waitFor();
  assert.equal(await page.getByRole('button', { name: /Order/ }).count(), 0);
});

test('console: transfers are accessible and clean in each size and color', NEEDS_CHROMIUM, async (t) => {
  const { page, assertClean } = await open(t, 'transfers?account=ANN&currency=EUR');
  await page.getByRole('link', { name: hostile.slice(-8) }).waitFor();
  await forEachLook(page, assertClean);
  await page.getByRole('button', { name: 'Order a transfer …' }).click();
  await page.getByRole('dialog').waitFor();
  await forEachLook(page, assertClean);
  await page.keyboard.press('Escape');
  await page.goto(`${service.url}/#/main/transfers/${hostile}`);
  await awaitText(page, '−12.34 EUR');
  await awaitText(page, MARKUP);
  await forEachLook(page, assertClean);
  assert.equal(await page.title(), 'Transfer of 12.34 EUR – GopherPay');
});

test('console: the books are whole after all that', async () => await checkPromises(database));
