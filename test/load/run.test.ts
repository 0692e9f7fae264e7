// gopherpay load with stages, its files, and gopherpay load compare, as their users run them.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { type LoadResult, resultForm } from '../../src/load/result.ts';
import { createDatabase } from '../support/database.ts';
import { makeKey } from '../support/keys.ts';
import { makeFolder, type Program, startProgram, startService } from '../support/service.ts';
import { until } from '../support/until.ts';
import { exampleResult } from './example.ts';

const ESCAPE = '\u001b[2J';

test('load: stages give a result and a report, in which every accepted transfer is settled', async (t) => {
  const { url, key } = await startClosedService(t);
  const folder = await makeFolder(t);
  const files = [`--output=${join(folder, 'new/run.json')}`, `--report=${join(folder, 'run.html')}`];
  const program = await run(t, [`--url=${url}`, `--key=${key}`, '--stages=2s:20..60/s,1s:30/s', ...files]);
  assert.deepEqual(await program.exited, { code: 0, signal: null }, program.output());
  const json = await readFile(join(folder, 'new/run.json'), 'utf8');
  const html = await readFile(join(folder, 'run.html'), 'utf8');
  const result = resultForm.parse(JSON.parse(json));
  assert.deepEqual(result.stages, [
    { seconds: 2, from: 20, to: 60 },
    { seconds: 1, from: 30, to: 30 },
  ]);
  const { offered, accepted, settled, settled_as_failed: asFailed, unbalanced, left } = result;
  assert.deepEqual(
    { offered, accepted, settled, asFailed, unbalanced, left },
    { offered: 110, accepted: 110, settled: 110, asFailed: 0, unbalanced: [], left: [] },
  );
  for (const name of ['offered', 'sent', 'accepted', 'settled'] as const) {
    assert.equal(sumOf(result, name), 110, name);
  }
  assert.deepEqual(
    result.series.slice(0, 3).map(({ offered: due }) => due),
    [30, 50, 30],
  );
  assert.match(html, /Verified: all 110 accepted transfers are final in the feed\./);
  assert.match(result.command, /^gopherpay load .*--key=\(secret\) --stages=2s:20\.\.60\/s,1s:30\/s /);
  for (const text of [json, html, program.output()]) assert.ok(!text.includes(key), 'The key is in no output.');

  const compared = await run(t, ['compare', join(folder, 'new/run.json'), join(folder, 'new/run.json')], []);
  assert.deepEqual(await compared.exited, { code: 0, signal: null }, compared.output());
  assert.match(compared.stdout(), /^Fewer than 20 seconds can be compared: accepted; settled;/m);
});

test('load: stages of connections are a closed loop, and Ctrl-C writes the files of what was measured', async (t) => {
  const { url } = await startService(t, { database: await createDatabase(t), env: { THREADS: '2' } });
  const folder = await makeFolder(t);
  const files = [`--output=${join(folder, 'run.json')}`, `--report=${join(folder, 'run.html')}`];
  const program = await run(t, [`--url=${url}`, '--stages=1s:1c,10m:2c', ...files]);
  await until(() => /\n3 s .*accepted [1-9]/.test(program.output()), { what: 'the first line about the load' });
  process.kill(program.pid, 'SIGINT');
  assert.deepEqual(await program.exited, { code: 130, signal: null }, program.output());
  const result = resultForm.parse(JSON.parse(await readFile(join(folder, 'run.json'), 'utf8')));
  assert.equal(result.interrupted, true);
  assert.equal(result.unit, 'connections');
  assert.ok(result.series.every(({ in_flight: inFlight }) => inFlight <= 2));
  assert.ok(result.accepted > 0 && result.settled === result.accepted);
  assert.match(await readFile(join(folder, 'run.html'), 'utf8'), /interrupted/);
});

test('load: latencies count from the intended start, so a stall is in all requests that were due in it', async (t) => {
  const stalled: (() => void)[] = [];
  const url = await startFake(t, (send) => {
    stalled.push(() => send(202, { id: `transfer-${stalled.length}`, status: 'pending' }));
    // The first answer comes when a second has passed; until then, the only connection is not free.
    if (stalled.length === 1) setTimeout(() => stalled[0]?.(), 1000);
    else stalled.at(-1)?.();
  });
  const program = await run(
    t,
    [`--url=${url}`, '--stages=2s:10/s', '--connections=1', '--json'],
    ['--yes', '--accounts=2'],
  );
  await program.exited;
  const result = resultForm.parse(JSON.parse(program.stdout()));
  const { offered, accept_ms: first } = result.series[0] ?? {};
  assert.equal(offered, 10, 'The requests of the stall are in the second in which they were due.');
  assert.ok((first?.p50 ?? 0) >= 450, `The median request of the stall waited for half of it: ${first?.p50} ms`);
});

