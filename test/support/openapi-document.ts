// docs/openapi.json, made from the routes. `npm run openapi` writes it; a test compares the two.
import { readFileSync, writeFileSync } from 'node:fs';
import { renderOpenApi } from '../../src/main/api/openapi.ts';
import { bookRoutes } from '../../src/main/api/routes/books.ts';
import { operationRoutes } from '../../src/main/api/routes/operations.ts';

export const OPENAPI_FILE = new URL('../../docs/openapi.json', import.meta.url);

export function readOpenApiDocument(): string {
  return readFileSync(OPENAPI_FILE, 'utf8');
}

/** The text of the document of this code. Handlers use their parts, and none is called. */
export function renderOpenApiDocument(): string {
  const unused = { services: {}, ledgers: {}, statements: {}, events: {}, operations: {} };
  const parts = JSON.parse(JSON.stringify(unused));
  const document = renderOpenApi([...bookRoutes(parts), ...operationRoutes(parts.operations)]);
  return `${JSON.stringify(document, null, 2)}\n`;
}

if (import.meta.main) writeFileSync(OPENAPI_FILE, renderOpenApiDocument());
