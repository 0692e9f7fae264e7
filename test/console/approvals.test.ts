// Four eyes in a browser: a request above the limit is approved or rejected by the holder of another key, and not by the one
// who sent it. And the console with a key of one ledger, which sees no other.
import assert from 'node:assert/strict';
import { before, test, type TestContext } from 'node:test';
import type { Browser } from 'playwright-core';
import { NEEDS_CHROMIUM, openBrowser } from '../support/browser.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { makeKey, type TestKey } from '../support/keys.ts';
import { checkPromises } from '../support/promises/check.ts';
import { request, type Service, startProgram, startService } from '../support/service.ts';
import { until } from '../support/until.ts';
import { forEachLook, openConsole } from './console-page.ts';

const READ_SCOPES = ['accounts:read', 'transfers:read', 'events:read', 'statements:read', 'webhooks:read'] as const;

let database: TestDatabase;
let service: Service;
let browser: Browser;
let first: TestKey;
let second: TestKey;

before(async (t) => {
  database = await createDatabase(t);
  first = await makeKey(database);
  second = await makeKey(database);
  const rule = await startProgram(t, { database, args: ['approval-rule', '--above=100'] });
  assert.equal((await rule.exited).code, 0, rule.output());
  service = await startService(t, { database, env: { THREADS: '1', LOG_LEVEL: 'warn' } });
  browser = await openBrowser(t);
  await post('/accounts', { account_number: 'ANN', name: 'Ann', currency: 'EUR' });
});

async function post(path: string, body: object): Promise<Record<string, unknown>> {
  const answer = await request(service, 'POST', path, body, { prefer: 'wait=10', ...first.headers });
  assert.ok(answer.status < 300, answer.text);
  return answer.body;
}

async function ask(amount: number): Promise<string> {
  const body = { from_account: '@external', to_account: 'ANN', amount, currency: 'EUR', description: 'Top-up' };
  return String((await post('/transfers', body))['approval_id']);
}

async function balance(): Promise<unknown> {
  return (await request(service, 'GET', '/accounts/ANN', undefined, first.headers)).body['balance'];
}

async function open(t: TestContext, place: string, key: TestKey): ReturnType<typeof openConsole> {
  const opened = await openConsole(browser, `${service.url}/#/${place}`, { key: key.text });
  t.after(async () => {
    if (!t.passed) t.diagnostic(await opened.page.locator('body').innerText());
    await opened.page.context().close();
  });
  return opened;
}

test('console: a pending request is approved by the holder of another key, and executed', NEEDS_CHROMIUM, async (t) => {
  const id = await ask(700);
  const { page, assertClean } = await open(t, 'main/approvals?state=pending', second);
  await page.getByRole('link', { name: 'transfer of 7.00 EUR' }).click();
  await page.getByText(first.id).first().waitFor();
  await forEachLook(page, assertClean);
  const before = await balance();
  await page.getByRole('button', { name: 'Approve …' }).click();
  const dialog = page.getByRole('dialog', { name: 'Approve the request?' });
  await dialog.getByText(`requested by ${first.id}`).waitFor();
  await forEachLook(page, assertClean);
  await dialog.getByRole('button', { name: 'Cancel' }).click();
  assert.equal(await balance(), before);
  await page.getByRole('button', { name: 'Approve …' }).click();
  await dialog.getByRole('button', { name: 'Approve', exact: true }).click();
  await dialog.getByText('The request is approved.').waitFor();
  await dialog.getByRole('link', { name: 'See its story' }).waitFor();
  await dialog.getByRole('button', { name: 'Close' }).click();
  await page.getByRole('table', { name: 'Transfers', exact: true }).getByText('7.00 EUR').waitFor();
  await page.locator('main').getByText(second.id).waitFor();
  assert.equal(await page.getByRole('button', { name: /Approve|Reject/ }).count(), 0);
  assert.equal(await balance(), Number(before) + 700);
  const { body } = await request(service, 'GET', `/approvals/${id}`, undefined, first.headers);
  assert.deepEqual([body['state'], body['decided_by']], ['approved', second.id]);
});

