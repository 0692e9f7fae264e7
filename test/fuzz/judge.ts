// Judges one answer by itself: it arrives in time, matches the description of the interface, exposes no internals, and
// repeats exactly what was sent.
import { readFileSync } from 'node:fs';
import { getSystemErrorMap, isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { isAccessRefusal, judgeAccessRefusal, judgeServed } from './judge-access.ts';
import { DESCRIBED_HEADERS, flawOf, type Interface, type Operation, type Schema } from '../support/interface.ts';
import { parse, pathOf, type Sent } from './sent.ts';
import type { Answer, Outcome } from './wire.ts';

/** The bytes that a body of a case may have; the service under test is set to the same. */
export const BODY_BYTES_MAX = 262_144;

const DOCUMENT = readFileSync(new URL('../../docs/REFERENCE.md', import.meta.url), 'utf8');
/** The status of each documented code. */
const STATUS_BY_CODE = new Map(
  [...DOCUMENT.matchAll(/^\| `(\w+)` \| (\d{3}) \|/gm)].map(([, code = '', status]) => [code, Number(status)]),
);

/** Codes of Node's errors. A pattern such as E and capitals would also find names that a caller made up. */
const ERROR_CODES = [...getSystemErrorMap().values()]
  .map(([code]) => code)
  .filter((code) => code.startsWith('E'))
  .concat('ENOTFOUND');

/** Internals: SQL and messages of PostgreSQL, stacks, paths of sources, names of errors and of packages. */
const INSIDE = [
  /\b(select|insert into|update \w+ set|delete from|where \w+ =|syntax error|violates|constraint|relation "|column "|duplicate key|sqlstate|postgres|pg_\w+|out of range for type|invalid byte sequence)/i,
  /\bat (async )?[\w.<>]* ?\(?(file:|node:|\/)|\.[cm]?[jt]s:\d+|node_modules|\/src\/|\bfile:\/\//,
  /\b(TypeError|RangeError|SyntaxError|ReferenceError|ZodError|DatabaseError|AggregateError)\b/,
  new RegExp(`\\b(${ERROR_CODES.join('|')})\\b`),
  /\b(cannot read propert|is not a function|is not iterable|is not defined|unexpected token|in JSON at position|maximum call stack|\[object \w+\]|undefined is)/i,
  /\b(zod|piscina|undici|invalid_union|invalid_type|unrecognized_keys|invalid_key|_zod|~standard)\b|must match pattern|\bInvalid (input|string|option|key|number)\b|expected \w+, received|\bToo (big|small)\b|Unrecognized key/i,
];

const problemForm = z.object({
  code: z.string(),
  status: z.int(),
  title: z.string(),
  detail: z.string(),
  request_id: z.string(),
  errors: z.array(z.object({ pointer: z.string(), detail: z.string() })).optional(),
});

/** The operation that a request means, found by its method (GET for HEAD) and its target; null if there is none. */
export function meantBy(method: string, target: string, { operations }: Interface): Operation | null {
  const path = pathOf(target);
  const meant = method === 'HEAD' ? 'GET' : method;
  const matching = operations.filter((operation) => {
    const prefix = operation.isOfLedger ? '(?:/ledgers/[^/]+)?' : '';
    const pattern = new RegExp(`^${prefix}${operation.path.replaceAll(/\{\w+\}/g, '[^/]+')}$`);
    return operation.method === meant && pattern.test(path);
  });
  return matching.at(0) ?? null;
}

/** Everything that is wrong with the outcome, as sentences. `queueMayFill`: whether 429 is an answer, or a defect. */
export function judge(sent: Sent, outcome: Outcome, described: Interface, queueMayFill: boolean): string[] {
  if (outcome.ended === 'late') return ['there was no answer in time'];
  if (outcome.ended === 'closed') return [`the connection ended without an answer (${outcome.reason})`];
  const { answer, rest } = outcome;
  const wrong: string[] = [];
  // Of a request that is not HTTP it is not known that it was HEAD; its answer is the last on its connection.
  const isUnread = sent.case.method === 'HEAD' && [400, 431].includes(answer.status) && answer.closes;
  if (rest.length > 0 && !isUnread) wrong.push(`${rest.length} bytes after the answer`);
  const id = answer.headers.get('x-request-id');
  if (id === undefined || id === '') wrong.push('the answer has no X-Request-ID');
  if (answer.status >= 500 && answer.status !== 501)
    wrong.push(`status ${answer.status}: ${answer.body.toString().slice(0, 500)}`);
  else if (answer.status >= 400) wrong.push(...judgeRefusal(sent, answer, described, queueMayFill));
  else wrong.push(...judgeSuccess(sent, answer, described));
  return wrong;
}

/** The status and the headers of an answer must be described, if its operation is known. */
function judgeHead({ status, headers }: Answer, operation: Operation): string[] {
  const answer = operation.answers.get(status);
  if (!answer) return [`${status} is not described for ${operation.name}`];
  const unknown = DESCRIBED_HEADERS.filter((name) => headers.has(name) && !answer.headers.has(name));
  return unknown.map((name) => `${name} is not described for ${status} of ${operation.name}`);
}

function judgeRefusal(sent: Sent, answer: Answer, described: Interface, queueMayFill: boolean): string[] {
  const { schemas } = described;
  const { method, mutated } = sent.case;
  const operation = meantBy(method, sent.target, described);
  const wrong = operation ? judgeHead(answer, operation) : [];
  if (answer.headers.get('content-type') !== 'application/problem+json') wrong.push('a refusal is no problem+json');
  if (answer.status === 429 && !/^[1-9]\d*$/.test(answer.headers.get('retry-after') ?? '')) {
    wrong.push('429 without a Retry-After in whole seconds');
  }
  if (answer.status === 405 && !answer.headers.has('allow')) wrong.push('405 without Allow');
  // An error in its bytes may be detected before its operation is known.
  if (method === 'HEAD') return wrong;
  const text = answer.body.toString();
  const problem = parse(text);
  const flaw = flawOf({ $ref: 'Problem' }, problem, schemas, true);
  if (flaw !== null) return [...wrong, `the problem is not as described: ${flaw}: ${text.slice(0, 500)}`];
  const { code, status, title, detail, errors = [], request_id: requestId } = problemForm.parse(problem);
  if (status !== answer.status) wrong.push(`the problem has status ${status}`);
  if (STATUS_BY_CODE.get(code) !== answer.status) wrong.push(`${code} with ${answer.status} is not documented`);
  if (requestId !== answer.headers.get('x-request-id')) wrong.push('the request id differs from the header');
  if (answer.status === 429 && !queueMayFill) wrong.push('429, and the queue cannot be full');
  if (text.length > 10_000) wrong.push(`the problem has ${text.length} characters`);
  for (const shown of [title, detail, ...errors.map((error) => error.detail)]) {
    const internal = internalsIn(shown);
    if (internal !== null) wrong.push(`the answer exposes internals (${internal}): ${shown.slice(0, 300)}`);
  }
  const isOfKey = sent.access !== undefined && isAccessRefusal(code);
  if (isOfKey) wrong.push(...judgeAccessRefusal(answer, code, sent.access ?? null));
  else if (isAccessRefusal(code)) wrong.push(`${code}, and the service has no keys`);
  const isIllFormed = [400, 403, 405, 413, 415, 417, 421, 431, 501].includes(answer.status);
  const isTooLarge = (sent.body?.length ?? 0) > BODY_BYTES_MAX;
  // @external has an account per currency, and a request may have to say which.
  const isUnclear = sent.target.includes('external') && detail.startsWith('@external has one account per currency');
  const isTooWide = code === 'filter_too_wide' && mayReadAll(sent.target);
  if (mutated.length === 0 && isIllFormed && !isTooLarge && !isUnclear && !isTooWide && !isOfKey) {
    wrong.push(`a request that is as described is called ill-formed: ${text.slice(0, 500)}`);
  }
  return wrong;
}

/** Whether a list has a filter without an index, and no other filter that bounds what it reads. */
function mayReadAll(target: string): boolean {
  const query = new URLSearchParams(target.split('?')[1]);
  const metadata = query.get('metadata');
  const hasValue = metadata?.includes(':') ?? false;
  const isBounded =
    hasValue ||
    query.get('status') === 'pending' ||
    ['account', 'since', 'request_id', 'group_id', 'parent_id'].some((name) => query.has(name));
  const unindexed = ['currency', 'amount_min', 'amount_max', 'description', 'state'];
  const isCommonKind = ['hold', 'capture'].includes(query.get('kind') ?? '');
  return !isBounded && (metadata !== null || isCommonKind || unindexed.some((name) => query.has(name)));
}

/** The first words of a problem's text that callers must not see; null if there are none. */
export function internalsIn(text: string): string | null {
  // Names of members and parameters are the caller's own words: any text may be in them.
  const own = text.replace(/^`.*`/s, '').replace(/(?<=^unknown (?:member|parameter)s?: ).*/s, '');
  for (const pattern of INSIDE) {
    const [found] = pattern.exec(own) ?? [];
    if (found !== undefined) return found;
  }
  return null;
}

/** Paths outside the interface that answer browsers: the console, and the reference page. */
const PAGES = new Set(['/', '/docs']);

/** Only a browser, which names the type, gets a page, and its policy comes with it. */
function judgePage(sent: Sent, { status, headers }: Answer): string[] {
  const accepted = sent.case.headers.filter(([name]) => name.toLowerCase() === 'accept').map(([, value]) => value);
  const isOfBrowser = accepted.some((value) => value.includes('text/html'));
  if (!PAGES.has(pathOf(sent.target)) || !isOfBrowser) return [`${status}, and there is no such operation`];
  const wrong: string[] = [];
  if (status !== 200 || headers.get('content-type') !== 'text/html; charset=utf-8') wrong.push('a page is no HTML');
  if (!headers.has('content-security-policy')) wrong.push('a page without a policy');
  return wrong;
}

function judgeSuccess(sent: Sent, answer: Answer, described: Interface): string[] {
  const { method } = sent.case;
  if (method === 'OPTIONS') return answer.headers.has('allow') ? [] : ['the answer to OPTIONS has no Allow'];
  const operation = meantBy(method, sent.target, described);
  if (!operation) return judgePage(sent, answer);
  const wrong = judgeHead(answer, operation);
  const types = operation.answers.get(answer.status)?.types ?? new Map<string, Schema>();
  if (sent.access !== undefined) wrong.push(...judgeServed(sent, answer, operation, sent.access));
  const contentType = answer.headers.get('content-type')?.split(';')[0] ?? '';
  const schema = types.get(contentType);
  if (types.size > 0 && !schema) wrong.push(`${contentType} is not described for ${operation.name}`);
  if (types.size === 0 && answer.body.length > 0) wrong.push('there is a body where none is described');
  if (schema && contentType === 'application/json' && method !== 'HEAD') {
    const flaw = flawOf(schema, parse(answer.body.toString()), described.schemas, true);
    if (flaw !== null) wrong.push(`the answer is not as described: ${flaw}`);
  }
  const [prefix] = /^\/ledgers\/[^/]+(?=\/)/.exec(pathOf(sent.target)) ?? [''];
  const location = answer.headers.get('location');
  if (location !== undefined && !location.startsWith(`${prefix}/`))
    wrong.push(`the location ${location} leaves the ledger`);
  wrong.push(...judgeQuery(sent.target, operation, described));
  if (operation.body) wrong.push(...judgeBody(sent, answer, operation, described));
  return wrong;
}

/** What was not refused must have been understood: known parameters, once each, of their form. */
function judgeQuery(target: string, operation: Operation, { schemas }: Interface): string[] {
  const mark = target.indexOf('?');
  if (mark === -1) return [];
  const wrong: string[] = [];
  const seen = new Set<string>();
  for (const [name, value] of new URLSearchParams(target.slice(mark + 1))) {
    const parameter = operation.parameters.find((each) => each.in === 'query' && each.name === name);
    if (!parameter) wrong.push(`the unknown parameter ${JSON.stringify(name)} was passed over`);
    else {
      const meant = parameter.schema.type === 'integer' && /^\d+$/.test(value) ? Number(value) : value;
      const flaw = flawOf(parameter.schema, meant, schemas);
      if (flaw !== null) wrong.push(`the parameter ${name} was accepted, though it ${flaw}`);
    }
    if (seen.has(name)) wrong.push(`the parameter ${name} was accepted twice`);
    seen.add(name);
  }
  return wrong;
}

/** What an answer says where the request left it out, or requested null. */
const DEFAULTS: Readonly<Record<string, unknown>> = {
  currency: 'USD',
  overdraft_limit: 0,
  email: null,
  phone: null,
  date_of_birth: null,
};

const record = z.record(z.string(), z.unknown());

function judgeBody(sent: Sent, answer: Answer, operation: Operation, { schemas }: Interface): string[] {
  const body = sent.body?.toString() ?? '';
  if (body === '') return /capture|void|reversals|rotate-secret/.test(operation.path) ? [] : ['no body was accepted'];
  const parsed = parse(body);
  if (parsed === undefined) return ['a body that is no JSON was accepted'];
  if (!Buffer.from(body).equals(sent.body ?? Buffer.alloc(0))) return ['a body that is not UTF-8 was accepted'];
  const flaw = flawOf(operation.body ?? {}, parsed, schemas);
  if (flaw !== null) return [`a body was accepted, though ${flaw}`];
  if (hasInexact(body)) return ['a number that is no integer was accepted'];
  // A change is not shown to a key that may not read the account.
  if (answer.status === 204) return [];
  const reported = record.parse(parse(answer.body.toString()));
  const requested = record.parse(parsed);
  if (operation.path.startsWith('/webhooks')) return compareMembers(requested, reported, ECHOED_BY_WEBHOOKS);
  const list = ['transfers', 'accounts'].find((name) => Array.isArray(requested[name]));
  if (list === undefined) return compare(requested, reported, operation.name, '');
  const members = z.array(record).parse(requested[list]);
  const answered = z.array(record).safeParse(reported[list]).data ?? [];
  if (members.length !== answered.length) return [`${members.length} ${list} were sent, ${answered.length} answered`];
  return members.flatMap((member, index) => compare(member, answered[index] ?? {}, operation.name, `/${index}`));
}

const ECHOED = ['account_number', 'name', 'email', 'phone', 'date_of_birth', 'overdraft_limit', 'metadata', 'status'];
const ECHOED_BY_MOVEMENTS = ['from_account', 'to_account', 'amount', 'description', 'metadata'];

const ECHOED_BY_WEBHOOKS = ['url', 'types', 'account', 'kind', 'description', 'status'];

function compareMembers(
  requested: Record<string, unknown>,
  reported: Record<string, unknown>,
  names: readonly string[],
): string[] {
  return names
    .filter((name) => requested[name] !== undefined && !isDeepStrictEqual(requested[name], reported[name]))
    .map((name) => `/${name} is reported as ${JSON.stringify(reported[name])}, and was sent otherwise`);
}

/** Every member that the answer repeats must be what was sent, character by character. */
function compare(
  requested: Record<string, unknown>,
  reported: Record<string, unknown>,
  operation: string,
  at: string,
): string[] {
  const isMovement = !/\/(accounts|ledgers|clock)$/.test(operation) && !operation.startsWith('PATCH');
  const isOpening = operation === 'POST /accounts';
  const names = isMovement ? ECHOED_BY_MOVEMENTS : ECHOED;
  return [...names, ...(isOpening || isMovement ? ['currency'] : [])].flatMap((name) => {
    let wanted = requested[name];
    if (wanted === undefined) {
      if (isMovement && ['description', 'metadata'].includes(name)) wanted = null;
      else if (isOpening && name === 'metadata') wanted = {};
      else if (isOpening && name in DEFAULTS) wanted = DEFAULTS[name];
      else return [];
    }
    // What currency and what amount a movement has is known only when it is settled.
    if (isMovement && reported[name] === null && requested[name] === undefined) return [];
    // -0 and 0 are one amount.
    if (wanted === 0 && reported[name] === 0) return [];
    if (isDeepStrictEqual(wanted, reported[name])) return [];
    return [
      `${at}/${name} is reported as ${JSON.stringify(reported[name])}, and was sent as ${JSON.stringify(wanted)}`,
    ];
  });
}

/** Whether a number that counts is written other than as an integer; of two members of one name the last one counts. */
function hasInexact(json: string): boolean {
  let found = false;
  JSON.parse(json, (_key: string, value: unknown, context?: { source?: string }) => {
    if (typeof value === 'number' && !/^-?\d+$/.test(context?.source ?? '')) found = true;
    return value;
  });
  return found;
}
