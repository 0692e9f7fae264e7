// Builds the package that is published: node .ci/build.js [FOLDER]. FOLDER is dist/ by default, and is made anew. It needs no
// installed packages. Node strips no types under node_modules, so the package has JavaScript: what Node itself makes of the
// sources, so that what was tested is what runs, and a stack trace names the lines of the sources. All files stay in their folders.
import { cpSync, existsSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { readProduction, ROOT } from './production.js';

/**
 * Copied as they are. Of the sources, these are what browsers get: the service itself strips their types. A rule of the domain that
 * the console shares is in the package twice.
 */
const COPIED = [
  'migrations',
  'deploy',
  'src/console',
  'src/domain/currency.ts',
  'CHANGELOG.md',
  'LICENSE',
  'README.md',
  'SECURITY.md',
];
/** A path to another source, such as that of an import or of a thread. */
const SOURCE_PATH = /(?<=['"`])(\.\.?\/[^'"`\n]*)\.ts(?=['"`])/g;

const folder = resolve(process.argv[2] ?? join(ROOT, 'dist'));
rmSync(folder, { recursive: true, force: true });
for (const path of globSync('src/**/*.{ts,js}', { cwd: ROOT, exclude: ['src/console'] })) {
  const text = readFileSync(join(ROOT, path), 'utf8');
  const target = join(folder, path.replace(/\.ts$/, '.js'));
  mkdirSync(dirname(target), { recursive: true });
  writeFileSync(target, (path.endsWith('.ts') ? stripTypeScriptTypes(text) : text).replaceAll(SOURCE_PATH, '$1.js'));
}
for (const path of COPIED) {
  const source = join(ROOT, path);
  const filter = (file) => !file.endsWith('tsconfig.json');
  if (existsSync(source)) cpSync(source, join(folder, path), { recursive: true, filter });
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
// npm does not pack it. It is for `npm ci` in the folder, by which the image gets the packages that were tested.
write('package-lock.json', lock);
