#!/usr/bin/env node
// The command line: finds the command, runs it, and turns what it throws into a sentence and an exit code.
import { defineCommand, renderUsage, runCommand } from 'citty';
import { toError } from '../db/errors.ts';
import { CommandError, EXIT } from './command.ts';
import { report } from './report.ts';
import { serve } from './serve.ts';

const commands = { serve, report };

const gopherpay = defineCommand({
  meta: { name: 'gopherpay', version: '0.1.0', description: 'A payment and wallet service on PostgreSQL.' },
  subCommands: commands,
});

async function main(words: readonly string[]): Promise<number> {
  const [name, ...rest] = words;
  if (name === '--version') {
    process.stdout.write('0.1.0\n');
    return EXIT.ok;
  }
  const command = Object.entries(commands).find(([key]) => key === name)?.[1];
  const wantsHelp = words.includes('--help') || words.includes('-h');
  if (!command || wantsHelp) {
    const usage = command ? await renderUsage(command, gopherpay) : await renderUsage(gopherpay);
    if (wantsHelp || name === undefined) {
      process.stdout.write(`${usage}\n`);
      return wantsHelp ? EXIT.ok : EXIT.wrongUsage;
    }
    process.stderr.write(`There is no command "${name}".\n${usage}\n`);
    return EXIT.wrongUsage;
  }
  await runCommand(command, { rawArgs: rest });
  return EXIT.ok;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (thrown) {
  const error = toError(thrown);
  process.stderr.write(`${error.message}\n`);
  process.exitCode = error instanceof CommandError ? error.exitCode : exitCodeOf(error);
}

function exitCodeOf(error: Error): number {
  // citty's own complaints: a missing or a malformed option.
  if (error.name === 'CLIError') return EXIT.wrongUsage;
  const code = 'code' in error ? String(error.code) : '';
  return /^(ECONN|ENOTFOUND|ETIMEDOUT|EHOSTUNREACH|08|28|3D|57P)/.test(code) ? EXIT.outOfReach : EXIT.failed;
}
