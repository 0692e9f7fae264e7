// The accounts and the open holds as the records of the books imply them: promises 1 to 3. Memory grows with the accounts
// and the open holds, and not with the transfers.
import type { Findings, Subject } from './findings.ts';
import type { Line } from './form.ts';
import { sealOf } from './record.ts';

type Account = {
  readonly number: string;
  readonly currency: string;
  /** Null: the books begin later than the account, and have not said it yet. */
  changeNumber: number | null;
  seal: string | null;
  entryCount: number | null;
  balance: number;
  held: number;
  /** The last file that changed the account or moved its money, and the last one that listed it. */
  touched: number;
  listed: number;
};

type Hold = { readonly account: string; readonly to: string; readonly currency: string; rest: number };

const EXTERNAL = '@external';
/** The account that stands for another ledger has its name after this text. */
const LEDGER_PREFIX = '@ledger:';

export class Accounts {
  readonly #accounts = new Map<string, Account>();
  readonly #holds = new Map<string, Hold>();
  readonly #findings: Findings;
  /** Whether the books are known from their first row on. If not, what was before is taken as it is found. */
  readonly #whole: boolean;
  #file = 0;

  constructor(findings: Findings, whole: boolean) {
    this.#findings = findings;
    this.#whole = whole;
  }

  get size(): number {
    return this.#accounts.size;
  }

  beginFile(): void {
    this.#file += 1;
  }

