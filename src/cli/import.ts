// gopherpay import: rebuilds a ledger from portable books, with the same hashes, in one transaction. The books are verified while
// they are read, and the ledger is audited before the commit.
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { defineCommand } from 'citty';
import { z } from 'zod';
import { Findings } from '../books/findings.ts';
import type { AnyLine, Line } from '../books/form.ts';
import { type BooksEnd, type Expected, Verification } from '../books/verify.ts';
import { readConfig } from '../config.ts';
import { auditBooks } from '../db/audit/audit.ts';
import { connect, type Connection, disconnect, READING_TIMEOUTS } from '../db/connection/connect.ts';
import { INSUFFICIENT_PRIVILEGE, sqlStateOf } from '../db/connection/errors.ts';
import { Transaction } from '../db/connection/transaction.ts';
import {
  finishImport,
  type ImportedType,
  ImportRefusedError,
  insertLines,
  openImport,
} from '../db/ledger/books-import.ts';
import {
  countUnreadable,
  eraseUnreadable,
  insertPersonalKeys,
  type PersonalKey,
  WrongPersonalKeyError,
} from '../db/ledger/books-import-personal.ts';
import { bumpAccessVersion } from '../db/ledger/keys.ts';
import type { Ledger } from '../domain/ledger.ts';
import { CommandError, EXIT, interruptible, parseArguments, withDatabase } from './command.ts';
import { EXPECT_ARGS, expectOptions, readExpected } from './expected.ts';
import { startProgress } from './progress.ts';
import { filesOf, readLedger, renderDiscrepancy, unreadable, withoutFiles } from './verify.ts';

/** How many discrepancies the error names. */
const DISCREPANCIES_NAMED = 5;

export const importBooks = defineCommand({
  meta: {
    name: 'import',
    description: 'Rebuild a ledger from files of gopherpay export, with the same hashes, where it does not exist.',
  },
  args: {
    file: {
      type: 'positional',
      required: false,
      description: 'The files, or folders of tables; each continues the one before',
    },
    'personal-keys': {
      type: 'string',
      description: 'The file with the keys of the personal data, from gopherpay export --personal-keys',
      valueHint: 'FILE',
    },
    'erase-personal-data': { type: 'boolean', description: 'Erase the personal data that has no key' },
    ...EXPECT_ARGS,
  },
  async run({ args }) {
    const files = filesOf(args);
    const options = parseArguments(
      {
        'personal-keys': z.string().min(1, 'must be a file').optional(),
        'erase-personal-data': z.boolean().default(false),
        ...expectOptions,
      },
      withoutFiles(args),
    );
    const wanted = {
      files,
      keysFile: options['personal-keys'] ?? null,
      erases: options['erase-personal-data'],
      expect: await readExpected(options, async () => await readLedger(files[0] ?? '')),
    };
    await interruptible(async (signal) => {
      await withDatabase(readConfig(), 'owner', async (database) => {
        const connection = await connect(database, READING_TIMEOUTS, {
          applicationName: 'gopherpay import',
          readOnly: false,
        });
        const close = () => void disconnect(connection);
        signal.addEventListener('abort', close, { once: true });
        try {
          await runImport(connection, wanted, signal);
        } finally {
          signal.removeEventListener('abort', close);
          await disconnect(connection);
        }
      });
    });
  },
});

type Wanted = {
  readonly files: readonly string[];
  readonly keysFile: string | null;
  readonly erases: boolean;
  readonly expect: readonly Expected[];
};

