// From the description of an operation of the API to a command: its request, and what it prints.
import { randomUUID } from 'node:crypto';
import { type CommandDef, defineCommand } from 'citty';
import { z } from 'zod';
import { CURRENCY_FORM, minorDigitsOf, parseDecimal } from '../../domain/currency.ts';
import { MONEY_MAX } from '../../domain/money.ts';
import { CommandError, EXIT, interruptible } from '../command.ts';
import { writeStandardOutput } from '../file.ts';
import { argumentsOf, type Operation, parseOperation, type Parsed } from './arguments.ts';
import { type Answer, type Call, request, type Service } from './connection.ts';
import { serviceOf } from './options.ts';
import { notGopherPay, refusalOf } from './refusal.ts';
import { type Columns, type Item, renderDetails, renderTable } from './table.ts';
import { jsonLine, plain } from './text.ts';

const PAGE_MAX = 1000;
/** A table is in memory as a whole. */
const TABLE_MAX = 10_000;

type Run = Parsed & { readonly service: Service; readonly operation: Operation; readonly signal: AbortSignal };

/** The command of an operation. */
export function defineOperation(name: string, operation: Operation): CommandDef {
  return defineCommand({
    meta: { name, description: operation.summary },
    args: argumentsOf(operation),
    async run({ args, rawArgs }) {
      const parsed = parseOperation(operation, args, rawArgs);
      const service = await serviceOf(parsed.options);
      await interruptible(async (signal) => {
        const run = { ...parsed, service, operation, signal };
        await (operation.list ? runList(run, operation.list) : runSingle(run));
      });
    },
  });
}

/** Prints a list up to --limit: JSON as its pages arrive, a table at the end. */
async function runList(run: Run, columns: Columns): Promise<void> {
  const { service, operation, subject, options, signal } = run;
  const { limit, json } = options;
  const end: { next: string | null; count: number } = { next: null, count: 0 };
  if (json) {
    await writeStandardOutput(lines(), signal);
  } else {
    if (limit > TABLE_MAX) {
      throw new CommandError(EXIT.wrongUsage, `A table has at most ${TABLE_MAX} rows: add --json, or lower --limit.`);
    }
    const { currencyAt } = operation;
    const currency = currencyAt ? await readCurrency(run, currencyAt(encodeURIComponent(subject))) : null;
    const items = await Array.fromAsync(readItems(run, end));
    const width = process.stdout.isTTY ? process.stdout.columns : Infinity;
    if (items.length > 0) await writeStandardOutput([renderTable(items, columns, { currency, width })], signal);
  }
  if (end.count === 0) process.stderr.write(`There are none in the ledger ${service.ledger}.\n`);
  if (end.next !== null) process.stderr.write(`More follow: raise --limit, or add --after=${plain(end.next)}\n`);

  async function* lines(): AsyncGenerator<string, void, undefined> {
    for await (const item of readItems(run, end)) yield jsonLine(item);
  }
}

/** Reads the pages of a list up to --limit, and notes where it ended. */
async function* readItems(
  run: Run,
  end: { next: string | null; count: number },
): AsyncGenerator<Item, void, undefined> {
  const { limit, after } = run.options;
  const call = await callOf(run);
  end.next = after ?? null;
  do {
    const left = { limit: String(Math.min(limit - end.count, PAGE_MAX)) };
    const query = { ...call.query, ...left, ...(end.next === null ? {} : { after: end.next }) };
    const page = await readAs(run, { ...call, query }, pageSchema);
    yield* page.items;
    end.count += page.items.length;
    end.next = page.next;
  } while (end.next !== null && end.count < limit);
}

async function runSingle(run: Run): Promise<void> {
  const { service, operation, subject, options, signal } = run;
  const answer = await send(run, await callOf(run));
  if (answer.text === '') {
    process.stderr.write(`${operation.done?.(subject) ?? 'Done.'}\n`);
    return;
  }
  const item = parseAs(service, answer, itemSchema);
  await writeStandardOutput([options.json ? jsonLine(item) : renderDetails(item)], signal);
  conclude(item);
}

