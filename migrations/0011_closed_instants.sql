-- An answer about a past instant is final once no later row of the journal can be settled at or before that instant. Every
-- later row is settled at or after this instant, whatever the clock says.
alter table journal_head add column closed_until timestamptz not null default '-infinity';
