// The command line as a whole: its arguments and its exit codes.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { delimiter } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { z } from 'zod';
import { exitOf } from '../../src/cli/exit.ts';
import { startProgram } from '../support/service.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const { version } = z
  .object({ version: z.string() })
  .parse(JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8')));

test('cli: help and version go to standard output, without colors if it is not a terminal', async (t) => {
  const show = async (...args: string[]): Promise<string> => {
    const program = await startProgram(t, { args });
    assert.deepEqual(await program.exited, { code: 0, signal: null });
    assert.equal(program.output(), program.stdout(), 'Nothing goes to standard error.');
    assert.ok(!program.output().includes('\u001b'), program.output());
    return program.stdout();
  };
  const [help, short, ofReport] = await Promise.all([show('--help'), show('-h'), show('report', '--help')]);
  assert.match(help, /^A payment and wallet service.*\n[^]*\bserve\b[^]*\breport\b/);
  assert.equal(short, help);
  for (const option of ['account', 'user', 'output', 'since', 'until', 'status', 'currency']) {
    assert.match(ofReport, new RegExp(`--${option}=`));
  }
  assert.equal(await show('--version'), `${version}\n`);
});

test('cli: a missing or unknown command shows the usage and exits with 2', async (t) => {
  const [missing, unknown] = await Promise.all([
    startProgram(t, { args: [] }),
    startProgram(t, { args: ['sevre', '--user=ACC1001'] }),
  ]);
  for (const program of [missing, unknown]) {
    assert.deepEqual(await program.exited, { code: 2, signal: null });
    assert.equal(program.stdout(), '');
    assert.match(
      program.output(),
      /USAGE gopherpay serve\|migrate\|report\|statement\|audit\|checkpoint\|[a-z|-]*load\|complete\n/,
    );
    assert.ok(!program.output().includes('\u001b'), program.output());
  }
  assert.match(missing.output(), /^A command is missing\.\n/);
  assert.match(unknown.output(), /^There is no command "sevre"\.\n/);
});

test('cli: npx runs the command of the package, with the pinned Node', async () => {
  // As in a user's shell: npm test adds the packages' programs to the path, and a shell does not.
  const path = (process.env['PATH'] ?? '').split(delimiter).filter((folder) => !folder.includes('node_modules'));
  const { stdout } = await promisify(execFile)('npx', ['--no', '--', 'gopherpay', '--version'], {
    cwd: ROOT,
    env: { ...process.env, PATH: path.join(delimiter) },
  });
  assert.equal(stdout, `${version}\n`);
});

test('cli: an option with a dash has one alias, and another misspelling exits with 2', async (t) => {
  const [misspelled, alias] = await Promise.all([
    startProgram(t, { args: ['load', '--Rate=1', '--yes', '--url=http://127.0.0.1:1'] }),
    startProgram(t, { args: ['load', '--maxFailed=1', '--yes', '--url=http://127.0.0.1:1'] }),
  ]);
  assert.deepEqual(await misspelled.exited, { code: 2, signal: null });
  assert.equal(misspelled.output(), 'There is no option --Rate; see --help.\n');
  // The service is out of reach.
  assert.deepEqual(await alias.exited, { code: 4, signal: null }, alias.output());
});

const failures: { what: string; error: unknown; exitCode: number; sentence: RegExp }[] = [
  {
    what: 'every address of a host refuses',
    error: Object.assign(
      new AggregateError([
        new Error('connect ECONNREFUSED ::1:5432'),
        new Error('connect ECONNREFUSED 127.0.0.1:5432'),
      ]),
      { code: 'ECONNREFUSED' },
    ),
    exitCode: 4,
    sentence:
      /^The database is out of reach \(connect ECONNREFUSED ::1:5432, connect ECONNREFUSED 127\.0\.0\.1:5432\): /,
  },
  {
    what: 'connecting takes too long',
    error: new Error('timeout expired'),
    exitCode: 4,
    sentence: /\(timeout expired\)/,
  },
  {
    what: 'the server disappears',
    error: new Error('Connection terminated unexpectedly'),
    exitCode: 4,
    sentence: /^The database is out of reach/,
  },
  {
    what: 'the server is gone when a statement is sent',
    error: Object.assign(new Error('write EPIPE'), { code: 'EPIPE', syscall: 'write' }),
    exitCode: 4,
    sentence: /^The database is out of reach \(write EPIPE\): /,
  },
  {
    what: 'the server refuses the password',
    error: serverError('28P01', 'password authentication failed for user "ada"'),
    exitCode: 4,
    sentence: /^The database is out of reach \(password authentication failed for user "ada"\): /,
  },
  {
    what: 'a statement is refused',
    error: serverError('23505', 'duplicate key'),
    exitCode: 1,
    sentence: /^duplicate key$/,
  },
  {
    what: 'the disk is full',
    error: Object.assign(new Error('ENOSPC: write'), { code: 'ENOSPC' }),
    exitCode: 1,
    sentence: /^ENOSPC: write$/,
  },
  { what: 'no error is thrown', error: 'a text', exitCode: 1, sentence: /^a text$/ },
];

for (const { what, error, exitCode, sentence } of failures) {
  test(`cli: exits with ${exitCode} when ${what}`, () => {
    const exit = exitOf(error);
    assert.equal(exit.exitCode, exitCode);
    assert.match(exit.sentence, sentence);
  });
}

function serverError(code: string, message: string): Error {
  return Object.assign(new Error(message), { code, severity: 'ERROR' });
}
