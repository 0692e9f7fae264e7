// docs/openapi.json and docs/REFERENCE.md, made from the routes. `npm run openapi` writes both, unless that would break
// clients; a test compares them.
import { readFileSync, writeFileSync } from 'node:fs';
import { renderOpenApi } from '../../src/main/api/openapi.ts';
import { accessRoutes } from '../../src/main/api/routes/access.ts';
import { bookRoutes } from '../../src/main/api/routes/books.ts';
import type { Route } from '../../src/main/api/route.ts';
import { operationRoutes } from '../../src/main/api/routes/operations.ts';
import { findBreakingChanges } from './breaking-changes.ts';
import { REFERENCE_FILE, renderReference } from './reference-page.ts';

const FILE = new URL('../../docs/openapi.json', import.meta.url);

export function readOpenApiDocument(): string {
  return readFileSync(FILE, 'utf8');
}

/** The text of the document of this code. */
export function renderOpenApiDocument(): string {
  return `${JSON.stringify(renderOpenApi(listRoutes()), null, 2)}\n`;
}

/** The text of docs/REFERENCE.md of this code. */
export function renderReferencePage(): string {
  return renderReference(listRoutes(), JSON.parse(renderOpenApiDocument()));
}

function listRoutes(): Route[] {
  // Only handlers use the parts of a service, and none is called.
  const unused = JSON.parse('{}');
  const parts = {
    services: unused,
    ledgers: unused,
    expireHolds: unused,
    statements: unused,
    events: unused,
    webhooks: unused,
  };
  return [...bookRoutes(parts), ...accessRoutes(unused), ...operationRoutes(unused)];
}

function writeOpenApiDocument(mayBreak: boolean): void {
  const rendered = renderOpenApiDocument();
  const changes = findBreakingChanges(JSON.parse(readOpenApiDocument()), JSON.parse(rendered));
  if (changes.length === 0 || mayBreak) {
    writeFileSync(FILE, rendered);
    writeFileSync(REFERENCE_FILE, renderReferencePage());
  } else {
    const advice = 'docs/openapi.json was not written. If this is meant: npm run openapi -- --breaking';
    process.stderr.write(`${['These changes break clients:', ...changes, advice].join('\n')}\n`);
    process.exitCode = 1;
  }
}

if (import.meta.main) writeOpenApiDocument(process.argv.includes('--breaking'));
