// The amounts of the members of a group: stated, or derived from each other before the group is accepted. Settlement, the
// journal and the audit have plain amounts only. docs/decisions/0042-shares-and-rates.md explains the rules.
import { type Conversion, convert, isConversion, renderConversion } from './conversion.ts';
import { MONEY_MAX } from './money.ts';

/** What a member says about its amount. `of` is the index of an earlier member; null: the total of the group. */
export type MemberAmount = { readonly currency: string | null } & (
  | { readonly form: 'amount'; readonly amount: bigint }
  /** A part of the whole, rounded down, plus a fixed amount. */
  | { readonly form: 'share'; readonly of: number | null; readonly basisPoints: bigint; readonly plus: bigint }
  /** What the other parts leave of the whole. */
  | { readonly form: 'remainder'; readonly of: number | null }
  /** An earlier member in another currency. If the amount is stated, it must be one of this rate. */
  | { readonly form: 'conversion'; readonly of: number; readonly rate: string; readonly amount: bigint | null }
);

/** A member with its amount; the currency is that of its whole if it names none. */
type Derived<Member> = { readonly member: Member; readonly amount: bigint; readonly currency: string | null };

/** `rate`: of both members of a conversion, as `renderConversion` renders it. */
export type Resolved<Member> = Derived<Member> & { readonly rate: string | null };

/** What is wrong with a member; index null: with the group. `detail` begins with a verb, as in validation.ts. */
export type AmountFlaw = {
  readonly index: number | null;
  readonly member: 'amount' | 'share' | 'remainder' | 'conversion' | 'currency' | 'total';
  /** The amount is 0, which no transfer can have. */
  readonly isZero?: true;
  readonly detail: string;
};

/** An amount from which others are derived: an earlier member, or the total. `parts` are indexes of members. */
type Whole = { readonly amount: bigint; readonly currency: string | null; readonly parts: readonly number[] };

const BASIS_POINTS_MAX = 10_000n;

/**
 * Derives the amounts. The parts of a whole never exceed it. With a remainder they sum to it exactly, and so do the
 * parts of the total, which are also the members that state their amount.
 */
export function resolveAmounts<Member extends MemberAmount>(
  members: readonly Member[],
  total: bigint | null,
): { readonly resolved: readonly Resolved<Member>[]; readonly flaws: readonly AmountFlaw[] } {
  const misplaced = members.flatMap((member, index) => flawsOfPlace(members, total, member, index));
  if (misplaced.length > 0) return { resolved: [], flaws: misplaced };
  const partsOf = Map.groupBy(members.keys(), (index) => placeOf(members[index], total));
  const named = (partsOf.get('total') ?? []).map((index) => members[index]?.currency ?? null);
  const currencyOfTotal = named.find((currency) => currency !== null) ?? null;
  const resolved: Derived<Member>[] = [];
  // Each is computed once, because a group may name a thousand remainders of one whole before it is refused.
  const remainders = new Map<number | 'total', bigint>();
  const wholeAt = (place: number | 'total'): Whole => {
    const parts = partsOf.get(place) ?? [];
    if (place === 'total') return { amount: total ?? 0n, currency: currencyOfTotal, parts };
    return { amount: resolved[place]?.amount ?? 0n, currency: resolved[place]?.currency ?? null, parts };
  };
  for (const member of members) {
    const place = placeOf(member, total);
    const whole = place === 'none' ? null : wholeAt(place);
    const known = member.form === 'remainder' && place !== 'none' ? remainders.get(place) : undefined;
    const amount =
      member.form === 'conversion'
        ? convertedOf(member, resolved[member.of])
        : (known ?? amountOf(member, members, whole));
    if (member.form === 'remainder' && place !== 'none') remainders.set(place, amount);
    resolved.push({ member, amount, currency: member.currency ?? whole?.currency ?? null });
  }
  const places = [...partsOf.keys()].filter((place) => place !== 'none');
  const flaws = [
    ...places.flatMap((place) => flawsOfParts(resolved, wholeAt(place))),
    ...(total === null ? [] : flawsOfTotal(resolved, wholeAt('total'))),
    ...resolved.flatMap((_, index) => flawsOfConversion(resolved, index)),
  ];
  return { resolved: withRates(resolved), flaws: flaws.length > 0 ? flaws : resolved.flatMap(flawOfZero) };
}

/** Both members of a conversion get its rate. */
function withRates<Member extends MemberAmount>(derived: readonly Derived<Member>[]): Resolved<Member>[] {
  const rates = new Map<number, string>();
  for (const [index, { member }] of derived.entries()) {
    if (member.form !== 'conversion') continue;
    const conversion = conversionOf(member, derived[member.of]);
    for (const either of [index, member.of]) if (conversion) rates.set(either, renderConversion(conversion));
  }
  return derived.map((each, index) => ({ ...each, rate: rates.get(index) ?? null }));
}

function flawOfZero({ member: { form }, amount }: Derived<MemberAmount>, index: number): AmountFlaw[] {
  return amount === 0n ? [{ index, member: form, isZero: true, detail: 'must not result in 0' }] : [];
}

