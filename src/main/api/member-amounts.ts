// What the members of a group say about their amounts, and the amounts that follow from it.
import type { z } from 'zod';
import { type AmountFlaw, type MemberAmount, type Resolved, resolveAmounts } from '../../domain/amounts.ts';
import { type Flaw, Problem, refuseFlaws, toValidationError } from '../http/problem.ts';
import type { createGroupSchema } from './group-schemas.ts';

type Group = z.output<typeof createGroupSchema>;
type Member = Group['transfers'][number];

const FORMS = ['amount', 'share', 'remainder'] as const;
const EXPECTED = 'a member has one of `amount`, `share` and `remainder`';

/** The name of the member that says what the amount is. */
const formOf = (member: Member) => FORMS.find((form) => member[form] !== undefined) ?? 'amount';

/** What is wrong with the forms of the amounts, whatever the amounts are. */
export function flawsOfForms({ transfers, total, atomic }: Group): Flaw[] {
  const flaws = transfers.flatMap((member, index) => {
    const [first, second] = FORMS.filter((form) => member[form] !== undefined);
    if (first === undefined) return [unresolved(['transfers', index, 'amount'], `is missing; ${EXPECTED}`)];
    return second === undefined ? [] : [unresolved(['transfers', index, second], `must be left out; ${EXPECTED}`)];
  });
  const isDerived = total !== undefined || transfers.some((member) => formOf(member) !== 'amount');
  if (isDerived && !atomic) flaws.push(unresolved(['atomic'], 'must be true with `total`, `share` and `remainder`'));
  return flaws;
}

/** The members with their amounts. Throws if an amount does not follow from the group. */
export function resolveMembers({ transfers, total }: Group): readonly Resolved<MemberAmount & { sent: Member }>[] {
  const members = transfers.map((sent) => ({ ...toAmount(sent), sent }));
  const { resolved, flaws } = resolveAmounts(members, total === undefined ? null : BigInt(total));
  refuseFlaws(flaws.map(toFlaw));
  return resolved;
}

function toAmount({ currency: named, amount = 0, share, remainder }: Member): MemberAmount {
  const currency = named ?? null;
  if (share) {
    const { of = null, basis_points: basisPoints, plus } = share;
    return { form: 'share', of, basisPoints: BigInt(basisPoints), plus: BigInt(plus), currency };
  }
  if (remainder) return { form: 'remainder', of: remainder.of ?? null, currency };
  return { form: 'amount', amount: BigInt(amount), currency };
}

function toFlaw({ index, member, isZero, detail }: AmountFlaw): Flaw {
  const path = index === null ? [member] : ['transfers', index, member];
  if (isZero !== true) return unresolved(path, detail);
  const problem = new Problem('amount_not_positive', 'A transfer has an amount of at least 1: leave the member out.');
  return { problem, error: toValidationError(path, detail) };
}

function unresolved(path: readonly PropertyKey[], detail: string): Flaw {
  const problem = new Problem('amount_unresolved', 'An amount does not follow from the request; `errors` says why.');
  return { problem, error: toValidationError(path, detail) };
}
