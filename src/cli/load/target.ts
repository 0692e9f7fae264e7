// The requests of a load test before and after the load: a refusal ends the command with one sentence that says what to do.
import { request } from 'undici';
import { z } from 'zod';
import { toError } from '../../db/connection/errors.ts';
import { prefixOf } from '../../load/connections.ts';
import { CommandError, EXIT } from '../command.ts';
import { reasonOf } from '../exit.ts';

/** The scopes of the requests of a load test. */
const SCOPES = 'accounts:read,accounts:write,accounts:admin,transfers:write,funding:write,events:read,statements:read';

/** The service under load. `key`: null if it has no keys. */
export type Target = { readonly url: string; readonly ledger: string; readonly key: string | null };

const problem = z.object({ detail: z.string() });

/** The headers that a key adds to a request. */
export function headersOf({ key }: Pick<Target, 'key'>): Record<string, string> {
  return key === null ? {} : { authorization: `Bearer ${key}` };
}

/** Sends a request to the ledger, and returns the JSON of the answer, or null if it is something else. */
export async function callLedger(
  target: Target,
  method: 'GET' | 'POST' | 'DELETE',
  path: string,
  body?: unknown,
): Promise<unknown> {
  return await call(target, method, `${prefixOf(target.ledger)}${path}`, body);
}

/** The same for a path that names its ledger. */
export async function call(
  target: Target,
  method: 'GET' | 'POST' | 'DELETE',
  path: string,
  body?: unknown,
): Promise<unknown> {
  const { url } = target;
  const answer = await request(`${url}${path}`, {
    method,
    headers: { ...headersOf(target), ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
    body: body === undefined ? null : JSON.stringify(body),
  }).catch((error: unknown) => {
    throw serviceAway(url, error);
  });
  const text = await answer.body.text();
  if (answer.statusCode === 503) throw serviceAway(url, `it answers 503: ${text}`);
  const json = parse(text);
  if (answer.statusCode === 401) throw unauthorized(target, json);
  if (answer.statusCode === 403) throw forbidden(String(answer.headers['www-authenticate']), json);
  return json;
}

/**
 * Refuses a key that a later request would be refused for: a test that is stopped halfway leaves its money behind. Each
 * request needs a scope, and changes nothing. `prefix`: the beginning of the numbers of the test's accounts.
 */
export async function checkAccess(target: Target, prefix: string): Promise<void> {
  const [account, other] = [`${prefix}-0`, `${prefix}-1`];
  const transfer = { to_account: other, amount: 1 };
  await callLedger(target, 'GET', `/accounts/${account}`);
  await callLedger(target, 'DELETE', `/accounts/${account}`);
  await callLedger(target, 'POST', '/transfers?dry_run=true', { ...transfer, from_account: account });
  await callLedger(target, 'POST', '/transfers?dry_run=true', { ...transfer, from_account: '@external' });
  // Without a name it is refused, but only after the scope was checked.
  await callLedger(target, 'POST', '/accounts', {});
  await callLedger(target, 'GET', '/events?limit=1');
}

/** The error for a service that does not answer. This command does not use the database. */
export function serviceAway(url: string, error: unknown): CommandError {
  const sentence = `The service at ${url} is out of reach (${reasonOf(toError(error))}): check that it runs ("npm start" starts one), and check --url.`;
  return new CommandError(EXIT.outOfReach, sentence, { cause: error });
}

function unauthorized({ key }: Target, answer: unknown): CommandError {
  if (key === null) {
    const sentence = `The service needs a key: create one with \`gopherpay keys create --name=load --scopes=${SCOPES}\` and pass --key-file.`;
    return new CommandError(EXIT.wrongUsage, sentence);
  }
  const detail = problem.safeParse(answer).data?.detail ?? 'It was answered with 401.';
  return new CommandError(EXIT.failed, `The service refuses the key in --key-file: ${detail}`);
}

function forbidden(challenge: string, answer: unknown): CommandError {
  const [, scope] = /scope="([^"]+)"/.exec(challenge) ?? [];
  if (scope !== undefined) {
    const sentence = `The key in --key-file lacks the scope ${scope}: a load test needs --scopes=${SCOPES}.`;
    return new CommandError(EXIT.failed, sentence);
  }
  const detail = problem.safeParse(answer).data?.detail ?? 'It was answered with 403.';
  return new CommandError(EXIT.failed, `The key in --key-file cannot be used for a load test: ${detail}`);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
