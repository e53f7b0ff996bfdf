-- Each comparison of what a CSP was told with a new history of the log `flags`, also one that found
-- no difference. The corrections are the `differences` events of the CSP's log that follow
-- `after_sequence`.
-- Times are microseconds since 1970-01-01T00:00:00Z.
CREATE TABLE resync (
    csp            TEXT   NOT NULL REFERENCES subscription (csp),
    -- Counts the CSP's comparisons from 1.
    number         BIGINT NOT NULL CHECK (number > 0),
    after_sequence BIGINT NOT NULL CHECK (after_sequence >= 0),
    differences    BIGINT NOT NULL CHECK (differences >= 0),
    -- The snapshot of `flags` that the corrections rest on.
    flags_log      TEXT   NOT NULL,
    flags_epoch    BIGINT NOT NULL CHECK (flags_epoch > 0),
    flags_sequence BIGINT NOT NULL CHECK (flags_sequence >= 0),
    recorded_time  BIGINT NOT NULL,
    PRIMARY KEY (csp, number)
);
