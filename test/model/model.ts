// The books as a careful caller models them: plain maps, one rule per line, nothing shared with the service. It
// predicts the answer to every request and the books afterwards. Money in minor units.

/** Accounts are known by `NAME`, those of the world outside by `@external EUR`. */
export type Books = {
  accounts: Map<string, Account>;
  /** By the name that the request which made them has in the test. */
  holds: Map<string, Hold>;
  movements: Map<string, Movement>;
  /** Idempotency keys: the request, and its answer. */
  keys: Map<string, { asked: string; answer: Answer }>;
};

export type Account = {
  currency: string;
  status: 'open' | 'receive_only' | 'frozen' | 'closed';
  balance: bigint;
  held: bigint;
  limit: bigint;
  entries: bigint;
};

export type Hold = Parties & {
  currency: string;
  state: 'open' | 'captured' | 'voided' | 'expired';
  amount: bigint;
  captured: bigint;
  released: bigint;
};

/** An order and its outcome; `reversed` is the sum of its reversals. */
export type Movement = Parties & Ended & { kind: string; reversed: bigint };

type Parties = { from: string; to: string };

export type Terms = Parties & {
  amount: bigint;
  /** Instead of the amount: a share or the rest of the total of the group, or its first member in another currency. */
  part?: { basisPoints: bigint } | 'rest' | { rate: (typeof RATES)[number] };
  currency: string | null;
  conditions: { entryNumber: bigint | null; minAvailable: bigint | null } | null;
};

/** The commands of a caller. `name` is the name in the test of what it creates. */
export type Command =
  | { type: 'transfer'; name: string; terms: Terms }
  | { type: 'hold'; name: string; terms: Terms; expiresIn: number | null }
  | { type: 'capture'; name: string; hold: string; amount: bigint | null; final: boolean }
  | { type: 'void'; name: string; hold: string }
  | { type: 'reversal'; name: string; original: string; amount: bigint | null }
  | { type: 'group'; name: string; atomic: boolean; total: bigint | null; legs: Terms[] }
  | {
      type: 'change';
      name: string;
      account: string;
      limit: bigint | null;
      status: 'open' | 'receive_only' | 'frozen' | null;
    }
  | { type: 'close'; name: string; account: string };

export type Request = { command: Command; key: string | null; dryRun: boolean };

export type Ended = {
  status: 'completed' | 'failed';
  code: string | null;
  amount: bigint | null;
  currency: string | null;
};

export type Answer =
  | { says: 'refused'; status: number; code: string }
  /** `of`: the subject of the answer; for a replay, that of the first request with the key. */
  | { says: 'ended'; of: string; replayed: boolean; movements: Ended[] }
  | { says: 'changed'; account: Omit<Account, 'currency'> }
  | { says: 'closed' };

const MONEY_MAX = 2n ** 53n - 1n;
/** Rates as fractions, and as text. */
export const RATES = [
  [1n, 1n, '1'],
  [433n, 400n, '1.0825'],
  [1n, 160n, '0.00625'],
  [816n, 5n, '163.2'],
] as const;
/** How many decimals the currencies of the tests have, if not two. */
const DIGITS: Readonly<Record<string, bigint>> = { JPY: 0n, KWD: 3n, CLP: 0n, VND: 0n };
const OUTSIDE = '@external';

/** Executes a command in `books`, and returns the predicted answer. */
export function ask(books: Books, { command, key, dryRun }: Request): Answer {
  if (command.type === 'change') return change(books, command);
  if (command.type === 'close') return close(books, command);
  const refusal = refuseAtOnce(books, command);
  if (refusal) return refusal;
  if (dryRun)
    return { says: 'ended', of: command.name, replayed: false, movements: execute(structuredClone(books), command) };
  const asked = describe(command);
  const before = key === null ? undefined : books.keys.get(key);
  if (before && before.asked !== asked) return { says: 'refused', status: 422, code: 'idempotency_key_reused' };
  if (before?.answer.says === 'ended') return { ...before.answer, replayed: true };
  const answer: Answer = { says: 'ended', of: command.name, replayed: false, movements: execute(books, command) };
  if (key !== null) books.keys.set(key, { asked, answer });
  return answer;
}

