// Random programs: the books decide the meaning of a step when its turn comes, so that a program still makes sense when
// fast-check has removed steps.
import * as fc from 'fast-check';
import { available, type Books, type Command, keyOf, RATES, remaining, type Request, type Terms } from './model.ts';

type Kind = Command['type'] | 'deposit' | 'withdrawal' | 'mortalHold' | 'retry';

/** The kinds of a step, and their relative frequency. */
const KINDS: readonly [kind: Kind, weight: number][] = [
  ['transfer', 10],
  ['deposit', 4],
  ['withdrawal', 3],
  ['hold', 8],
  ['mortalHold', 1],
  ['capture', 9],
  ['void', 3],
  ['reversal', 8],
  ['group', 5],
  ['change', 4],
  ['close', 2],
  ['retry', 4],
];

/** The size of an amount, relative to its source. */
const SIZES = ['part', 'part', 'part', 'all', 'one too much', 'nothing named'] as const;
const SHAPES = ['chain', 'fan', 'split', 'exchange', 'funnel', 'ring', 'anything'] as const;

export type Step = {
  kind: Kind;
  /** Which of the accounts, holds, or movements there are: counted on from this number. */
  who: number;
  whom: number;
  size: (typeof SIZES)[number];
  tenths: number;
  currency: 'not named' | 'right' | 'wrong';
  condition: 'none' | 'met' | 'entry missed' | 'available missed';
  keyed: boolean;
  dryRun: boolean;
  flag: boolean;
  shape: (typeof SHAPES)[number];
  legs: { who: number; whom: number; tenths: number }[];
  status: 'open' | 'receive_only' | 'frozen' | null;
  edgeCase: 'no' | 'unknown account' | 'same account' | 'nothing';
};

const index = fc.nat(999);
const tenths = fc.integer({ min: 1, max: 9 });
const often = <Value>(usual: Value, weight: number, ...rare: Value[]) =>
  fc.oneof(
    { arbitrary: fc.constant(usual), weight },
    ...rare.map((value) => ({ arbitrary: fc.constant(value), weight: 1 })),
  );

export function steps(options: { min?: number; max: number; without?: readonly Kind[] }): fc.Arbitrary<Step[]> {
  const kinds = KINDS.filter(([kind]) => !options.without?.includes(kind));
  const kind = fc.oneof(...kinds.map(([kind, weight]) => ({ arbitrary: fc.constant(kind), weight })));
  const step = fc.record<Step>({
    kind,
    who: index,
    whom: index,
    size: fc.constantFrom(...SIZES),
    tenths,
    currency: often<Step['currency']>('not named', 6, 'right', 'wrong'),
    condition: often<Step['condition']>('none', 7, 'met', 'entry missed', 'available missed'),
    keyed: fc.boolean(),
    dryRun: often(false, 6, true),
    flag: fc.boolean(),
    shape: fc.constantFrom(...SHAPES),
    legs: fc.array(fc.record({ who: index, whom: index, tenths }), { minLength: 1, maxLength: 24, size: 'max' }),
    status: fc.constantFrom('open', 'open', 'receive_only', 'frozen', null),
    edgeCase: often<Step['edgeCase']>('no', 40, 'unknown account', 'same account', 'nothing'),
  });
  return fc.array(step, { minLength: options.min ?? 1, maxLength: options.max, size: 'max' });
}

/** The request of a step, or null if there is nothing to act on. `earlier` are requests that may be repeated. */
export function resolve(step: Step, books: Books, name: string, earlier: readonly Request[]): Request | null {
  if (step.kind === 'retry') {
    const again = pick(
      earlier.filter(({ key, dryRun }) => key !== null && !dryRun),
      step.who,
    );
    if (!again) return null;
    const same = { ...again, command: { ...again.command, name } };
    return step.flag ? same : { ...same, command: { ...vary(same.command), name } };
  }
  const command = toCommand(step, books, name);
  if (!command) return null;
  const moves = command.type !== 'change' && command.type !== 'close';
  return {
    command,
    key: moves && step.keyed ? `key of ${name}`.replaceAll(' ', '-') : null,
    dryRun: moves && step.dryRun,
  };
}

/** The same request but for its body. */
function vary(command: Command): Command {
  if (command.type === 'transfer' || command.type === 'hold') {
    return { ...command, terms: { ...command.terms, amount: command.terms.amount + 1n } };
  }
  if (command.type === 'capture' || command.type === 'reversal')
    return { ...command, amount: (command.amount ?? 0n) + 1n };
  if (command.type === 'group') return { ...command, atomic: !command.atomic };
  return command;
}

