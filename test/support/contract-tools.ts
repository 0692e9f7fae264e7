// Runs linters of the OpenAPI document and generators of clients. What they write goes to a temporary folder.
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import type { Scope } from './cleanup.ts';
import { makeFolder } from './service.ts';

export const ROOT = dirname(dirname(import.meta.dirname));
export const DOCUMENT_FILE = join(ROOT, 'docs/openapi.json');
/** For `node --import`: makes `typescript` version 5. */
export const TYPESCRIPT_5 = join(import.meta.dirname, 'typescript-5.ts');
const TOOLS = join(ROOT, 'clients/tools/node_modules');
const TIMEOUT_MS = 120_000;
const execute = promisify(execFile);

/** No tool may report to its makers, or look for a newer version of itself. */
const ENVIRONMENT = {
  ...process.env,
  PATH: `${dirname(process.execPath)}:${process.env['PATH'] ?? ''}`,
  DO_NOT_TRACK: '1',
  REDOCLY_TELEMETRY: 'off',
  REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true',
  NO_COLOR: '1',
};

/**
 * Runs a program, and returns what it prints. Its output is in the error if it fails. `settings` are added to its
 * environment.
 */
export async function run(
  file: string,
  args: readonly string[],
  cwd = ROOT,
  settings: Readonly<Record<string, string>> = {},
): Promise<string> {
  const running = execute(file, [...args], {
    cwd,
    env: { ...ENVIRONMENT, ...settings },
    timeout: TIMEOUT_MS,
    maxBuffer: 2 ** 26,
  });
  const { stdout } = await running.catch((error: unknown) => {
    const { stdout = '', stderr = '' } = Object(error);
    throw new Error(`${file} ${args.join(' ')} failed:\n${String(stdout)}\n${String(stderr)}`, { cause: error });
  });
  return stdout;
}

/** Runs the command of a package of the workspace of tools, or else of the root. */
export async function runTool(name: string, args: readonly string[], cwd?: string): Promise<string> {
  const own = join(TOOLS, '.bin', name);
  const command = existsSync(own) ? own : join(ROOT, 'node_modules/.bin', name);
  return await run(process.execPath, [command, ...args], cwd);
}

/** Makes a folder for a program that imports packages of the project. */
export async function makeProgramFolder(scope: Scope): Promise<string> {
  const folder = await makeFolder(scope);
  await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  return folder;
}
