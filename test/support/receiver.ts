// A receiver of webhooks: an HTTP server on loopback that keeps what it gets, and answers as the test says.
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import { z } from 'zod';
import { onEnd, type Scope } from './cleanup.ts';

const body = z.strictObject({
  type: z.string(),
  timestamp: z.iso.datetime(),
  ledger: z.string(),
  journal_number: z.int(),
  data: z.record(z.string(), z.unknown()),
});

export type Received = {
  readonly id: string;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  readonly message: z.infer<typeof body>;
};

export type Receiver = {
  readonly url: string;
  /** All messages that arrived whole, those that were answered with an error too. */
  readonly received: Received[];
  /** How the next messages are answered; 204 by default. */
  answer: (response: ServerResponse, received: Received) => void;
};

export async function startReceiver(scope: Scope): Promise<Receiver> {
  const received: Received[] = [];
  const server = createServer((request, response) => {
    let text = '';
    request.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
    request.on('end', () => {
      const message = { id: String(request.headers['webhook-id']), headers: request.headers, text };
      const parsed = { ...message, message: body.parse(JSON.parse(text)) };
      received.push(parsed);
      receiver.answer(response, parsed);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onEnd(scope, () => {
    server.closeAllConnections();
    server.close();
  });
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : undefined;
  const receiver: Receiver = {
    url: `http://127.0.0.1:${port}/hook`,
    received,
    answer: (response) => void response.writeHead(204).end(),
  };
  return receiver;
}
