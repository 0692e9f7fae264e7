// docs/REFERENCE.md, made from the routes and the OpenAPI document. `npm run openapi` writes it; a test compares the two.
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { LEDGERS_MAX } from '../../src/db/ledger/ledgers.ts';
import { FAILURE_MEANINGS, PROBLEM_ADVICE } from '../../src/main/api/advice.ts';
import { LIMIT_MAX } from '../../src/main/api/list-parameters.ts';
import { problemsOf } from '../../src/main/api/openapi-answers.ts';
import { PAGE_BYTES_MAX } from '../../src/main/api/pages.ts';
import { type Route, TAGS } from '../../src/main/api/route.ts';
import { WEBHOOKS_MAX } from '../../src/main/api/webhook-requests.ts';
import { GROUP_MAX, METADATA_BYTES_MAX, METADATA_KEYS_MAX } from '../../src/main/api/schemas.ts';
import { DEPTH_MAX, ELEMENTS_MAX, MEMBERS_MAX, VALUES_MAX } from '../../src/main/http/json-shape.ts';
import { ERRORS_MAX, type ProblemCode, PROBLEMS } from '../../src/main/http/problem.ts';
import { HEAD_BYTES_MAX } from '../../src/main/http/server.ts';
import { environment } from '../../src/settings.ts';

/** Of every request and every answer. */
const ANY_HEADER = 'X-Request-ID';
export const REFERENCE_FILE = new URL('../../docs/REFERENCE.md', import.meta.url);

const scalar = z.union([z.string(), z.number(), z.boolean()]);
const bound = z.number().optional();
/** A JSON Schema; its parts are parsed where they are rendered. */
const schemaForm = z.looseObject({
  $ref: z.string().optional(),
  type: z.union([z.string(), z.array(z.string())]).optional(),
  format: z.string().optional(),
  description: z.string().optional(),
  default: z.unknown().optional(),
  const: scalar.optional(),
  enum: z.array(scalar).optional(),
  anyOf: z.array(z.unknown()).optional(),
  oneOf: z.array(z.unknown()).optional(),
  items: z.unknown().optional(),
  additionalProperties: z.unknown().optional(),
  minimum: bound,
  maximum: bound,
  minLength: bound,
  maxLength: bound,
  minItems: bound,
  maxItems: bound,
});
type Schema = z.output<typeof schemaForm>;
const refForm = z.object({ $ref: z.string() });
const headersForm = z.record(z.string(), z.unknown());
const answerForm = z.union([
  refForm,
  z.object({
    description: z.string(),
    headers: headersForm,
    content: z.record(z.string(), z.object({ schema: schemaForm })).optional(),
  }),
]);
const operationForm = z.object({
  operationId: z.string(),
  summary: z.string(),
  'x-scope': z.string().optional(),
  parameters: z.array(
    z.object({
      name: z.string(),
      in: z.string(),
      required: z.boolean(),
      description: z.string().optional(),
      schema: schemaForm,
    }),
  ),
  requestBody: z
    .object({ required: z.boolean(), content: z.record(z.string(), z.object({ schema: schemaForm })) })
    .optional(),
  responses: z.record(z.string(), answerForm),
});
const documentForm = z.object({
  paths: z.record(z.string(), z.record(z.string(), operationForm)),
  components: z.object({
    schemas: z.record(z.string(), schemaForm),
    headers: z.record(z.string(), z.object({ description: z.string(), schema: schemaForm })),
    responses: z.record(z.string(), z.object({ headers: headersForm })),
  }),
});
type Document = z.output<typeof documentForm>;
type Operation = z.output<typeof operationForm>;

export function readReference(): string {
  return readFileSync(REFERENCE_FILE, 'utf8');
}

