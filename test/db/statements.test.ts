// Goal: the SQL of the service can be read as sent, and a change of it is visible. Frequent statements find their rows
// by keys. Method: the statements are recorded while the functions of src/db run on a filled ledger, and compared with
// test/db/statements/. To write the files again: node --test --test-update-snapshots
// --test-global-setup=test/support/global-setup.ts test/db/statements.test.ts
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test, type TestContext } from 'node:test';
import { escapeLiteral } from 'pg';
import { z } from 'zod';
import { auditBooks } from '../../src/db/audit/audit.ts';
import type { Connection } from '../../src/db/connection/connect.ts';
import { createDatabase } from '../support/database.ts';
import { fillLedger } from './filled-ledger.ts';
import { open, record, recordAll } from './record-statements.ts';
import type { Sender, Sent } from './sent-statements.ts';

const FOLDER = join(import.meta.dirname, 'statements');
/** The maximum of rows that a statement reads of a table by key: at least one page, and at most a few. */
const ROWS_MAX = 300;
/** A process has one row of each. */
const FEW_ROWS = new Set(['leases', 'heartbeats']);

let recorded: ReadonlyMap<Sender, readonly Sent[]>;
/** Those that have another form on Citus. */
let distributed: readonly Sent[];

before(async (scope) => {
  const database = await createDatabase(scope);
  await fillLedger(database);
  recorded = await recordAll(scope, database);
  const other = await createDatabase(scope);
  await fillLedger(other);
  const known = new Set([...recorded.values()].flat().map(({ text }) => text));
  const all = [...(await recordAll(scope, other, { distributed: true })).values()].flat();
  distributed = all.filter(({ text }) => !known.has(text));
});

test('statements: each is sent as recorded in its file', (t) => {
  compareFiles(t, '', textsOf([...recorded.values()].flat()));
  compareFiles(t, 'distributed', textsOf(distributed));
});

function textsOf(statements: readonly Sent[]): Map<string, string> {
  const texts = new Map<string, string>();
  for (const { name, text, named } of statements) {
    const known = texts.get(name);
    if (named && known !== undefined) assert.equal(format(text), known, `Two statements are called ${name}.`);
    else texts.set(name, known === undefined ? format(text) : `${known};\n\n${format(text)}`);
  }
  return texts;
}

