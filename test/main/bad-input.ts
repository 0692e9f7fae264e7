// Shared by the tests of bad input: one service, and the checks of a refusal.
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { type TestContext } from 'node:test';
import { ANSWER_VIEWS } from '../../src/main/api/views.ts';
import { PROBLEMS, type ProblemCode } from '../../src/main/http/problem.ts';
import { onEnd, type Scope } from '../support/cleanup.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { checkPromises } from '../support/promises/check.ts';
import { request, type Service, startService } from '../support/service.ts';

export type Method = 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE';
type RawAnswer = { status: number; headers: Map<string, string>; text: string };

export const BODY_BYTES_MAX = 65_536;
const ANSWER_TIMEOUT_MS = 10_000;
export const ACCOUNT = { name: 'Ada' };
export const TRANSFER = { from_account: 'ANN', to_account: 'BOB', amount: 5 };
export const TYPE = { 'content-type': 'application/json' };

export let database: TestDatabase;
export let service: Service;
let tables: string[];

export const WITH_BODY = [
  ['POST', '/accounts'],
  ['POST', '/transfers'],
  ['PATCH', '/accounts/ANN'],
] as const;

/** Starts the service that every test of a file sends its requests to. */
export async function start(t: Scope): Promise<void> {
  database = await createDatabase(t);
  service = await startService(t, {
    database,
    env: { THREADS: '2', BODY_BYTES_MAX: String(BODY_BYTES_MAX), LOG_LEVEL: 'warn' },
  });
  for (const account of ['ANN', 'BOB']) {
    const opened = await request(service, 'POST', '/accounts', {
      account_number: account,
      name: account,
      balance: 1000,
    });
    assert.equal(opened.status, 201, opened.text);
  }
  const rows = await database.query<{ name: string }>(
    `select tablename as name from pg_tables where schemaname = 'public' and tablename not in ('leases', 'ledger_leases', 'heartbeats') order by tablename`,
  );
  tables = rows.map(({ name }) => name);
}

/** Every file ends with this: the service is alive, and has logged no error. */
export async function checkHealth(): Promise<void> {
  const answer = await request(service, 'GET', '/healthz');
  assert.equal(answer.status, 200);
  assert.equal(service.ended(), false);
  const faults = service.logs().filter(({ level }) => typeof level !== 'number' || level >= 50);
  assert.deepEqual(faults, []);
  await checkPromises(database, { nothingPending: true });
}

/** Sends a request that must be refused with this code, and leave the database as it was. */
export async function refused(
  code: ProblemCode,
  method: Method,
  path: string,
  body?: unknown,
  headers?: Record<string, string>,
): Promise<void> {
  await refusedByAny([code], method, path, body, headers);
}

export async function refusedByAny(
  codes: readonly ProblemCode[],
  method: Method,
  path: string,
  body?: unknown,
  headers?: Record<string, string>,
): Promise<void> {
  const untouched = await snapshot();
  checkAnswer(await request(service, method, path, body, headers), ...codes);
  assert.deepEqual(await snapshot(), untouched);
}

/** The whole content of every table, in short. Intakes alone change by themselves: they have a heartbeat. */
export async function snapshot(): Promise<Record<string, unknown>> {
  const columns = tables.map(
    (table) =>
      `(select count(*) || ' ' || coalesce(md5(string_agg(r::text, '|' order by r::text)), '') from ${table} r) as ${table}`,
  );
  const [row] = await database.query(`select ${columns.join(', ')}`);
  assert.ok(row);
  return row;
}

export function checkAnswer(
  answer: { status: number; headers: Record<string, string | string[] | undefined>; text: string },
  ...codes: ProblemCode[]
): void {
  checkProblem(
    { status: answer.status, contentType: String(answer.headers['content-type']), text: answer.text },
    ...codes,
  );
  assert.ok(answer.headers['x-request-id']);
}

