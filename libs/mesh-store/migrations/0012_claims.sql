-- Who of those who are believed has said that a log went back, without an operator's decision so far. Only a
-- database on a server keeps it here: beside a file there is the witness, which stays when the file goes back.
CREATE TABLE log_claim (
    log       TEXT   NOT NULL,
    -- The last event that was seen, and the log's hash after it.
    epoch     BIGINT NOT NULL CHECK (epoch > 0),
    sequence  BIGINT NOT NULL CHECK (sequence >= 0),
    hash      BYTEA  NOT NULL CHECK (length(hash) = 32),
    -- Who says so.
    said_by   TEXT   NOT NULL,
    PRIMARY KEY (log, epoch, said_by)
);
