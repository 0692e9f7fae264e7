// Faults at the service's edges: callers that disconnect, stall or do not read, and exports that are cut off.
import { existsSync } from 'node:fs';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { bodyOf, RICH } from './callers.ts';
import { reset } from '../support/reset.ts';
import type { FaultContext, Fault } from './fault.ts';

const RECOVER_MS = 15_000;
const FORMER = 'the report of last month\n';
const SIGNALED = 128;
const SIGTERM = 15;

export const EDGE_FAULTS: readonly Fault[] = [
  {
    name: 'slow-callers',
    shape: { services: 1, env: { REQUEST_TIMEOUT_MS: '2000' } },
    recoverMs: RECOVER_MS,
    inject: async (context) => {
      const sockets = [
        ...times(60, () => hangUpAfterOrder(context)),
        ...times(40, () => hangUpInOrder(context)),
        ...times(40, () => dawdle(context)),
        ...times(40, () => doNotRead(context)),
      ];
      await sleep(context.draw.whole(500, context.short ? 1500 : 4000));
      for (const socket of sockets) socket.destroy();
    },
  },
  {
    name: 'export-cut',
    shape: { services: 1 },
    recoverMs: RECOVER_MS,
    inject: async (context) => {
      await Promise.all([
        cutReport(context, 'SIGKILL'),
        cutReport(context, 'SIGTERM'),
        ...times(5, () => cutStream(context)),
      ]);
    },
  },
];

function times<Item>(count: number, make: () => Item): Item[] {
  return Array.from({ length: count }, make);
}

function dial({ system, draw }: FaultContext): { socket: Socket; url: string } {
  const url = draw.pick(system.urls);
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => {});
  return { socket, url };
}

/**
 * An order, whole, from a caller that disconnects before the answer. It may or may not be stored, as for any lost
 * answer.
 */
function hangUpAfterOrder(context: FaultContext): Socket {
  const { socket, request } = order(context, { partial: false });
  socket.write(request, () => setTimeout(() => reset(socket), context.draw.whole(0, 30)));
  return socket;
}

/** Part of an order: it must have no effect. */
function hangUpInOrder(context: FaultContext): Socket {
  const { socket, request } = order(context, { partial: true });
  socket.write(request.slice(0, context.draw.whole(1, request.length - 1)), () => socket.end());
  return socket;
}

/** An order that arrives byte by byte, too slowly to be complete in time. */
function dawdle(context: FaultContext): Socket {
  const { socket, request } = order(context, { partial: true });
  let sent = 0;
  const timer = setInterval(() => socket.write(request.slice(sent, (sent += 1))), 30);
  socket.once('close', () => clearInterval(timer));
  return socket;
}

/** Requests large answers and reads none of them. */
function doNotRead(context: FaultContext): Socket {
  const { socket } = dial(context);
  socket.pause();
  const { authorization } = context.callers.key.headers;
  socket.write(
    `GET /transfers?limit=1000 HTTP/1.1\r\nHost: chaos\r\nAuthorization: ${authorization}\r\n\r\n`.repeat(5),
  );
  return socket;
}

/** An order of its own as HTTP, kept as one that was not answered. */
function order(context: FaultContext, how: { partial: boolean }): { socket: Socket; request: string } {
  const { socket, url } = dial(context);
  const intent = context.callers.draft();
  const requestId = context.callers.requestId();
  const body = JSON.stringify(bodyOf(intent));
  const { key } = context.callers;
  context.callers.keepUnanswered(intent, { requestId, url, key: key.id, ...how });
  const head = [
    `POST ${intent.path} HTTP/1.1`,
    'Host: chaos',
    `Authorization: ${key.headers.authorization}`,
    'Content-Type: application/json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    `Idempotency-Key: ${intent.name}`,
    `X-Request-ID: ${requestId}`,
  ];
  return { socket, request: `${head.join('\r\n')}\r\n\r\n${body}` };
}

/** A report that is interrupted: its file is the former one or a complete new one, never a part. */
async function cutReport({ system, draw }: FaultContext, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
  const path = join(system.folder, `${signal}.csv`);
  await writeFile(path, FORMER);
  const account = `${RICH.prefix}${draw.whole(0, RICH.count - 1)}`;
  const [before] = await system.query(
    'select count(*)::integer as count from transfers where from_account = $1::text or to_account = $1::text',
    [account],
  );
  const report = await system.run(['report', `--user=${account}`, `--output=${path}`]);
  await sleep(draw.whole(0, 1500));
  const exit = await (signal === 'SIGKILL' ? report.kill() : report.stop());
  const text = await readFile(path, 'utf8');
  const complain = (what: string): void => void system.complaints.push(`A report that got ${signal} ${what}.`);
  if (exit.code === 0) {
    const rows = text.trimEnd().split('\n').length - 1;
    if (!report.output().includes(`${rows} transfers written`))
      complain(`left ${rows} rows and printed: ${report.output()}`);
    return;
  }
  // It may have been interrupted just before its end: then the file is new and complete.
  const isWhole = text.endsWith('\n') && text.split('\n').length - 2 >= Number(before?.['count']);
  if (text !== FORMER && !isWhole) complain(`failed, and left ${text.length} bytes under its name`);
  // Before it listens for signals, a process is ended by them.
  const asTold = signal === 'SIGKILL' || exit.signal === signal || exit.code === SIGNALED + SIGTERM;
  if (!asTold) complain(`ended with code ${exit.code}: ${report.output()}`);
  const parts = (await readdir(system.folder)).filter((name) => name.startsWith(`${signal}.csv.`));
  if (signal === 'SIGTERM' && parts.length > 0) complain(`left ${parts.join(', ')}`);
  if (!existsSync(path)) complain('removed the former file');
}

/** A statement or the feed over HTTP, from a reader that disconnects in the middle. */
async function cutStream(context: FaultContext): Promise<void> {
  const { draw } = context;
  const month = new Date().toISOString().slice(0, 7);
  const path = draw.pick([`/accounts/${RICH.prefix}0/statements/${month}`, '/events?after=0', '/transfers?limit=1000']);
  const accept = draw.pick(['text/csv', 'application/json', 'text/event-stream']);
  const { socket } = dial(context);
  const { authorization } = context.callers.key.headers;
  let remaining = draw.whole(1, 50_000);
  socket.on('data', (chunk: Buffer) => {
    remaining -= chunk.length;
    if (remaining <= 0) reset(socket);
  });
  socket.write(`GET ${path} HTTP/1.1\r\nHost: chaos\r\nAuthorization: ${authorization}\r\nAccept: ${accept}\r\n\r\n`);
  await sleep(draw.whole(200, 1000));
  socket.destroy();
}
