// Runs cases against a service: some at a time, then a check of the stored rows. fast-check shrinks each violation.
import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import type { TestDatabase } from '../support/database.ts';
import { checkPromises } from '../support/promises/check.ts';
import { request, type Service } from '../support/service.ts';
import { until } from '../support/until.ts';
import { anyCase, bodyOf, type Case, type Ids, renderCase } from './cases.ts';
import { makeKeys, withCredential } from './credentials.ts';
import { setUp } from './fixtures.ts';
import { BODY_BYTES_MAX, judge, meantBy } from './judge.ts';
import { parseInterface } from '../support/interface.ts';
import { pathOf } from './sent.ts';
import { Stored } from './stored.ts';
import { Line } from './wire.ts';

/** How many cases are sent at once; stored rows are checked when all are answered. */
const VOLLEY = 20;
const ANSWER_TIMEOUT_MS = 5000;
/** How often a smaller case is looked for. */
const SHRINKS_MAX = 1000;

/** What the service under test needs in its environment. */
export const FUZZ_ENV = {
  THREADS: '4',
  // No case can fill it: a 429 is a defect.
  MAX_QUEUE: '200000',
  BODY_BYTES_MAX: String(BODY_BYTES_MAX),
  // A request whose body never arrives is refused within the time that an answer may take.
  REQUEST_TIMEOUT_MS: '1000',
  STATEMENT_STREAMS_MAX: '1000',
  EVENT_STREAMS_MAX: '1000',
  LOG_LEVEL: 'error',
};

/** The same with a queue that is full repeatedly: then 429 is expected, and must store nothing. */
export const FULL_QUEUE_ENV = { ...FUZZ_ENV, MAX_QUEUE: '3' };

export type Options = {
  cases: number;
  seed: number;
  /** Where fast-check's search was when it found something: to see only that again. */
  path?: string | undefined;
  /** Whether 429 is an answer, and not a defect. */
  queueMayFill?: boolean;
  /** Whether the service has keys. */
  keys?: boolean;
  onProgress?: (done: number) => void;
};

export type Report = {
  cases: number;
  /** How often each status was answered, by operation. */
  statuses: ReadonlyMap<string, ReadonlyMap<string, number>>;
  violation: { sentences: string[]; requests: string[]; seed: number; path: string } | null;
};

type Volley = readonly (Case | null)[];

class Violation extends Error {
  readonly sentences: string[];

  constructor(sentences: string[]) {
    super(sentences.join('\n'));
    this.sentences = sentences;
  }
}

/** Sends `cases` cases (rounded up to whole volleys). `start` starts the service, and again should it have ended. */
export async function fuzz(start: () => Promise<Service>, database: TestDatabase, options: Options): Promise<Report> {
  let service = await start();
  const described = parseInterface((await request(service, 'GET', '/openapi.json')).text);
  const fixtures = await setUp(service);
  const keys = options.keys ? await makeKeys(service, database, options.seed) : null;
  const ids: Ids = new Map([...fixtures, ...(keys?.texts ?? [])]);
  const stored = new Stored(database);
  await stored.begin();
  let lines = openLines(service);
  let sent = 0;
  let failures = 0;
  let attempts = 0;
  const statuses = new Map<string, Map<string, number>>();

  const sendOne = async (each: Case | null, line: Line | undefined): Promise<string[]> => {
    if (!each || !line) return [];
    const isHead = each.method === 'HEAD';
    const outcome = await line.exchange(renderCase(each, ids), { timeoutMs: ANSWER_TIMEOUT_MS, isHead });
    // The end of a mutated request is ambiguous, so the next one uses a new connection.
    if (each.mutated.length > 0) line.close();
    const status = outcome.ended === 'answered' ? String(outcome.answer.status) : outcome.ended;
    if (failures === 0) count(statuses, each.operation, status);
    const target = renderTarget(each, ids);
    const operation = meantBy(each.method, target, described);
    const { credential } = each;
    const allowed = (credential?.isValid && keys?.allowed.get(credential.key)) || null;
    if (outcome.ended === 'answered' && operation) {
      const ownLedger = allowed?.ledger ?? 'main';
      stored.note(operation, { headers: each.headers, path: pathOf(target), ownLedger }, outcome.answer);
    }
    const asked = { case: each, target, body: bodyOf(each, ids), ...(keys && { access: allowed }) };
    return judge(asked, outcome, described, options.queueMayFill ?? false);
  };

  /** Sends the `chosen` cases of a volley at once; returns what is wrong with each, and with the stored rows. */
  const send = async (volley: Volley, chosen: number | null): Promise<{ byCase: string[][]; atLast: string[] }> => {
    if (service.ended()) {
      service = await start();
      lines = openLines(service);
    }
    const isSent = (index: number): boolean => chosen === null || index === chosen;
    const byCase = await Promise.all(
      volley.map(async (each, index) => (isSent(index) ? await sendOne(each, lines[index]) : [])),
    );
    const atLast = service.ended() ? [`the service ended: ${service.output().slice(-1000)}`] : [];
    atLast.push(...(await stored.compare()));
    // A violation found now must not be attributed to the next case.
    if (atLast.length > 0) await stored.begin();
    return { byCase, atLast };
  };

  /** Which case of a volley also fails alone. */
  const findCulprit = async (volley: Volley): Promise<number | null> => {
    for (const index of volley.keys()) {
      const { byCase, atLast } = await send(volley, index);
      if (byCase.flat().length + atLast.length > 0) return index;
    }
    return null;
  };

  /** The one case that smaller ones are looked for of; null: all of a volley. */
  let culprit: number | null = null;
  const sendVolley = async (volley: Volley): Promise<void> => {
    if (failures > 0 && (attempts += 1) > SHRINKS_MAX) return;
    const { byCase, atLast } = await send(volley, culprit);
    if (failures === 0) {
      sent += volley.length;
      options.onProgress?.(sent);
    }
    const wrong = [...byCase.flat(), ...atLast];
    if (wrong.length === 0) return;
    failures += 1;
    if (failures === 1) {
      const known = byCase.findIndex((found) => found.length > 0);
      culprit = known === -1 ? await findCulprit(volley) : known;
    }
    throw new Violation(wrong);
  };

  // Practically never nothing, but for when a smaller volley is looked for.
  const one = fc.option(options.keys ? withCredential(anyCase(described)) : anyCase(described), { freq: 2 ** 30 });
  const volley = fc.tuple(...Array.from({ length: VOLLEY }, () => one));
  const details = await fc.check(fc.asyncProperty(volley, sendVolley), {
    seed: options.seed,
    numRuns: Math.ceil(options.cases / VOLLEY),
    ...(options.path === undefined ? {} : { path: options.path }),
  });
  for (const line of lines) line.close();
  const report = { cases: sent, statuses };
  if (details.failed) {
    const { errorInstance, counterexample, counterexamplePath } = details;
    if (!(errorInstance instanceof Violation)) throw errorInstance;
    const meant = (counterexample?.[0] ?? []).filter((_, index) => culprit === null || index === culprit);
    const requests = meant.flatMap((each) => (each ? [show(each, ids)] : []));
    const { sentences } = errorInstance;
    return { ...report, violation: { sentences, requests, seed: details.seed, path: counterexamplePath ?? '' } };
  }
  const sentences = await checkEnd(service, database, stored);
  const violation = sentences.length === 0 ? null : { sentences, requests: [], seed: details.seed, path: '' };
  return { ...report, violation };
}