/** The whole of which a member is a part. */
function placeOf(member: MemberAmount | undefined, total: bigint | null): number | 'total' | 'none' {
  if (member === undefined || member.form === 'conversion') return 'none';
  if (member.form !== 'amount') return member.of ?? 'total';
  return total === null ? 'none' : 'total';
}

function flawsOfPlace(
  members: readonly MemberAmount[],
  total: bigint | null,
  member: MemberAmount,
  index: number,
): AmountFlaw[] {
  if (member.form === 'amount') return [];
  const flaw = (detail: string): AmountFlaw[] => [{ index, member: member.form, detail }];
  if (member.form === 'conversion') {
    const isSame = (other: MemberAmount) => other.form === 'conversion' && other.of === member.of;
    if (member.of >= index) return flaw('must be of an earlier member');
    if (members[member.of]?.form === 'conversion') return flaw('must not be of a conversion');
    return members.findIndex(isSame) < index ? flaw('must be the only one of its member') : [];
  }
  if (member.of === null) return total === null ? flaw('needs `of`, or a `total` of the group') : [];
  if (member.of >= index) return flaw('must be of an earlier member');
  return members[member.of]?.form === 'remainder' ? flaw('must not be of a remainder') : [];
}

/** A remainder is negative if the parts exceed the whole, which is a flaw of the group. */
function amountOf(member: MemberAmount, members: readonly MemberAmount[], whole: Whole | null): bigint {
  if (member.form === 'amount') return member.amount;
  if (whole === null || member.form === 'conversion') return 0n;
  if (member.form === 'share') return (whole.amount * member.basisPoints) / BASIS_POINTS_MAX + member.plus;
  // Shares that come later count too: they depend on the whole alone.
  const others = whole.parts.flatMap((index) => members[index] ?? []).filter(({ form }) => form !== 'remainder');
  return others.reduce((rest, other) => rest - amountOf(other, members, whole), whole.amount);
}

/** Names the first part that is too much: those after it are too. */
function flawsOfParts(resolved: readonly Derived<MemberAmount>[], { amount, currency, parts }: Whole): AmountFlaw[] {
  const flaws: AmountFlaw[] = [];
  let [sum, basisPoints, remainders] = [0n, 0n, 0];
  for (const index of parts) {
    const part = resolved[index];
    if (!part) continue;
    const { form } = part.member;
    if (part.currency !== currency) {
      const detail = currency === null ? 'must be named by the whole too' : `must be ${currency}, as that of the whole`;
      flaws.push({ index, member: 'currency', detail });
    }
    if (form === 'remainder') remainders += 1;
    else sum += part.amount;
    if (part.member.form === 'share') basisPoints += part.member.basisPoints;
    const detail =
      remainders > 1
        ? 'must be the only one of its whole'
        : basisPoints > BASIS_POINTS_MAX
          ? 'must not be more than 10000 basis points, together with the shares before it'
          : 'must not exceed the whole, together with the parts before it';
    if (remainders > 1 || basisPoints > BASIS_POINTS_MAX || sum > amount) {
      return [...flaws, { index, member: form, detail }];
    }
  }
  return flaws;
}

function flawsOfTotal(resolved: readonly Derived<MemberAmount>[], { amount, parts }: Whole): AmountFlaw[] {
  const sum = parts.reduce((before, index) => before + (resolved[index]?.amount ?? 0n), 0n);
  // What exceeds the total is a flaw of the part.
  if (sum >= amount) return [];
  return [{ index: null, member: 'total', detail: `must be ${sum}, the sum of its parts` }];
}

/** Null if the currencies are not known, or the same. */
function conversionOf(
  { currency: to, rate }: Extract<MemberAmount, { form: 'conversion' }>,
  source: Derived<MemberAmount> | undefined,
): Conversion | null {
  const from = source?.currency ?? null;
  return from === null || to === null || from === to ? null : { from, to, rate };
}

function convertedOf(
  member: Extract<MemberAmount, { form: 'conversion' }>,
  source: Derived<MemberAmount> | undefined,
): bigint {
  const conversion = conversionOf(member, source);
  return member.amount ?? (source && conversion ? convert(source.amount, conversion) : 0n);
}

function flawsOfConversion(resolved: readonly Derived<MemberAmount>[], index: number): AmountFlaw[] {
  const { member, amount = 0n } = resolved[index] ?? {};
  if (member?.form !== 'conversion') return [];
  const source = resolved[member.of];
  const conversion = conversionOf(member, source);
  if (!source || source.currency === null || member.currency === null) {
    const unnamed = member.currency === null ? index : member.of;
    return [{ index: unnamed, member: 'currency', detail: 'is missing; a conversion needs both' }];
  }
  if (!conversion) return [{ index, member: 'currency', detail: `must be another one than ${source.currency}` }];
  if (amount > MONEY_MAX) return [{ index, member: 'conversion', detail: `must result in at most ${MONEY_MAX}` }];
  if (isConversion(source.amount, amount, conversion)) return [];
  const converted = convert(source.amount, conversion);
  return [{ index, member: 'amount', detail: `must be ${converted} at this rate, rounded down` }];
}
