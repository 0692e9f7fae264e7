// A low-level client: it sends any bytes, and reads the answer. undici and node:http would refuse to send most of it.
import { connect, type Socket } from 'node:net';

export type Answer = {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
  /** Whether the service announces that it closes the connection. */
  readonly closes: boolean;
};

export type Outcome =
  | { readonly ended: 'answered'; readonly answer: Answer; readonly rest: Buffer }
  /** The connection was closed, or could not be opened. */
  | { readonly ended: 'closed'; readonly received: Buffer; readonly reason: string }
  | { readonly ended: 'late'; readonly received: Buffer };

/** One connection at a time, kept as long as the service keeps it. */
export class Line {
  readonly #port: number;
  #socket: Socket | null = null;

  constructor(port: number) {
    this.#port = port;
  }

  /** Sends a request and waits for its answer, for `timeoutMs` at most. Never rejects. */
  async exchange(request: Buffer, options: { timeoutMs: number; isHead: boolean }): Promise<Outcome> {
    const socket = (this.#socket ??= connect({ port: this.#port, host: '127.0.0.1', noDelay: true }));
    const outcome = await new Promise<Outcome>((resolve) => {
      let received = Buffer.alloc(0);
      let reason = 'closed';
      const settle = (outcome: Outcome): void => {
        clearTimeout(patience);
        socket.removeAllListeners();
        // An idle connection may still break.
        socket.on('error', () => {});
        resolve(outcome);
      };
      const patience = setTimeout(() => settle({ ended: 'late', received }), options.timeoutMs);
      const look = (ended: boolean): boolean => {
        const parsed = parseAnswer(received, { isHead: options.isHead, ended });
        if (parsed) settle({ ended: 'answered', ...parsed });
        return parsed !== null;
      };
      socket.on('data', (data: Buffer) => {
        received = Buffer.concat([received, data]);
        look(false);
      });
      socket.once('close', () => {
        if (!look(true)) settle({ ended: 'closed', received, reason });
      });
      socket.once('error', (error) => {
        reason = error.message;
      });
      socket.write(request);
    });
    const goesOn = outcome.ended === 'answered' && !outcome.answer.closes && outcome.rest.length === 0;
    if (!goesOn || socket.destroyed || socket.readableEnded) this.close();
    return outcome;
  }

  close(): void {
    this.#socket?.destroy();
    this.#socket = null;
  }
}

/** The first answer in the bytes, interim ones (1xx) left out; null if it is not there whole. */
export function parseAnswer(
  bytes: Buffer,
  { isHead, ended }: { isHead: boolean; ended: boolean },
): { answer: Answer; rest: Buffer } | null {
  const end = bytes.indexOf('\r\n\r\n');
  if (end === -1) return null;
  const [statusLine = '', ...lines] = bytes.subarray(0, end).toString('latin1').split('\r\n');
  const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(`${statusLine} `)?.[1] ?? Number.NaN);
  const after = bytes.subarray(end + 4);
  if (status >= 100 && status < 200) return parseAnswer(after, { isHead, ended });
  const headers = new Map(
    lines.map((line): [string, string] => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    }),
  );
  const closes = headers.get('connection')?.toLowerCase() === 'close';
  const found = (body: Buffer, rest: Buffer) => ({ answer: { status, headers, body, closes }, rest });
  if (isHead || status === 204 || status === 304) return found(Buffer.alloc(0), after);
  // The feed has no end: its head is its answer.
  if (headers.get('content-type') === 'text/event-stream') {
    return { answer: { status, headers, body: Buffer.alloc(0), closes: true }, rest: Buffer.alloc(0) };
  }
  if (headers.get('transfer-encoding') === 'chunked') {
    const whole = parseChunks(after);
    return whole && found(whole.body, whole.rest);
  }
  const length = headers.get('content-length');
  if (length === undefined) return ended ? found(after, Buffer.alloc(0)) : null;
  return after.length < Number(length)
    ? null
    : found(after.subarray(0, Number(length)), after.subarray(Number(length)));
}

function parseChunks(bytes: Buffer): { body: Buffer; rest: Buffer } | null {
  const parts: Buffer[] = [];
  let rest = bytes;
  for (;;) {
    const end = rest.indexOf('\r\n');
    if (end === -1) return null;
    const size = Number.parseInt(rest.subarray(0, end).toString('latin1'), 16);
    const next = end + 2 + size + 2;
    if (rest.length < next) return null;
    if (size === 0) return { body: Buffer.concat(parts), rest: rest.subarray(next) };
    parts.push(rest.subarray(end + 2, end + 2 + size));
    rest = rest.subarray(next);
  }
}
