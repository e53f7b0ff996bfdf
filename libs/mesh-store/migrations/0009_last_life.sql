-- When the database was in use last, by a clock that was believed: a later start is held against it.
-- See `alive.rs`.
CREATE TABLE last_life (
    id     BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    -- What the clock showed, in microseconds since 1970-01-01T00:00:00Z.
    seen   BIGINT NOT NULL,
    -- Which start of the machine it was; empty if that is not known.
    boot   TEXT   NOT NULL,
    -- How long the machine had been up, sleep included, in microseconds.
    uptime BIGINT NOT NULL
);
