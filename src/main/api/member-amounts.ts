// What the members of a group say about their amounts, and the amounts that follow from it.
import type { z } from 'zod';
import { type AmountFlaw, type MemberAmount, type Resolved, resolveAmounts } from '../../domain/amounts.ts';
import { type Flaw, Problem, refuseFlaws, toValidationError } from '../http/problem.ts';
import type { createGroupSchema } from './group-schemas.ts';

type Group = z.output<typeof createGroupSchema>;
type Member = Group['transfers'][number];

const FORMS = ['amount', 'share', 'remainder', 'conversion'] as const;
const EXPECTED = 'a member has one of `amount`, `share`, `remainder` and `conversion`';
const NEED_ATOMIC = '`total`, `share`, `remainder` and `conversion`';

/** What is wrong with the forms of the amounts, whatever the amounts are. */
export function flawsOfForms({ transfers, total, atomic }: Group): Flaw[] {
  const flaws = transfers.flatMap((member, index) => {
    const [first, second] = FORMS.filter((form) => member[form] !== undefined);
    // A conversion may state what it comes to.
    if (first === 'amount' && second === 'conversion') return [];
    if (first === undefined) return [unresolved(['transfers', index, 'amount'], `is missing; ${EXPECTED}`)];
    return second === undefined ? [] : [unresolved(['transfers', index, second], `must be left out; ${EXPECTED}`)];
  });
  // First, so that it decides the code, as an amount of a member does.
  if (total !== undefined && total < 1) flaws.unshift(notPositive(['total'], 'must be at least 1'));
  const isDerived = transfers.some(({ share, remainder, conversion }) => share ?? remainder ?? conversion);
  if ((total !== undefined || isDerived) && !atomic)
    flaws.push(unresolved(['atomic'], `must be true with ${NEED_ATOMIC}`));
  return flaws;
}

/** The members with their amounts. Throws if an amount does not follow from the group. */
export function resolveMembers({ transfers, total }: Group): readonly Resolved<MemberAmount & { sent: Member }>[] {
  const members = transfers.map((sent) => ({ ...toAmount(sent), sent }));
  const { resolved, flaws } = resolveAmounts(members, total === undefined ? null : BigInt(total));
  refuseFlaws(flaws.map(toFlaw));
  return resolved;
}

function toAmount({ currency: named, amount, share, remainder, conversion }: Member): MemberAmount {
  const currency = named ?? null;
  if (conversion) {
    return { form: 'conversion', ...conversion, amount: amount === undefined ? null : BigInt(amount), currency };
  }
  if (share) {
    const { of = null, basis_points: basisPoints, plus } = share;
    return { form: 'share', of, basisPoints: BigInt(basisPoints), plus: BigInt(plus), currency };
  }
  if (remainder) return { form: 'remainder', of: remainder.of ?? null, currency };
  return { form: 'amount', amount: BigInt(amount ?? 0), currency };
}

function toFlaw({ index, member, isZero, detail }: AmountFlaw): Flaw {
  const path = index === null ? [member] : ['transfers', index, member];
  return isZero === true ? notPositive(path, detail) : unresolved(path, detail);
}

function notPositive(path: readonly PropertyKey[], detail: string): Flaw {
  const problem = new Problem(
    'amount_not_positive',
    'An amount is at least 1, in minor units; `errors` names the member.',
  );
  return { problem, error: toValidationError(path, detail) };
}

function unresolved(path: readonly PropertyKey[], detail: string): Flaw {
  const problem = new Problem('amount_unresolved', 'An amount does not follow from the request; `errors` says why.');
  return { problem, error: toValidationError(path, detail) };
}
