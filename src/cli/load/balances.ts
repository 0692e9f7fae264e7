// Reads the trial balance of a ledger over HTTP, before and after a load test.
import { z } from 'zod';
import { CommandError, EXIT, unknownLedger } from '../command.ts';
import type { Service } from '../remote/connection.ts';
import { callGlobal, callLedger } from './target.ts';

const problem = z.object({ code: z.string() });
const ledgers = z.object({ items: z.array(z.object({ name: z.string() })) });
const balances = z.object({
  journal_number: z.int(),
  currencies: z.array(z.object({ currency: z.string(), sum: z.int() })),
});

/** The end of the journal, and the currencies whose balances do not sum to zero. */
export type Balances = { readonly journalNumber: number; readonly unbalanced: readonly string[] };

export async function readBalances(service: Service): Promise<Balances> {
  const { url, ledger } = service;
  const answer = await callLedger(service, 'GET', '/balances');
  if (problem.safeParse(answer).data?.code === 'ledger_not_found') {
    const { items } = ledgers.parse(await callGlobal(service, 'GET', '/ledgers?limit=11'));
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
