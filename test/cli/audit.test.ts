// gopherpay audit: its output, its exit codes, and the hash that one audit passes to the next.
import assert from 'node:assert/strict';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, test, type TestContext } from 'node:test';
import { z } from 'zod';
import { renderAuditMetrics } from '../../src/cli/audit-metrics.ts';
import type { Scope } from '../support/cleanup.ts';
import { createDatabase, renderDatabaseUrl, type TestDatabase } from '../support/database.ts';
import { makeFolder, startProgram } from '../support/service.ts';
import { JOURNAL_ROWS, rewriteShop, SHOP, writeLedger } from '../support/sample-ledgers.ts';

type Ran = { code: number | null; stdout: string; stderr: string };

/** A consistent ledger, and one in which a balance, two entries and a name with a terminal's commands are wrong. */
let whole: TestDatabase;
let wrong: TestDatabase;
let hash: string;

before(async (t) => {
  [whole, wrong] = await Promise.all([makeLedger(t), makeLedger(t)]);
  const client = await wrong.connect();
  await client.query(`set session_replication_role = replica`);
  await client.query(`update accounts set balance = balance + 1 where account_number = 'BOB'`);
  await client.query(`update entries set transfer_id = gen_random_uuid() where account_number = 'CID'`);
  await client.query(
    `update transfers set from_account = e'\\u001f\\u001b[31m' where journal_number = 9 and status = 'failed'`,
  );
  const [row] = await whole.query<{ hash: string }>(
    `select encode(hash, 'hex') as hash from journal where number = ${JOURNAL_ROWS}`,
  );
  hash = row?.hash ?? '';
});

async function makeLedger(scope: Scope): Promise<TestDatabase> {
  const database = await createDatabase(scope);
  await writeLedger(await database.connect());
  return database;
}

async function audit(t: TestContext, database: { url: string }, ...options: string[]): Promise<Ran> {
  const program = await startProgram(t, { database, args: ['audit', ...options] });
  const { code } = await program.exited;
  const stdout = program.stdout();
  // Nothing is written to standard error before the end, because the two are printed one after the other.
  return { code, stdout, stderr: program.output().replace(stdout, '') };
}

function verdictOf({ stdout }: Ran): string {
  return stdout.trimEnd().split('\n').at(-1) ?? '';
}

test('audit: prints one line per check and the verified journal row for consistent books', async (t) => {
  const ran = await audit(t, whole);
  assert.deepEqual({ code: ran.code, stderr: ran.stderr }, { code: 0, stderr: '' });
  const lines = ran.stdout.trimEnd().split('\n');
  assert.match(lines[0] ?? '', /^check +rows +discrepancies$/);
  for (const line of lines.slice(1, -1)) assert.match(line, /^[a-z]+\.[a-z]+ +[\d,]+ +0$/);
  assert.ok(lines.some((line) => /^journal\.chain +[1-9]\d* +0$/.test(line)));
  assert.match(
    verdictOf(ran),
    new RegExp(`^journal ${JOURNAL_ROWS} sha256:${hash} verified at \\d{4}-\\d\\d-\\d\\dT[\\d:.]+Z$`),
  );
});

test('audit: prints each discrepancy of inconsistent books and exits with 3', async (t) => {
  const ran = await audit(t, wrong);
  assert.equal(ran.code, 3);
  assert.match(ran.stdout, /^conservation\.balances +7 +1$/m);
  assert.match(
    ran.stdout,
    /^balances\.accounts: account BOB USD: balance, by the last entry: expected \d+, found \d+$/m,
  );
  assert.match(
    ran.stdout,
    /^conservation\.transfers: account CID USD, transfer [-0-9a-f]{36}, journal 9: entry of the/m,
  );
  assert.match(ran.stdout, /^journal\.chain: journal 9: digest: expected [0-9a-f]{64}, found [0-9a-f]{64}$/m);
  assert.match(verdictOf(ran), /^journal 21 sha256:[0-9a-f]{64} NOT verified at \S+: \d+ discrepancies$/);
  assert.match(ran.stderr, /^The books are not whole: \d+ discrepancies\.\n$/);
  assert.ok(!ran.stdout.includes('\u001b'), 'Text of the books must not control a terminal.');
  assert.ok(ran.stdout.includes('\\u{1b}[31m'));
});

