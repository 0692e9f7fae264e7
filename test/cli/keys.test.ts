// gopherpay keys, approval-rule and audit-log: what operators see, and what their mistakes are answered with.
import assert from 'node:assert/strict';
import { before, test, type TestContext } from 'node:test';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { checkPromises } from '../support/promises/check.ts';
import { startProgram } from '../support/service.ts';

let database: TestDatabase;

before(async (t) => {
  database = await createDatabase(t);
});

async function run(t: TestContext, ...args: string[]) {
  const program = await startProgram(t, { database, args });
  const { code } = await program.exited;
  const stdout = program.stdout();
  return { code, stdout, output: program.output() };
}

test('keys: a secret is printed once, to standard output alone, and is not stored', async (t) => {
  const made = await run(t, 'keys', 'create', '--name=shop', '--scopes=transfers:write,transfers:read', '--expires=2h');
  assert.equal(made.code, 0, made.output);
  const [, id = '', secret = ''] = /^gp_([a-z0-9]{12})_([\w-]{43})\n$/.exec(made.stdout) ?? [];
  const tables = await database.query<{ name: string }>(
    `select relname as name from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'`,
  );
  for (const { name } of tables) {
    const rows = await database.query<{ row: string }>(`select t::text as row from ${name} as t`);
    assert.ok(
      rows.every(({ row }) => !row.includes(secret)),
      name,
    );
  }
  const listed = await run(t, 'keys', 'list', '--json');
  assert.equal(listed.stdout.split('\n').length, 2);
  const shown: Record<string, unknown> = JSON.parse(listed.stdout);
  assert.deepEqual(
    [shown['id'], shown['name'], shown['ledger'], shown['state'], shown['scopes']],
    [id, 'shop', 'main', 'active', ['transfers:write', 'transfers:read']],
  );
  assert.ok(!listed.output.includes(secret));
  const [kept] = await database.query<{ hours: number }>(
    `select round(extract(epoch from expires_at - created_at) / 3600)::integer as hours from api_keys`,
  );
  assert.equal(kept?.hours, 2);
  assert.equal((await run(t, 'keys', 'revoke', `--id=${id}`)).code, 0);
  const again = await run(t, 'keys', 'revoke', `--id=${id}`);
  assert.equal(again.code, 1);
  assert.match(again.output, /^The key \w+ is revoked\.$/m);
  const rotated = await run(t, 'keys', 'rotate', `--id=${id}`);
  assert.equal(rotated.code, 1);
  assert.match(rotated.output, /^The key \w+ is revoked\.$/m);
});

test('keys: every change is in the audit log and in the journal of its ledger', async (t) => {
  assert.equal((await run(t, 'approval-rule', '--above=1000')).code, 0);
  const log = await run(t, 'audit-log', '--json');
  assert.equal(log.code, 0, log.output);
  const entries: Record<string, unknown>[] = log.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.deepEqual(
    entries.map(({ action }) => action),
    ['ledger.approval_rule', 'key.revoked', 'key.created'],
  );
  assert.ok(entries.every(({ actor, journal_number }) => String(actor).startsWith('cli:') && journal_number !== null));
  const audit = await run(t, 'audit');
  assert.equal(audit.code, 0, audit.output);
  await checkPromises(database);
});

test('keys: wrong options end with a sentence that says what is right', async (t) => {
  const cases: [RegExp, ...string[]][] = [
    [/^A command is missing\.$/m, 'keys'],
    [/^There is no command "make"\.$/m, 'keys', 'make'],
    [
      /^The option --scopes is wrong: it names no scope "money"; the scopes are accounts:read, /m,
      'keys',
      'create',
      '--name=a',
      '--scopes=money',
    ],
    [
      /^The option --expires is wrong: it must be a duration such as 90d or 12h, or never\.$/m,
      'keys',
      'create',
      '--name=a',
      '--scopes=all',
      '--expires=soon',
    ],
    [
      /^There is no ledger "nosuch"; the ledgers are main\.$/m,
      'keys',
      'create',
      '--name=a',
      '--scopes=all',
      '--ledger=nosuch',
    ],
    [
      /^Choose --ledger or --all-ledgers, not both\.$/m,
      'keys',
      'create',
      '--name=a',
      '--scopes=all',
      '--ledger=main',
      '--all-ledgers',
    ],
    [
      /^The option --amount-max is wrong: it must be a whole amount in minor units\.$/m,
      'keys',
      'create',
      '--name=a',
      '--scopes=all',
      '--amount-max',
    ],
    [/^The option --above is wrong/m, 'approval-rule', '--above=-1'],
  ];
  for (const [sentence, ...args] of cases) {
    const { code, output, stdout } = await run(t, ...args);
    assert.equal(code, 2, `${args.join(' ')}: ${output}`);
    assert.match(output, sentence, args.join(' '));
    assert.equal(stdout, '');
  }
});

test('keys: a role that does not own the tables gets the name of the setting of the owner', async (t) => {
  const program = await startProgram(t, {
    args: ['keys', 'create', '--name=a', '--scopes=all'],
    env: { DATABASE_URL: database.url },
  });
  assert.equal((await program.exited).code, 1);
  assert.match(program.output(), /^Only the owner of the tables may do this: set DATABASE_OWNER_URL /m);
});
