// Finds rows by their metadata, through the GIN indexes on it (jsonb_path_ops).

/** A metadata key, and its required value; null: any. */
export type MetadataFilter = { readonly key: string; readonly value: string | null };

/** The condition on a column `metadata`. `bind` makes a value into a parameter and returns its place. */
export function metadataCondition(filter: MetadataFilter, bind: (value: string) => string): string {
  if (filter.value !== null) return `metadata @> ${bind(JSON.stringify({ [filter.key]: filter.value }))}::jsonb`;
  // A key is letters, digits and _ . - only (see main/api/schemas.ts), so it needs quotes here but no escapes.
  return `metadata @? ${bind(`$."${filter.key}"`)}::jsonpath`;
}
