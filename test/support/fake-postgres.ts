// A server that speaks just enough of PostgreSQL's protocol to replace one that is not available here: one that is too
// old, or that refuses a password.
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { onEnd, type Scope } from './cleanup.ts';

export type FakePostgres = {
  /** What it answers to any statement: one row, all of whose columns are text. */
  row?: Record<string, string>;
  /** The error with which it refuses every connection. */
  refusal?: { code: string; message: string };
  /** Whether it never answers. */
  mute?: boolean;
};

/** Starts such a server, and returns its DATABASE_URL. */
export async function startFakePostgres(scope: Scope, fake: FakePostgres): Promise<string> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    if (fake.mute) return;
    socket.once('data', () => {
      if (fake.refusal) {
        const { code, message } = fake.refusal;
        socket.end(frame('E', text(`SFATAL`), text(`VFATAL`), text(`C${code}`), text(`M${message}`), Buffer.alloc(1)));
        return;
      }
      // It accepts every client.
      socket.write(Buffer.concat([frame('R', int32(0)), READY]));
      socket.on('data', (bytes) => {
        if (bytes.toString('latin1', 0, 1) === 'Q') socket.write(renderRow(fake.row ?? {}));
      });
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onEnd(scope, () => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('The fake server must listen on a port.');
  return `postgres://ada:Geheim-4711@127.0.0.1:${address.port}/books`;
}

const READY = frame('Z', Buffer.from('I'));
const TEXT_TYPE = 25;

function renderRow(row: Record<string, string>): Buffer {
  const names = Object.keys(row);
  const fields = names.map((name) =>
    Buffer.concat([text(name), int32(0), int16(0), int32(TEXT_TYPE), int16(-1), int32(-1), int16(0)]),
  );
  const values = names.map((name) => {
    const value = Buffer.from(row[name] ?? '');
    return Buffer.concat([int32(value.length), value]);
  });
  return Buffer.concat([
    frame('T', int16(names.length), ...fields),
    frame('D', int16(names.length), ...values),
    frame('C', text('SELECT 1')),
    READY,
  ]);
}

function frame(type: string, ...parts: Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  return Buffer.concat([Buffer.from(type), int32(body.length + 4), body]);
}

function text(value: string): Buffer {
  return Buffer.from(`${value}\0`);
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}

function int16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeInt16BE(value);
  return bytes;
}
