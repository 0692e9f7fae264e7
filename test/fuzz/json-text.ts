// JSON as text rather than as values: members of one name twice, numbers that no reader can keep, escapes of half a
// character. A valid text is made from a schema; mutations then make it invalid.
import * as fc from 'fast-check';
import { knownText, edgeCaseKey, edgeCaseLiteral, text } from './edge-cases.ts';
import { resolve, type Schema, type Schemas } from '../support/interface.ts';

export type Json =
  | { readonly kind: 'literal'; readonly text: string }
  | { readonly kind: 'list'; readonly items: readonly Json[] }
  | { readonly kind: 'object'; readonly members: readonly (readonly [name: string, value: Json])[] };

/** Names and values of metadata together. */
const METADATA_BYTES_MAX = 8192;

const literal = (value: unknown): Json => ({ kind: 'literal', text: JSON.stringify(value) });

export function render(json: Json): string {
  switch (json.kind) {
    case 'literal':
      return json.text;
    case 'list':
      return `[${json.items.map(render).join(',')}]`;
    case 'object':
      return `{${json.members.map(([name, value]) => `${renderName(name)}:${render(value)}`).join(',')}}`;
  }
}

/** A name in quotes is written unchanged: it may have escapes that no value has. */
function renderName(name: string): string {
  return name.startsWith('"') ? name : JSON.stringify(name);
}

/** Texts that the schema accepts. `name` is that of the member: some values make sense only where they are meant. */
export function valid(schema: Schema, schemas: Schemas, name = ''): fc.Arbitrary<Json> {
  if (schema.$ref !== undefined) return valid(resolve(schema, schemas), schemas, name);
  if (schema.anyOf) return fc.oneof(...schema.anyOf.map((each) => valid(each, schemas, name)));
  if (Array.isArray(schema.type)) {
    return fc.oneof(...schema.type.map((type) => valid({ ...schema, type }, schemas, name)));
  }
  if (schema.enum) return fc.constantFrom(...schema.enum).map(literal);
  switch (schema.type) {
    case 'null':
      return fc.constant(literal(null));
    case 'boolean':
      return fc.boolean().map(literal);
    case 'integer':
      // An index of a member: only that of an earlier one is accepted.
      return (name === 'of' ? fc.constantFrom(0, 0, 1) : whole(schema)).map(literal);
    case 'array':
      return fc
        .array(valid(schema.items ?? {}, schemas), {
          minLength: schema.minItems ?? 0,
          // A list of a thousand is worth its cost only at times.
          maxLength: Math.min(schema.maxItems ?? 4, 4),
        })
        .chain((items) =>
          fc
            .oneof({ arbitrary: fc.constant(1), weight: 60 }, { arbitrary: fc.constant(40), weight: 1 })
            .map((times): Json => ({
              kind: 'list',
              items: Array.from({ length: times }, () => items)
                .flat()
                .slice(0, schema.maxItems),
            })),
        );
    case 'object':
      return schema.properties ? validObject(schema, schemas) : validRecord(schema, schemas);
    default:
      return knownText(name, schema).chain((value) =>
        fc.oneof(
          { arbitrary: fc.constant(literal(value)), weight: 4 },
          { arbitrary: fc.constant<Json>({ kind: 'literal', text: escapeAll(value) }), weight: 1 },
        ),
      );
  }
}

function whole({ minimum = 0, maximum = Number.MAX_SAFE_INTEGER }: Schema): fc.Arbitrary<number> {
  const usual = fc.integer({ min: Math.max(minimum, 1), max: Math.min(maximum, 5000) });
  const edges = [minimum, minimum + 1, maximum - 1, maximum, 0, 1, 2 ** 31, 2 ** 31 - 1, 2 ** 32];
  const within = edges.filter((value) => value >= minimum && value <= maximum);
  return fc.oneof({ arbitrary: usual, weight: 8 }, { arbitrary: fc.constantFrom(...within), weight: 1 });
}

/** Of these members, a transfer of a group has one. More or none are refused at once, whatever they are. */
const FORMS_OF_AMOUNT = ['amount', 'share', 'remainder', 'conversion'];

