// A schema in words: its type, what its values must be, and what is in it. Pure, so that tests need no browser.
import { nameOfRef, type Schema } from './document.ts';

/** A piece of a type: a word, the name of a schema, or a value. */
export type Word =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'ref'; readonly text: string }
  | { readonly kind: 'value'; readonly text: string };

/** A pattern that is longer would tell a person nothing. */
const PATTERN_MAX = 80;

const text = (words: string): Word => ({ kind: 'text', text: words });

/** The type of a schema: "string or null", "array of Transfer", "one of settled, failed". */
export function wordsOf(schema: Schema): Word[] {
  if (schema.$ref !== undefined) return [{ kind: 'ref', text: nameOfRef(schema.$ref) }];
  if (schema.const !== undefined) return [valueOf(schema.const)];
  if (schema.enum) return joined(schema.enum.map((value) => [valueOf(value)]));
  const variants = variantsOf(schema);
  if (variants.length > 0) return joined(variants.map(wordsOf));
  const types = [schema.type ?? []].flat();
  if (types.length === 0) return [text(schema.properties ? 'object' : 'any value')];
  return joined(types.map((type) => wordsOfType(type, schema)));
}

function wordsOfType(type: string, { items, properties, additionalProperties, format }: Schema): Word[] {
  if (type === 'array' && items) return [text('array of'), ...wordsOf(items)];
  if (type === 'object' && !properties && typeof additionalProperties === 'object') {
    return [text('object of'), ...wordsOf(additionalProperties)];
  }
  return [text(type === 'string' && format !== undefined ? `${type} (${format})` : type)];
}

function joined(parts: readonly (readonly Word[])[]): Word[] {
  return parts.flatMap((words, index) => (index === 0 ? words : [text('or'), ...words]));
}

function valueOf(value: unknown): Word {
  return { kind: 'value', text: JSON.stringify(value) };
}

function variantsOf({ anyOf, oneOf }: Schema): readonly Schema[] {
  return anyOf ?? oneOf ?? [];
}

/** What its values must be, beyond their type. */
export function rulesOf(schema: Schema): string[] {
  const { minLength, maxLength, minItems, maxItems, maxProperties, propertyNames, pattern } = schema;
  const own = [
    rangeOf(schema),
    spanOf(minLength, maxLength, 'characters'),
    spanOf(minItems, maxItems, 'items'),
    spanOf(undefined, maxProperties, 'members'),
    pattern !== undefined && pattern.length <= PATTERN_MAX ? `matches ${pattern}` : '',
    propertyNames?.pattern !== undefined && propertyNames.pattern.length <= PATTERN_MAX
      ? `names match ${propertyNames.pattern}`
      : '',
    schema.default !== undefined ? `${JSON.stringify(schema.default)} by default` : '',
  ];
  const inner = variantsOf(schema).length > 0 ? variantsOf(schema) : schema.items ? [schema.items] : [];
  const ofItems = schema.items ? 'each ' : '';
  return [
    ...own.filter((rule) => rule !== ''),
    ...inner.flatMap((each) => (each.$ref === undefined ? rulesOf(each).map((rule) => `${ofItems}${rule}`) : [])),
  ];
}

/** Every integer of the interface is within ±(2^53 − 1), so those bounds are left out. */
function rangeOf({ minimum = Number.MIN_SAFE_INTEGER, maximum = Number.MAX_SAFE_INTEGER }: Schema): string {
  const hasLeast = minimum !== Number.MIN_SAFE_INTEGER;
  const hasMost = maximum !== Number.MAX_SAFE_INTEGER;
  if (hasLeast && hasMost) return `${minimum} to ${maximum}`;
  if (hasLeast) return `at least ${minimum}`;
  return hasMost ? `at most ${maximum}` : '';
}

function spanOf(least: number | undefined, most: number | undefined, unit: string): string {
  if (least !== undefined && most !== undefined)
    return least === most ? `${most} ${unit}` : `${least} to ${most} ${unit}`;
  if (least !== undefined) return `at least ${least} ${unit}`;
  return most === undefined ? '' : `at most ${most} ${unit}`;
}

/** What of a schema has members to show: named schemas, and objects that are written where they are used. */
export function partsOf(schema: Schema): Schema[] {
  if (schema.$ref !== undefined || schema.properties) return [schema];
  const { items, additionalProperties, allOf = [] } = schema;
  const inner = [
    ...variantsOf(schema),
    ...allOf,
    ...(items ? [items] : []),
    ...(typeof additionalProperties === 'object' ? [additionalProperties] : []),
  ];
  return inner.flatMap(partsOf);
}
