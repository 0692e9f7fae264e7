// gopherpay complete: what a shell gets for the words of a line.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { MAIN, startProgram } from '../support/service.ts';

const CASES: { words: string[]; expected: string[] }[] = [
  { words: ['acc'], expected: ['accounts'] },
  { words: ['accounts', ''], expected: ['list', 'show', 'open', 'update', 'freeze', 'thaw', 'close', 'entries'] },
  { words: ['transfers', 'cr'], expected: ['create'] },
  { words: ['transfers', 'create', '--from'], expected: ['--from-account'] },
  { words: ['accounts', 'list', '--status=fr'], expected: ['--status=frozen'] },
  { words: ['accounts', 'list', '--status', 'fr'], expected: ['frozen'] },
  { words: ['report', '--acc'], expected: ['--account'] },
  { words: ['keys', 'r'], expected: ['rotate', 'revoke'] },
  { words: ['accounts', 'list', '--help'], expected: [] },
];

test('complete: commands, options and values are completed', async (t) => {
  for (const { words, expected } of CASES) {
    const program = await startProgram(t, { args: ['complete', '--', ...words] });
    assert.deepEqual(await program.exited, { code: 0, signal: null }, program.output());
    const lines = program.stdout().trimEnd().split('\n');
    assert.equal(lines.pop(), ':4', 'No files.');
    assert.deepEqual(
      lines.map((line) => line.split('\t')[0]),
      expected,
      words.join(' '),
    );
  }
});

test('complete: the script of bash completes a line', async () => {
  const { stdout: script } = await promisify(execFile)(process.execPath, [MAIN, 'complete', 'bash']);
  // The package bash-completion has this function.
  const line = `_get_comp_words_by_ref() { words=(gopherpay accounts list --status=cl); cword=3; cur=--status=cl; prev=list; }
    compopt() { :; }
    __gopherpay_complete
    printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { stdout } = await promisify(execFile)('bash', ['-c', `${script}\n${line}`]);
  assert.equal(stdout, '--status=closed\n');
});

test('complete: each shell has a script, and another word exits with 2', async (t) => {
  for (const shell of ['bash', 'zsh', 'fish', 'powershell']) {
    const program = await startProgram(t, { args: ['complete', shell] });
    assert.deepEqual(await program.exited, { code: 0, signal: null });
    assert.match(program.stdout(), /gopherpay/);
  }
  const other = await startProgram(t, { args: ['complete', 'tcsh'] });
  assert.deepEqual(await other.exited, { code: 2, signal: null });
  assert.equal(other.output(), 'Name a shell: gopherpay complete bash|zsh|fish|powershell.\n');
});
