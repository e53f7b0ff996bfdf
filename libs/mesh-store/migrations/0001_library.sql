-- The tables that every database of the mesh has; mesh-store alone reads and writes them.
-- Times are microseconds since 1970-01-01T00:00:00Z.

-- The end of each log. Its row is locked first in every transaction that appends to the log.
CREATE TABLE log_head (
    log           TEXT   NOT NULL PRIMARY KEY,
    epoch         BIGINT NOT NULL CHECK (epoch > 0),
    sequence      BIGINT NOT NULL CHECK (sequence >= 0),
    hash          BYTEA  NOT NULL CHECK (length(hash) = 32),
    recorded_time BIGINT NOT NULL
);

-- Every event of each log, without holes from 1 to the head's sequence. Rows are never changed.
CREATE TABLE log_event (
    log           TEXT   NOT NULL,
    sequence      BIGINT NOT NULL CHECK (sequence > 0),
    recorded_time BIGINT NOT NULL,
    previous_hash BYTEA  NOT NULL CHECK (length(previous_hash) = 32),
    hash          BYTEA  NOT NULL CHECK (length(hash) = 32),
    event         BYTEA  NOT NULL,
    PRIMARY KEY (log, sequence)
);

-- Finds the last event that was known at a time.
CREATE INDEX log_event_by_time ON log_event (log, recorded_time, sequence);

-- The answer that each accepted request was given, for a caller who asks again.
CREATE TABLE idempotency (
    party         TEXT   NOT NULL,
    rpc           TEXT   NOT NULL,
    request_id    TEXT   NOT NULL,
    fingerprint   BYTEA  NOT NULL CHECK (length(fingerprint) = 32),
    answer        BYTEA  NOT NULL,
    recorded_time BIGINT NOT NULL,
    PRIMARY KEY (party, rpc, request_id)
);

-- How far each follower has come in the log that it follows.
CREATE TABLE cursor (
    follower TEXT   NOT NULL PRIMARY KEY,
    log      TEXT   NOT NULL,
    epoch    BIGINT NOT NULL CHECK (epoch > 0),
    sequence BIGINT NOT NULL CHECK (sequence >= 0),
    hash     BYTEA  NOT NULL CHECK (length(hash) = 32)
);

-- The secret under which page tokens are made, shared by all replicas on this database.
CREATE TABLE token_key (
    id     BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    secret BYTEA  NOT NULL CHECK (length(secret) = 32)
);