/** The page. `document`: the OpenAPI document of the same routes. */
export function renderReference(routes: readonly Route[], document: unknown): string {
  const parsed = documentForm.parse(document);
  return `${[
    '# Reference',
    [
      'Every route, object, problem and limit of the API.',
      '`npm run openapi` makes this page from the routes, their schemas and their tables, and a test compares the two.',
      '[API.md](API.md) explains what each route does, and [RECIPES.md](RECIPES.md) shows whole tasks.',
    ].join('\n'),
    ...renderRoutes(routes),
    ...renderCommonParts(routes, parsed),
    ...Object.keys(TAGS).flatMap((tag) => renderTag(tag, routes, parsed)),
    ...renderObjects(parsed),
    ...renderProblems(),
    ...renderLimits(),
  ].join('\n\n')}\n`;
}

function renderRoutes(routes: readonly Route[]): string[] {
  const rows = Object.keys(TAGS).flatMap((tag) =>
    routes
      .filter((route) => route.tag === tag)
      .map((route) => [linkTo(titleOf(route)), code(route.operationId), scopeOf(route), route.summary]),
  );
  return ['## Routes', table(['route', 'operation', 'scope', ''], rows)];
}

/** What all routes share. */
function renderCommonParts(routes: readonly Route[], { components }: Document): string[] {
  const headers = Object.entries(components.headers).map(([name, { description, schema }]) => [
    code(name),
    typeOf(schema),
    description,
  ]);
  return [
    '## What every route has',
    `Every request may have \`${ANY_HEADER}\`, and every answer has it; the sections of the routes leave it out.`,
    'They also leave out these problems, which any request may get:',
    `${codes(commonOf(routes))}.`,
    'These are the headers of answers.\nAn answer has `Retry-After` if the [table of problems](#problems) names it.',
    table(['header', 'type', 'meaning'], headers),
  ];
}

function renderTag(tag: string, routes: readonly Route[], document: Document): string[] {
  const common = commonOf(routes);
  return [
    `## Routes: ${tag}`,
    ...routes
      .filter((route) => route.tag === tag)
      .flatMap((route) => {
        const operation = document.paths[pathOf(route)]?.[route.method.toLowerCase()];
        if (!operation) throw new Error(`The document has no ${route.operationId}.`);
        return renderRoute(route, operation, common);
      }),
  ];
}

function renderRoute(route: Route, operation: Operation, common: readonly ProblemCode[]): string[] {
  const listed = operation.parameters.filter(({ name }) => name !== ANY_HEADER);
  const parameters = listed.map(({ name, in: where, required, description = '', schema }) => [
    code(name),
    where,
    typeOf(schema),
    required ? 'required' : defaultOf(schema),
    description,
  ]);
  const answers = Object.entries(operation.responses).flatMap(([status, answer]) =>
    '$ref' in answer
      ? []
      : [
          [
            `**${status}**`,
            bodyOf(answer.content),
            codes(Object.keys(answer.headers).filter((name) => name !== ANY_HEADER)),
          ],
        ],
  );
  const own = problemsOf(route).filter((each) => !common.includes(each));
  const { requestBody: body } = operation;
  return [
    `### ${code(titleOf(route))}`,
    `${route.summary}.\nOperation ${code(route.operationId)}; scope: ${scopeOf(route)}.`,
    ...(parameters.length > 0 ? [table(['parameter', 'in', 'type', 'default', 'meaning'], parameters)] : []),
    ...(body ? [`Body${body.required ? '' : ', which may be left out'}: ${bodyOf(body.content)}.`] : []),
    table(['answer', 'body', 'headers'], answers),
    ...(own.length > 0 ? [`Problems: ${codes(own)}.`] : []),
  ];
}

function renderObjects({ components }: Document): string[] {
  return [
    '## Objects',
    'Answers may get further members; bodies of requests have no others.',
    ...Object.entries(components.schemas)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .flatMap(([name, schema]) => renderObject(name, schema)),
  ];
}