function validObject(schema: Schema, schemas: Schemas): fc.Arbitrary<Json> {
  const properties = schema.properties ?? {};
  const required = new Set(schema.required);
  const [stated, ...derived] = Object.hasOwn(properties, 'share') ? FORMS_OF_AMOUNT : [];
  const chosen = stated === undefined ? fc.constant(null) : fc.constantFrom(stated, stated, stated, stated, ...derived);
  return chosen.chain((form) => {
    const members = Object.entries(properties).map(([name, member]) => {
      const made = valid(member, schemas, name).map((value): [string, Json] => [name, value]);
      if (form !== null && FORMS_OF_AMOUNT.includes(name)) return name === form ? made : fc.constant(null);
      if (required.has(name)) return made;
      // Few totals are the sum of their parts.
      const weight = name === 'total' ? 4 : 1;
      return fc.oneof({ arbitrary: fc.constant(null), weight }, { arbitrary: made, weight: 1 });
    });
    return fc
      .tuple(...members)
      .chain((made) => fc.shuffledSubarray(made, { minLength: made.length }))
      .map((made): Json => ({ kind: 'object', members: made.filter((member) => member !== null) }));
  });
}

function validRecord(schema: Schema, schemas: Schemas): fc.Arbitrary<Json> {
  const value = typeof schema.additionalProperties === 'object' ? schema.additionalProperties : {};
  const member = fc.tuple(text(schema.propertyNames ?? {}), valid(value, schemas));
  const options = { selector: ([name]: [string, Json]) => name };
  return fc
    .oneof(
      { arbitrary: fc.uniqueArray(member, { ...options, maxLength: 3 }), weight: 30 },
      { arbitrary: fc.uniqueArray(member, { ...options, minLength: 50, maxLength: 50, size: 'max' }), weight: 1 },
    )
    .map((members): Json => ({ kind: 'object', members: withinBytes(members) }));
}

/** The first members that have at most METADATA_BYTES_MAX together, which no JSON schema can express. */
function withinBytes(members: readonly [string, Json][]): [string, Json][] {
  let bytes = 0;
  return members.filter(([name, value]) => {
    bytes += Buffer.byteLength(name) + (value.kind === 'literal' ? Buffer.byteLength(value.text) : 0);
    return bytes <= METADATA_BYTES_MAX;
  });
}

/** The same text with every character as an escape. */
function escapeAll(value: string): string {
  const units = Array.from({ length: value.length }, (_, index) => value.charCodeAt(index));
  return `"${units.map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`).join('')}"`;
}

export type Mutation = {
  /** Which of all values in the text, counted on from this number. */
  readonly where: number;
  readonly what: 'replace' | 'remove' | 'repeat' | 'add' | 'rename' | 'wrap' | 'swap';
  readonly name: string;
  readonly value: Json;
};

export const mutation: fc.Arbitrary<Mutation> = fc.record({
  where: fc.nat(40),
  what: fc.constantFrom('replace', 'replace', 'replace', 'remove', 'repeat', 'add', 'rename', 'wrap', 'swap'),
  name: edgeCaseKey,
  value: edgeCaseLiteral.map((text): Json => ({ kind: 'literal', text })),
});

/** The text with one value replaced, taken out, doubled, … The value at 0 is the whole text. */
export function mutate(json: Json, change: Mutation): Json {
  const count = countValues(json);
  let place = change.where % count;
  const visit = (value: Json): Json | null | [Json, Json] => {
    const here = place === 0;
    place -= 1;
    if (here) return mutateHere(value, change);
    if (value.kind === 'literal') return value;
    if (value.kind === 'list') return { kind: 'list', items: value.items.flatMap((item) => visit(item) ?? []) };
    const members = value.members.flatMap(([name, member]): (readonly [string, Json])[] => {
      const isTarget = place === 0;
      const made = visit(member);
      const newName = isTarget && change.what === 'rename' ? change.name : name;
      if (made === null) return [];
      return Array.isArray(made) ? made.map((each) => [newName, each]) : [[newName, made]];
    });
    return { kind: 'object', members };
  };
  const made = visit(json);
  return Array.isArray(made) ? made[1] : (made ?? change.value);
}

function mutateHere(value: Json, { what, name, value: other }: Mutation): Json | null | [Json, Json] {
  switch (what) {
    case 'replace':
      return other;
    case 'remove':
      return null;
    case 'repeat':
      return [other, value];
    case 'swap':
      return [value, other];
    case 'wrap':
      return { kind: 'list', items: [value] };
    case 'rename':
      return value;
    case 'add':
      return value.kind === 'object' ? { kind: 'object', members: [...value.members, [name, other]] } : other;
  }
}

function countValues(json: Json): number {
  if (json.kind === 'literal') return 1;
  const inner = json.kind === 'list' ? json.items : json.members.map(([, value]) => value);
  return inner.reduce((count, value) => count + countValues(value), 1);
}
