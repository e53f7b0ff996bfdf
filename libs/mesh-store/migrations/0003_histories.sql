-- What an operator decided about a log that went back, and which database this is.
-- Times are microseconds since 1970-01-01T00:00:00Z.

-- A log's epoch changes when a new history of it begins; its hash chain goes on, and began with the
-- first epoch.
ALTER TABLE log_head RENAME TO log_head_of_one_history;
CREATE TABLE log_head (
    log           TEXT   NOT NULL PRIMARY KEY,
    epoch         BIGINT NOT NULL CHECK (epoch > 0),
    sequence      BIGINT NOT NULL CHECK (sequence >= 0),
    hash          BYTEA  NOT NULL CHECK (length(hash) = 32),
    recorded_time BIGINT NOT NULL,
    first_epoch   BIGINT NOT NULL CHECK (first_epoch > 0)
);
INSERT INTO log_head (log, epoch, sequence, hash, recorded_time, first_epoch)
SELECT log, epoch, sequence, hash, recorded_time, epoch FROM log_head_of_one_history;
DROP TABLE log_head_of_one_history;

-- The histories of each log that are over. What came after their last event is lost, and an operator
-- has accepted that.
CREATE TABLE log_history (
    log         TEXT   NOT NULL,
    epoch       BIGINT NOT NULL CHECK (epoch > 0),
    -- The last event of the log when the next history began.
    ended_after BIGINT NOT NULL CHECK (ended_after >= 0),
    -- The last event of this history that somebody has seen: all that follow `ended_after` are lost.
    seen_up_to  BIGINT NOT NULL CHECK (seen_up_to >= 0),
    -- The history that began then.
    next_epoch  BIGINT NOT NULL CHECK (next_epoch > 0),
    ended_time  BIGINT NOT NULL,
    -- Who decided it, and why.
    decided_by  TEXT   NOT NULL,
    reason      TEXT   NOT NULL,
    PRIMARY KEY (log, epoch)
);

-- Which database this is, drawn when it is made and when it is restored.
CREATE TABLE database_identity (
    id       BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    identity BYTEA  NOT NULL CHECK (length(identity) = 16),
    -- Goes up every few seconds and at each start: tells how old a copy is, whatever is in it.
    pulse    BIGINT NOT NULL
);
