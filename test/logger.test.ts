// The logger writes to standard error, so each test runs it in a process of its own.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import * as fc from 'fast-check';
import { pino } from 'pino';
import { z } from 'zod';
import { renderRequest, type RequestLine } from '../src/request-line.ts';
import { until } from './support/until.ts';

const LOGGER = new URL('../src/logger.ts', import.meta.url).href;

/** Runs statements that have `logger` and `flush`, and returns what they wrote to standard error and how they ended. */
async function run(
  t: TestContext,
  level: string,
  statements: string,
): Promise<{ written: string; code: number | null }> {
  const script = `
    import { createLogger } from ${JSON.stringify(LOGGER)};
    const { logger, flush } = await createLogger(${JSON.stringify(level)});
    ${statements}`;
  const child = spawn(process.execPath, ['--input-type=module', '-'], { stdio: 'pipe' });
  t.after(() => child.kill('SIGKILL'));
  // Not an argument: the system limits how long that is.
  child.stdin.end(script);
  const ended = new Promise<number | null>((resolve) => void child.once('close', resolve));
  const [written, printed] = await Promise.all([text(child.stderr), text(child.stdout)]);
  assert.equal(printed, '', 'Standard output is for data.');
  return { written, code: await ended };
}

function parse(line: string): Record<string, unknown> {
  return z.record(z.string(), z.unknown()).parse(JSON.parse(line));
}

