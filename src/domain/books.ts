// The books of one job while it is decided: the accounts, holds and reversible transfers that its transfers name. All
// changes go through this class, so that those of a failed atomic group can be undone.
import type { Account } from './account.ts';
import { isOwnedByService } from './between-ledgers.ts';
import type { Hold, ReversibleTransfer } from './hold.ts';

type Mutable<Record> = { -readonly [Key in keyof Record]: Record[Key] };
export type MutableAccount = Mutable<Account>;
export type MutableHold = Mutable<Hold>;
export type MutableReversible = Mutable<ReversibleTransfer>;

export type BooksContent = {
  readonly accounts: readonly Account[];
  readonly holds: readonly Hold[];
  readonly originals: readonly ReversibleTransfer[];
};

export class Books {
  readonly #byNumber = new Map<string, MutableAccount>();
  /** @external and the accounts of other ledgers, by number and currency. */
  readonly #ownedByService = new Map<string, MutableAccount>();
  readonly #holds = new Map<string, MutableHold>();
  readonly #originals = new Map<string, MutableReversible>();
  readonly #changed = new Set<MutableAccount | MutableHold | MutableReversible>();
  #undo: (() => void)[] | null = null;

  constructor(content: BooksContent) {
    for (const account of content.accounts) {
      const { accountNumber, currency } = account;
      if (isOwnedByService(accountNumber)) this.#ownedByService.set(`${accountNumber} ${currency}`, { ...account });
      else this.#byNumber.set(accountNumber, { ...account });
    }
    for (const hold of content.holds) this.#holds.set(hold.id, { ...hold });
    for (const original of content.originals) this.#originals.set(original.id, { ...original });
  }

  /** An account. @external and other ledgers have one per currency: that of the account on the other side selects it. */
  account(accountNumber: string, otherSide: string): MutableAccount | undefined {
    if (!isOwnedByService(accountNumber)) return this.#byNumber.get(accountNumber);
    const other = this.#byNumber.get(otherSide);
    return other && this.#ownedByService.get(`${accountNumber} ${other.currency}`);
  }

  hold(id: string | null): MutableHold | undefined {
    return id === null ? undefined : this.#holds.get(id);
  }

  original(id: string | null): MutableReversible | undefined {
    return id === null ? undefined : this.#originals.get(id);
  }

  /** Posts an amount, negative to take money from the account, as the account's next entry. */
  post(account: MutableAccount, amount: bigint): void {
    this.#change(account, { balance: account.balance + amount, entryCount: account.entryCount + 1n });
  }

  /** Reserves an amount on an account, or releases it if negative. */
  reserve(account: MutableAccount, amount: bigint): void {
    this.#change(account, { held: account.held + amount });
  }

  updateHold(hold: MutableHold, fields: Partial<MutableHold>): void {
    this.#change(hold, fields);
  }

  updateReversible(original: MutableReversible, fields: Partial<MutableReversible>): void {
    this.#change(original, fields);
  }

  /** Runs `judge`. If it returns false, all its changes are undone. */
  allOrNothing(judge: () => boolean): boolean {
    const undo: (() => void)[] = [];
    this.#undo = undo;
    const ok = judge();
    this.#undo = null;
    if (!ok) for (const step of undo.reverse()) step();
    return ok;
  }

  /** The changed records, in the order of their first change. */
  changed(): BooksContent {
    const changed = [...this.#changed];
    return {
      accounts: changed.filter((item) => 'accountNumber' in item),
      holds: changed.filter((item) => 'captured' in item),
      originals: changed.filter((item) => 'reversed' in item),
    };
  }

  #change<Item extends MutableAccount | MutableHold | MutableReversible>(item: Item, fields: Partial<Item>): void {
    const wasChanged = this.#changed.has(item);
    if (this.#undo) {
      const before = { ...item };
      this.#undo.push(() => {
        Object.assign(item, before);
        if (!wasChanged) this.#changed.delete(item);
      });
    }
    Object.assign(item, fields);
    this.#changed.add(item);
  }
}
