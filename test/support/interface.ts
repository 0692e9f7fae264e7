// The served /openapi.json, and a small judge of JSON Schema that shares nothing with the service's own: it reads the
// document as any caller might.
import { z } from 'zod';

const schemaForm = z.looseObject({
  type: z.union([z.string(), z.array(z.string())]).optional(),
  format: z.string().optional(),
  pattern: z.string().optional(),
  enum: z.array(z.unknown()).optional(),
  const: z.unknown().optional(),
  minLength: z.number().optional(),
  maxLength: z.number().optional(),
  minimum: z.number().optional(),
  maximum: z.number().optional(),
  minItems: z.number().optional(),
  maxItems: z.number().optional(),
  required: z.array(z.string()).optional(),
  $ref: z.string().optional(),
  get properties() {
    return z.record(z.string(), schemaForm).optional();
  },
  get additionalProperties() {
    return z.union([z.boolean(), schemaForm]).optional();
  },
  get propertyNames() {
    return schemaForm.optional();
  },
  get items() {
    return schemaForm.optional();
  },
  get anyOf() {
    return z.array(schemaForm).optional();
  },
  get oneOf() {
    return z.array(schemaForm).optional();
  },
  get allOf() {
    return z.array(schemaForm).optional();
  },
});

const contentForm = z.record(
  z.string(),
  z.object({ schema: schemaForm, examples: z.record(z.string(), z.unknown()).default({}) }),
);

const responseForm = z.object({
  $ref: z.string().optional(),
  content: contentForm.optional(),
  headers: z.record(z.string(), z.unknown()).default({}),
});

const documentForm = z.object({
  paths: z.record(
    z.string(),
    z.record(
      z.string(),
      z.object({
        operationId: z.string(),
        'x-scope': z.string().optional(),
        security: z.array(z.unknown()),
        parameters: z.array(
          z.object({ name: z.string(), in: z.enum(['path', 'query', 'header']), schema: schemaForm }),
        ),
        requestBody: z.object({ content: contentForm }).optional(),
        responses: z.record(z.string(), responseForm),
        servers: z.array(z.object({ url: z.string() })).optional(),
      }),
    ),
  ),
  components: z.object({
    schemas: z.record(z.string(), schemaForm),
    responses: z.record(z.string(), responseForm),
  }),
});

/** In place of a scope: a key is needed, whatever its scopes. */
export const ANY_KEY = 'any';

export type Schema = z.infer<typeof schemaForm>;
export type Schemas = Readonly<Record<string, Schema>>;

export type Parameter = { readonly name: string; readonly in: 'path' | 'query' | 'header'; readonly schema: Schema };

export type Operation = {
  /** Such as getAccount. */
  readonly id: string;
  /** Such as `GET /accounts/{account_number}`. */
  readonly name: string;
  readonly method: string;
  readonly path: string;
  readonly parameters: readonly Parameter[];
  readonly body: Schema | null;
  /** The scope that its caller needs, or ANY_KEY; null: none, and no key either. */
  readonly scope: string | null;
  /** Whether it also has a path under /ledgers/{ledger}: one that names no servers of its own has those of the document. */
  readonly isOfLedger: boolean;
  /** By status. */
  readonly answers: ReadonlyMap<number, DescribedAnswer>;
};

/** The schemas of an answer by media type, and the names of its headers, in lower case. */
export type DescribedAnswer = {
  readonly types: ReadonlyMap<string, Schema>;
  readonly headers: ReadonlySet<string>;
  /** The names of its examples. */
  readonly examples: readonly string[];
};

/** Headers of answers that the description names where they may come. */
export const DESCRIBED_HEADERS = [
  'idempotency-replayed',
  'location',
  'preference-applied',
  'ratelimit',
  'ratelimit-policy',
  'retry-after',
  'www-authenticate',
];

export type Interface = { readonly operations: readonly Operation[]; readonly schemas: Schemas };

/** Reads the text of an OpenAPI document. */
export function parseInterface(text: string): Interface {
  const { paths, components } = documentForm.parse(JSON.parse(text));
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]): Operation => {
      const { parameters, requestBody, responses, servers } = operation;
      const answers = Object.entries(responses).map(([status, response]): [number, DescribedAnswer] => {
        const meant = components.responses[response.$ref?.split('/').at(-1) ?? ''] ?? response;
        const types = new Map(Object.entries(meant.content ?? {}).map(([type, { schema }]) => [type, schema]));
        const headers = new Set(Object.keys(meant.headers).map((name) => name.toLowerCase()));
        const examples = Object.values(meant.content ?? {}).flatMap((content) => Object.keys(content.examples));
        return [Number(status), { types, headers, examples }];
      });
      return {
        id: operation.operationId,
        name: `${method.toUpperCase()} ${path}`,
        method: method.toUpperCase(),
        path,
        parameters: parameters.map((each) => ({ ...each, schema: resolve(each.schema, components.schemas) })),
        body: requestBody?.content['application/json']?.schema ?? null,
        scope: operation['x-scope'] ?? (operation.security.length > 0 ? ANY_KEY : null),
        isOfLedger: servers === undefined,
        answers: new Map(answers),
      };
    }),
  );
  return { operations, schemas: components.schemas };
}

