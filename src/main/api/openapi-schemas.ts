// The schemas of the OpenAPI document. Those of bodies, of answers and of their shared members are components with a
// name, and are referred to wherever they are used, because generators of clients make one type of each component.
import { z } from 'zod';
import { FAILURE_MEANINGS, PROBLEM_ADVICE } from './advice.ts';
import { createWebhookSchema, rotateSecretSchema, updateWebhookSchema } from './event-schemas.ts';
import { conversion, createGroupSchema, groupMemberSchema, remainder, share } from './group-schemas.ts';
import { advanceClockSchema, createLedgerSchema } from './ledger-schemas.ts';
import { NO_BODY, type Route } from './route.ts';
import {
  captureHoldSchema,
  conditions,
  createAccountSchema,
  createAccountsSchema,
  createHoldSchema,
  createTransferSchema,
  currency,
  decideApprovalSchema,
  metadata,
  reverseTransferSchema,
  updateAccountSchema,
  voidHoldSchema,
} from './schemas.ts';
import { ANSWER_VIEWS, MEMBER_VIEWS } from './views.ts';

type JsonSchema = z.core.JSONSchema.BaseSchema;
type Registry = ReturnType<typeof z.registry<{ id: string }>>;

/** The schemas of requests, by the name that the document gives them. */
const REQUEST_SCHEMAS: Readonly<Record<string, z.ZodType>> = {
  AccountUpdate: updateAccountSchema,
  AmountConversion: conversion,
  AmountRemainder: remainder,
  AmountShare: share,
  ApprovalDecision: decideApprovalSchema,
  ClockAdvance: advanceClockSchema,
  Currency: currency,
  Metadata: metadata,
  NewAccount: createAccountSchema,
  NewAccounts: createAccountsSchema,
  NewCapture: captureHoldSchema,
  NewGroup: createGroupSchema,
  NewGroupMember: groupMemberSchema,
  NewHold: createHoldSchema,
  NewLedger: createLedgerSchema,
  NewReversal: reverseTransferSchema,
  NewTransfer: createTransferSchema,
  NewVoid: voidHoldSchema,
  NewWebhook: createWebhookSchema,
  SecretRotation: rotateSecretSchema,
  TransferConditions: conditions,
  WebhookUpdate: updateWebhookSchema,
};

/** Enumerations of answers that may get more values: a client must accept a text that it does not know. */
const OPEN_ENUMERATIONS = ['EventType', 'FailureCode', 'ProblemCode', 'TransferKind'];

export type DocumentSchemas = {
  readonly components: Readonly<Record<string, JsonSchema>>;
  readonly bodyOf: (route: Route) => JsonSchema;
  readonly queryOf: (route: Route) => JsonSchema;
};

/** The reference to a component. */
export function schemaRef(name: string): JsonSchema {
  return { $ref: `#/components/schemas/${name}` };
}

export function renderSchemas(routes: readonly Route[]): DocumentSchemas {
  const named = new Map(Object.entries(REQUEST_SCHEMAS).map(([name, schema]) => [schema, name]));
  const bodyKey = ({ operationId }: Route): string => `body of ${operationId}`;
  const queryKey = ({ operationId }: Route): string => `query of ${operationId}`;
  const unnamed = routes.filter(({ body }) => body !== NO_BODY && !named.has(body));
  const requests = renderAll(
    {
      ...REQUEST_SCHEMAS,
      ...Object.fromEntries(unnamed.map((route) => [bodyKey(route), route.body])),
      ...Object.fromEntries(routes.map((route) => [queryKey(route), route.query.clone()])),
    },
    'input',
  );
  const take = (key: string): JsonSchema => {
    const schema = requests[key];
    // Of two routes with the same object, one would have none.
    if (!schema) throw new Error(`The ${key} has a schema of another route: give it a name in REQUEST_SCHEMAS.`);
    return schema;
  };
  const views = { ...ANSWER_VIEWS, ...MEMBER_VIEWS };
  // Metadata is in both: what an answer has was sent in a request before.
  const twice = Object.keys(REQUEST_SCHEMAS).find((name) => name !== 'Metadata' && Object.hasOwn(views, name));
  if (twice !== undefined) throw new Error(`A request and an answer are both called ${twice}.`);
  const isComponent = ([name]: [string, JsonSchema]): boolean => Object.hasOwn(REQUEST_SCHEMAS, name);
  return {
    components: {
      ...explainCodes(openEnumerations(renderAll(views, 'output'))),
      ...Object.fromEntries(Object.entries(requests).filter(isComponent).map(describeDefaults)),
    },
    bodyOf: (route) => {
      const name = named.get(route.body);
      return name === undefined ? take(bodyKey(route)) : schemaRef(name);
    },
    queryOf: (route) => take(queryKey(route)),
  };
}

