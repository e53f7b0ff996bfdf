-- The durable subscription of each CSP; its log is `csp/` and its name.
-- Times are microseconds since 1970-01-01T00:00:00Z.
CREATE TABLE subscription (
    csp               TEXT   NOT NULL PRIMARY KEY,
    -- The last event that was put on a stream. Written before the event leaves.
    sent              BIGINT NOT NULL CHECK (sent >= 0),
    -- Everything up to here was acknowledged.
    acknowledged      BIGINT NOT NULL CHECK (acknowledged >= 0 AND acknowledged <= sent),
    -- When the last acknowledgement came, by our clock.
    acknowledged_time BIGINT,
    -- When the CSP had applied what it acknowledged last, by its own clock, if it said so.
    applied_time      BIGINT
);

-- Each Device with reduced communications on the CSP's hubs, as it was between two events of the
-- CSP's log: the row holds from `from_sequence` until before `to_sequence`.
CREATE TABLE reduced_device (
    csp           TEXT   NOT NULL REFERENCES subscription (csp),
    device        TEXT   NOT NULL,
    from_sequence BIGINT NOT NULL CHECK (from_sequence > 0),
    to_sequence   BIGINT NOT NULL CHECK (to_sequence > from_sequence),
    device_type   BIGINT NOT NULL,
    -- Device IDs with a blank between them.
    covered       TEXT   NOT NULL,
    hub           TEXT   NOT NULL,
    since_time    BIGINT NOT NULL,
    PRIMARY KEY (csp, device, from_sequence)
);
