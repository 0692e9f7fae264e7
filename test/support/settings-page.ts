// docs/SETTINGS.md, made from the schema in src/config.ts. `npm run settings` writes it; a test compares the two.
import { readFileSync, writeFileSync } from 'node:fs';
import { describeSettings } from '../../src/settings.ts';

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
  const rows = describeSettings().map(({ name, meaning, unit, fallback, bounds }) => {
    const shown = fallback === '' ? '' : `\`${fallback}\``;
    const values = bounds.length === 1 ? bounds : bounds.map((value) => `\`${value}\``);
    return `| \`${name}\` | ${meaning} | ${unit} | ${shown} | ${values.join(', ')} |`;
  });
  return ['| name | meaning | unit | default | bounds |', '|---|---|---|---|---|', ...rows, ''].join('\n');
}

if (import.meta.main) writeFileSync(FILE, renderSettingsPage(readSettingsPage()));
