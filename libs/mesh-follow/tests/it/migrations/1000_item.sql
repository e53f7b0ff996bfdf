-- The state that the log of these tests is about: each item as it was between two events.
CREATE TABLE item (
    device        TEXT   NOT NULL,
    from_sequence BIGINT NOT NULL,
    to_sequence   BIGINT NOT NULL,
    hub           TEXT   NOT NULL,
    PRIMARY KEY (device, from_sequence)
);
