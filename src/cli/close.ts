// gopherpay close: seals the balances of the months that are over, so that questions about them read few entries.
import { defineCommand } from 'citty';
import { z } from 'zod';
import { readConfig } from '../config.ts';
import type { Queryable } from '../db/connection/connect.ts';
import { constraintOf } from '../db/connection/errors.ts';
import { Transaction } from '../db/connection/transaction.ts';
import { type ClosableMonth, type ClosedMonth, closeMonth, findNextMonth, sealMonth } from '../db/ledger/closing.ts';
import { closeInstant } from '../db/queries/instants.ts';
import { type Ledger, MAIN_LEDGER } from '../domain/ledger.ts';
import { MONTH_FORM } from '../render/statement.ts';
import { ACTOR, connectAsOwner } from './administration.ts';
import { CommandError, EXIT, findLedger, interruptible, ledgerName, parseArguments } from './command.ts';
import { writeStandardOutput } from './file.ts';

export const close = defineCommand({
  meta: {
    name: 'close',
    description: 'Close the months of a ledger up to one that is over: seal the balances at their ends.',
  },
  args: {
    month: {
      type: 'string',
      required: true,
      description: 'The last month to close (UTC); earlier ones are closed first',
      valueHint: '2026-10',
    },
    ledger: { type: 'string', description: 'The ledger (main)', valueHint: 'main' },
    json: { type: 'boolean', description: 'A line of JSON for each closed month' },
  },
  async run({ args }) {
    const month = z.string().regex(MONTH_FORM, 'must be a month, such as 2026-10');
    const shape = { month, ledger: ledgerName.default(MAIN_LEDGER.name), json: z.boolean().default(false) };
    const options = parseArguments(shape, args);
    await interruptible(async (signal) => {
      await connectAsOwner(readConfig(), signal, async (connection) => {
        const ledger = await findLedger(connection, options.ledger);
        let count = 0;
        // One output for all months: each would leave a listener on a standard output that is a file.
        await writeStandardOutput(lines(), signal);
        async function* lines(): AsyncGenerator<string> {
          for (;;) {
            const next = await findNextMonth(connection, ledger);
            if (next === null || next.month > options.month) return;
            const closed = await closeNext(connection, ledger, next);
            if (closed === null) continue;
            count += 1;
            yield options.json ? renderJson(ledger, closed) : renderText(ledger, closed);
          }
        }
        if (count === 0) process.stderr.write(`The ledger ${ledger.name} has no open month up to ${options.month}.\n`);
      });
    });
  },
});

/** Null: another process has closed the month meanwhile. */
async function closeNext(connection: Queryable, ledger: Ledger, next: ClosableMonth): Promise<ClosedMonth | null> {
  if (!next.isOver || !(await closeInstant(connection, ledger, next.last)).closed) {
    throw new CommandError(EXIT.failed, `The month ${next.month} of the ledger ${ledger.name} is not over (UTC).`);
  }
  const sealed = await sealMonth(connection, ledger, next);
  const transaction = await Transaction.begin(connection);
  try {
    const closed = await closeMonth(transaction.connection, ledger, ACTOR, sealed);
    await transaction.commit();
    return closed;
  } catch (error) {
    if (constraintOf(error) !== 'closed_months_pkey') throw error;
    await transaction.rollback();
    return null;
  }
}

function renderText({ name }: Ledger, { month, journalNumber, accountCount, hash }: ClosedMonth): string {
  return `ledger ${name}, ${month} closed at journal ${journalNumber}: ${accountCount} balances sealed, sha256:${hash}\n`;
}

function renderJson({ name }: Ledger, { month, journalNumber, accountCount, hash }: ClosedMonth): string {
  const fields = { ledger: name, month, journal_number: Number(journalNumber), accounts: Number(accountCount), hash };
  return `${JSON.stringify(fields)}\n`;
}
