// What a plain transfer does not have, as one JSON value on its way into the database, so that plain transfers need not send
// a dozen arrays of nothing.
import type { Order } from '../domain/transfer.ts';

/** The terms of an order, or null for a plain transfer. */
export function renderTerms(order: Order): string | null {
  const { kind, parentId, group, conditions, finalCapture, expiresIn } = order;
  if (kind === 'transfer' && group === null && conditions === null) return null;
  return JSON.stringify({
    kind,
    parent_id: parentId,
    ...(group && { group_id: group.id, group_position: group.position, atomic: group.atomic }),
    ...(kind === 'capture' && { final_capture: finalCapture }),
    expires_in: expiresIn,
    // As text: JSON numbers are not for money.
    if_from_entry_number: conditions?.fromEntryNumber?.toString() ?? null,
    if_min_available_after: conditions?.minAvailableAfter?.toString() ?? null,
  });
}

/** The expression that reads one of them out of a column `terms`. */
export function termOf(name: string, type: 'bigint' | 'integer' | 'uuid' | 'boolean'): string {
  return `(terms ->> '${name}')::${type}`;
}

export const KIND_OF_TERMS = `coalesce(terms ->> 'kind', 'transfer')`;