  change(line: Line<'change'>): void {
    const findings = this.#findings;
    const about = { account: line.account_number, currency: line.currency };
    findings.count('accounts.changes');
    const known = this.#find(line.account_number, line.currency);
    const account = known ?? this.#open(line.account_number, line.currency);
    const before = account.changeNumber ?? (this.#whole ? 0 : line.change_number - 1);
    findings.equal('accounts.changes', about, 'change number', before + 1, line.change_number);
    account.changeNumber = line.change_number;
    account.seal = line.seal;
    account.touched = this.#file;
  }

  /** A transfer that completed. */
  settle(line: Line<'transfer'>): void {
    const { id, currency = '', amount = 0 } = line;
    const about = { transfer: id, currency };
    const from = this.#use(line.from_account, currency, about);
    const to = this.#use(line.to_account, currency, about);
    switch (line.kind) {
      case 'hold':
        this.#findings.count('holds.parts');
        this.#holds.set(id, { account: line.from_account, to: line.to_account, currency, rest: amount });
        from.held += amount;
        break;
      case 'capture':
      case 'void':
      case 'expiry':
        this.#takeFromHold(line, from);
        break;
      default:
    }
    if (line.from_entry_number === undefined || line.to_entry_number === undefined) return;
    this.#enter(from, about, { number: line.from_entry_number, amount: -amount, balance: line.from_balance });
    this.#enter(to, about, { number: line.to_entry_number, amount, balance: line.to_balance });
  }

  /** Compares an account, as the file says it is at its end, with what the records imply. */
  list(line: Line<'account'>): void {
    const findings = this.#findings;
    const about = { account: line.account_number, currency: line.currency };
    const account = this.#find(line.account_number, line.currency);
    for (const check of ['balances.accounts', 'overdraft.held'] as const) findings.count(check);
    if (account?.touched !== this.#file || account.listed === this.#file) {
      const found = account?.listed === this.#file ? 'a second line' : 'a line';
      findings.add('balances.accounts', about, 'line of the account', 'none, as the file does not change it', found);
      return;
    }
    account.listed = this.#file;
    const changeNumber = account.changeNumber ?? line.change_number;
    findings.equal('accounts.changes', about, 'number of the last change', changeNumber, line.change_number);
    account.changeNumber = changeNumber;
    if (this.#whole || account.entryCount !== null) {
      findings.equal('balances.accounts', about, 'number of entries', account.entryCount ?? 0, line.entry_count);
      findings.equal('balances.accounts', about, 'balance, by the last entry', account.balance, line.balance);
    }
    if (this.#whole) findings.equal('overdraft.held', about, 'held, by open holds', account.held, line.held);
    else Object.assign(account, { entryCount: line.entry_count, balance: line.balance });
    this.#checkFields(line, account, about);
  }

  /** The fields that the seal covers are missing if the account changed after the last row of the file. */
  #checkFields(line: Line<'account'>, account: Account, about: Subject): void {
    const findings = this.#findings;
    const { status, overdraft_limit: limit, balance, held } = line;
    const fields = [status, limit, line.metadata, line.created_at];
    if (fields.every((field) => field === undefined) && line.personal_data === undefined) return;
    findings.count('accounts.seals');
    if (account.seal !== null)
      findings.equal('accounts.seals', about, 'seal of its fields', account.seal, sealOf(line));
    findings.must('accounts.seals', about, 'fields', !fields.includes(undefined), 'all, or none', 'some');
    if (status === 'closed') {
      findings.must(
        'balances.accounts',
        about,
        'money of a closed account',
        balance === 0 && held === 0,
        'none',
        balance,
      );
    }
    if (account.number === EXTERNAL || account.number.startsWith(LEDGER_PREFIX)) return;
    findings.count('overdraft.available');
    const available = BigInt(balance) - BigInt(held) + BigInt(limit ?? 0);
    const what = 'available, which is balance - held + overdraft limit';
    findings.must('overdraft.available', about, what, available >= 0n, 'at least 0', available);
  }

  /** What must hold at the end of a file. */
  endFile(): void {
    const findings = this.#findings;
    const sums = new Map<string, bigint>();
    for (const account of this.#accounts.values()) {
      const { number, currency, balance, touched, listed } = account;
      sums.set(currency, (sums.get(currency) ?? 0n) + BigInt(balance));
      if (touched === this.#file && listed !== this.#file) {
        findings.add('balances.accounts', { account: number, currency }, 'line of the account', 'a line', 'none');
      }
    }
    if (!this.#whole) return;
    for (const [currency, sum] of sums) {
      findings.count('conservation.balances');
      findings.equal('conservation.balances', { currency }, 'sum of all balances', 0n, sum);
    }
  }

  /** The currencies of all accounts. */
  currencies(): readonly string[] {
    return [...new Set([...this.#accounts.values()].map(({ currency }) => currency))].toSorted();
  }

  #takeFromHold(line: Line<'transfer'>, from: Account): void {
    const findings = this.#findings;
    const { id, kind, amount = 0, currency = '', parent_id: parent = '' } = line;
    const about = { transfer: id, currency };
    findings.count('holds.parts');
    const hold = this.#holds.get(parent);
    if (!hold) {
      if (this.#whole) findings.add('holds.parts', about, 'its hold', 'an open hold', parent);
      return;
    }
    const place = `${hold.account} to ${hold.to} in ${hold.currency}`;
    const found = `${line.from_account} to ${line.to_account} in ${currency}`;
    findings.count('transfers.parents');
    findings.equal('transfers.parents', about, 'accounts of the hold', place, found);
    if (kind === 'capture') {
      findings.must('holds.parts', about, 'amount of the capture', amount <= hold.rest, `at most ${hold.rest}`, amount);
    } else findings.equal('holds.parts', about, `amount of the ${kind}`, hold.rest, amount);
    const ends = kind !== 'capture' || line.final_capture === true || amount >= hold.rest;
    from.held -= ends ? hold.rest : amount;
    hold.rest -= amount;
    if (ends) this.#holds.delete(parent);
  }

  #enter(
    account: Account,
    about: Subject,
    entry: { readonly number: number; readonly amount: number; readonly balance: number | undefined },
  ): void {
    const findings = this.#findings;
    const subject = { ...about, account: account.number };
    findings.count('balances.entries');
    const { balance = 0 } = entry;
    if (account.entryCount === null && !this.#whole) {
      account.entryCount = entry.number - 1;
      account.balance = balance - entry.amount;
    }
    findings.equal('balances.entries', subject, 'entry number', (account.entryCount ?? 0) + 1, entry.number);
    findings.equal('balances.entries', subject, 'running balance', account.balance + entry.amount, entry.balance);
    account.entryCount = entry.number;
    account.balance = balance;
  }

  #find(number: string, currency: string): Account | undefined {
    return this.#accounts.get(`${currency}${number}`);
  }

  #use(number: string, currency: string, about: Subject): Account {
    const known = this.#find(number, currency);
    if (!known && this.#whole) {
      this.#findings.add('accounts.changes', { ...about, account: number }, 'account', 'an opened one', 'none');
    }
    const account = known ?? this.#open(number, currency);
    account.touched = this.#file;
    return account;
  }

  #open(number: string, currency: string): Account {
    const account: Account = {
      number,
      currency,
      changeNumber: null,
      seal: null,
      entryCount: null,
      balance: 0,
      held: 0,
      touched: this.#file,
      listed: 0,
    };
    this.#accounts.set(`${currency}${number}`, account);
    return account;
  }
}
