// The journal, ledgers and webhooks in a browser, with keys, on the books as they are and after a change that an owner of
// the database forged.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import type { Browser } from 'playwright-core';
import { Webhook } from 'standardwebhooks';
import { NEEDS_CHROMIUM, openBrowser } from '../support/browser.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { makeKey, type TestKey } from '../support/keys.ts';
import { type Received, type Receiver, startReceiver } from '../support/receiver.ts';
import { request, type Service, startService } from '../support/service.ts';
import { until } from '../support/until.ts';
import { openConsole, WIDTHS } from './console-page.ts';

const MARKUP = '<img src=x onerror="alert(1)">';

let database: TestDatabase;
let service: Service;
let browser: Browser;
let receiver: Receiver;
let key: TestKey;
let webhook: string;

before(async (t) => {
  database = await createDatabase(t);
  key = await makeKey(database);
  service = await startService(t, { database, env: { WEBHOOK_TARGETS: 'any', LOG_LEVEL: 'warn' } });
  browser = await openBrowser(t);
  receiver = await startReceiver(t);
  receiver.answer = (response) => void response.writeHead(500).end();
  await post('/accounts', { account_number: 'ANN', name: 'Ann', balance: 500 });
  webhook = String((await post('/webhooks', { url: receiver.url, description: MARKUP }))['id']);
  for (let amount = 1; amount <= 5; amount += 1) {
    await post('/transfers', { from_account: '@external', to_account: 'ANN', amount, description: MARKUP });
  }
  await post('/ledgers', { name: 'shop', clock: 'manual', now: '2026-01-15T10:00:00Z' });
});

async function post(path: string, body: object): Promise<Record<string, unknown>> {
  const answer = await request(service, 'POST', path, body, { prefer: 'wait=10', ...key.headers });
  assert.ok(answer.status < 300, answer.text);
  return answer.body;
}

const open = async (place: string, { width = 1280, scheme }: { width?: number; scheme?: 'dark' } = {}) =>
  await openConsole(browser, `${service.url}/#/${place}`, { width, ...(scheme && { scheme }), key: key.text });

// Light ones are judged where their pictures are made.
for (const width of WIDTHS) {
  test(`console: proof and webhooks are accessible and clean at ${width} px, dark`, NEEDS_CHROMIUM, async () => {
    for (const [place, shows] of [
      ['main/journal/4', 'Recomputed in this browser'],
      [`main/webhooks/${webhook}`, 'Only failed ones'],
    ] as const) {
      const { page, assertClean } = await open(place, { width, scheme: 'dark' });
      await page.getByText(shows).first().waitFor();
      await assertClean();
      await page.context().close();
    }
  });
}

test('console: the whole journal is verified, and the row is remembered', NEEDS_CHROMIUM, async () => {
  const { page, assertClean } = await open('main/journal');
  await page.getByRole('button', { name: 'Verify the whole journal' }).click();
  await page.getByText('The chain is whole').waitFor();
  await page.reload();
  await page.getByText('This browser verified the journal up to row').waitFor();
  await page.getByText('unchanged').waitFor();
  await assertClean();
});

test(
  'console: the picture of the chain begins at the newest row, also where it must be scrolled',
  NEEDS_CHROMIUM,
  async () => {
    const { page } = await open('main/journal', { width: 390 });
    const chain = page.getByRole('list', { name: 'The chain, the newest row first' });
    const [newest, oldest] = [chain.getByRole('listitem').first(), chain.getByRole('listitem').last()];
    await newest.waitFor();
    const isSeen = async (row: typeof newest): Promise<boolean> => {
      const [box, view] = [await row.boundingBox(), await chain.boundingBox()];
      assert.ok(box && view);
      return box.x >= view.x - 1 && box.x + box.width <= view.x + view.width + 1;
    };
    assert.equal(await isSeen(newest), true);
    assert.equal(await isSeen(oldest), false);
    await oldest.scrollIntoViewIfNeeded();
    assert.equal(await isSeen(oldest), true);
    // A chain that fits begins at the left of its card.
    await page.setViewportSize({ width: 1280, height: 900 });
    await page.goto(`${service.url}/#/main/journal/1`);
    const short = page.getByRole('list', { name: 'The row and its neighbors' });
    const row = await short.getByRole('listitem').last().boundingBox();
    const list = await short.boundingBox();
    assert.ok(row && list && row.x - list.x < 10, `${row?.x} is near ${list?.x}`);
  },
);