function toCommand(step: Step, books: Books, name: string): Command | null {
  const own = [...books.accounts.keys()].filter((number) => !number.startsWith('@')).sort();
  const who = pick(own, step.who) ?? '';
  switch (step.kind) {
    case 'transfer':
    case 'deposit':
    case 'withdrawal':
      return { type: 'transfer', name, terms: toTerms(step, books, own) };
    case 'hold':
      // Long enough never to end by itself here.
      return { type: 'hold', name, terms: toTerms(step, books, own), expiresIn: step.flag ? 3600 : null };
    case 'mortalHold':
      return { type: 'hold', name, terms: toTerms(step, books, own), expiresIn: 1 };
    case 'capture':
    case 'void': {
      const hold = pickHold(step, books);
      if (hold === undefined) return null;
      if (step.kind === 'void') return { type: 'void', name, hold };
      const parent = books.holds.get(hold);
      const amount = sizeOf(step, parent ? remaining(parent) : 1n);
      return { type: 'capture', name, hold, amount: step.size === 'nothing named' ? null : amount, final: step.flag };
    }
    case 'reversal': {
      const original = pickMovement(step, books);
      if (original === undefined) return null;
      const { amount, reversed = 0n } = books.movements.get(original) ?? {};
      const part = sizeOf(step, (amount ?? 0n) - reversed);
      return { type: 'reversal', name, original, amount: step.size === 'nothing named' ? null : part };
    }
    case 'group':
      return { type: 'group', name, atomic: step.flag, ...toLegs(step, books, own) };
    case 'change': {
      const account = books.accounts.get(who);
      const drawn = (account?.held ?? 0n) - (account?.balance ?? 0n);
      const lowest = drawn > 0n ? drawn : 0n;
      const limit =
        step.size === 'all'
          ? lowest
          : step.size === 'one too much' && lowest > 0n
            ? lowest - 1n
            : lowest + BigInt(step.whom);
      return {
        type: 'change',
        name,
        account: who,
        limit: step.status === null || step.flag ? limit : null,
        status: step.status,
      };
    }
    case 'close': {
      const empty = own.filter((number) => {
        const account = books.accounts.get(number);
        return account?.balance === 0n && account.held === 0n;
      });
      // Closing is permanent: mostly tried where it must fail, so that accounts remain to move money between.
      return { type: 'close', name, account: (step.whom % 4 === 0 ? pick(empty, step.who) : undefined) ?? who };
    }
    case 'retry':
      return null;
  }
}

function toTerms(step: Step, books: Books, own: readonly string[]): Terms {
  const from = step.kind === 'deposit' ? '@external' : (pick(own, step.who) ?? '');
  // Mostly within one currency, because other transfers always fail.
  const others = own.filter((number) => number !== from);
  const alike = others.filter((number) => books.accounts.get(number)?.currency === books.accounts.get(from)?.currency);
  const to =
    step.kind === 'withdrawal'
      ? '@external'
      : (pick(step.whom % 8 === 0 || alike.length === 0 ? others : alike, step.whom) ?? '');
  const source = books.accounts.get(keyOf(books, from, to));
  const free = step.kind === 'deposit' || !source ? 1000n : available(source);
  const amount = sizeOf(step, free);
  const wrong = source?.currency === 'EUR' ? 'USD' : 'EUR';
  const named = { 'not named': null, right: source?.currency ?? null, wrong }[step.currency];
  return {
    from: step.edgeCase === 'unknown account' && step.flag ? 'unknown' : from,
    to: step.edgeCase === 'unknown account' && !step.flag ? 'unknown-2' : step.edgeCase === 'same account' ? from : to,
    amount: step.edgeCase === 'nothing' ? 0n : amount,
    currency: named,
    conditions: toConditions(step, source, amount),
  };
}

function toConditions(
  step: Step,
  source: Books['accounts'] extends Map<string, infer Item> ? Item | undefined : never,
  amount: bigint,
): Terms['conditions'] {
  if (step.condition === 'none' || !source) return null;
  const remaining = available(source) - amount;
  if (step.condition === 'entry missed') return { entryNumber: source.entries + 1n, minAvailable: null };
  if (step.condition === 'available missed')
    return { entryNumber: step.flag ? source.entries : null, minAvailable: remaining + 1n };
  return { entryNumber: step.flag ? source.entries : null, minAvailable: remaining };
}

