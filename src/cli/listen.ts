// gopherpay listen: webhooks for development. It follows the feed of a running service, and posts each event to a URL of
// the developer's machine, which no service could reach. Messages and signatures are those of webhooks.
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { defineCommand } from 'citty';
import { request } from 'undici';
import { z } from 'zod';
import { toError } from '../db/connection/errors.ts';
import { MAIN_LEDGER } from '../domain/ledger.ts';
import { createSecret, recordsOf, renderMessage, signMessage, type WebhookMessage } from '../render/webhook.ts';
import { mustBe } from '../validation.ts';
import { CommandError, EXIT, interruptible, ledgerName, parseArguments } from './command.ts';
import { reasonOf } from './exit.ts';
import { writeStandardOutput } from './file.ts';
import { readKey } from './key-file.ts';

const PAUSE_MS = 300;
const ANSWER_TIMEOUT_MS = 10_000;
const SECRET_FORM = /^whsec_[A-Za-z0-9+/]{32,}={0,2}$/;

const OPTIONS = {
  url: z
    .url({ protocol: /^https?$/, error: mustBe('a URL such as http://127.0.0.1:8080') })
    .transform((text) => new URL(text).origin)
    .default('http://127.0.0.1:8080'),
  'forward-to': z.url({ protocol: /^https?$/, error: mustBe('a URL such as http://127.0.0.1:3000/hook') }),
  ledger: ledgerName.default(MAIN_LEDGER.name),
  'key-file': z.string().optional(),
  'secret-file': z.string().optional(),
  after: z
    .string({ error: mustBe('the number of an event') })
    .regex(/^\d{1,15}$/)
    .default('end'),
  types: z.string().optional(),
  account: z.string().optional(),
  kind: z.string().optional(),
};

export const listen = defineCommand({
  meta: { name: 'listen', description: 'Forward the events of a running service to a URL, as webhooks do.' },
  args: {
    'forward-to': { type: 'string', description: 'Where each event is posted', valueHint: 'URL' },
    url: { type: 'string', description: 'The service (http://127.0.0.1:8080)' },
    ledger: { type: 'string', description: 'The ledger (main)', valueHint: 'main' },
    'key-file': {
      type: 'string',
      description: 'A file with the key to use, if the service has keys',
      valueHint: 'FILE',
    },
    'secret-file': {
      type: 'string',
      description: 'A file with the secret that signs; a new one by default',
      valueHint: 'FILE',
    },
    after: { type: 'string', description: 'The event of the feed to begin after; only later ones by default' },
    types: { type: 'string', description: 'Only these types, separated by commas' },
    account: { type: 'string', description: 'Only events of this account' },
    kind: { type: 'string', description: 'Only transfers of this kind' },
  },
  async run({ args }) {
    const options = parseArguments(OPTIONS, args);
    const key = await readKey(options['key-file']);
    const secret = options['secret-file'] === undefined ? createSecret() : await readSecret(options['secret-file']);
    await interruptible(async (signal) => {
      let { next } = await readFeed(options, key, options.after, signal);
      process.stderr.write(
        `Forwarding events of ${options.ledger} to ${options['forward-to']}, signed with ${options['secret-file'] ?? secret}\n`,
      );
      if (options.after !== 'end') next = Number(options.after);
      for (;;) {
        const page = await readFeed(options, key, String(next), signal);
        for (const event of page.items) {
          for (const position of recordsOf(event).keys()) {
            const message = renderMessage(options.ledger, event, position);
            if (message) await forward(options['forward-to'], message, { secret, signal });
          }
        }
        if (page.next === next) await sleep(PAUSE_MS, null, { signal });
        next = page.next;
      }
    });
  },
});

/** The secret in a file. A secret in an argument would be shown in the list of processes. */
async function readSecret(path: string): Promise<string> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw new CommandError(EXIT.wrongUsage, `The file of --secret-file cannot be read: ${toError(error).message}.`);
  });
  const secret = text.trimEnd();
  if (SECRET_FORM.test(secret)) return secret;
  throw new CommandError(
    EXIT.wrongUsage,
    `${path} is not a secret: --secret-file names a file with one whsec_ secret.`,
  );
}

const record = z.looseObject({ type: z.string() });
const pageSchema = z.object({
  items: z.array(
    z.object({
      journal_number: z.int(),
      settled_at: z.string(),
      hash: z.string(),
      transfers: z.array(record),
      account_changes: z.array(record),
    }),
  ),
  next: z.int(),
});
const problemSchema = z.object({ detail: z.string() });

type Options = z.output<z.ZodObject<typeof OPTIONS>>;

/** A page of the feed after an event. Throws the error that ends the command if it is refused. */
async function readFeed(
  { url, ledger, types, account, kind }: Options,
  key: string | null,
  after: string,
  signal: AbortSignal,
): Promise<z.output<typeof pageSchema>> {
  const filters = Object.entries({ types, account, kind }).filter(([, value]) => value !== undefined);
  const query = new URLSearchParams([['after', after], ...filters.map(([name, value]) => [name, String(value)])]);
  const answer = await request(`${url}/ledgers/${ledger}/events?${query.toString()}`, {
    signal,
    headers: key === null ? {} : { authorization: `Bearer ${key}` },
  }).catch((error: unknown) => {
    throw new CommandError(
      EXIT.outOfReach,
      `The service at ${url} is out of reach (${reasonOf(toError(error))}): check that it runs, and check --url.`,
      { cause: error },
    );
  });
  const body: unknown = await answer.body.json().catch(() => null);
  const page = pageSchema.safeParse(body);
  if (answer.statusCode === 200 && page.success) return page.data;
  const detail = problemSchema.safeParse(body).data?.detail ?? `it answers ${answer.statusCode}.`;
  throw new CommandError(EXIT.failed, `The service refuses to show its events: ${detail}`);
}

/** Posts a message, and prints what came of it. A failure is not repeated: the developer is watching. */
async function forward(
  url: string,
  message: WebhookMessage,
  { secret, signal }: { secret: string; signal: AbortSignal },
): Promise<void> {
  const result = await request(url, {
    method: 'POST',
    headers: signMessage(message, [secret], new Date()),
    body: message.body,
    signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_TIMEOUT_MS)]),
  })
    .then(async ({ statusCode, body }) => {
      await body.dump();
      return String(statusCode);
    })
    .catch((error: unknown) => reasonOf(toError(error)));
  signal.throwIfAborted();
  await writeStandardOutput([`${result} ${message.type} ${message.id}\n`]);
}
