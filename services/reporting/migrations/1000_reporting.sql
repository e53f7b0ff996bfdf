-- What became of each Service Request. Rows are only ever added.
-- Times are microseconds since 1970-01-01T00:00:00Z; the numbers of class, result and origin are
-- those of the contract's enums.
CREATE TABLE outcome (
    producer      TEXT    NOT NULL,
    outcome_id    TEXT    NOT NULL,
    party_id      TEXT    NOT NULL,
    device_id     TEXT    NOT NULL,
    variant       TEXT    NOT NULL,
    message_class BIGINT  NOT NULL,
    -- Whether the class admits an exception, as the rule was when the outcome was recorded.
    exceptable    BOOLEAN NOT NULL,
    request_time  BIGINT  NOT NULL,
    result        BIGINT  NOT NULL,
    origin        BIGINT  NOT NULL,
    recorded_time BIGINT  NOT NULL,
    PRIMARY KEY (producer, outcome_id)
);

-- From a flagged Device to its outcomes while it was flagged. Only what can be excepted is in it.
CREATE INDEX outcome_exceptable ON outcome (device_id, request_time) WHERE exceptable;

-- How many outcomes of each kind a month (UTC, `2026-11`) has. Moved in the transaction that adds
-- the outcomes, so that a report reads a few rows for each supplier, however many outcomes it has.
CREATE TABLE outcome_tally (
    month    TEXT   NOT NULL,
    party_id TEXT   NOT NULL,
    variant  TEXT   NOT NULL,
    origin   BIGINT NOT NULL,
    result   BIGINT NOT NULL,
    outcomes BIGINT NOT NULL CHECK (outcomes > 0),
    PRIMARY KEY (month, party_id, variant, origin, result)
);

-- How many outcomes there are. Its one row is locked first by whoever adds some.
CREATE TABLE outcome_total (
    id       BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    outcomes BIGINT NOT NULL
);
INSERT INTO outcome_total (id, outcomes) VALUES (1, 0);

-- When communications with a Device were reduced: from start_time up to but not including end_time,
-- the greatest BIGINT while the flag is set. source_id is the meter that is flagged: the Device
-- itself, or the GSME whose flag covers the GPF.
CREATE TABLE flag_interval (
    device_id  TEXT   NOT NULL,
    start_time BIGINT NOT NULL,
    source_id  TEXT   NOT NULL,
    end_time   BIGINT NOT NULL CHECK (end_time >= start_time),
    PRIMARY KEY (device_id, start_time, source_id)
);

-- What is flagged still, and what was within a month.
CREATE INDEX flag_interval_by_end ON flag_interval (end_time, source_id, device_id, start_time);

-- The meters of the log `devices`, as they are at the position of its cursor. party_id is empty
-- while nobody is responsible.
CREATE TABLE meter (
    device_id   TEXT   NOT NULL PRIMARY KEY,
    device_type BIGINT NOT NULL,
    smets_major BIGINT NOT NULL,
    smi_status  BIGINT NOT NULL,
    party_id    TEXT   NOT NULL
);

CREATE INDEX meter_by_party ON meter (party_id, device_type, smets_major, smi_status);

-- A snapshot of the log `devices` that is still arriving. Each loader has its own rows, so that two
-- replicas that start together do not mix theirs.
CREATE TABLE meter_arriving (
    loader      BIGINT NOT NULL,
    device_id   TEXT   NOT NULL,
    device_type BIGINT NOT NULL,
    smets_major BIGINT NOT NULL,
    smi_status  BIGINT NOT NULL,
    party_id    TEXT   NOT NULL,
    PRIMARY KEY (loader, device_id)
);
