// The files of the console: the browser's modules in src/console, with their types stripped, and the packages that they
// import. Each has the hash of its content in its name, so browsers keep it for ever. An import map leads from the names
// that the modules import to these files, so no module is rewritten. A thread makes them: assets-thread.ts.
import { hash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { stripTypeScriptTypes } from 'node:module';
import { extname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';

const SOURCES = fileURLToPath(new URL('../../console', import.meta.url));
const DOMAIN = fileURLToPath(new URL('../../domain', import.meta.url));
/** Rules of the domain that the console needs too. */
const SHARED = ['currency.ts'];
/** What the modules import by name, and the file that the import map gives them. */
const PACKAGES: Readonly<Record<string, string>> = {
  preact: import.meta.resolve('preact'),
  'preact/hooks': import.meta.resolve('preact/hooks'),
  htm: import.meta.resolve('htm'),
  'htm/preact': import.meta.resolve('htm/preact'),
  uplot: new URL('uPlot.esm.js', import.meta.resolve('uplot')).href,
};
const STYLE_OF_CHARTS = new URL('uPlot.min.css', import.meta.resolve('uplot')).href;

const TYPES: Readonly<Record<string, string>> = {
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
};

export type Asset = {
  readonly contentType: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly zipped: Uint8Array<ArrayBuffer>;
};

/** The files by their paths, and the paths by the names that the page and the modules know. */
export type Assets = {
  readonly files: ReadonlyMap<string, Asset>;
  /** From `main.ts` to `assets/main.HASH.js`, relative to the page. */
  readonly paths: ReadonlyMap<string, string>;
  /** The import map as JSON, which the page has in a script. */
  readonly importMap: string;
};

/** Reads all files. It takes some 0.2 s of a processor, so not in the thread that answers requests. */
export async function loadAssets(): Promise<Assets> {
  const own = await Promise.all((await listFiles(SOURCES)).map(async (name) => await readSource(SOURCES, name, name)));
  const shared = await Promise.all(SHARED.map(async (name) => await readSource(DOMAIN, name, `domain/${name}`)));
  const packages = await Promise.all(
    Object.entries(PACKAGES).map(async ([name, url]) => ({ name, extension: '.js', text: await readText(url) })),
  );
  const charts = { name: 'uplot.css', extension: '.css', text: await readText(STYLE_OF_CHARTS) };
  const { files, paths } = await makeFiles([...own, ...shared, ...packages, charts]);
  const imports = Object.fromEntries([
    ...[...own, ...shared]
      .filter(({ extension }) => extension === '.js')
      // A module in assets/ that imports ../domain/currency.ts names /domain/currency.ts.
      .map(({ name }) => [name.startsWith('domain/') ? `./${name}` : `./assets/${name}`, `./${paths.get(name)}`]),
    ...packages.map(({ name }) => [name, `./${paths.get(name)}`]),
  ]);
  return { files, paths, importMap: JSON.stringify({ imports }) };
}

/** Names files by the hashes of their contents. */
async function makeFiles(sources: readonly Source[]): Promise<Omit<Assets, 'importMap'>> {
  const files = new Map<string, Asset>();
  const paths = new Map<string, string>();
  const zip = promisify(gzip);
  for (const { name, extension, text } of sources) {
    const bytes = Buffer.from(text);
    const path = `${stemOf(name)}.${hash('sha256', bytes).slice(0, 16)}${extension}`;
    const contentType = TYPES[extension] ?? 'application/octet-stream';
    // Each has memory of its own, so that it can be handed over without a copy.
    files.set(path, { contentType, bytes: new Uint8Array(bytes), zipped: new Uint8Array(await zip(bytes)) });
    paths.set(name, `assets/${path}`);
  }
  return { files, paths };
}

type Source = { readonly name: string; readonly extension: string; readonly text: string };

async function readSource(folder: string, file: string, name: string): Promise<Source> {
  const text = await readFile(join(folder, file), 'utf8');
  const extension = extname(file);
  return extension === '.ts' ? { name, extension: '.js', text: stripTypeScriptTypes(text) } : { name, extension, text };
}

async function listFiles(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true });
  return entries
    .filter((entry) => entry.isFile() && ['.ts', '.css', '.svg'].includes(extname(entry.name)))
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)).replaceAll(sep, '/'))
    .toSorted();
}

/** The text of a file of a package, without its reference to a source map, which is not served. */
async function readText(url: string): Promise<string> {
  const text = await readFile(fileURLToPath(url), 'utf8');
  return text.replace(/\n\/\/# sourceMappingURL=.*\s*$/, '\n');
}

/** A path has at most one folder, because the routes of assets have two segments at most. */
function stemOf(name: string): string {
  const [folder = '', ...rest] = name.replace(/\.(ts|js|css|svg)$/, '').split('/');
  return rest.length === 0 ? folder : `${folder}/${rest.join('-')}`;
}
