// The settings in the help of serve.
import { describeSettings } from '../settings.ts';

const INDENT = '      ';

/** Each setting with its default, its meaning and its bounds. */
export function renderSettings(width: number): string {
  const settings = describeSettings().map(({ name, meaning, unit, fallback, bounds }) => {
    const limits = bounds.length > 1 ? bounds.join(', ') : [...bounds, unit].join(' ').trim();
    const text = `${meaning.replaceAll('`', '')}${limits === '' ? '' : ` (${limits})`}`;
    return `  ${name}${fallback === '' ? '' : `=${fallback}`}\n${wrap(text, width - INDENT.length)}`;
  });
  return `SETTINGS\n\n${settings.join('\n')}`;
}

function wrap(text: string, width: number): string {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const longer = `${lines.at(-1) ?? ''} ${word}`;
    if (lines.length > 0 && longer.length <= width) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines.map((line) => `${INDENT}${line}`).join('\n');
}
