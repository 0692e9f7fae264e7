// The logger writes to standard error, so each test runs it in a process of its own.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import { z } from 'zod';
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
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'pipe'] });
  t.after(() => child.kill('SIGKILL'));
  const ended = new Promise<number | null>((resolve) => void child.once('close', resolve));
  const [written, printed] = await Promise.all([text(child.stderr), text(child.stdout)]);
  assert.equal(printed, '', 'Standard output is for data.');
  return { written, code: await ended };
}

function parse(line: string): Record<string, unknown> {
  return z.record(z.string(), z.unknown()).parse(JSON.parse(line));
}

test('logger: a line is a JSON object with level, time and message, and nothing of this machine', async (t) => {
  const { written } = await run(t, 'info', `logger.info({ transfers: 2 }, 'two "lines"\\nin one'); await flush();`);
  const [line = '', rest] = written.split('\n');
  assert.equal(rest, '');
  const { time, ...others } = parse(line);
  assert.deepEqual(others, { level: 30, transfers: 2, msg: 'two "lines"\nin one' });
  assert.match(String(time), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assert.ok(Math.abs(Date.parse(String(time)) - Date.now()) < 60_000);
});

test('logger: a level lets through what is as grave, and silent lets through nothing', async (t) => {
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

test('logger: what is held in memory is written by flush, also when the process ends at once', async (t) => {
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

test('logger: lines do not wait for flush for ever', async (t) => {
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

test('logger: an error is told without the words of the caller that PostgreSQL quotes', async (t) => {
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

test('logger: a reader that stalls delays neither the process nor its end', async (t) => {
  const { child, ended } = await runUnread(
    t,
    'pipe',
    `flood(); await sleep(200); flood(); console.log(droppedLogLines()); await flush(); process.exit(3);`,
  );
  assert.ok(child.stdout);
  assert.ok(Number(await text(child.stdout)) > 50_000, 'Memory is bounded: most lines are dropped.');
  assert.equal(await ended, 3);
});

test('logger: a reader that comes back reads how many lines are missing', async (t) => {
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

test('logger: a reader that goes away does not end the process', async (t) => {
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
