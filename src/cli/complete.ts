// gopherpay complete: completion of commands, options and values in a shell. The shell runs `gopherpay complete -- words` at each
// request.
import { type ArgsDef, type CommandDef, defineCommand } from 'citty';
import { RootCommand, script } from '@bomb.sh/tab';
import { CommandError, EXIT } from './command.ts';
import { resolve } from './resolve.ts';

const SHELLS = ['bash', 'zsh', 'fish', 'powershell'];
/** What the script of the shell reads at the end: that files are no completions. */
const NO_FILES = ':4';

/** `gopherpay`: the command line to complete. */
export function defineComplete(gopherpay: CommandDef): CommandDef {
  const args: ArgsDef = { shell: { type: 'positional', required: false, description: SHELLS.join(', ') } };
  return defineCommand({
    meta: { name: 'complete', description: 'Print the script that completes commands and options in a shell.' },
    args,
    async run({ rawArgs: [first = '', ...words] }) {
      if (first === '--') {
        await complete(gopherpay, words);
        return;
      }
      if (!SHELLS.includes(first) || words.length > 0) {
        throw new CommandError(EXIT.wrongUsage, `Name a shell: gopherpay complete ${SHELLS.join('|')}.`);
      }
      script(first, 'gopherpay', [process.execPath, process.argv[1] ?? ''].map(quote).join(' '));
    },
  });
}

/** The shell evaluates it within double quotes, in which single quotes are kept. */
function quote(path: string): string {
  return /^[\w./:\\-]+$/.test(path) ? path : `'${path}'`;
}

/** Prints the completions of the last word. */
async function complete(gopherpay: CommandDef, words: readonly string[]): Promise<void> {
  const root = new RootCommand();
  const commands = new Map<string, ArgsDef>();
  await describe(gopherpay, '');
  const [, name = '', start = ''] = /^--([\w-]+)=(.*)$/.exec(words.at(-1) ?? '') ?? [];
  if (name === '') {
    root.parse([...words]);
    return;
  }
  // The package prints the values alone, which no shell recognizes behind `--status=`.
  const path = words.slice(0, -1).filter((word) => !word.startsWith('-'));
  const args = commands.get(path.slice(0, 2).join(' ')) ?? commands.get(path[0] ?? '');
  const values = choicesOf(args?.[name]).filter((value) => value.startsWith(start));
  process.stdout.write([...values.map((value) => `--${name}=${value}\t`), NO_FILES, ''].join('\n'));

  async function describe(command: CommandDef, path: string): Promise<void> {
    const args = (await resolve(command.args)) ?? {};
    const meta = await resolve(command.meta);
    const described = path === '' ? root : root.command(path, meta?.description ?? '');
    commands.set(path, args);
    for (const [name, arg] of Object.entries(args)) {
      if (arg.type === 'positional') continue;
      const offer = choicesOf(arg);
      // Without a function, the package takes an option for one without a value.
      if (arg.type === 'boolean') described.option(name, arg.description ?? '');
      else described.option(name, arg.description ?? '', (add) => offer.forEach((value) => add(value, '')));
    }
    for (const [name, sub] of Object.entries((await resolve(command.subCommands)) ?? {})) {
      await describe(await resolve(sub), path === '' ? name : `${path} ${name}`);
    }
  }
}

function choicesOf(arg: ArgsDef[string] | undefined): readonly string[] {
  return arg !== undefined && 'options' in arg && Array.isArray(arg.options) ? arg.options.map(String) : [];
}
