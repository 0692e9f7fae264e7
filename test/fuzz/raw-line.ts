// Sends an entry of the raw corpus on a connection of its own, and returns everything received.
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { reset } from '../support/reset.ts';
import type { Step } from './raw-entry.ts';
import { type Answer, parseAnswer } from './wire.ts';

export type Played = {
  answers: Answer[];
  /** What came behind the last whole answer. */
  rest: Buffer;
  ended: 'closed' | 'in time' | 'late';
};

/** A request after all others: once it is answered, all others are, and the end of each is unambiguous. */
const PROBE = 'GET /healthz HTTP/1.1\r\nHost: x\r\nX-Request-ID: probe\r\n\r\n';

export type PlayOptions = {
  timeoutMs: number;
  /** Which answers are to HEAD. */
  heads?: readonly number[];
  /** After how many answers to send one request more; 0: right behind the steps. When it is answered, all is over. */
  probeAfter?: number;
  /** How long nothing may come before our half of the connection is ended. */
  quietMs?: number;
};

/** Sends the steps one by one, and reads until the service closes the connection, the probe is answered, or time is over. */
export async function play(service: { url: string }, steps: readonly Step[], options: PlayOptions): Promise<Played> {
  const { timeoutMs, heads = [], probeAfter, quietMs } = options;
  const port = Number(new URL(service.url).port);
  const socket = connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true });
  let received = Buffer.alloc(0);
  let over = false;
  let probed = false;
  const look = (ended: boolean): { answers: Answer[]; rest: Buffer } => {
    const answers: Answer[] = [];
    let rest: Buffer = received;
    for (;;) {
      const parsed = parseAnswer(rest, { isHead: heads.includes(answers.length), ended });
      if (!parsed) return { answers, rest };
      answers.push(parsed.answer);
      ({ rest } = parsed);
    }
  };
  const probe = (): void => {
    if (probed || !socket.writable) return;
    probed = true;
    socket.write(PROBE, 'latin1');
  };
  let quiet: NodeJS.Timeout | undefined;
  const listen = (): void => {
    if (quietMs === undefined) return;
    clearTimeout(quiet);
    quiet = setTimeout(() => socket.end(), quietMs);
  };
  const ended = new Promise<Played['ended']>((resolve) => {
    const patience = setTimeout(() => resolve('late'), timeoutMs);
    const settle = (how: Played['ended']): void => {
      clearTimeout(patience);
      resolve(how);
    };
    socket.on('data', (data: Buffer) => {
      received = Buffer.concat([received, data]);
      listen();
      const { answers } = look(false);
      if (answers.at(-1)?.headers.get('x-request-id') === 'probe') settle('in time');
      if (answers.length === probeAfter) probe();
    });
    socket.on('end', () => settle('closed'));
    socket.on('close', () => settle('closed'));
    // A connection that is cut while we still write is an error; what had come before it counts.
    socket.on('error', () => {});
  });
  const sendAll = async (): Promise<void> => {
    await send(socket, steps, () => over);
    listen();
    if (probeAfter === 0) probe();
  };
  void sendAll();
  const how = await ended;
  over = true;
  clearTimeout(quiet);
  socket.destroy();
  return { ...look(how === 'closed'), ended: how };
}

async function send(socket: Socket, steps: readonly Step[], isOver: () => boolean): Promise<void> {
  for (const step of steps) {
    if (isOver() || !socket.writable) return;
    if (typeof step === 'string') {
      if (step !== '') await new Promise<void>((done) => void socket.write(step, 'latin1', () => done()));
    } else if ('waitMs' in step) await sleep(step.waitMs);
    else if (step.ends === 'half') socket.end();
    else {
      // What was written before goes out first.
      await sleep(20);
      reset(socket);
    }
  }
}
