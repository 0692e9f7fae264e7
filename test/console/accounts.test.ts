// The pages of accounts in a browser: the list with its filters and totals, and one account with its curve and history.
import assert from 'node:assert/strict';
import { before, test, type TestContext } from 'node:test';
import type { Browser } from 'playwright-core';
import { NEEDS_CHROMIUM, openBrowser } from '../support/browser.ts';
import { createDatabase } from '../support/database.ts';
import { request, type Service, startService } from '../support/service.ts';
import { forEachLook, openConsole } from './console-page.ts';

const MARKUP = '<img src=x onerror="document.title=1"> <script>document.title=2</script>';
const LONG = 'w'.repeat(100);

let service: Service;
let browser: Browser;

before(async (t) => {
  service = await startService(t, { database: await createDatabase(t), env: { THREADS: '1', LOG_LEVEL: 'warn' } });
  browser = await openBrowser(t);
  const metadata = { note: MARKUP, long: LONG };
  await post('/accounts', { account_number: 'ANN', name: 'Ann', currency: 'EUR', balance: 100_000 });
  await post('/accounts', { account_number: 'EVIL', name: `${MARKUP} שלום ${LONG}`, currency: 'EUR', metadata });
  await post('/accounts', { account_number: 'YEN', name: 'Yuki', currency: 'JPY', balance: 5000 });
  await post('/holds', { from_account: 'ANN', to_account: 'EVIL', amount: 700 });
  for (let index = 0; index < 3; index += 1) {
    await post('/transfers', { from_account: 'ANN', to_account: 'EVIL', amount: 1000 });
  }
});

async function post(path: string, body: Record<string, unknown>): Promise<void> {
  const answer = await request(service, 'POST', path, body, { prefer: 'wait=10' });
  assert.ok(answer.status < 300, answer.text);
}

async function open(t: TestContext, place: string): ReturnType<typeof openConsole> {
  const opened = await openConsole(browser, `${service.url}/#/main/${place}`);
  t.after(async () => {
    if (!t.passed) t.diagnostic(await opened.page.locator('body').innerText());
    // A page that stays open would go on reading.
    await opened.page.context().close();
  });
  return opened;
}

test('console: accounts show the trial balance, and filters from the address', NEEDS_CHROMIUM, async (t) => {
  const { page } = await open(t, 'accounts');
  await page.getByText('All balances together are zero in every currency').waitFor();
  const totals = page.getByRole('region', { name: 'Trial balance' });
  assert.deepEqual(await totals.getByRole('rowheader').allInnerTexts(), ['EUR', 'JPY']);
  await totals.getByText('−1,000.00 EUR').waitFor();
  await page.getByLabel('Currency').fill('JPY');
  await page.getByLabel('Currency').press('Enter');
  const list = page.getByRole('table', { name: 'Accounts' });
  await list.getByRole('link', { name: 'ANN' }).waitFor({ state: 'detached' });
  // Until the filtered accounts are read, the table is empty.
  await list.getByRole('link', { name: 'YEN' }).waitFor();
  assert.match(page.url(), /accounts\?currency=JPY$/);
  assert.deepEqual(await list.getByRole('rowheader').allInnerTexts(), ['@external', 'YEN']);
  await page.goBack();
  await list.getByRole('link', { name: 'ANN' }).waitFor();
});

test('console: the search goes straight to an account', NEEDS_CHROMIUM, async (t) => {
  const { page } = await open(t, 'accounts');
  await page.getByLabel('Account number').fill(' ANN ');
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'ANN', level: 1 }).waitFor();
});

test('console: a number without an account says so', NEEDS_CHROMIUM, async (t) => {
  const { page } = await open(t, 'accounts/NONE');
  await page.getByRole('alert').getByText('account_not_found').waitFor();
});

test('console: an account shows its balance, curve, entries and holds, and follows them', NEEDS_CHROMIUM, async (t) => {
  const { page } = await open(t, 'accounts/ANN');
  await page.getByRole('img', { name: 'Balance: balance, latest 970.00 EUR' }).waitFor();
  await page.locator('.plot canvas').waitFor();
  const entries = page.getByRole('table', { name: /Entries/ });
  assert.equal(await entries.getByRole('rowheader').first().innerText(), '4');
  await page.getByRole('table', { name: /Holds/ }).getByText('open').waitFor();
  await post('/transfers', { from_account: 'EVIL', to_account: 'ANN', amount: 5 });
  await entries.getByRole('cell', { name: '970.05 EUR' }).waitFor();
  await page.getByRole('img', { name: 'Balance: balance, latest 970.05 EUR' }).waitFor();
  await page.getByRole('button', { name: 'week' }).click();
  await page.getByText('5 entries in this period.').waitFor();
});

test('console: @external asks for its currency', NEEDS_CHROMIUM, async (t) => {
  const { page } = await open(t, 'accounts/@external');
  await page.getByRole('link', { name: 'JPY' }).click();
  await page.getByText('−5,000 JPY').first().waitFor();
  await page.getByText('no limit').waitFor();
  assert.equal(await page.getByRole('button', { name: /Freeze/ }).count(), 0);
});