function renderObject(name: string, schema: Schema): string[] {
  const description = name === 'FailureCode' || name === 'ProblemCode' ? undefined : schema.description;
  const head = [`### ${name}`, ...(description === undefined ? [] : [sentence(description)])];
  if (name === 'FailureCode') {
    const rows = Object.entries(FAILURE_MEANINGS).map(([each, when]) => [code(each), when]);
    const order = 'In the order in which the rules are checked: a transfer that breaks several has the first code.';
    return [...head, order, table(['code', 'when'], rows)];
  }
  if (name === 'ProblemCode') return [...head, 'The codes of the [problems](#problems).'];
  const { properties, required } = z
    .object({ properties: z.record(z.string(), schemaForm).optional(), required: z.array(z.string()).default([]) })
    .parse(schema);
  if (!properties || Object.keys(properties).length === 0) return [...head, `${typeOf(schema)}.`];
  const rows = Object.entries(properties).map(([member, value]) => [
    code(member),
    typeOf(value),
    required.includes(member) ? '' : 'optional',
    descriptionOf(value),
  ]);
  return [...head, table(['member', 'type', '', 'meaning'], rows)];
}

function renderProblems(): string[] {
  const rows = Object.entries(PROBLEMS).map(([name, { status }]) => {
    // The entries of a record of all codes.
    const advice = Object.entries(PROBLEM_ADVICE).find(([each]) => each === name)?.[1];
    return [code(name), String(status), advice?.when ?? '', advice?.next ?? ''];
  });
  return ['## Problems', table(['code', 'status', 'when', 'what to do next'], rows)];
}

function renderLimits(): string[] {
  const fixed: [string, number][] = [
    ['an amount, or any other integer', Number.MAX_SAFE_INTEGER],
    ['transfers in a group, accounts opened at once', GROUP_MAX],
    ['items of a page (`limit`)', LIMIT_MAX],
    ['bytes of a page, about', PAGE_BYTES_MAX],
    ['keys of metadata', METADATA_KEYS_MAX],
    ['bytes of metadata, keys and values together', METADATA_BYTES_MAX],
    ['bytes of the head of a request', HEAD_BYTES_MAX],
    ['members of an object in a body', MEMBERS_MAX],
    ['elements of an array in a body', ELEMENTS_MAX],
    ['values in a body', VALUES_MAX],
    ['depth of a body', DEPTH_MAX],
    ['errors that a problem names', ERRORS_MAX],
    ['ledgers of a service', LEDGERS_MAX],
    ['webhooks of a ledger', WEBHOOKS_MAX],
  ];
  const { properties = {} } = z.toJSONSchema(environment);
  const ofSettings = [
    'BODY_BYTES_MAX',
    'MAX_QUEUE',
    'MAX_QUEUE_BYTES',
    'WAIT_TIMEOUT_MS',
    'CONNECTIONS_MAX',
    'CALLER_SHARE_PERCENT',
    'EVENT_STREAMS_MAX',
    'STATEMENT_STREAMS_MAX',
    'DB_SCAN_TIMEOUT_MS',
  ].map((name): [string, number] => {
    const schema = properties[name];
    if (typeof schema !== 'object') throw new Error(`There is no setting ${name}.`);
    return [`${schema.description ?? ''} (${code(name)})`, Number(schema.default)];
  });
  const rows = [...fixed, ...ofSettings].map(([what, value]) => [what, value.toLocaleString('en-US')]);
  return [
    '## Limits',
    'The operator can change those with a setting; these are its defaults.',
    table(['what', 'limit'], rows),
  ];
}

