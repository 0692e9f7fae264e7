// Text of other people on a terminal: a name must not move the cursor, change colors, or reverse the direction of text.
/** Control characters, and characters that hide or reorder others. No text that the service accepts has one. */
// oxlint-disable-next-line no-control-regex -- these are what it looks for
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufeff\ufff9-\ufffb]/g;

/** The text with unsafe characters written as in JSON: an escape character is shown as \u001b. */
export function plain(text: string): string {
  return text.replaceAll(UNSAFE, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** One line of JSON. JSON itself escapes the control characters below U+0020 only. */
export function jsonLine(value: unknown): string {
  return `${plain(JSON.stringify(value))}\n`;
}
