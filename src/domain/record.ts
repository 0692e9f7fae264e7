// The canonical form in which the journal covers a settled transfer. It is hashed when a job is settled and again when
// the books are audited, so it must never change for what is already written. docs/ARCHITECTURE.md states it.
import type { Order, Outcome } from './transfer.ts';

/** The other fields of an accepted transfer that the journal covers. */
export type OrderDetails = {
  readonly requestId: string | null;
  readonly description: string | null;
  /** The jsonb column as PostgreSQL renders it. */
  readonly metadataText: string | null;
  /** Microseconds since the Unix epoch. */
  readonly createdAtMicros: bigint;
};

const UNIT_SEPARATOR = '\u001f';
const RECORD_SEPARATOR = '\u001e';

/**
 * One transfer as the journal covers it: 24 fields joined by U+001F and ended by U+001E. What is absent is empty, which
 * is unambiguous because no text field may be empty or hold a control character.
 */
export function renderRecord(order: Order, details: OrderDetails, outcome: Outcome): string {
  const entries = outcome.ok ? outcome.entries : null;
  const { group, conditions } = order;
  return (
    [
      order.id,
      order.fromAccount,
      order.toAccount,
      outcome.amount ?? '',
      outcome.currency ?? '',
      outcome.ok ? 'completed' : 'failed',
      outcome.ok ? '' : outcome.code,
      details.requestId ?? '',
      details.description ?? '',
      details.metadataText ?? '',
      details.createdAtMicros,
      entries?.fromEntryNumber ?? '',
      entries?.fromBalance ?? '',
      entries?.toEntryNumber ?? '',
      entries?.toBalance ?? '',
      order.kind,
      order.parentId ?? '',
      group?.id ?? '',
      group?.position ?? '',
      group?.atomic ?? '',
      order.kind === 'capture' ? order.finalCapture : '',
      order.expiresIn ?? '',
      conditions?.fromEntryNumber ?? '',
      conditions?.minAvailableAfter ?? '',
    ].join(UNIT_SEPARATOR) + RECORD_SEPARATOR
  );
}
