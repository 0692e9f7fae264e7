// gopherpay events: the feed of a ledger, up to now or as it goes on.
import { defineCommand } from 'citty';
import { z } from 'zod';
import { renderDecimal } from '../../domain/currency.ts';
import { mustBe } from '../../validation.ts';
import { interruptible, parseArguments } from '../command.ts';
import { writeStandardOutput } from '../file.ts';
import { type FeedEvent, FILTER_ARGUMENTS, FILTER_OPTIONS, followFeed, readFeed } from './feed.ts';
import { CONNECTION_ARGUMENTS, CONNECTION_OPTIONS, serviceOf } from './options.ts';
import { jsonLine, plain } from './text.ts';

const PAGE_MAX = 1000;

const OPTIONS = {
  ...CONNECTION_OPTIONS,
  ...FILTER_OPTIONS,
  after: z
    .string({ error: mustBe('the number of an event, or end') })
    .regex(/^(\d{1,15}|end)$/)
    .optional(),
  limit: z
    .string()
    .refine((text) => /^[1-9]\d{0,8}$/.test(text), { error: mustBe('a whole number from 1 on') })
    .transform(Number)
    .default(50),
  follow: z.boolean().default(false),
  json: z.boolean().default(false),
};

export const events = defineCommand({
  meta: { name: 'events', description: 'Print the events of a ledger, one a line: what was settled, in commit order.' },
  args: {
    follow: { type: 'boolean', description: 'Go on with the events to come, until Ctrl-C' },
    after: {
      type: 'string',
      description: 'The event to begin after: a number, or end (0, and end with --follow)',
      valueHint: '4711',
    },
    ...FILTER_ARGUMENTS,
    limit: { type: 'string', description: 'How many rows of the journal at most, without --follow (50)' },
    json: { type: 'boolean', description: 'The rows of the journal as JSON, one a line' },
    ...CONNECTION_ARGUMENTS,
  },
  async run({ args }) {
    const options = parseArguments(OPTIONS, args);
    const { types, account, kind, follow, json } = options;
    const service = await serviceOf(options);
    await interruptible(async (signal) => {
      const reading = { service, filter: { types, account, kind }, signal };
      const after = options.after ?? (follow ? 'end' : '0');
      const render = (event: FeedEvent) => (json ? jsonLine(event) : renderEvent(event));
      await writeStandardOutput(follow ? followed() : listed(), signal);

      async function* followed(): AsyncGenerator<string, void, undefined> {
        const start = after === 'end' ? (await readFeed(reading, after)).next : Number(after);
        for await (const event of followFeed(reading, start)) yield render(event);
      }

      async function* listed(): AsyncGenerator<string, void, undefined> {
        let left = options.limit;
        for (let at = after; ;) {
          const { items, next } = await readFeed(reading, at, Math.min(left, PAGE_MAX));
          for (const event of items) yield render(event);
          left -= items.length;
          // A page of a filter may be empty before the end.
          if (at === 'end' || String(next) === at) return;
          at = String(next);
          if (left > 0) continue;
          const { next: last } = await readFeed(reading, 'end', 1);
          if (last !== next) process.stderr.write(`More follow: raise --limit, or add --after=${next}\n`);
          return;
        }
      }
    });
  },
});

const transfer = z.object({
  id: z.string(),
  type: z.string(),
  from_account: z.string(),
  to_account: z.string(),
  amount: z.int().nullable(),
  currency: z.string().nullable(),
  failure_code: z.string().nullable(),
});
const accountChange = z.object({ type: z.string(), account_number: z.string(), currency: z.string() });

/** A line for each transfer and each account change of a row: the number of the row, the instant, and what happened. */
function renderEvent({
  journal_number: number,
  settled_at: at,
  transfers,
  account_changes: changes,
}: FeedEvent): string {
  const lines = [...transfers, ...changes].map((record) => `${number}  ${at}  ${record.type}  ${renderRecord(record)}`);
  return lines.map((line) => `${plain(line)}\n`).join('');
}

function renderRecord(record: unknown): string {
  const moved = transfer.safeParse(record).data;
  if (moved) {
    const { id, from_account: from, to_account: to, amount, currency, failure_code: code } = moved;
    const money =
      amount !== null && currency !== null ? `${renderDecimal(BigInt(amount), currency)} ${currency}` : amount;
    return [`${from} → ${to}`, money, code, id].filter((part) => part !== null).join('  ');
  }
  const changed = accountChange.safeParse(record).data;
  return changed ? `${changed.account_number}  ${changed.currency}` : '';
}
