-- The words of the names of accounts, by which these are found. docs/decisions/0034-personal-data.md says why they may be here.
-- A table of its own: a change of a name must not copy the key of the account into another row version.
create table account_words (
  ledger_id integer not null,
  -- Without its currency: only @external has several, and its name is not a person's.
  account_number text collate "C" not null,
  word text collate "C" not null,
  constraint account_words_pkey primary key (ledger_id, account_number, word)
)
-- As in personal_keys, the first deleted row makes vacuum run. It must not skip the indexes, which have the words too.
with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 0, vacuum_index_cleanup = on);

-- Statistics are samples of the values: an erased word must not live on in them.
alter table account_words alter column word set statistics 0;

create index account_words_word on account_words (ledger_id, word, account_number);