export function checkRaw(answer: RawAnswer, code: ProblemCode): void {
  checkRawAny(answer, [code]);
}

export function checkRawAny(answer: RawAnswer, codes: readonly ProblemCode[]): void {
  checkProblem({ ...answer, contentType: answer.headers.get('content-type') ?? '' }, ...codes);
  assert.equal(JSON.parse(answer.text).request_id, answer.headers.get('x-request-id'));
}

export function checkProblem(
  answer: { status: number; contentType: string; text: string },
  ...codes: ProblemCode[]
): void {
  assert.equal(answer.contentType, 'application/problem+json', answer.text);
  const problem: unknown = JSON.parse(answer.text);
  const schema = ANSWER_VIEWS.Problem;
  assert.ok(schema);
  // Parsing leaves out what the schema does not know.
  assert.deepEqual(schema.parse(problem), problem);
  const code = codes.find((each) => answer.text.includes(`"code":"${each}"`));
  assert.ok(code, `${codes.join(' or ')} was expected: ${answer.text}`);
  assert.equal(answer.status, PROBLEMS[code].status);
}

/** Writes the given parts to a socket of its own, and returns the one answer. */
export async function sendRaw(t: TestContext, parts: readonly string[], to: Service = service): Promise<RawAnswer> {
  const [answer] = await sendRawAll(t, parts, 1, { to });
  assert.ok(answer);
  return answer;
}

export async function sendRawAll(
  t: TestContext,
  parts: readonly string[],
  count: number,
  { to = service }: { to?: Service } = {},
): Promise<RawAnswer[]> {
  const socket = connect(Number(new URL(to.url).port), '127.0.0.1');
  onEnd(t, () => {
    socket.destroy();
  });
  return await new Promise((resolve, reject) => {
    let received = Buffer.alloc(0);
    const giveUp = (why: string): void => {
      reject(new Error(`${why} before ${count} answers were there. They were: ${received.toString('latin1')}`));
    };
    const patience = setTimeout(giveUp, ANSWER_TIMEOUT_MS, `${ANSWER_TIMEOUT_MS} ms were over`);
    const look = (): boolean => {
      const answers = parseAnswers(received);
      if (answers.length < count) return false;
      clearTimeout(patience);
      resolve(answers);
      return true;
    };
    // Each part goes out when the one before it has, so that the service reads them one by one.
    const [...waiting] = parts;
    const writeNext = (): void => {
      const part = waiting.shift();
      if (part !== undefined && socket.writable) socket.write(part, 'latin1', () => setImmediate(writeNext));
    };
    socket.once('connect', writeNext);
    socket.on('data', (data: Buffer) => {
      received = Buffer.concat([received, data]);
      look();
    });
    // A connection that is cut while we still write is an error; what had come before it counts.
    socket.on('error', () => {});
    socket.on('close', () => {
      clearTimeout(patience);
      if (!look()) giveUp('The connection was closed');
    });
  });
}

/** The answers that have arrived whole. */
function parseAnswers(received: Buffer): RawAnswer[] {
  const answers: RawAnswer[] = [];
  let rest = received;
  for (;;) {
    const end = rest.indexOf('\r\n\r\n');
    if (end === -1) return answers;
    const [statusLine = '', ...lines] = rest.subarray(0, end).toString('latin1').split('\r\n');
    const headers = new Map(
      lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
    );
    const length = Number(headers.get('content-length') ?? 0);
    const body = rest.subarray(end + 4, end + 4 + length);
    if (body.length < length) return answers;
    answers.push({ status: Number(statusLine.split(' ')[1]), headers, text: body.toString('utf8') });
    rest = rest.subarray(end + 4 + length);
  }
}

export function post(body: string, headers: string): string {
  return `POST /transfers HTTP/1.1\r\nHost: x\r\n${headers}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
}

export function withQuery(path: string, query: string): string {
  return `${path}${path.includes('?') ? '&' : '?'}${query}`;
}

export function show(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}
