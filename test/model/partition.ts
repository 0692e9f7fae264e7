// A partition: some accounts in currencies of its own, and the model of them. Partitions run side by side on one
// service, so that their orders meet in the same jobs, and each can still be predicted exactly.
import assert from 'node:assert/strict';
import { inspect } from 'node:util';
import type { TestDatabase } from '../support/database.ts';
import { request } from '../support/service.ts';
import { until } from '../support/until.ts';
import { Names, readBooks, type Received, send, type Snapshot, type Reported } from './driver.ts';
import { ask, type Books, expire, type Request } from './model.ts';
import { resolve, type Step } from './program.ts';

export type Stage = { database: TestDatabase; services: readonly { url: string }[] };

/** Three currencies for each partition. */
const CURRENCIES = [
  ['USD', 'EUR', 'JPY'],
  ['GBP', 'CHF', 'KWD'],
  ['SEK', 'NOK', 'DKK'],
  ['PLN', 'CZK', 'HUF'],
  ['AUD', 'NZD', 'CAD'],
  ['BRL', 'MXN', 'CLP'],
  ['ZAR', 'KES', 'NGN'],
  ['INR', 'THB', 'VND'],
];
export const PARTITIONS_MAX = CURRENCIES.length;

/** Two accounts are empty: they close easily, and only have money that passes through. */
const ACCOUNTS = [
  { name: 'a', currency: 0, balance: 1000, limit: 0 },
  { name: 'b', currency: 0, balance: 300, limit: 200 },
  { name: 'c', currency: 0, balance: 0, limit: 0 },
  { name: 'd', currency: 1, balance: 500, limit: 0 },
  { name: 'e', currency: 1, balance: 0, limit: 100 },
  { name: 'f', currency: 2, balance: 70, limit: 0 },
];

/** A hold of one second is used for this long; then its expiry is awaited. */
const MORTAL_MS = 300;
/** More orders of one batch than this have too many possible orders to try. */
const BATCH_MAX = 4;

let partitionsOpened = 0;

export class Partition {
  readonly reported: Reported[] = [];
  /** True if the machine was so slow that a hold may have expired while its end was not expected. */
  unsure = false;
  readonly #stage: Stage;
  readonly #prefix: string;
  readonly #currencies: readonly string[];
  readonly #names = new Names();
  readonly #mortal = new Map<string, number>();
  readonly #asked: Request[] = [];
  readonly #log: string[] = [];
  #books: Books = { accounts: new Map(), holds: new Map(), movements: new Map(), keys: new Map() };
  #count = 0;

  private constructor(stage: Stage, number: number) {
    this.#stage = stage;
    this.#currencies = CURRENCIES[number] ?? [];
    // No partition's prefix is the beginning of another's.
    this.#prefix = `${(partitionsOpened += 1)}.`;
  }

