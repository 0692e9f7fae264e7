// The database's own folder, which PostgreSQL calls a cluster: makes it, whole or not at all. Must not change one that is there.
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
 * Makes the cluster if there is none, within `timeoutMs`. The new folder gets its name when it is complete, so that one that a
 * process was killed over is never taken for a database. Raises an error that says what to do.
 */
export async function prepareCluster(
  folder: DataFolder,
  programs: Programs,
  { timeoutMs, signal, onCreate }: { timeoutMs: number } & OpenOptions,
): Promise<void> {
  try {
    for (const name of await readdir(folder.dataDir)) {
      // A killed process may have left an initdb that still writes: whatever it adds now, the next start removes.
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
    // Otherwise a power cut could bring the old name back, and the next start would take a full database for an unfinished one.
    await syncFolder(folder.dataDir);
  } catch (error) {
    throw explainInitialisation(folder, error);
  }
}

function explainInitialisation(folder: DataFolder, error: unknown): unknown {
  if (!(error instanceof Error && 'stderr' in error)) return explainFolder(folder.dataDir, error);
  const said = String(error.stderr);
  const known = explainOutput(folder.dataDir, said, error);
  if (known !== null) return known;
  if (codeOf(error) === 'ENOENT') return cannotRun(error);
  return new Error(
    `The database in ${folder.dataDir} could not be initialised: correct what PostgreSQL complains about and start again: ${lastLines(said) || error.message}`,
    { cause: error },
  );
}