test('statements: every named statement is recorded', () => {
  const names = new Set([...[...recorded.values()].flat(), ...distributed].map(({ name }) => name));
  const sources = globSync('src/db/{connection,ledger,queries}/*.ts', { cwd: join(import.meta.dirname, '../..') });
  const declared = sources.flatMap((path) => {
    const text = readFileSync(join(import.meta.dirname, '../..', path), 'utf8');
    return [...text.matchAll(/\bname: '([a-z ]+)',\s*text|lockingStatement\(\s*'([a-z ]+)'/g)].map(
      ([, name, locking]) => name ?? locking ?? '',
    );
  });
  assert.ok(declared.length > 20);
  assert.deepEqual(
    declared.filter((name) => !names.has(name)),
    [],
  );
});

test('statements: each audit check is sent as recorded in its file', async (t) => {
  const database = await createDatabase(t);
  const connection = await open(t, database, {});
  const checks = new Map<string, string>();
  const scopes = [
    { scope: 'all ledgers', options: { ledger: null, since: null } },
    { scope: 'one ledger, after a row of its journal', options: { ledger: 1, since: 7n } },
  ];
  for (const { scope, options } of scopes) {
    let check = 'preparation';
    const recording = record(connection, (text) => {
      const header = `-- ${scope}\n`;
      const known = checks.get(check);
      const before = known === undefined ? '' : `${known};\n\n`;
      checks.set(check, `${before}${before.includes(header) ? '' : header}${format(text)}`);
    });
    await connection.query('begin isolation level repeatable read, read only');
    for await (const event of auditBooks(recording, { ...options, expect: [], discrepanciesMax: 1 })) {
      if (event.type === 'started') ({ check } = event);
    }
    await connection.query('rollback');
  }
  compareFiles(t, 'audit', checks);
});

for (const analyzed of [false, true]) {
  const statistics = analyzed ? 'with statistics' : 'without statistics, as far as sessions look up by key';
  test(`statements: each finds its rows by their keys, ${statistics}`, async (t) => {
    const database = await createDatabase(t);
    await fillLedger(database);
    if (analyzed) await database.query('vacuum analyze');
    const sessions = {
      keyed: await open(t, database, { keyed: true }),
      free: await open(t, database, {}),
    };
    await sessions.free.query('set plan_cache_mode = force_generic_plan');
    for (const [sender, statements] of recorded) {
      if (!analyzed && !sender.keyed) continue;
      const session = sender.keyed ? sessions.keyed : sessions.free;
      const indexes = new Set<string>();
      for (const sent of statements) {
        const plan = await readPlan(session, sent);
        const flaws = listScans(plan).flatMap((scan) => findFlaws(scan, sender));
        assert.deepEqual(flaws, [], sent.name);
        for (const name of indexesOf(plan)) indexes.add(name);
      }
      if (sender.uses !== undefined) assert.ok(indexes.has(sender.uses), `${sender.what}: ${[...indexes].join()}`);
    }
  });
}

test('statements: the search for due holds does not read those of other ledgers for each test clock', async (t) => {
  const database = await createDatabase(t);
  const [LEDGERS, HOLDS] = [100, 5000];
  await database.query(
    `with made as (
       insert into ledgers (id, name, clock_start)
       select 1 + n, 'test-' || n, '2100-01-01' from generate_series(1, ${LEDGERS}) as n
       returning id, clock_start
     )
     insert into journal_head (ledger_id, opened_at, clock) select id, clock_start, clock_start from made`,
  );
  await database.query(
    `insert into holds (ledger_id, id, amount, created_at, expires_at, from_account, to_account, currency)
     select 1, gen_random_uuid(), 1, now(), now() + interval '30 days', 'ANN', 'BOB', 'USD' from generate_series(1, ${HOLDS})`,
  );
  await database.query('vacuum analyze');
  const [search] = [...recorded].find(([{ what }]) => what === 'expiries')?.[1] ?? [];
  assert.ok(search);
  const scans = listScans(await readPlan(await open(t, database, {}), search));
  const read = scans.flatMap(({ table, rows }) => (table === 'holds' ? [rows] : []));
  assert.ok(Math.max(...read) < 2 * HOLDS, `${read.join()} holds are read`);
});

test('statements: a sequential scan is found', async (t) => {
  const database = await createDatabase(t);
  await fillLedger(database);
  const cases = [
    { keyed: false, column: 'amount', flaw: 'transfers is read whole' },
    { keyed: true, column: 'ledger_id', flaw: '20000 rows of transfers are read' },
  ];
  for (const { keyed, column, flaw } of cases) {
    const session = await open(t, database, { keyed });
    const sent = {
      name: 'whole',
      text: `select from transfers where ${column} = $1::bigint`,
      values: [1],
      named: true,
    };
    const flaws = listScans(await readPlan(session, sent)).flatMap((scan) => findFlaws(scan));
    assert.deepEqual(flaws, [flaw]);
  }
});

/** The text without the indentation that it has in its source. */
function format(text: string): string {
  const lines = text.replace(/^\n/, '').trimEnd().split('\n');
  const indents = lines.slice(1).flatMap((line) => (line.trim() === '' ? [] : line.search(/\S/)));
  const indent = Math.min(...indents, lines[0]?.startsWith(' ') ? lines[0].search(/\S/) : Infinity);
  return lines
    .map((line, index) => (index === 0 ? line.trimStart() : line.slice(indent)).trimEnd())
    .filter((line) => line !== '')
    .join('\n');
}

/** Compares texts with the files of a folder, by their names. */
function compareFiles(t: TestContext, folder: string, texts: ReadonlyMap<string, string>): void {
  const files = new Map([...texts].map(([name, text]) => [`${name.replaceAll(' ', '-')}.sql`, `${text}\n`]));
  for (const [file, text] of files) {
    t.assert.fileSnapshot(text, join(FOLDER, folder, file), { serializers: [String] });
  }
  const found = globSync('*.sql', { cwd: join(FOLDER, folder) });
  assert.deepEqual(found.sort(), [...files.keys()].sort(), 'A file is of no statement: delete it.');
}

const planSchema = z.object({
  'Node Type': z.string(),
  'Relation Name': z.string().optional(),
  'Index Name': z.string().optional(),
  'Actual Rows': z.number(),
  'Actual Loops': z.number(),
  'Rows Removed by Filter': z.number().optional(),
  'Rows Removed by Index Recheck': z.number().optional(),
  get Plans() {
    return z.array(planSchema).optional();
  },
});
type Plan = z.infer<typeof planSchema>;
const explained = z.object({ 'QUERY PLAN': z.tuple([z.object({ Plan: planSchema })]) });

type Scan = { readonly table: string; readonly kind: string; readonly rows: number };

/** Runs a statement, rolls it back, and returns its plan. */
async function readPlan(session: Connection, { text, values, named }: Sent): Promise<Plan> {
  const explain = 'explain (analyze, timing off, summary off, format json)';
  await session.query('begin');
  try {
    const literals = values.length === 0 ? '' : `(${values.map(renderLiteral).join(', ')})`;
    if (named) await session.query(`prepare sent as ${text}`);
    const result = named
      ? await session.query(`${explain} execute sent${literals}`)
      : await session.query(`${explain} ${text}`, [...values]);
    return explained.parse(result.rows[0])['QUERY PLAN'][0].Plan;
  } finally {
    await session.query('rollback');
    await session.query('deallocate all');
  }
}

function indexesOf({ 'Index Name': name, Plans: plans = [] }: Plan): string[] {
  return [...(name === undefined ? [] : [name]), ...plans.flatMap(indexesOf)];
}

/** How a plan found the rows of each table. */
function listScans(plan: Plan): Scan[] {
  const { 'Node Type': kind, 'Relation Name': table } = plan;
  const below = (plan.Plans ?? []).flatMap(listScans);
  if (table === undefined || !kind.endsWith('Scan')) return below;
  const rows =
    plan['Actual Loops'] *
    (plan['Actual Rows'] + (plan['Rows Removed by Filter'] ?? 0) + (plan['Rows Removed by Index Recheck'] ?? 0));
  return [{ table, kind, rows: Math.round(rows) }, ...below];
}

function findFlaws({ table, kind, rows }: Scan, { readsWhole = {} }: Pick<Sender, 'readsWhole'> = {}): string[] {
  if (FEW_ROWS.has(table) || table in readsWhole) return [];
  if (kind === 'Seq Scan') return [`${table} is read whole`];
  return rows > ROWS_MAX ? [`${rows} rows of ${table} are read`] : [];
}

function renderLiteral(value: unknown): string {
  if (value === null || value === undefined) return 'null';
  if (Array.isArray(value)) {
    const elements = value.map((element: unknown) => (element === null ? 'NULL' : JSON.stringify(renderText(element))));
    return escapeLiteral(`{${elements.join()}}`);
  }
  return escapeLiteral(renderText(value));
}

function renderText(value: unknown): string {
  return Buffer.isBuffer(value) ? `\\x${value.toString('hex')}` : String(value);
}
