// Judges whether a caller was served, or refused with 401 or 403, as its key and the description of the operation say.
import { z } from 'zod';
import { ANY_KEY, type Operation } from '../support/interface.ts';
import { type Access, parse, pathOf, type Sent } from './sent.ts';
import type { Answer } from './wire.ts';

const EXTERNAL = '@external';
const REFUSALS = new Set(['unauthorized', 'insufficient_scope', 'not_allowed']);

/** Whether a problem is about the key of the caller. */
export function isAccessRefusal(code: string): boolean {
  return REFUSALS.has(code);
}

/** What is wrong with a refusal for want of a key, a scope or a permission. */
export function judgeAccessRefusal(answer: Answer, code: string, access: Access): string[] {
  const challenge = answer.headers.get('www-authenticate') ?? '';
  if (code === 'unauthorized') {
    if (access !== null) return ['401, and the key is valid'];
    return challenge.startsWith('Bearer ') ? [] : ['401 without WWW-Authenticate'];
  }
  if (access === null) return [`${code}, and there is no valid key`];
  if (code === 'insufficient_scope') {
    const [, scope] = /scope="([^"]+)"/.exec(challenge) ?? [];
    if (scope === undefined) return ['insufficient_scope without a scope in WWW-Authenticate'];
    return access.scopes.has(scope) ? [`insufficient_scope, and the key has ${scope}`] : [];
  }
  const isBound = access.ledger !== null || access.accountPrefix !== null;
  return isBound ? [] : ['not_allowed, and the key is bound to no ledger and no accounts'];
}

/** What was served that the key does not allow. */
export function judgeServed(sent: Sent, answer: Answer, operation: Operation, access: Access): string[] {
  if (operation.scope === null) return [];
  if (access === null) return [`${answer.status} without a valid key`];
  const wrong = [operation.scope, ...scopesOf(sent, operation)]
    .filter((scope) => scope !== ANY_KEY && !access.scopes.has(scope))
    .map((scope) => `${answer.status}, and the key lacks the scope ${scope}`);
  const path = pathOf(sent.target);
  const [, named] = /^\/ledgers\/([^/]+)/.exec(path) ?? [];
  const ledger = named === undefined ? null : decodeURIComponent(named);
  // An answer to any key is about the key itself.
  const isOfKey = operation.scope === ANY_KEY;
  const isOther = operation.isOfLedger ? ledger !== null && ledger !== access.ledger : ledger !== access.ledger;
  if (access.ledger !== null && isOther && !isOfKey)
    wrong.push(`${answer.status}, and the key is of the ledger ${access.ledger}`);
  const { accountPrefix } = access;
  if (accountPrefix !== null) {
    const foreign = foreignAccounts(parse(answer.body.toString()), accountPrefix);
    if (foreign.length > 0) wrong.push(`the key for ${accountPrefix}… was shown ${foreign.join(', ')}`);
    const asked = foreignAccounts(parse(sent.body?.toString() ?? ''), accountPrefix);
    if (operation.body && asked.length > 0) wrong.push(`the key for ${accountPrefix}… used ${asked.join(', ')}`);
  }
  return wrong;
}

const member = z.looseObject({
  from_account: z.string().optional(),
  to_account: z.string().optional(),
  balance: z.number().optional(),
  overdraft_limit: z.number().optional(),
  status: z.string().optional(),
});
const body = z.looseObject({ transfers: z.array(member).optional(), accounts: z.array(member).optional() });

/** The scopes that the content of a request needs. */
function scopesOf({ body: bytes }: Sent, { name, method }: Operation): string[] {
  const parsed = parse(bytes?.toString() ?? '');
  const list = body.safeParse(parsed).data;
  const members = list?.transfers ?? list?.accounts ?? [member.safeParse(parsed).data ?? {}];
  const scopes: string[] = [];
  const isFunding = members.some((each) => [each.from_account, each.to_account].includes(EXTERNAL));
  if (/^POST \/(transfers|holds)$/.test(name) && isFunding) scopes.push('funding:write');
  if (name === 'POST /accounts') {
    if (members.some(({ balance = 0 }) => balance > 0)) scopes.push('funding:write');
    if (members.some(({ overdraft_limit: limit = 0 }) => limit > 0)) scopes.push('accounts:admin');
  }
  const isAdministrative = members.some((each) => each.status !== undefined || each.overdraft_limit !== undefined);
  if (method === 'PATCH' && isAdministrative) scopes.push('accounts:admin');
  return scopes;
}

/** Accounts in JSON that do not begin with the prefix. A transfer may have one of them, if the other does. */
function foreignAccounts(json: unknown, prefix: string): string[] {
  if (Array.isArray(json)) return json.flatMap((each) => foreignAccounts(each, prefix));
  const { success, data } = z.record(z.string(), z.unknown()).safeParse(json);
  if (!success) return [];
  const isOwn = (name: string): boolean => String(data[name]).startsWith(prefix);
  const isNamed = (name: string): boolean => typeof data[name] === 'string';
  const isForeign = isNamed('account_number') && !isOwn('account_number');
  const isForeignTransfer = isNamed('from_account') && !isOwn('from_account') && !isOwn('to_account');
  return [
    ...(isForeign ? [String(data['account_number'])] : []),
    ...(isForeignTransfer ? [`${String(data['from_account'])} to ${String(data['to_account'])}`] : []),
    // Metadata is the caller's own.
    ...Object.entries(data).flatMap(([name, value]) => (name === 'metadata' ? [] : foreignAccounts(value, prefix))),
  ];
}
