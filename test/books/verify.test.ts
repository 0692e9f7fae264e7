// gopherpay verify: what is tampered with is found, whatever member of whatever line it is; a hostile file is refused.
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { FORMS, parseLine } from '../../src/books/form.ts';
import { Findings } from '../../src/books/findings.ts';
import { IdSet } from '../../src/books/id-set.ts';
import { AtomicGroups } from '../../src/books/transfers.ts';
import { readAgain } from '../../src/books/second-reading.ts';
import { ROW_RECORDS_MAX, Verification } from '../../src/books/verify.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { JOURNAL_ROWS, writeLedger } from '../support/sample-ledgers.ts';
import { makeFolder, startProgram } from '../support/service.ts';
import { linesOf, resealed, run, verifyFiles, verifyText } from './books.ts';

let database: TestDatabase;
let folder: string;
let file: string;
/** The lines of a whole export. */
let lines: string[];
/** Two files that continue each other. */
let parts: [string, string];

before(async (scope) => {
  database = await createDatabase(scope);
  await writeLedger(await database.connect());
  folder = await makeFolder(scope);
  file = join(folder, 'main.ndjson');
  parts = [join(folder, 'first.ndjson'), join(folder, 'second.ndjson.gz')];
  const exports = [
    [`--output=${file}`],
    [`--output=${parts[0]}`, '--until=12'],
    [`--output=${parts[1]}`, '--since=12'],
  ];
  for (const options of exports) {
    const program = await startProgram(scope, { database, args: ['export', ...options] });
    assert.equal((await program.exited).code, 0, program.output());
  }
  lines = linesOf(await readFile(file, 'utf8'));
});

/** Members that no hash of the journal covers, and no record implies: only the SHA-256 of the trailer protects them. */
const UNCOVERED = new Set([
  'header.ledger_id',
  'header.ledger_created_at',
  'header.clock_start',
  'header.approval_above',
  'header.closed_until',
  'header.made_at',
  'header.software',
  'journal.intake_count',
  ...Object.keys(FORMS.key).map((name) => `key.${name}`),
]);

type Mutation = { readonly what: string; readonly index: number; readonly line: string };

/** Every member of every kind of line, changed to another value that the form allows, removed, or added. */
function listMutations(): Mutation[] {
  const mutations = new Map<string, Mutation>();
  for (const [index, line] of lines.entries()) {
    const { type, ...values } = parseLine(line);
    const given: Record<string, unknown> = values;
    for (const [name, member] of Object.entries(FORMS[type])) {
      const others = [...otherValues(given[name]), ...(member.optional ? [undefined, ...SAMPLES] : [])];
      for (const other of others.filter((value) => value !== given[name])) {
        if (other === undefined ? !member.optional : !member.accepts(other)) continue;
        const changed = { ...given, [name]: other };
        const ordered = Object.keys(FORMS[type]).map((each) => [each, changed[each]]);
        const kind = given[name] === undefined ? 'added' : other === undefined ? 'removed' : 'changed';
        const what = `${type}.${name} ${kind}`;
        const mutated = JSON.stringify({ type, ...Object.fromEntries(ordered) });
        if (!mutations.has(what)) mutations.set(what, { what, index, line: mutated });
      }
    }
  }
  return [...mutations.values()];
}

const SAMPLES: readonly unknown[] = [
  7,
  true,
  'XTS',
  'EUR/USD 1.5',
  '0199a0c4-3333-7000-8000-000000000001',
  'ab'.repeat(32),
  'frozen',
];

function otherValues(value: unknown): unknown[] {
  switch (typeof value) {
    case 'number':
      return [value + 1, value - 1];
    case 'boolean':
      return [!value];
    case 'string':
      return [
        value.replace(/\d(?=\D*$)/, (digit) => String((Number(digit) + 1) % 10)),
        `${value}x`,
        value.replace(/[A-Z]$/, 'X'),
        'cd'.repeat(32),
        'failed',
        'completed',
        'hold',
        'transfer',
        'capture',
        'frozen',
        'shop',
      ];
    default:
      return Array.isArray(value) ? [[...value, 'XTS']] : [];
  }
}

function mutate({ index, line }: Mutation): string[] {
  return lines.with(index, line);
}

test('verify: a sound file has no discrepancy', async () => {
  const { end, discrepancies } = await verifyFiles([file]);
  assert.deepEqual(discrepancies, []);
  assert.equal(end?.number, JOURNAL_ROWS);
});

