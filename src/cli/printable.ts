// Text of others on a terminal.

/** Text from the books, the database or a file must not control the terminal of its reader. */
export function printable(text: string): string {
  return text.replace(/\p{C}/gu, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`);
}