/** Renders schemas by name; where one contains another, it refers to it. */
function renderAll(schemas: Readonly<Record<string, z.ZodType>>, io: 'input' | 'output'): Record<string, JsonSchema> {
  const registry: Registry = z.registry<{ id: string }>();
  for (const [id, schema] of Object.entries(schemas)) registry.add(schema, { id });
  const rendered = z.toJSONSchema(registry, {
    io,
    unrepresentable: 'any',
    uri: (id) => schemaRef(id).$ref ?? '',
    override: ({ zodSchema, jsonSchema }) => {
      if (io === 'output') openUp(jsonSchema);
      if (zodSchema instanceof z.ZodDiscriminatedUnion) {
        jsonSchema['discriminator'] = renderDiscriminator(zodSchema.options, registry);
      }
    },
  });
  // Neither is known to the generators.
  for (const schema of Object.values(rendered.schemas)) {
    delete schema.$schema;
    delete schema.$id;
  }
  return rendered.schemas;
}

/** Answers may grow, so the document forbids no other members of them. What a format says needs no pattern. */
function openUp(schema: JsonSchema): void {
  if (schema.additionalProperties === false) delete schema.additionalProperties;
  if (schema.format !== undefined) delete schema.pattern;
}

/** Lets members of these enumerations be any text. The enumerations themselves are types for what is known. */
function openEnumerations(schemas: Record<string, JsonSchema>): Record<string, JsonSchema> {
  const open = new Set(OPEN_ENUMERATIONS.map((name) => schemaRef(name).$ref));
  return JSON.parse(JSON.stringify(schemas), (_, value: JsonSchema | null) =>
    typeof value === 'object' && open.has(value?.$ref) ? { anyOf: [value, { type: 'string' }] } : value,
  );
}

/** Says when each code occurs, and what to do next. */
function explainCodes(schemas: Record<string, JsonSchema>): Record<string, JsonSchema> {
  const failures = Object.entries(FAILURE_MEANINGS).map(([code, when]) => `\`${code}\`: ${when}.`);
  const problems = Object.entries(PROBLEM_ADVICE).map(
    ([code, { when, next }]) => `\`${code}\`: ${when}. Next: ${next}.`,
  );
  return {
    ...schemas,
    FailureCode: { ...schemas['FailureCode'], description: failures.join('\n') },
    ProblemCode: { ...schemas['ProblemCode'], description: problems.join('\n') },
  };
}

/**
 * Tells readers of the defaults of a body's members. As `default`, generators make them members that a caller must send.
 */
function describeDefaults([name, schema]: [string, JsonSchema]): [string, JsonSchema] {
  const members = Object.entries(schema.properties ?? {}).map(([member, value]) => {
    if (typeof value === 'boolean' || value.default === undefined) return [member, value];
    const { default: fallback, description, ...rest } = value;
    const told = `${JSON.stringify(fallback)} by default.`;
    return [member, { description: description === undefined ? told : `${description} ${told}`, ...rest }];
  });
  return [name, schema.properties ? { ...schema, properties: Object.fromEntries(members) } : schema];
}

/** Which component an answer is, by its member `object`. */
function renderDiscriminator(
  options: readonly unknown[],
  registry: Registry,
): { propertyName: string; mapping: Record<string, string> } {
  const mapping: Record<string, string> = {};
  for (const option of options) {
    if (!(option instanceof z.ZodObject)) continue;
    const { object } = option.shape;
    const name = registry.get(option)?.id;
    if (object instanceof z.ZodLiteral && name !== undefined)
      mapping[String(object.value)] = schemaRef(name).$ref ?? '';
  }
  return { propertyName: 'object', mapping };
}
