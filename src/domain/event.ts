// Events: what one record of the journal means to a reader. Only what the record itself holds decides the type, so an
// event reads the same for ever.
import { isContra } from './between-ledgers.ts';
import type { TransferKind } from './transfer.ts';

export const EVENT_TYPES = [
  /** A transfer or a reversal moved money; a transfer to another ledger has ended there. */
  'transfer.completed',
  /** A transfer of any kind was refused, also by another ledger. */
  'transfer.failed',
  'hold.opened',
  /** A part of a hold, or all of it, was moved. */
  'hold.captured',
  'hold.voided',
  'hold.expired',
  'account.opened',
  /** Any later change: its closing and the erasure of its personal data too. */
  'account.updated',
] as const;

export type EventType = (typeof EVENT_TYPES)[number];

export function isEventType(text: string): text is EventType {
  return EVENT_TYPES.some((type) => type === text);
}

/** What a reader of events asks for. Null: any. A kind is that of a transfer, so it excludes changes of accounts. */
export type EventFilter = {
  readonly types: readonly EventType[] | null;
  readonly account: string | null;
  readonly kind: TransferKind | null;
};

export const ALL_EVENTS: EventFilter = { types: null, account: null, kind: null };

type SettledTransfer = {
  readonly kind: TransferKind;
  readonly status: string;
  readonly fromAccount: string;
  readonly toAccount: string;
};
type AccountChange = { readonly accountNumber: string; readonly changeNumber: bigint };

const TYPE_OF_COMPLETED: Readonly<Record<TransferKind, EventType>> = {
  transfer: 'transfer.completed',
  reversal: 'transfer.completed',
  hold: 'hold.opened',
  capture: 'hold.captured',
  void: 'hold.voided',
  expiry: 'hold.expired',
};

export function typeOfTransfer({
  kind,
  status,
  toAccount,
}: Pick<SettledTransfer, 'kind' | 'status' | 'toAccount'>): EventType {
  if (status !== 'completed') return 'transfer.failed';
  // The end of a transfer to another ledger, whose id is the parent's.
  if (isContra(toAccount) && kind === 'capture') return 'transfer.completed';
  if (isContra(toAccount) && kind === 'void') return 'transfer.failed';
  return TYPE_OF_COMPLETED[kind];
}

export function typeOfChange({ changeNumber }: Pick<AccountChange, 'changeNumber'>): EventType {
  return changeNumber === 1n ? 'account.opened' : 'account.updated';
}

export function wantsTransfer({ types, account, kind }: EventFilter, transfer: SettledTransfer): boolean {
  return (
    (types?.includes(typeOfTransfer(transfer)) ?? true) &&
    (account === null || account === transfer.fromAccount || account === transfer.toAccount) &&
    (kind === null || kind === transfer.kind)
  );
}

export function wantsChange({ types, account, kind }: EventFilter, change: AccountChange): boolean {
  return (
    kind === null &&
    (types?.includes(typeOfChange(change)) ?? true) &&
    (account === null || account === change.accountNumber)
  );
}

/** Whether a filter lets everything through. */
export function isUnfiltered({ types, account, kind }: EventFilter): boolean {
  return types === null && account === null && kind === null;
}
