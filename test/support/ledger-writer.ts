// Keeps books as the service does, without any code of the service: the same rows, digests and hashes.
import { createHash } from 'node:crypto';
import { encrypt, keyOf, type Person } from './personal-data.ts';

export type Row = Record<string, unknown>;
type Kind = 'transfer' | 'hold' | 'capture' | 'void' | 'expiry' | 'reversal';

type Order = {
  kind?: Kind;
  from: string;
  to: string;
  amount: number | null;
  currency?: string | null;
  /** Why it fails; absent: it completes. */
  code?: string;
  parent?: string;
  group?: { id: string; position: number; atomic: boolean };
  finalCapture?: boolean;
  expiresIn?: number;
  requestId?: string;
  orderedBy?: string;
  approvedBy?: string;
  rate?: string;
  /** Of a step of a transfer between ledgers: the account in the other ledger. */
  remoteAccount?: string;
  /** Its id, instead of the next one. */
  id?: string;
  description?: string;
  metadata?: Record<string, string>;
  ifFromEntryNumber?: number;
  ifMinAvailableAfter?: number;
};

type Account = Row & { balance: number; held: number; entry_count: number; account_number: string; currency: string };

const FIELD_END = '\u001f';
const RECORD_END = '\u001e';
const EPOCH_MICROS = 1_767_225_600_000_000n;

export function idOf(number: number): string {
  return `0199a0c4-0000-7000-8000-${String(number).padStart(12, '0')}`;
}

/** A change of the fields of an account, or of its personal data; null erases that. */
type Change = {
  accountNumber: string;
  currency: string;
  fields?: Row;
  person?: Person | null | undefined;
  orderedBy?: string;
};

/** The rows of a ledger, and how orders change them. */
export class Ledger {
  readonly id: number;
  readonly name: string;
  /** By how much all amounts are multiplied, so that the money of one ledger is not taken for that of another. */
  readonly factor: number;
  readonly accounts = new Map<string, Account>();
  readonly keys = new Map<string, Row>();
  readonly changes: Row[] = [];
  readonly acts: Row[] = [];
  readonly transfers: Row[] = [];
  readonly entries: Row[] = [];
  readonly journal: Row[] = [];
  readonly holds = new Map<string, Row & { amount: number; captured: number; released: number }>();
  readonly reversed = new Map<string, Row & { reversed: number }>();
  #hash = Buffer.alloc(32);
  #nextId = 1;

  constructor({ id, name, factor }: { id: number; name: string; factor: number }) {
    this.id = id;
    this.name = name;
    this.factor = factor;
  }

  /** An instant of the ledger: a second for each row of the journal, and some microseconds. */
  instant(row: number, micros = 0): { text: string; micros: bigint } {
    const at = EPOCH_MICROS + BigInt(row) * 1_000_000n + BigInt(micros);
    const seconds = new Date(Number(at / 1000n)).toISOString().slice(0, 19);
    return { text: `${seconds}.${String(at % 1_000_000n).padStart(6, '0')}Z`, micros: at };
  }

  /** `person`: besides the name, which every account has but those that begin with @. */
  open(accountNumber: string, currency: string, fields: Row = {}, person: Partial<Person> = {}): void {
    const account: Account = {
      balance: 0,
      held: 0,
      entry_count: 0,
      account_number: accountNumber,
      currency,
      overdraft_limit: 0,
      status: 'open',
      personal_data: null,
      metadata: {},
      created_at: this.instant(this.journal.length, 17).text,
      ...fields,
    };
    account['overdraft_limit'] = Number(account['overdraft_limit']) * this.factor;
    this.accounts.set(`${accountNumber} ${currency}`, account);
    if (accountNumber.startsWith('@')) this.change(accountNumber, currency, {});
    else this.change(accountNumber, currency, {}, { name: `The account ${accountNumber} of ${this.name}`, ...person });
  }

  /** Changes the fields of an account, and seals it. */
  change(accountNumber: string, currency: string, fields: Row, person?: Person): void {
    const record = this.#seal({ accountNumber, currency, fields, ...(person && { person }) });
    this.#append({ transfers: 0, intake: 0, changes: 1 }, sha256(record));
  }

  /** Records an administrative act. */
  act(action: string, actor: string, subject: string): void {
    const at = this.instant(this.journal.length, 3);
    const id = idOf(900 + this.acts.length);
    const details = '{"why": "a test"}';
    this.acts.push({
      id,
      at: at.text,
      journal_number: this.journal.length + 1,
      count: 1,
      action,
      actor,
      subject,
      details,
    });
    const record = [id, action, actor, subject, details, at.micros].join(FIELD_END) + RECORD_END;
    this.#append({ transfers: 0, intake: 0, changes: 1 }, sha256(record));
  }

