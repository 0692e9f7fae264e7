// Prints the software bill of materials of a release, as CycloneDX JSON. It needs the lock file only: no network, no
// installed packages. `npm sbom --omit=dev` leaves out each package that a development dependency needs as well, such as
// undici. So npm reads a lock file without the development dependencies.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readProduction } from './production.js';

const { manifest, lock } = readProduction();
const parent = mkdtempSync(join(tmpdir(), 'gopherpay-sbom-'));
try {
  // npm names the product after the folder.
  const folder = join(parent, manifest.name);
  mkdirSync(folder);
  writeFileSync(join(folder, 'package.json'), JSON.stringify(manifest));
  writeFileSync(join(folder, 'package-lock.json'), JSON.stringify(lock));
  const options = ['--sbom-format=cyclonedx', '--sbom-type=application', '--package-lock-only', '--offline'];
  const { status } = spawnSync('npm', ['sbom', ...options], { cwd: folder, stdio: 'inherit' });
  process.exitCode = status ?? 1;
} finally {
  rmSync(parent, { recursive: true, force: true });
}