test("load: a service's codes are written without control characters", async (t) => {
  const url = await startFake(t, (send) => send(400, { code: `evil${ESCAPE}` }));
  const folder = await makeFolder(t);
  const options = [`--url=${url}`, '--stages=1s:5/s', `--report=${join(folder, 'run.html')}`];
  const program = await run(t, options, ['--yes', '--accounts=2']);
  assert.deepEqual(await program.exited, { code: 0, signal: null }, program.output());
  assert.match(program.stdout(), /^evil\\u001b\[2J +5 requests$/m);
  assert.ok(!program.output().includes(ESCAPE));
});

test('load: options that contradict each other, and paths that cannot be written, are refused before the load', async (t) => {
  const folder = await makeFolder(t);
  for (const { options, expected } of [
    { options: ['--stages=10s:5/s', '--rate=5'], expected: 'Choose --stages or --rate, not both.' },
    { options: ['--stages=10s:5/s', '--duration=5'], expected: 'Choose --stages or --duration, not both.' },
    {
      options: ['--stages=10s:5c', '--connections=5'],
      expected: 'The stages have their connections: leave out --connections.',
    },
    {
      options: ['--stages=10s:5c,x'],
      expected: /^The option --stages is wrong: it must be stages such as .* and "x" is none\.$/,
    },
    { options: [`--output=${folder}`], expected: /exists and is not a file/ },
    { options: [`--report=${folder}`], expected: /exists and is not a file/ },
  ]) {
    const program = await run(t, ['--url=http://127.0.0.1:1', ...options]);
    const { code } = await program.exited;
    assert.ok(code === 1 || code === 2, program.output());
    if (typeof expected === 'string') assert.equal(program.output(), `${expected}\n`);
    else assert.match(program.output().trimEnd(), expected);
  }
});

test('load compare: exits 99 if p99 grew by more than --fail-above and the noise does not explain it', async (t) => {
  const folder = await makeFolder(t);
  const [a, b] = [join(folder, 'a.json'), join(folder, 'b.json')];
  const slower = exampleResult.series.map(({ accept_ms: spread, ...interval }) => ({
    ...interval,
    accept_ms: spread && { ...spread, p99: 1.5 * spread.p99, max: 2 * spread.max },
  }));
  await writeFile(a, JSON.stringify(exampleResult));
  await writeFile(b, JSON.stringify({ ...exampleResult, series: slower }));
  for (const { options, code } of [
    { options: [a, b], code: 0 },
    { options: [a, b, '--fail-above=1.2'], code: 99 },
    { options: [a, b, '--fail-above=1.6'], code: 0 },
    { options: [a, a, '--fail-above=0.9'], code: 0 },
    { options: [a, b, `--report=${join(folder, 'report.html')}`], code: 0 },
    { options: [a], code: 2 },
    { options: [a, b, a], code: 2 },
    { options: [a, b, '--fail-above=much'], code: 2 },
    { options: [a, join(folder, 'missing.json')], code: 1 },
    { options: [a, import.meta.filename], code: 1 },
  ]) {
    const program = await run(t, ['compare', ...options], []);
    assert.equal((await program.exited).code, code, `${options.join(' ')}: ${program.output()}`);
  }
  assert.match(
    await readFile(join(folder, 'report.html'), 'utf8'),
    /Time to accepted, p99: B takes 1\.50 times as long as A\./,
  );
});

async function run(t: TestContext, options: string[], others = ['--yes', '--accounts=5']): Promise<Program> {
  return await startProgram(t, { args: ['load', ...options, ...others] });
}

/** A service with keys, and one of them. */
async function startClosedService(t: TestContext): Promise<{ url: string; key: string }> {
  const database = await createDatabase(t);
  const { text } = await makeKey(database);
  const { url } = await startService(t, { database, env: { THREADS: '2' } });
  return { url, key: text };
}

/** Answers as a service does whose transfers are settled at once. `onTransfer` answers a transfer. */
async function startFake(
  t: TestContext,
  onTransfer: (send: (status: number, body: { id?: string; code?: string; status?: string }) => void) => void,
): Promise<string> {
  const ids: string[] = [];
  const send = (response: ServerResponse, status: number, body: unknown) =>
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  const server = createServer((request, response) => {
    request.resume();
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://service');
    if (pathname === '/balances') send(response, 200, { journal_number: 0, currencies: [] });
    else if (pathname === '/accounts') send(response, 201, {});
    else if (request.method === 'DELETE') response.writeHead(204).end();
    else if (pathname.startsWith('/accounts/')) send(response, 200, { balance: 0, status: 'open' });
    else if (pathname === '/events') {
      const after = Number(searchParams.get('after'));
      const transfers = ids.slice(after).map((id) => ({ id, status: 'completed' }));
      send(response, 200, {
        items: transfers.length === 0 ? [] : [{ journal_number: after + transfers.length, transfers }],
      });
    } else if (pathname === '/transfers') {
      onTransfer((status, body) => {
        if (body.id !== undefined) ids.push(body.id);
        send(response, status, body);
      });
    } else send(response, 404, { code: 'not_found' });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  return `http://127.0.0.1:${address.port}`;
}

function sumOf({ series }: LoadResult, name: 'offered' | 'sent' | 'accepted' | 'settled'): number {
  return series.reduce((sum, interval) => sum + interval[name], 0);
}
