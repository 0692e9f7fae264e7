-- all ledgers
select null::bigint as ledger, null::text as account, null::text as currency,
  null::text as transfer, null::bigint as journal, fact.what, fact.expected, fact.found
from (values ('transfers', 'transfers_append_only', 27, '', 'begin raise exception ''table % is append-only: % is refused'', tg_table_name, tg_op using errcode = ''restrict_violation''; end;'), ('transfers', 'transfers_not_truncated', 34, '', 'begin raise exception ''table % is append-only: % is refused'', tg_table_name, tg_op using errcode = ''restrict_violation''; end;'), ('entries', 'entries_append_only', 27, '', 'begin raise exception ''table % is append-only: % is refused'', tg_table_name, tg_op using errcode = ''restrict_violation''; end;'), ('entries', 'entries_not_truncated', 34, '', 'begin raise exception ''table % is append-only: % is refused'', tg_table_name, tg_op using errcode = ''restrict_violation''; end;'), ('journal', 'journal_append_only', 27, '', 'begin raise exception ''table % is append-only: % is refused'', tg_table_name, tg_op using errcode = ''restrict_violation''; end;'), ('journal', 'journal_not_truncated', 34, '', 'begin raise exception ''table % is append-only: % is refused'', tg_table_name, tg_op using errcode = ''restrict_violation''; end;'), ('account_changes', 'account_changes_append_only', 27, '', 'begin raise exception ''table % is append-only: % is refused'', tg_table_name, tg_op using errcode = ''restrict_violation''; end;'), ('account_changes', 'account_changes_not_truncated', 34, '', 'begin raise exception ''table % is append-only: % is refused'', tg_table_name, tg_op using errcode = ''restrict_violation''; end;'), ('idempotency_keys', 'idempotency_keys_append_only', 27, '', 'begin raise exception ''table % is append-only: % is refused'', tg_table_name, tg_op using errcode = ''restrict_violation''; end;'), ('idempotency_keys', 'idempotency_keys_not_truncated', 34, '', 'begin raise exception ''table % is append-only: % is refused'', tg_table_name, tg_op using errcode = ''restrict_violation''; end;'), ('audit_log', 'audit_log_append_only', 27, '', 'begin raise exception ''table % is append-only: % is refused'', tg_table_name, tg_op using errcode = ''restrict_violation''; end;'), ('audit_log', 'audit_log_not_truncated', 34, '', 'begin raise exception ''table % is append-only: % is refused'', tg_table_name, tg_op using errcode = ''restrict_violation''; end;'), ('closed_months', 'closed_months_append_only', 27, '', 'begin raise exception ''table % is append-only: % is refused'', tg_table_name, tg_op using errcode = ''restrict_violation''; end;'), ('closed_months', 'closed_months_not_truncated', 34, '', 'begin raise exception ''table % is append-only: % is refused'', tg_table_name, tg_op using errcode = ''restrict_violation''; end;'), ('sealed_balances', 'sealed_balances_append_only', 27, '', 'begin raise exception ''table % is append-only: % is refused'', tg_table_name, tg_op using errcode = ''restrict_violation''; end;'), ('sealed_balances', 'sealed_balances_not_truncated', 34, '', 'begin raise exception ''table % is append-only: % is refused'', tg_table_name, tg_op using errcode = ''restrict_violation''; end;'), ('sealed_totals', 'sealed_totals_append_only', 27, '', 'begin raise exception ''table % is append-only: % is refused'', tg_table_name, tg_op using errcode = ''restrict_violation''; end;'), ('sealed_totals', 'sealed_totals_not_truncated', 34, '', 'begin raise exception ''table % is append-only: % is refused'', tg_table_name, tg_op using errcode = ''restrict_violation''; end;'), ('journal_head', 'journal_head_clock_kept', 17, 'clock', 'begin if old.clock is null or new.clock is null or new.clock < old.clock then raise exception ''the clock of ledger % is neither given, nor taken, nor set back'', old.ledger_id using errcode = ''restrict_violation''; end if; return null; end;')) as known (name, trigger, type, columns, body)
  left join pg_trigger as rule on rule.tgrelid = to_regclass(known.name) and rule.tgname = known.trigger
  left join pg_proc as refusal on refusal.oid = rule.tgfoid
