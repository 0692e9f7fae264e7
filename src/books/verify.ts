// Verifies portable books: files of one ledger in their order, each the continuation of the one before. It needs no
// database and no service, and shares no code with what settles transfers.
import { createHash, type Hash } from 'node:crypto';
import { Accounts } from './accounts.ts';
import type { Findings } from './findings.ts';
import { type AnyLine, FormError, type Line, parseLine } from './form.ts';
import { readBooks } from './read-books.ts';
import { hashOf, NO_HASH, recordOf } from './record.ts';
import { REVERSALS_OF_READING } from './reversals.ts';
import { AtomicGroups, checkTransfer } from './transfers.ts';

/** A row of the journal, and the hash (hexadecimal) that an auditor recorded for it. */
export type Expected = { readonly ledger: string; readonly number: bigint; readonly hash: string };

/** Where the books begin and end, and what they are. */
export type BooksEnd = {
  readonly ledger: string;
  readonly since: number;
  readonly number: number;
  readonly hash: string;
  readonly settledAt: number | null;
  readonly transfers: number;
  /** Completed reversals, whose originals a second reading looks up. */
  readonly reversals: number;
  readonly accounts: number;
  /** Accounts whose fields are unknown as of the last row, because they changed later. */
  readonly unknownFields: number;
};

/** Receives each line, and its text, once it is known to be in the form and in its place. */
export type LineSink = (line: AnyLine, text: string) => void;

const SECTION: Readonly<Record<AnyLine['type'], number>> = {
  header: 0,
  change: 1,
  act: 1,
  transfer: 1,
  journal: 1,
  key: 2,
  account: 3,
  trailer: 4,
};
/** Within a row of the journal. */
const PLACE: Readonly<Partial<Record<AnyLine['type'], number>>> = { change: 1, act: 2, transfer: 3 };

/**
 * A row of the journal is one job: at most 10,000 transfers or accounts (JOB_SIZE_MAX), whose texts have about 4 MB. These
 * bounds are far beyond, and keep a forged row from filling the memory.
 */
export const ROW_RECORDS_MAX = 100_000;
export const ROW_LENGTH_MAX = 128 * 1024 * 1024;

type Row = { digest: Hash; transfers: number; changes: number; place: number; length: number };

export class Verification {
  readonly findings: Findings;
  /** What the first reversals undo: as many as the second reading compares at a time. */
  readonly reversed: string[] = [];
  readonly #expected: readonly Expected[];
  readonly #reversedMax: number;
  readonly #found = new Set<Expected>();
  readonly #groups = new AtomicGroups();
  #accounts: Accounts | null = null;
  #header: Line<'header'> | null = null;
  #since = 0;
  #number = 0;
  #hash = NO_HASH;
  #settledAt: number | null = null;
  #transfers = 0;
  #reversals = 0;
  readonly #unknownFields = new Set<string>();
  #section = -1;
  #row: Row = newRow();
  #counts = newCounts();

  /** `reversedMax`: 0 if there is no second reading. */
  constructor(findings: Findings, expected: readonly Expected[], reversedMax = REVERSALS_OF_READING) {
    this.findings = findings;
    this.#expected = expected;
    this.#reversedMax = reversedMax;
  }

