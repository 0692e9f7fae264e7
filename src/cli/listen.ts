// gopherpay listen: webhooks for development. It follows the feed of a running service, and posts each event to a URL of
// the developer's machine, which no service could reach. Messages and signatures are those of webhooks.
import { defineCommand } from 'citty';
import { request } from 'undici';
import { z } from 'zod';
import { toError } from '../db/connection/errors.ts';
import { createSecret, recordsOf, renderMessage, signMessage, type WebhookMessage } from '../render/webhook.ts';
import { mustBe } from '../validation.ts';
import { CommandError, EXIT, interruptible, parseArguments } from './command.ts';
import { reasonOf } from './exit.ts';
import { writeStandardOutput } from './file.ts';
import { readOptionFile } from './key-file.ts';
import { FILTER_ARGUMENTS, FILTER_OPTIONS, followFeed, readFeed } from './remote/feed.ts';
import { CONNECTION_ARGUMENTS, CONNECTION_OPTIONS, serviceOf } from './remote/options.ts';

const ANSWER_TIMEOUT_MS = 10_000;
const SECRET_FORM = /^whsec_[A-Za-z0-9+/]{32,}={0,2}$/;

const OPTIONS = {
  ...CONNECTION_OPTIONS,
  ...FILTER_OPTIONS,
  'forward-to': z.url({ protocol: /^https?$/, error: mustBe('a URL such as http://127.0.0.1:3000/hook') }),
  'secret-file': z.string().optional(),
  after: z
    .string({ error: mustBe('the number of an event') })
    .regex(/^\d{1,15}$/)
    .default('end'),
};

export const listen = defineCommand({
  meta: { name: 'listen', description: 'Forward the events of a running service to a URL, as webhooks do.' },
  args: {
    'forward-to': { type: 'string', description: 'Where each event is posted', valueHint: 'URL' },
    ...CONNECTION_ARGUMENTS,
    'secret-file': {
      type: 'string',
      description: 'A file with the secret that signs; a new one by default',
      valueHint: 'FILE',
    },
    after: { type: 'string', description: 'The event of the feed to begin after; only later ones by default' },
    ...FILTER_ARGUMENTS,
  },
  async run({ args }) {
    const options = parseArguments(OPTIONS, args);
    const { types, account, kind, after, 'forward-to': target } = options;
    const service = await serviceOf(options);
    const file = options['secret-file'];
    const secret = file === undefined ? createSecret() : await readSecret(file);
    await interruptible(async (signal) => {
      const reading = { service, filter: { types, account, kind }, signal };
      const { next } = await readFeed(reading, after);
      process.stderr.write(`Forwarding events of ${service.ledger} to ${target}, signed with ${file ?? secret}\n`);
      await writeStandardOutput(results(after === 'end' ? next : Number(after)), signal);

      async function* results(start: number): AsyncGenerator<string, void, undefined> {
        for await (const event of followFeed(reading, start)) {
          for (const position of recordsOf(event).keys()) {
            const message = renderMessage(service.ledger, event, position);
            if (message) yield await forward(target, message, { secret, signal });
          }
        }
      }
    });
  },
});

/** The secret in a file. A secret in an argument would be shown in the list of processes. */
async function readSecret(path: string): Promise<string> {
  const secret = await readOptionFile('secret-file', path);
  if (SECRET_FORM.test(secret)) return secret;
  throw new CommandError(
    EXIT.wrongUsage,
    `${path} is not a secret: --secret-file names a file with one whsec_ secret.`,
  );
}

/** Posts a message, and returns the line that says what came of it. A failure is not repeated: the developer is watching. */
async function forward(
  url: string,
  message: WebhookMessage,
  { secret, signal }: { secret: string; signal: AbortSignal },
): Promise<string> {
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
  return `${result} ${message.type} ${message.id}\n`;
}