  /** Opens the accounts of partition `number`. No other partition of this number may be in use at the same time. */
  static async open(stage: Stage, number: number): Promise<Partition> {
    const partition = new Partition(stage, number);
    await Promise.all(ACCOUNTS.map(async (account, index) => await partition.#openAccount(account, index)));
    const { accounts } = await partition.#read();
    for (const { name, currency, balance, limit } of ACCOUNTS) {
      const expected = { balance: BigInt(balance), held: 0n, limit: BigInt(limit), entries: balance > 0 ? 1n : 0n };
      assert.deepEqual(accounts[partition.#prefix + name], {
        currency: partition.#currencies[currency],
        status: 'open',
        ...expected,
      });
    }
    partition.#books.accounts = new Map(Object.entries(accounts));
    return partition;
  }

  /**
   * Takes the steps one after another. Each answer, and the books after it, must be exactly what the model predicts.
   */
  async runInTurn(steps: readonly Step[]): Promise<void> {
    await this.#explained(async () => {
      for (const step of steps) {
        await this.#awaitMortal(MORTAL_MS);
        const sent = this.#resolve(step, this.#books);
        if (!sent) continue;
        const expected = ask(this.#books, sent);
        const [received] = await this.#send([sent]);
        const found = await this.#read();
        if (!(await this.#isTimely())) {
          this.unsure = true;
          break;
        }
        assert.deepEqual(received?.answer, expected);
        assert.deepEqual(found, snapshotOf(this.#books));
        this.#noteMortal(sent);
      }
      if (this.unsure) return;
      await this.#awaitMortal(0);
      assert.deepEqual(await this.#read(), snapshotOf(this.#books));
    });
  }

  /** Sends the steps' requests at the same time. The result must be that of some sequential order. */
  async runAtOnce(steps: readonly Step[]): Promise<void> {
    await this.#explained(async () => {
      const batch = steps.flatMap((step) => this.#resolve(step, this.#books) ?? []).slice(0, BATCH_MAX);
      if (batch.length === 0) return;
      const received = await this.#send(batch);
      const found = await this.#read();
      const books = permutations(batch.length)
        .map((order) => this.#explains(order, batch, received, found))
        .find((explained) => explained !== null);
      assert.ok(
        books,
        `No order of the requests explains the answers, and then the books:\n${inspect(found, { depth: 5 })}`,
      );
      this.#books = books;
    });
  }

  /** Sends many requests at the same time. Their outcomes are not predicted, but the service must not fail. */
  async runStorm(steps: readonly Step[]): Promise<void> {
    await this.#explained(async () => {
      const batch = steps.flatMap((step) => this.#resolve(step, this.#books) ?? []);
      for (const { answer } of await this.#send(batch)) {
        assert.ok(answer.says !== 'refused' || answer.status < 500, render(answer));
      }
    });
  }

  /** The books if the requests had arrived in this order, or null if the answers differ. */
  #explains(
    order: readonly number[],
    batch: readonly Request[],
    received: readonly Received[],
    found: Snapshot,
  ): Books | null {
    const books = structuredClone(this.#books);
    for (const index of order) {
      const sent = batch[index];
      if (!sent || !isSame(ask(books, sent), received[index]?.answer)) return null;
    }
    return isSame(snapshotOf(books), found) ? books : null;
  }

  async #send(batch: readonly Request[]): Promise<Received[]> {
    for (const sent of batch) this.#log.push(`ask  ${render(sent)}`);
    const received = await send(this.#stage.services, batch, this.#names);
    for (const { answer, reported } of received) {
      this.#log.push(`received ${render(answer)}`);
      this.reported.push(...reported);
    }
    this.#asked.push(...batch);
    return received;
  }

  #resolve(step: Step, books: Books): Request | null {
    return resolve(step, books, `${this.#prefix}${(this.#count += 1)}`, this.#asked);
  }

  async #read(): Promise<Snapshot> {
    return await readBooks(this.#stage.database, this.#prefix, this.#currencies, this.#names);
  }

  #noteMortal({ command, dryRun }: Request): void {
    const made = command.type === 'hold' && command.expiresIn === 1 && !dryRun && this.#books.holds.has(command.name);
    if (made) this.#mortal.set(command.name, performance.now());
  }

  /** Waits for the end of the holds that soon expire, if the first of them was made more than `ageMs` ago. */
  async #awaitMortal(ageMs: number): Promise<void> {
    const born = Math.min(...this.#mortal.values());
    if (performance.now() - born < ageMs || this.#mortal.size === 0) return;
    const names = [...this.#mortal.keys()];
    this.#mortal.clear();
    await until(
      async () => {
        const { holds } = await this.#read();
        return names.every((name) => holds[name]?.state !== 'open');
      },
      { what: 'holds to expire' },
    );
    for (const name of names) if (this.#books.holds.get(name)?.state === 'open') expire(this.#books, name);
    this.#log.push(`the clock ended ${names.join(', ')}`);
  }

  /** Whether by the database's clock no hold has come to its end yet. */
  async #isTimely(): Promise<boolean> {
    if (this.#mortal.size === 0) return true;
    const [row] = await this.#stage.database.query<{ timely: boolean }>(
      'select coalesce(min(expires_at) > clock_timestamp(), true) as timely from holds where id = any($1)',
      [[...this.#mortal.keys()].map((name) => this.#names.idOf(name))],
    );
    return row?.timely ?? false;
  }

  async #openAccount({ name, currency, balance, limit }: (typeof ACCOUNTS)[number], index: number): Promise<void> {
    const service = this.#stage.services[index % this.#stage.services.length];
    if (!service) throw new Error('There is no service to open accounts at.');
    const account = {
      account_number: this.#prefix + name,
      name,
      currency: this.#currencies[currency],
      balance,
      overdraft_limit: limit,
    };
    const answer = await request(service, 'POST', '/accounts', account);
    assert.equal(answer.status, 201, answer.text);
  }

  async #explained(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      throw new Error(`Partition ${this.#prefix} went:\n  ${this.#log.join('\n  ')}\n${inspect(error, { depth: 5 })}`, {
        cause: error,
      });
    }
  }
}

function snapshotOf({ accounts, holds, movements }: Books): Snapshot {
  const reversed = [...movements].filter(([, movement]) => movement.reversed > 0n);
  return {
    accounts: Object.fromEntries(accounts),
    holds: Object.fromEntries(holds),
    reversed: Object.fromEntries(reversed.map(([name, movement]) => [name, movement.reversed])),
  };
}

function isSame(actual: unknown, expected: unknown): boolean {
  try {
    assert.deepEqual(actual, expected);
    return true;
  } catch {
    return false;
  }
}

/** Every order of the numbers below `count`. */
export function permutations(count: number): number[][] {
  if (count === 0) return [[]];
  return permutations(count - 1).flatMap((order) =>
    Array.from({ length: count }, (_, place) => [...order.slice(0, place), count - 1, ...order.slice(place)]),
  );
}

function render(value: unknown): string {
  return inspect(value, { breakLength: Infinity, compact: true, depth: 6 });
}
