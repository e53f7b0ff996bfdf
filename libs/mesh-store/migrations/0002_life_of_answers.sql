-- Finds the answers that were kept longest. From this version on `idempotency.recorded_time` is
-- the database's age, below, when the answer was kept; of older rows it is the clock's time.
CREATE INDEX idempotency_by_time ON idempotency (recorded_time);

-- How old the database is: a time that goes on with the clock and never jumps with it, so that no
-- mistaken clock ends the life of an answer. See `life.rs`. Times are microseconds.
CREATE TABLE database_age (
    id   BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    -- The age, counted from the clock's time at the beginning.
    age  BIGINT NOT NULL,
    -- What the clock showed then.
    seen BIGINT NOT NULL
);
