-- Leases replace intakes. A lease is one process's claim on the transfers that it accepted.
create table leases (
  -- How many transfers were accepted under the lease, ever. All leases together account for every row of pending_transfers
  -- and transfers, so the loss of an accepted transfer contradicts this count. For that reason no lease is ever deleted.
  accepted_count bigint not null default 0,
  -- The holder raises it when it lost an answer. A statement that was sent under an earlier session then stores nothing,
  -- however late it arrives.
  session integer not null default 1,
  -- True once the holder stopped, or another process took over what it had accepted. Nothing is accepted under it then.
  closed boolean not null default false,
  id uuid not null,
  constraint leases_pkey primary key (id),
  constraint leases_accepted_count_positive check (accepted_count >= 0),
  constraint leases_session_positive check (session >= 1)
)
-- Room on the page for new versions of its rows: every intake updates one.
with (fillfactor = 30);

-- The heartbeat of each open lease, in a table of its own so that it never waits for the intake that locks the lease.
-- Other processes watch `beat` change, on monotonic clocks of their own: the database's clock may go back.
create table heartbeats (
  beat bigint not null default 1,
  written_at timestamptz not null default clock_timestamp(),
  lease_id uuid not null,
  constraint heartbeats_pkey primary key (lease_id)
)
with (fillfactor = 30);

alter table pending_transfers rename column intake_id to lease_id;
-- How often a process that had not stopped in good order left the transfer behind. Each time it is settled in a smaller
-- job, so that a transfer that ends processes is found.
alter table pending_transfers add column adoptions smallint not null default 0;

-- What was accepted before leases counted.
insert into leases (id, closed, accepted_count)
select gen_random_uuid(), true, count(*)
from (select id from transfers union all select id from pending_transfers) as accepted
having count(*) > 0;

drop table intakes;

-- A key may name an opened account as well; its opening transfer is then the one named.
alter table idempotency_keys
  alter column transfer_id drop not null,
  add column account_number text collate "C",
  add constraint idempotency_keys_names_something check (num_nonnulls(transfer_id, account_number) > 0);
