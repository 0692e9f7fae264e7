// The options that all commands have that call a running service: where it is, which ledger, and which key.
import { z } from 'zod';
import { readClientEnvironment } from '../../config.ts';
import { isLedgerName, MAIN_LEDGER } from '../../domain/ledger.ts';
import { mustBe } from '../../validation.ts';
import { CommandError, EXIT, ledgerName } from '../command.ts';
import { checkKey, readKey } from '../key-file.ts';
import type { Service } from './connection.ts';

const DEFAULT_URL = 'http://127.0.0.1:8080';

const URL_ERROR = 'an http or https URL such as http://127.0.0.1:8080, without a user, a query or a fragment';
const url = z.string({ error: mustBe(URL_ERROR) }).refine(isServiceUrl, { error: mustBe(URL_ERROR) });

/** For parseArguments. */
export const CONNECTION_OPTIONS = {
  url: url.optional(),
  ledger: ledgerName.optional(),
  'key-file': z.string().optional(),
  key: z.string().optional(),
};

/** For citty. */
export const CONNECTION_ARGUMENTS = {
  url: { type: 'string', description: `The service (GOPHERPAY_URL, or ${DEFAULT_URL})`, valueHint: 'URL' },
  ledger: { type: 'string', description: 'The ledger (GOPHERPAY_LEDGER, or main)', valueHint: 'main' },
  'key-file': {
    type: 'string',
    description: 'A file with the key to use (or GOPHERPAY_KEY, the key itself)',
    valueHint: 'FILE',
  },
  key: {
    type: 'string',
    description: 'The key to use; other users of this machine can see it: prefer --key-file',
    valueHint: 'gp_…',
  },
} as const;

type Options = Partial<z.output<z.ZodObject<typeof CONNECTION_OPTIONS>>>;

/** The service that the options name, or else the environment. */
export async function serviceOf(options: Options): Promise<Service> {
  const environment = readClientEnvironment();
  if (environment.url !== undefined && !isServiceUrl(environment.url)) {
    throw new CommandError(EXIT.wrongUsage, `GOPHERPAY_URL is wrong: it must be ${URL_ERROR}.`);
  }
  if (environment.ledger !== undefined && !isLedgerName(environment.ledger)) {
    throw new CommandError(
      EXIT.wrongUsage,
      'GOPHERPAY_LEDGER is wrong: it must be the name of a ledger, such as main.',
    );
  }
  return {
    url: (options.url ?? environment.url ?? DEFAULT_URL).replace(/\/+$/, ''),
    ledger: options.ledger ?? environment.ledger ?? MAIN_LEDGER.name,
    ...(await keyOf(options, environment.key)),
  };
}

async function keyOf(
  { key, 'key-file': file }: Options,
  fromEnvironment: string | undefined,
): Promise<Pick<Service, 'key' | 'keySource'>> {
  if (key !== undefined && file !== undefined) {
    throw new CommandError(EXIT.wrongUsage, 'Choose --key-file or --key, not both.');
  }
  if (file !== undefined) return { key: await readKey(file), keySource: '--key-file' };
  if (key !== undefined)
    return { key: checkKey(key, 'The option --key is wrong: it must be a key.'), keySource: '--key' };
  const found =
    fromEnvironment === undefined ? null : checkKey(fromEnvironment, 'GOPHERPAY_KEY is wrong: it must be a key.');
  return { key: found, keySource: 'GOPHERPAY_KEY' };
}

function isServiceUrl(text: string): boolean {
  const parsed = URL.parse(text);
  if (!parsed) return false;
  const { protocol, username, password, search, hash } = parsed;
  return /^https?:$/.test(protocol) && username === '' && password === '' && search === '' && hash === '';
}
