-- The flag of each Device that has a history, one row for each event about it.
-- A row holds at position P of the log `flags` if from_sequence <= P and P < to_sequence; the row
-- that holds now has the greatest BIGINT as its to_sequence. Rows are only ever added and closed.
-- Times are microseconds since 1970-01-01T00:00:00Z; numbers of causes and reviews are those of the
-- contract's enums.
CREATE TABLE flag_entry (
    device                TEXT    NOT NULL,
    from_sequence         BIGINT  NOT NULL CHECK (from_sequence > 0),
    to_sequence           BIGINT  NOT NULL CHECK (to_sequence > from_sequence),
    meter                 TEXT    NOT NULL CHECK (meter IN ('ESME', 'GSME')),
    flagged               BOOLEAN NOT NULL,
    -- Devices covered besides the meter, joined by spaces.
    covered               TEXT    NOT NULL,
    -- Empty if there is none; likewise the next two.
    hub                   TEXT    NOT NULL,
    csp                   TEXT    NOT NULL,
    supplier              TEXT    NOT NULL,
    responsible_since     BIGINT  NOT NULL,
    since                 BIGINT  NOT NULL,
    cause                 BIGINT  NOT NULL,
    state_sequence        BIGINT  NOT NULL,
    -- Unanswered review prompts, joined by spaces, oldest first.
    reviews               TEXT    NOT NULL,
    -- The position in the log `devices` that the row rests on.
    registration_epoch    BIGINT  NOT NULL CHECK (registration_epoch > 0),
    registration_sequence BIGINT  NOT NULL,
    PRIMARY KEY (device, from_sequence)
);

-- A supplier's own list.
CREATE INDEX flag_entry_by_supplier ON flag_entry (supplier, device);
-- The meters on a hub whose CSP changes.
CREATE INDEX flag_entry_by_hub ON flag_entry (hub, to_sequence);

-- Until when the Responsible Supplier of a Device with a history is known to stay so. Reads rest on
-- it while registration is out of reach; no history is kept.
CREATE TABLE followed_tenure (
    device          TEXT   NOT NULL PRIMARY KEY,
    -- Empty if it is not known.
    registration_id TEXT   NOT NULL,
    -- The first instant at which it may be over; the greatest BIGINT if none is known.
    until           BIGINT NOT NULL
);

-- Finds the Devices of a registration that is given an end.
CREATE INDEX followed_tenure_by_registration ON followed_tenure (registration_id);
