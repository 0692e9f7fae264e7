// The answers of routes in the OpenAPI document: every status that a route can answer, with its headers.
import { STATUS_CODES } from 'node:http';
import { type ProblemCode, PROBLEMS } from '../http/problem.ts';
import { EXAMPLES } from './examples/all.ts';
import type { Example } from './examples/parts.ts';
import { schemaRef } from './openapi-schemas.ts';
import type { Route } from './route.ts';
import { TRANSFER_PARAMETERS } from './schemas.ts';
import type { AnswerName } from './views.ts';

type Json = Record<string, unknown>;

/** Whether a route creates transfers, and accepts the parameters that all of them have. */
export const createsTransfers = ({ query }: Route): boolean => query === TRANSFER_PARAMETERS;

/** Whether a route decides an approval, and then submits transfers. */
export const decides = ({ operationId }: Route): boolean => operationId === 'decideApproval';

/** Routes of POST that need no key: sent again, they have the same result. */
const SAME_AGAIN = ['decideApproval'];

/** Whether a route honors Idempotency-Key. */
export const takesKey = ({ method, operationId }: Route): boolean =>
  method === 'POST' && !SAME_AGAIN.includes(operationId);

/** Whether an answer shows an account with its entity tag. */
const isTagged = ({ operationId }: Route, status: number): boolean =>
  ['getAccount', 'updateAccount'].includes(operationId) && (status === 200 || status === 304);

/** Problems of every request, because they are found before its route. */
const ANY_PROBLEMS: readonly ProblemCode[] = [
  'malformed_http',
  'invalid_request',
  'foreign_origin',
  'request_timeout',
  'expectation_failed',
  'host_not_allowed',
  'headers_too_large',
  'internal_error',
  'too_many_connections',
  'shutting_down',
];

/** Problems that follow from what a route is, each group with its condition. */
const DERIVED_PROBLEMS: readonly {
  readonly when: (route: Route) => boolean;
  readonly codes: readonly ProblemCode[];
}[] = [
  { when: ({ method }) => method === 'GET', codes: ['too_many_answers'] },
  { when: ({ method }) => method !== 'GET', codes: ['unsupported_media_type', 'outcome_unknown'] },
  { when: ({ takesBody }) => takesBody, codes: ['malformed_json', 'body_too_large', 'too_many_bodies'] },
  {
    when: ({ scope }) => scope !== 'open',
    codes: ['unauthorized', 'not_allowed', 'rate_limited'],
  },
  { when: ({ scope }) => scope !== 'open' && scope !== 'any', codes: ['insufficient_scope'] },
  { when: ({ scope }) => scope !== 'open', codes: ['database_unavailable', 'issuer_unavailable', 'too_busy'] },
  { when: ({ global }) => global !== true, codes: ['ledger_not_found'] },
  { when: takesKey, codes: ['idempotency_key_reused'] },
  { when: ({ needsAdmission }) => needsAdmission === true, codes: ['queue_full'] },
  { when: createsTransfers, codes: ['daily_limit_reached', 'approval_expired'] },
];

/** Every problem that a route can answer with: its own, those that follow from what it is, those of every route. */
export function problemsOf(route: Route): ProblemCode[] {
  const derived = DERIVED_PROBLEMS.flatMap(({ when, codes }) => (when(route) ? codes : []));
  return [...new Set([...route.problems, ...derived, ...ANY_PROBLEMS])];
}

/** Every status that a route can be refused with. */
function refusalsOf(route: Route): number[] {
  return [...new Set(problemsOf(route).map((code) => PROBLEMS[code].status))];
}

/** The headers of answers. */
const HEADERS: Readonly<Record<string, { type: 'string' | 'integer'; description: string }>> = {
  'X-Request-ID': {
    type: 'string',
    description: 'The id of the request: the one that the caller sent, or one that was made for it.',
  },
  Location: {
    type: 'string',
    description: 'The path of what was created, with the prefix of the ledger that the request had.',
  },
  ETag: {
    type: 'string',
    description: 'The version of the account, for If-None-Match and If-Match.',
  },
  'Idempotency-Replayed': {
    type: 'string',
    description: '`true`: the idempotency key named this request before, and nothing was done again.',
  },
  'Preference-Applied': { type: 'string', description: 'The applied wait, such as `wait=5`.' },
  'Retry-After': { type: 'integer', description: 'After how many seconds to send the request again.' },
  RateLimit: {
    type: 'string',
    description: 'For a key with a limit, the requests that it may still send: `"requests";r=9;t=1`.',
  },
  'RateLimit-Policy': {
    type: 'string',
    description: 'For a key with a limit, the limit: `"requests";q=10;w=1` is ten requests in a second.',
  },
  'WWW-Authenticate': { type: 'string', description: 'How to authenticate, and the scope that the key lacks.' },
};

