// What the tests of portable books share: random books in a database, files of books, and what verifying them finds.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { Client } from 'pg';
import { type CheckResult, type Discrepancy, Findings } from '../../src/books/findings.ts';
import { REVERSALS_OF_READING } from '../../src/books/reversals.ts';
import { readAgain } from '../../src/books/second-reading.ts';
import { type BooksEnd, Verification } from '../../src/books/verify.ts';
import { Ledger, type Row } from '../support/ledger-writer.ts';
import type { Random } from '../support/random.ts';
import { makeFolder, startProgram } from '../support/service.ts';

export type Ran = { code: number | null; stdout: string; stderr: string };

export async function run(t: TestContext, on: { url: string; ownerUrl?: string }, args: string[]): Promise<Ran> {
  const program = await startProgram(t, { database: on, args });
  const { code } = await program.exited;
  const stdout = program.stdout();
  // Only one of the two has text, or standard error follows.
  return { code, stdout, stderr: program.output().replace(stdout, '') };
}

/** The same; it must succeed. Returns standard output. */
export async function succeed(t: TestContext, on: { url: string; ownerUrl?: string }, args: string[]): Promise<string> {
  const { code, stdout, stderr } = await run(t, on, args);
  assert.equal(code, 0, `${args.join(' ')}: ${stdout}${stderr}`);
  return stdout;
}

export type Verified = { end: BooksEnd | null; discrepancies: Discrepancy[]; checks: readonly CheckResult[] };

/** Verifies files in this process. */
export async function verifyFiles(
  files: readonly string[],
  { expect = [] as { ledger: string; number: bigint; hash: string }[], reversalsMax = REVERSALS_OF_READING } = {},
): Promise<Verified> {
  const discrepancies: Discrepancy[] = [];
  const findings = new Findings(100, (discrepancy) => discrepancies.push(discrepancy));
  const verification = new Verification(findings, expect, reversalsMax);
  const { signal } = new AbortController();
  for (const file of files) for await (const _ of verification.verifyFile(file, signal));
  const end = verification.end();
  if (end && !discrepancies.some(({ check }) => check === 'file.form')) {
    const first = { ...end, files, reversed: verification.reversed, whole: end.since === 0 };
    for await (const _ of readAgain(first, findings, signal, reversalsMax));
  }
  return { end, discrepancies, checks: findings.results() };
}

/** Verifies the text of a file. */
export async function verifyText(t: TestContext, text: string | Buffer, name = 'books.ndjson'): Promise<Verified> {
  const file = join(await makeFolder(t), name);
  await writeFile(file, text);
  return await verifyFiles([file]);
}

/** The same lines with a trailer whose SHA-256 is that of the lines before it. */
export function resealed(lines: readonly string[]): string {
  const body = lines
    .slice(0, -1)
    .map((line) => `${line}\n`)
    .join('');
  const sha256 = createHash('sha256').update(body).digest('hex');
  return `${body}${(lines.at(-1) ?? '').replace(/"sha256":"[0-9a-f]{64}"/, `"sha256":"${sha256}"`)}\n`;
}

export function linesOf(text: string): string[] {
  return text.trimEnd().split('\n');
}