/** The clock ends a hold. */
export function expire(books: Books, name: string): void {
  const hold = books.holds.get(name);
  if (hold?.state !== 'open') throw new Error(`The hold ${name} is not open in the model.`);
  release(books, hold, 'expired');
}

/** The key under which the books have the account that an order means: @external has one for the other's currency. */
export function keyOf(books: Books, account: string, other: string): string {
  return account === OUTSIDE ? `${OUTSIDE} ${books.accounts.get(other)?.currency ?? '?'}` : account;
}

export function remaining(hold: Hold): bigint {
  return hold.amount - hold.captured - hold.released;
}

export function available(account: Account): bigint {
  return account.balance - account.held + account.limit;
}

/** What makes two requests the same: everything but their names in the test. */
function describe(command: Command): string {
  return JSON.stringify({ ...command, name: '' }, (_, value: unknown) =>
    typeof value === 'bigint' ? `${value}` : value,
  );
}

function refuseAtOnce(books: Books, command: Command): Answer | null {
  const refused = (status: number, code: string): Answer => ({ says: 'refused', status, code });
  if ((command.type === 'capture' || command.type === 'void') && !books.holds.has(command.hold)) {
    return refused(404, 'hold_not_found');
  }
  if (command.type === 'reversal' && !books.movements.has(command.original)) return refused(404, 'transfer_not_found');
  if (command.type === 'group') {
    const stated = command.legs.flatMap(({ part, amount }) => (part === undefined ? [amount] : []));
    if ([...stated, command.total ?? 1n].some((amount) => amount < 1n)) return refused(422, 'amount_not_positive');
  }
  if (command.type === 'group' && command.legs.some(({ part }) => part !== undefined)) {
    const points = command.legs.map(({ part }) =>
      typeof part === 'object' && 'basisPoints' in part ? part.basisPoints : 0n,
    );
    if (!command.atomic || sum(points) > 10_000n) return refused(422, 'amount_unresolved');
  }
  const sent = 'terms' in command ? [command.terms] : command.type === 'group' ? legsOf(command) : [];
  const part = command.type === 'capture' || command.type === 'reversal' ? command.amount : null;
  if (part !== null && part < 1n) return refused(422, 'amount_not_positive');
  for (const { amount, from, to } of sent) {
    if (amount < 1n) return refused(422, 'amount_not_positive');
    if (from === to) return refused(422, 'same_account');
  }
  return null;
}

/**
 * The members of a group with their amounts: a share of the total and a converted amount without its fraction, and what
 * the shares leave.
 */
function legsOf({ total, legs }: Extract<Command, { type: 'group' }>): Terms[] {
  const [first] = legs;
  const shares = legs.map(({ part, amount, currency }) => {
    if (typeof part !== 'object') return amount;
    if ('basisPoints' in part) return ((total ?? 0n) * part.basisPoints) / 10_000n;
    const [numerator, denominator] = part.rate;
    const scale = (of: string | null | undefined) => 10n ** (DIGITS[of ?? ''] ?? 2n);
    return ((first?.amount ?? 0n) * numerator * scale(currency)) / (denominator * scale(first?.currency));
  });
  return legs.map(({ part, ...leg }, index) => ({
    ...leg,
    amount: part === 'rest' ? (total ?? 0n) - sum(shares) : (shares[index] ?? 0n),
  }));
}

function sum(amounts: readonly bigint[]): bigint {
  return amounts.reduce((before, amount) => before + amount, 0n);
}

function execute(books: Books, command: Exclude<Command, { type: 'change' | 'close' }>): Ended[] {
  if (command.type !== 'group') return [settle(books, command.name, toOrder(books, command))];
  const { name, atomic } = command;
  const orders = legsOf(command).map((terms) => ({ ...plain('transfer', terms), ...terms }));
  if (!atomic) return orders.map((order, index) => settle(books, `${name}.${index}`, order));
  // All or none: tried on a copy, which becomes the books only if no member was refused.
  const copy = structuredClone(books);
  const tried = orders.map((order, index) => settle(copy, `${name}.${index}`, order));
  const culprit = tried.findIndex(({ status }) => status === 'failed');
  if (culprit === -1) {
    Object.assign(books, copy);
    return tried;
  }
  return orders.map((order, index) => {
    const code = index === culprit ? (tried[index]?.code ?? null) : 'group_failed';
    return keep(books, `${name}.${index}`, order, {
      status: 'failed',
      code,
      amount: order.amount,
      currency: currencyOf(books, order),
    });
  });
}