  /** Seals an account for the next row of the journal, and returns the record that the row's digest covers. */
  #seal({ accountNumber, currency, fields = {}, person, orderedBy }: Change): string {
    const account = Object.assign(this.#account(accountNumber, currency), fields);
    const personalData = this.#encrypt({ accountNumber, currency, person });
    if (personalData !== undefined) account['personal_data'] = personalData && `\\x${personalData}`;
    const seal = sha256(
      [
        account.account_number,
        account.currency,
        account['status'],
        renderField(account['personal_data']).slice(2),
        account['overdraft_limit'],
        renderMetadata(account['metadata']),
        microsOf(account['created_at']),
      ].join(FIELD_END),
    );
    const number = this.changes.filter(
      (change) => change['account_number'] === accountNumber && change['currency'] === currency,
    ).length;
    const record =
      [accountNumber, currency, number + 1, seal.toString('hex'), orderedBy ?? '', ''].join(FIELD_END) + RECORD_END;
    this.changes.push({
      change_number: number + 1,
      journal_number: this.journal.length + 1,
      account_number: accountNumber,
      currency,
      ordered_by: orderedBy ?? null,
      approved_by: null,
      seal: `\\x${seal.toString('hex')}`,
    });
    return record;
  }

  /** The personal data of a person, in hexadecimal digits; null if it is erased, undefined if it does not change. */
  #encrypt({ accountNumber, currency, person }: Change): string | null | undefined {
    const name = `${accountNumber} ${currency}`;
    if (person === null) this.keys.delete(name);
    if (person === null || person === undefined) return person;
    const owner = { ledger: this.id, account: accountNumber, currency };
    this.keys.set(name, { account_number: accountNumber, currency, key: `\\x${keyOf(owner).toString('hex')}` });
    return encrypt(owner, person, this.changes.length).toString('hex');
  }

  /**
   * Settles orders in one job, and makes changes in the same row of the journal, given in order of account. The ids of the orders count
   * up from `firstId`, or from the last one. All but the first order had been pending.
   */
  settle(orders: readonly Order[], firstId = this.#nextId, changes: readonly Change[] = []): void {
    this.#nextId = firstId;
    const sealed = changes.map((change) => this.#seal(change));
    const records = orders.map((order, index) => this.#settleOne(order, index + 1));
    const counts = { transfers: orders.length, intake: orders.length - 1, changes: changes.length };
    this.#append(counts, sha256(sealed.join(''), records.join('')));
  }

  #settleOne(requested: Order, position: number): string {
    const order = { ...requested, amount: requested.amount === null ? null : requested.amount * this.factor };
    const isRemote = order.remoteAccount !== undefined;
    if (requested.description !== undefined && !isRemote)
      order.description = `${requested.description} in ${this.name}`;
    const id = order.id ?? idOf(this.#nextId++);
    const kind = order.kind ?? 'transfer';
    const completed = order.code === undefined;
    const currency = order.currency === undefined ? 'USD' : order.currency;
    const created = this.instant(this.journal.length, position);
    const moved = completed && (kind === 'transfer' || kind === 'capture' || kind === 'reversal');
    const sides = moved
      ? {
          from: this.#enter(id, order.from, -(order.amount ?? 0), currency),
          to: this.#enter(id, order.to, order.amount ?? 0, currency),
        }
      : null;
    if (completed) this.#bookkeep(id, kind, order, currency, created);
    const row: Row = {
      id,
      from_account: order.from,
      to_account: order.to,
      amount: order.amount,
      currency,
      status: completed ? 'completed' : 'failed',
      failure_code: order.code ?? null,
      request_id: order.requestId ?? null,
      ordered_by: order.orderedBy ?? null,
      approved_by: order.approvedBy ?? null,
      rate: order.rate ?? null,
      remote_account: order.remoteAccount ?? null,
      description: order.description ?? null,
      metadata: order.metadata ?? null,
      created_at: created.text,
      completed_at: this.instant(this.journal.length + 1).text,
      journal_number: this.journal.length + 1,
      journal_position: position,
      from_entry_number: sides?.from.number ?? null,
      to_entry_number: sides?.to.number ?? null,
      kind,
      parent_id: order.parent ?? null,
      group_id: order.group?.id ?? null,
      group_position: order.group?.position ?? null,
      atomic: order.group?.atomic ?? null,
      final_capture: kind === 'capture' ? (order.finalCapture ?? false) : null,
      expires_in: order.expiresIn ?? null,
      if_from_entry_number: order.ifFromEntryNumber ?? null,
      if_min_available_after: order.ifMinAvailableAfter ?? null,
    };
    this.transfers.push(row);
    const fields = [
      ...[
        'id',
        'from_account',
        'to_account',
        'amount',
        'currency',
        'status',
        'failure_code',
        'request_id',
        'description',
      ].map((column) => row[column] ?? ''),
      order.metadata ? renderMetadata(order.metadata) : '',
      created.micros,
      sides?.from.number ?? '',
      sides?.from.balance ?? '',
      sides?.to.number ?? '',
      sides?.to.balance ?? '',
      ...['kind', 'parent_id', 'group_id', 'group_position', 'atomic', 'final_capture', 'expires_in'].map(
        (column) => row[column] ?? '',
      ),
      order.ifFromEntryNumber ?? '',
      order.ifMinAvailableAfter ?? '',
      order.orderedBy ?? '',
      order.approvedBy ?? '',
      ...(order.rate === undefined ? [] : [order.rate]),
      ...(order.remoteAccount === undefined ? [] : [`remote:${order.remoteAccount}`]),
    ];
    return fields.map(renderField).join(FIELD_END) + RECORD_END;
  }

  #enter(transferId: string, accountNumber: string, amount: number, currency: string | null) {
    const account = this.#account(accountNumber, currency ?? '');
    account.balance += amount;
    account.entry_count += 1;
    this.entries.push({
      entry_number: account.entry_count,
      amount,
      balance: account.balance,
      journal_number: this.journal.length + 1,
      transfer_id: transferId,
      account_number: accountNumber,
      currency,
    });
    return { number: account.entry_count, balance: account.balance };
  }

  /** What a completed order does besides entries. */
  #bookkeep(
    id: string,
    kind: Kind,
    order: Order,
    currency: string | null,
    created: { micros: bigint; text: string },
  ): void {
    const amount = order.amount ?? 0;
    const source = this.#account(order.from, currency ?? '');
    const hold = this.holds.get(order.parent ?? '');
    if (kind === 'hold') {
      source.held += amount;
      const expires =
        order.expiresIn === undefined ? null : Number(created.micros - EPOCH_MICROS) + order.expiresIn * 1e6;
      this.holds.set(id, {
        id,
        amount,
        captured: 0,
        released: 0,
        created_at: created.text,
        expires_at: expires === null ? null : this.instant(0, expires).text,
        expiry_id: null,
        from_account: order.from,
        to_account: order.to,
        currency,
        state: 'open',
      });
    } else if (kind === 'reversal') {
      const original = this.transfers.find((transfer) => transfer['id'] === order.parent);
      const before = this.reversed.get(order.parent ?? '')?.reversed ?? 0;
      this.reversed.set(order.parent ?? '', {
        transfer_id: order.parent,
        amount: original?.['amount'],
        reversed: before + amount,
      });
    } else if (hold && kind === 'capture') {
      source.held -= amount;
      hold.captured += amount;
      const rest = hold.amount - hold.captured;
      if (order.finalCapture) {
        source.held -= rest;
        hold.released = rest;
      }
      if (order.finalCapture || rest === 0) hold['state'] = 'captured';
    } else if (hold) {
      source.held -= amount;
      hold.released += amount;
      hold['state'] = kind === 'void' ? 'voided' : 'expired';
      if (kind === 'expiry') hold['expiry_id'] = id;
    }
  }

  #append(
    { transfers, intake, changes }: { transfers: number; intake: number; changes: number },
    digest: Buffer,
  ): void {
    const number = this.journal.length + 1;
    const { text, micros } = this.instant(number);
    const previous = this.#hash;
    this.#hash = sha256(previous, `${this.name}|${number}|${micros}|${transfers}|${changes}`, digest);
    this.journal.push({
      number,
      settled_at: text,
      transfer_count: transfers,
      intake_count: intake,
      change_count: changes,
      digest: `\\x${digest.toString('hex')}`,
      previous_hash: `\\x${previous.toString('hex')}`,
      hash: `\\x${this.#hash.toString('hex')}`,
    });
  }

  #account(accountNumber: string, currency: string): Account {
    const account = this.accounts.get(`${accountNumber} ${currency}`);
    if (!account) throw new Error(`The ledger has no account ${accountNumber} in ${currency}.`);
    return account;
  }
}

function sha256(...parts: (string | Buffer)[]): Buffer<ArrayBuffer> {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return Buffer.from(hash.digest());
}

/** As PostgreSQL renders a jsonb with at most one key. */
function renderMetadata(metadata: unknown): string {
  return JSON.stringify(metadata).replace('":"', '": "');
}

function renderField(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return value;
    case 'number':
    case 'bigint':
    case 'boolean':
      return value.toString();
    default:
      return '';
  }
}

/** The microseconds of an instant that `instant` rendered. */
function microsOf(instant: unknown): bigint {
  const text = renderField(instant);
  return BigInt(Date.parse(`${text.slice(0, 19)}Z`)) * 1000n + BigInt(text.slice(20, 26));
}
