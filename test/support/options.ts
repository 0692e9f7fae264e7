// How the programs beside the command line (chaos, fuzzer) read their options: --help, and a sentence for each error.
import { CommandError, EXIT } from '../../src/cli/command.ts';

/**
 * What `parse` makes of the command line. With --help the process ends with `usage`; if `parse` throws because of an
 * option, it ends with a sentence and exit code 2.
 */
export function readOptions<Options>(usage: string, parse: () => Options): Options {
  if (process.argv.includes('--help')) {
    process.stdout.write(`${usage}\n`);
    process.exit(EXIT.ok);
  }
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof CommandError) && !isFromParseArgs(error)) throw error;
    process.stderr.write(`${error.message}\n\n${usage}\n`);
    process.exit(EXIT.wrongUsage);
  }
}

/** A whole number from `min` to `max`. Throws a sentence that names the option. */
export function wholeNumber(name: string, text: string, { min, max }: { min: number; max: number }): number {
  const number = Number(text);
  if (/^\d+$/.test(text) && number >= min && number <= max) return number;
  throw new CommandError(
    EXIT.wrongUsage,
    `The option --${name} is "${text}": give a whole number from ${min} to ${max}.`,
  );
}

function isFromParseArgs(error: unknown): error is Error {
  return error instanceof Error && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS');
}