test('audit: --limit bounds the printed discrepancies of each check and counts the rest', async (t) => {
  const ran = await audit(t, wrong, '--limit=1');
  assert.equal(ran.code, 3);
  assert.equal(ran.stdout.match(/^conservation\.transfers: account/gm)?.length, 1);
  assert.match(ran.stdout, /^conservation\.transfers: \d+ more$/m);
});

test('audit: --json prints one JSON object per line, the summary last', async (t) => {
  const ran = await audit(t, wrong, '--json');
  assert.equal(ran.code, 3);
  const lines = ran.stdout
    .trimEnd()
    .split('\n')
    .map((line) => z.looseObject({ type: z.string() }).parse(JSON.parse(line)));
  const summary = lines.at(-1) ?? { type: 'none' };
  const checks = lines.filter(({ type }) => type === 'check');
  const discrepancies = lines.filter(({ type }) => type === 'discrepancy');
  assert.equal(lines.length, checks.length + discrepancies.length + 1);
  assert.deepEqual(
    discrepancies.find(({ check }) => check === 'conservation.balances'),
    {
      type: 'discrepancy',
      check: 'conservation.balances',
      ledger: 'main',
      account: null,
      currency: 'USD',
      transfer: null,
      journal: null,
      what: 'sum of all balances',
      expected: '0',
      found: '1',
    },
  );
  assert.deepEqual(
    checks.find(({ check }) => check === 'conservation.balances'),
    { type: 'check', check: 'conservation.balances', rows: 7, discrepancies: 1, skipped: false },
  );
  const { audited_at: at, ...rest } = { audited_at: null, ...summary };
  assert.match(String(at), /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
  assert.deepEqual(rest, {
    type: 'summary',
    ok: false,
    ledger: null,
    journal_number: JOURNAL_ROWS,
    journal_hash: hash,
    since: null,
    checks: checks.length,
    discrepancies: discrepancies.length,
    journals: [
      { ledger: 'main', journal_number: JOURNAL_ROWS, journal_hash: hash, discrepancies: discrepancies.length },
    ],
  });
});

test('audit: --expect compares a journal row with a recorded hash', async (t) => {
  const [good, asPrinted, bad, beyond] = await Promise.all([
    audit(t, whole, `--expect=${JOURNAL_ROWS}:${hash}`),
    audit(t, whole, '--expect', `${JOURNAL_ROWS}:sha256:${hash.toUpperCase()}`),
    audit(t, whole, `--expect=${JOURNAL_ROWS - 1}:${hash}`),
    audit(t, whole, `--expect=${JOURNAL_ROWS + 1}:${hash}`),
  ]);
  for (const ran of [good, asPrinted]) {
    assert.equal(ran.code, 0, ran.stderr);
    assert.match(ran.stdout, /^journal\.expected +1 +0$/m);
  }
  assert.equal(bad.code, 3);
  assert.match(
    bad.stdout,
    new RegExp(`^journal\\.expected: journal 20: hash written down: expected ${hash}, found [0-9a-f]{64}$`, 'm'),
  );
  assert.equal(beyond.code, 3);
  assert.match(
    beyond.stdout,
    /^journal\.expected: journal 22: hash written down: expected [0-9a-f]{64}, found no row$/m,
  );
});

test('audit: --since audits the rows after a journal row, and marks the skipped checks', async (t) => {
  const [later, all, tooLate, before9, after9] = await Promise.all([
    audit(t, whole, '--since=15', `--expect=${JOURNAL_ROWS}:${hash}`),
    audit(t, whole, '--since=0'),
    audit(t, whole, '--since=22'),
    audit(t, wrong, '--since=8'),
    audit(t, wrong, '--since=9', '--json'),
  ]);
  assert.equal(later.code, 0, later.stdout);
  assert.match(verdictOf(later), /^journal 21 sha256:[0-9a-f]{64} verified at \S+, from journal 15 on$/);
  assert.match(later.stdout, /^once\.keys +skipped$/m);
  assert.equal(all.code, 0, all.stdout);
  assert.equal(tooLate.code, 3);
  assert.match(
    tooLate.stdout,
    /^journal\.chain: journal 22: row after which this audit begins: expected a row, found none$/m,
  );
  assert.match(before9.stdout, /^journal\.chain: journal 9: digest/m);
  assert.ok(!after9.stdout.includes('"journal":9,'), 'Earlier rows are not audited again.');
  assert.match(after9.stdout, /"check":"conservation.balances"[^\n]*"discrepancies":1/);
});

test('audit: names each ledger, and one summary verifies all of them later', async (t) => {
  const database = await makeLedger(t);
  const client = await database.connect();
  await writeLedger(client, SHOP);
  const folder = await makeFolder(t);
  const file = join(folder, 'verified.json');
  const [text, json, shop] = await Promise.all([
    audit(t, database),
    audit(t, database, '--json'),
    audit(t, database, '--ledger=shop'),
  ]);
  assert.equal(text.code, 0, text.stdout);
  assert.match(
    text.stdout,
    /^ledger main, journal 21 sha256:[0-9a-f]{64} verified at \S+\nledger shop, journal 21 sha256:[0-9a-f]{64} verified at \S+\n$/m,
  );
  const own = /^ledger shop, journal 21 sha256:([0-9a-f]{64}) verified at \S+$/.exec(verdictOf(shop))?.[1] ?? '';
  assert.match(shop.stdout, /^accepted\.kept +26 +0$/m);
  assert.match(shop.stdout, /^ledgers\.rows +skipped$/m);
  assert.ok(text.stdout.includes(own));
  await writeFile(file, verdictOf(json));

  // The other ledger is rewritten as a whole, in such a way that it fits to itself.
  await rewriteShop(client);
  const [blind, saved, named, main, other] = await Promise.all([
    audit(t, database),
    audit(t, database, `--expect=@${file}`),
    audit(t, database, '--ledger=shop', `--expect=${JOURNAL_ROWS}:${own}`),
    audit(t, database, '--ledger=main', `--expect=@${file}`),
    audit(t, database, `--expect=shop:${JOURNAL_ROWS}:${own},${JOURNAL_ROWS}:${hash}`),
  ]);
  assert.equal(blind.code, 0, blind.stdout);
  for (const ran of [saved, named, other]) {
    assert.equal(ran.code, 3, ran.stdout);
    assert.match(ran.stdout, /^journal\.expected: ledger shop, journal 21: hash written down: expected/m);
    assert.match(verdictOf(ran), /^ledger shop, journal 21 sha256:[0-9a-f]{64} NOT verified at \S+: 1 discrepancy$/);
  }
  assert.match(saved.stdout, /^ledger main, journal 21 sha256:[0-9a-f]{64} verified at/m);
  assert.equal(main.code, 0, main.stdout);
  assert.match(verdictOf(main), /^journal 21 sha256:[0-9a-f]{64} verified at \S+$/);
});

test('audit: --since applies to main unless --ledger names another ledger', async (t) => {
  const database = await makeLedger(t);
  await writeLedger(await database.connect(), SHOP);
  const [main, shop] = await Promise.all([
    audit(t, database, '--since=15'),
    audit(t, database, '--since=15', '--ledger=shop'),
  ]);
  assert.match(verdictOf(main), /^journal 21 sha256:[0-9a-f]{64} verified at \S+, from journal 15 on$/);
  assert.match(verdictOf(shop), /^ledger shop, journal 21 sha256:[0-9a-f]{64} verified at \S+, from journal 15 on$/);
});

test('audit: an unknown ledger exits with 2, and the existing ones are listed', async (t) => {
  const database = await makeLedger(t);
  const [few, many] = [await audit(t, database, '--ledger=shop'), await withLedgers()];
  assert.deepEqual(few, { code: 2, stdout: '', stderr: 'There is no ledger "shop"; the ledgers are main.\n' });
  assert.equal(
    many.stderr,
    'There is no ledger "shop"; the ledgers are l02, l03, l04, l05, l06, l07, l08, l09, l10, l11 and others.\n',
  );

  async function withLedgers(): Promise<Ran> {
    await database.query(
      `insert into ledgers (id, name) select id, 'l' || lpad(id::text, 2, '0') from generate_series(2, 15) as id`,
    );
    return await audit(t, database, '--ledger=shop');
  }
});

test('audit: wrong options exit with 2', async (t) => {
  const wrongly: { options: string[]; sentence: RegExp }[] = [
    { options: ['--sicne=1'], sentence: /^There is no option --sicne; see --help\.\n$/ },
    { options: ['everything'], sentence: /^"everything" is not an argument of this command/ },
    {
      options: ['--since=-1'],
      sentence: /^The option --since is wrong: it must be the number of a row of the journal\.\n$/,
    },
    { options: ['--since=1e3'], sentence: /^The option --since is wrong/ },
    {
      options: ['--expect=20'],
      sentence: /^The option --expect is wrong: it must be the number of a row, a colon and 64/,
    },
    {
      options: ['--ledger=Shop'],
      sentence: /^The option --ledger is wrong: it must be the name of a ledger, such as main\.\n$/,
    },
    {
      options: [`--expect=shop:20:${'0'.repeat(64)}`, '--ledger=main'],
      sentence: /^The option --expect is wrong: only the ledger main is audited\.\n$/,
    },
    { options: ['--expect=@/nowhere'], sentence: /^The option --expect is wrong: \/nowhere cannot be read/ },
    {
      options: ['--expect=@/etc/hostname'],
      sentence: /^The option --expect is wrong: \/etc\/hostname does not end with the summary of an audit/,
    },
    { options: ['--limit=many'], sentence: /^The option --limit is wrong: it must be a whole number/ },
    {
      options: ['--since=20', `--expect=19:${'0'.repeat(64)}`],
      sentence: /^The option --expect is wrong: its row must not come before that of --since\.\n$/,
    },
  ];
  await Promise.all(
    wrongly.map(async ({ options, sentence }) => {
      const { code, stdout, stderr } = await audit(t, whole, ...options);
      assert.match(stderr, sentence);
      assert.deepEqual({ code, stdout }, { code: 2, stdout: '' }, options.join(' '));
    }),
  );
});

test('audit: an unreachable database exits with 4, and one without a ledger with 1', async (t) => {
  const [away, bare] = await Promise.all([
    audit(t, { url: 'postgresql://test@127.0.0.1:1/nothing' }),
    audit(t, { url: renderDatabaseUrl({ ...whole.admin, database: 'postgres' }) }),
  ]);
  assert.equal(away.code, 4, away.stderr);
  assert.equal(bare.code, 1, bare.stderr);
  assert.match(bare.stderr, /^The database has no ledger: start the service once/);
});

test('audit: --metrics-file has the result for Prometheus, and keeps the time of the last success', async (t) => {
  const folder = await makeFolder(t);
  const file = join(folder, 'textfile/gopherpay_audit.prom');
  assert.equal((await audit(t, whole, `--metrics-file=${file}`)).code, 0);
  const succeeded = await readFile(file, 'utf8');
  const valueOf = (text: string, name: string): number | undefined =>
    Number(new RegExp(`^gopherpay_audit_${name}\\{ledger="main"\\} (\\S+)$`, 'm').exec(text)?.[1]);
  assert.equal(valueOf(succeeded, 'discrepancies'), 0);
  assert.equal(valueOf(succeeded, 'journal_number'), JOURNAL_ROWS);
  assert.equal((await stat(file)).mode & 0o777, 0o644, 'The collector runs as another user.');

  assert.equal((await audit(t, wrong, `--metrics-file=${file}`)).code, 3);
  const failed = await readFile(file, 'utf8');
  assert.ok(Number(valueOf(failed, 'discrepancies')) > 0);
  const success = 'last_success_timestamp_seconds';
  assert.equal(valueOf(failed, success), valueOf(succeeded, success));
  assert.ok(Number(valueOf(failed, 'last_run_timestamp_seconds')) > Number(valueOf(failed, success)));

  await audit(t, { url: 'postgres://gopherpay@127.0.0.1:1/nothing' }, `--metrics-file=${file}`);
  assert.equal(await readFile(file, 'utf8'), failed, 'An audit that cannot run changes nothing.');
});

test('audit: metrics of many ledgers have a bounded number of series', () => {
  const journals = Array.from({ length: 250 }, (_, index) => {
    const discrepancies = index === 200 ? 3 : 0;
    return { ledger: `ledger-${String(index).padStart(3, '0')}`, number: '7', hash: null, discrepancies };
  });
  const verdict = { journals, at: '', discrepancies: 4 };
  const text = renderAuditMetrics(verdict, { former: '', durationMs: 1500, now: 1000 });
  const found = [...text.matchAll(/^gopherpay_audit_discrepancies\{ledger="(.*)"\} (\d+)$/gm)];
  assert.equal(found.length, 101);
  // One concerns no ledger, and so all.
  assert.deepEqual(found.at(0)?.slice(1), ['ledger-000', '1']);
  assert.deepEqual(found.at(-1)?.slice(1), ['_other', '4']);
  assert.doesNotMatch(text, /last_success.*\{/);
});
