// A unit: transfers and openings that are accepted, replayed, refused and put into jobs as a whole.
//
//   a request whose caller waits, or one that opens accounts   all of it, with its idempotency key; not stored before its job commits
//   a stored request                                           all of it, too; its transfers may be settled apart if the job breaks
//   stored transfers that were adopted                         each alone, or with the other members of its atomic group
import { type Claim, type Job, type QueuedTransfer, toColumns } from '../../domain/job.ts';
import type { PendingTransfer } from '../../db/ledger/leases.ts';
import type { NewAccount } from '../../domain/account.ts';
import type { Ledger } from '../../domain/ledger.ts';
import { toOpeningColumns } from '../../domain/opening.ts';
import type { UnitSpan } from '../tracer.ts';
import { BY_SERVICE, type IdempotencyKey, type NewTransfer, type Orderer } from '../../domain/transfer.ts';

export type Unit = {
  readonly ledger: Ledger;
  readonly transfers: readonly QueuedTransfer[];
  /** Accounts that are opened before the transfers are judged. */
  readonly accounts: readonly NewAccount[];
  /** Who ordered these accounts. Each transfer names its own orderer. */
  readonly by: Orderer;
  /** The caller that submitted it, for its share of admission; unknown for adopted transfers. */
  readonly caller?: string;
  /** The span of its request, or of the work that found it; absent or null: it is not traced. */
  readonly span?: UnitSpan | null;
  /** The request id, if the request opens accounts; its transfers, if any, have it too. */
  readonly requestId?: string;
  /** The key that its job claims; null if there is none, or if it was claimed when the transfers were stored. */
  readonly idempotency: IdempotencyKey | null;
  /** The key that was claimed when the transfers were stored; null if the request has none. */
  readonly claimed: IdempotencyKey | null | 'unknown';
  /** How many processes died with it: the more, the smaller its job. */
  readonly adoptions: number;
  /** How many of them were trying it alone in a job. */
  readonly loneDeaths: number;
  /** About how many bytes it takes of a job's memory. */
  readonly bytes: number;
};

/** The names by which a stored transfer is found. */
export type StoredName = { readonly id: string; readonly group: { readonly id: string } | null };

/** How many bytes a transfer or an account takes besides its text. */
const FIXED_BYTES = 200;

/** A request whose transfers are not stored before its job commits. */
export function toWaitingUnit(
  ledger: Ledger,
  transfers: readonly NewTransfer[],
  idempotency: IdempotencyKey | null,
  { accounts, by }: Pick<Unit, 'accounts' | 'by'> = { accounts: [], by: BY_SERVICE },
): Unit {
  const bytes =
    transfers.reduce((sum, transfer) => sum + bytesOf(transfer), 0) +
    accounts.reduce((sum, account) => sum + FIXED_BYTES + Buffer.byteLength(JSON.stringify(account.metadata)), 0);
  return {
    ledger,
    transfers: transfers.map((transfer) => ({ transfer, storedAtMicros: null })),
    accounts,
    by,
    idempotency,
    claimed: null,
    adoptions: 0,
    loneDeaths: 0,
    bytes,
  };
}

export function toStoredUnit(unit: Unit, storedAtMicros: bigint): Unit {
  const transfers = unit.transfers.map(({ transfer }) => ({ transfer, storedAtMicros }));
  return { ...unit, transfers, idempotency: null, claimed: unit.idempotency };
}

/** Splits a stored unit into its transfers; null if they must stay together. */
export function splitUnit(unit: Unit): Unit[] | null {
  const [first] = unit.transfers;
  if (!first || unit.transfers.length === 1 || first.transfer.group?.atomic || !isStored(unit)) return null;
  // The key names all of them.
  const claimed = unit.claimed === null ? null : 'unknown';
  return unit.transfers.map((each) => ({ ...unit, transfers: [each], claimed, bytes: bytesOf(each.transfer) }));
}

/** The name by which a stored unit is found: that of its request, or of its only transfer. */
export function nameOf({ transfers }: Unit): string {
  const [first] = transfers;
  if (!first) return '';
  return transfers.length === 1 ? first.transfer.id : namedBy(first.transfer);
}

/** Adopted transfers as units. The members of an atomic group are next to each other. */
export function toStoredUnits(stored: readonly PendingTransfer[]): Unit[] {
  const units: Unit[] = [];
  for (let start = 0; start < stored.length;) {
    const [first] = stored.slice(start, start + 1);
    if (!first) break;
    const { ledger, transfer, adoptions, loneDeaths } = first;
    let end = start + 1;
    while (transfer.group?.atomic && stored[end]?.transfer.group?.id === transfer.group.id) end += 1;
    const members = stored.slice(start, end);
    units.push({
      ledger,
      transfers: members.map(({ transfer: member, storedAtMicros }) => ({ transfer: member, storedAtMicros })),
      accounts: [],
      by: BY_SERVICE,
      idempotency: null,
      claimed: 'unknown',
      adoptions,
      loneDeaths,
      bytes: members.reduce((sum, member) => sum + bytesOf(member.transfer), 0),
    });
    start = end;
  }
  return units;
}

/** About how many bytes a transfer takes in the queue: its text, and a constant for the rest. */
export function bytesOf({ description, metadata }: Pick<NewTransfer, 'description' | 'metadata'>): number {
  const own = FIXED_BYTES + (description === null ? 0 : Buffer.byteLength(description));
  return metadata === null ? own : own + Buffer.byteLength(JSON.stringify(metadata));
}

/** How many transfers a unit counts for; an account that is opened counts as one. */
export function sizeOf({ transfers, accounts }: Unit): number {
  return Math.max(transfers.length, accounts.length);
}

/** Whether the transfers of a unit are in the intake log. */
export function isStored({ transfers }: Unit): boolean {
  return transfers[0] !== undefined && transfers[0].storedAtMicros !== null;
}

/** Whether a unit is traced. */
export function isTraced({ span = null }: Unit): boolean {
  return span !== null;
}

/** What an idempotency key names: the transfer, or the group it is a member of. */
export function namedBy(transfer: Pick<NewTransfer, 'id' | 'group'>): string {
  return transfer.group?.id ?? transfer.id;
}

/** A job of units of one ledger. */
export function toJob(
  units: readonly Unit[],
  options: Pick<Job, 'mode' | 'mayBeSettled' | 'retryMs'> & Partial<Pick<Job, 'storedAgoMs' | 'traced'>>,
): Job {
  const [first] = units;
  if (!first) throw new TypeError('A job has a unit.');
  return {
    ledger: first.ledger,
    units: units.map(({ transfers }) => transfers.length),
    transfers: toColumns(units.flatMap(({ transfers }) => transfers)),
    claims: units.flatMap((unit, index) => claimOf(unit, index)),
    openings: toOpeningColumns(
      units.flatMap(({ accounts, by }, unit) => accounts.map((account) => ({ unit, account, by }))),
    ),
    storedAgoMs: 0,
    traced: false,
    ...options,
  };
}

function claimOf({ idempotency, transfers, accounts }: Unit, unit: number): Claim[] {
  if (!idempotency) return [];
  const [first] = transfers;
  const accountNumber = accounts[0]?.accountNumber ?? null;
  return [{ ...idempotency, unit, transferId: first ? namedBy(first.transfer) : null, accountNumber }];
}