/** Imports in one transaction: whatever interrupts it, nothing is left. */
async function runImport(connection: Connection, wanted: Wanted, signal: AbortSignal): Promise<void> {
  const named: string[] = [];
  const findings = new Findings(DISCREPANCIES_NAMED, (discrepancy) => named.push(renderDiscrepancy(discrepancy)));
  const refuse = (): void => {
    if (findings.total === 0) return;
    const shown = named.slice(0, DISCREPANCIES_NAMED).join('\n');
    throw new CommandError(
      EXIT.discrepancy,
      `${shown}\nNothing is imported, because the books are not whole: run gopherpay verify, which shows all that is wrong.`,
    );
  };
  const transaction = await Transaction.begin(connection);
  // The audit before the commit compares the reversals.
  const verification = new Verification(findings, wanted.expect, 0);
  const rows = new ImportedRows(connection);
  for (const file of wanted.files) {
    const progress = startProgress(1, `journal rows of ${file}`);
    try {
      for await (const { done, total } of verification.verifyFile(file, signal, (line, text) =>
        rows.take(line, text),
      )) {
        refuse();
        await rows.write();
        progress.update(done, total);
      }
    } catch (error) {
      throw explain(unreadable(error, file));
    } finally {
      progress.stop();
    }
    refuse();
  }
  const end = verification.end();
  refuse();
  const { ledger, header, closedUntil } = rows;
  if (!end || !ledger || !header) throw new CommandError(EXIT.failed, 'The files have no books.');
  if (end.unknownFields > 0) {
    throw new CommandError(
      EXIT.failed,
      `Nothing is imported: ${end.unknownFields} accounts changed after journal row ${end.number}, so the files do not have their fields. Import the files that follow at once with these, or export without --until.`,
    );
  }
  let erased: number;
  try {
    await finishImport(connection, ledger, header.since, { number: end.number, closedUntil });
    erased = await openPersonalData(connection, ledger, wanted);
  } catch (error) {
    throw explain(error, ledger.id === header.ledger_id);
  }
  await auditImport(connection, ledger, header.since);
  // Last, because it locks a row that changes of keys need.
  await bumpAccessVersion(connection);
  await transaction.commit();
  reportEnd(end, header, erased);
}

/** A line that its table refuses: of invalid data (22), or against a constraint (23). */
const REFUSED_LINE = /^2[23]/;

/** `keepsId`: whether the ledger has the id with which its personal data was encrypted. */
function explain(error: unknown, keepsId = true): unknown {
  if (error instanceof Error && REFUSED_LINE.test(sqlStateOf(error) ?? '')) {
    const sentence = `Nothing is imported, because the database refuses a record: ${error.message}.`;
    return new CommandError(EXIT.discrepancy, sentence, { cause: error });
  }
  if (sqlStateOf(error) === INSUFFICIENT_PRIVILEGE) {
    const sentence = 'Only the owner of the tables may import: set DATABASE_OWNER_URL to the database as its owner.';
    return new CommandError(EXIT.failed, sentence, { cause: error });
  }
  if (error instanceof WrongPersonalKeyError) {
    const remedy = keepsId
      ? 'give the file that the same gopherpay export wrote, or none and --erase-personal-data'
      : 'the id of the ledger is taken here, so no key opens it: import into a database where it is free, or give no file and --erase-personal-data';
    return new CommandError(EXIT.failed, `Nothing is imported: ${error.message}; ${remedy}.`, { cause: error });
  }
  if (!(error instanceof ImportRefusedError)) return error;
  return new CommandError(EXIT.failed, `Nothing is imported: ${error.message}.`, { cause: error });
}

/** The lines that wait to be inserted, and the ledger to which they belong. */
class ImportedRows {
  ledger: Ledger | null = null;
  /** That of the first file. */
  header: Line<'header'> | null = null;
  closedUntil: number | null = null;
  readonly #connection: Connection;
  #texts = newTexts();
  /** The records of a row of the journal whose own line has not come yet. */
  #records: { readonly type: 'change' | 'act' | 'transfer'; readonly text: string }[] = [];

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  take(line: AnyLine, text: string): void {
    switch (line.type) {
      case 'header':
        this.header ??= line;
        this.closedUntil = line.closed_until ?? null;
        break;
      case 'change':
      case 'act':
      case 'transfer':
        this.#records.push({ type: line.type, text });
        break;
      case 'journal': {
        let position = 0;
        for (const { type, text: record } of this.#records) {
          if (type === 'transfer') position += 1;
          const place = `{"journal_number":${line.number},"journal_position":${position},"settled_at":${line.settled_at}`;
          this.#texts[type].push(`${place},${record.slice(1)}`);
        }
        this.#records = [];
        this.#texts.journal.push(text);
        break;
      }
      case 'key':
        this.#texts.key.push(text);
        break;
      case 'account':
        // The file that follows has the fields of an account that changed later.
        if (line.status !== undefined) this.#texts.account.push(text);
        break;
      case 'trailer':
    }
  }

