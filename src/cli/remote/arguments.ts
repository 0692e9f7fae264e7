// The description of an operation of the API as a command, and its arguments.
import type { ArgsDef } from 'citty';
import { z } from 'zod';
import { mustBe } from '../../validation.ts';
import { CommandError, EXIT, parseArguments, toKebab } from '../command.ts';
import type { Call } from './connection.ts';
import { CONNECTION_ARGUMENTS, CONNECTION_OPTIONS } from './options.ts';
import type { Columns, Item } from './table.ts';

/** An option. It is a query parameter of a GET, and a member of any other body, of the same name with underscores. */
export type Option = {
  readonly description: string;
  readonly hint?: string;
  readonly schema?: z.ZodType;
  readonly choices?: readonly string[];
  readonly kind?: 'flag' | 'money';
  readonly required?: true;
};

/** What a command is about, as its first word: `accounts show ACC1001`. The option of the same name is accepted too. */
export type Subject = {
  readonly name: string;
  readonly schema: z.ZodType<string>;
  readonly description: string;
  /** The member of the body that it is; without one it is a part of the path. */
  readonly member?: string;
  readonly optional?: true;
};

export type Operation = {
  readonly summary: string;
  readonly method: Call['method'];
  /** `subject`: encoded for a path. */
  readonly path: (subject: string) => string;
  /** The path is of no ledger. */
  readonly global?: true;
  readonly subject?: Subject;
  readonly options?: Readonly<Record<string, Option>>;
  /** Members of every request. */
  readonly body?: Item;
  /** It makes a transfer: it has --wait and --dry-run. */
  readonly settles?: true;
  /** It reads a list, which is shown with these columns. */
  readonly list?: Columns;
  /** Where the currency is read that amounts are in, if --currency does not name it. */
  readonly currencyAt?: (subject: string) => string;
  /** The sentence after success, for an answer without a body. */
  readonly done?: (subject: string) => string;
};

const LIMIT_DEFAULT = 50;
const WAIT_DEFAULT = 10;

const whole = (min: number, max: number) =>
  z
    .string()
    .refine((text) => /^\d{1,9}$/.test(text) && Number(text) >= min && Number(text) <= max, {
      error: mustBe(`a whole number from ${min} to ${max}`),
    })
    .transform(Number);

const money = z
  .string({ error: mustBe('an amount: 2500 in minor units, or 25.00 with the decimals of the currency') })
  .regex(/^\d{1,16}(\.\d{1,4})?$/);

/** Options that have a meaning for this command line, and those of the connection. */
const OPTIONS = {
  ...CONNECTION_OPTIONS,
  json: z.boolean().default(false),
  limit: whole(1, 1_000_000).default(LIMIT_DEFAULT),
  after: z.string().min(1).optional(),
  wait: whole(0, 600).default(WAIT_DEFAULT),
  'dry-run': z.boolean().default(false),
  'idempotency-key': z
    .string({ error: mustBe('1 to 255 visible ASCII characters') })
    .regex(/^[\x21-\x7e]{1,255}$/)
    .optional(),
};

/** The values of the command line. `subject`: empty if there is none. `values`: of the options of the operation. */
export type Parsed = {
  readonly subject: string;
  readonly values: Readonly<Record<string, unknown>>;
  readonly options: z.output<z.ZodObject<typeof OPTIONS>>;
};

