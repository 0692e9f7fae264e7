// What the tests of the client need of the OpenAPI document.
import { readFileSync } from 'node:fs';
import { z } from 'zod';

const documentSchema = z.object({
  paths: z.record(z.string(), z.object({ get: z.object({ operationId: z.string() }).optional() })),
  components: z.object({ schemas: z.object({ ProblemCode: z.object({ enum: z.array(z.string()) }) }) }),
});

export function parseDocument(): z.output<typeof documentSchema> {
  const file = new URL('../../docs/openapi.json', import.meta.url);
  return documentSchema.parse(JSON.parse(readFileSync(file, 'utf8')));
}