test('console: the verification of the journal is stopped, and goes no further', NEEDS_CHROMIUM, async () => {
  const { page, assertClean } = await open('main/journal');
  const asked: string[] = [];
  const answered = Promise.withResolvers<undefined>();
  // The service has too few rows for a second page, so the first one is held back until the button is pressed.
  await page.route(/\/journal\?.*order=oldest/, async (route) => {
    asked.push(route.request().url());
    await answered.promise;
    await route.continue().catch(() => undefined);
  });
  await page.getByRole('button', { name: 'Verify the whole journal' }).click();
  await page.getByText('Verifying: 0 rows').waitFor();
  await page.getByRole('button', { name: 'Stop', exact: true }).click();
  await page.getByText('Stopped after 0 rows').waitFor();
  answered.resolve(undefined);
  // Another read of the page is answered after the one that was held back.
  await page.waitForResponse(/\/journal\?limit=/);
  assert.equal(await page.getByText('The chain is whole').count(), 0);
  assert.equal(asked.length, 1);
  await assertClean();
  await page.unroute(/\/journal\?.*order=oldest/);
  await page.getByRole('button', { name: 'Verify the whole journal' }).click();
  await page.getByText('The chain is whole').waitFor();
});

test('console: a ledger is created, and chosen', NEEDS_CHROMIUM, async () => {
  const { page, assertClean } = await open('main/ledgers');
  await page.getByRole('button', { name: 'Create a ledger …' }).click();
  const dialog = page.getByRole('dialog', { name: 'Create a ledger?' });
  const create = dialog.getByRole('button', { name: 'Create a ledger', exact: true });
  await dialog.getByLabel('Name').fill('Not a Name');
  await create.click();
  // The browser refuses it: nothing was sent, so nothing came of it.
  assert.equal(await dialog.locator('input:invalid').count(), 1);
  await dialog.getByLabel('Name').fill('shop');
  await create.click();
  await dialog.getByRole('alert').getByText('ledger_exists').waitFor();
  await assertClean();
  await dialog.getByLabel('Name').fill('tenant-7');
  await dialog.getByLabel('With a test clock').check();
  await create.click();
  await dialog.getByText('The ledger tenant-7 exists.').waitFor();
  await dialog.getByRole('button', { name: 'Close' }).click();
  const row = page.getByRole('row', { name: /tenant-7/ });
  await row.getByText('manual').waitFor();
  const { body } = await request(service, 'GET', '/ledgers/tenant-7', undefined, key.headers);
  assert.equal(body['clock'], 'manual');
  await row.getByRole('link', { name: 'tenant-7' }).click();
  await page.waitForURL(/#\/tenant-7$/);
});

test('console: the secret of a webhook is rotated, and shown once', NEEDS_CHROMIUM, async () => {
  const made = await post('/webhooks', { url: receiver.url });
  const id = String(made['id']);
  const { page, assertClean } = await open(`main/webhooks/${id}`);
  await page.getByRole('button', { name: 'Rotate the secret …' }).click();
  const dialog = page.getByRole('dialog', { name: 'Rotate the secret?' });
  await dialog.getByRole('button', { name: 'Rotate the secret', exact: true }).click();
  await dialog.getByText('The new secret signs from now on').waitFor();
  await assertClean();
  const secret = await page.getByText(/^whsec_/).innerText();
  assert.match(secret, /^whsec_[A-Za-z0-9+/=]+$/);
  assert.notEqual(secret, made['secret']);
  await dialog.getByRole('button', { name: 'Close' }).click();
  await page.getByRole('button', { name: 'Copy the secret' }).waitFor();
  await assertClean();
  const before = receiver.received.length;
  await post('/transfers', { from_account: '@external', to_account: 'ANN', amount: 1 });
  const isSigned = ({ text, headers }: Received): boolean => {
    try {
      new Webhook(secret).verify(text, Object(headers));
      return true;
    } catch {
      return false;
    }
  };
  const signed = (): boolean => receiver.received.slice(before).some(isSigned);
  await until(signed, { timeoutMs: 15_000, what: 'a message that the new secret signed' });
  await page.reload();
  await page.getByRole('button', { name: 'Rotate the secret …' }).waitFor();
  assert.equal(await page.getByText(/whsec_/).count(), 0);
});

test('console: a ledger is chosen, and its test clock advanced', NEEDS_CHROMIUM, async () => {
  const { page, assertClean } = await open('main/ledgers');
  await page.getByRole('row', { name: /^shop/ }).getByRole('button', { name: 'Advance the clock' }).click();
  await page.getByLabel('New time').fill('2027-01-01T00:00:00');
  await page.getByRole('dialog').getByRole('button', { name: 'Advance the clock' }).click();
  await page.getByText('The clock shows 20').waitFor();
  await page.getByRole('button', { name: 'Close' }).click();
  await page.getByRole('combobox', { name: 'Ledger' }).selectOption('shop');
  await page.waitForURL(/#\/shop\/ledgers$/);
  await assertClean();
});

test('console: a failed delivery is shown and sent again', NEEDS_CHROMIUM, async () => {
  const { page, assertClean } = await open(`main/webhooks/${webhook}`);
  await page.getByText('500: the answer was no success').first().waitFor();
  await page.getByText(MARKUP).waitFor();
  receiver.answer = (response) => void response.writeHead(204).end();
  const before = receiver.received.length;
  await page.getByRole('button', { name: 'Send again' }).first().click();
  await page.getByRole('dialog').getByRole('button', { name: 'Send again' }).click();
  await page.getByText('It is sent once more').waitFor();
  await until(() => receiver.received.length > before, { timeoutMs: 10_000, what: 'the delivery' });
  await assertClean();
});

test('console: a key sees only what it may', NEEDS_CHROMIUM, async () => {
  const poor = await makeKey(database, { scopes: ['accounts:read'] });
  const knows = async () => (await request(service, 'GET', '/access', undefined, poor.headers)).status === 200;
  await until(knows, { timeoutMs: 10_000, what: 'the key to be known' });
  const { page, assertClean } = await openConsole(browser, service.url);
  await page.getByLabel('Key').fill('gp_wrong_key');
  await page.getByRole('button', { name: 'Open the console' }).click();
  await page.getByText('does not accept this key').waitFor();
  await assertClean();
  await page.getByLabel('Key').fill(poor.text);
  await page.getByRole('button', { name: 'Open the console' }).click();
  await page.getByRole('link', { name: 'Accounts' }).waitFor();
  const names = await page.getByRole('navigation', { name: 'Pages' }).getByRole('link').allTextContents();
  assert.deepEqual(names, ['Overview', 'Accounts', 'Ledgers', 'Interface']);
});

// The last one, because it breaks the books.
test(
  'console: rewritten rows are shown as broken, and by a browser that verified them before',
  NEEDS_CHROMIUM,
  async () => {
    const { page } = await open('main/journal');
    await page.getByRole('button', { name: 'Verify the whole journal' }).click();
    await page.getByText('The chain is whole').waitFor();
    await database.query(`
    do $$ begin
      set local session_replication_role = replica;
      update transfers set description = 'forged' where journal_number = 4;
      update journal set transfer_count = 2 where number = 3;
      update journal set hash = decode(repeat('ab', 32), 'hex')
      where number = (select max(number) from journal where ledger_id = 1) and ledger_id = 1;
    end $$`);
    await page.reload();
    await page.getByText('The past was rewritten').first().waitFor();
    await page.getByRole('button', { name: 'Verify the whole journal' }).click();
    await page.getByText('One of them was changed').first().waitFor();
    const row = await open('main/journal/4');
    await row.page.getByText('A record was changed, added or removed').waitFor();
    await row.assertClean();
  },
);
