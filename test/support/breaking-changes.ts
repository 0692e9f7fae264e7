// Compares two versions of the OpenAPI document: what would break a client that was written for the first?
// A request that was accepted must stay accepted, and an answer must have what it had. Requests may allow more, and
// answers may grow: new members, and new values of an enumeration that also allows any text.
import { isDeepStrictEqual } from 'node:util';

type Json = Readonly<Record<string, unknown>>;
/** Who reads a schema: the service (a request) or its callers (an answer). */
type Direction = 'request' | 'answer';
type Documents = {
  readonly before: Json;
  readonly after: Json;
  /** The references that are being compared: schemas may contain themselves. */
  readonly open: ReadonlySet<string>;
  /** Whether an enumeration is beside any text, so that its readers expect other values. */
  readonly mayGrow: boolean;
};

/** Each breaking change, as a sentence. */
export function findBreakingChanges(before: unknown, after: unknown): string[] {
  const documents: Documents = { before: toObject(before), after: toObject(after), open: new Set(), mayGrow: false };
  const found = entriesOf(documents.before['paths']).flatMap(([path, methods]) =>
    entriesOf(methods).flatMap(([method, operation]) => {
      const at = `${method.toUpperCase()} ${path}`;
      const now = toObject(toObject(documents.after['paths'])[path])[method];
      return now === undefined
        ? [`${at}: the operation was removed`]
        : compareOperations(documents, at, toObject(operation), toObject(now));
    }),
  );
  // Most components are used in several operations.
  return [...new Set(found)];
}

function compareOperations(documents: Documents, at: string, before: Json, after: Json): string[] {
  return [
    ...(before['operationId'] === after['operationId'] ? [] : [`${at}: the operationId was changed`]),
    ...(before['x-scope'] === after['x-scope'] || after['x-scope'] === undefined
      ? []
      : [`${at}: another scope is needed`]),
    ...compareParameters(documents, at, toList(before['parameters']), toList(after['parameters'])),
    ...compareBodies(documents, `${at} body`, toObject(before['requestBody']), toObject(after['requestBody'])),
    ...entriesOf(before['responses']).flatMap(([status, response]) => {
      const now = toObject(after['responses'])[status];
      return now === undefined
        ? [`${at} ${status}: the status was removed`]
        : compareResponses(documents, `${at} ${status}`, toObject(response), toObject(now));
    }),
  ];
}

function compareParameters(
  documents: Documents,
  at: string,
  before: readonly Json[],
  after: readonly Json[],
): string[] {
  const keyOf = ({ in: place, name }: Json): string => `${String(place)} parameter ${String(name)}`;
  const old = new Map(before.map((each) => [keyOf(each), each]));
  const current = new Map(after.map((each) => [keyOf(each), each]));
  const demanded = [...current].filter(
    ([key, { required }]) => required === true && old.get(key)?.['required'] !== true,
  );
  return [
    ...demanded.map(([key]) => `${at}: the ${key} is required`),
    ...[...old].flatMap(([key, each]) => {
      const now = current.get(key);
      if (now === undefined) return [`${at}: the ${key} was removed`];
      return compareSchemas(documents, 'request', `${at} ${key}`, [each['schema'], now['schema']]);
    }),
  ];
}

function compareBodies(documents: Documents, at: string, before: Json, after: Json): string[] {
  if (after['required'] === true && before['required'] !== true) return [`${at}: it is required`];
  return compareContents(documents, 'request', at, [before['content'], after['content']]);
}

function compareResponses(documents: Documents, at: string, before: Json, after: Json): string[] {
  const [old, current] = [resolve(documents.before, before), resolve(documents.after, after)];
  const headers = Object.keys(toObject(old['headers'])).filter(
    (name) => !Object.hasOwn(toObject(current['headers']), name),
  );
  return [
    ...headers.map((name) => `${at}: the header ${name} was removed`),
    ...compareContents(documents, 'answer', at, [old['content'], current['content']]),
  ];
}