  /**
   * Verifies a file or a folder of tables, and yields how many of its rows of the journal are done. Stops at a line that is not in the form. Throws
   * the error of a file that cannot be read.
   */
  async *verifyFile(
    path: string,
    signal: AbortSignal,
    sink: LineSink = () => {},
  ): AsyncGenerator<{ readonly done: number; readonly total: number }> {
    const { findings } = this;
    findings.file = path;
    findings.line = 0;
    findings.journal = null;
    this.#section = -1;
    try {
      for await (const { lines, sha256Before } of readBooks(path, signal, findings)) {
        for (const text of lines) {
          findings.line = (findings.line ?? 0) + 1;
          const line = parseLine(text);
          this.#take(line, text.length, sha256Before);
          sink(line, text);
        }
        const { since = 0, until = 0 } = this.#header ?? {};
        yield { done: this.#number - since, total: until - since };
      }
      if (this.#section !== SECTION.trailer) throw new FormError('is the last one, and is no trailer');
    } catch (error) {
      if (!(error instanceof FormError)) throw error;
      if (this.#section === -1) findings.line = 1;
      findings.add('file.form', {}, 'line', 'a line of portable books', error.message);
    }
    findings.count('file.form', findings.line ?? 0);
  }

  /** What is known only after the last file. */
  end(): BooksEnd | null {
    const { findings } = this;
    findings.line = null;
    for (const expected of this.#expected) {
      const { ledger, number, hash } = expected;
      if (this.#header && ledger !== this.#header.ledger) continue;
      findings.count('journal.expected');
      findings.journal = Number(number);
      if (!this.#found.has(expected)) findings.add('journal.expected', {}, 'hash written down', hash, 'no row');
    }
    if (!this.#header) return null;
    return {
      ledger: this.#header.ledger,
      since: this.#since,
      number: this.#number,
      hash: this.#hash,
      settledAt: this.#settledAt,
      transfers: this.#transfers,
      reversals: this.#reversals,
      accounts: this.#accounts?.size ?? 0,
      unknownFields: this.#unknownFields.size,
    };
  }

  #take(line: AnyLine, length: number, sha256Before: string | null): void {
    const section = SECTION[line.type];
    if (section < this.#section || (section === 0 && this.#section === 0) || (section > 0 && this.#section === -1)) {
      throw new FormError(`is a ${line.type}, which has no place here`);
    }
    if (section > 1 && this.#row.place > 0) throw new FormError(`is a ${line.type}, in the middle of a journal row`);
    if (this.#section === SECTION.trailer) throw new FormError('follows the trailer');
    this.#section = section;
    switch (line.type) {
      case 'header':
        this.#begin(line);
        break;
      case 'change':
      case 'act':
      case 'transfer':
        this.#takeRecord(line, length);
        break;
      case 'journal':
        this.#takeRow(line);
        break;
      case 'key':
        this.#counts.keys += 1;
        break;
      case 'account':
        this.#takeAccount(line);
        break;
      case 'trailer':
        this.#takeTrailer(line, sha256Before);
    }
  }

  #begin(line: Line<'header'>): void {
    const { findings } = this;
    this.#counts = newCounts();
    this.#row = newRow();
    findings.count('file.order');
    if (this.#header === null) {
      this.#accounts = new Accounts(findings, line.since === 0);
      this.#since = line.since;
      this.#number = line.since;
      this.#hash = line.previous_hash;
      if (line.since === 0)
        findings.equal('journal.chain', {}, 'previous_hash before row 1', NO_HASH, line.previous_hash);
    } else {
      const joins = 'the file continues the one before';
      findings.equal('file.order', {}, `ledger: ${joins}`, this.#header.ledger, line.ledger);
      findings.equal('file.order', {}, `ledger_id: ${joins}`, this.#header.ledger_id, line.ledger_id);
      findings.equal('file.order', {}, `since: ${joins}`, this.#number, line.since);
      findings.equal('file.order', {}, `previous_hash: ${joins}`, this.#hash, line.previous_hash);
      this.#number = line.since;
      this.#hash = line.previous_hash;
    }
    findings.must('file.order', {}, 'until', line.until >= line.since, `at least ${line.since}`, line.until);
    this.#accounts?.beginFile();
    this.#header = line;
    this.#compareExpected(line.since, line.previous_hash);
  }

  #takeRecord(line: Line<'change' | 'act' | 'transfer'>, length: number): void {
    const place = PLACE[line.type] ?? 0;
    this.findings.journal = this.#number + 1;
    if (place < this.#row.place) throw new FormError(`is a ${line.type} after a record that follows it`);
    this.#row.place = place;
    this.#row.length += length;
    if (this.#row.transfers + this.#row.changes >= ROW_RECORDS_MAX || this.#row.length > ROW_LENGTH_MAX) {
      throw new FormError('is one record too many for a row of the journal');
    }
    this.#row.digest.update(recordOf(line));
    if (line.type === 'transfer') {
      this.#row.transfers += 1;
      this.#takeTransfer(line);
      return;
    }
    this.#row.changes += 1;
    this.#counts[line.type === 'change' ? 'changes' : 'acts'] += 1;
    if (line.type === 'change') this.#accounts?.change(line);
  }

  #takeTransfer(line: Line<'transfer'>): void {
    checkTransfer(line, this.findings);
    this.#groups.add(line);
    this.#transfers += 1;
    this.#counts.transfers += 1;
    if (line.status !== 'completed') return;
    this.#accounts?.settle(line);
    if (line.kind !== 'reversal') return;
    this.#reversals += 1;
    if (this.reversed.length < this.#reversedMax) this.reversed.push(line.parent_id ?? '');
  }

  #takeRow(line: Line<'journal'>): void {
    const { findings } = this;
    findings.journal = line.number;
    findings.count('journal.chain');
    findings.count('journal.transfers', this.#row.transfers + this.#row.changes);
    findings.equal('journal.chain', {}, 'number', this.#number + 1, line.number);
    findings.equal('journal.chain', {}, 'previous_hash', this.#hash, line.previous_hash);
    const previous = this.#settledAt ?? line.settled_at;
    findings.must(
      'journal.chain',
      {},
      'settled_at',
      line.settled_at >= previous,
      `${previous} or later`,
      line.settled_at,
    );
    findings.equal('journal.transfers', {}, 'transfers in the row', line.transfer_count, this.#row.transfers);
    findings.equal('journal.transfers', {}, 'changes in the row', line.change_count, this.#row.changes);
    const { intake_count: intake } = line;
    const most = line.transfer_count;
    findings.must('journal.transfers', {}, 'intake_count', intake <= most, `at most ${most}`, intake);
    findings.equal('journal.transfers', {}, 'digest', this.#row.digest.digest('hex'), line.digest);
    findings.equal('journal.chain', {}, 'hash', hashOf(line, this.#header?.ledger ?? ''), line.hash);
    this.#compareExpected(line.number, line.hash);
    this.#groups.endRow(findings);
    this.#number = line.number;
    this.#hash = line.hash;
    this.#settledAt = line.settled_at;
    this.#counts.rows += 1;
    this.#row = newRow();
  }

  #takeAccount(line: Line<'account'>): void {
    this.findings.journal = null;
    this.#counts.accounts += 1;
    this.#accounts?.list(line);
    const name = `${line.currency}${line.account_number}`;
    if (line.status === undefined) this.#unknownFields.add(name);
    else this.#unknownFields.delete(name);
  }

  #takeTrailer(line: Line<'trailer'>, sha256Before: string | null): void {
    const { findings } = this;
    const header = this.#header;
    findings.journal = null;
    this.#accounts?.endFile();
    const same = (what: string, expected: string | number | undefined, found: string | number) => {
      findings.count('file.trailer');
      findings.equal('file.trailer', {}, what, expected, found);
    };
    for (const name of ['rows', 'transfers', 'changes', 'acts', 'keys', 'accounts'] as const) {
      same(name, this.#counts[name], line[name]);
    }
    same('number', this.#number, line.number);
    same('hash', this.#hash, line.hash);
    same('until of the header', this.#number, header?.until ?? 0);
    same('hash of the header', this.#hash, header?.hash ?? '');
    const all = this.#accounts?.currencies() ?? [];
    const stated = header?.currencies ?? [];
    // Books that begin later do not show all accounts.
    const found = this.#since === 0 ? stated : stated.filter((currency) => all.includes(currency));
    same('currencies of the header', all.join(', '), found.join(', '));
    if (sha256Before === null) throw new FormError('is a trailer, and more lines follow');
    same('sha256 of all bytes before', sha256Before, line.sha256);
  }

  #compareExpected(number: number, hash: string): void {
    for (const expected of this.#expected) {
      if (expected.number !== BigInt(number) || expected.ledger !== this.#header?.ledger) continue;
      this.#found.add(expected);
      this.findings.equal('journal.expected', {}, 'hash written down', expected.hash, hash);
    }
  }
}

function newRow(): Row {
  return { digest: createHash('sha256'), transfers: 0, changes: 0, place: 0, length: 0 };
}

function newCounts() {
  return { rows: 0, transfers: 0, changes: 0, acts: 0, keys: 0, accounts: 0 };
}
