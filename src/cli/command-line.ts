// The command line, started by main.js: finds the command, runs it, and turns an error into a sentence and an exit code.
// oxlint-disable-next-line import/no-unassigned-import -- it ends the process on an older Node
import './require-node.js';
import { stripVTControlCharacters } from 'node:util';
import { type CommandDef, renderUsage, runCommand } from 'citty';
import { LogDestination } from '../log-destination.ts';
import { VERSION } from '../version.ts';
import { EXIT, SIGNALLED } from './command.ts';
import { gopherpay } from './commands.ts';
import { exitOf } from './exit.ts';
import { writeStandardOutput } from './file.ts';
import { printable } from './printable.ts';
import { resolve } from './resolve.ts';

/** Of texts in the help that are wrapped; a narrower terminal wraps them earlier. */
const HELP_WIDTH = 100;

async function main(words: readonly string[]): Promise<number> {
  const [name] = words;
  if (name === '--version') {
    await writeStandardOutput([`${VERSION}\n`]);
    return EXIT.ok;
  }
  const { command, parent, rest } = await findCommand(words);
  // The words after -- are those of a line to complete.
  const dashes = words.indexOf('--');
  const ownWords = dashes === -1 ? words : words.slice(0, dashes);
  if (ownWords.includes('--help') || ownWords.includes('-h')) {
    const usage = command ? await renderUsage(command, parent) : await renderUsage(parent);
    await writeStandardOutput([forStream(process.stdout, `${usage}${command ? appendixOf(command) : ''}`)]);
    return EXIT.ok;
  }
  if (!command) {
    const [missing] = rest;
    const complaint = missing === undefined ? 'A command is missing.' : `There is no command "${missing}".`;
    process.stderr.write(forStream(process.stderr, `${complaint}\n${await renderUsage(parent)}`));
    return EXIT.wrongUsage;
  }
  // Its subcommands are found above; citty would take the value of `--duration 1` for the name of one.
  await runCommand({ ...command, subCommands: {} }, { rawArgs: [...rest] });
  return EXIT.ok;
}

/** What a command adds to its usage. */
function appendixOf(command: CommandDef): string {
  if (!('appendix' in command) || typeof command.appendix !== 'function') return '';
  return `\n${String(command.appendix(Math.min(process.stdout.columns ?? HELP_WIDTH, HELP_WIDTH)))}`;
}

type Found = {
  /** Undefined: the first word of `rest` names no command. */
  readonly command: CommandDef | undefined;
  readonly parent: CommandDef;
  /** The words after the command. */
  readonly rest: readonly string[];
};

/** The command that the first word names, or the first two words, such as `keys create`. */
async function findCommand(words: readonly string[], parent: CommandDef = gopherpay): Promise<Found> {
  const [name = '', ...rest] = words;
  const commands = (await resolve(parent.subCommands)) ?? {};
  const command = Object.hasOwn(commands, name) ? await resolve(commands[name]) : undefined;
  if (command?.subCommands === undefined) return { command, parent, rest: command ? rest : words };
  // A command of its own that has subcommands too: `load`, and `load compare`.
  const subCommands = (await resolve(command.subCommands)) ?? {};
  if (command.run && !Object.hasOwn(subCommands, rest[0] ?? '')) return { command, parent, rest };
  // citty shows the name of the parent before that of the command.
  const meta = await resolve(command.meta);
  const named = { ...command, meta: { ...meta, name: `${(await resolve(parent.meta))?.name} ${name}` } };
  return await findCommand(rest, named);
}

/** citty colors its usage for every reader; here only terminals get colors. It fills its lines with spaces. */
function forStream(stream: NodeJS.WriteStream, text: string): string {
  return `${(stream.isTTY ? text : stripVTControlCharacters(text)).replaceAll(/ +$/gm, '')}\n`;
}

// A report of Node, such as of a crash, would have the environment, and with it the password of the database.
process.report.excludeEnv = true;
// Each write reports a lost reader to its own caller. Without a listener, Node would end the process with a stack trace. A failed
// write to standard error does not fail the command.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  const { exitCode, sentence } = exitOf(error);
  if (sentence !== '') {
    // Not process.stderr.write: unread text would keep the process alive if the reader stalls.
    const output = new LogDestination(2, () => {});
    // It may quote a file or the database.
    output.write(`${sentence.split('\n').map(printable).join('\n')}\n`);
    await output.flush(1000);
  }
  process.exitCode = exitCode;
  // Unread text in standard output would keep the process alive.
  if (exitCode > SIGNALLED) process.exit();
}