function compareContents(
  documents: Documents,
  direction: Direction,
  at: string,
  [before, after]: readonly [unknown, unknown],
): string[] {
  return entriesOf(before).flatMap(([type, content]) => {
    const now = toObject(after)[type];
    if (now === undefined) return [`${at}: the media type ${type} was removed`];
    return compareSchemas(documents, direction, at, [toObject(content)['schema'], toObject(now)['schema']]);
  });
}

function compareSchemas(
  documents: Documents,
  direction: Direction,
  at: string,
  [before, after]: readonly [unknown, unknown],
): string[] {
  const pair = `${direction} ${nameOf(before)} ${nameOf(after)}`;
  const isNamed = toObject(before)['$ref'] !== undefined || toObject(after)['$ref'] !== undefined;
  if (isNamed && documents.open.has(pair)) return [];
  const inner = isNamed ? { ...documents, open: new Set([...documents.open, pair]) } : documents;
  const here = toObject(before)['$ref'] === undefined ? at : `${nameOf(before)} in ${direction}s`;
  const old = resolve(documents.before, toObject(before));
  const current = resolve(documents.after, toObject(after));
  if (alternativesOf(old).length + alternativesOf(current).length > 0) {
    return compareAlternatives(inner, direction, here, [before, after]);
  }
  return [
    ...compareTypes(direction, here, old, current),
    ...compareValues(direction, documents.mayGrow, here, [old, current]),
    ...(direction === 'request' ? compareBounds(here, old, current) : []),
    ...compareMembers(inner, direction, here, old, current),
  ];
}

/** Every alternative that a sender may choose must be known to the reader. */
function compareAlternatives(
  documents: Documents,
  direction: Direction,
  at: string,
  [before, after]: readonly [unknown, unknown],
): string[] {
  const listOf = (document: Json, schema: unknown): readonly unknown[] => {
    const list = alternativesOf(resolve(document, toObject(schema)));
    return list.length > 0 ? list : [schema];
  };
  const [old, current] = [listOf(documents.before, before), listOf(documents.after, after)];
  const [sent, read] = direction === 'request' ? [old, current] : [current, old];
  const inner = { ...documents, mayGrow: read.some((each) => isDeepStrictEqual(each, { type: 'string' })) };
  return sent.flatMap((each) => {
    const tries = read.map((other) =>
      compareSchemas(inner, direction, at, direction === 'request' ? [each, other] : [other, each]),
    );
    // What has the same name is meant to be the same.
    const same = tries[read.findIndex((other) => nameOf(other) === nameOf(each))];
    if (same && (toObject(each)['$ref'] !== undefined || !tries.some((changes) => changes.length === 0))) return same;
    if (tries.some((changes) => changes.length === 0)) return [];
    return [`${at}: the alternative ${nameOf(each)} ${direction === 'request' ? 'was removed' : 'is new'}`];
  });
}

function compareTypes(direction: Direction, at: string, before: Json, after: Json): string[] {
  const [old, current] = [typesOf(before), typesOf(after)];
  const [sent, read] = direction === 'request' ? [old, current] : [current, old];
  const isReadable =
    read === null ||
    (sent !== null && sent.every((type) => read.includes(type) || (type === 'integer' && read.includes('number'))));
  return isReadable ? [] : [`${at}: the type was changed`];
}

/** A removed value is a change for all: a client may send it, or wait for it. */
function compareValues(
  direction: Direction,
  mayGrow: boolean,
  at: string,
  [before, after]: readonly [Json, Json],
): string[] {
  const [old, current] = [valuesOf(before), valuesOf(after)];
  const isClosedAnswer = direction === 'answer' && !mayGrow;
  if (old === null) return current !== null && direction === 'request' ? [`${at}: the values were restricted`] : [];
  if (current === null) return isClosedAnswer ? [`${at}: the values were opened`] : [];
  const missing = (from: readonly unknown[], list: readonly unknown[]): readonly unknown[] =>
    list.filter((value) => !from.some((each) => isDeepStrictEqual(each, value)));
  return [
    ...missing(current, old).map((value) => `${at}: the value ${JSON.stringify(value)} was removed`),
    ...(isClosedAnswer ? missing(old, current) : []).map((value) => `${at}: the value ${JSON.stringify(value)} is new`),
  ];
}

