// What lint cannot see: where SQL lives, which file reads the environment, which words no text may have. Lint knows who
// may import what; see walls.test.ts. Every message names the file, the line and what to do instead.
import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

type SourceFile = { path: string; text: string };

const ROOT = fileURLToPath(new URL('..', import.meta.url));
/** The generated types of the client are no source. */
const SOURCES = read('src/**/*.ts', 'clients/typescript/src/**/*.ts').filter(
  ({ path }) => !path.endsWith('/schema.ts'),
);
const LINES_MAX = 400;
const TEST_LINES_MAX = 600;
/** The code whose comments, texts and names have no banned words. */
const PLAIN_CODE = ['{src,test,bench,clients/typescript/src}/**/*.{ts,js,lua,c}', 'migrations/*.sql'];
/** It names a Unix user. */
const NAMES_UNIX_USER = 'src/db/embedded/os-user.ts';
/** The brackets keep this file from finding itself. */
const BANNED_WORDS = /\b(who[e]ver|some[b]ody|no[b]ody|is[ ]told|gives[ ]back|what others[ ]left)\b/gi;
const LINES_MAX_OF: Record<string, number> = { 'README.md': 100, 'docs/ARCHITECTURE.md': 200 };

test('tidy: SQL lives in src/db and in migrations', () => {
  const sql =
    /\.query\s*[<(]|['"`]\s*(select\s|insert\s+into\s|update\s+\w+\s+set\s|delete\s+from\s|with\s+\w+\s+as\s*\(|(begin|commit|rollback)\b[^'"`]*['"`])/gi;
  const elsewhere = SOURCES.filter(({ path }) => !path.startsWith('src/db/'));
  assertNone(
    search(elsewhere.map(withoutComments), sql, 'write a function for the statement in src/db, and call that'),
  );
});

test('tidy: only src/config.ts reads the environment', () => {
  const readers = SOURCES.filter(({ path }) => path !== 'src/config.ts').map(withoutComments);
  // A program that is started needs the PATH it is to find others on, and a thread its compiled code: nothing to configure.
  const environment =
    /process\.env\b(?!\['(?:PATH|NODE_COMPILE_CACHE)'\])|\bimport\b[^;]*\benv\b[^;]*from 'node:process'/g;
  assertNone(search(readers, environment, 'add a setting to src/config.ts, and hand its value in'));
});

test(`tidy: no source file is longer than ${LINES_MAX} lines, and no test file than ${TEST_LINES_MAX}`, () => {
  const limits = [
    { files: SOURCES, max: LINES_MAX },
    { files: read('{test,bench}/**/*.ts'), max: TEST_LINES_MAX },
  ];
  assertNone(
    limits.flatMap(({ files, max }) =>
      files
        .map(({ path, text }) => ({ path, count: text.split('\n').length - 1 }))
        .filter(({ count }) => count > max)
        .map(({ path, count }) => `${path} has ${count} lines: give what can stand alone a file of its own.`),
    ),
  );
});

test('tidy: no unfinished or disabled code', () => {
  const files = [...SOURCES, ...read('{test,bench}/**/*.ts'), ...read('migrations/*.sql')];
  // The brackets keep this file from finding itself.
  const markers = /\b(FIX[M]E|TO[D]O|XX[X]|HA[C]K)\b/g;
  const code =
    /^\s*(\/\/|--)\s*(import\s.*from\s|(const|let)\s+\w+\s*=|return\b.*;|await\s.*;|(if|for|while)\s*\(.*\{|\}\s*(else.*)?$|[\w.]+\(.*\);).*$/gm;
  assertNone([
    ...search(files, markers, 'do it now, or write down in docs/decisions that it is not done and why'),
    ...search(files, code, 'delete code that is commented out; the history keeps it'),
    ...search(
      files,
      /\btest\.(only|skip|todo)\b|\b(only|skip|todo): true\b/g,
      'run every test, or say what it is skipped for',
    ),
  ]);
});

test('tidy: connections are reset by one function, which spares those that end', () => {
  const files = read('{src,test,bench}/**/*.ts').filter(({ path }) => path !== 'test/support/reset.ts');
  assertNone(search(files, /\bresetAnd[D]estroy\b/g, 'use reset of test/support/reset.ts'));
});

test('tidy: texts name no issue of a tracker', () => {
  const files = [...SOURCES, ...read('{test,bench}/**/*.ts'), ...read('migrations/*.sql'), ...documents()];
  const numbers = /\b(issue|ticket|pull request|PR)s?\s+#?\d+|(?<![\w&/])#\d{1,5}\b(?!-)/gi;
  assertNone(search(files, numbers, 'say what it was about'));
});

test('tidy: links in documents have a target', () => {
  const found: string[] = [];
  for (const { path, text } of documents()) {
    for (const { 1: link = '', index } of withoutCodeBlocks(text).matchAll(/\]\(\s*<?([^)\s>]+)>?[^)]*\)/g)) {
      if (/^[a-z]+:/i.test(link)) continue;
      const [file = '', anchor] = link.split('#');
      const target = file === '' ? path : normalize(join(dirname(path), decodeURIComponent(file)));
      const where = `${path}:${lineAt(text, index)}`;
      if (!existsSync(join(ROOT, target)))
        found.push(`${where} links to ${target}: correct it, there is no such file.`);
      else if (anchor && target.endsWith('.md') && !anchorsOf(target).has(anchor.toLowerCase())) {
        found.push(`${where} links to ${link}: correct it, ${target} has no such heading.`);
      }
    }
  }
  assertNone(found);
});

test('tidy: documents are short, and their sentences too', () => {
  const found: string[] = [];
  for (const { path, text } of read('README.md', '{clients,docs}/**/*.md')) {
    const lines = text.split('\n').length - 1;
    const max = LINES_MAX_OF[path] ?? Infinity;
    if (lines > max)
      found.push(`${path} has ${lines} lines: move details to a document of their own, ${max} are allowed.`);
    const words = sentencesOf(text)
      .map((sentence) => sentence.split(' ').length)
      .toSorted((a, b) => a - b);
    const mean = words.reduce((sum, count) => sum + count, 0) / words.length;
    const most = words[Math.floor(0.9 * words.length)] ?? 0;
    if (mean > 17 || most > 28) {
      found.push(
        `${path} has ${mean.toFixed(1)} words a sentence, and ${most} at the 90th percentile: divide sentences.`,
      );
    }
  }
  assertNone(found);
});

test('tidy: documents and code name the actor', () => {
  const files = [...read(...PLAIN_CODE), ...documents()].filter(({ path }) => path !== NAMES_UNIX_USER);
  assertNone(search(files, BANNED_WORDS, 'name the actor: caller, operator, process'));
});

test('tidy: documents have one sentence a line', () => {
  const files = read('README.md', '{clients,docs}/**/*.md').map(({ path, text }) => ({
    path,
    text: withoutCodeBlocks(text).replaceAll(/^\|.*$/gm, ''),
  }));
  assertNone(search(files, /[a-z)]{2}\. +[A-Z].*$/gm, 'begin each sentence on a line of its own'));
});

function read(...patterns: string[]): SourceFile[] {
  return globSync(patterns, { cwd: ROOT, exclude: ['**/node_modules/**'] })
    .toSorted()
    .map((path) => ({ path: path.replaceAll('\\', '/'), text: readFileSync(join(ROOT, path), 'utf8') }));
}

function documents(): SourceFile[] {
  return read('*.md', '{clients,docs,reports,bench,test}/**/*.md');
}

/**
 * Blanks out comments, and keeps every line where it is. Quotes are honored, so that a URL is not taken for a comment.
 */
function withoutComments({ path, text }: SourceFile): SourceFile {
  const token = /'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`|\/\/[^\n]*|\/\*[\s\S]*?\*\//g;
  return {
    path,
    text: text.replaceAll(token, (found) => (found.startsWith('/') ? found.replaceAll(/[^\n]/g, ' ') : found)),
  };
}

function withoutCodeBlocks(text: string): string {
  return text.replaceAll(/^```[\s\S]*?^```|`[^`\n]*`/gm, (block) => block.replaceAll(/[^\n]/g, ' '));
}

function search(files: readonly SourceFile[], pattern: RegExp, instead: string): string[] {
  return files.flatMap(({ path, text }) =>
    [...text.matchAll(pattern)].map(
      ({ 0: found, index }) => `${path}:${lineAt(text, index)} says "${found.trim()}": ${instead}.`,
    ),
  );
}

/** The sentences of a document, without its code, tables and headings. A link or a code span counts as written. */
function sentencesOf(text: string): string[] {
  return withoutFences(text)
    .replaceAll(/^(\||#|<!--).*$/gm, '')
    .replaceAll(/`[^`\n]*`|\]\([^)]*\)/g, 'code')
    .split(/\n\s*\n|^\s*(?:[-*]|\d+\.)\s+/m)
    .flatMap((paragraph) => paragraph.trim().split(/(?<=[.:][)*]*)\s+(?=\S)/))
    .map((sentence) => sentence.replaceAll(/\s+/g, ' ').trim())
    .filter((sentence) => sentence !== '');
}

function lineAt(text: string, index: number): number {
  return text.slice(0, index).split('\n').length;
}

/** The names by which a document's headings can be linked to. */
function anchorsOf(path: string): Set<string> {
  const headings = withoutFences(readFileSync(join(ROOT, path), 'utf8')).matchAll(/^#{1,6}\s+(.+)$/gm);
  const names = new Set<string>();
  for (const { 1: heading = '' } of headings) {
    const name = heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .trim()
      .replaceAll(/\s/g, '-');
    // A heading that occurs again is numbered.
    let unique = name;
    for (let count = 1; names.has(unique); count += 1) unique = `${name}-${count}`;
    names.add(unique);
  }
  return names;
}

function withoutFences(text: string): string {
  return text.replaceAll(/^```[\s\S]*?^```/gm, '');
}

function assertNone(found: readonly string[]): void {
  assert.ok(found.length === 0, `\n${found.join('\n')}`);
}
