// Calls the service: sends transfers between the test's accounts, and follows the feed to see which are final.
import { setTimeout as sleep } from 'node:timers/promises';
import { request } from 'undici';
import { z } from 'zod';
import { MAIN_LEDGER } from '../domain/ledger.ts';
import { type ConnectionOptions, Connections, prefixOf } from './connections.ts';
import type { Tally } from './tally.ts';

const FEED_PAUSE_MS = 20;

const answer = z.object({
  id: z.string().optional(),
  status: z.string().optional(),
  transfers: z.array(z.object({ id: z.string(), status: z.string() })).optional(),
});
const problem = z.object({ code: z.string() });
const event = z.object({
  journal_number: z.int(),
  transfers: z.array(z.object({ id: z.string(), status: z.string().optional() })),
});
const page = z.object({ items: z.array(event) });

/** The feed as a stream, or page by page. */
const STREAM = 'text/event-stream';
const PAGES = 'application/json';

export type PlannedTransfer = { readonly from: number; readonly to: number; readonly amount: number };

export class Caller {
  readonly #url: string;
  readonly #ledger: string;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #connections: Connections;
  readonly #prefix: string;
  readonly #tally: Tally;
  /** Whether the feed is followed. Otherwise only the answers show which transfers are final. */
  #following = false;
  /** The intended start of the request of each transfer that is not known to be final. */
  readonly #unsettled = new Map<string, number>();
  /** Transfers that were seen to be final before the answer to their request was read. */
  readonly #early = new Map<string, { readonly at: number; readonly status: string | undefined }>();

  /** `prefix`: the beginning of the numbers of the test's accounts. */
  constructor(options: ConnectionOptions & { connections: number; prefix: string; tally: Tally }) {
    this.#url = options.url;
    this.#ledger = options.ledger ?? MAIN_LEDGER.name;
    this.#headers = options.headers ?? {};
    this.#prefix = options.prefix;
    this.#tally = options.tally;
    this.#connections = new Connections(options, options.connections);
  }

  /** Transfers that are accepted and not known to be final. */
  get unsettled(): number {
    return this.#unsettled.size;
  }

  accountNumber(index: number): string {
    return `${this.#prefix}-${index}`;
  }

  /** Sends one transfer, or several in one request, whose intended start was `intendedAt`. Never rejects. */
  async send(planned: readonly PlannedTransfer[], intendedAt: number, wait: boolean): Promise<void> {
    const transfers = planned.map(({ from, to, amount }) => ({
      from_account: this.accountNumber(from),
      to_account: this.accountNumber(to),
      amount,
    }));
    const body = transfers.length === 1 ? transfers[0] : { transfers };
    try {
      const [status, text] = await this.#post('/transfers', body, wait ? { prefer: 'wait=30' } : {});
      const latencyMs = performance.now() - intendedAt;
      if (status === 200 || status === 202) {
        const accepted = acceptedOf(text);
        this.#tally.answered('accepted', planned.length, latencyMs, String(status));
        this.#noteAccepted(accepted, intendedAt);
      } else {
        const code = this.#tally.codeOf(codeOf(status, text));
        this.#tally.answered(status === 429 ? 'refused' : 'failed', planned.length, latencyMs, code);
      }
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? String(error.code) : 'no_answer';
      this.#tally.answered('failed', planned.length, performance.now() - intendedAt, code);
    }
  }

  /**
   * Follows the feed from a journal number on until `signal` aborts, and notes which transfers are final. It is followed as a
   * stream: a page has 128 transfers, and under load each would wait behind all other requests. A service that refuses one more
   * stream is read page by page. If it is unreachable for a while, it is followed again afterwards.
   */
  async follow(start: number, signal: AbortSignal): Promise<void> {
    this.#following = true;
    let [after, accept] = [start, STREAM];
    while (!signal.aborted) {
      const before = after;
      try {
        for await (const { journal_number: number, transfers } of this.#readFeed(after, accept, signal)) {
          const now = performance.now();
          for (const { id, status } of transfers) this.#noteFinal(id, now, status);
          after = number;
        }
      } catch {
        accept = accept === STREAM ? PAGES : STREAM;
      }
      if (after === before) await sleep(FEED_PAUSE_MS);
    }
  }

  async close(): Promise<void> {
    await this.#connections.close();
  }

  async *#readFeed(after: number, accept: string, signal: AbortSignal): AsyncGenerator<z.output<typeof event>> {
    const path = `${prefixOf(this.#ledger)}/events?after=${after}&limit=1000`;
    const { headers, body } = await request(`${this.#url}${path}`, { headers: { ...this.#headers, accept }, signal });
    if (!String(headers['content-type']).startsWith(STREAM)) {
      yield* page.parse(await body.json()).items;
      return;
    }
    let rest = '';
    for await (const chunk of body.setEncoding('utf8')) {
      const lines = `${rest}${String(chunk)}`.split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) if (line.startsWith('data: ')) yield event.parse(JSON.parse(line.slice(6)));
    }
  }

  #noteAccepted(accepted: readonly AcceptedTransfer[], intendedAt: number): void {
    if (!this.#following) {
      const now = performance.now();
      for (const { status } of accepted) if (status !== 'pending') this.#tally.final(now - intendedAt, status);
      return;
    }
    for (const transfer of accepted) {
      const final = this.#early.get(transfer.id);
      if (final === undefined) {
        this.#unsettled.set(transfer.id, intendedAt);
        continue;
      }
      this.#early.delete(transfer.id);
      this.#tally.final(final.at - intendedAt, final.status);
    }
  }

  #noteFinal(id: string, now: number, status: string | undefined): void {
    const intendedAt = this.#unsettled.get(id);
    if (intendedAt === undefined) {
      this.#early.set(id, { at: now, status });
      return;
    }
    this.#unsettled.delete(id);
    this.#tally.final(now - intendedAt, status);
  }

  async #post(path: string, body: unknown, headers: Record<string, string>): Promise<[status: number, text: string]> {
    return await this.#connections.post(path, headers, JSON.stringify(body));
  }
}

type AcceptedTransfer = { readonly id: string; readonly status: string };

function acceptedOf(text: string): readonly AcceptedTransfer[] {
  const { id, status, transfers } = answer.parse(JSON.parse(text));
  return transfers ?? (id === undefined ? [] : [{ id, status: status ?? 'pending' }]);
}

/** The code of the problem; a proxy's answer has none. */
function codeOf(status: number, text: string): string {
  try {
    return problem.parse(JSON.parse(text)).code;
  } catch {
    return `http_${status}`;
  }
}