/** Bounds of requests. `isTighter`: whether the second refuses more than the first. */
const BOUNDS: Readonly<Record<string, (before: number, after: number) => boolean>> = {
  minimum: (before, after) => after > before,
  minLength: (before, after) => after > before,
  minItems: (before, after) => after > before,
  maximum: (before, after) => after < before,
  maxLength: (before, after) => after < before,
  maxItems: (before, after) => after < before,
  maxProperties: (before, after) => after < before,
};

function compareBounds(at: string, before: Json, after: Json): string[] {
  const tighter = Object.entries(BOUNDS).filter(([name, isTighter]) => {
    const [old, current] = [before[name], after[name]];
    return typeof current === 'number' && (typeof old !== 'number' || isTighter(old, current));
  });
  const other = ['pattern', 'format'].filter((name) => after[name] !== undefined && after[name] !== before[name]);
  const isOther = Object.hasOwn(before, 'default') && !isDeepStrictEqual(before['default'], after['default']);
  return [
    ...[...tighter.map(([name]) => name), ...other].map((name) => `${at}: ${name} is stricter`),
    ...(isOther ? [`${at}: the default was changed`] : []),
  ];
}

function compareMembers(documents: Documents, direction: Direction, at: string, before: Json, after: Json): string[] {
  const [old, current] = [toObject(before['properties']), toObject(after['properties'])];
  const [wasRequired, isRequired] = [toTexts(before['required']), toTexts(after['required'])];
  const removed = Object.keys(old).filter((name) => !Object.hasOwn(current, name));
  const isRefused = direction === 'answer' || after['additionalProperties'] === false;
  const shared = Object.keys(old).filter((name) => Object.hasOwn(current, name));
  const inner = ['items', 'additionalProperties', 'propertyNames'].filter(
    (name) => isObject(before[name]) && isObject(after[name]),
  );
  return [
    ...(isRefused ? removed : []).map((name) => `${at}/${name}: the member was removed`),
    ...(direction === 'request'
      ? isRequired.filter((name) => !wasRequired.includes(name)).map((name) => `${at}/${name}: the member is required`)
      : wasRequired
          .filter((name) => !isRequired.includes(name) && !removed.includes(name))
          .map((name) => `${at}/${name}: the member may be missing`)),
    ...shared.flatMap((name) => compareSchemas(documents, direction, `${at}/${name}`, [old[name], current[name]])),
    ...inner.flatMap((name) => compareSchemas(documents, direction, `${at}/*`, [before[name], after[name]])),
  ];
}

/** What a reference means; its own members, such as a default, stay. */
function resolve(document: Json, value: Json): Json {
  const { $ref, ...rest } = value;
  if (typeof $ref !== 'string') return value;
  const meant = $ref
    .split('/')
    .slice(1)
    .reduce<unknown>((node, name) => toObject(node)[name], document);
  return resolve(document, { ...toObject(meant), ...rest });
}

function alternativesOf(schema: Json): readonly unknown[] {
  const { anyOf, oneOf } = schema;
  if (Array.isArray(anyOf)) return anyOf;
  return Array.isArray(oneOf) ? oneOf : [];
}

/** The values that a schema lists; null if it lists none. */
function valuesOf(schema: Json): readonly unknown[] | null {
  if (Object.hasOwn(schema, 'const')) return [schema['const']];
  return Array.isArray(schema['enum']) ? schema['enum'] : null;
}

function typesOf({ type }: Json): readonly unknown[] | null {
  if (type === undefined) return null;
  return Array.isArray(type) ? type : [type];
}

function nameOf(schema: unknown): string {
  const { $ref, type } = toObject(schema);
  return typeof $ref === 'string' ? ($ref.split('/').at(-1) ?? '') : JSON.stringify(type ?? schema);
}

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const toObject = (value: unknown): Json => (isObject(value) ? value : {});
const toList = (value: unknown): readonly Json[] => (Array.isArray(value) ? value.map(toObject) : []);
const toTexts = (value: unknown): readonly string[] => (Array.isArray(value) ? value.map(String) : []);
const entriesOf = (value: unknown): [string, unknown][] => Object.entries(toObject(value));