test('console: a statement is saved in each form', NEEDS_CHROMIUM, async (t) => {
  const { page } = await open(t, 'accounts/ANN');
  const month = new Date().toISOString().slice(0, 7);
  for (const [name, ending] of [
    ['Page to print', 'html'],
    ['CSV', 'csv'],
    ['JSON', 'json'],
  ]) {
    const saved = page.waitForEvent('download');
    await page.getByRole('button', { name: `Save as ${name}` }).click();
    assert.equal((await saved).suggestedFilename(), `ANN-EUR-${month}.${ending}`);
  }
});

test('console: a statement is shown for a month, and its address is kept', NEEDS_CHROMIUM, async (t) => {
  const { page, assertClean } = await open(t, 'accounts/YEN');
  const month = new Date().toISOString().slice(0, 7);
  await page.getByRole('button', { name: 'Show', exact: true }).click();
  await page.waitForURL(new RegExp(`accounts/YEN\\?currency=JPY&statement=${month}$`));
  const table = page.getByRole('table', { name: /Entries of the statement/ });
  const heads = table.getByRole('rowheader');
  await heads.first().waitFor();
  assert.deepEqual(await heads.allInnerTexts(), ['Opening balance', '1', 'Closing balance']);
  assert.deepEqual(
    (await table.getByRole('row').allInnerTexts()).slice(1).map((text) => text.split('\t').at(-1)),
    ['0 JPY', '5,000 JPY', '5,000 JPY'],
  );
  const figures = page.locator('.figures').last();
  assert.match((await figures.innerText()).replaceAll('\n', ' '), /Opening balance 0 JPY.* In 5,000 JPY.* Out 0 JPY/);
  await page.getByText('not final').waitFor();
  await page.reload();
  await forEachLook(page, async () => {
    await table.waitFor();
    await assertClean();
  });
  await table.getByRole('link', { name: '@external' }).click();
  await page.getByRole('heading', { level: 1, name: '@external' }).waitFor();
  await page.goBack();
  await table.getByRole('link', { name: /^transfer/ }).click();
  await page.getByRole('heading', { level: 1, name: 'Transfer of 5,000 JPY' }).waitFor();
});

test(
  'console: a statement of a month before the account is empty, and one of the future says so',
  NEEDS_CHROMIUM,
  async (t) => {
    const { page } = await open(t, 'accounts/ANN?currency=EUR&statement=2020-01');
    const table = page.getByRole('table', { name: /Entries of the statement/ });
    await table.waitFor();
    assert.deepEqual(await table.getByRole('rowheader').allInnerTexts(), ['Opening balance', 'Closing balance']);
    await page.goto(`${service.url}/#/main/accounts/ANN?currency=EUR&statement=2999-01`);
    await page.getByRole('alert').getByText('The month 2999-01 has not begun').waitFor();
  },
);

test('console: an account is frozen and opened again', NEEDS_CHROMIUM, async (t) => {
  await post('/accounts', { account_number: 'ICE', name: 'Ice', currency: 'EUR' });
  const { page } = await open(t, 'accounts/ICE');
  for (const [button, state] of [
    ['Freeze', 'frozen'],
    ['Open', 'open'],
  ] as const) {
    await page.getByRole('button', { name: `${button} …` }).click();
    const dialog = page.getByRole('dialog', { name: `${button} ICE?` });
    await dialog.getByRole('button', { name: button, exact: true }).click();
    await dialog.getByText(`The account is ${state}.`).waitFor();
    assert.equal((await request(service, 'GET', '/accounts/ICE')).body['status'], state);
    await dialog.getByRole('button', { name: 'Close' }).click();
    await page.locator('.badge', { hasText: state }).waitFor();
  }
});

test('console: a dialog gives the focus back, and Escape closes it', NEEDS_CHROMIUM, async (t) => {
  const { page } = await open(t, 'accounts/ANN');
  const button = page.getByRole('button', { name: 'Freeze …' });
  await button.focus();
  await page.keyboard.press('Enter');
  await page.getByRole('dialog').waitFor();
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  assert.equal(await page.evaluate('document.activeElement.textContent.trim()'), 'Freeze …');
});

test('console: accounts are accessible and clean in each size and color', NEEDS_CHROMIUM, async (t) => {
  const { page, assertClean } = await open(t, 'accounts');
  await page.getByRole('link', { name: 'EVIL' }).waitFor();
  await page.getByText('All balances together are zero').waitFor();
  await forEachLook(page, assertClean);
  await page.goto(`${service.url}/#/main/accounts/EVIL`);
  await page.locator('.plot canvas').waitFor();
  await page.getByText(MARKUP).first().waitFor();
  await page.getByRole('table', { name: /Entries/ }).waitFor();
  await forEachLook(page, assertClean);
  assert.equal(await page.title(), 'EVIL – GopherPay');
});
