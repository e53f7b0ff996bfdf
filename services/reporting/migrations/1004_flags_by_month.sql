-- The flags of each month, by whose they are: the meter's Responsible Supplier and the CSP of its hub. A supplier or
-- CSP is empty if there is none. A meter that is flagged counts once, whatever its flag covers.

-- What is flagged still, and for whom it counts.
CREATE TABLE flag_standing (
    device_id TEXT    NOT NULL PRIMARY KEY,
    party_id  TEXT    NOT NULL,
    csp_id    TEXT    NOT NULL,
    -- Whether the supplier gained it at a change of supplier, and did not set it itself.
    gained    BOOLEAN NOT NULL
);

-- What became of flags, by part, which is that of the hours in which the events were recorded. The numbers of
-- movements are the service's own (`movement.rs`). Rows are only ever added to.
CREATE TABLE flag_movement (
    part     TEXT    NOT NULL,
    party_id TEXT    NOT NULL,
    csp_id   TEXT    NOT NULL,
    movement BIGINT  NOT NULL,
    gained   BOOLEAN NOT NULL,
    flags    BIGINT  NOT NULL CHECK (flags > 0),
    PRIMARY KEY (part, party_id, csp_id, movement, gained)
);

-- The cursor `flag-counts` says up to where the log `flags` was counted. There is none yet: the log is read once
-- more from its first event, for the counts alone, up to the cursor `flags`. From there on both move together.

-- What each supplier had when a month ended, in UTC or in Great Britain. Written when the log `devices` passes the end.

-- The ends that were seen. An end is not complete until it is known which meters were flagged then.
CREATE TABLE meter_month_end (
    end_time BIGINT  NOT NULL PRIMARY KEY,
    complete BOOLEAN NOT NULL
);

-- Meters that counted then.
CREATE TABLE meter_month (
    end_time            BIGINT NOT NULL,
    party_id            TEXT   NOT NULL,
    electricity         BIGINT NOT NULL,
    electricity_reduced BIGINT NOT NULL,
    gas                 BIGINT NOT NULL,
    gas_reduced         BIGINT NOT NULL,
    PRIMARY KEY (end_time, party_id)
);

-- The meters that changed since an end that is not complete, as they were then. One that was not there then belongs to
-- nobody.
CREATE TABLE meter_was (
    end_time    BIGINT NOT NULL,
    device_id   TEXT   NOT NULL,
    device_type BIGINT NOT NULL,
    smets_major BIGINT NOT NULL,
    smi_status  BIGINT NOT NULL,
    party_id    TEXT   NOT NULL,
    PRIMARY KEY (end_time, device_id)
);

-- Up to where the log `devices` was followed event by event, and the instant after which each end of a month is seen.
CREATE TABLE meter_watch (
    id         BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    epoch      BIGINT NOT NULL,
    sequence   BIGINT NOT NULL,
    since_time BIGINT NOT NULL
);
