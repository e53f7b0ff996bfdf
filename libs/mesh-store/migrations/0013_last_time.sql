-- The latest time of a transaction that was committed, whichever process on a server made it: none that
-- follows has an earlier one. In microseconds since 1970-01-01T00:00:00Z. See `last_time.rs`.
CREATE TABLE last_time (
    id     BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    latest BIGINT NOT NULL
);
