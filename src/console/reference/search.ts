// The search over operations. Pure, so that tests need no browser.
import type { Group, Operation } from './document.ts';

/** The groups with the operations that have every word of the query. */
export function searchGroups(groups: readonly Group[], query: string): Group[] {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  return groups
    .map((group) => ({
      ...group,
      operations: group.operations.filter((operation) => {
        const text = textOf(operation);
        return words.every((word) => text.includes(word));
      }),
    }))
    .filter(({ operations }) => operations.length > 0);
}

function textOf({ id, method, path, tag, summary, json: { description = '', parameters = [] } }: Operation): string {
  const names = parameters.filter((parameter) => parameter.in !== 'header').map(({ name }) => name);
  return [id, method, path, tag, summary, description, ...names].join(' ').toLowerCase();
}
