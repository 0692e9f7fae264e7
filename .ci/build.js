// Builds the package that is published: node .ci/build.js [FOLDER]. FOLDER is dist/ by default, and is made anew. It has JavaScript,
// because Node strips no types under node_modules, in the folders of the sources, so that all paths between files stay as they are.
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { readProduction, ROOT } from './production.js';

/** Copied as they are. The console is served to browsers, and the service strips its types itself. */
const COPIED = ['migrations', 'src/console', 'deploy', 'README.md', 'CHANGELOG.md', 'SECURITY.md', 'LICENSE'];

const folder = resolve(process.argv[2] ?? join(ROOT, 'dist'));
rmSync(folder, { recursive: true, force: true });
const tsc = spawnSync(
  process.execPath,
  ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json', '--outDir', folder],
  {
    cwd: ROOT,
    stdio: 'inherit',
  },
);
if (tsc.status !== 0) process.exit(1);
for (const path of COPIED) {
  const source = join(ROOT, path);
  if (existsSync(source)) {
    cpSync(source, join(folder, path), { recursive: true, filter: (file) => !file.endsWith('tsconfig.json') });
  }
}

const { manifest, lock } = readProduction();
// The sources are private, so that they are not published in place of this folder.
delete manifest.private;
delete manifest.scripts;
delete manifest.allowScripts;
// Nothing is to be imported: the package is a program.
Object.assign(manifest, { files: ['src', ...COPIED.filter((path) => !path.startsWith('src/'))], exports: {} });
const write = (name, content) => writeFileSync(join(folder, name), `${JSON.stringify(content, null, 2)}\n`);
write('package.json', manifest);
// npm does not pack it. It is for `npm ci` in the folder, by which the image gets exactly the packages that were tested.
write('package-lock.json', lock);
