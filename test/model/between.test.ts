// Goal: transfers between two ledgers do what a plain model of both predicts, alone and at the same time as other requests.
// Method: as in movements.test.ts. Each program has two ledgers of its own. At once: the answers and the books must be those
// of some order of the requests' steps. A failure prints its seed and path: see MODEL_SEED and MODEL_PATH there.
import assert from 'node:assert/strict';
import { inspect } from 'node:util';
import { test, type TestContext } from 'node:test';
import * as fc from 'fast-check';
import { z } from 'zod';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { checkPromises } from '../support/promises/check.ts';
import { request, type Service, startService } from '../support/service.ts';
import {
  type Account,
  advance,
  type Answer,
  available,
  BEGUN,
  type Books,
  type Command,
  otherSide,
  type Progress,
  type Side,
  SIDES,
} from './between-model.ts';

const RUNS = Number(process.env['MODEL_RUNS'] ?? 12);
const ACCOUNTS = [
  { number: 'a', currency: 'EUR', balance: 1000, limit: 0 },
  { number: 'b', currency: 'EUR', balance: 0, limit: 200 },
  { number: 'c', currency: 'JPY', balance: 300, limit: 0 },
  { number: 'd', currency: 'EUR', balance: 0, limit: 0 },
] as const;
const NUMBERS = ['a', 'b', 'c', 'd', 'absent'] as const;

type Stage = { database: TestDatabase; services: readonly Service[] };
type Step = {
  type: 'between' | 'transfer' | 'change' | 'close';
  side: Side;
  from: (typeof NUMBERS)[number];
  to: (typeof NUMBERS)[number];
  tenths: number;
  currency: 'EUR' | 'JPY' | null;
  status: 'open' | 'receive_only' | 'frozen';
  /** Whether it is sent twice at once, under one key. */
  isTwice: boolean;
};

const number = fc.oneof(
  ...NUMBERS.map((each) => ({ arbitrary: fc.constant(each), weight: each === 'absent' ? 1 : 6 })),
);
const step = fc.record<Step>({
  type: fc.oneof(
    { arbitrary: fc.constant<Step['type']>('between'), weight: 12 },
    { arbitrary: fc.constant<Step['type']>('transfer'), weight: 3 },
    { arbitrary: fc.constant<Step['type']>('change'), weight: 4 },
    { arbitrary: fc.constant<Step['type']>('close'), weight: 1 },
  ),
  side: fc.constantFrom(...SIDES),
  from: number,
  to: number,
  tenths: fc.integer({ min: 1, max: 11 }),
  currency: fc.constantFrom<Step['currency'][]>(null, null, null, 'EUR', 'JPY'),
  status: fc.constantFrom<Step['status'][]>('open', 'open', 'receive_only', 'frozen'),
  isTwice: fc.boolean(),
});

let pairs = 0;

/** Two ledgers, and the model of them. */
class Pair {
  books: Books = { left: new Map(), right: new Map() };
  readonly log: string[] = [];
  readonly #stage: Stage;
  readonly #number = (pairs += 1);
  #keys = 0;

  constructor(stage: Stage) {
    this.#stage = stage;
  }

  async open(): Promise<void> {
    for (const side of SIDES) {
      await this.#request(0, 'POST', '/ledgers', { name: this.#nameOf(side) });
      for (const { number: account_number, limit, ...fields } of ACCOUNTS) {
        const body = { account_number, name: account_number, overdraft_limit: limit, ...fields };
        assert.equal(await this.#request(0, 'POST', `${this.#pathOf(side)}/accounts`, body), null);
      }
    }
    this.books = await this.read();
  }

  #nameOf(side: Side): string {
    return `${side}-${this.#number}`;
  }

