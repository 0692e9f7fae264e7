// A small disk in memory that can be filled up.
import { execFile } from 'node:child_process';
import { mkdtemp, open, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { onEnd, type Scope } from './cleanup.ts';
import { until } from './until.ts';

const MIB = 1024 * 1024;

const run = promisify(execFile);

/** Set to 1 where a machine cannot make every fault: a missing fault is then reported, and fails no test. */
export const MAY_BE_MISSING = process.env['CHAOS_FAULTS_MAY_BE_MISSING'] === '1';

/** Mounts a small disk and returns its folder. It goes when the scope ends. */
export async function mountSmallDisk(scope: Scope, mebibytes: number): Promise<string> {
  const { folder, unmount } = await mountDisk(mebibytes);
  onEnd(scope, unmount);
  return folder;
}

async function mountDisk(mebibytes: number): Promise<{ folder: string; unmount: () => Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), 'gopherpay-disk-'));
  await run('mount', ['-t', 'tmpfs', '-o', `size=${mebibytes}m,mode=0755`, 'tmpfs', folder]).catch(
    async (error: unknown) => {
      await rmdir(folder);
      throw error;
    },
  );
  const unmount = async (): Promise<void> => {
    await until(
      async () =>
        await run('umount', [folder]).then(
          () => true,
          () => false,
        ),
      { what: 'the disk to be unmounted' },
    );
    await rmdir(folder);
  };
  return { folder, unmount };
}

/** Returns why no disk can be mounted here, or null if one can. */
export async function tryDisk(): Promise<string | null> {
  try {
    const { unmount } = await mountDisk(1);
    await unmount();
    return null;
  } catch (error) {
    return `No small disk can be mounted here, which takes root and the right to mount: ${String(error)}`;
  }
}

/** Writes a file until there is no space for another byte. */
export async function fillDisk(path: string): Promise<void> {
  const file = await open(path, 'w');
  try {
    for (const size of [MIB, 4096]) {
      const block = Buffer.alloc(size);
      for (;;) {
        const { bytesWritten } = await file.write(block);
        if (bytesWritten < size) break;
      }
    }
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOSPC')) throw error;
  } finally {
    await file.close();
  }
}