/** The type of a value, in words. */
function typeOf(schema: Schema): string {
  const { $ref, type, format, items, additionalProperties } = schema;
  if ($ref !== undefined) return linkTo($ref.split('/').at(-1) ?? '');
  if (schema.enum) return schema.enum.map((value) => code(String(value))).join(', ');
  if (schema.const !== undefined) return code(String(schema.const));
  if (Array.isArray(type)) return type.map((each) => typeOf({ ...schema, type: each })).join(' or ');
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices) {
    const names = z.array(schemaForm).parse(choices).map(typeOf);
    // An enumeration that may grow is a text, too.
    const isOpen = names.length === 2 && names[1] === 'text' && names[0] !== 'null';
    return [...new Set(isOpen ? names.slice(0, 1) : names)].join(' or ');
  }
  switch (type) {
    case 'array':
      return `array of ${typeOf(schemaForm.parse(items))}${renderRange(schema.minItems, schema.maxItems)}`;
    case 'string': {
      const name = format === undefined ? 'text' : (FORMATS[format] ?? format);
      return `${name}${renderRange(schema.minLength, schema.maxLength, ' characters')}`;
    }
    case 'integer':
      return `integer${renderRange(schema.minimum, schema.maximum)}`;
    case 'object': {
      const members = schemaForm.safeParse(additionalProperties);
      return members.data?.type === undefined ? 'object' : `object of ${typeOf(members.data)}`;
    }
    default:
      return type ?? 'any';
  }
}

const FORMATS: Readonly<Record<string, string>> = {
  currency_code: 'currency code',
  'date-time': 'instant',
  email: 'email address',
  uuid: 'UUID',
};

/** Bounds, without those that every JSON integer has. */
function renderRange(min = -Number.MAX_SAFE_INTEGER, max = Number.MAX_SAFE_INTEGER, unit = ''): string {
  const [hasMin, hasMax] = [min > -Number.MAX_SAFE_INTEGER, max < Number.MAX_SAFE_INTEGER];
  if (hasMin && hasMax) return `, ${min} to ${max}${unit}`;
  if (hasMin) return `, from ${min}${unit}`;
  return hasMax ? `, up to ${max}${unit}` : '';
}

/** The description of a value, or that of the value beside null. */
function descriptionOf({ description, anyOf: choices = [] }: Schema): string {
  return description ?? schemaForm.safeParse(choices[0]).data?.description ?? '';
}

function defaultOf({ default: fallback }: Schema): string {
  if (fallback === undefined) return '';
  return code(typeof fallback === 'string' ? fallback : JSON.stringify(fallback));
}

/** The schema of JSON, and the other media types of an answer. */
function bodyOf(content: Record<string, { schema: Schema }> | undefined): string {
  const types = Object.entries(content ?? {}).map(([type, { schema }]) =>
    type === 'application/json' ? typeOf(schema) : code(type),
  );
  return types.length === 0 ? 'none' : types.join(', or ');
}

/** The problems that every route has. */
function commonOf(routes: readonly Route[]): ProblemCode[] {
  const [first, ...others] = routes.map(problemsOf);
  return (first ?? []).filter((each) => others.every((codesOfRoute) => codesOfRoute.includes(each)));
}

function pathOf({ pattern }: Route): string {
  return pattern.replaceAll(/:(\w+)/g, '{$1}');
}

const titleOf = (route: Route): string => `${route.method} ${pathOf(route)}`;
const scopeOf = ({ scope }: Route): string => (scope === 'open' ? 'none needed' : code(scope));
const code = (text: string): string => `\`${text}\``;
const codes = (names: readonly string[]): string => names.map(code).join(', ');
const sentence = (text: string): string => (/[.:!]$/.test(text) ? text : `${text}.`);

/** A link to the section of this page with this title. */
function linkTo(title: string): string {
  const anchor = title
    .toLowerCase()
    .replaceAll(/[^\w -]/g, '')
    .replaceAll(' ', '-');
  return `[${title.includes(' ') ? code(title) : title}](#${anchor})`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const render = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll('|', String.raw`\|`).replaceAll('\n', ' ')).join(' | ')} |`;
  return [render(head), `|${head.map(() => '---|').join('')}`, ...rows.map(render)].join('\n');
}
