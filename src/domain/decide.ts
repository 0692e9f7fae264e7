// Decides a job: derives the outcome of each transfer from the locked records that the transfers need. Pure: no reads,
// no writes, and the same arguments always give the same decision.
import { availableOf } from './account.ts';
import { hasHeadroom, isContra, isOwnedByService } from './between-ledgers.ts';
import { Books, type BooksContent, type MutableAccount, type MutableHold } from './books.ts';
import { remainingOf } from './hold.ts';
import { isExact } from './money.ts';
import type { FailureCode, TransferTerms, Outcome } from './transfer.ts';

export type Decision = {
  /** One per transfer, in the same sequence. */
  readonly outcomes: readonly Outcome[];
  /** The changed records, in their new state. */
  readonly changed: BooksContent;
};

/**
 * Decides the transfers one after another; each sees the effects of the earlier ones. Each fails or succeeds alone,
 * except the members of an atomic group, which must be adjacent and settle all or none.
 */
export function decide(transfers: readonly TransferTerms[], content: BooksContent): Decision {
  const books = new Books(content);
  const outcomes: Outcome[] = [];
  while (outcomes.length < transfers.length) {
    const members = atomicGroupAt(transfers, outcomes.length);
    if (members.length > 0) outcomes.push(...settleGroup(members, books));
    else for (const each of transfers.slice(outcomes.length, outcomes.length + 1)) outcomes.push(settle(each, books));
  }
  return { outcomes, changed: books.changed() };
}

function atomicGroupAt(transfers: readonly TransferTerms[], start: number): readonly TransferTerms[] {
  const group = transfers[start]?.group;
  if (!group?.atomic) return [];
  let end = start + 1;
  while (transfers[end]?.group?.id === group.id) end += 1;
  return transfers.slice(start, end);
}

function settleGroup(members: readonly TransferTerms[], books: Books): Outcome[] {
  const outcomes: Outcome[] = [];
  const ok = books.allOrNothing(() =>
    members.every((transfer) => {
      const outcome = settle(transfer, books);
      outcomes.push(outcome);
      return outcome.ok;
    }),
  );
  if (ok) return outcomes;
  // The last decided member failed, and keeps its own code.
  const culprit = outcomes.length - 1;
  return members.map((transfer, index): Outcome => {
    const outcome = outcomes[index];
    if (index === culprit && outcome) return outcome;
    return { ok: false, code: 'group_failed', currency: partiesOf(transfer, books).currency, amount: transfer.amount };
  });
}

/** The accounts of a transfer, and its currency: the one that it names, or else that of its accounts. */
function partiesOf(transfer: TransferTerms, books: Books) {
  const source = books.account(transfer.fromAccount, transfer.toAccount);
  const destination = books.account(transfer.toAccount, transfer.fromAccount);
  return { source, destination, currency: transfer.currency ?? source?.currency ?? destination?.currency ?? null };
}

