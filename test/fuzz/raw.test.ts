// Goal: for any bytes, each request is answered once and in order, or refused, in time. A refused request stores
// nothing, and nothing after a refused framing takes effect. Method: a corpus, entry by entry, then the corpus with
// bytes changed.
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { before, test } from 'node:test';
import * as fc from 'fast-check';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { checkPromises } from '../support/promises/check.ts';
import { request, type Service, startService } from '../support/service.ts';
import { until } from '../support/until.ts';
import { corpus } from './raw.ts';
import { type Entry, RAW_ENV, type Step } from './raw-entry.ts';
import { play, type Played } from './raw-line.ts';
import type { Answer } from './wire.ts';

/** The service waits 1 s for a request, checks every 2 s, and lets a refused caller send for 2 s. */
const ENDED_WITHIN_MS = 7000;
const MUTANTS = 1000;
const VOLLEY = 50;
/** How long an answer may take before the caller of a mutant ends its half of the connection. */
const QUIET_MS = 700;

let database: TestDatabase;
let service: Service;

before(async (t) => {
  database = await createDatabase(t);
  service = await startService(t, { database, env: RAW_ENV });
  const opened = await request(service, 'POST', '/accounts', { account_number: 'ANN', name: 'Ann' });
  assert.equal(opened.status, 201, opened.text);
});

const ENTRIES = corpus((name) => `raw: ${name}`);

test('raw: entries have unique names', () => {
  const names = ENTRIES.map(({ name }) => name);
  assert.deepEqual(
    names.filter((name, index) => names.indexOf(name) !== index),
    [],
  );
});

test('raw: every entry of the corpus gets its expected answer', { timeout: 60_000, concurrency: true }, async (t) => {
  // All at once: the slow ones take as long as the service's timeouts.
  await Promise.all(
    ENTRIES.map((entry) =>
      t.test(entry.name, async () => {
        await check(entry);
      }),
    ),
  );
});

async function check(entry: Entry): Promise<void> {
  const { answers: expected, afterwards } = entry;
  const isOpen = afterwards === 'open';
  const played = await play(service, entry.steps, {
    timeoutMs: ENDED_WITHIN_MS,
    ...(entry.heads && { heads: entry.heads }),
    ...(isOpen && { probeAfter: expected.length }),
  });
  const { answers } = played;
  checkAnswers(played);
  assert.equal(played.ended, isOpen ? 'in time' : 'closed', show(played));
  if (isOpen) assert.equal(answers.pop()?.headers.get('x-request-id'), 'probe', show(played));
  const allowed = expected.map((status) => [status].flat());
  assert.ok(
    (answers.length === allowed.length || (entry.unheard === true && answers.length < allowed.length)) &&
      answers.every(({ status }, index) => allowed[index]?.includes(status)),
    `${JSON.stringify(expected)} was expected: ${show(played)}`,
  );
  if (entry.ids) {
    const ids = answers.map(({ headers }) => headers.get('x-request-id'));
    assert.deepEqual(ids, entry.ids);
  }
  const stored = await countStored(`raw: ${entry.name}`);
  assert.ok(
    [entry.stored].flat().includes(stored),
    `${stored} transfers are stored, not ${JSON.stringify(entry.stored)}`,
  );
}

