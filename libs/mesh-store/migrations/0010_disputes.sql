-- What somebody from outside says to have seen of a log and the log lacks, unanswered so far: at most one
-- for each log.
CREATE TABLE log_dispute (
    log        TEXT   NOT NULL PRIMARY KEY,
    -- The last event that was seen, and the log's hash after it.
    epoch      BIGINT NOT NULL CHECK (epoch > 0),
    sequence   BIGINT NOT NULL CHECK (sequence >= 0),
    hash       BYTEA  NOT NULL CHECK (length(hash) = 32),
    -- Who says so.
    said_by    TEXT   NOT NULL,
    -- When that began, in microseconds since 1970-01-01T00:00:00Z.
    since_time BIGINT NOT NULL
);
