// Reads whether a statement touches the rows of one ledger only: every table whose rows belong to ledgers is bound to the
// ledger that a parameter names. It knows the SQL of this project, not all of SQL.

/** A flaw for each table that may be read or written in several ledgers. */
export function findUnbound(text: string, ledgerTables: ReadonlySet<string>): string[] {
  const plain = text.replaceAll(/--[^\n]*/g, ' ').replaceAll(/'(?:[^']|'')*'/g, `''`);
  const { blocks, rest } = splitBlocks(plain);
  return checkBlock(rest, blocks, ledgerTables);
}

/** Replaces each text in parentheses by a number, so that a block is one query without those within it. */
function splitBlocks(text: string): { blocks: string[]; rest: string } {
  const blocks: string[] = [];
  let rest = text;
  for (;;) {
    const next = rest.replaceAll(/\(([^()]*)\)/g, (_, inner: string) => `«${blocks.push(inner) - 1}»`);
    if (next === rest) return { blocks, rest };
    rest = next;
  }
}

const PARAMETER = /^\$\d+(?:::integer)?$/;
const KEYWORD =
  'where|set|on|cross|join|left|order|limit|offset|group|for|select|union|values|returning|with|using|as|inner';
const TABLE = new RegExp(
  String.raw`(?<!for |key )\b(from|join|into|update|using)\s+(?:lateral\s+)?([a-z_]+|«\d+»)(?:«\d+»)?(?:\s+as)?(?:\s+(?!(?:${KEYWORD})\b)([a-z_]+))?`,
  'g',
);

/** `outer`: the tables around the block that are bound. */
function checkBlock(
  block: string,
  blocks: readonly string[],
  ledgerTables: ReadonlySet<string>,
  outer: ReadonlySet<string> = new Set(),
): string[] {
  return block.split(/\bunion(?: all)?\b/).flatMap((query) => {
    const tables = [...query.matchAll(TABLE)].map(([, word, name = '', alias = name]) => ({ word, name, alias }));
    const bound = boundAliases(query, tables, ledgerTables, outer);
    const own = tables.flatMap(({ word, name, alias }) => {
      if (!ledgerTables.has(name)) return [];
      const isBound = word === 'into' ? insertsBound(query, bound, blocks) : bound.has(alias);
      return isBound ? [] : [`${name} is not bound to the ledger`];
    });
    const around = new Set([...outer, ...bound]);
    // A common table expression cannot refer to what is around it.
    const inner = [...query.matchAll(/(\bas (?:materialized )?)?«(\d+)»/g)].flatMap(([, isCommon, index]) =>
      checkBlock(blocks[Number(index)] ?? '', blocks, ledgerTables, isCommon === undefined ? around : undefined),
    );
    return [...own, ...inner];
  });
}

type Named = { readonly word: string | undefined; readonly name: string; readonly alias: string };

function boundAliases(
  query: string,
  tables: readonly Named[],
  ledgerTables: ReadonlySet<string>,
  outer: ReadonlySet<string>,
): Set<string> {
  const equalities = [
    ...query.matchAll(/(?:([a-z_]+)\.)?ledger_id\s*=\s*(?:([a-z_]+)\.)?(ledger_id|\$\d+(?:::integer)?)/g),
  ];
  // A sub-select or a common table expression is checked by itself. Arrays may have several ledgers.
  const others = tables.filter(({ name }) => !ledgerTables.has(name) && name !== 'unnest');
  const read = tables.filter(({ word, name }) => word !== 'into' && ledgerTables.has(name));
  const bound = new Set(others.map(({ alias }) => alias));
  const bind = (alias: string | undefined): void => {
    if (alias !== undefined) bound.add(alias);
  };
  for (let before = -1; bound.size !== before;) {
    before = bound.size;
    for (const [, left, right, value = ''] of equalities) {
      if (PARAMETER.test(value)) bind(left ?? (read.length === 1 ? read[0]?.alias : undefined));
      else if (bound.has(right ?? '') || outer.has(right ?? '')) bind(left);
      else if (bound.has(left ?? '') || outer.has(left ?? '')) bind(right);
    }
  }
  return bound;
}

/** Whether the first column of an insert is the ledger, and its value a parameter, or that of a bound row. */
function insertsBound(query: string, bound: ReadonlySet<string>, blocks: readonly string[]): boolean {
  const [, columns = '', rest = ''] = /\binto\s+[a-z_]+(?:\s+as\s+[a-z_]+)?\s*«(\d+)»([\s\S]*)/.exec(query) ?? [];
  if (!/^\s*ledger_id\b/.test(blocks[Number(columns)] ?? '')) return false;
  const [, values] = /^\s*values\s*«(\d+)»/.exec(rest) ?? [];
  const first =
    values === undefined
      ? /^\s*select\s+([^,\s]+)/.exec(rest)?.[1]
      : /^\s*([^,\s]+)/.exec(blocks[Number(values)] ?? '')?.[1];
  if (first === undefined) return false;
  if (PARAMETER.test(first)) return true;
  const [, alias] = /^(?:([a-z_]+)\.)?ledger_id$/.exec(first) ?? [];
  return first.endsWith('ledger_id') && (alias === undefined ? bound.size > 0 : bound.has(alias));
}
