// How far a webhook is, and whether it fails.
import type { Api } from './api.ts';
import { count } from './format.ts';
import type { Webhook } from './wire.ts';

/** The number of the last row of the journal. */
export async function readEnd(api: Api, { ledger, signal }: { ledger: string; signal: AbortSignal }): Promise<number> {
  const query = { after: 'end', limit: 1 };
  const { next } = await api.get<{ readonly next: number }>('/events', { ledger, query, signal });
  return next;
}

/** Its state in one word. An enabled webhook whose event fails is tried again. */
export function stateOf({ status, disabled_reason: reason, failing_since: since }: Webhook): string {
  if (reason !== null) return reason;
  return since === null ? status : 'retrying';
}

/** How many rows of the journal it has not done. `end`: null if the key may not know. */
export function lagOf({ journal_number: done }: Webhook, end: number | null): string {
  if (end === null) return `done up to row ${count(done)}`;
  if (end <= done) return 'nothing';
  return end - done === 1 ? '1 row' : `${count(end - done)} rows`;
}
