-- What the suite's service keeps beside its log.
CREATE TABLE item (
    id       BIGINT NOT NULL PRIMARY KEY,
    -- Checked at the commit, which lets a test make a commit fail on every engine.
    parent   BIGINT REFERENCES item (id) DEFERRABLE INITIALLY DEFERRED,
    sequence BIGINT NOT NULL
);
