// Reads the trial balance of a ledger over HTTP, before and after a load test.
import { request } from 'undici';
import { z } from 'zod';
import { MAIN_LEDGER } from '../../domain/ledger.ts';
import { CommandError, EXIT, unknownLedger } from '../command.ts';
import { reasonOf } from '../exit.ts';
import { prefixOf } from '../../load/connections.ts';
import { toError } from '../../db/connection/errors.ts';

const problem = z.object({ code: z.string() });
const ledgers = z.object({ items: z.array(z.object({ name: z.string() })) });
const balances = z.object({
  journal_number: z.int(),
  currencies: z.array(z.object({ currency: z.string(), sum: z.int() })),
});

/** The end of the journal, and the currencies whose balances do not sum to zero. */
export type Balances = { readonly journalNumber: number; readonly unbalanced: readonly string[] };

export async function readBalances({
  url,
  ledger = MAIN_LEDGER.name,
}: {
  url: string;
  ledger?: string | undefined;
}): Promise<Balances> {
  const answer = await readJson(`${url}${prefixOf(ledger)}/balances`, url);
  if (problem.safeParse(answer).data?.code === 'ledger_not_found') {
    const { items } = ledgers.parse(await readJson(`${url}/ledgers?limit=11`, url));
    throw unknownLedger(
      ledger,
      items.map(({ name }) => name),
    );
  }
  const { data } = balances.safeParse(answer);
  if (!data) throw new CommandError(EXIT.failed, `${url} is not GopherPay: check --url.`);
  const unbalanced = data.currencies.filter(({ sum }) => sum !== 0).map(({ currency }) => currency);
  return { journalNumber: data.journal_number, unbalanced };
}

/** Reads JSON, or null if the answer is something else. Throws an error of one sentence if the service or its database is unreachable. */
async function readJson(address: string, url: string): Promise<unknown> {
  const { statusCode, body } = await request(address).catch((error: unknown) => {
    throw serviceAway(url, error);
  });
  const text = await body.text();
  if (statusCode === 503) throw serviceAway(url, `it answers 503: ${text}`);
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** The error for a service that does not answer. This command does not use the database. */
export function serviceAway(url: string, error: unknown): CommandError {
  const sentence = `The service at ${url} is out of reach (${reasonOf(toError(error))}): check that it runs ("npm start" starts one), and check --url.`;
  return new CommandError(EXIT.outOfReach, sentence, { cause: error });
}