/** The requests, the seed and the path of a violation, and what is wrong; as text. */
export function renderViolation(
  { sentences, requests, seed, path }: NonNullable<Report['violation']>,
  { queueMayFill = false, keys = false }: Pick<Options, 'queueMayFill' | 'keys'> = {},
): string {
  return [
    ...sentences,
    ...requests.map((text) => `the request: ${text}`),
    `to see it again: npm run fuzz -- --seed ${seed}${queueMayFill ? ' --full-queue' : ''}${keys ? ' --keys' : ''}${path === '' ? '' : ` --path ${path}`}`,
  ].join('\n');
}

/** A line for each operation: how many cases, and which statuses they got. */
export function renderStatuses({ statuses }: Report): string[] {
  return [...statuses].sort(byName).map(([operation, counts]) => {
    const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
    const each = [...counts].sort(byName).map(([status, count]) => `${status}: ${count}`);
    return `${operation}: ${total} (${each.join(', ')})`;
  });
}

function byName([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : 1;
}

/** What holds when nothing is in flight. */
async function checkEnd(service: Service, database: TestDatabase, stored: Stored): Promise<string[]> {
  const wrong: string[] = [];
  const pending = `select 1 from pending_transfers where kind <> 'expiry' limit 1`;
  await until(async () => (await database.query(pending)).length === 0, {
    timeoutMs: 30_000,
    what: 'everything accepted to be settled',
  });
  wrong.push(...(await stored.compareAll()));
  await checkPromises(database, { limitsChanged: true, accepted: stored.accepted }).catch((error: unknown) => {
    wrong.push(String(error));
  });
  for (const path of ['/healthz', '/readyz']) {
    const { status } = await request(service, 'GET', path);
    if (status !== 200) wrong.push(`${path} answers ${status}`);
  }
  assert.equal(service.ended(), false);
  const faults = service.logs().filter(({ level }) => typeof level !== 'number' || level >= 50);
  if (faults.length > 0) wrong.push(`the service found fault with itself: ${JSON.stringify(faults.slice(0, 3))}`);
  return wrong;
}

function openLines(service: Service): Line[] {
  const port = Number(new URL(service.url).port);
  return Array.from({ length: VOLLEY }, () => new Line(port));
}

function count(statuses: Map<string, Map<string, number>>, operation: string, status: string): void {
  const counts = statuses.get(operation) ?? new Map<string, number>();
  statuses.set(operation, counts.set(status, (counts.get(status) ?? 0) + 1));
}

function renderTarget(each: Case, ids: Ids): string {
  return renderCase({ ...each, body: null }, ids)
    .toString('latin1')
    .slice(each.method.length + 1)
    .split(' HTTP/1.1\r\n', 1)
    .join('');
}

function show(each: Case, ids: Ids): string {
  const text = JSON.stringify(renderCase(each, ids).toString('latin1'));
  const mutated = each.mutated.length === 0 ? '' : ` (mutated: ${each.mutated.join(', ')})`;
  return `${text.length > 3000 ? `${text.slice(0, 3000)}…` : text}${mutated}`;
}
