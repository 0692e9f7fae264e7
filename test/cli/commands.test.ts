// Goal: every command lets its caller choose the ledger. Method: the definitions of all commands.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CommandDef } from 'citty';
import { gopherpay } from '../../src/cli/commands.ts';
import { resolve } from '../../src/cli/resolve.ts';

/** Commands that concern no ledger, or all of them, or one that something else names. */
const WITHOUT_LEDGER = [
  ['serve', 'migrate', 'doctor', 'status', 'complete'],
  ['backup', 'restore'],
  // Their files name it.
  ['verify', 'import', 'load compare'],
  // The id of a key names it.
  ['keys rotate', 'keys revoke'],
  // The first argument names it.
  ['ledgers create', 'ledgers advance', 'ledgers list'],
].flat();

/** All commands that can be run, with their names. */
async function listCommands(
  parent: CommandDef = gopherpay,
  words: readonly string[] = [],
): Promise<[string, CommandDef][]> {
  const found: [string, CommandDef][] = parent.run ? [[words.join(' '), parent]] : [];
  for (const [name, lazy] of Object.entries((await resolve(parent.subCommands)) ?? {})) {
    found.push(...(await listCommands(await resolve(lazy), [...words, name])));
  }
  return found;
}

test('--ledger: every command has it, except those that concern no single ledger', async () => {
  const without: string[] = [];
  const commands = await listCommands();
  for (const [name, { args }] of commands)
    if (!Object.hasOwn((await resolve(args)) ?? {}, 'ledger')) without.push(name);
  assert.deepEqual(without.toSorted(), WITHOUT_LEDGER.toSorted());
  assert.ok(commands.length > 2 * without.length);
});
