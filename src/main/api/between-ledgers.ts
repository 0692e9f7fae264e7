// Transfers to other ledgers, as requests name them: `to_ledger`. What they cannot do is refused before anything is
// stored.
import type { Principal } from '../../domain/access.ts';
import { EXTERNAL } from '../../domain/account.ts';
import { contraOf, isContra } from '../../domain/between-ledgers.ts';
import type { Ledger } from '../../domain/ledger.ts';
import { type Flaw, Problem, refuseFlaws, toValidationError } from '../http/problem.ts';
import type { LedgerRegistry } from './ledgers.ts';
import { notAllowed } from './permissions.ts';
import type { RequestContext } from './route.ts';
import type { TransferFields } from './submission.ts';

/** A group may name a thousand ledgers. All callers together may have that many looked up at once. */
const LOOKED_UP_MAX = 50;

type Parties = {
  readonly from_account: string;
  readonly to_account: string;
  readonly to_ledger?: string | undefined;
};

type Asked = Pick<
  RequestContext<{ dry_run?: 'true' | 'false' | undefined }, unknown>,
  'ledger' | 'principal' | 'query'
>;

/** The accounts of a transfer, from a body. One to another ledger begins as a hold. */
export function toParties(body: Parties): Pick<TransferFields, 'fromAccount' | 'toAccount' | 'kind' | 'remoteAccount'> {
  const { from_account: fromAccount, to_account: toAccount, to_ledger: toLedger } = body;
  if (toLedger === undefined) return { fromAccount, toAccount };
  return { kind: 'hold', fromAccount, toAccount: contraOf(toLedger), remoteAccount: toAccount };
}

/**
 * Refuses transfers to other ledgers that cannot be ordered: by this key, in this form, or to such a ledger. `pathOf`:
 * where the request has a member. Returns the other ledgers.
 */
export async function refuseBetweenLedgers(
  ledgers: Pick<LedgerRegistry, 'find'>,
  { ledger, principal, query }: Asked,
  request: {
    readonly members: readonly Parties[];
    readonly atomic: boolean;
    readonly pathOf: (index: number) => readonly PropertyKey[];
  },
): Promise<readonly Ledger[]> {
  const { members, atomic, pathOf } = request;
  const names = new Set(members.flatMap(({ to_ledger: name }) => (name === undefined ? [] : [name])));
  if (names.size === 0) return [];
  refuseBoundKey(principal);
  const form = query.dry_run === 'true' ? 'it cannot be a dry run' : atomic ? 'its group cannot be atomic' : null;
  const found = form === null ? await findAll(ledgers, names) : [];
  // Test money stays among tests.
  const strange = new Set(found.flatMap((each) => (each.hasTestClock === ledger.hasTestClock ? [] : [each.name])));
  const missing = form === null ? names.difference(new Set(found.map((each) => each.name))) : new Set<string>();
  refuseFlaws(
    members.flatMap((member, index): Flaw[] => {
      const { to_ledger: name } = member;
      if (name === undefined) return [];
      const at = (key: string, detail: string) => toFlaw(toValidationError([...pathOf(index), key], detail));
      if (form !== null) return [at('to_ledger', `is another ledger: ${form}`)];
      if (name === ledger.name) return [at('to_ledger', 'must be another ledger')];
      if (strange.has(name))
        return [at('to_ledger', 'must be a ledger with a test clock too, or neither may have one')];
      if (missing.has(name)) return [at('to_ledger', 'must be a ledger that exists')];
      return (['from_account', 'to_account'] as const)
        .filter((party) => member[party] === EXTERNAL)
        .map((party) => at(party, `must not be ${EXTERNAL}: move the money inside of the ledger first`));
    }),
  );
  return found;
}

/**
 * The rules of approval of a ledger and of those that it sends money to: the strictest of them counts, because a credit funds
 * the ledger that receives it.
 */
export function strictestRule(
  { approvalAbove }: { readonly approvalAbove: (ledgerId: number) => bigint | null },
  others: readonly Ledger[],
): (ledgerId: number) => bigint | null {
  return (ledgerId) =>
    [ledgerId, ...others.map(({ id }) => id)]
      .map(approvalAbove)
      .reduce((least, above) => (least === null || (above !== null && above < least) ? above : least), null);
}

/** Refuses a key that is bound to a ledger: it may not move money to another one. */
export function refuseBoundKey({ ledger }: Principal): void {
  if (ledger === null) return;
  throw notAllowed(
    `The key is bound to the ledger ${ledger}. Money moves to another ledger with a key that is for all ledgers.`,
  );
}

/** Refuses the end, or the reversal, of a part of a transfer between ledgers. The courier ends it. */
export function refusePart(transfer: { readonly fromAccount: string; readonly toAccount: string }): void {
  if (!isContra(transfer.fromAccount) && !isContra(transfer.toAccount)) return;
  throw new Problem(
    'between_ledgers',
    'It is a part of a transfer between ledgers, which ends by itself. Send the money back with a transfer of its own.',
  );
}

function toFlaw(error: ReturnType<typeof toValidationError>): Flaw {
  return { problem: new Problem('between_ledgers', 'The transfer to another ledger is not possible.'), error };
}

/** Those of the ledgers that exist. */
async function findAll(ledgers: Pick<LedgerRegistry, 'find'>, names: ReadonlySet<string>): Promise<readonly Ledger[]> {
  const found: (Ledger | null)[] = [];
  const all = [...names];
  for (let first = 0; first < all.length; first += LOOKED_UP_MAX) {
    const some = all.slice(first, first + LOOKED_UP_MAX);
    found.push(...(await Promise.all(some.map(async (name) => await findOne(ledgers, name)))));
  }
  return found.filter((each) => each !== null);
}

async function findOne(ledgers: Pick<LedgerRegistry, 'find'>, name: string): Promise<Ledger | null> {
  return await ledgers.find(name).catch((error: unknown) => {
    if (!(error instanceof Problem) || error.code !== 'ledger_not_found') throw error;
    return null;
  });
}
