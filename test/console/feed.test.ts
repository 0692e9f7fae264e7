// The overview follows the feed: what is settled shows without being asked for, no stream outlives the look at the page,
// and where there is none the page reads as often as a person can.
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import type { Page } from 'playwright-core';
import { NEEDS_CHROMIUM, openBrowser } from '../support/browser.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { makeKey } from '../support/keys.ts';
import { request, type Service, startService } from '../support/service.ts';
import { until } from '../support/until.ts';
import { openConsole } from './console-page.ts';

/** How soon a page must show what happened. */
const SHOWN_MS = 2000;
const BROWSER = { ...NEEDS_CHROMIUM, timeout: 120_000 };
const FOLLOWS = 'Live, from the feed.';
const GROUP_SIZE = 1000;

type Asked = { readonly transfers: number; readonly activity: number; readonly after: readonly string[] };

type Subject = { database: TestDatabase; service: Service; headers: Record<string, string> };

async function start(t: TestContext, env: Record<string, string> = {}): Promise<Subject> {
  const database = await createDatabase(t);
  const service = await startService(t, { database, env: { LOG_LEVEL: 'warn', ...env } });
  const opened = await request(service, 'POST', '/accounts', { account_number: 'ANN', name: 'Ann' });
  assert.equal(opened.status, 201, opened.text);
  return { database, service, headers: {} };
}

/** The first stream of the page begins, and then no byte of it arrives: a network that is slow, or dead. */
const STALLS = `
  const { fetch } = window;
  window.fetch = async (url, init) => {
    if (new Headers(init?.headers).get('Accept') !== 'text/event-stream') return await fetch(url, init);
    window.fetch = fetch;
    return new Response(new ReadableStream({
      start(stream) {
        stream.enqueue(new TextEncoder().encode(': the journal follows\\n\\n'));
        init.signal.addEventListener('abort', () => stream.error(init.signal.reason));
      },
    }));
  };
`;

/** Opens the overview, and keeps count of what it asks. `script` runs in the page first. */
async function openOverview(
  t: TestContext,
  { service }: Subject,
  { key = null, script = '' }: { key?: string | null; script?: string } = {},
): Promise<{ page: Page; asked: () => Asked }> {
  const browser = await openBrowser(t);
  const { page } = await openConsole(browser, `${service.url}/`, { key });
  const urls: URL[] = [];
  const shown = page.url();
  // What the first page asks late is not counted.
  await page.goto('about:blank');
  page.on('request', (each) => urls.push(new URL(each.url())));
  if (script !== '') await page.addInitScript(script);
  await page.goto(shown);
  const count = (path: string): number => urls.filter(({ pathname }) => pathname === path).length;
  return {
    page,
    asked: () => ({
      transfers: count('/ledgers/main/transfers'),
      activity: count('/activity'),
      after: urls
        .filter(({ pathname, searchParams }) => pathname.endsWith('/events') && !searchParams.has('limit'))
        .map(({ searchParams }) => searchParams.get('after') ?? ''),
    }),
  };
}

/** Orders a transfer, and returns what the page shows of its id. */
async function order({ service, headers }: Subject): Promise<string> {
  const body = { from_account: '@external', to_account: 'ANN', amount: 5 };
  const ordered = await request(service, 'POST', '/transfers', body, headers);
  assert.equal(ordered.status, 202, ordered.text);
  return String(ordered.body['id']).slice(-8);
}

async function settledCount({ service }: Subject): Promise<number> {
  const { body } = await request<{ items: unknown[] }>(service, 'GET', '/transfers?status=completed');
  return body.items.length;
}

async function streams({ service, headers }: Subject): Promise<number> {
  const { text } = await request(service, 'GET', '/metrics', undefined, headers);
  return Number(/gopherpay_streams\{route="\/events"\} (\d+)\n/.exec(text)?.[1] ?? 0);
}

/** The page believes that its tab is hidden, or shown again. */
async function hide(page: Page, hidden: boolean): Promise<void> {
  await page.evaluate(`
    Object.defineProperty(document, 'hidden', { configurable: true, value: ${hidden} });
    document.dispatchEvent(new Event('visibilitychange'));
  `);
}

test('console: the feed brings transfers, and none are asked for again', BROWSER, async (t) => {
  const subject = await start(t);
  const { page, asked } = await openOverview(t, subject);
  await page.getByText(FOLLOWS).waitFor();
  const row = page.getByRole('row', { name: await order(subject) });
  await row.getByText('completed').waitFor({ timeout: SHOWN_MS });
  await page.getByRole('img', { name: /Time to final: median, latest [\d.]+ m?s/ }).waitFor();
  const { activity } = asked();
  await until(() => asked().activity >= activity + 3, { what: 'three readings of the figures' });
  assert.equal(asked().transfers, 1, 'The list is read once, for what was accepted before.');
  assert.equal(asked().after.length, 1);
});

