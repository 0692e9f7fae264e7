// The limit of open files of this process.

/**
 * How many files this process may have open; Infinity if no limit is known. Node raises its limit to the hard one when
 * it starts.
 */
export function openFilesMax(): number {
  const soft = readPath(process.report.getReport(), ['userLimits', 'open_files', 'soft']);
  return typeof soft === 'number' ? soft : Infinity;
}

function readPath(value: unknown, path: readonly string[]): unknown {
  let found = value;
  for (const name of path) {
    if (typeof found !== 'object' || found === null) return undefined;
    found = Object.getOwnPropertyDescriptor(found, name)?.value;
  }
  return found;
}
