-- The part of a lease in one ledger. Intake locks and counts here, so that it touches the rows of one ledger only, and
-- intakes of one process into several ledgers do not wait for one row. A process adds the row before its first intake
-- into the ledger.
create table ledger_leases (
  -- How many transfers were ever stored in the ledger under the lease. Those of earlier versions are counted in leases.
  accepted_count bigint not null default 0,
  -- The session of the lease that may store here, and whether none may: see leases.
  session integer not null,
  closed boolean not null default false,
  ledger_id integer not null,
  lease_id uuid not null,
  -- The lease leads: a renewal and a take-over look for the rows of one lease in all ledgers.
  constraint ledger_leases_pkey primary key (lease_id, ledger_id),
  constraint ledger_leases_accepted_count_positive check (accepted_count >= 0),
  constraint ledger_leases_session_positive check (session >= 1)
)
-- Leaves room on the page for new versions of its rows: every intake updates one.
with (fillfactor = 30);

-- The audit of one ledger compares its counts.
create index ledger_leases_ledger on ledger_leases (ledger_id);
