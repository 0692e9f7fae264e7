// The accounts of a load test: opened for one run, funded from @external, and swept and closed at its end.
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { EXTERNAL } from '../../domain/account.ts';
import { CommandError, EXIT } from '../command.ts';
import { Connections } from '../../load/connections.ts';
import { headersOf, outOfReach, type Service } from '../remote/connection.ts';

const AT_ONCE = 64;
const RETRY_MS = 50;
/** How long the sweep may take. Transfers that were accepted before it may still move money meanwhile. */
const SWEEP_TIMEOUT_MS = 30_000;

const account = z.object({ balance: z.int(), status: z.string() });
const transfer = z.object({ status: z.string() });

/** The result of a sweep. `remaining`: the numbers of accounts that may still be open or have money. */
export type Swept = { readonly amount: number; readonly closed: number; readonly remaining: readonly string[] };

export class TestAccounts {
  readonly #url: string;
  readonly #prefix: string;
  readonly #connections: Connections;
  /** Accounts that were requested, whether or not the answer arrived. */
  #asked = 0;

  constructor(service: Service, prefix: string) {
    this.#url = service.url;
    this.#prefix = prefix;
    this.#connections = new Connections({ ...service, headers: headersOf(service) }, AT_ONCE);
  }

  /** Opens `count` accounts with the balances that `fundOf` returns, until `signal` is aborted. */
  async open(count: number, fundOf: (index: number) => number, signal: AbortSignal): Promise<void> {
    await inParallel(async () => {
      while (this.#asked < count && !signal.aborted) {
        const index = this.#asked;
        this.#asked += 1;
        await this.#openOne(index, fundOf(index), signal);
      }
    });
  }

  async #openOne(index: number, balance: number, signal: AbortSignal): Promise<void> {
    const body = JSON.stringify({ account_number: this.#numberOf(index), name: 'Load test', balance });
    for (;;) {
      const [status, text] = await this.#connections.post('/accounts', {}, body).catch((error: unknown) => {
        throw outOfReach(this.#url, error);
      });
      if (status === 201) return;
      if (status === 503) throw outOfReach(this.#url, `it answers 503: ${text}`);
      if (status !== 429) throw new CommandError(EXIT.failed, `An account could not be opened: ${text}`);
      if (signal.aborted) return;
      await sleep(RETRY_MS);
    }
  }

  /** Moves the balances back to @external, and closes the accounts. Never rejects. */
  async sweep(): Promise<Swept> {
    const deadline = performance.now() + SWEEP_TIMEOUT_MS;
    const remaining: string[] = [];
    let [next, amount] = [0, 0];
    const note = (moved: number): void => {
      amount += moved;
    };
    await inParallel(async () => {
      while (next < this.#asked) {
        const number = this.#numberOf(next);
        next += 1;
        if (!(await this.#emptyUntil(deadline, number, note))) remaining.push(number);
      }
    });
    await this.#connections.close();
    return { amount, closed: this.#asked - remaining.length, remaining };
  }

  async #emptyUntil(deadline: number, number: string, onMoved: (amount: number) => void): Promise<boolean> {
    while (!(await this.#empty(number, onMoved).catch(() => false))) {
      if (performance.now() > deadline) return false;
      await sleep(RETRY_MS);
    }
    return true;
  }

  /** Moves the money away once, and tries to close the account. Returns false if both must be repeated. */
  async #empty(number: string, onMoved: (amount: number) => void): Promise<boolean> {
    const [status, text] = await this.#connections.send('GET', `/accounts/${number}`);
    // The account was requested and never opened.
    if (status === 404) return true;
    if (status !== 200) return false;
    const { balance, status: state } = account.parse(JSON.parse(text));
    if (state === 'closed') return true;
    if (balance > 0) {
      const body = { from_account: number, to_account: EXTERNAL, amount: balance, description: 'Load test: sweep' };
      const moved = await this.#connections.post('/transfers', { prefer: 'wait=10' }, JSON.stringify(body));
      if (moved[0] !== 200 || transfer.parse(JSON.parse(moved[1])).status !== 'completed') return false;
      onMoved(balance);
    }
    const [ended] = await this.#connections.send('DELETE', `/accounts/${number}`);
    return ended === 204;
  }

  #numberOf(index: number): string {
    return `${this.#prefix}-${index}`;
  }
}

/** Waits for all requests, even if one fails: the others may still be opening an account. */
async function inParallel(work: () => Promise<void>): Promise<void> {
  const results = await Promise.allSettled(Array.from({ length: AT_ONCE }, work));
  const failed = results.find((result) => result.status === 'rejected');
  if (failed) throw failed.reason;
}
