// A refusal of the service as an error of the command: what is wrong, its code, and what to do next.
import { z } from 'zod';
import { CommandError, EXIT } from '../command.ts';
import { type Answer, outOfReach, retryAfterOf, type Service } from './connection.ts';
import { plain } from './text.ts';

const problem = z.object({
  code: z.string(),
  detail: z.string(),
  request_id: z.string().optional(),
  errors: z.array(z.object({ pointer: z.string(), detail: z.string() })).default([]),
});

/** What to do about a problem. Those whose detail says it are left out. */
const ADVICE: Readonly<Record<string, string>> = {
  ledger_not_found: '`gopherpay ledgers list` shows the ledgers.',
  account_not_found: '`gopherpay accounts list` shows the accounts of the ledger.',
  transfer_not_found: '`gopherpay transfers list` shows the transfers of the ledger.',
  hold_not_found: '`gopherpay holds list` shows the holds of the ledger.',
  account_exists: 'Choose another account number, or leave it out to have one made.',
  idempotency_key_reused: 'Repeat the first request unchanged, or leave out --idempotency-key to make a new one.',
  host_not_allowed: 'Call the service by its address, or have its operator add the host to ALLOWED_HOSTS.',
  not_allowed: '`gopherpay keys list` shows the limits of the keys.',
  internal_error: 'The log of the service says more about this request.',
};

/** The error for an answer that is no success. */
export function refusalOf(service: Service, answer: Answer): CommandError {
  const { status, json } = answer;
  const { data } = problem.safeParse(json);
  if (!data) {
    if (status >= 502) return outOfReach(service.url, new Error(`it answers ${status}`));
    return notGopherPay(service, `it answers ${status}`);
  }
  const facts = [String(status), data.code, ...(data.request_id === undefined ? [] : [`request ${data.request_id}`])];
  const advice = adviceFor(service, answer, data.code);
  const lines = [
    `${sentenceOf(service, data)} (${facts.join(', ')})`,
    ...data.errors
      .filter(({ detail }) => !data.detail.includes(detail))
      .map(({ pointer, detail }) => `  ${pointer}: ${detail}`),
    ...(advice === null ? [] : [advice]),
  ];
  return new CommandError(exitCodeOf(status, data.code), lines.map(plain).join('\n'));
}

/** The error for an answer that GopherPay does not give. */
export function notGopherPay({ url }: Service, why: string): CommandError {
  return new CommandError(EXIT.failed, `${url} does not answer as GopherPay does (${why}): check --url.`);
}

/** The detail, in words of this command line. */
function sentenceOf({ ledger }: Service, { code, detail }: z.output<typeof problem>): string {
  if (code === 'ledger_not_found') return `There is no ledger ${ledger}.`;
  return detail.replace(/; `errors` names each member that is wrong\.$/, '.');
}

function exitCodeOf(status: number, code: string): number {
  if (status >= 502) return EXIT.outOfReach;
  return status === 400 || code === 'ledger_not_found' ? EXIT.wrongUsage : EXIT.failed;
}

function adviceFor(service: Service, answer: Answer, code: string): string | null {
  if (code === 'unauthorized') return keyAdvice(service);
  if (code === 'insufficient_scope') {
    const [, scope] = /scope="([^"]+)"/.exec(String(answer.headers['www-authenticate'])) ?? [];
    if (scope !== undefined) return `\`gopherpay keys create --scopes=${scope}\` makes a key that has it.`;
  }
  const seconds = retryAfterOf(answer);
  return ADVICE[code] ?? (seconds === null ? null : `Try again in ${seconds} s.`);
}

function keyAdvice({ key, keySource }: Service): string {
  if (key === null) {
    return 'Set GOPHERPAY_KEY to a key, or name a file that has one with --key-file; `gopherpay keys create` makes a key.';
  }
  return `The key is from ${keySource}; \`gopherpay keys list\` shows which keys are valid.`;
}
