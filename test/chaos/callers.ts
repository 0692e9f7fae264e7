// Simulates many callers at once, each with one request in flight, and keeps every received answer. They retry
// unanswered requests and those with a 503 under the same key.
import { appendFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent, request } from 'undici';
import type { TestKey } from '../support/keys.ts';
import type { Random } from '../support/random.ts';
import {
  type Attempt,
  type Intent,
  isAccepted,
  isRepeatable,
  isUndecided,
  type NewAccount,
  type Order,
  parseEssentials,
} from './attempt.ts';

/**
 * Accounts that cannot run short, and those that can, with their initial balances. The judge knows them by these names.
 */
export const RICH = { prefix: 'RICH', count: 8, balance: 1_000_000_000 };
export const POOR = { prefix: 'POOR', count: 4, balance: 2000 };
/** The second ledger of a pair, and its accounts: like the rich ones of the main ledger. */
export const SHOP = { ledger: 'shop', prefix: 'SHOP', count: 4, balance: 1_000_000_000 };
/** An account that never exists. */
export const GHOST = 'GHOST';
/** The prefix of accounts that are opened under load. A transfer may reach one before it is opened. */
export const NEWCOMER = 'NEW-';

const CALLERS = 24;
const GROUP_MAX = 12;
const LIST_MAX = 8;
/** How long a caller waits for an answer before it hangs up. */
const PATIENCE_MS = 8000;
/** The pause of a caller after a failed connection or a Retry-After. */
const PAUSE_MS = 50;
const WAIT_SECONDS = 5;
const RETRIES_MAX = 40;

const RICH_NUMBERS = numbersOf(RICH);
const POOR_NUMBERS = numbersOf(POOR);
const SHOP_NUMBERS = numbersOf(SHOP);

