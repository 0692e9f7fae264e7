// The database's own folder, which PostgreSQL calls a cluster. Creates it completely or not at all; must not change an
// existing one.
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { handOver, handOverAll } from './os-user.ts';
import { cannotRun, codeOf, explainFolder, explainOutput, lastLines } from './errors.ts';
import { syncFolder, type DataFolder } from './data-folder.ts';
import { findIdentity, runToEnd, type Programs } from './programs.ts';

/** How a caller observes or stops the opening of the server. */
export type OpenOptions = {
  /** Ends the opening; partial results are removed. */
  signal?: AbortSignal | undefined;
  /** Called with the data folder before a database is created in it. */
  onCreate?: ((folder: string) => void) | undefined;
};

/** The superuser of every cluster made here. */
export const SUPERUSER = 'postgres';

/**
 * Creates the cluster if there is none, within `timeoutMs`. The new folder gets its final name when it is complete, so
 * the folder of a killed process is never taken for a database. Throws an error that states the remedy.
 */
export async function prepareCluster(
  folder: DataFolder,
  programs: Programs,
  { timeoutMs, signal, onCreate }: { timeoutMs: number } & OpenOptions,
): Promise<void> {
  try {
    for (const name of await readdir(folder.dataDir)) {
      // The initdb of a killed process may still be writing: the next start removes what it adds now.
      if (name.startsWith('postgres.new-'))
        await rm(join(folder.dataDir, name), { recursive: true, force: true }).catch(() => {});
    }
    if (existsSync(join(folder.clusterDir, 'PG_VERSION'))) {
      await handOverAll(folder.clusterDir, folder.account);
      return;
    }
    if (existsSync(folder.clusterDir)) {
      throw new Error(
        `${folder.clusterDir} is not a database (it has no PG_VERSION): restore it from a backup, or move it away to begin with an empty one.`,
      );
    }
    // initdb passes its own path to a shell, which would run commands in it.
    if (/["$`\\\n]/.test(programs.initdb)) {
      throw new Error(
        `PostgreSQL cannot be run from ${programs.initdb}: move the project to a folder without " $ \` \\ in its path, or set DATABASE_URL.`,
      );
    }
    onCreate?.(folder.dataDir);
    const identity = await findIdentity(folder.account, programs.postgres, [folder.dataDir, folder.socketDir]);
    const newDir = await mkdtemp(join(folder.dataDir, 'postgres.new-'));
    await handOver(newDir, folder.account);
    const encoding = ['--encoding=UTF8', '--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8'];
    const access = [`--username=${SUPERUSER}`, '--auth-local=trust', '--auth-host=reject'];
    try {
      await runToEnd(identity, programs.initdb, ['-D', newDir, ...encoding, ...access], { timeoutMs, signal });
    } catch (error) {
      await rm(newDir, { recursive: true, force: true });
      throw error;
    }
    await rename(newDir, folder.clusterDir);
    // Otherwise a power cut could restore the old name, and the next start would take a complete database for an
    // unfinished one.
    await syncFolder(folder.dataDir);
  } catch (error) {
    throw explainInitialization(folder, error);
  }
}

function explainInitialization(folder: DataFolder, error: unknown): unknown {
  if (!(error instanceof Error && 'stderr' in error)) return explainFolder(folder.dataDir, error);
  const output = String(error.stderr);
  const known = explainOutput(folder.dataDir, output, error);
  if (known !== null) return known;
  if (codeOf(error) === 'ENOENT') return cannotRun(error);
  return new Error(
    `The database in ${folder.dataDir} could not be initialized: correct what PostgreSQL complains about and start again: ${lastLines(output) || error.message}`,
    { cause: error },
  );
}