/** Legs that lead on from each other: money may pass through accounts that have none of their own. */
function toLegs(step: Step, books: Books, own: readonly string[]): { total: bigint | null; legs: Terms[] } {
  const first = pick(own, step.who) ?? '';
  const alike = own.filter((number) => books.accounts.get(number)?.currency === books.accounts.get(first)?.currency);
  const source = books.accounts.get(first);
  const all = sizeOf(step, source ? available(source) : 1n);
  const count = BigInt(step.legs.length);
  let before = first;
  const inOther = own.filter((number) => !alike.includes(number));
  if (step.shape === 'exchange' && inOther.length > 0) {
    return { total: null, legs: toConversion(step, books, { first, amount: all, alike, inOther }) };
  }
  const legs = step.legs.map(({ who, whom, tenths }, index): Terms => {
    const next =
      pick(
        alike.filter((number) => number !== before),
        who,
      ) ?? '@external';
    const other =
      pick(
        alike.filter((number) => number !== first),
        whom,
      ) ?? '@external';
    const leg = { currency: null, conditions: null };
    switch (step.shape) {
      case 'chain':
      case 'ring': {
        const from = before;
        before = next;
        return { from, to: next, amount: all, ...leg };
      }
      case 'exchange':
      case 'fan':
        return { from: first, to: other, amount: atLeastOne(all / count), ...leg };
      case 'split': {
        // The last part is the rest. Many parts may be more than there is.
        const part = index === step.legs.length - 1 ? 'rest' : { basisPoints: BigInt(tenths) * 99n };
        return { from: first, to: other, amount: 0n, part, ...leg };
      }
      case 'funnel':
        return { from: other, to: first, amount: atLeastOne((all * BigInt(tenths)) / 100n), ...leg };
      case 'anything': {
        const from = pick(own, who) ?? '';
        const to =
          pick(
            own.filter((number) => number !== from),
            whom,
          ) ?? '@external';
        return { from, to, amount: BigInt(tenths) * 10n, ...leg };
      }
    }
  });
  return { total: step.shape === 'split' ? all : null, legs };
}

/** Money of one currency to an account, and of another currency from an account, at a rate. */
function toConversion(
  step: Step,
  books: Books,
  from: { first: string; amount: bigint; alike: readonly string[]; inOther: readonly string[] },
): Terms[] {
  const { first, amount, alike, inOther } = from;
  const to = pick(
    alike.filter((number) => number !== first),
    step.whom,
  );
  const source = pick(inOther, step.who) ?? '';
  const currencyOf = (number: string) => books.accounts.get(number)?.currency ?? null;
  const target = pick(
    inOther.filter((number) => number !== source && currencyOf(number) === currencyOf(source)),
    step.whom,
  );
  const rate = RATES[step.whom % RATES.length] ?? RATES[0];
  return [
    { from: first, to: to ?? '@external', amount, currency: currencyOf(first), conditions: null },
    {
      from: source,
      to: target ?? '@external',
      amount: 0n,
      part: { rate },
      currency: currencyOf(source),
      conditions: null,
    },
  ];
}

function sizeOf({ size, tenths, edgeCase }: Step, base: bigint): bigint {
  if (edgeCase === 'nothing') return 0n;
  if (size === 'all' || size === 'nothing named') return atLeastOne(base);
  if (size === 'one too much') return atLeastOne(base + 1n);
  return atLeastOne((base * BigInt(tenths)) / 10n);
}

function atLeastOne(amount: bigint): bigint {
  return amount < 1n ? 1n : amount;
}

/** Open holds rather than ended ones; at times an unknown one. */
function pickHold(step: Step, books: Books): string | undefined {
  if (step.edgeCase === 'unknown account') return 'unknown';
  const all = [...books.holds.keys()];
  const open = all.filter((name) => books.holds.get(name)?.state === 'open');
  return step.whom % 6 === 0 || open.length === 0 ? pick(all, step.who) : pick(open, step.who);
}

/** Reversible movements rather than others. */
function pickMovement(step: Step, books: Books): string | undefined {
  if (step.edgeCase === 'unknown account') return 'unknown';
  const all = [...books.movements.keys()];
  const able = all.filter((name) => {
    const movement = books.movements.get(name);
    const moved = movement?.kind === 'transfer' || movement?.kind === 'capture';
    return moved && movement.status === 'completed' && movement.reversed < (movement.amount ?? 0n);
  });
  // A capture more often than its share.
  const captures = able.filter((name) => books.movements.get(name)?.kind === 'capture');
  if (captures.length > 0 && step.whom % 3 === 0) return pick(captures, step.who);
  return step.whom % 5 === 0 || able.length === 0 ? pick(all, step.who) : pick(able, step.who);
}

function pick<Item>(items: readonly Item[], index: number): Item | undefined {
  return items.length === 0 ? undefined : items[index % items.length];
}
