// docs/SETTINGS.md, made from the schema in src/config.ts. `npm run settings` writes it; a test compares the two.
import { readFileSync, writeFileSync } from 'node:fs';
import { z } from 'zod';
import { environment } from '../../src/settings.ts';

const FILE = new URL('../../docs/SETTINGS.md', import.meta.url);
const TABLE = /(?<=<!-- The table begins here\. -->\n)[\s\S]*(?=<!-- The table ends here\. -->)/;

export function readSettingsPage(): string {
  return readFileSync(FILE, 'utf8');
}

/** The page with its table made anew. */
export function renderSettingsPage(page: string): string {
  return page.replace(TABLE, () => renderTable());
}

function renderTable(): string {
  const rows = Object.entries(z.toJSONSchema(environment).properties ?? {}).map(([name, schema]) => {
    if (typeof schema === 'boolean') throw new Error(`The setting ${name} has no schema.`);
    const { description = '', default: fallback } = schema;
    const isShown = typeof fallback === 'number' || (typeof fallback === 'string' && fallback !== '');
    const shown = isShown ? `\`${fallback}\`` : '';
    return `| \`${name}\` | ${description} | ${unitOf(name)} | ${shown} | ${boundsOf(schema)} |`;
  });
  return ['| name | meaning | unit | default | bounds |', '|---|---|---|---|---|', ...rows, ''].join('\n');
}

function unitOf(name: string): string {
  if (name.endsWith('_MS')) return 'ms';
  if (name.includes('BYTES')) return 'bytes';
  return name.endsWith('_PERCENT') ? '%' : '';
}

function boundsOf({ minimum, maximum, enum: values }: z.core.JSONSchema.BaseSchema): string {
  if (values !== undefined) return values.map((value) => `\`${String(value)}\``).join(', ');
  return minimum === undefined ? '' : `${minimum} to ${String(maximum)}`;
}

if (import.meta.main) writeFileSync(FILE, renderSettingsPage(readSettingsPage()));