/** The arguments of the command, for citty. */
export function argumentsOf({ method, subject, options = {}, settles, list, global }: Operation): ArgsDef {
  const args: ArgsDef = {};
  // Not required for citty, which would refuse `--account=ACC1001` in place of the word.
  if (subject) args[subject.name] = { type: 'positional', required: false, description: describe(subject) };
  for (const [name, { description, hint, choices, kind, required }] of Object.entries(options)) {
    if (kind === 'flag') args[name] = { type: 'boolean', description };
    else {
      const valueHint = hint ?? choices?.join('|') ?? (kind === 'money' ? '2500|25.00' : undefined);
      args[name] = {
        type: 'string',
        description,
        ...(required ? { required } : {}),
        ...(valueHint === undefined ? {} : { valueHint }),
        ...(choices === undefined ? {} : { options: [...choices] }),
      };
    }
  }
  if (list) {
    args['limit'] = { type: 'string', description: `How many at most (${LIMIT_DEFAULT})` };
    args['after'] = { type: 'string', description: 'Continue where an earlier list ended' };
  }
  if (settles) {
    args['wait'] = { type: 'string', description: `How many seconds to wait for the outcome (${WAIT_DEFAULT})` };
    args['dry-run'] = { type: 'boolean', description: 'Show what would happen, and change nothing' };
  }
  if (method === 'POST') {
    args['idempotency-key'] = { type: 'string', description: 'Repeat an earlier request that had this key' };
  }
  const { ledger, ...connection } = CONNECTION_ARGUMENTS;
  const json = { type: 'boolean', description: list ? 'One JSON object a line' : 'The answer as JSON' } as const;
  return { ...args, json, ...(global ? connection : { ...connection, ledger }) };
}

function describe({ description, optional }: Subject): string {
  return optional ? description : `${description} (Required)`;
}

/** Parses the command line strictly. `args`: as citty has read it. */
export function parseOperation(
  operation: Operation,
  args: Readonly<Record<string, unknown>>,
  rawArgs: readonly string[],
): Parsed {
  refuseRepeated(rawArgs);
  const { subject, rest } = takeSubject(operation.subject, args, rawArgs);
  const { options: own = {} } = operation;
  const isOwn = ([name]: [string, unknown]) => Object.hasOwn(own, name) || Object.hasOwn(own, toKebab(name));
  const [ours, others] = [rest.filter(isOwn), rest.filter((entry) => !isOwn(entry))];
  const known = argumentsOf(operation);
  const unknown = others.find(([name]) => name !== '_' && !Object.hasOwn(known, toKebab(name)));
  if (unknown) throw new CommandError(EXIT.wrongUsage, `There is no option --${unknown[0]}; see --help.`);
  const shape = Object.fromEntries(Object.entries(own).map(([name, option]) => [name, schemaOf(option)]));
  const options = parseArguments(OPTIONS, Object.fromEntries(others));
  return { subject, values: parseArguments(shape, Object.fromEntries(ours)), options };
}

function schemaOf({ kind, choices, schema = z.string().min(1), required }: Option): z.ZodType {
  if (kind === 'flag') return z.boolean().optional();
  const one = kind === 'money' ? money : choices ? z.enum(choices) : schema;
  return required ? one : one.optional();
}

/** An option that comes twice would lose its first value. */
function refuseRepeated(rawArgs: readonly string[]): void {
  const names = rawArgs.flatMap((word) => /^--[^=]+/.exec(word) ?? []);
  const repeated = names.find((name, index) => names.indexOf(name) !== index);
  if (repeated !== undefined) throw new CommandError(EXIT.wrongUsage, `The option ${repeated} is given twice.`);
}

/** Takes the subject out of the arguments: the first word, or the option of its name. */
function takeSubject(
  about: Subject | undefined,
  { _: words, ...args }: Readonly<Record<string, unknown>>,
  rawArgs: readonly string[],
): { subject: string; rest: [string, unknown][] } {
  const all: unknown[] = Array.isArray(words) ? words : [];
  if (!about) return { subject: '', rest: Object.entries({ ...args, _: all }) };
  const { name, schema, optional } = about;
  // citty drops an option that has the name of a word.
  const flag = `--${name}=`;
  const named = rawArgs.find((word) => word.startsWith(flag))?.slice(flag.length);
  const [word] = all;
  if (named !== undefined && word !== undefined) {
    throw new CommandError(EXIT.wrongUsage, `Give the ${name} as a word or with --${name}, not both.`);
  }
  const rest = Object.entries({ ...args, _: all.slice(1) }).filter(([option]) => option !== name);
  const text = named ?? word;
  if (text === undefined) {
    if (optional) return { subject: '', rest };
    throw new CommandError(EXIT.wrongUsage, `The ${name} is missing; see --help.`);
  }
  const parsed = schema.safeParse(text);
  if (parsed.success) return { subject: parsed.data, rest };
  throw new CommandError(EXIT.wrongUsage, `The ${name} is wrong: it ${parsed.error.issues[0]?.message}.`);
}
