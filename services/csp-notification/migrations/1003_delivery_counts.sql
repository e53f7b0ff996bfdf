-- How long it took CSPs to take changes over: how many changes, by the hour in which they were recorded in the CSP's
-- log, so that a report reads few rows however many changes there are. A row is only ever added to.
--
-- Rows are made when changes are acknowledged, and no event says when that was: the log does not bring them back. Of
-- changes that were acknowledged before there was this table, it is not known how long it took.
CREATE TABLE delivery_count (
    csp     TEXT   NOT NULL REFERENCES subscription (csp),
    -- The hour in which the changes were recorded, counted from 1970-01-01T00:00:00Z.
    hour    BIGINT NOT NULL,
    -- What they have come to: the numbers are the service's own (`promptness.rs`).
    stage   BIGINT NOT NULL,
    -- How long that took: the longest duration that counts as the same, in milliseconds.
    bucket  BIGINT NOT NULL CHECK (bucket >= 0),
    changes BIGINT NOT NULL CHECK (changes > 0),
    PRIMARY KEY (csp, hour, stage, bucket)
);