test('verify: every member of every kind of line is changed, removed or added, and that is found', async (t) => {
  const mutations = listMutations();
  const mutated = new Set(mutations.map(({ what }) => what.split(' ')[0]));
  const members = Object.entries(FORMS).flatMap(([type, names]) => Object.keys(names).map((name) => `${type}.${name}`));
  // They have one value that the form allows.
  const constants = ['header.format', 'header.version'];
  assert.deepEqual(members.filter((member) => !mutated.has(member)).toSorted(), constants);
  for (const mutation of mutations) {
    const { discrepancies } = await verifyText(t, `${mutate(mutation).join('\n')}\n`);
    assert.notDeepEqual(discrepancies, [], mutation.what);
  }
});

test('verify: with a new SHA-256 in the trailer, all is found but the members that no hash covers', async (t) => {
  const unnoticed = new Set<string>();
  for (const mutation of listMutations()) {
    if (mutation.what.startsWith('trailer.sha256')) continue;
    const { discrepancies } = await verifyText(t, resealed(mutate(mutation)));
    if (discrepancies.length === 0) unnoticed.add(mutation.what.split(' ')[0] ?? '');
  }
  const unexpected = [...unnoticed].filter((member) => !UNCOVERED.has(member));
  assert.deepEqual(unexpected, []);
});

test('verify: a line that is missing, doubled or moved is found, also with a new SHA-256', async (t) => {
  for (const [index, line] of lines.entries()) {
    const next = lines[index + 1];
    const variants = [lines.toSpliced(index, 1), lines.toSpliced(index, 0, line)];
    if (next !== undefined) variants.push(lines.with(index, next).with(index + 1, line));
    for (const variant of variants) {
      const { discrepancies } = await verifyText(t, resealed(variant));
      const isKeyMoved = line.startsWith('{"type":"key"') && next?.startsWith('{"type":"key"');
      const isAccountMoved = line.startsWith('{"type":"account"') && next?.startsWith('{"type":"account"');
      // The order of keys and of accounts has no meaning.
      if (variant.length === lines.length && (isKeyMoved || isAccountMoved)) continue;
      assert.notDeepEqual(discrepancies, [], line);
    }
  }
});

test('verify: a file that is cut off anywhere is refused', async (t) => {
  const text = await readFile(file);
  for (let length = 0; length < text.length; length += 997) {
    const { discrepancies } = await verifyText(t, text.subarray(0, length));
    assert.equal(discrepancies[0]?.check, 'file.form', String(length));
  }
  const { discrepancies } = await verifyText(t, gzipSync(text).subarray(0, -100), 'books.ndjson.gz');
  assert.match(discrepancies[0]?.found ?? '', /decompressed|cut off/);
});

test('verify: files that continue each other are one; others do not join', async () => {
  const { end, discrepancies } = await verifyFiles(parts);
  assert.deepEqual([end?.since, end?.number, discrepancies], [0, JOURNAL_ROWS, []]);
  const alone = await verifyFiles([parts[1]]);
  assert.deepEqual([alone.end?.since, alone.discrepancies], [12, []]);
  const wrong = [
    [parts[1], parts[0]],
    [parts[0], parts[0]],
    [file, parts[1]],
    [parts[0], file],
  ];
  for (const files of wrong) {
    const found = await verifyFiles(files);
    assert.ok(found.discrepancies.some(({ check }) => check === 'file.order'));
  }
});

test('verify: a hash that was written down is compared', async () => {
  const row = parseLine(lines.find((line) => line.startsWith('{"type":"journal","number":9,')) ?? '');
  assert.equal(row.type, 'journal');
  const expected = { ledger: 'main', number: 9n, hash: row.hash };
  assert.deepEqual((await verifyFiles([file], { expect: [expected] })).discrepancies, []);
  const wrong = [
    { ...expected, hash: 'ab'.repeat(32) },
    { ...expected, number: 10n },
    { ...expected, number: 99n },
  ];
  for (const expect of wrong) {
    const [discrepancy] = (await verifyFiles([file], { expect: [expect] })).discrepancies;
    assert.equal(discrepancy?.check, 'journal.expected');
  }
});

/** In place of the tenth line. */
const HOSTILE: Record<string, string | Buffer> = {
  'an empty line': '',
  'no JSON': '{"type":',
  'an array': '[]',
  null: 'null',
  NaN: '{"type":"key","key":NaN}',
  'an unknown type': '{"type":"balance"}',
  'the type of a member of objects': '{"type":"__proto__"}',
  'no type': '{"key":"a"}',
  spaces: '{"type": "key"}',
  'deep nesting': `${'{"type":'.repeat(100_000)}1${'}'.repeat(100_000)}`,
  'a line of 100 MB': Buffer.alloc(100_000_000, 'a'),
  'no UTF-8': Buffer.from([0x22, 0xff, 0xfe, 0x22]),
  'a byte order mark': '\ufeff{}',
  'a second trailer': '{"type":"trailer"}',
};