test('logger: a line is a JSON object with level, time and message, and no data of the machine', async (t) => {
  const { written } = await run(t, 'info', `logger.info({ transfers: 2 }, 'two "lines"\\nin one'); await flush();`);
  const [line = '', rest] = written.split('\n');
  assert.equal(rest, '');
  const { time, ...others } = parse(line);
  assert.deepEqual(others, { level: 30, transfers: 2, msg: 'two "lines"\nin one' });
  assert.match(String(time), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assert.ok(Math.abs(Date.parse(String(time)) - Date.now()) < 60_000);
});

test('logger: a level passes equally severe lines, and silent passes none', async (t) => {
  const statements = `for (const level of ['trace', 'info', 'warn', 'fatal']) logger[level](level); await flush();`;
  const [atWarn, atTrace, atSilent] = await Promise.all([
    run(t, 'warn', statements),
    run(t, 'trace', statements),
    run(t, 'silent', statements),
  ]);
  const messages = ({ written }: { written: string }) => [...written.matchAll(/"msg":"(\w+)"/g)].map(([, msg]) => msg);
  assert.deepEqual(messages(atWarn), ['warn', 'fatal']);
  assert.deepEqual(messages(atTrace), ['trace', 'info', 'warn', 'fatal']);
  assert.deepEqual(atSilent, { written: '', code: 0 });
});

/** Text that JSON escapes, or that looks as if it did. */
const EDGE_CASE_TEXTS = [
  'say "hello"',
  'C:\\new\\table\\',
  '\\"',
  'line\u2028separator\u2029',
  'lone \ud800 and \udc00',
  'pair \ud83d\ude00',
  ...Array.from({ length: 33 }, (_, code) => `control ${String.fromCharCode(code)}`),
  'delete \u007f, next line \u0085, no-break space \u00a0',
  '</script>',
  '${rendered}',
  '',
  `/${'long'.repeat(20_000)}"`,
];
const EDGE_CASE_NUMBERS = [0, -0, 0.0004, 0.001, 1e-9, 12.3456, 999.9995, 1e21, 2 ** 53, NaN, Infinity];
const PLAIN_LINE: RequestLine = {
  requestId: '019ac0de-0000-7000-8000-000000000000',
  trace: undefined,
  method: 'POST',
  route: '/transfers',
  ledger: 'main',
  key: 'key1',
  status: 202,
  requestBytes: 70,
  durationMs: 1.5,
  log: { transfer_id: '019ac0de-0000-7000-8000-000000000000' },
};
const EDGE_CASE_LINES: RequestLine[] = [
  PLAIN_LINE,
  { ...PLAIN_LINE, log: undefined },
  { ...PLAIN_LINE, ledger: undefined, key: undefined },
  { ...PLAIN_LINE, log: {} },
  { ...PLAIN_LINE, trace: { traceId: '4bf92f3577b34da6a3ce929d0e0e4736', spanId: '00f067aa0ba902b7' } },
  { ...PLAIN_LINE, log: { group_id: 'g', transfers: 2 } },
  {
    ...PLAIN_LINE,
    log: { transfer_id: 't', group_id: 'g', transfers: 1, ended: 'broken_off', bytes: 9, code: 'internal' },
  },
  ...EDGE_CASE_TEXTS.flatMap((text): RequestLine[] => [
    {
      ...PLAIN_LINE,
      requestId: text,
      method: text,
      route: text,
      ledger: text,
      key: text,
      trace: { traceId: text, spanId: text },
    },
    { ...PLAIN_LINE, log: { transfer_id: text, group_id: text, ended: text, code: text } },
  ]),
  ...EDGE_CASE_NUMBERS.map((number) => ({
    ...PLAIN_LINE,
    status: number,
    requestBytes: number,
    durationMs: number,
    log: { transfers: number, bytes: number },
  })),
];

/** The fields of a request's line, in order, for the general logger. */
function fieldsOf({
  requestId,
  trace,
  method,
  route,
  ledger,
  key,
  status,
  requestBytes,
  durationMs,
  log,
}: RequestLine) {
  return {
    request_id: requestId,
    ...(trace && { trace_id: trace.traceId, span_id: trace.spanId }),
    method,
    route,
    ledger,
    key,
    status,
    request_bytes: requestBytes,
    duration_ms: Math.round(durationMs * 1000) / 1000,
    ...log,
  };
}

test('logger: a request line equals the line of the general logger byte for byte', async (t) => {
  // Numbers as text: JSON has neither NaN nor negative zero.
  const numbers = (_: string, value: unknown) =>
    typeof value === 'number' ? { number: Object.is(value, -0) ? '-0' : String(value) } : value;
  const script = `
    const lines = JSON.parse(${JSON.stringify(
      JSON.stringify(
        EDGE_CASE_LINES.map((line) => [line, fieldsOf(line)]),
        numbers,
      ),
    )},
      (_, value) => value?.number === undefined ? value : Number(value.number));
    Date.now = () => 1_764_000_000_007;
    for (const [line, fields] of lines) {
      logger.request(line);
      logger.info(fields, 'request');
    }
    await flush();`;
  const { written } = await run(t, 'info', script);
  const lines = written.split('\n');
  assert.equal(lines.pop(), '', 'The last line is complete.');
  assert.equal(lines.length, 2 * EDGE_CASE_LINES.length, 'No text splits a line.');
  for (let index = 0; index < lines.length; index += 2) {
    assert.equal(lines[index], lines[index + 1]);
    parse(lines[index] ?? '');
  }
  const atWarn = await run(t, 'warn', script);
  assert.equal(atWarn.written, '', 'It has the level of the general logger.');
});

test('logger: a request line with any text and numbers equals the line of the general logger', () => {
  let written = '';
  const time = ',"time":"2026-01-02T03:04:05.678Z"';
  const general = pino({ base: null, timestamp: () => time }, { write: (line) => void (written = line) });
  const text = fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.uuid());
  const number = fc.oneof(fc.nat(), fc.double());
  // In the order in which the fields are written.
  const log = fc.record(
    { transfer_id: text, group_id: text, approval_id: text, transfers: number, ended: text, bytes: number, code: text },
    { requiredKeys: [], noNullPrototype: true },
  );
  const line = fc.record({
    requestId: text,
    trace: fc.option(fc.record({ traceId: text, spanId: text }), { nil: undefined }),
    method: text,
    route: text,
    ledger: fc.option(text, { nil: undefined }),
    key: fc.option(text, { nil: undefined }),
    status: number,
    requestBytes: number,
    durationMs: number,
    log: fc.option(log, { nil: undefined }),
  });
  fc.assert(
    fc.property(line, (line) => {
      general.info(fieldsOf(line), 'request');
      assert.equal(renderRequest(line, time), written);
    }),
    { numRuns: 2000 },
  );
});