  /** Inserts what has come so far, up to the last whole row of the journal. */
  async write(): Promise<void> {
    if (!this.header) return;
    this.ledger ??= await this.#open(this.header);
    const texts = this.#texts;
    this.#texts = newTexts();
    for (const type of TYPES) await insertLines(this.#connection, this.ledger, type, texts[type]);
  }

  async #open(header: Line<'header'>): Promise<Ledger> {
    return await openImport(this.#connection, {
      name: header.ledger,
      id: header.ledger_id,
      createdAt: header.ledger_created_at,
      clockStart: header.clock_start ?? null,
      approvalAbove: header.approval_above ?? null,
      since: header.since,
      previousHash: header.previous_hash,
    });
  }
}

const TYPES = ['change', 'act', 'transfer', 'journal', 'key', 'account'] as const;

function newTexts(): Record<ImportedType, string[]> {
  return { change: [], act: [], transfer: [], journal: [], key: [], account: [] };
}

const personalKey = z.strictObject({
  account_number: z.string(),
  currency: z.string(),
  key: z.string().regex(/^[0-9a-f]{64}$/),
});

/** Makes the personal data readable, or erases it. Returns how many accounts were erased. */
async function openPersonalData(connection: Connection, ledger: Ledger, { keysFile, erases }: Wanted): Promise<number> {
  if (keysFile !== null) {
    for await (const keys of readKeys(keysFile)) await insertPersonalKeys(connection, ledger, keys);
  }
  const unreadable = await countUnreadable(connection, ledger);
  if (unreadable === 0) return 0;
  if (erases) return await eraseUnreadable(connection, ledger);
  throw new CommandError(
    EXIT.failed,
    `Nothing is imported: ${unreadable} accounts have personal data, and the books have no keys to read it. Add --personal-keys=FILE, from gopherpay export --personal-keys, or --erase-personal-data.`,
  );
}

const KEYS_OF_BATCH = 1000;

async function* readKeys(file: string): AsyncGenerator<readonly PersonalKey[]> {
  let batch: PersonalKey[] = [];
  try {
    for await (const line of createInterface({ input: createReadStream(file) })) {
      const parsed = personalKey.safeParse(parseJson(line));
      if (!parsed.success) throw new CommandError(EXIT.wrongUsage, `${file} is not a file of personal keys.`);
      batch.push(parsed.data);
      if (batch.length < KEYS_OF_BATCH) continue;
      yield batch;
      batch = [];
    }
  } catch (error) {
    throw unreadable(error, file);
  }
  yield batch;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** The second opinion: the audit of the database, on the rows that the transaction has not committed yet. */
async function auditImport(connection: Connection, ledger: Ledger, since: number): Promise<void> {
  const options = { ledger: ledger.id, since: since === 0 ? null : BigInt(since), expect: [], discrepanciesMax: 1 };
  for await (const event of auditBooks(connection, options)) {
    if (event.type !== 'discrepancy') continue;
    const { check, account, transfer, journal, what, expected, found } = event;
    const about = [account, transfer, journal && `journal ${journal}`].filter((part) => part !== null).join(', ');
    throw new CommandError(
      EXIT.discrepancy,
      `Nothing is imported, because the audit found a discrepancy: ${check}: ${about}: ${what}: expected ${expected}, found ${found}.`,
    );
  }
}

function reportEnd(end: BooksEnd, header: Line<'header'>, erased: number): void {
  process.stderr.write(
    `ledger ${end.ledger}, journal ${end.number} sha256:${end.hash} imported and audited: ${end.transfers} transfers, ${end.accounts} accounts\n`,
  );
  const rule = header.approval_above === undefined ? 'no approval rule' : `approval above ${header.approval_above}`;
  const clock = header.clock_start === undefined ? 'the real clock' : 'a test clock';
  process.stderr.write(`No hash covers these, so compare them with the original: ${rule}, ${clock}\n`);
  if (erased > 0)
    process.stderr.write(`The personal data of ${erased} accounts was erased; the journal goes on with that.\n`);
}