/** Changes to one transfer. */
const REWRITTEN: Record<string, (line: string) => string> = {
  'a huge integer': (line) => line.replace(/"amount":\d+/, '"amount":90071992547409930'),
  'a fraction': (line) => line.replace(/"amount":(\d+)/, '"amount":$1.0'),
  'an exponent': (line) => line.replace(/"amount":\d+/, '"amount":1e3'),
  'a negative amount': (line) => line.replace('"amount":', '"amount":-'),
  'an amount in quotes': (line) => line.replace(/"amount":(\d+)/, '"amount":"$1"'),
  'a duplicate member': (line) => line.replace('"amount":', '"amount":1,"amount":'),
  'an unknown member': (line) => line.replace('"amount":', '"fee":1,"amount":'),
  'a member out of order': (line) => line.replace('"type":"transfer",', '').replace(/\}$/, ',"type":"transfer"}'),
  'a needless escape': (line) => line.replace('"USD"', String.raw`"\u0055SD"`),
  'a separator of fields': (line) => line.replace('"currency"', String.raw`"failure_code":"a\u001fb","currency"`),
  'a lone surrogate': (line) => line.replace('"kind"', String.raw`"rate":"\ud800","kind"`),
};

test('verify: a hostile line is refused', async (t) => {
  for (const [what, line] of Object.entries(HOSTILE)) {
    const head = Buffer.from(
      lines
        .slice(0, 9)
        .map((each) => `${each}\n`)
        .join(''),
    );
    const tail = Buffer.from(`\n${lines.slice(10).join('\n')}\n`);
    const text = Buffer.concat([head, Buffer.from(line), tail]);
    for (const [bytes, name] of [
      [text, 'a.ndjson'],
      [gzipSync(text), 'a.ndjson.gz'],
    ] as const) {
      const { discrepancies } = await verifyText(t, bytes, name);
      assert.equal(discrepancies.at(-1)?.check, 'file.form', what);
    }
  }
  const index = lines.findIndex((line) => line.startsWith('{"type":"transfer"'));
  for (const [what, rewrite] of Object.entries(REWRITTEN)) {
    const before = lines[index] ?? '';
    assert.notEqual(rewrite(before), before);
    const { discrepancies } = await verifyText(t, resealed(lines.with(index, rewrite(before))));
    assert.equal(discrepancies[0]?.check, 'file.form', what);
    assert.equal(discrepancies[0]?.line, index + 1, what);
  }
});

test('verify: a small file that decompresses to gigabytes is refused at its first long line', async (t) => {
  const bomb = gzipSync(Buffer.alloc(300_000_000));
  assert.ok(bomb.length < 1_000_000);
  const { discrepancies } = await verifyText(t, bomb, 'bomb.gz');
  assert.match(discrepancies[0]?.found ?? '', /longer than/);
});

test('verify: the ids of many transfers are compared in parts', () => {
  const ids = Array.from(
    { length: 5000 },
    (_, index) => `0199a0c4-0000-7000-8000-${index.toString(16).padStart(12, '0')}`,
  );
  const set = new IdSet(ids.length, 1024);
  assert.ok(set.parts > 1);
  let [added, known] = [0, 0];
  for (let part = 0; part < set.parts; part += 1) {
    set.begin(part);
    for (const id of ids) if (set.add(id) === 'new') added += 1;
    for (const id of ids) if (set.add(id) === 'known') known += 1;
  }
  assert.deepEqual([added, known], [ids.length, ids.length]);
});

test('verify: the command reports like the audit, needs no database, and exits with 0, 2 or 3', async (t) => {
  const nowhere = { url: 'postgresql://test@127.0.0.1:1/nothing' };
  const sound = await run(t, nowhere, ['verify', file, '--json']);
  const summary = JSON.parse(linesOf(sound.stdout).at(-1) ?? '');
  assert.deepEqual([sound.code, summary.ok, summary.journal_number], [0, true, JOURNAL_ROWS]);
  const saved = join(folder, 'summary.json');
  await writeFile(saved, sound.stdout);
  assert.equal((await run(t, database, ['audit', `--expect=@${saved}`])).code, 0);
  const foreign = await run(t, nowhere, ['verify', file, `--expect=shop:9:${'ab'.repeat(32)}`]);
  assert.deepEqual([foreign.code, foreign.stdout], [2, '']);
  const wrong = join(folder, 'wrong.ndjson');
  await writeFile(wrong, resealed(lines.map((line) => line.replace('"amount":250,', '"amount":251,'))));
  const found = await run(t, nowhere, ['verify', wrong]);
  assert.equal(found.code, 3);
  assert.match(
    found.stdout,
    /journal\.transfers: .*wrong\.ndjson line \d+, journal 9: digest: expected [0-9a-f]{64}, found/,
  );
  assert.match(found.stdout, /NOT verified: \d+ discrepancies/);
  assert.match(found.stderr, /^The books are not whole: \d+ discrepancies\./);
  assert.equal((await run(t, nowhere, ['verify'])).code, 2);
  assert.equal((await run(t, nowhere, ['verify', join(folder, 'none')])).code, 2);
  assert.equal((await run(t, nowhere, ['verify', file, '--expekt=1'])).code, 2);
});

