// A plain model of two ledgers with transfers between them, which shares nothing with the service. A transfer between
// ledgers is three steps, and other requests may come between them. Money in minor units.

export const SIDES = ['left', 'right'] as const;
export type Side = (typeof SIDES)[number];

export type Account = {
  currency: string;
  status: 'open' | 'receive_only' | 'frozen' | 'closed';
  balance: bigint;
  held: bigint;
  limit: bigint;
  entries: bigint;
};

/** Accounts by number. That of the other ledger is `other EUR`, without a number of its own. */
export type Books = Record<Side, Map<string, Account>>;

type Terms = { from: string; to: string; amount: bigint; currency: string | null };

export type Command = { side: Side } & (
  | ({ type: 'between' | 'transfer' } & Terms)
  | { type: 'change'; account: string; status: 'open' | 'receive_only' | 'frozen' }
  | { type: 'close'; account: string }
);

/** How a request ended: the code of a failure or a refusal, or null. */
export type Answer = string | null;

/** A request on its way. `begun`: nothing was decided yet. `credited`: how the other ledger decided. */
export type Progress =
  | { stage: 'begun' }
  | { stage: 'held'; currency: string }
  | { stage: 'credited'; currency: string; code: Answer }
  | { stage: 'ended'; answer: Answer };

export const BEGUN: Progress = { stage: 'begun' };

export function otherSide(side: Side): Side {
  return side === 'left' ? 'right' : 'left';
}

/** Makes the next step of a request in `books`. */
export function advance(books: Books, command: Command, progress: Progress): Progress {
  const own = books[command.side];
  const ended = (answer: Answer): Progress => ({ stage: 'ended', answer });
  if (command.type === 'close') return ended(close(own.get(command.account)));
  if (command.type === 'change') return ended(change(own.get(command.account), command.status));
  if (command.type === 'transfer') return ended(transfer(own, command));
  const { from, to, amount } = command;
  switch (progress.stage) {
    case 'begun': {
      const source = own.get(from);
      const code =
        refuse(source, { ...command, isSource: true }) ?? (available(source) < amount ? 'insufficient_funds' : null);
      if (code !== null || !source) return ended(code);
      source.held += amount;
      return { stage: 'held', currency: source.currency };
    }
    case 'held': {
      const { currency } = progress;
      const other = books[otherSide(command.side)];
      const code = refuse(other.get(to), { currency, isSource: false });
      if (code === null) move(owed(other, currency), other.get(to), amount);
      return { stage: 'credited', currency, code };
    }
    case 'credited': {
      const source = own.get(from);
      if (source) source.held -= amount;
      // It is not asked again whether it may: the money has arrived.
      if (progress.code === null) move(source, owed(own, progress.currency), amount);
      return ended(progress.code);
    }
    case 'ended':
      return progress;
  }
}

/** The account for the other ledger, which is there from the first time that it is needed. */
function owed(accounts: Map<string, Account>, currency: string): Account {
  const number = `other ${currency}`;
  const account = accounts.get(number) ?? { currency, status: 'open', balance: 0n, held: 0n, limit: 0n, entries: 0n };
  accounts.set(number, account);
  return account;
}

export function available(account: Account | undefined): bigint {
  return account ? account.balance - account.held + account.limit : 0n;
}

function refuse(
  account: Account | undefined,
  { currency, isSource }: { currency: string | null; isSource: boolean },
): string | null {
  const name = isSource ? 'source' : 'destination';
  if (!account) return `${name}_not_found`;
  if (account.status === 'closed') return `${name}_closed`;
  const isFrozen = isSource ? account.status !== 'open' : account.status === 'frozen';
  if (isFrozen) return `${name}_frozen`;
  return currency !== null && account.currency !== currency ? 'currency_mismatch' : null;
}

function transfer(accounts: Map<string, Account>, { from, to, amount, currency }: Terms): Answer {
  if (from === to) return 'same_account';
  const [source, target] = [accounts.get(from), accounts.get(to)];
  // A missing source is noticed before a missing destination, and all states before all currencies.
  if (!target && source) return 'destination_not_found';
  if (!source) return 'source_not_found';
  if (source.status === 'closed') return 'source_closed';
  if (target?.status === 'closed') return 'destination_closed';
  const code =
    refuse(source, { currency: null, isSource: true }) ?? refuse(target, { currency: null, isSource: false });
  if (code !== null) return code;
  if (source.currency !== target?.currency || (currency ?? source.currency) !== source.currency)
    return 'currency_mismatch';
  if (available(source) < amount) return 'insufficient_funds';
  move(source, target, amount);
  return null;
}

function move(source: Account | undefined, target: Account | undefined, amount: bigint): void {
  for (const [account, sign] of [
    [source, -1n],
    [target, 1n],
  ] as const) {
    if (!account) throw new Error('The model moves money of an account that is not there.');
    account.balance += sign * amount;
    account.entries += 1n;
  }
}

function change(account: Account | undefined, status: Account['status']): Answer {
  if (!account) return 'account_not_found';
  if (account.status === 'closed') return 'account_closed';
  account.status = status;
  return null;
}

function close(account: Account | undefined): Answer {
  if (!account) return 'account_not_found';
  if (account.balance !== 0n || account.held !== 0n) return 'account_not_empty';
  account.status = 'closed';
  return null;
}