const RATE_HEADERS = ['RateLimit', 'RateLimit-Policy'];

/** The headers of problems, by status, besides X-Request-ID. */
const PROBLEM_HEADERS: Readonly<Record<number, readonly string[]>> = {
  401: ['WWW-Authenticate'],
  403: ['WWW-Authenticate'],
  409: ['Retry-After'],
  429: ['Retry-After', ...RATE_HEADERS],
  503: ['Retry-After'],
};

/** Other types of an answer, which the request's Accept header selects. */
const OTHER_TYPES: Readonly<Partial<Record<AnswerName, readonly string[]>>> = {
  Statement: ['text/csv', 'text/html'],
  EventPage: ['text/event-stream'],
};

/** The headers, as components of the document. */
export function renderHeaders(): Json {
  return Object.fromEntries(
    Object.entries(HEADERS).map(([name, { type, description }]) => [
      name,
      { description, required: name === 'X-Request-ID', schema: { type } },
    ]),
  );
}

/** The answers with problems, as components of the document: one for each status that a route can answer. */
export function renderProblems(routes: readonly Route[]): Json {
  const statuses = new Set(routes.flatMap(refusalsOf));
  const codes = Object.entries(PROBLEMS).filter(([, { status }]) => statuses.has(status));
  return Object.fromEntries(
    [...Map.groupBy(codes, ([, { status }]) => status)].map(([status, group]) => [
      nameOf(status),
      {
        description: group.map(([code, { title }]) => `\`${code}\`: ${title}.`).join('\n'),
        headers: refsTo(PROBLEM_HEADERS[status] ?? []),
        content: {
          'application/problem+json': {
            schema: schemaRef('Problem'),
            ...renderExamples(
              EXAMPLES.filter((each) => each.status === status),
              answerOf,
            ),
          },
        },
      },
    ]),
  );
}

/** The member `examples` of a body: the part of each example that `show` selects. */
export function renderExamples(examples: readonly Example[], show: (example: Example) => unknown): Json {
  const shown = examples.filter((each) => show(each) !== undefined);
  if (shown.length === 0) return {};
  return { examples: Object.fromEntries(shown.map((each) => [each.name, { value: show(each) }])) };
}

/** What an empty answer means, if it is not that something was done. */
const EMPTY_ANSWERS: Readonly<Record<number, string>> = { 304: 'The caller has the current representation.' };

const answerOf = ({ answer }: Example): unknown => answer;

/** All answers of a route, by status. */
export function renderResponses(route: Route): Json {
  const examples = EXAMPLES.filter(({ operationId }) => operationId === route.operationId);
  const answers = Object.entries(route.answers).map(([status, name]) => [
    status,
    {
      description:
        name === null ? (EMPTY_ANSWERS[Number(status)] ?? 'Done.') : `${STATUS_CODES[status] ?? ''}: ${name}.`,
      headers: refsTo(headersOf(route, Number(status))),
      ...(name !== null && {
        content: renderContent(
          name,
          examples.filter((each) => each.status === Number(status)),
        ),
      }),
    },
  ]);
  const problems = refusalsOf(route).map((status) => [status, { $ref: `#/components/responses/${nameOf(status)}` }]);
  return Object.fromEntries([...answers, ...problems]);
}

/** The name of the component of a status, such as NotFound. */
function nameOf(status: number): string {
  return (STATUS_CODES[status] ?? '').replaceAll(/\W/g, '');
}

function headersOf(route: Route, status: number): string[] {
  const { scope, method } = route;
  const isCreated = takesKey(route) || (method === 'PATCH' && status === 202);
  return [
    ...(isCreated ? ['Location'] : []),
    ...(isTagged(route, status) ? ['ETag'] : []),
    ...(takesKey(route) ? ['Idempotency-Replayed'] : []),
    ...(createsTransfers(route) ? ['Preference-Applied'] : []),
    ...(scope === 'open' ? [] : RATE_HEADERS),
  ];
}

function refsTo(headers: readonly string[]): Json {
  return Object.fromEntries(
    ['X-Request-ID', ...headers].map((name) => [name, { $ref: `#/components/headers/${name}` }]),
  );
}

function renderContent(name: AnswerName, examples: readonly Example[]): Json {
  const type = name === 'Metrics' ? 'text/plain' : 'application/json';
  const others = (OTHER_TYPES[name] ?? []).map((other) => [other, { schema: { type: 'string' } }]);
  return { [type]: { schema: schemaRef(name), ...renderExamples(examples, answerOf) }, ...Object.fromEntries(others) };
}