type Order = Omit<Terms, 'amount'> & {
  kind: string;
  amount: bigint | null;
  hold: string | null;
  original: string | null;
  final: boolean;
};

function plain(kind: string, terms: Parties & { currency: string | null }): Order {
  return { kind, ...terms, amount: null, conditions: null, hold: null, original: null, final: false };
}

function toOrder(books: Books, command: Exclude<Command, { type: 'change' | 'close' | 'group' }>): Order {
  switch (command.type) {
    case 'transfer':
    case 'hold':
      return { ...plain(command.type, command.terms), ...command.terms };
    case 'capture':
    case 'void': {
      const { from, to, currency } = find(books.holds, command.hold);
      const order = { ...plain(command.type, { from, to, currency }), hold: command.hold };
      return command.type === 'capture' ? { ...order, amount: command.amount, final: command.final } : order;
    }
    case 'reversal': {
      const { from, to, currency } = find(books.movements, command.original);
      return {
        ...plain('reversal', { from: to, to: from, currency }),
        amount: command.amount,
        original: command.original,
      };
    }
  }
}

type Facts = Order & {
  source: Account | undefined;
  target: Account | undefined;
  parent: Hold | undefined;
  undone: Movement | undefined;
  /** The remainder of the hold, or the amount not yet reversed. */
  rest: bigint;
  /** What would move. */
  moved: bigint;
  availableAfter: bigint;
};

/** In the order in which they refuse. A void and an expiry only ask whether there is something to release. */
const RULES: [code: string, broken: (facts: Facts) => boolean][] = [
  ['hold_not_open', ({ parent }) => parent !== undefined && parent.state !== 'open'],
  ['exceeds_hold', ({ kind, moved, rest }) => kind === 'capture' && moved > rest],
  ['not_reversible', ({ kind, undone }) => kind === 'reversal' && !isReversible(undone)],
  ['exceeds_original', ({ kind, moved, rest }) => kind === 'reversal' && (moved > rest || moved === 0n)],
  ['source_not_found', ({ source, from }) => !source && from !== OUTSIDE],
  ['destination_not_found', ({ target, to }) => !target && to !== OUTSIDE],
  ['source_closed', ({ kind, source }) => kind !== 'void' && source?.status === 'closed'],
  ['destination_closed', ({ kind, target }) => kind !== 'void' && target?.status === 'closed'],
  ['source_frozen', ({ kind, source }) => kind !== 'void' && source?.status !== 'open'],
  ['destination_frozen', ({ kind, target }) => kind !== 'void' && target?.status === 'frozen'],
  ['currency_mismatch', ({ source, target }) => source?.currency !== target?.currency],
  ['currency_mismatch', ({ source, currency }) => currency !== null && source?.currency !== currency],
  ['entry_number_mismatch', ({ source, conditions }) => differs(source?.entries, conditions?.entryNumber)],
  ['insufficient_funds', ({ from, availableAfter }) => from !== OUTSIDE && availableAfter < 0n],
  [
    'min_available_not_met',
    ({ conditions, availableAfter }) => availableAfter < (conditions?.minAvailable ?? availableAfter),
  ],
  ['balance_out_of_bounds', ({ kind, source, moved }) => kind === 'hold' && (source?.held ?? 0n) + moved > MONEY_MAX],
  ['balance_out_of_bounds', ({ kind, source, moved }) => moves(kind) && (source?.balance ?? 0n) - moved < -MONEY_MAX],
  ['balance_out_of_bounds', ({ kind, target, moved }) => moves(kind) && (target?.balance ?? 0n) + moved > MONEY_MAX],
];

