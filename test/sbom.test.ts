// The software bill of materials of a release names the production dependencies of the lock file, and no others.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { z } from 'zod';

const ROOT = dirname(import.meta.dirname);

const lock = z
  .object({
    packages: z.record(
      z.string(),
      z.object({ version: z.string(), dev: z.boolean().default(false), integrity: z.string().optional() }),
    ),
  })
  .parse(JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')));

const sbomSchema = z.object({
  bomFormat: z.literal('CycloneDX'),
  metadata: z.object({ component: z.object({ name: z.string(), version: z.string(), type: z.string() }) }),
  components: z.array(
    z.object({
      name: z.string(),
      version: z.string(),
      purl: z.string(),
      hashes: z.array(z.object({ alg: z.string(), content: z.string() })),
    }),
  ),
});

test('sbom: names exactly the production dependencies of the lock file, with their checksums', async () => {
  const { stdout } = await promisify(execFile)('npm', ['run', '--silent', 'sbom'], { cwd: ROOT });
  const { metadata, components } = sbomSchema.parse(JSON.parse(stdout));
  assert.deepEqual(metadata.component, {
    name: 'gopherpay',
    version: lock.packages['']?.version,
    type: 'application',
  });
  const found = components.map(
    ({ name, version, hashes }) => `${name}@${version} ${hashes.map(({ content }) => content).join()}`,
  );
  const expected = Object.entries(lock.packages)
    .filter(([path, { dev }]) => path !== '' && !dev)
    .map(([path, { version, integrity = '' }]) => {
      const hash = Buffer.from(integrity.replace(/^sha512-/, ''), 'base64').toString('hex');
      return `${path.replace(/^.*node_modules\//, '')}@${version} ${hash}`;
    });
  assert.deepEqual(found.toSorted(), [...new Set(expected)].toSorted());
  // Development dependencies need it as well.
  assert.ok(components.some(({ name }) => name === 'undici'));
});