function settle(transfer: TransferTerms, books: Books): Outcome {
  const { source, destination, currency } = partiesOf(transfer, books);
  const hold = books.hold(transfer.parentId);
  const original = books.original(transfer.parentId);
  const refuse = (code: FailureCode): Outcome => ({ ok: false, code, currency, amount: transfer.amount });
  const captures = transfer.kind === 'capture';
  const releases = transfer.kind === 'void' || transfer.kind === 'expiry';
  const reverses = transfer.kind === 'reversal';

  if ((captures || releases) && (!hold || hold.state !== 'open')) return refuse('hold_not_open');
  // Only the courier ends a transfer between ledgers, and its steps name the account there. Callers were refused earlier.
  const isRemote = isContra(transfer.toAccount) || isContra(transfer.fromAccount);
  if ((captures || releases) && isRemote && transfer.remoteAccount === null) return refuse('hold_not_open');
  if (captures && hold?.due) return refuse('hold_expired');
  if (reverses && (!original || isRemote)) return refuse('not_reversible');
  const remaining = hold ? remainingOf(hold) : original ? original.amount - original.reversed : 0n;
  const amount = transfer.amount ?? remaining;
  if (captures && amount > remaining) return refuse('exceeds_hold');
  if (reverses && (amount > remaining || amount === 0n)) return refuse('exceeds_original');
  // Without a destination, @external and other ledgers have no currency and are not found either, but the missing account
  // is the destination.
  if (!destination && (source || isOwnedByService(transfer.fromAccount))) return refuse('destination_not_found');
  if (!source || !destination) return refuse('source_not_found');
  if (releases && hold && currency !== null) {
    release(books, source, hold, transfer.kind === 'void' ? 'voided' : 'expired');
    return { ok: true, currency, amount, entries: null };
  }
  // The money of a transfer between ledgers has arrived, so its capture ignores what has happened to its account since.
  const mustSucceed = captures && transfer.remoteAccount !== null;
  const refusal =
    (mustSucceed ? null : refuseAccounts(transfer, source, destination, currency)) ??
    refuseMoney(transfer, source, destination, amount);
  if (refusal) return refuse(refusal);

  // From here on the transfer must succeed.
  const ended = { ok: true, currency: source.currency, amount } as const;
  if (transfer.kind === 'hold') {
    books.reserve(source, amount);
    return { ...ended, entries: null };
  }
  if (hold) {
    books.reserve(source, -amount);
    const captured = hold.captured + amount;
    books.updateHold(hold, { captured, state: captured + hold.released === hold.amount ? 'captured' : 'open' });
    if (transfer.finalCapture && hold.state === 'open') release(books, source, hold, 'captured');
  }
  if (original) books.updateReversible(original, { reversed: original.reversed + amount });
  books.post(source, -amount);
  books.post(destination, amount);
  return {
    ...ended,
    entries: {
      fromEntryNumber: source.entryCount,
      fromBalance: source.balance,
      toEntryNumber: destination.entryCount,
      toBalance: destination.balance,
    },
  };
}

function refuseAccounts(
  transfer: TransferTerms,
  source: MutableAccount,
  destination: MutableAccount,
  currency: string | null,
): FailureCode | null {
  if (source.status === 'closed') return 'source_closed';
  if (destination.status === 'closed') return 'destination_closed';
  if (source.status !== 'open') return 'source_frozen';
  if (destination.status === 'frozen') return 'destination_frozen';
  if (source.currency !== destination.currency || source.currency !== currency) return 'currency_mismatch';
  const { fromEntryNumber = null } = transfer.conditions ?? {};
  if (fromEntryNumber !== null && source.entryCount !== fromEntryNumber) return 'entry_number_mismatch';
  return null;
}

function refuseMoney(
  transfer: TransferTerms,
  source: MutableAccount,
  destination: MutableAccount,
  amount: bigint,
): FailureCode | null {
  // A capture moves held money, so it does not reduce the available money.
  const taken = transfer.kind === 'capture' ? 0n : amount;
  const availableAfter = availableOf(source) - taken;
  if (!isOwnedByService(source.accountNumber) && availableAfter < 0n) return 'insufficient_funds';
  const { minAvailableAfter = null } = transfer.conditions ?? {};
  if (minAvailableAfter !== null && availableAfter < minAvailableAfter) return 'min_available_not_met';
  if (transfer.kind === 'hold') {
    const hasRoom = !isContra(transfer.toAccount) || hasHeadroom(destination.balance, amount);
    return hasRoom && isExact(source.held + amount) ? null : 'balance_out_of_bounds';
  }
  if (!isExact(source.balance - amount)) return 'balance_out_of_bounds';
  if (!isExact(destination.balance + amount)) return 'balance_out_of_bounds';
  return null;
}

/** Ends a hold: its remaining amount becomes available. */
function release(
  books: Books,
  source: MutableAccount,
  hold: MutableHold,
  state: 'captured' | 'voided' | 'expired',
): void {
  const rest = remainingOf(hold);
  books.reserve(source, -rest);
  books.updateHold(hold, { released: hold.released + rest, state });
}