function settle(books: Books, name: string, order: Order): Ended {
  const { kind, from, to } = order;
  const source = books.accounts.get(keyOf(books, from, to));
  const target = books.accounts.get(keyOf(books, to, from));
  const parent = order.hold === null ? undefined : find(books.holds, order.hold);
  const undone = order.original === null ? undefined : find(books.movements, order.original);
  const rest = parent ? remaining(parent) : (undone?.amount ?? 0n) - (undone?.reversed ?? 0n);
  const moved = order.amount ?? rest;
  // What a capture moves and a void releases was reserved before.
  const availableAfter = (source ? available(source) : 0n) - (parent ? 0n : moved);
  const facts = { ...order, source, target, parent, undone, rest, moved, availableAfter };
  const broken = RULES.find(([, isBroken]) => isBroken(facts));
  const currency = currencyOf(books, order);
  if (broken) return keep(books, name, order, { status: 'failed', code: broken[0], amount: order.amount, currency });
  if (!source || !target) throw new Error(`The model let ${kind} ${name} through without its accounts.`);

  if (kind === 'hold') {
    source.held += moved;
    books.holds.set(name, {
      from,
      to,
      currency: source.currency,
      state: 'open',
      amount: moved,
      captured: 0n,
      released: 0n,
    });
  }
  if (parent && kind === 'void') release(books, parent, 'voided');
  if (parent && kind === 'capture') {
    source.held -= moved;
    parent.captured += moved;
    if (remaining(parent) === 0n) parent.state = 'captured';
    else if (order.final) release(books, parent, 'captured');
  }
  if (undone) undone.reversed += moved;
  if (moves(kind)) {
    source.balance -= moved;
    target.balance += moved;
    source.entries += 1n;
    target.entries += 1n;
  }
  return keep(books, name, order, { status: 'completed', code: null, amount: moved, currency });
}

function moves(kind: string): boolean {
  return kind === 'transfer' || kind === 'capture' || kind === 'reversal';
}

function isReversible(movement: Movement | undefined): boolean {
  return movement?.status === 'completed' && (movement.kind === 'transfer' || movement.kind === 'capture');
}

function differs(actual: bigint | undefined, wanted: bigint | null | undefined): boolean {
  return wanted !== null && wanted !== undefined && actual !== wanted;
}

/** The named currency, or else that of the accounts. */
function currencyOf(books: Books, { from, to, currency }: Order): string | null {
  const has = (account: string, other: string) => books.accounts.get(keyOf(books, account, other))?.currency ?? null;
  return currency ?? has(from, to) ?? has(to, from);
}

function keep(books: Books, name: string, { kind, from, to }: Order, ended: Ended): Ended {
  books.movements.set(name, { kind, from, to, ...ended, reversed: 0n });
  return ended;
}

function release(books: Books, hold: Hold, state: 'captured' | 'voided' | 'expired'): void {
  const rest = remaining(hold);
  find(books.accounts, keyOf(books, hold.from, hold.to)).held -= rest;
  hold.released += rest;
  hold.state = state;
}

function change(books: Books, command: Extract<Command, { type: 'change' }>): Answer {
  const account = books.accounts.get(command.account);
  if (!account) return { says: 'refused', status: 404, code: 'account_not_found' };
  if (account.status === 'closed') return { says: 'refused', status: 409, code: 'account_closed' };
  const limit = command.limit ?? account.limit;
  if (account.balance - account.held + limit < 0n) return { says: 'refused', status: 409, code: 'overdraft_in_use' };
  account.limit = limit;
  account.status = command.status ?? account.status;
  const { status, balance, held, entries } = account;
  return { says: 'changed', account: { status, balance, held, limit, entries } };
}

function close(books: Books, command: Extract<Command, { type: 'close' }>): Answer {
  const account = books.accounts.get(command.account);
  if (!account) return { says: 'refused', status: 404, code: 'account_not_found' };
  if (account.balance !== 0n || account.held !== 0n) return { says: 'refused', status: 409, code: 'account_not_empty' };
  account.status = 'closed';
  return { says: 'closed' };
}

function find<Item>(items: ReadonlyMap<string, Item>, name: string): Item {
  const item = items.get(name);
  if (item === undefined) throw new Error(`The model does not know ${name}.`);
  return item;
}
