// The canonical form in which the journal covers a settled transfer. It is hashed when a job is settled and again by an
// audit, so the form of existing records must never change. docs/decisions/0013-journal.md defines it.
import type { NewAccount } from './account.ts';
import type { LockedTransfer } from './job.ts';
import type { Orderer, Outcome } from './transfer.ts';

const UNIT_SEPARATOR = '\u001f';
const RECORD_SEPARATOR = '\u001e';

/**
 * One transfer as the journal covers it: 26 fields joined by U+001F and ended by U+001E. An absent field is empty,
 * which is unambiguous, because no text may be empty or contain a control character. Only a transfer with a rate, or with
 * an account in another ledger, has a field more. The latter begins with `remote:`, so it is never a rate.
 */
export function renderRecord(transfer: LockedTransfer, outcome: Outcome): string {
  const entries = outcome.ok ? outcome.entries : null;
  const { group, conditions } = transfer;
  return (
    [
      transfer.id,
      transfer.fromAccount,
      transfer.toAccount,
      outcome.amount ?? '',
      outcome.currency ?? '',
      outcome.ok ? 'completed' : 'failed',
      outcome.ok ? '' : outcome.code,
      transfer.requestId ?? '',
      transfer.description ?? '',
      transfer.metadataText ?? '',
      transfer.createdAtMicros,
      entries?.fromEntryNumber ?? '',
      entries?.fromBalance ?? '',
      entries?.toEntryNumber ?? '',
      entries?.toBalance ?? '',
      transfer.kind,
      transfer.parentId ?? '',
      group?.id ?? '',
      group?.position ?? '',
      group?.atomic ?? '',
      transfer.kind === 'capture' ? transfer.finalCapture : '',
      transfer.expiresIn ?? '',
      conditions?.fromEntryNumber ?? '',
      conditions?.minAvailableAfter ?? '',
      transfer.by.orderedBy ?? '',
      transfer.by.approvedBy ?? '',
      ...(transfer.rate === null ? [] : [transfer.rate]),
      ...(transfer.remoteAccount === null ? [] : [`remote:${transfer.remoteAccount}`]),
    ].join(UNIT_SEPARATOR) + RECORD_SEPARATOR
  );
}

/**
 * The fields of a new account over which its seal is made, in the form of account_seal(). `encrypted`: its personal data,
 * in hexadecimal digits; empty if it has none.
 */
export function renderNewAccount(account: NewAccount, encrypted: string, createdAtMicros: bigint): string {
  return [
    account.accountNumber,
    account.currency,
    'open',
    encrypted,
    account.overdraftLimit,
    renderJsonb(account.metadata),
    createdAtMicros,
  ].join(UNIT_SEPARATOR);
}

/** The first change of an account, its opening, as the journal covers it. `seal` is in hexadecimal digits. */
export function renderOpening(
  account: Pick<NewAccount, 'accountNumber' | 'currency'>,
  seal: string,
  { orderedBy, approvedBy }: Orderer,
): string {
  const fields = [account.accountNumber, account.currency, 1, seal, orderedBy ?? '', approvedBy ?? ''];
  return fields.join(UNIT_SEPARATOR) + RECORD_SEPARATOR;
}

/**
 * Metadata as PostgreSQL renders its jsonb: keys in order of their length in bytes, then of their bytes. The digest
 * covers this text, so settlement need not read it back.
 */
export function renderJsonb(metadata: Readonly<Record<string, string>>): string {
  const members = Object.entries(metadata).map(([key, value]) => ({ key: Buffer.from(key), name: key, value }));
  members.sort((a, b) => a.key.length - b.key.length || Buffer.compare(a.key, b.key));
  return `{${members.map(({ name, value }) => `${JSON.stringify(name)}: ${JSON.stringify(value)}`).join(', ')}}`;
}
