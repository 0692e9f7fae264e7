// Decides a job: given its orders and the accounts they name, under lock, what becomes of each. Pure: reads nothing,
// writes nothing, and the same arguments always give the same decision.
import { type Account, availableOf, EXTERNAL } from './account.ts';
import { isExact } from './money.ts';
import type { FailureCode, Order, Outcome } from './transfer.ts';

export type Decision = {
  /** One per order, in the same order. */
  readonly outcomes: readonly Outcome[];
  /** The accounts that moved, as they are afterwards. */
  readonly moved: readonly Account[];
};

type MutableAccount = { -readonly [Key in keyof Account]: Account[Key] };

/** Judges the orders one after another; each sees what the ones before it moved, and each fails or succeeds alone. */
export function decide(orders: readonly Order[], accounts: readonly Account[]): Decision {
  const books = new Books(accounts);
  return { outcomes: orders.map((order) => settle(order, books)), moved: books.moved() };
}

function settle(order: Order, books: Books): Outcome {
  // @external has one account per currency; which one is meant follows from the account on the other side.
  const source = books.find(order.fromAccount, order.toAccount);
  const destination = books.find(order.toAccount, order.fromAccount);
  const currency = order.currency ?? source?.currency ?? destination?.currency ?? null;
  const refuse = (code: FailureCode): Outcome => ({ ok: false, code, currency });

  // For want of a destination @external has no currency and is not found either: it is the destination that is missing.
  const isDeposit = order.fromAccount === EXTERNAL;
  if (destination === undefined && (isDeposit || source)) return refuse('destination_not_found');
  if (source === undefined || destination === undefined) return refuse('source_not_found');
  if (source.status === 'closed') return refuse('source_closed');
  if (destination.status === 'closed') return refuse('destination_closed');
  if (source.currency !== destination.currency) return refuse('currency_mismatch');
  if (source.currency !== currency) return refuse('currency_mismatch');
  if (source.accountNumber !== EXTERNAL && availableOf(source) < order.amount) return refuse('insufficient_funds');
  if (!isExact(source.balance - order.amount)) return refuse('balance_out_of_bounds');
  if (!isExact(destination.balance + order.amount)) return refuse('balance_out_of_bounds');

  // From here on the transfer must succeed.
  books.move(source, -order.amount);
  books.move(destination, order.amount);
  return {
    ok: true,
    currency,
    fromEntryNumber: source.entryCount,
    fromBalance: source.balance,
    toEntryNumber: destination.entryCount,
    toBalance: destination.balance,
  };
}

/** The accounts of one job while it is being decided. */
class Books {
  readonly #byNumber = new Map<string, MutableAccount>();
  readonly #externalByCurrency = new Map<string, MutableAccount>();
  readonly #moved = new Set<MutableAccount>();

  constructor(accounts: readonly Account[]) {
    for (const account of accounts) {
      if (account.accountNumber === EXTERNAL) this.#externalByCurrency.set(account.currency, { ...account });
      else this.#byNumber.set(account.accountNumber, { ...account });
    }
  }

  find(accountNumber: string, otherSide: string): MutableAccount | undefined {
    if (accountNumber !== EXTERNAL) return this.#byNumber.get(accountNumber);
    const other = this.#byNumber.get(otherSide);
    return other && this.#externalByCurrency.get(other.currency);
  }

  move(account: MutableAccount, amount: bigint): void {
    account.balance += amount;
    account.entryCount += 1n;
    this.#moved.add(account);
  }

  moved(): Account[] {
    return [...this.#moved];
  }
}