/** The schema that a reference means. */
export function resolve(schema: Schema, schemas: Schemas): Schema {
  if (schema.$ref === undefined) return schema;
  const meant = schemas[schema.$ref.split('/').at(-1) ?? ''];
  if (!meant) throw new Error(`${schema.$ref} refers to nothing.`);
  return meant;
}

/**
 * The error of the value, as a path and a word; null if the schema accepts it. Lengths count characters (code points).
 * `closed`: an object may have no member that its schema does not name. Answers may grow, so the document does not say
 * that, but the service may not send what it does not describe.
 */
export function flawOf(schema: Schema, value: unknown, schemas: Schemas, closed = false): string | null {
  return flawAt(schema, value, { schemas, closed }, '');
}

type Judging = { readonly schemas: Schemas; readonly closed: boolean };

function flawAt(schema: Schema, value: unknown, judging: Judging, at: string): string | null {
  if (schema.$ref !== undefined) return flawAt(resolve(schema, judging.schemas), value, judging, at);
  for (const each of schema.allOf ?? []) {
    const flaw = flawAt(each, value, judging, at);
    if (flaw !== null) return flaw;
  }
  const all = schema.anyOf ?? schema.oneOf;
  // An enumeration that may grow is also any text; the service may send only what it lists.
  const alternatives = judging.closed ? all?.filter((each) => all.length === 1 || !isAnyText(each)) : all;
  if (alternatives) {
    const flaws = alternatives.map((each) => flawAt(each, value, judging, at));
    const fitting = flaws.filter((flaw) => flaw === null).length;
    if (fitting === 0) return flaws.join(' and ');
    if (schema.oneOf && fitting > 1) return `${at} is more than one of the alternatives`;
  }
  if (schema.enum && !schema.enum.includes(value)) return `${at} is none of the enum`;
  if (schema.const !== undefined && schema.const !== value) return `${at} is not the constant`;
  if (schema.type !== undefined) {
    const types = [schema.type].flat();
    if (!types.some((type) => type === typeOf(value, type))) return `${at} is no ${types.join(' or ')}`;
  }
  if (typeof value === 'string') return textFlaw(schema, value, at);
  if (typeof value === 'number') {
    if (value < (schema.minimum ?? -Infinity)) return `${at} is too small`;
    return value > (schema.maximum ?? Infinity) ? `${at} is too large` : null;
  }
  if (Array.isArray(value)) return listFlaw(schema, value, judging, at);
  return typeof value === 'object' && value !== null ? objectFlaw(schema, value, judging, at) : null;
}

function isAnyText(schema: Schema): boolean {
  return schema.type === 'string' && Object.keys(schema).length === 1;
}

function typeOf(value: unknown, wanted: string): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'number') return wanted === 'integer' && Number.isInteger(value) ? 'integer' : 'number';
  return typeof value;
}

const patterns = new Map<string, RegExp>();

function textFlaw(schema: Schema, value: string, at: string): string | null {
  // Counting is expensive, and most texts are far from any bound.
  const length = schema.maxLength === undefined && schema.minLength === undefined ? 0 : Array.from(value).length;
  if (length < (schema.minLength ?? 0)) return `${at} is too short`;
  if (length > (schema.maxLength ?? Infinity)) return `${at} is too long`;
  if (schema.pattern === undefined) return null;
  const pattern = patterns.get(schema.pattern) ?? new RegExp(schema.pattern, 'u');
  patterns.set(schema.pattern, pattern);
  return pattern.test(value) ? null : `${at} does not match the pattern`;
}

function listFlaw(schema: Schema, value: readonly unknown[], judging: Judging, at: string): string | null {
  if (value.length < (schema.minItems ?? 0)) return `${at} has too few items`;
  if (value.length > (schema.maxItems ?? Infinity)) return `${at} has too many items`;
  if (!schema.items) return null;
  for (const [index, item] of value.entries()) {
    const flaw = flawAt(schema.items, item, judging, `${at}/${index}`);
    if (flaw !== null) return flaw;
  }
  return null;
}

function objectFlaw(schema: Schema, value: object, judging: Judging, at: string): string | null {
  const missing = (schema.required ?? []).find((name) => !Object.hasOwn(value, name));
  if (missing !== undefined) return `${at}/${missing} is missing`;
  for (const [name, member] of Object.entries(value)) {
    const known = schema.properties && Object.hasOwn(schema.properties, name) ? schema.properties[name] : undefined;
    const meant = known ?? schema.additionalProperties ?? !(judging.closed && schema.properties);
    if (meant === false) return `${at}/${name} is unknown`;
    const nameFlaw = schema.propertyNames ? flawAt(schema.propertyNames, name, judging, `${at} name`) : null;
    const flaw = nameFlaw ?? (meant === true ? null : flawAt(meant, member, judging, `${at}/${name}`));
    if (flaw !== null) return flaw;
  }
  return null;
}
