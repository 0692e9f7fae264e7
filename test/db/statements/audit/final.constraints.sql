-- all ledgers
select null::bigint as ledger, null::text as account, null::text as currency,
  null::text as transfer, null::bigint as journal, fact.what, fact.expected, fact.found
from (values ('ledgers'), ('accounts'), ('personal_keys'), ('pending_transfers'), ('transfers'), ('entries'), ('holds'), ('reversed_amounts'), ('account_changes'), ('journal'), ('journal_head'), ('idempotency_keys'), ('leases'), ('ledger_leases'), ('audit_log'), ('api_keys'), ('closed_months'), ('sealed_balances'), ('sealed_totals'), ('archived_months'), ('approvals')) as known (name)
  left join pg_class as relation on relation.relname = known.name and relation.relnamespace = (select relnamespace from pg_class where oid = to_regclass('journal_head'))
cross join lateral (
  values ('table with all its rows in sight', (relation.relkind in ('r', 'p') and not relation.relrowsecurity and not relation.relhasrules
      and not exists (select from pg_inherits where inhparent = relation.oid and relation.relkind = 'r')) is true, ('a table without rules, policies or heirs')::text, (name || coalesce(' of kind ' || relation.relkind::text, ' is missing'))::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((relation.relkind in ('r', 'p') and not relation.relrowsecurity and not relation.relhasrules
      and not exists (select from pg_inherits where inhparent = relation.oid and relation.relkind = 'r')) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what;

select null::bigint as ledger, null::text as account, null::text as currency,
  null::text as transfer, null::bigint as journal, fact.what, fact.expected, fact.found
from (values ('ledgers_pkey'), ('ledgers_name_unique'), ('ledgers_idempotency_key_unique'), ('ledgers_id_positive'), ('ledgers_name_form'), ('accounts_pkey'), ('accounts_number_form'), ('accounts_currency_form'), ('accounts_status_known'), ('accounts_balance_exact'), ('accounts_held_exact'), ('accounts_overdraft_limit_exact'), ('accounts_entry_count_positive'), ('accounts_no_overdraft'), ('accounts_closed_is_empty'), ('personal_keys_pkey'), ('personal_keys_key_sized'), ('pending_transfers_pkey'), ('pending_transfers_kind_known'), ('pending_transfers_amount_positive'), ('pending_transfers_amount_named'), ('pending_transfers_parent_named'), ('pending_transfers_accounts_differ'), ('pending_transfers_rate_form'), ('pending_transfers_remote_form'), ('transfers_pkey'), ('transfers_kind_known'), ('transfers_amount_positive'), ('transfers_parent_named'), ('transfers_accounts_differ'), ('transfers_status_known'), ('transfers_status_explained'), ('transfers_rate_form'), ('transfers_remote_form'), ('entries_pkey'), ('entries_number_positive'), ('entries_amount_not_zero'), ('entries_balance_exact'), ('holds_pkey'), ('holds_state_known'), ('holds_amount_positive'), ('holds_parts_positive'), ('holds_within_amount'), ('holds_state_explained'), ('reversed_amounts_pkey'), ('reversed_amounts_within'), ('account_changes_pkey'), ('account_changes_number_positive'), ('account_changes_seal_sized'), ('journal_pkey'), ('journal_number_positive'), ('journal_counts_positive'), ('journal_counts_consistent'), ('journal_hashes_sized'), ('journal_head_pkey'), ('journal_head_within_clock'), ('idempotency_keys_pkey'), ('idempotency_keys_fingerprint_sized'), ('idempotency_keys_personal_fingerprint_sized'), ('idempotency_keys_names_something'), ('leases_pkey'), ('leases_accepted_count_positive'), ('leases_session_positive'), ('ledger_leases_pkey'), ('ledger_leases_accepted_count_positive'), ('ledger_leases_session_positive'), ('audit_log_pkey'), ('audit_log_count_positive'), ('api_keys_pkey'), ('api_keys_id_form'), ('api_keys_digests_sized'), ('api_keys_bounds_positive'), ('closed_months_pkey'), ('closed_months_first_day'), ('closed_months_counts_positive'), ('closed_months_hashes_sized'), ('sealed_balances_pkey'), ('sealed_balances_entry_positive'), ('sealed_totals_pkey'), ('sealed_totals_signed'), ('archived_months_pkey'), ('archived_months_first_day'), ('archived_months_number_positive'), ('archived_months_digest_sized'), ('approvals_pkey'), ('approvals_kind_known'), ('approvals_state_known'), ('approvals_decided'), ('approvals_by_another')) as known (name)
  left join pg_constraint as rule on rule.conname = known.name and rule.connamespace = (select relnamespace from pg_class where oid = to_regclass('journal_head'))
cross join lateral (
  values ('constraint', (rule.convalidated and coalesce((to_jsonb(rule) ->> 'conenforced')::boolean, true)) is true, ('there and validated')::text, (name || case when rule.oid is null then ' is missing' else ' is not validated' end)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((rule.convalidated and coalesce((to_jsonb(rule) ->> 'conenforced')::boolean, true)) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what;

select null::bigint as ledger, null::text as account, null::text as currency,
  null::text as transfer, null::bigint as journal, fact.what, fact.expected, fact.found
from (values ('ledgers_pkey'), ('accounts_pkey'), ('personal_keys_pkey'), ('pending_transfers_pkey'), ('transfers_pkey'), ('entries_pkey'), ('holds_pkey'), ('reversed_amounts_pkey'), ('account_changes_pkey'), ('journal_pkey'), ('journal_head_pkey'), ('idempotency_keys_pkey'), ('leases_pkey'), ('ledger_leases_pkey'), ('audit_log_pkey'), ('api_keys_pkey'), ('closed_months_pkey'), ('sealed_balances_pkey'), ('sealed_totals_pkey'), ('archived_months_pkey'), ('approvals_pkey'), ('ledgers_name_unique'), ('ledgers_idempotency_key_unique'), ('accounts_one_currency'), ('transfers_journal')) as known (name)
  left join pg_class as relation on relation.relname = known.name and relation.relnamespace = (select relnamespace from pg_class where oid = to_regclass('journal_head'))
  left join pg_index as index on index.indexrelid = relation.oid
cross join lateral (
  values ('unique index', (index.indisunique and index.indisvalid and index.indisready and index.indislive) is true, ('there and valid')::text, (name || case when index.indexrelid is null then ' is missing' else ' is not valid, or not unique' end)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((index.indisunique and index.indisvalid and index.indisready and index.indislive) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what;

select null::bigint as ledger, null::text as account, null::text as currency,
  null::text as transfer, null::bigint as journal, fact.what, fact.expected, fact.found
from (values ('ledgers'), ('accounts'), ('personal_keys'), ('transfers'), ('entries'), ('holds'), ('reversed_amounts'), ('account_changes'), ('journal'), ('journal_head'), ('idempotency_keys'), ('leases'), ('closed_months'), ('sealed_balances'), ('sealed_totals'), ('archived_months'), ('ledger_leases'), ('audit_log')) as known (name)
  join pg_attribute as attribute
    on attribute.attrelid = to_regclass(known.name) and attribute.attnum > 0 and not attribute.attisdropped
cross join lateral (
  values ('column', (attribute.attnotnull) is true, ('never null')::text, (name || '.' || attname || ' may be null')::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((attribute.attnotnull) is true) is not true
  and not fact.holds
  and (name || '.' || attname not in ('ledgers.idempotency_key', 'ledgers.approval_above', 'ledgers.clock_start', 'accounts.personal_data', 'transfers.amount', 'transfers.from_entry_number', 'transfers.to_entry_number', 'transfers.if_from_entry_number', 'transfers.if_min_available_after', 'transfers.expires_in', 'transfers.group_position', 'transfers.parent_id', 'transfers.group_id', 'transfers.atomic', 'transfers.final_capture', 'transfers.currency', 'transfers.failure_code', 'transfers.request_id', 'transfers.ordered_by', 'transfers.approved_by', 'transfers.rate', 'transfers.remote_account', 'transfers.description', 'transfers.metadata', 'holds.expires_at', 'holds.expiry_id', 'account_changes.ordered_by', 'account_changes.approved_by', 'journal_head.clock', 'idempotency_keys.transfer_id', 'idempotency_keys.account_number', 'idempotency_keys.personal_fingerprint', 'idempotency_keys.clock', 'audit_log.journal_number', 'audit_log.actor', 'audit_log.subject', 'audit_log.address', 'audit_log.details')) order by ledger nulls first, journal nulls first, account, currency, transfer, what;

select null::bigint as ledger, null::text as account, null::text as currency,
  null::text as transfer, null::bigint as journal, fact.what, fact.expected, fact.found
from (values ('account_number', 'account_number'), ('currency', 'currency_code')) as known (name, type)
  left join pg_attribute as attribute
    on attribute.attrelid = to_regclass('accounts') and attribute.attname = known.name
  left join pg_type as actual on actual.oid = attribute.atttypid and actual.typnamespace = (select relnamespace from pg_class where oid = to_regclass('journal_head'))
cross join lateral (
  values ('column with a type of its own', (actual.typname = known.type) is true, ('of that type')::text, ('accounts.' || known.name || ' is not of the type ' || known.type)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((actual.typname = known.type) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what;

-- one ledger, after a row of its journal
select null::bigint as ledger, null::text as account, null::text as currency,
  null::text as transfer, null::bigint as journal, fact.what, fact.expected, fact.found
from (values ('ledgers'), ('accounts'), ('personal_keys'), ('pending_transfers'), ('transfers'), ('entries'), ('holds'), ('reversed_amounts'), ('account_changes'), ('journal'), ('journal_head'), ('idempotency_keys'), ('leases'), ('ledger_leases'), ('audit_log'), ('api_keys'), ('closed_months'), ('sealed_balances'), ('sealed_totals'), ('archived_months'), ('approvals')) as known (name)
  left join pg_class as relation on relation.relname = known.name and relation.relnamespace = (select relnamespace from pg_class where oid = to_regclass('journal_head'))
cross join lateral (
  values ('table with all its rows in sight', (relation.relkind in ('r', 'p') and not relation.relrowsecurity and not relation.relhasrules
      and not exists (select from pg_inherits where inhparent = relation.oid and relation.relkind = 'r')) is true, ('a table without rules, policies or heirs')::text, (name || coalesce(' of kind ' || relation.relkind::text, ' is missing'))::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((relation.relkind in ('r', 'p') and not relation.relrowsecurity and not relation.relhasrules
      and not exists (select from pg_inherits where inhparent = relation.oid and relation.relkind = 'r')) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what;

select null::bigint as ledger, null::text as account, null::text as currency,
  null::text as transfer, null::bigint as journal, fact.what, fact.expected, fact.found
from (values ('ledgers_pkey'), ('ledgers_name_unique'), ('ledgers_idempotency_key_unique'), ('ledgers_id_positive'), ('ledgers_name_form'), ('accounts_pkey'), ('accounts_number_form'), ('accounts_currency_form'), ('accounts_status_known'), ('accounts_balance_exact'), ('accounts_held_exact'), ('accounts_overdraft_limit_exact'), ('accounts_entry_count_positive'), ('accounts_no_overdraft'), ('accounts_closed_is_empty'), ('personal_keys_pkey'), ('personal_keys_key_sized'), ('pending_transfers_pkey'), ('pending_transfers_kind_known'), ('pending_transfers_amount_positive'), ('pending_transfers_amount_named'), ('pending_transfers_parent_named'), ('pending_transfers_accounts_differ'), ('pending_transfers_rate_form'), ('pending_transfers_remote_form'), ('transfers_pkey'), ('transfers_kind_known'), ('transfers_amount_positive'), ('transfers_parent_named'), ('transfers_accounts_differ'), ('transfers_status_known'), ('transfers_status_explained'), ('transfers_rate_form'), ('transfers_remote_form'), ('entries_pkey'), ('entries_number_positive'), ('entries_amount_not_zero'), ('entries_balance_exact'), ('holds_pkey'), ('holds_state_known'), ('holds_amount_positive'), ('holds_parts_positive'), ('holds_within_amount'), ('holds_state_explained'), ('reversed_amounts_pkey'), ('reversed_amounts_within'), ('account_changes_pkey'), ('account_changes_number_positive'), ('account_changes_seal_sized'), ('journal_pkey'), ('journal_number_positive'), ('journal_counts_positive'), ('journal_counts_consistent'), ('journal_hashes_sized'), ('journal_head_pkey'), ('journal_head_within_clock'), ('idempotency_keys_pkey'), ('idempotency_keys_fingerprint_sized'), ('idempotency_keys_personal_fingerprint_sized'), ('idempotency_keys_names_something'), ('leases_pkey'), ('leases_accepted_count_positive'), ('leases_session_positive'), ('ledger_leases_pkey'), ('ledger_leases_accepted_count_positive'), ('ledger_leases_session_positive'), ('audit_log_pkey'), ('audit_log_count_positive'), ('api_keys_pkey'), ('api_keys_id_form'), ('api_keys_digests_sized'), ('api_keys_bounds_positive'), ('closed_months_pkey'), ('closed_months_first_day'), ('closed_months_counts_positive'), ('closed_months_hashes_sized'), ('sealed_balances_pkey'), ('sealed_balances_entry_positive'), ('sealed_totals_pkey'), ('sealed_totals_signed'), ('archived_months_pkey'), ('archived_months_first_day'), ('archived_months_number_positive'), ('archived_months_digest_sized'), ('approvals_pkey'), ('approvals_kind_known'), ('approvals_state_known'), ('approvals_decided'), ('approvals_by_another')) as known (name)
  left join pg_constraint as rule on rule.conname = known.name and rule.connamespace = (select relnamespace from pg_class where oid = to_regclass('journal_head'))
cross join lateral (
  values ('constraint', (rule.convalidated and coalesce((to_jsonb(rule) ->> 'conenforced')::boolean, true)) is true, ('there and validated')::text, (name || case when rule.oid is null then ' is missing' else ' is not validated' end)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((rule.convalidated and coalesce((to_jsonb(rule) ->> 'conenforced')::boolean, true)) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what;

select null::bigint as ledger, null::text as account, null::text as currency,
  null::text as transfer, null::bigint as journal, fact.what, fact.expected, fact.found
from (values ('ledgers_pkey'), ('accounts_pkey'), ('personal_keys_pkey'), ('pending_transfers_pkey'), ('transfers_pkey'), ('entries_pkey'), ('holds_pkey'), ('reversed_amounts_pkey'), ('account_changes_pkey'), ('journal_pkey'), ('journal_head_pkey'), ('idempotency_keys_pkey'), ('leases_pkey'), ('ledger_leases_pkey'), ('audit_log_pkey'), ('api_keys_pkey'), ('closed_months_pkey'), ('sealed_balances_pkey'), ('sealed_totals_pkey'), ('archived_months_pkey'), ('approvals_pkey'), ('ledgers_name_unique'), ('ledgers_idempotency_key_unique'), ('accounts_one_currency'), ('transfers_journal')) as known (name)
  left join pg_class as relation on relation.relname = known.name and relation.relnamespace = (select relnamespace from pg_class where oid = to_regclass('journal_head'))
  left join pg_index as index on index.indexrelid = relation.oid
cross join lateral (
  values ('unique index', (index.indisunique and index.indisvalid and index.indisready and index.indislive) is true, ('there and valid')::text, (name || case when index.indexrelid is null then ' is missing' else ' is not valid, or not unique' end)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((index.indisunique and index.indisvalid and index.indisready and index.indislive) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what;

select null::bigint as ledger, null::text as account, null::text as currency,
  null::text as transfer, null::bigint as journal, fact.what, fact.expected, fact.found
from (values ('ledgers'), ('accounts'), ('personal_keys'), ('transfers'), ('entries'), ('holds'), ('reversed_amounts'), ('account_changes'), ('journal'), ('journal_head'), ('idempotency_keys'), ('leases'), ('closed_months'), ('sealed_balances'), ('sealed_totals'), ('archived_months'), ('ledger_leases'), ('audit_log')) as known (name)
  join pg_attribute as attribute
    on attribute.attrelid = to_regclass(known.name) and attribute.attnum > 0 and not attribute.attisdropped
cross join lateral (
  values ('column', (attribute.attnotnull) is true, ('never null')::text, (name || '.' || attname || ' may be null')::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((attribute.attnotnull) is true) is not true
  and not fact.holds
  and (name || '.' || attname not in ('ledgers.idempotency_key', 'ledgers.approval_above', 'ledgers.clock_start', 'accounts.personal_data', 'transfers.amount', 'transfers.from_entry_number', 'transfers.to_entry_number', 'transfers.if_from_entry_number', 'transfers.if_min_available_after', 'transfers.expires_in', 'transfers.group_position', 'transfers.parent_id', 'transfers.group_id', 'transfers.atomic', 'transfers.final_capture', 'transfers.currency', 'transfers.failure_code', 'transfers.request_id', 'transfers.ordered_by', 'transfers.approved_by', 'transfers.rate', 'transfers.remote_account', 'transfers.description', 'transfers.metadata', 'holds.expires_at', 'holds.expiry_id', 'account_changes.ordered_by', 'account_changes.approved_by', 'journal_head.clock', 'idempotency_keys.transfer_id', 'idempotency_keys.account_number', 'idempotency_keys.personal_fingerprint', 'idempotency_keys.clock', 'audit_log.journal_number', 'audit_log.actor', 'audit_log.subject', 'audit_log.address', 'audit_log.details')) order by ledger nulls first, journal nulls first, account, currency, transfer, what;

select null::bigint as ledger, null::text as account, null::text as currency,
  null::text as transfer, null::bigint as journal, fact.what, fact.expected, fact.found
from (values ('account_number', 'account_number'), ('currency', 'currency_code')) as known (name, type)
  left join pg_attribute as attribute
    on attribute.attrelid = to_regclass('accounts') and attribute.attname = known.name
  left join pg_type as actual on actual.oid = attribute.atttypid and actual.typnamespace = (select relnamespace from pg_class where oid = to_regclass('journal_head'))
cross join lateral (
  values ('column with a type of its own', (actual.typname = known.type) is true, ('of that type')::text, ('accounts.' || known.name || ' is not of the type ' || known.type)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((actual.typname = known.type) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what
