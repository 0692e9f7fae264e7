// The requests of a load test before and after the load: a refusal ends the command with one sentence that says what to do.
import { z } from 'zod';
import { CommandError, EXIT } from '../command.ts';
import { outOfReach, sendOnce, type Service } from '../remote/connection.ts';

/** The scopes of the requests of a load test. */
const SCOPES = 'accounts:read,accounts:write,accounts:admin,transfers:write,funding:write,events:read,statements:read';

const problem = z.object({ detail: z.string() });

type Method = 'GET' | 'POST' | 'DELETE';

/** Sends a request to the ledger, and returns the JSON of the answer, or null if it is something else. */
export async function callLedger(service: Service, method: Method, path: string, body?: unknown): Promise<unknown> {
  return await call(service, { method, path, body });
}

/** The same for a path of no ledger. */
export async function callGlobal(service: Service, method: Method, path: string): Promise<unknown> {
  return await call(service, { method, path, global: true });
}

async function call(service: Service, request: Parameters<typeof sendOnce>[1]): Promise<unknown> {
  const { status, headers, text, json } = await sendOnce(service, request);
  if (status === 503) throw outOfReach(service.url, `it answers 503: ${text}`);
  if (status === 401) throw unauthorized(service, json);
  if (status === 403) throw forbidden(service, String(headers['www-authenticate']), json);
  return json;
}

/**
 * Refuses a key that a later request would be refused for: a test that is stopped halfway leaves its money behind. Each
 * request needs a scope, and changes nothing. `prefix`: the beginning of the numbers of the test's accounts.
 */
export async function checkAccess(service: Service, prefix: string): Promise<void> {
  const [account, other] = [`${prefix}-0`, `${prefix}-1`];
  const transfer = { to_account: other, amount: 1 };
  await callLedger(service, 'GET', `/accounts/${account}`);
  await callLedger(service, 'DELETE', `/accounts/${account}`);
  await callLedger(service, 'POST', '/transfers?dry_run=true', { ...transfer, from_account: account });
  await callLedger(service, 'POST', '/transfers?dry_run=true', { ...transfer, from_account: '@external' });
  // Without a name it is refused, but only after the scope was checked.
  await callLedger(service, 'POST', '/accounts', {});
  await callLedger(service, 'GET', '/events?limit=1');
}

function unauthorized({ key, keySource }: Service, answer: unknown): CommandError {
  if (key === null) {
    const sentence = `The service needs a key: create one with \`gopherpay keys create --name=load --scopes=${SCOPES}\` and pass --key-file.`;
    return new CommandError(EXIT.wrongUsage, sentence);
  }
  const detail = problem.safeParse(answer).data?.detail ?? 'It was answered with 401.';
  return new CommandError(EXIT.failed, `The service refuses the key in ${keySource}: ${detail}`);
}

function forbidden({ keySource }: Service, challenge: string, answer: unknown): CommandError {
  const [, scope] = /scope="([^"]+)"/.exec(challenge) ?? [];
  if (scope !== undefined) {
    const sentence = `The key in ${keySource} lacks the scope ${scope}: a load test needs --scopes=${SCOPES}.`;
    return new CommandError(EXIT.failed, sentence);
  }
  const detail = problem.safeParse(answer).data?.detail ?? 'It was answered with 403.';
  return new CommandError(EXIT.failed, `The key in ${keySource} cannot be used for a load test: ${detail}`);
}
