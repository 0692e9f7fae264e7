// Shared by the races of movements: two services on one database, accounts to race for, and the check that every answer
// was true.
import assert from 'node:assert/strict';
import type { Scope } from '../support/cleanup.ts';
import { checkPromises } from '../support/promises/check.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { type Answer, request, type Service, startService } from '../support/service.ts';
import { z } from 'zod';
import { checkReported } from './answers.ts';
import { movement, type Reported } from './driver.ts';

/** At least two hundred of each. */
export const ROUNDS = 200;
/** So many rounds run side by side: enough that threads and jobs are busy with several at once. */
const SIDE_BY_SIDE = 50;

/** Few threads, which share two processors; and expired holds are looked for all the time. */
export const SETTINGS = { THREADS: '4', HEARTBEAT_MS: '50', LOG_LEVEL: 'warn' };

const refusal = z.object({ code: z.string() });
const group = z.object({ group_id: z.string(), transfers: z.array(movement) });

export type Post = { path: string; body?: unknown; key?: string; service?: number };

/** An answer: how one movement ended, or the code of the problem. */
export type Ending = { code: string | null; amount: number | null; id: string | null };

export class Race {
  readonly database: TestDatabase;
  readonly services: Service[];
  readonly #reported: Reported[] = [];

  private constructor(database: TestDatabase, services: Service[]) {
    this.database = database;
    this.services = services;
  }

  /** Starts two services on one database: what happens at once does so in several threads and in two processes. */
  static async start(scope: Scope): Promise<Race> {
    const database = await createDatabase(scope);
    const services = await Promise.all([1, 2].map(async () => await startService(scope, { database, env: SETTINGS })));
    return new Race(database, services);
  }

  /** Runs `round` for the number of each round, many side by side, and returns what they return. */
  async rounds<Result>(round: (number: number) => Promise<Result>): Promise<Result[]> {
    const results: Result[] = [];
    for (let first = 0; first < ROUNDS; first += SIDE_BY_SIDE) {
      const numbers = Array.from({ length: Math.min(SIDE_BY_SIDE, ROUNDS - first) }, (_, index) => first + index);
      results.push(...(await Promise.all(numbers.map(round))));
    }
    return results;
  }

  /** Makes something for each round, all at once. */
  async forEachRound<Made>(make: (number: number) => Promise<Made>): Promise<Made[]> {
    return await Promise.all(Array.from({ length: ROUNDS }, async (_, number) => await make(number)));
  }

  async open(number: string, balance: number): Promise<void> {
    const answer = await request(this.#service(0), 'POST', '/accounts', {
      account_number: number,
      name: number,
      balance,
    });
    assert.equal(answer.status, 201, answer.text);
  }

  /** Makes a movement that must complete, and returns its id. */
  async make(path: string, body: unknown): Promise<string> {
    const [ending] = await this.fire([{ path, body }]);
    assert.equal(ending?.code, null, `${path} was to be completed`);
    return ending?.id ?? '';
  }

  /** Sends movements at the same time, to one service and the other in turn, and waits for how each ended. */
  async fire(posts: readonly Post[]): Promise<Ending[]> {
    return (await this.fireGroups(posts)).map(([ending]) => ending ?? { code: 'nothing', amount: null, id: null });
  }

  /** The same for groups: the endings of all their members. */
  async fireGroups(posts: readonly Post[]): Promise<Ending[][]> {
    return await Promise.all(
      posts.map(async ({ path, body = {}, key, service }, index) => {
        const headers = { prefer: 'wait=30', ...(key !== undefined && { 'idempotency-key': key }) };
        const answer = await request(this.#service(service ?? index), 'POST', path, body, headers);
        return this.#note(answer);
      }),
    );
  }

  async change(number: string, body: unknown, service: number): Promise<number> {
    return (await request(this.#service(service), 'PATCH', `/accounts/${number}`, body)).status;
  }

  async close(number: string, service: number): Promise<number> {
    return (await request(this.#service(service), 'DELETE', `/accounts/${number}`)).status;
  }

  /** Opens the accounts of each round at once: `${prefix}0`, `${prefix}1` and so on. */
  async openForEachRound(prefix: string, balance: (round: number) => number): Promise<void> {
    await this.forEachRound(async (round) => await this.open(`${prefix}${round}`, balance(round)));
  }

  /** Checks that every answer was true, the books keep every promise, and there was no deadlock. */
  async check(): Promise<void> {
    const [row] = await this.database.query<{ deadlocks: bigint }>(
      'select deadlocks from pg_stat_database where datname = current_database()',
    );
    assert.equal(row?.deadlocks, 0n);
    await checkReported(this.database, this.#reported);
    await checkPromises(this.database, { nothingPending: true, nothingQuarantined: true });
  }

  #note(answer: Answer<Record<string, unknown>>): Ending[] {
    if (answer.status >= 400) {
      assert.ok(answer.status < 500, `the service refused with ${answer.text}`);
      return [{ code: refusal.parse(answer.body).code, amount: null, id: null }];
    }
    assert.equal(answer.status, 200, answer.text);
    const reported = 'transfers' in answer.body ? group.parse(answer.body).transfers : [movement.parse(answer.body)];
    this.#reported.push(...reported);
    return reported.map(({ failure_code: code, amount, id }) => ({ code, amount, id }));
  }

  #service(index: number): Service {
    const service = this.services[index % this.services.length];
    if (!service) throw new Error('No service was started.');
    return service;
  }
}

/** How many of the endings completed. */
export function completed(endings: readonly Ending[]): Ending[] {
  return endings.filter(({ code }) => code === null);
}

/** The sum of what completed. */
export function total(endings: readonly Ending[]): number {
  return completed(endings).reduce((sum, { amount }) => sum + (amount ?? 0), 0);
}

/** Movements that did not complete have one of these codes. */
export function assertCodes(endings: readonly Ending[], codes: readonly string[]): void {
  for (const { code } of endings)
    assert.ok(code === null || codes.includes(code), `${code} is none of ${codes.join(', ')}`);
}