  #pathOf(side: Side): string {
    return `/ledgers/${this.#nameOf(side)}`;
  }

  toCommand(step: Step): Command {
    const { type, side, from: account, status } = step;
    if (type === 'change') return { type, side, account, status };
    if (type === 'close') return { type, side, account };
    const base = available(this.books[side].get(step.from));
    const amount = (base * BigInt(step.tenths)) / 10n;
    return { type, side, from: step.from, to: step.to, amount: amount < 1n ? 1n : amount, currency: step.currency };
  }

  /** Sends a command, perhaps twice under one key, and returns how it ended. */
  async send(command: Command, isTwice: boolean): Promise<Answer> {
    this.#keys += 1;
    const key = `${this.#number}-${this.#keys}`;
    const moves = command.type === 'between' || command.type === 'transfer';
    const answers = await Promise.all(
      (moves && isTwice ? [0, 1] : [this.#keys]).map(async (service) => {
        const headers = moves ? { prefer: 'wait=30', 'idempotency-key': key } : {};
        return await this.#request(service, ...this.#toHttp(command), headers);
      }),
    );
    assert.equal(new Set(answers).size, 1, `one key, and the answers ${answers.join(' and ')}`);
    return answers[0] ?? null;
  }

  #toHttp(command: Command): ['POST' | 'PATCH' | 'DELETE', string, unknown] {
    const path = this.#pathOf(command.side);
    if (command.type === 'change') return ['PATCH', `${path}/accounts/${command.account}`, { status: command.status }];
    if (command.type === 'close') return ['DELETE', `${path}/accounts/${command.account}`, undefined];
    const { type, from, to, amount, currency } = command;
    const body = {
      from_account: from,
      to_account: to,
      amount: Number(amount),
      ...(currency !== null && { currency }),
      ...(type === 'between' && { to_ledger: this.#nameOf(otherSide(command.side)) }),
    };
    return ['POST', `${path}/transfers`, body];
  }

  async #request(
    index: number,
    method: 'POST' | 'PATCH' | 'DELETE',
    path: string,
    body: unknown,
    headers: Record<string, string> = {},
  ): Promise<Answer> {
    const service = this.#stage.services[index % this.#stage.services.length];
    if (!service) throw new Error('There is no service.');
    const answer = await request(service, method, path, body, headers);
    assert.ok(
      answer.status < 500 && answer.status !== 202,
      `${method} ${path} was answered ${answer.status} ${answer.text}`,
    );
    if (answer.status >= 400) return z.object({ code: z.string() }).parse(answer.body).code;
    if (!path.endsWith('/transfers')) return null;
    return z.object({ failure_code: z.string().nullable() }).parse(answer.body).failure_code;
  }

  /** What is stored, in the terms of the model. Accounts for the other ledger are there once they have an entry. */
  async read(): Promise<Books> {
    const rows = await this.#stage.database.query<Account & { ledger: string; number: string }>(
      `select ledgers.name as ledger, currency, status, balance, held, overdraft_limit as limit, entry_count as entries,
         case when account_number like '@ledger:%' then 'other ' || currency else account_number end as number
       from accounts
       join ledgers on ledgers.id = ledger_id
       where ledgers.name = any($1) and account_number <> '@external' and (account_number not like '@%' or entry_count > 0)
       order by number`,
      [SIDES.map((side) => this.#nameOf(side))],
    );
    const of = (side: Side) =>
      new Map(
        rows
          .filter(({ ledger }) => ledger === this.#nameOf(side))
          .map(({ number: name, currency, status, balance, held, limit, entries }): [string, Account] => [
            name,
            { currency, status, balance, held, limit, entries },
          ]),
      );
    return { left: of('left'), right: of('right') };
  }
}

const sorted = (books: Books) => SIDES.map((side) => [...books[side]].sort(([a], [b]) => (a < b ? -1 : 1)));
const isSame = (one: Books, other: Books): boolean =>
  inspect(sorted(one), { depth: 5 }) === inspect(sorted(other), { depth: 5 });

/** The books after some order of the steps of the requests that explains the answers and the books; null if none does. */
function explain(
  books: Books,
  commands: readonly Command[],
  answers: readonly Answer[],
  found: Books,
  progress: readonly Progress[] = commands.map(() => BEGUN),
): Books | null {
  if (progress.every(({ stage }) => stage === 'ended')) return isSame(books, found) ? books : null;
  for (const [index, command] of commands.entries()) {
    const before = progress[index];
    if (!before || before.stage === 'ended') continue;
    const next = structuredClone(books);
    const after = advance(next, command, before);
    if (after.stage === 'ended' && after.answer !== answers[index]) continue;
    const explained = explain(next, commands, answers, found, progress.with(index, after));
    if (explained) return explained;
  }
  return null;
}

async function openStage(t: TestContext): Promise<Stage> {
  const database = await createDatabase(t);
  const env = { THREADS: '2', HEARTBEAT_MS: '100', LOG_LEVEL: 'warn' };
  const services = await Promise.all([1, 2].map(async () => await startService(t, { database, env })));
  return { database, services };
}

async function holds(program: fc.Arbitrary<Step[][]>, stage: Stage): Promise<void> {
  const [seed, path] = [process.env['MODEL_SEED'], process.env['MODEL_PATH']];
  const property = fc.asyncProperty(program, async (batches) => {
    const pair = new Pair(stage);
    await pair.open();
    for (const batch of batches) {
      const commands = batch.map((each) => pair.toCommand(each));
      const answers = await Promise.all(
        commands.map(async (command, index) => await pair.send(command, batch[index]?.isTwice ?? false)),
      );
      pair.log.push(inspect({ commands, answers }, { depth: 4, breakLength: Infinity }));
      const found = await pair.read();
      const books = explain(pair.books, commands, answers, found);
      assert.ok(books, `${pair.log.join('\n')}\nis not explained, with\n${inspect(found, { depth: 5 })}`);
      pair.books = books;
    }
  });
  await fc.assert(property, {
    numRuns: RUNS,
    interruptAfterTimeLimit: Number(process.env['MODEL_SECONDS'] ?? 60) * 1000,
    ...(seed !== undefined && { seed: Number(seed) }),
    ...(path !== undefined && { path }),
  });
  await checkPromises(stage.database, { nothingPending: true, nothingQuarantined: true, allDelivered: true });
}

test('model: transfers between ledgers have the predicted outcomes and books', async (t) => {
  const one = fc.array(step, { minLength: 1, maxLength: 1 });
  await holds(fc.array(one, { minLength: 8, maxLength: 24, size: 'max' }), await openStage(t));
});

test('model: a few concurrent requests to two ledgers end as in some order of their steps', async (t) => {
  const few = fc.array(step, { minLength: 2, maxLength: 4, size: 'max' });
  await holds(fc.array(few, { minLength: 4, maxLength: 10, size: 'max' }), await openStage(t));
});