test('verify: an atomic group may be larger than the arguments of a call', () => {
  const line = parseLine(lines.find((each) => each.includes('"group_id"')) ?? '');
  assert.ok(line.type === 'transfer');
  const groups = new AtomicGroups();
  for (let position = 0; position < 200_000; position += 1) {
    groups.add({ ...line, status: 'completed', atomic: true, group_position: position });
  }
  const findings = new Findings(1, () => {});
  groups.endRow(findings);
  assert.equal(findings.total, 0);
});

test('verify: what reversals undo is compared in as many readings as memory demands, with the same findings', async (t) => {
  const sample = parseLine(lines.find((each) => each.includes('"kind":"transfer"')) ?? '');
  assert.ok(sample.type === 'transfer');
  const id = (number: number): string => `0199a0c4-0000-7000-8000-${String(number).padStart(12, '0')}`;
  const transfer = (number: number, amount: number) =>
    ({ ...sample, id: id(number), from_account: 'A', to_account: 'B', amount, status: 'completed' }) as const;
  const undo = (number: number, parent: number, amount: number) =>
    ({
      ...transfer(number, amount),
      from_account: 'B',
      to_account: 'A',
      kind: 'reversal',
      parent_id: id(parent),
    }) as const;
  const records = [
    transfer(1, 100),
    transfer(2, 100),
    undo(3, 1, 60),
    undo(4, 2, 100),
    undo(5, 1, 41),
    undo(6, 99, 1),
    undo(7, 8, 1),
    transfer(8, 100),
    { ...undo(9, 2, 1), status: 'failed' },
    { ...undo(10, 8, 1), to_account: 'C' },
    undo(11, 3, 1),
    transfer(1, 100),
  ];
  const texts = records.map((record) => {
    const { type, ...members } = record;
    const values: Record<string, unknown> = members;
    return JSON.stringify({
      type,
      ...Object.fromEntries(Object.keys(FORMS[type]).map((name) => [name, values[name]])),
    });
  });
  const path = join(await makeFolder(t), 'reversals.ndjson');
  await writeFile(path, texts.map((text) => `${text}\n`).join(''));
  const read = async (max: number) => {
    const found: string[] = [];
    const findings = new Findings(100, ({ check, transfer: about, line, what }) =>
      found.push(`${check} ${about?.slice(-2)} line ${line}: ${what}`),
    );
    const reversed = [1, 2, 1, 99, 8, 8, 3].slice(0, max).map(id);
    const first = { files: [path], transfers: records.length, reversals: 7, reversed, whole: true };
    for await (const _ of readAgain(first, findings, t.signal, max));
    return { found: found.toSorted(), checks: findings.results() };
  };
  const whole = await read(100);
  assert.deepEqual(whole.found, [
    'once.settled 01 line 12: times that it is there',
    'reversals.amounts 05 line 5: sum of the reversals',
    'transfers.parents 06 line 6: what it reverses',
    'transfers.parents 07 line 7: place',
    'transfers.parents 10 line 10: accounts',
    'transfers.parents 11 line 11: accounts',
    'transfers.parents 11 line 11: original',
  ]);
  for (const max of [1, 2, 3]) assert.deepEqual(await read(max), whole);
});

test('verify: of reversals, only a bounded number is kept', async () => {
  const verification = new Verification(new Findings(1, () => {}), [], 2);
  for await (const _ of verification.verifyFile(file, new AbortController().signal));
  assert.equal(verification.reversed.length, 2);
  assert.ok((verification.end()?.reversals ?? 0) > 2);
});

test('verify: a row of the journal has a bounded number of records', async (t) => {
  const [header = ''] = lines;
  const record = lines.find((each) => each.includes('"type":"change"')) ?? '';
  const path = join(await makeFolder(t), 'long.ndjson');
  await writeFile(path, `${header}\n${`${record}\n`.repeat(ROW_RECORDS_MAX + 2)}`);
  let taken = 0;
  const findings = new Findings(1, ({ found }) => assert.match(found, /one record too many/));
  const verification = new Verification(findings, [], 0);
  // The changes have other numbers than they should, which is not what this is about.
  findings.equal = () => {};
  for await (const _ of verification.verifyFile(path, t.signal, ({ type }) => (taken += Number(type === 'change'))));
  assert.equal(taken, ROW_RECORDS_MAX);
});
