// The OpenAPI document, made from the routes, the schemas that parse their requests, and the views of their answers.
import { z } from 'zod';
import { MAIN_LEDGER } from '../../domain/ledger.ts';
import { VERSION } from '../../version.ts';
import { NO_BODY, type Route } from './route.ts';
import { TRANSFER_PARAMETERS } from './schemas.ts';
import { ANSWER_VIEWS, type AnswerName } from './views.ts';

/** Whether a route creates transfers, and accepts the parameters that all of them have. */
const createsTransfers = ({ query }: Route): boolean => query === TRANSFER_PARAMETERS;

/** Whether a route decides an approval, and then submits transfers. */
const decides = ({ method, pattern }: Route): boolean => method === 'POST' && pattern === '/approvals/:id';

const HEADERS: Readonly<
  Record<string, { schema: Record<string, unknown>; description: string; isTaken: (route: Route) => boolean }>
> = {
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
    // A decision needs none: sent again, it has the same result.
    isTaken: (route) => route.method === 'POST' && !decides(route),
  },
  Prefer: {
    schema: { type: 'string', examples: ['wait=5'] },
    description:
      'wait=n: answer when the transfer is final, or after n seconds (at most WAIT_TIMEOUT_MS, 30 s by default).',
    isTaken: (route) => createsTransfers(route) || decides(route),
  },
};

/** Other types of an answer, which the request's Accept header selects. */
const OTHER_TYPES: Readonly<Partial<Record<AnswerName, readonly string[]>>> = {
  Statement: ['text/csv', 'text/html'],
  EventPage: ['text/event-stream'],
};

/** How callers prove who they are. A service without keys, on loopback, asks for none of them. */
const SECURITY_SCHEMES = {
  key: { type: 'http', scheme: 'bearer', description: 'A key, `gp_…`, or a token of the issuer of the operator.' },
  basic: { type: 'http', scheme: 'basic', description: 'A key as the user name; the password is ignored.' },
};

/** The document, as a JSON value. */
export function renderOpenApi(routes: readonly Route[]): Record<string, unknown> {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const route of routes) {
    const path = route.pattern.replaceAll(/:(\w+)/g, '{$1}');
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: renderOperation(route) };
  }
  const schemas = Object.fromEntries(
    Object.entries(ANSWER_VIEWS).map(([name, view]) => [name, renderSchema(view, 'output')]),
  );
  return {
    openapi: '3.1.0',
    info: { title: 'GopherPay', version: VERSION, description: 'Accounts and transfers on PostgreSQL.' },
    servers: [
      { url: '/', description: `The ledger ${MAIN_LEDGER.name}.` },
      {
        url: '/ledgers/{ledger}',
        description: 'Any ledger.',
        variables: { ledger: { default: MAIN_LEDGER.name, description: 'The name of the ledger.' } },
      },
    ],
    paths,
    components: { schemas, securitySchemes: SECURITY_SCHEMES },
  };
}

function renderOperation(route: Route): Record<string, unknown> {
  const answers = Object.entries(route.answers).map(([status, name]) => [status, renderAnswer(name)]);
  return {
    summary: route.summary,
    security: route.scope === 'open' ? [] : Object.keys(SECURITY_SCHEMES).map((name) => ({ [name]: [route.scope] })),
    // A route without a ledger has no path under /ledgers/{ledger}.
    ...(route.global && { servers: [{ url: '/' }] }),
    parameters: [...pathParameters(route), ...queryParameters(route), ...headerParameters(route)],
    ...(route.body !== NO_BODY && {
      requestBody: {
        required: route.bodyOptional !== true,
        content: { 'application/json': { schema: renderSchema(route.body, 'input') } },
      },
    }),
    responses: {
      ...Object.fromEntries(answers),
      default: {
        description: 'A problem (RFC 9457)',
        content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
      },
    },
  };
}

function renderAnswer(name: AnswerName | null): Record<string, unknown> {
  if (name === null) return { description: 'Done' };
  const type = name === 'Metrics' ? 'text/plain' : 'application/json';
  const others = (OTHER_TYPES[name] ?? []).map((other) => [other, { schema: { type: 'string' } }]);
  const content = { [type]: { schema: { $ref: `#/components/schemas/${name}` } }, ...Object.fromEntries(others) };
  return { description: name, content };
}

function pathParameters(route: Route): Record<string, unknown>[] {
  return [...route.pattern.matchAll(/:(\w+)/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
  }));
}

function queryParameters(route: Route): Record<string, unknown>[] {
  const { properties, required } = renderSchema(route.query, 'input') as {
    properties?: Record<string, unknown>;
    required?: string[];
  };
  return Object.entries(properties ?? {}).map(([name, schema]) => ({
    name,
    in: 'query',
    required: required?.includes(name) ?? false,
    schema,
  }));
}

function headerParameters(route: Route): Record<string, unknown>[] {
  return Object.entries(HEADERS)
    .filter(([, header]) => header.isTaken(route))
    .map(([name, { schema, description }]) => ({ name, in: 'header', required: false, schema, description }));
}

function renderSchema(schema: z.ZodType, io: 'input' | 'output'): Record<string, unknown> {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: 'any' });
  return rest;
}