function numbersOf({ prefix, count }: { prefix: string; count: number }): string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}${index}`);
}

type CallersOptions = {
  /** The current services. */
  readonly targets: () => readonly string[];
  /** The current keys; callers use the first one that has not been refused. */
  readonly keys: () => readonly TestKey[];
  readonly draw: Random;
  readonly round: number;
  /** Whether there is a second ledger, to which and from which they send money. */
  readonly pair?: boolean;
  /** The file to which a line is added for each answer. */
  readonly recordPath: string | null;
};

export class Callers {
  readonly #targets: () => readonly string[];
  readonly #keys: () => readonly TestKey[];
  readonly #draw: Random;
  readonly #round: number;
  readonly #pair: boolean;
  readonly #recordPath: string | null;
  readonly #agent = new Agent({ headersTimeout: 0, bodyTimeout: 0, connect: { timeout: 2000 } });
  readonly #attempts: Attempt[] = [];
  readonly #openHolds: { id: string; order: Order }[] = [];
  readonly #knownHolds = new Set<string>();
  readonly #accepted: string[] = [];
  readonly #newcomers: string[] = [];
  readonly #refusedKeys = new Set<TestKey>();
  #running: Promise<void> | null = null;
  #stopping = false;
  #count = 0;

  constructor(options: CallersOptions) {
    this.#targets = options.targets;
    this.#keys = options.keys;
    this.#draw = options.draw;
    this.#round = options.round;
    this.#pair = options.pair ?? false;
    this.#recordPath = options.recordPath;
  }

  get attempts(): readonly Attempt[] {
    return this.#attempts;
  }

  /** Opens the accounts that the load moves money between. */
  async openAccounts(): Promise<void> {
    const accounts = [
      ...RICH_NUMBERS.map((account_number) => ({ account_number, balance: RICH.balance })),
      ...POOR_NUMBERS.map((account_number) => ({ account_number, balance: POOR.balance })),
    ];
    for (const account of accounts) await this.#openOne(this.#account(account));
    if (!this.#pair) return;
    for (const account_number of SHOP_NUMBERS) {
      const intent = this.#account({ account_number, balance: SHOP.balance });
      await this.#openOne({ ...intent, path: `/ledgers/${SHOP.ledger}/accounts` });
    }
  }

  async #openOne(intent: Intent): Promise<void> {
    let attempt = await this.send(intent);
    // A harness that judges another fault at the same time may time out waiting for an answer, and then retries.
    for (let retries = 1; this.#mustRetry(attempt) && retries < RETRIES_MAX; retries += 1)
      attempt = await this.send(intent);
    const isOpen = attempt.status === 201 || attempt.code === 'account_exists';
    if (!isOpen) throw new Error(`The account ${intent.name} could not be opened: ${attempt.status}.`);
  }

  /** Starts to send orders of all kinds, until `stop`. */
  start(): void {
    this.#stopping = false;
    this.#running = this.#run();
  }

  /** Sends no more orders, and waits for the answers to those in flight. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#running;
  }

  async close(): Promise<void> {
    await this.stop();
    await this.#agent.destroy();
  }

  /** Retries undecided requests until they are decided, and some accepted ones. Returns those that stay undecided. */
  async settleDoubts(): Promise<string[]> {
    const byName = Map.groupBy(this.#attempts, ({ intent }) => intent.name);
    const repeatable = [...byName.values()].filter(([first]) => first && isRepeatable(first.intent));
    const doubts = repeatable.filter((attempts) => attempts.every(isUndecided));
    const certain = repeatable.filter((attempts) => attempts.some(isAccepted));
    const again = [...doubts, ...certain.filter(() => this.#draw.whole(1, 10) === 1)].flatMap(
      ([first]) => first?.intent ?? [],
    );
    const undecided: string[] = [];
    const queue = again.values();
    const call = async (): Promise<void> => {
      for (const intent of queue) {
        let attempt = await this.send(intent, { waits: this.#draw.whole(0, 1) === 1 });
        for (let retries = 1; this.#mustRetry(attempt) && retries < RETRIES_MAX; retries += 1) {
          await sleep(PAUSE_MS * Math.min(retries, 10));
          attempt = await this.send(intent);
        }
        if (this.#mustRetry(attempt)) undecided.push(intent.name);
      }
    };
    await Promise.all(Array.from({ length: CALLERS / 2 }, call));
    return undecided;
  }

  /** A transfer that nothing can refuse, to one service, answered when it is final. */
  async probe(url: string): Promise<Attempt> {
    return await this.send(this.#transfer(this.#richOrder()), { url, waits: true });
  }

  /** Opens an account beside those of the load. Throws if it cannot. */
  async open(account: NewAccount): Promise<void> {
    await this.#openOne(this.#account(account));
  }

  /** A transfer from the first account of one ledger to the first of the other. */
  draftBetween(isBack: boolean): Intent {
    const [main = '', shop = ''] = [RICH_NUMBERS[0], SHOP_NUMBERS[0]];
    return isBack ? this.#between({ from: shop, to: main, isBack }) : this.#between({ from: main, to: shop, isBack });
  }

  /** A transfer of exactly this, for others to send. */
  draftTransfer(order: Order): Intent {
    return this.#transfer(order);
  }

  /** A hold of exactly this, which nothing but its expiry ends. */
  draftHold(order: Order): Intent {
    return this.#intent('hold', '/holds', [order]);
  }

  /** A group of exactly these, for others to send. */
  draftGroup(orders: readonly Order[]): Intent {
    return this.#intent('group', '/transfers', orders);
  }

  /** An order for another client to send; that client keeps the attempt. */
  draft(): Intent {
    return this.#transfer(this.#richOrder());
  }

  /** The key that callers use now. */
  get key(): TestKey {
    const keys = this.#keys();
    const key = keys.find((each) => !this.#refusedKeys.has(each)) ?? keys.at(-1);
    if (!key) throw new Error('The callers have no key.');
    return key;
  }

  /** Keeps an order that another client sent without reading an answer. */
  keepUnanswered(intent: Intent, sent: Pick<Attempt, 'requestId' | 'url' | 'key' | 'partial'>): void {
    const now = Date.now();
    this.#keep({ ...this.#blank(intent), sentAt: now, readAt: now, broken: 'hung up', ...sent });
  }

  requestId(): string {
    this.#count += 1;
    return `request-${this.#round}-${this.#count}`;
  }

  /** Sends an order once and keeps the outcome. */
  async send(intent: Intent, options: { url?: string; waits?: boolean; key?: TestKey } = {}): Promise<Attempt> {
    const targets = this.#targets();
    const url = options.url ?? (targets.length > 0 ? this.#draw.pick(targets) : null);
    const requestId = this.requestId();
    const waits = options.waits ?? false;
    const key = options.key ?? this.key;
    const sentAt = Date.now();
    const addressed = { requestId, url: url ?? '', key: key.id };
    const blank = { ...this.#blank(intent), ...addressed, waits, sentAt, readAt: sentAt };
    if (url === null) return { ...blank, broken: 'no service is running' };
    try {
      const answer = await request(new URL(intent.path, url), {
        dispatcher: this.#agent,
        method: intent.kind === 'read' ? 'GET' : 'POST',
        headers: {
          ...key.headers,
          'X-Request-ID': requestId,
          ...(intent.kind === 'read' ? {} : { 'Content-Type': 'application/json' }),
          ...(intent.keyed ? { 'Idempotency-Key': intent.name } : {}),
          ...(waits ? { Prefer: `wait=${WAIT_SECONDS}` } : {}),
        },
        body: intent.kind === 'read' ? null : JSON.stringify(bodyOf(intent)),
        signal: AbortSignal.timeout(PATIENCE_MS),
      });
      const text = await answer.body.text();
      const readAt = Date.now();
      if (answer.statusCode === 401) this.#refusedKeys.add(key);
      const essentials = parseEssentials(intent, answer.statusCode, text);
      return this.#keep({ ...blank, readAt, status: answer.statusCode, ...essentials });
    } catch (error) {
      const timedOut = error instanceof Error && error.name === 'TimeoutError';
      const code = timedOut
        ? 'no patience'
        : error instanceof Error && 'code' in error
          ? String(error.code)
          : String(error);
      return this.#keep({ ...blank, readAt: Date.now(), broken: code });
    }
  }

  #mustRetry(attempt: Attempt): boolean {
    return isUndecided(attempt) || attempt.status === 429;
  }

  #keep(attempt: Attempt): Attempt {
    this.#attempts.push(attempt);
    if (this.#recordPath !== null) appendFileSync(this.#recordPath, `${JSON.stringify(attempt, withoutMetadata)}\n`);
    const { intent, named } = attempt;
    if (!isAccepted(attempt) || named === null) return attempt;
    if (intent.kind === 'transfer') this.#accepted.push(named);
    const [order] = intent.orders;
    if (
      intent.kind === 'hold' &&
      order &&
      order.expires_in === undefined &&
      attempt.reported[0]?.status === 'completed' &&
      !this.#knownHolds.has(named)
    ) {
      this.#knownHolds.add(named);
      this.#openHolds.push({ id: named, order });
    }
    return attempt;
  }

  #blank(intent: Intent): Attempt {
    const nothing = { status: null, broken: null, code: null, named: null, reported: [], opened: [] };
    return {
      intent,
      round: this.#round,
      requestId: '',
      key: null,
      url: '',
      waits: false,
      partial: false,
      sentAt: 0,
      readAt: 0,
      ...nothing,
    };
  }

  async #run(): Promise<void> {
    await Promise.all(Array.from({ length: CALLERS }, async () => await this.#call()));
  }

  async #call(): Promise<void> {
    while (!this.#stopping) {
      const intent = this.#nextIntent();
      const waits = this.#draw.whole(1, 4) === 1 || intent.kind === 'hold';
      // Sometimes twice at the same time, like an impatient caller.
      const twice = intent.keyed && this.#draw.whole(1, 15) === 1;
      // Some callers do not notice that a key was refused.
      const refused = [...this.#refusedKeys];
      const key = refused.length > 0 && this.#draw.whole(1, 10) === 1 ? this.#draw.pick(refused) : this.key;
      const attempts = await Promise.all([
        this.send(intent, { waits, key }),
        ...(twice ? [this.send(intent, { waits: !waits })] : []),
      ]);
      if (attempts.some(({ status }) => status === null || status === 503 || status === 429)) await sleep(PAUSE_MS);
    }
  }

  #nextIntent(): Intent {
    if (this.#pair && this.#draw.whole(1, 2) === 1) return this.#anyBetween();
    const die = this.#draw.whole(1, 100);
    if (die <= 45) return this.#transfer(this.#richOrder());
    if (die <= 55) return this.#transfer(this.#poorOrder());
    if (die <= 57) return this.#transfer({ ...this.#richOrder(), to_account: GHOST });
    if (die <= 60) return this.#transfer({ ...this.#richOrder(), to_account: this.#newcomer() });
    if (die <= 65) return { ...this.#transfer(this.#richOrder()), keyed: false };
    if (die <= 75) return this.#group();
    if (die <= 80) return this.#hold();
    if (die <= 85) return this.#endOfHold() ?? this.#hold();
    if (die <= 88) return this.#refusable();
    if (die <= 91) return this.#newAccount();
    if (die <= 94) return this.#newAccounts();
    return this.#read() ?? this.#transfer(this.#richOrder());
  }

  #name(): string {
    this.#count += 1;
    return `order-${this.#round}-${this.#count}`;
  }

  #intent(kind: Intent['kind'], path: string, orders: readonly Order[]): Intent {
    const nothing = { atomic: false, parentId: null, accounts: [], readId: null };
    return { name: this.#name(), kind, keyed: true, path, orders, ...nothing };
  }

  #transfer(order: Order): Intent {
    return this.#intent('transfer', '/transfers', [order]);
  }

  /** To the other ledger or from it, at times to an account that is not there. */
  #anyBetween(): Intent {
    const isBack = this.#draw.whole(0, 1) === 1;
    const [main, shop] = [this.#draw.pick(RICH_NUMBERS), this.#draw.pick(SHOP_NUMBERS)];
    const [from, to] = isBack ? [shop, main] : [main, shop];
    return this.#between({ from, to: this.#draw.whole(1, 12) === 1 ? GHOST : to, isBack });
  }

  #between({ from, to, isBack }: { from: string; to: string; isBack: boolean }): Intent {
    const order = { from_account: from, to_account: to, amount: this.#draw.whole(1, 1000) };
    return isBack
      ? this.#intent('between', `/ledgers/${SHOP.ledger}/transfers`, [{ ...order, to_ledger: 'main' }])
      : this.#intent('between', '/transfers', [{ ...order, to_ledger: SHOP.ledger }]);
  }

  #richOrder(): Order {
    const [from_account, to_account] = this.#draw.pickTwo(RICH_NUMBERS);
    return { from_account, to_account, amount: this.#draw.whole(1, 1000) };
  }

  #poorOrder(): Order {
    const poor = this.#draw.pick(POOR_NUMBERS);
    const rich = this.#draw.pick(RICH_NUMBERS);
    const amount = this.#draw.whole(1, 600);
    return this.#draw.whole(1, 5) <= 3
      ? { from_account: poor, to_account: rich, amount }
      : { from_account: rich, to_account: poor, amount };
  }

  #group(): Intent {
    const orders = Array.from({ length: this.#draw.whole(2, GROUP_MAX) }, () =>
      this.#draw.whole(1, 12) === 1 ? this.#poorOrder() : this.#richOrder(),
    );
    return { ...this.#intent('group', '/transfers', orders), atomic: this.#draw.whole(0, 1) === 1 };
  }

  #hold(): Intent {
    return this.#intent('hold', '/holds', [this.#richOrder()]);
  }

  /** Each hold is ended by one order only, so that none can find it ended before. */
  #endOfHold(): Intent | null {
    const hold = this.#openHolds.shift();
    if (!hold) return null;
    const kind = this.#draw.whole(0, 1) === 1 ? 'capture' : 'void';
    return { ...this.#intent(kind, `/holds/${hold.id}/${kind}`, [hold.order]), parentId: hold.id };
  }

  #refusable(): Intent {
    const order = this.#richOrder();
    const bad = this.#draw.whole(0, 1) === 1 ? { ...order, amount: 0 } : { ...order, to_account: order.from_account };
    return this.#intent('refusable', '/transfers', [bad]);
  }

  #newAccount(): Intent {
    const account = { account_number: this.#newNumber(), balance: this.#balance() };
    if (this.#draw.whole(0, 1) === 0) return this.#account(account);
    return { ...this.#intent('account', '/accounts', []), accounts: [account] };
  }

  /**
   * A list of accounts. Some lists end with an account that another order opens, too: either the whole list is refused,
   * or that order.
   */
  #newAccounts(): Intent {
    const taken = this.#newcomers.slice(-3).filter(() => this.#draw.whole(1, 10) === 1);
    const count = this.#draw.whole(2, LIST_MAX) - taken.length;
    const numbers = [...Array.from({ length: Math.max(count, 1) }, () => this.#newNumber()), ...taken];
    const accounts = numbers.map((account_number) => ({ account_number, balance: this.#balance() }));
    return { ...this.#intent('accounts', '/accounts', []), accounts };
  }

  #newNumber(): string {
    const number = `${NEWCOMER}${this.#round}-${(this.#count += 1)}`;
    this.#newcomers.push(number);
    return number;
  }

  #balance(): number {
    return this.#draw.whole(0, 1) * 100;
  }

  /** An account that was opened a moment ago, or is being opened now. */
  #newcomer(): string {
    const recent = this.#newcomers.slice(-3);
    return recent.length > 0 ? this.#draw.pick(recent) : GHOST;
  }

  #account(account: NewAccount): Intent {
    const intent = this.#intent('account', '/accounts', []);
    // The number identifies an account, as the key identifies a transfer.
    return { ...intent, name: account.account_number, keyed: false, accounts: [account] };
  }

  #read(): Intent | null {
    if (this.#accepted.length === 0) return null;
    const readId = this.#draw.pick(this.#accepted.slice(-50));
    return { ...this.#intent('read', `/transfers/${readId}`, []), keyed: false, readId };
  }
}

/** What is sent for an order. */
export function bodyOf({ kind, orders, atomic, accounts }: Intent): unknown {
  const named = accounts.map((account) => ({ ...account, name: 'Ada' }));
  switch (kind) {
    case 'group':
      return { transfers: orders, atomic };
    case 'account':
      return named[0];
    case 'accounts':
      return { accounts: named };
    case 'capture':
    case 'void':
      return {};
    default:
      return orders[0];
  }
}

/** The record omits large fields that no rule checks. */
function withoutMetadata(key: string, value: unknown): unknown {
  return key === 'metadata' ? undefined : value;
}
