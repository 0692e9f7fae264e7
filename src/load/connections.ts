// The connections of a load test: one request at a time on each. A request waits if none is free. It uses undici's
// connections directly, without its streams and without its pool, which searches all connections for each request.
import { Client } from 'undici';
import { MAIN_LEDGER } from '../domain/ledger.ts';

export type Answered = [status: number, text: string];

export type ConnectionOptions = {
  readonly url: string;
  readonly ledger?: string | undefined;
  readonly headers?: Readonly<Record<string, string>>;
};

export class Connections {
  readonly #all: readonly Client[];
  readonly #prefix: string;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #free: Client[];
  readonly #waiting: ((client: Client) => void)[] = [];

  /** `headers`: sent with every request. */
  constructor({ url, ledger = MAIN_LEDGER.name, headers = {} }: ConnectionOptions, count: number) {
    this.#prefix = prefixOf(ledger);
    this.#headers = headers;
    this.#all = Array.from({ length: count }, () => new Client(url, { pipelining: 1 }));
    this.#free = [...this.#all];
  }

  /**
   * Posts JSON when a connection is free, and resolves with the answer. Rejects with undici's error if no answer
   * arrives.
   */
  async post(path: string, headers: Record<string, string>, body: string): Promise<Answered> {
    return await this.send('POST', path, { 'content-type': 'application/json', ...headers }, body);
  }

  /** The same for any method. */
  async send(
    method: 'GET' | 'POST' | 'DELETE',
    path: string,
    headers: Record<string, string> = {},
    body: string | null = null,
  ): Promise<Answered> {
    const client = this.#free.pop() ?? (await new Promise<Client>((resolve) => this.#waiting.push(resolve)));
    try {
      const all = { ...this.#headers, ...headers };
      return await exchange(client, { method, path: `${this.#prefix}${path}`, headers: all, body });
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

/** The prefix of the paths of a ledger. */
export function prefixOf(ledger: string): string {
  return ledger === MAIN_LEDGER.name ? '' : `/ledgers/${ledger}`;
}

async function exchange(
  client: Client,
  request: { method: 'GET' | 'POST' | 'DELETE'; path: string; headers: Record<string, string>; body: string | null },
): Promise<Answered> {
  return await new Promise((resolve, reject) => {
    let status = 0;
    let text = '';
    const decoder = new TextDecoder();
    client.dispatch(request, {
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
    });
  });
}
