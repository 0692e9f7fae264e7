// The end of one ledger's journal.

/**
 * The row of journal_ends of a ledger, as SQL in parentheses. It names the ledger in both tables: a distributed engine
 * then reads one node. It does not see that of the view, and would ask every node.
 */
export function journalEnd(ledgerId: string): string {
  return `(
    select head.ledger_id, coalesce(last.number, 0) as number, coalesce(last.settled_at, head.opened_at) as settled_at,
      coalesce(last.hash, decode(repeat('00', 32), 'hex')) as hash, head.closed_until, head.clock
    from journal_head as head
    left join lateral (
      select number, settled_at, hash
      from journal
      where journal.ledger_id = ${ledgerId}
      order by number desc
      limit 1
    ) as last on true
    where head.ledger_id = ${ledgerId}
  )`;
}
