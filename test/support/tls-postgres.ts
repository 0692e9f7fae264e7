// TLS in front of a database, as PostgreSQL offers it: a request for it, one byte of consent, then the handshake.
import { once } from 'node:events';
import { createConnection, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { TLSSocket } from 'node:tls';
import { pemOf } from './certificates.ts';
import { onEnd, type Scope } from './cleanup.ts';
import type { TestDatabase } from './database.ts';

const SSL_REQUEST = '0000000804d2162f';

/** Offers TLS with a certificate of the tests, and requires it. Returns the port on 127.0.0.1. */
export async function startTlsPostgres(scope: Scope, database: TestDatabase, certificate: string): Promise<number> {
  const { host, port } = database.admin;
  const target = host.startsWith('/') ? { path: join(host, `.s.PGSQL.${port}`) } : { host, port };
  return await listen(scope, (client) => {
    client.once('data', (request) => {
      if (request.toString('hex') !== SSL_REQUEST) {
        client.destroy();
        return;
      }
      client.write('S');
      const secure = new TLSSocket(client, { isServer: true, ...pemOf(certificate) });
      secure.on('error', () => secure.destroy());
      const server = createConnection(target);
      server.on('error', () => secure.destroy());
      secure.pipe(server).pipe(secure);
      secure.once('close', () => server.destroy());
    });
  });
}

/** What an attacker in the place of the database saw. */
export type Attacker = { readonly port: number; readonly received: () => string };

/**
 * A server in the place of the database that asks for the password in clear text: at once, or after a handshake with a
 * certificate of the tests. `first`: an earlier request, which the client answers.
 */
export async function startAttacker(
  scope: Scope,
  { certificate, first }: { certificate?: string; first?: Buffer } = {},
): Promise<Attacker> {
  let received = '';
  const listenTo = (stream: Socket): void => {
    const requests = first === undefined ? [CLEARTEXT_REQUEST] : [first, CLEARTEXT_REQUEST];
    stream.on('data', (bytes: Buffer) => {
      received += bytes.toString('latin1');
      const request = requests.shift();
      if (request !== undefined) stream.write(request);
    });
  };
  const port = await listen(scope, (client) => {
    if (certificate === undefined) {
      listenTo(client);
      return;
    }
    client.once('data', () => {
      client.write('S');
      const secure = new TLSSocket(client, { isServer: true, ...pemOf(certificate) });
      secure.on('error', () => secure.destroy());
      listenTo(secure);
    });
  });
  return { port, received: () => received };
}

/** AuthenticationCleartextPassword. */
const CLEARTEXT_REQUEST = Buffer.from('R\0\0\0\x08\0\0\0\x03', 'latin1');
/** AuthenticationSASL with SCRAM-SHA-256, to which a client answers without its password. */
export const SCRAM_REQUEST = Buffer.from('R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0', 'latin1');

async function listen(scope: Scope, onConnection: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    onConnection(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onEnd(scope, () => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('The server must listen on a port.');
  return address.port;
}