test('console: a rejected request moves nothing, and can no longer be decided', NEEDS_CHROMIUM, async (t) => {
  const id = await ask(800);
  const before = await balance();
  const { page } = await open(t, `main/approvals/${id}`, second);
  await page.getByRole('button', { name: 'Reject …' }).click();
  const dialog = page.getByRole('dialog', { name: 'Reject the request?' });
  await dialog.getByRole('button', { name: 'Reject', exact: true }).click();
  await dialog.getByText('The request is rejected.').waitFor();
  await dialog.getByRole('button', { name: 'Close' }).click();
  await page.locator('.badge', { hasText: 'rejected' }).waitFor();
  assert.equal(await page.getByRole('button', { name: /Approve|Reject/ }).count(), 0);
  assert.equal(await balance(), before);
});

test('console: who sent a request may reject it, and is not offered to approve it', NEEDS_CHROMIUM, async (t) => {
  const id = await ask(900);
  const { page } = await open(t, `main/approvals/${id}`, first);
  await page.getByRole('button', { name: 'Reject …' }).waitFor();
  assert.equal(await page.getByRole('button', { name: /Approve/ }).count(), 0);
});

test('console: a decision that another person made first is reported', NEEDS_CHROMIUM, async (t) => {
  const id = await ask(950);
  const { page } = await open(t, `main/approvals/${id}`, second);
  await page.getByRole('button', { name: 'Approve …' }).click();
  const dialog = page.getByRole('dialog', { name: 'Approve the request?' });
  const rejected = await request(service, 'POST', `/approvals/${id}`, { decision: 'reject' }, first.headers);
  assert.equal(rejected.status, 200, rejected.text);
  await dialog.getByRole('button', { name: 'Approve', exact: true }).click();
  await dialog.getByRole('alert').getByText('approval_decided').waitFor();
});

test('console: a key of one ledger sees that ledger only, whatever a link says', NEEDS_CHROMIUM, async (t) => {
  await post('/ledgers', { name: 'shop' });
  await post('/ledgers/shop/accounts', { account_number: 'TILL', name: 'Till', currency: 'EUR' });
  const [shop] = await database.query<{ id: number }>("select id::integer from ledgers where name = 'shop'");
  assert.ok(shop);
  const own = await makeKey(database, { scopes: READ_SCOPES, ledger: { id: shop.id, name: 'shop' } });
  const knows = async () => (await request(service, 'GET', '/access', undefined, own.headers)).status === 200;
  await until(knows, { timeoutMs: 10_000, what: 'the key to be known' });
  const { page, assertClean } = await open(t, '', own);
  const refused: string[] = [];
  page.on('response', (response) => {
    if (response.status() >= 400) refused.push(`${response.status()} ${response.url()}`);
  });
  const asked: string[] = [];
  page.on('request', (sent) => asked.push(new URL(sent.url()).pathname));
  await page.reload();
  const navigation = page.getByRole('navigation', { name: 'Pages' });
  await navigation.waitFor();
  assert.equal(await page.getByRole('combobox', { name: 'Ledger' }).count(), 0);
  await page.locator('.side').getByText('shop').waitFor();
  for (const [place, shows] of [
    ['main', 'Latest transfers'],
    ['main/accounts', 'TILL'],
    ['main/transfers', 'All transfers'],
    ['main/journal', 'The end of the chain'],
    ['main/ledgers', 'shown now'],
    ['main/webhooks', 'No webhook is registered'],
    ['main/approvals', 'No request needed an approval'],
    ['main/audit-log', 'Audit log'],
  ] as const) {
    await page.goto(`${service.url}/#/${place}`);
    await page.locator('main').getByText(shows).first().waitFor();
    assert.equal(await page.getByRole('alert').count(), 0, place);
    assert.equal(await page.getByRole('button', { name: /…$/ }).count(), 0, place);
    assert.equal(await page.locator('main').getByText('ANN').count(), 0, place);
    await assertClean();
  }
  const ledgers = page.getByRole('table', { name: 'Ledgers' });
  await navigation.getByRole('link', { name: 'Ledgers' }).click();
  await ledgers.getByText('shown now').waitFor();
  assert.deepEqual(await ledgers.getByRole('rowheader').allInnerTexts(), ['shop shown now']);
  assert.deepEqual(refused, []);
  const foreign = asked.filter((path) =>
    /^\/(?:ledgers$|ledgers\/(?!shop(?:\/|$))|accounts|transfers|journal|activity)/.test(path),
  );
  assert.deepEqual(foreign, []);
});

test('console: the books are whole after all that', async () => await checkPromises(database));
