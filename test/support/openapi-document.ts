// docs/openapi.json, made from the routes. `npm run openapi` writes it, unless that would break clients; a test compares
// the two.
import { readFileSync, writeFileSync } from 'node:fs';
import { renderOpenApi } from '../../src/main/api/openapi.ts';
import { bookRoutes } from '../../src/main/api/routes/books.ts';
import { operationRoutes } from '../../src/main/api/routes/operations.ts';
import { findBreakingChanges } from './breaking-changes.ts';

const FILE = new URL('../../docs/openapi.json', import.meta.url);

export function readOpenApiDocument(): string {
  return readFileSync(FILE, 'utf8');
}

/** The text of the document of this code. */
export function renderOpenApiDocument(): string {
  // Only handlers use the parts of a service, and none is called.
  const unused = JSON.parse('{}');
  const parts = { services: unused, ledgers: unused, statements: unused, events: unused, webhooks: unused };
  const books = bookRoutes(parts);
  return `${JSON.stringify(renderOpenApi([...books, ...operationRoutes(unused)]), null, 2)}\n`;
}

function writeOpenApiDocument(mayBreak: boolean): void {
  const rendered = renderOpenApiDocument();
  const changes = findBreakingChanges(JSON.parse(readOpenApiDocument()), JSON.parse(rendered));
  if (changes.length === 0 || mayBreak) writeFileSync(FILE, rendered);
  else {
    const advice = 'docs/openapi.json was not written. If this is meant: npm run openapi -- --breaking';
    process.stderr.write(`${['These changes break clients:', ...changes, advice].join('\n')}\n`);
    process.exitCode = 1;
  }
}

if (import.meta.main) writeOpenApiDocument(process.argv.includes('--breaking'));
