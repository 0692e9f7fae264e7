// Appends to the journal: the one way to do so, as a piece of a statement.

/**
 * The common table expressions that append one row to the journal; the last one, `journaled`, has its number and
 * settled_at. `transferCount` and `digest` are SQL expressions. The head's row is locked from here to the commit: numbers
 * are in commit order, without gaps. Take this lock after all others.
 */
export function appendToJournal(transferCount: string, digest: string): string {
  return `
  head as materialized (
    select number + 1 as number, greatest(clock_timestamp(), settled_at, closed_until) as settled_at, hash as previous_hash
    from journal_head
    for update
  ), advanced as (
    update journal_head
    set number = head.number,
      settled_at = head.settled_at,
      hash = sha256(
        head.previous_hash
        || convert_to(
          head.number || '|' || (extract(epoch from head.settled_at) * 1000000)::bigint || '|' || ${transferCount},
          'UTF8'
        )
        || ${digest}
      )
    from head
    returning journal_head.number, journal_head.settled_at, head.previous_hash, journal_head.hash
  ), journaled as (
    insert into journal (number, settled_at, transfer_count, digest, previous_hash, hash)
    select number, settled_at, ${transferCount}, ${digest}, previous_hash, hash
    from advanced
    returning number, settled_at
  )`;
}
