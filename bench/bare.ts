// A process that answers like the service and does nothing else. It measures the maximum of node:http and the load
// generator.
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { randomUUIDv7 } from 'node:crypto';

const server = createServer((request, response) => {
  // The generator asks for the balances at its end.
  if (request.method === 'GET') {
    send(response, 200, { journal_number: 0, currencies: [] });
    return;
  }
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    const order: unknown = JSON.parse(Buffer.concat(chunks).toString());
    send(response, 202, transferOf(randomUUIDv7(), order));
  });
});

server.listen(0, '127.0.0.1', () => {
  const address: AddressInfo | string | null = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('It listens on a port.');
  process.stdout.write(`listening on http://127.0.0.1:${address.port}\n`);
});
process.once('SIGTERM', () => process.exit(0));

function send(response: ServerResponse, status: number, json: unknown): void {
  const body = JSON.stringify(json);
  response.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) });
  response.end(body);
}

/** The shape and the size of the service's own answer. */
function transferOf(id: string, order: unknown): Record<string, unknown> {
  return {
    id,
    kind: 'transfer',
    status: 'pending',
    failure_code: null,
    ...(typeof order === 'object' ? order : {}),
    currency: null,
    parent_id: null,
    group_id: null,
    description: null,
    metadata: null,
    request_id: id,
    created_at: '2026-01-01T00:00:00.000000Z',
    completed_at: null,
    journal_number: null,
  };
}
