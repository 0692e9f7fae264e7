// The OpenAPI document, made from the routes, the schemas that parse their requests, and the views of their answers.
import { MAIN_LEDGER } from '../../domain/ledger.ts';
import { VERSION } from '../../version.ts';
import { PROBLEMS } from '../http/problem.ts';
import {
  createsTransfers,
  decides,
  renderExamples,
  renderHeaders,
  renderProblems,
  renderResponses,
  takesKey,
} from './openapi-answers.ts';
import { type DocumentSchemas, renderSchemas } from './openapi-schemas.ts';
import { EXAMPLES } from './examples/all.ts';
import type { Example } from './examples/parts.ts';
import { NO_BODY, type Route, TAGS } from './route.ts';

type Json = Record<string, unknown>;

const PATH_PARAMETERS: Readonly<Record<string, { schema: Json; description: string }>> = {
  account_number: { schema: { type: 'string' }, description: 'The number of an account.' },
  id: { schema: { type: 'string', format: 'uuid' }, description: 'The id in an earlier answer.' },
  month: { schema: { type: 'string', pattern: String.raw`^\d{4}-\d{2}$` }, description: 'Such as 2026-11, in UTC.' },
  ledger: { schema: { type: 'string' }, description: 'The name of a ledger.' },
  number: { schema: { type: 'integer' }, description: 'The number of a delivery, or of a row of the journal.' },
};

/** The routes that change an account as a caller knows it. */
const CHANGES = ['updateAccount', 'closeAccount', 'erasePersonalData'];

/** The headers of requests, each with the routes that honor it. */
const HEADERS: Readonly<Record<string, { schema: Json; description: string; isTaken: (route: Route) => boolean }>> = {
  'X-Request-ID': {
    schema: { type: 'string' },
    description: 'An id chosen by the caller; otherwise the service creates one.',
    isTaken: () => true,
  },
  'Last-Event-ID': {
    schema: { type: 'string' },
    description: 'With Accept: text/event-stream: the id of the last event you have; it outranks `after`.',
    isTaken: ({ answers }) => Object.values(answers).includes('EventPage'),
  },
  'Idempotency-Key': {
    schema: { type: 'string', maxLength: 255 },
    description: 'One key names one request, permanently.',
    isTaken: takesKey,
  },
  Prefer: {
    schema: { type: 'string', examples: ['wait=5'] },
    description:
      'wait=n: answer when the transfer is final, or after n seconds (at most WAIT_TIMEOUT_MS, 30 s by default).',
    isTaken: (route) => createsTransfers(route) || decides(route),
  },
  'If-Match': {
    schema: { type: 'string' },
    description: 'The ETag of the account: nothing is done if the account was changed since, except by transfers.',
    isTaken: ({ operationId }) => CHANGES.includes(operationId),
  },
  'If-None-Match': {
    schema: { type: 'string' },
    description: 'The ETag of the account: 304 if nothing that the answer would show has changed since.',
    isTaken: ({ operationId }) => operationId === 'getAccount',
  },
};

/** How callers prove who they are. A service without keys, on loopback, asks for none of them. */
const SECURITY_SCHEMES = {
  key: { type: 'http', scheme: 'bearer', description: 'A key, `gp_…`, or a token of the issuer of the operator.' },
  basic: { type: 'http', scheme: 'basic', description: 'A key as the user name; the password is ignored.' },
};

/** The document, as a JSON value. `basePath`: the prefix of all paths; empty: none. */
export function renderOpenApi(routes: readonly Route[], basePath = ''): Json {
  const schemas = renderSchemas(routes);
  const root = basePath === '' ? '/' : basePath;
  const paths: Record<string, Json> = {};
  for (const route of routes) {
    const path = route.pattern.replaceAll(/:(\w+)/g, '{$1}');
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: renderOperation(route, { schemas, root }) };
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'GopherPay',
      version: VERSION,
      description: 'Accounts and transfers on PostgreSQL.',
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [
      { url: root, description: `The ledger ${MAIN_LEDGER.name}.` },
      {
        url: `${basePath}/ledgers/{ledger}`,
        description: 'Any ledger.',
        variables: { ledger: { default: MAIN_LEDGER.name, description: 'The name of the ledger.' } },
      },
    ],
    tags: Object.entries(TAGS).map(([name, description]) => ({ name, description })),
    paths,
    components: {
      schemas: schemas.components,
      responses: renderProblems(routes),
      headers: renderHeaders(),
      securitySchemes: SECURITY_SCHEMES,
    },
  };
}

function renderOperation(route: Route, { schemas, root }: { schemas: DocumentSchemas; root: string }): Json {
  return {
    operationId: route.operationId,
    tags: [route.tag],
    summary: route.summary,
    description: describe(route),
    security: route.scope === 'open' ? [] : Object.keys(SECURITY_SCHEMES).map((name) => ({ [name]: [] })),
    // For programs. Linters accept scopes in `security` only for OAuth.
    ...(route.scope !== 'open' && route.scope !== 'any' && { 'x-scope': route.scope }),
    // A route without a ledger has no path under /ledgers/{ledger}.
    ...(route.global && { servers: [{ url: root }] }),
    parameters: [...pathParameters(route), ...queryParameters(route, schemas), ...headerParameters(route)],
    ...(route.body !== NO_BODY && {
      requestBody: {
        required: route.bodyOptional !== true,
        content: {
          'application/json': {
            schema: schemas.bodyOf(route),
            ...renderExamples(requestsOf(route), ({ body }) => body),
          },
        },
      },
    }),
    responses: renderResponses(route),
  };
}

/** The examples of requests. One that is refused is an example of an answer only. */
function requestsOf({ operationId }: Route): Example[] {
  return EXAMPLES.filter((each) => each.operationId === operationId && each.status < 400);
}

function describeScope(scope: Route['scope']): string {
  if (scope === 'open') return 'Needs no key.';
  return scope === 'any' ? 'Needs a key, and no scope.' : `Needs the scope \`${scope}\`.`;
}

/** What a caller needs, and the codes that only this route has. */
function describe({ scope, problems }: Route): string {
  const needed = describeScope(scope);
  if (problems.length === 0) return needed;
  return `${needed}\nProblems: ${problems.map((code) => `\`${code}\` (${PROBLEMS[code].status})`).join(', ')}.`;
}

function pathParameters(route: Route): Json[] {
  return [...route.pattern.matchAll(/:(\w+)/g)].map(([, name = '']) => {
    const [example] = requestsOf(route).flatMap(({ parameters }) => parameters?.[name] ?? []);
    const known = PATH_PARAMETERS[name] ?? { schema: { type: 'string' } };
    const value = known.schema.type === 'integer' ? Number(example) : example;
    return { name, in: 'path', required: true, ...known, ...(example !== undefined && { example: value }) };
  });
}

function queryParameters(route: Route, schemas: DocumentSchemas): Json[] {
  const { properties = {}, required = [] } = schemas.queryOf(route);
  return Object.entries(properties).map(([name, schema]) => {
    const { description, ...rest } = typeof schema === 'boolean' ? {} : schema;
    return { name, in: 'query', required: required.includes(name), description, schema: rest };
  });
}

function headerParameters(route: Route): Json[] {
  return Object.entries(HEADERS)
    .filter(([, header]) => header.isTaken(route))
    .map(([name, { schema, description }]) => ({ name, in: 'header', required: false, schema, description }));
}
