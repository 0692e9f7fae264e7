// A process that answers as the service does and does nothing else: what node:http and the load generator can do at most.
// Its feed names what it answered, because the generator waits for that.
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { randomUUIDv7 } from 'node:crypto';

const answered: string[] = [];
const PAGE_MAX = 20_000;

const server = createServer((request, response) => {
  const path = request.url ?? '';
  if (request.method === 'GET') {
    send(response, 200, path.startsWith('/events') ? feed(path) : { journal_number: 0, currencies: [] });
    return;
  }
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    const order: unknown = JSON.parse(Buffer.concat(chunks).toString());
    const id = randomUUIDv7();
    answered.push(id);
    send(response, 202, transferOf(id, order));
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

function feed(path: string): unknown {
  const after = Number(/after=(\d+)/.exec(path)?.[1] ?? 0);
  const page = answered.slice(after, after + PAGE_MAX);
  if (page.length === 0) return { items: [], next: null };
  return { items: [{ transfers: page.map((id) => ({ id })) }], next: after + page.length };
}
