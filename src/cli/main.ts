#!/usr/bin/env node
// The command line: finds the command, runs it, and turns what it throws into a sentence and an exit code.
import { type ArgsDef, type CommandDef, defineCommand, renderUsage, runCommand } from 'citty';
import { toError } from '../db/errors.ts';
import { CommandError, EXIT } from './command.ts';
import { report } from './report.ts';
import { serve } from './serve.ts';

const gopherpay = defineCommand({
  meta: { name: 'gopherpay', version: '0.1.0', description: 'A payment and wallet service on PostgreSQL.' },
  subCommands: { serve, report },
});

const commands = new Map([
  ['serve', runnable(serve)],
  ['report', runnable(report)],
]);

/** A command without the types of its options, which only the command itself needs. */
function runnable<Args extends ArgsDef>(command: CommandDef<Args>) {
  return {
    run: async (rawArgs: string[]) => void (await runCommand(command, { rawArgs })),
    usage: async () => await renderUsage(command, { meta: { name: 'gopherpay' } }),
  };
}

async function main(words: readonly string[]): Promise<number> {
  const [name, ...rest] = words;
  if (name === '--version') {
    process.stdout.write('0.1.0\n');
    return EXIT.ok;
  }
  const command = commands.get(name ?? '');
  if (words.includes('--help') || words.includes('-h')) {
    process.stdout.write(`${command ? await command.usage() : await renderUsage(gopherpay)}\n`);
    return EXIT.ok;
  }
  if (!command) {
    const complaint = name === undefined ? 'A command is missing.' : `There is no command "${name}".`;
    process.stderr.write(`${complaint}\n${await renderUsage(gopherpay)}\n`);
    return EXIT.wrongUsage;
  }
  await command.run(rest);
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