cross join lateral (
  values ('trigger that refuses changes', (rule.tgenabled in ('O', 'A') and rule.tgtype & 63 = known.type and rule.tgqual is null
      and known.columns = (
        select coalesce(string_agg(attname, ' '), '')
        from pg_attribute
        where attrelid = rule.tgrelid and attnum = any(rule.tgattr::int2[])
      )
      and btrim(regexp_replace(refusal.prosrc, '\s+', ' ', 'g')) = known.body) is true, ('there, enabled, on every change')::text, (known.trigger || case
      when rule.oid is null then ' is missing'
      when rule.tgenabled not in ('O', 'A') then ' is disabled'
      else ' does something else'
    end)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((rule.tgenabled in ('O', 'A') and rule.tgtype & 63 = known.type and rule.tgqual is null
      and known.columns = (
        select coalesce(string_agg(attname, ' '), '')
        from pg_attribute
        where attrelid = rule.tgrelid and attnum = any(rule.tgattr::int2[])
      )
      and btrim(regexp_replace(refusal.prosrc, '\s+', ' ', 'g')) = known.body) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what;

-- one ledger, after a row of its journal
select null::bigint as ledger, null::text as account, null::text as currency,
  null::text as transfer, null::bigint as journal, fact.what, fact.expected, fact.found
from (values ('transfers', 'transfers_append_only', 27, '', 'begin raise exception ''table % is append-only: % is refused'', tg_table_name, tg_op using errcode = ''restrict_violation''; end;'), ('transfers', 'transfers_not_truncated', 34, '', 'begin raise exception ''table % is append-only: % is refused'', tg_table_name, tg_op using errcode = ''restrict_violation''; end;'), ('entries', 'entries_append_only', 27, '', 'begin raise exception ''table % is append-only: % is refused'', tg_table_name, tg_op using errcode = ''restrict_violation''; end;'), ('entries', 'entries_not_truncated', 34, '', 'begin raise exception ''table % is append-only: % is refused'', tg_table_name, tg_op using errcode = ''restrict_violation''; end;'), ('journal', 'journal_append_only', 27, '', 'begin raise exception ''table % is append-only: % is refused'', tg_table_name, tg_op using errcode = ''restrict_violation''; end;'), ('journal', 'journal_not_truncated', 34, '', 'begin raise exception ''table % is append-only: % is refused'', tg_table_name, tg_op using errcode = ''restrict_violation''; end;'), ('account_changes', 'account_changes_append_only', 27, '', 'begin raise exception ''table % is append-only: % is refused'', tg_table_name, tg_op using errcode = ''restrict_violation''; end;'), ('account_changes', 'account_changes_not_truncated', 34, '', 'begin raise exception ''table % is append-only: % is refused'', tg_table_name, tg_op using errcode = ''restrict_violation''; end;'), ('idempotency_keys', 'idempotency_keys_append_only', 27, '', 'begin raise exception ''table % is append-only: % is refused'', tg_table_name, tg_op using errcode = ''restrict_violation''; end;'), ('idempotency_keys', 'idempotency_keys_not_truncated', 34, '', 'begin raise exception ''table % is append-only: % is refused'', tg_table_name, tg_op using errcode = ''restrict_violation''; end;'), ('audit_log', 'audit_log_append_only', 27, '', 'begin raise exception ''table % is append-only: % is refused'', tg_table_name, tg_op using errcode = ''restrict_violation''; end;'), ('audit_log', 'audit_log_not_truncated', 34, '', 'begin raise exception ''table % is append-only: % is refused'', tg_table_name, tg_op using errcode = ''restrict_violation''; end;'), ('closed_months', 'closed_months_append_only', 27, '', 'begin raise exception ''table % is append-only: % is refused'', tg_table_name, tg_op using errcode = ''restrict_violation''; end;'), ('closed_months', 'closed_months_not_truncated', 34, '', 'begin raise exception ''table % is append-only: % is refused'', tg_table_name, tg_op using errcode = ''restrict_violation''; end;'), ('sealed_balances', 'sealed_balances_append_only', 27, '', 'begin raise exception ''table % is append-only: % is refused'', tg_table_name, tg_op using errcode = ''restrict_violation''; end;'), ('sealed_balances', 'sealed_balances_not_truncated', 34, '', 'begin raise exception ''table % is append-only: % is refused'', tg_table_name, tg_op using errcode = ''restrict_violation''; end;'), ('sealed_totals', 'sealed_totals_append_only', 27, '', 'begin raise exception ''table % is append-only: % is refused'', tg_table_name, tg_op using errcode = ''restrict_violation''; end;'), ('sealed_totals', 'sealed_totals_not_truncated', 34, '', 'begin raise exception ''table % is append-only: % is refused'', tg_table_name, tg_op using errcode = ''restrict_violation''; end;'), ('journal_head', 'journal_head_clock_kept', 17, 'clock', 'begin if old.clock is null or new.clock is null or new.clock < old.clock then raise exception ''the clock of ledger % is neither given, nor taken, nor set back'', old.ledger_id using errcode = ''restrict_violation''; end if; return null; end;')) as known (name, trigger, type, columns, body)
  left join pg_trigger as rule on rule.tgrelid = to_regclass(known.name) and rule.tgname = known.trigger
  left join pg_proc as refusal on refusal.oid = rule.tgfoid
cross join lateral (
  values ('trigger that refuses changes', (rule.tgenabled in ('O', 'A') and rule.tgtype & 63 = known.type and rule.tgqual is null
      and known.columns = (
        select coalesce(string_agg(attname, ' '), '')
        from pg_attribute
        where attrelid = rule.tgrelid and attnum = any(rule.tgattr::int2[])
      )
      and btrim(regexp_replace(refusal.prosrc, '\s+', ' ', 'g')) = known.body) is true, ('there, enabled, on every change')::text, (known.trigger || case
      when rule.oid is null then ' is missing'
      when rule.tgenabled not in ('O', 'A') then ' is disabled'
      else ' does something else'
    end)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((rule.tgenabled in ('O', 'A') and rule.tgtype & 63 = known.type and rule.tgqual is null
      and known.columns = (
        select coalesce(string_agg(attname, ' '), '')
        from pg_attribute
        where attrelid = rule.tgrelid and attnum = any(rule.tgattr::int2[])
      )
      and btrim(regexp_replace(refusal.prosrc, '\s+', ' ', 'g')) = known.body) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what
