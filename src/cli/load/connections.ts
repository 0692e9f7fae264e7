// The connections of a load test: one request at a time on each, and whoever finds none free waits in line. It uses undici
// below its pool, which looks through all connections for each request, and below its streams.
import { Client } from 'undici';

export type Answered = [status: number, text: string];

export class Connections {
  readonly #all: readonly Client[];
  readonly #free: Client[];
  readonly #waiting: ((client: Client) => void)[] = [];

  constructor(url: string, count: number) {
    this.#all = Array.from({ length: count }, () => new Client(url, { pipelining: 1 }));
    this.#free = [...this.#all];
  }

  /** Sends a request when a connection is free, and resolves with its answer. Rejects with undici's error if there is none. */
  async post(path: string, headers: Record<string, string>, body: string): Promise<Answered> {
    const client = this.#free.pop() ?? (await new Promise<Client>((resolve) => this.#waiting.push(resolve)));
    try {
      return await exchange(client, path, headers, body);
    } finally {
      const next = this.#waiting.shift();
      if (next) next(client);
      else this.#free.push(client);
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#all.map(async (client) => await client.close()));
  }
}

async function exchange(
  client: Client,
  path: string,
  headers: Record<string, string>,
  body: string,
): Promise<Answered> {
  return await new Promise((resolve, reject) => {
    let status = 0;
    let text = '';
    const decoder = new TextDecoder();
    client.dispatch(
      { method: 'POST', path, headers, body },
      {
        onRequestStart() {},
        onResponseStart(_controller, statusCode) {
          status = statusCode;
        },
        onResponseData(_controller, chunk) {
          text += decoder.decode(chunk, { stream: true });
        },
        onResponseEnd() {
          resolve([status, text + decoder.decode()]);
        },
        onResponseError(_controller, error) {
          reject(error);
        },
      },
    );
  });
}
