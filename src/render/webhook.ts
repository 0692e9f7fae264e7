// Webhooks as they are sent: the body of a message, and its signature by Standard Webhooks.
import { randomBytes } from 'node:crypto';
import { Webhook } from 'standardwebhooks';

/** A row of the journal, as the feed shows it. */
export type EventJson = {
  readonly journal_number: number;
  readonly settled_at: string;
  readonly hash: string;
  readonly transfers: readonly RecordJson[];
  readonly account_changes: readonly RecordJson[];
};
/** A transfer or a change of an account. */
type RecordJson = { readonly type: string };

export type WebhookMessage = {
  /** The same for every attempt, and for every endpoint; the journal's hash makes it unique among all services. */
  readonly id: string;
  readonly type: string;
  readonly body: string;
};

const SECRET_BYTES = 24;
const ID_DIGITS = 32;

/** Changes of accounts come first, because a transfer of the same row may be the first of a new account. */
export function recordsOf<Item>(event: {
  readonly account_changes: readonly Item[];
  readonly transfers: readonly Item[];
}): readonly Item[] {
  return [...event.account_changes, ...event.transfers];
}

/** The message about the record at a position of an event; undefined if it has no such record. */
export function renderMessage(ledger: string, event: EventJson, position: number): WebhookMessage | undefined {
  const record = recordsOf<RecordJson>(event)[position];
  if (!record) return undefined;
  const { journal_number, settled_at: timestamp } = event;
  const { type, ...data } = record;
  return {
    id: `evt_${event.hash.slice(0, ID_DIGITS)}_${position}`,
    type,
    body: JSON.stringify({ type, timestamp, ledger, journal_number, data }),
  };
}

/** The headers of a message. Each of the secrets signs it, so that a receiver may know either during a rotation. */
export function signMessage(
  { id, body }: Pick<WebhookMessage, 'id' | 'body'>,
  secrets: readonly string[],
  now: Date,
): Record<string, string> {
  return {
    'content-type': 'application/json',
    'user-agent': 'GopherPay',
    'webhook-id': id,
    'webhook-timestamp': String(Math.floor(now.getTime() / 1000)),
    'webhook-signature': secrets.map((secret) => new Webhook(secret).sign(id, now, body)).join(' '),
  };
}

export function createSecret(): string {
  return `whsec_${randomBytes(SECRET_BYTES).toString('base64')}`;
}