/** Rules for any bytes. */
function checkAnswers(played: Played): void {
  const { answers, rest } = played;
  assert.equal(rest.length, 0, show(played));
  for (const [index, { status, headers, body, closes }] of answers.entries()) {
    assert.ok((status >= 200 && status < 500) || status === 501, show(played));
    assert.ok(headers.get('x-request-id'), show(played));
    if (status >= 400) assert.equal(headers.get('content-type'), 'application/problem+json');
    assert.doesNotMatch(body.toString(), /HPE_|ERR_|\bat .*\(|node:|Parse Error/);
    if (closes) assert.equal(index, answers.length - 1, `an answer after the last one: ${show(played)}`);
  }
}

// The corpus with mutations: the answer of each is not predicted, but some rules always hold.

/** If the framing is whole, the probe is answered; if it waits for more, our half ends, and it knows. */
const PLAYED = { timeoutMs: ENDED_WITHIN_MS, probeAfter: 0, quietMs: QUIET_MS };

type Change = {
  what: 'insert' | 'remove' | 'replace' | 'repeat' | 'move';
  where: number;
  length: number;
  bytes: string;
};
type Mutant = { entry: number; changes: readonly Change[]; cuts: readonly number[] };

const MUTABLE = ENTRIES.filter(
  ({ slow, heads, steps }) => !slow && !heads && steps.every((step) => typeof step === 'string'),
);

const change: fc.Arbitrary<Change> = fc.record({
  what: fc.constantFrom('insert', 'remove', 'replace', 'repeat', 'move'),
  where: fc.nat(2000),
  length: fc.integer({ min: 1, max: 40 }),
  bytes: fc.oneof(
    fc.constantFrom(
      '\r\n',
      '\r\n\r\n',
      '\n',
      '\r',
      '\u0000',
      ' ',
      '\t',
      ':',
      ';',
      '0',
      '1',
      '-',
      '\u00ff',
      '0\r\n\r\n',
      ',',
    ),
    fc.constantFrom(
      'Content-Length: 0\r\n',
      'Transfer-Encoding: chunked\r\n',
      'Host: y\r\n',
      'Expect: 100-continue\r\n',
    ),
    fc.constantFrom(
      'Connection: close\r\n',
      'Connection: upgrade\r\nUpgrade: x\r\n',
      'Content-Length: 5\r\n',
      'HTTP/1.0',
    ),
    fc.uint8Array({ minLength: 1, maxLength: 4 }).map((bytes) => Buffer.from(bytes).toString('latin1')),
  ),
});
const mutant: fc.Arbitrary<Mutant> = fc.record({
  entry: fc.nat(MUTABLE.length - 1),
  changes: fc.array(change, { maxLength: 4 }),
  cuts: fc.array(fc.nat(600), { maxLength: 2 }),
});

function render({ entry, changes, cuts }: Mutant): Step[] {
  const steps = MUTABLE[entry]?.steps ?? [];
  const bytes = changes.reduce(apply, steps.filter((step) => typeof step === 'string').join(''));
  const places = cuts.map((cut) => cut % (bytes.length + 1)).toSorted((a, b) => a - b);
  const parts = [0, ...places].map((place, index) => bytes.slice(place, places[index]));
  return parts;
}

function apply(bytes: string, { what, where, length, bytes: other }: Change): string {
  const at = where % (bytes.length + 1);
  const [before, part, after] = [bytes.slice(0, at), bytes.slice(at, at + length), bytes.slice(at + length)];
  switch (what) {
    case 'insert':
      return before + other + part + after;
    case 'remove':
      return before + after;
    case 'replace':
      return before + other + after;
    case 'repeat':
      return before + part + part + after;
    case 'move':
      return before + after + part;
  }
}

for (const seed of [2026, randomInt(2 ** 31)]) {
  test(`raw: the mutated corpus breaks no rule (seed ${seed})`, { timeout: 120_000 }, async () => {
    const volley = async (mutants: readonly (Mutant | null)[]): Promise<void> => {
      const before = await countStored();
      const all = await Promise.all(
        mutants.map(async (each) => (each ? await play(service, render(each), PLAYED) : null)),
      );
      let accepted = 0;
      for (const played of all) {
        if (!played) continue;
        assert.notEqual(played.ended, 'late', show(played));
        checkAnswers(played);
        accepted += played.answers.filter(ordered).length;
      }
      assert.equal(service.ended(), false);
      assert.equal((await countStored()) - before, accepted, 'the stored transfers are the accepted ones');
    };
    const one = fc.option(mutant, { freq: 2 ** 30 });
    await fc.assert(fc.asyncProperty(fc.tuple(...Array.from({ length: VOLLEY }, () => one)), volley), {
      seed,
      numRuns: MUTANTS / 2 / VOLLEY,
    });
  });
}

function ordered({ status, body }: Answer): boolean {
  return (status === 202 || status === 200) && body.includes('"from_account"');
}

test('raw: the service is alive afterwards, logs no error, and keeps its promises', async () => {
  assert.equal((await request(service, 'GET', '/healthz')).status, 200);
  assert.equal((await request(service, 'GET', '/readyz')).status, 200);
  const faults = service.logs().filter(({ level }) => typeof level !== 'number' || level >= 50);
  assert.deepEqual(faults, []);
  await until(async () => (await database.query('select from pending_transfers')).length === 0, { what: 'settlement' });
  await checkPromises(database, { nothingPending: true });
});

/** How many transfers of this description there are, or how many at all. */
async function countStored(description: string | null = null): Promise<number> {
  const [row] = await database.query<{ count: number }>(
    `select count(*)::integer as count
     from (select description from transfers union all select description from pending_transfers) t
     where $1::text is null or description = $1::text`,
    [description],
  );
  return row?.count ?? Number.NaN;
}

function show({ answers, rest, ended }: Played): string {
  const reported = answers.map(({ status, body }) => `${status} ${body.toString().slice(0, 200)}`);
  return `${ended}: ${reported.join(' | ')}${rest.length === 0 ? '' : ` and then ${JSON.stringify(rest.toString('latin1').slice(0, 300))}`}`;
}
