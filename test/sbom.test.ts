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
      z.object({
        version: z.string().default(''),
        integrity: z.string().optional(),
        dependencies: z.record(z.string(), z.string()).default({}),
        optionalDependencies: z.record(z.string(), z.string()).default({}),
      }),
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

/** The packages that the service needs, by their paths in the lock file: what a development dependency needs is left out. */
function needed(): Set<string> {
  const paths = new Set(['']);
  for (const path of paths) {
    const { dependencies, optionalDependencies } = lock.packages[path] ?? {
      dependencies: {},
      optionalDependencies: {},
    };
    for (const name of Object.keys({ ...dependencies, ...optionalDependencies })) {
      let folder = path;
      while (folder !== '' && !(`${folder}/node_modules/${name}` in lock.packages)) {
        folder = folder.slice(0, Math.max(0, folder.lastIndexOf('/node_modules/')));
      }
      paths.add(folder === '' ? `node_modules/${name}` : `${folder}/node_modules/${name}`);
    }
  }
  paths.delete('');
  return paths;
}

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
  const expected = [...needed()].map((path) => {
    const { version = '', integrity = '' } = lock.packages[path] ?? {};
    const hash = Buffer.from(integrity.replace(/^sha512-/, ''), 'base64').toString('hex');
    return `${path.replace(/^.*node_modules\//, '')}@${version} ${hash}`;
  });
  assert.deepEqual(found.toSorted(), [...new Set(expected)].toSorted());
  // Development dependencies need it as well.
  assert.ok(components.some(({ name }) => name === 'undici'));
});
