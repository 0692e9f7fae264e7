// docs/books.schema.json, made from the form of the lines. `npm run books:schema` writes it; a test compares the two.
import { readFileSync, writeFileSync } from 'node:fs';
import { FORMS, type Member } from '../../src/books/form.ts';

const FILE = new URL('../../docs/books.schema.json', import.meta.url);

export function readBooksSchema(): string {
  return readFileSync(FILE, 'utf8');
}

export function renderBooksSchema(): string {
  const lines = Object.entries(FORMS).map(([type, form]) => {
    const members: [string, Member<unknown>][] = Object.entries(form);
    return [
      type,
      {
        type: 'object',
        properties: {
          type: { const: type },
          ...Object.fromEntries(members.map(([name, { schema }]) => [name, schema])),
        },
        required: ['type', ...members.filter(([, { optional }]) => !optional).map(([name]) => name)],
        additionalProperties: false,
      },
    ] as const;
  });
  const schema = {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'A line of portable books of GopherPay, version 1',
    description: 'BOOKS.md describes the format. A line has its members in this order, without spaces.',
    oneOf: lines.map(([type]) => ({ $ref: `#/$defs/${type}` })),
    $defs: Object.fromEntries(lines),
  };
  return `${JSON.stringify(schema, null, 2)}\n`;
}

if (import.meta.main) writeFileSync(FILE, renderBooksSchema());