/** The lines that the journal, and nothing else, determines. */
export function recordLines(text: string): string[] {
  return linesOf(text).filter((line) => !/^\{"type":"(header|trailer)"/.test(line));
}

const CURRENCIES = ['USD', 'EUR'] as const;

/** Writes random books of the ledger main: every kind of transfer, changes of accounts, acts, idempotency keys. */
export async function writeRandomBooks(client: Client, random: Random, rows: number): Promise<void> {
  const ledger = new Ledger({ id: 1, name: 'main', factor: 1 });
  const accounts = CURRENCIES.map((currency) => {
    ledger.open('@external', currency);
    const numbers = Array.from({ length: random.whole(2, 5) }, (_, index) => `${currency}-${index}`);
    for (const number of numbers) ledger.open(number, currency, { overdraft_limit: random.whole(0, 2) * 100 });
    ledger.settle(numbers.map((to) => ({ from: '@external', to, amount: 1_000_000, currency })));
    return { currency, numbers };
  });
  for (let row = 0; row < rows; row += 1) writeRow(ledger, random, random.pick(accounts));
  await insert(client, ledger, random);
}

function writeRow(
  ledger: Ledger,
  random: Random,
  { currency, numbers }: { currency: string; numbers: string[] },
): void {
  const [from, to] = random.pickTwo(numbers);
  const transfer = { from, to, amount: random.whole(1, 500), currency };
  const open = [...ledger.holds.entries()].filter(
    ([, hold]) => hold['state'] === 'open' && hold['currency'] === currency,
  );
  const [parent, hold] = open.length === 0 ? [] : random.pick(open);
  const part =
    hold && parent !== undefined
      ? { from: String(hold['from_account']), to: String(hold['to_account']), currency, parent }
      : null;
  const rest = hold ? hold.amount - hold.captured - hold.released : 0;
  const reversible = ledger.transfers.filter(
    (each) =>
      each['status'] === 'completed' &&
      each['kind'] === 'transfer' &&
      each['currency'] === currency &&
      each['amount'] === 500,
  );
  const original = reversible.length === 0 ? null : random.pick(reversible);
  switch (random.whole(0, 9)) {
    case 0:
      ledger.settle([{ ...transfer, kind: 'hold', ...(random.whole(0, 1) === 0 && { expiresIn: 315_360_000 }) }]);
      break;
    case 1:
      if (part)
        ledger.settle([
          { ...part, kind: 'capture', amount: random.whole(1, rest), finalCapture: random.whole(0, 1) === 0 },
        ]);
      break;
    case 2:
      if (part) ledger.settle([{ ...part, kind: random.pick(['void', 'expiry'] as const), amount: rest }]);
      break;
    case 3:
      ledger.settle([{ ...transfer, code: 'insufficient_funds', currency: random.pick([currency, null]) }]);
      break;
    case 4:
      ledger.settle([{ ...transfer, amount: 500 }]);
      if (original && !ledger.reversed.has(String(original['id']))) {
        const back = { from: String(original['to_account']), to: String(original['from_account']), currency };
        ledger.settle([{ ...back, kind: 'reversal', amount: random.whole(1, 500), parent: String(original['id']) }]);
      }
      break;
    case 5:
      ledger.change(from, currency, { metadata: { tier: random.pick(['gold', 'ü', '"', '\\']) } }, { name: 'Ann' });
      break;
    case 6:
      ledger.act('key.created', 'cli:owner', 'keyanna00001');
      break;
    default: {
      const group = { id: `0199a0c4-1111-7000-8000-${String(ledger.journal.length).padStart(12, '0')}`, atomic: true };
      ledger.settle([
        {
          ...transfer,
          description: random.pick(['Rent', 'café ☕', '{"a":1}', '\u2028']),
          group: { ...group, position: 0 },
        },
        { ...transfer, metadata: { flat: String(random.whole(1, 99)) }, group: { ...group, position: 1 } },
      ]);
    }
  }
}

async function insert(client: Client, ledger: Ledger, random: Random): Promise<void> {
  const keyed = ledger.transfers.filter(() => random.whole(0, 1) === 0);
  const tables: Record<string, Row[]> = {
    accounts: [...ledger.accounts.values()],
    personal_keys: [...ledger.keys.values()],
    account_changes: ledger.changes,
    transfers: ledger.transfers,
    entries: ledger.entries,
    journal: ledger.journal,
    audit_log: ledger.acts,
    holds: [...ledger.holds.values()],
    reversed_amounts: [...ledger.reversed.values()],
    idempotency_keys: keyed.map((transfer, index) => ({
      created_at: transfer['created_at'],
      transfer_id: transfer['id'],
      key: `key "${index}"`,
      fingerprint: `\\x${'ab'.repeat(32)}`,
    })),
  };
  const accepted = ledger.journal.reduce((sum, row) => sum + Number(row['intake_count']), 0);
  const lease = { lease_id: '0199a0c4-2222-7000-8000-000000000001', session: 1, closed: true };
  tables['ledger_leases'] = [{ ...lease, accepted_count: accepted }];
  for (const rows of Object.values(tables)) for (const row of rows) row['ledger_id'] = 1;
  for (const [table, rows] of Object.entries(tables)) {
    await client.query(`insert into ${table} select * from jsonb_populate_recordset(null::${table}, $1::jsonb)`, [
      JSON.stringify(rows),
    ]);
  }
}
