-- Test clocks: the time of a ledger that stands still until a caller advances it. docs/decisions/0041-test-clock.md has
-- the reasons.

-- The first time of the ledger's test clock, a part of the request that created it. Null: the ledger has the real clock.
alter table ledgers add column clock_start timestamptz;

-- The time of a ledger with a test clock: every row of its journal is settled at the time that stands here. Null: the real
-- clock. The journal cannot be settled later than that.
alter table journal_head add column clock timestamptz;
alter table journal_head add constraint journal_head_within_clock check (
  settled_at <= clock and closed_until <= clock and isfinite(clock)
);

-- The search for due holds reads these heads each second.
create index journal_head_clock on journal_head (ledger_id) where clock is not null;

-- A ledger keeps the kind of its clock for ever, and a test clock only goes forward.
create function refuse_clock_change() returns trigger
language plpgsql
as $$
begin
  if old.clock is null or new.clock is null or new.clock < old.clock then
    raise exception 'the clock of ledger % is neither given, nor taken, nor set back', old.ledger_id
      using errcode = 'restrict_violation';
  end if;
  return null;
end;
$$;

-- After, because any trigger before an update locks the row in a step of its own, and jobs update it as well.
create trigger journal_head_clock_kept after update of clock on journal_head
for each row execute function refuse_clock_change();

-- The time to which the request of the key advanced the clock of its ledger.
alter table idempotency_keys add column clock timestamptz;
alter table idempotency_keys drop constraint idempotency_keys_names_something;
alter table idempotency_keys add constraint idempotency_keys_names_something check (
  num_nonnulls(transfer_id, account_number, clock) > 0
);