test('console: no stream is held by another page, or by a hidden tab', BROWSER, async (t) => {
  const subject = await start(t);
  const { page, asked } = await openOverview(t, subject);
  await page.getByText(FOLLOWS).waitFor();
  assert.equal(await streams(subject), 1);
  await hide(page, true);
  await until(async () => (await streams(subject)) === 0, { what: 'the stream of the hidden tab to end' });
  const whileHidden = await order(subject);
  await until(async () => (await settledCount(subject)) > 0, { what: 'the transfer to be settled' });
  assert.equal(asked().after.length, 1, 'The hidden tab does not ask for another stream.');
  await hide(page, false);
  await page.getByText(whileHidden).waitFor({ timeout: SHOWN_MS });
  assert.equal(await streams(subject), 1);
  await page.getByRole('link', { name: 'Journal', exact: true }).click();
  await page.getByRole('heading', { name: 'Journal' }).waitFor();
  await until(async () => (await streams(subject)) === 0, { what: 'the stream to end' });
});

test('console: a stream that broke off goes on after the last row', BROWSER, async (t) => {
  const subject = await start(t);
  const { page, asked } = await openOverview(t, subject);
  await page.getByText(FOLLOWS).waitFor();
  // The list was read before the transfer: so what shows it is the feed.
  await page.getByText('No transfer was ordered yet.').waitFor();
  const read = page.getByRole('row', { name: await order(subject) });
  await read.getByText('completed').waitFor({ timeout: SHOWN_MS });
  const { port } = new URL(subject.service.url);
  await subject.service.stop();
  await page.getByText('Connecting to the feed').waitFor();
  const { database } = subject;
  const again = { ...subject, service: await startService(t, { database, env: { PORT: port, LOG_LEVEL: 'warn' } }) };
  const missed = await order(again);
  await page.getByText(FOLLOWS).waitFor();
  await page.getByRole('row', { name: missed }).getByText('completed').waitFor();
  const [head] = await database.query<{ number: bigint }>('select number from journal_ends');
  assert.equal(asked().after.at(-1), String(Number(head?.number) - 1), 'It went on after the row that it had read.');
});

test('console: a page without a stream reads instead, and says why', BROWSER, async (t) => {
  const subject = await start(t, { EVENT_STREAMS_MAX: '1' });
  const other = await openOverview(t, subject);
  await other.page.getByText(FOLLOWS).waitFor();
  const { page, asked } = await openOverview(t, subject);
  await page.getByText('All streams of the feed are in use').waitFor();
  await page.getByText(await order(subject)).waitFor({ timeout: SHOWN_MS });
  await until(() => asked().transfers > 2, { what: 'another reading' });
  assert.equal(asked().after.length, 1, 'It does not ask for a stream again and again.');
});

test('console: a stream that stays behind is left for the end of the journal', BROWSER, async (t) => {
  const subject = await start(t);
  const { page, asked } = await openOverview(t, subject, { script: STALLS });
  await page.getByText(FOLLOWS).waitFor();
  const settled = await order(subject);
  await page.getByRole('row', { name: settled }).getByText('completed').waitFor();
  // What shows the transfer may be the list, and the next stream begins 12 s later.
  await until(() => asked().after.length > 0, { what: 'the next stream', timeoutMs: 60_000 });
  assert.equal(asked().after.length, 1, 'The first one did not reach the service.');
  const [head] = await subject.database.query<{ number: bigint }>('select number from journal_ends');
  assert.equal(asked().after.at(-1), String(head?.number));
});

test('console: a key that may not read events sees what the counters have', BROWSER, async (t) => {
  const subject = await start(t);
  const [admin, reader] = [
    await makeKey(subject.database),
    await makeKey(subject.database, { scopes: ['metrics:read', 'transfers:read'] }),
  ];
  const locked = { ...subject, headers: admin.headers };
  await until(async () => (await request(subject.service, 'GET', '/access')).status === 401, { what: 'the keys' });
  const { page, asked } = await openOverview(t, locked, { key: reader.text });
  await page.getByText('the feed needs the scope events:read').waitFor();
  await page.getByText('by this process').waitFor();
  await page.getByText(await order(locked)).waitFor({ timeout: SHOWN_MS });
  assert.deepEqual(asked().after, []);
});

test('console: a flood ends the stream, and calm begins another', BROWSER, async (t) => {
  const subject = await start(t);
  const { page, asked } = await openOverview(t, subject);
  await page.getByText(FOLLOWS).waitFor();
  const transfers = Array.from({ length: GROUP_SIZE }, () => ({
    from_account: '@external',
    to_account: 'ANN',
    amount: 1,
  }));
  const flooded = page.getByText('More than 1,000 a second').waitFor();
  const flood = new AbortController();
  void flooded.finally(() => flood.abort()).catch(() => {});
  while (!flood.signal.aborted) {
    const ordered = await request(subject.service, 'POST', '/transfers', { transfers });
    assert.ok([202, 429].includes(ordered.status), ordered.text);
  }
  await flooded;
  await until(async () => (await streams(subject)) === 0, { what: 'the stream to end' });
  // On a busy machine it may have fallen behind before, and begun again.
  const before = asked().after.length;
  await page.getByText(FOLLOWS).waitFor();
  await page.getByText(await order(subject)).waitFor({ timeout: SHOWN_MS });
  assert.equal(asked().after.length, before + 1);
});
