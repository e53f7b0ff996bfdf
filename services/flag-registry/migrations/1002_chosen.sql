-- When a supplier last said what its consumer wants; of rows that are older than this column, since when
-- they had their state.
ALTER TABLE flag_entry ADD COLUMN chosen BIGINT NOT NULL DEFAULT 0;
UPDATE flag_entry SET chosen = since;