test('logger: the time has milliseconds and follows the clock, also when it is set back', async (t) => {
  const times = [0, 999, 1000, 1009, 1099, 1_764_000_000_000, 1_764_000_000_001, 1_764_000_001_050, 1_764_000_000_999];
  const { written } = await run(
    t,
    'info',
    `for (const now of ${JSON.stringify(times)}) {
      Date.now = () => now;
      logger.info('a line');
    }
    await flush();`,
  );
  const lines = written.trimEnd().split('\n').map(parse);
  assert.deepEqual(
    lines.map(({ time }) => time),
    times.map((time) => new Date(time).toISOString()),
  );
});

test('logger: flush writes the lines in memory, also when the process exits at once', async (t) => {
  const lines = 1000;
  const { written, code } = await run(
    t,
    'info',
    `for (let n = 1; n <= ${lines}; n += 1) logger.info({ n }, 'a line'); await flush(); process.exit(3);`,
  );
  assert.equal(code, 3);
  assert.equal(written.trimEnd().split('\n').length, lines);
  assert.match(written, new RegExp(`"n":${lines},"msg":"a line"}\n$`));
});

test('logger: lines are written without flush', async (t) => {
  const script = `
    import { createLogger } from ${JSON.stringify(LOGGER)};
    const { logger } = await createLogger('info');
    logger.info('a line');
    setInterval(() => {}, 60_000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'ignore', 'pipe'] });
  t.after(() => child.kill('SIGKILL'));
  let written = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    written += text;
  });
  await until(() => written.includes('"msg":"a line"'), { what: 'the line' });
});

test('logger: an error is logged without the caller data that PostgreSQL quotes', async (t) => {
  const { written } = await run(
    t,
    'info',
    `const cause = Object.assign(new Error('new row violates check constraint "c"'), {
      name: 'error', code: '23514', constraint: 'c', table: 'accounts', detail: 'Failing row contains (Ada Lovelace, 1815-12-10).',
    });
    const error = Object.assign(new Error('invalid input syntax for type date: "Ada Lovelace"\\nand more of her', { cause }), {
      code: '22007', where: 'unnamed portal parameter $1 = Ada Lovelace', hint: 'Ada Lovelace',
    });
    logger.error({ err: error, transfers: 1 }, 'failed');
    logger.warn({ reason: error.message }, 'again');
    logger.warn({ err: 'Ada Lovelace' }, 'thrown');
    await flush();`,
  );
  assert.doesNotMatch(written, /Ada|Lovelace|1815/);
  const [failed, again] = written.trimEnd().split('\n').map(parse);
  assert.partialDeepStrictEqual(failed, {
    transfers: 1,
    err: {
      type: 'Error',
      message: 'invalid input syntax for type date',
      code: '22007',
      cause: { type: 'error', message: 'new row violates check constraint "c"', code: '23514', constraint: 'c' },
    },
  });
  assert.match(JSON.stringify(failed), /"stack":" {4}at file:.*:\d+:\d+/);
  assert.equal(again?.['reason'], 'invalid input syntax for type date');
});

/** Runs a script that has a logger and a flood of lines, with a standard error that nothing reads. */
async function runUnread(t: TestContext, stderr: 'pipe' | number, statements: string) {
  const script = `
    import { createLogger } from ${JSON.stringify(LOGGER)};
    import { droppedLogLines } from ${JSON.stringify(new URL('../src/log-destination.ts', import.meta.url).href)};
    import { once } from 'node:events';
    import { setTimeout as sleep } from 'node:timers/promises';
    const { logger, flush } = await createLogger('info');
    const flood = () => { for (let n = 0; n < 100_000; n += 1) logger.info({ n }, 'a line of a flood'); };
    ${statements}`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['pipe', 'pipe', stderr] });
  t.after(() => child.kill('SIGKILL'));
  const ended = new Promise<number | null>((resolve) => void child.once('exit', resolve));
  return { child, ended };
}

test('logger: a stalled reader delays neither the process nor its exit', async (t) => {
  const { child, ended } = await runUnread(
    t,
    'pipe',
    `flood(); await sleep(200); flood(); console.log(droppedLogLines()); await flush(); process.exit(3);`,
  );
  assert.ok(child.stdout);
  assert.ok(Number(await text(child.stdout)) > 50_000, 'Memory is bounded: most lines are dropped.');
  assert.equal(await ended, 3);
});

test('logger: a slow reader gets each request line once, complete and in order', async (t) => {
  // Characters of several bytes, so that a write that takes a part of the bytes splits them.
  const line = { ...PLAIN_LINE, log: { code: 'ü€😀'.repeat(8) } };
  const count = 10_000;
  const { child, ended } = await runUnread(
    t,
    'pipe',
    `const line = ${JSON.stringify(line)};
    for (let n = 1; n <= ${count}; n += 1) {
      if (n % 100 === 0) logger.warn({ request_id: n }, 'another line');
      else logger.request({ ...line, requestId: String(n) });
    }
    process.stdout.write(droppedLogLines() + '\\n');
    await once(process.stdin, 'data');
    for (let n = 0; n < 20; n += 1) await flush();
    process.exit();`,
  );
  assert.ok(child.stdout && child.stderr && child.stdin);
  const [dropped] = await once(child.stdout.setEncoding('utf8'), 'data');
  assert.equal(Number(dropped), 0);
  child.stdin.end('read');
  let written = '';
  for await (const text of child.stderr.setEncoding('utf8')) {
    written += String(text);
    // The writer finds the pipe full repeatedly.
    await sleep(1);
  }
  assert.equal(await ended, 0);
  const lines = written.trimEnd().split('\n').map(parse);
  assert.deepEqual(
    lines.map((each) => Number(each['request_id'])),
    Array.from({ length: count }, (_, index) => index + 1),
  );
  for (const { msg, code } of lines) if (msg === 'request') assert.equal(code, line.log.code);
});

test('logger: a reader that resumes gets the number of dropped lines', async (t) => {
  const { child, ended } = await runUnread(
    t,
    'pipe',
    `flood(); process.stdout.write(droppedLogLines() + '\\n'); await once(process.stdin, 'data'); for (let n = 0; n < 20; n += 1) await flush(); process.exit();`,
  );
  assert.ok(child.stdout && child.stderr && child.stdin);
  const [count] = await once(child.stdout.setEncoding('utf8'), 'data');
  const written = text(child.stderr);
  child.stdin.end('read');
  const lines = (await written).trimEnd().split('\n').map(parse);
  assert.equal(await ended, 0);
  const { lines: dropped } = lines.find(({ msg }) => msg === 'log lines dropped') ?? {};
  assert.equal(dropped, Number(count));
  assert.equal(lines.length - 1 + Number(count), 100_000, 'Each line is either written or counted.');
});

test('logger: a closed reader does not end the process', async (t) => {
  const { child, ended } = await runUnread(
    t,
    'pipe',
    `console.log('started'); await once(process.stdin, 'data'); flood(); await sleep(300); flood(); await flush(); process.exit(3);`,
  );
  assert.ok(child.stdout && child.stderr && child.stdin);
  await once(child.stdout, 'data');
  child.stderr.destroy();
  child.stdin.end('go on');
  assert.equal(await ended, 3);
});

test('logger: a full disk does not end the process', { skip: !existsSync('/dev/full') }, async (t) => {
  const full = openSync('/dev/full', 'w');
  t.after(() => closeSync(full));
  const { ended } = await runUnread(t, full, `flood(); await sleep(300); flood(); await flush(); process.exit(3);`);
  assert.equal(await ended, 3);
});
