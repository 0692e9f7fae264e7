// The memory that bodies take while they arrive: one buffer each, and a bound for all of them together.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { readJson } from '../../src/main/http/body.ts';
import { ByteBudget, type CallerBudget } from '../../src/main/http/byte-budget.ts';
import { Problem } from '../../src/main/http/problem.ts';
import { onEnd } from '../support/cleanup.ts';
import { until } from '../support/until.ts';

const MIB = 1024 * 1024;
const HEAD = 'POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n';
/** The megabytes that a body may cost: those of its buffer while it doubles, and no more. */
const MEMORY_PER_BODY_MAX = 4 * MIB;

/** The budget of one caller, which remembers how much was ever taken. */
class WatchedBudget implements CallerBudget {
  readonly #budget: CallerBudget;
  taken = 0;
  takenMax = 0;

  constructor(bytesMax: number) {
    this.#budget = new ByteBudget(bytesMax, 'too_many_bodies').of('caller');
  }

  take(bytes: number): void {
    this.#budget.take(bytes);
    this.taken += bytes;
    this.takenMax = Math.max(this.takenMax, this.taken);
  }

  takeAnyway(bytes: number): void {
    this.#budget.takeAnyway(bytes);
  }

  release(bytes: number): void {
    this.#budget.release(bytes);
    this.taken -= bytes;
  }
}

/** A server that reads bodies of up to 1 MiB within a budget, and counts the bytes and the outcomes. */
async function serve(t: TestContext, budgetBytes: number) {
  const budget = new WatchedBudget(budgetBytes);
  const outcomes: string[] = [];
  let received = 0;
  const server = createServer((request, response) => {
    readJson(request, { bytesMax: MIB, budget })
      .then(() => outcomes.push('read'))
      .catch((error: unknown) => outcomes.push(error instanceof Problem ? error.code : String(error)))
      .finally(() => {
        response.statusCode = outcomes.at(-1) === 'read' ? 200 : 503;
        response.end();
        request.resume();
      });
    request.on('data', (chunk: Buffer) => (received += chunk.length));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onEnd(t, () => {
    server.closeAllConnections();
    server.close();
  });
  const open = async (head: string): Promise<Socket> => {
    const socket = connect(portOf(server.address()), '127.0.0.1');
    socket.on('error', () => {});
    onEnd(t, () => {
      socket.destroy();
    });
    await once(socket, 'connect');
    socket.write(`${HEAD}${head}\r\n\r\n`);
    return socket;
  };
  return { budget, outcomes, open, received: () => received };
}

test('body: chunks of one byte take no more memory than one large chunk', async (t) => {
  const { open, received } = await serve(t, 64 * MIB);
  const sockets = await Promise.all(Array.from({ length: 3 }, () => open('Transfer-Encoding: chunked')));
  const before = usedMemory();
  const bytes = 600_000;
  const chunks = Buffer.from('1\r\n \r\n'.repeat(10_000));
  for (const socket of sockets) {
    for (let sent = 0; sent < bytes; sent += 10_000) {
      if (!socket.write(chunks)) await once(socket, 'drain');
    }
  }
  await until(() => received() === bytes * sockets.length, { what: 'the bodies to arrive', timeoutMs: 60_000 });
  const used = usedMemory() - before;
  assert.ok(used < MEMORY_PER_BODY_MAX * sockets.length, `${Math.round(used / MIB)} MiB`);
});

test('body: a body beyond the budget of all bodies is refused, and small bodies are not', async (t) => {
  const { budget, outcomes, open } = await serve(t, 2 * MIB);
  const half = 'x'.repeat(MIB / 2);
  const sockets = [];
  for (let index = 0; index < 6; index += 1) {
    const socket = await open(`Content-Length: ${MIB}`);
    socket.write(half);
    sockets.push(socket);
  }
  await until(() => outcomes.length > 0, { what: 'a refusal' });
  assert.deepEqual(new Set(outcomes), new Set(['too_many_bodies']));
  assert.ok(budget.takenMax <= 2 * MIB);
  const small = await open('Content-Length: 2');
  small.write('{}');
  await until(() => outcomes.includes('read'), { what: 'the small body' });
  for (const socket of sockets) socket.destroy();
  await until(() => budget.taken === 0, { what: 'the budget to be free' });
});

test('body: the budget is released when a body ends, is too large, is no JSON, or breaks off', async (t) => {
  const { budget, outcomes, open } = await serve(t, 2 * MIB);
  const large = JSON.stringify('x'.repeat(MIB / 2));
  const whole = await open(`Content-Length: ${large.length}`);
  whole.write(large);
  await until(() => outcomes.length === 1, { what: 'the whole body' });
  const broken = await open(`Content-Length: ${large.length}`);
  broken.write(large.replaceAll('"', 'x'));
  await until(() => outcomes.length === 2, { what: 'the body that is no JSON' });
  const tooLarge = await open('Transfer-Encoding: chunked');
  for (let index = 0; index < 3; index += 1) tooLarge.write(`${large.length.toString(16)}\r\n${large}\r\n`);
  await until(() => outcomes.length === 3, { what: 'the body that is too large' });
  const aborted = await open(`Content-Length: ${large.length}`);
  aborted.write(large.slice(1));
  await until(() => budget.taken > 0, { what: 'the bytes that are counted' });
  aborted.destroy();
  await until(() => outcomes.length === 4, { what: 'the body that breaks off' });
  assert.deepEqual(outcomes, ['read', 'malformed_json', 'body_too_large', 'request_timeout']);
  assert.equal(budget.taken, 0);
});

/** The bytes in use after a collection of garbage. */
function usedMemory(): number {
  setFlagsFromString('--expose-gc');
  const collect: unknown = runInNewContext('gc');
  if (typeof collect === 'function') collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

function portOf(address: AddressInfo | string | null): number {
  if (typeof address !== 'object' || address === null) throw new Error('The server must listen on a port.');
  return address.port;
}