/** Says on standard error what an answer alone does not: that something is not over, or moved nothing. */
function conclude(item: Item): void {
  if (item['object'] === 'approval') {
    const id = plain(String(item['approval_id']));
    process.stderr.write(`Nothing has happened yet: it waits for the approval of a second key (${id}).\n`);
  }
  if (item['object'] !== 'transfer') return;
  const id = plain(String(item['id']));
  if (item['status'] === 'pending') {
    process.stderr.write(`It is accepted, and not final yet: \`gopherpay transfers show ${id}\` shows how it ends.\n`);
  }
  if (item['status'] === 'failed') {
    const code = plain(String(item['failure_code']));
    const what = item['dry_run'] === true ? 'It would fail' : 'The transfer failed, and moved nothing';
    throw new CommandError(EXIT.failed, `${what}: ${code}.`);
  }
}

const itemSchema = z.record(z.string(), z.unknown());
const pageSchema = z.object({ items: z.array(itemSchema), next: z.string().nullable() });
const withCurrency = z.object({ currency: z.string().nullable() });

async function send({ service, signal }: Run, call: Call): Promise<Answer> {
  return await request(service, call, { signal, refuse: (answer) => refusalOf(service, answer) });
}

async function readAs<Result>(run: Run, call: Call, schema: z.ZodType<Result>): Promise<Result> {
  return parseAs(run.service, await send(run, call), schema);
}

function parseAs<Result>(service: Service, { json }: Answer, schema: z.ZodType<Result>): Result {
  const { data } = schema.safeParse(json);
  if (data === undefined) throw notGopherPay(service, 'the answer has another form');
  return data;
}

async function readCurrency(run: Run, path: string): Promise<string | null> {
  const { currency } = run.values;
  if (typeof currency === 'string') return currency;
  return (await readAs(run, { method: 'GET', path }, withCurrency)).currency;
}

/** The request. */
async function callOf(run: Run): Promise<Call> {
  const { operation, subject, options } = run;
  const { method, subject: about, settles = false } = operation;
  const path = operation.path(encodeURIComponent(subject));
  const members = await membersOf(run);
  const shared = { method, path, ...(operation.global ? { global: true } : {}) };
  if (method === 'GET') {
    const query = Object.entries(members).map(([name, value]) => [name, String(value)]);
    return { ...shared, query: Object.fromEntries(query) };
  }
  if (method === 'DELETE') return shared;
  const named = about?.member === undefined || subject === '' ? {} : { [about.member]: subject };
  const body = { ...operation.body, ...named, ...members };
  if (method === 'PATCH') {
    if (Object.keys(body).length > 0) return { ...shared, body };
    throw new CommandError(EXIT.wrongUsage, 'There is nothing to change; see --help.');
  }
  const dryRun = options['dry-run'];
  return {
    ...shared,
    body,
    ...(settles ? { waitSeconds: options.wait } : {}),
    ...(dryRun ? { query: { dry_run: 'true' } } : { idempotencyKey: options['idempotency-key'] ?? randomUUID() }),
  };
}

/** The values of the options, by the names of the API, with amounts in minor units. */
async function membersOf(run: Run): Promise<Record<string, unknown>> {
  const { operation, values } = run;
  const members: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(values)) {
    if (value === undefined) continue;
    const isMoney = operation.options?.[name]?.kind === 'money' && typeof value === 'string';
    members[name.replaceAll('-', '_')] = isMoney ? await minorUnitsOf(run, name, value) : value;
  }
  return members;
}

/** The minor units of an amount, all of whose digits JSON keeps. */
async function minorUnitsOf(run: Run, name: string, text: string): Promise<number> {
  const amount = text.includes('.') ? await decimalOf(run, name, text) : BigInt(text);
  if (amount <= MONEY_MAX) return Number(amount);
  throw new CommandError(
    EXIT.wrongUsage,
    `The option --${name} is wrong: it must be at most ${MONEY_MAX} minor units.`,
  );
}

/** An amount with a point is in the units of its currency: 25.00 USD is 2500 minor units. */
async function decimalOf(run: Run, name: string, text: string): Promise<bigint> {
  const path = run.operation.currencyAt?.(encodeURIComponent(run.subject));
  const currency = path === undefined ? run.values['currency'] : await readCurrency(run, path);
  if (typeof currency !== 'string' || !CURRENCY_FORM.test(currency)) {
    throw new CommandError(EXIT.wrongUsage, `The amount --${name}=${text} needs --currency, such as --currency=USD.`);
  }
  const amount = parseDecimal(text, currency);
  if (amount !== null) return amount;
  throw new CommandError(
    EXIT.wrongUsage,
    `The option --${name} is wrong: ${text} does not have the ${minorDigitsOf(currency)} decimals of ${currency}.`,
  );
}
